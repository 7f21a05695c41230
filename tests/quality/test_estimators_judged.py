"""Random gradients by hand: right ones of any form are never refuted, wrong ones are, and are named."""

import math

import numpy as np
import pytest

from bptt_verify import cells
from bptt_verify.verify.unbiased import check_unbiased

from estimators_for_tests import elman, elman_terms, linear_forward, lstm  # isort: skip


def product(xi, t, i):
    """Π of the gates that a term of loss t passes on its way to step i."""
    return math.prod(xi[i + 1 : t + 1])


def column(xi, t):
    return xi[t][:, None]


def single(f):
    return lambda xi, **a: f(xi, **{k: v.astype(np.float32) for k, v in a.items()})


def stopped(arrays, xi):
    """Runs back from each loss until a closed gate."""

    def weight(t, i):
        total = 1.0
        for s in range(t, i, -1):
            if xi[s] == 0:
                return 0.0
            total *= xi[s]
        return total

    return elman_terms(arrays, weight)


def without_h0(arrays, xi):
    """Its own h0 is zero, and it neither takes nor returns one."""
    loss, grads = elman(
        arrays | {"h0": np.zeros((arrays["x"].shape[1], len(arrays["W_hh"])))}, lambda t: xi[t]
    )
    return loss, {k: g for k, g in grads.items() if k != "h0"}


def explicit(x, y, W_hx, W_hh, b_h, W_qh, b_q, weights, xi):
    arrays = dict(x=x, y=y, W_hx=W_hx, W_hh=W_hh, b_h=b_h, W_qh=W_qh, b_q=b_q, weights=weights)
    return without_h0(arrays, xi)


RIGHT = {
    "one pass": (cells.elman, lambda xi, **a: elman(a, lambda t: xi[t]), {}),
    "gradients only": (cells.elman, lambda xi, **a: elman(a, lambda t: xi[t])[1], {}),
    "h0 not gated": (cells.elman, lambda xi, **a: elman(a, lambda t: xi[t] if t else 1.0), {}),
    "whole adjoint gated": (cells.elman, lambda xi, **a: elman(a, None, whole=lambda t: xi[t]), {}),
    "double sum": (cells.elman, lambda xi, **a: elman_terms(a, lambda t, i: product(xi, t, i)), {}),
    "stopped early": (cells.elman, lambda xi, **a: stopped(a, xi), {}),
    "one step": (cells.elman, lambda xi, **a: elman_terms(a, lambda t, i: xi[t]), {}),
    "a gate per pair": (
        cells.elman,
        lambda xi, **a: elman_terms(a, lambda t, i: xi[(3 * t + i) % len(xi)]),
        {},
    ),
    "last gate of a term": (cells.elman, lambda xi, **a: elman_terms(a, lambda t, i: xi[i + 1]), {}),
    "nothing random": (cells.elman, lambda xi, **a: elman(a, lambda t: 1.0), {}),
    "no h0": (cells.elman, explicit, {}),
    "float32": (cells.elman, single(lambda xi, **a: elman(a, lambda t: np.float32(xi[t]))), {}),
    "a gate a sequence": (
        cells.elman,
        lambda xi, **a: elman(a, lambda t: column(xi, t)),
        {"per_sequence": True},
    ),
    "keep, a constant": (cells.elman, lambda keep, **a: elman(a, lambda t: keep[t] / 0.5), {"pi": 0.5}),
    "keep, its own π": (cells.elman, lambda keep, pi, **a: elman(a, lambda t: keep[t] / pi[t]), {}),
    "keep, a sequence": (
        cells.elman,
        lambda keep, **a: elman(a, lambda t: keep[t] / (0.9, 0.5, 0.3, 0.8)[t]),
        {"pi": (0.9, 0.5, 0.3, 0.8)},
    ),
    "keep, a function": (
        cells.elman,
        lambda keep, **a: elman(a, lambda t: keep[t] * (t + 2) / (t + 1)),
        {"pi": lambda steps: [(t + 1) / (t + 2) for t in range(steps)]},
    ),
    "keep, rarely open": (cells.elman, lambda keep, **a: elman(a, lambda t: keep[t] / 0.01), {"pi": 0.01}),
    "forward mode": (cells.linear, lambda xi, **a: linear_forward(a, xi), {}),
    "lstm": (cells.lstm, lambda xi, **a: lstm(a, lambda t: xi[t]), {}),
    "only the memory gated": (
        cells.elman,
        lambda xi, **a: elman(a, lambda t: np.array([xi[t]] + [1.0] * (len(a["W_hh"]) - 1))),
        {},
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_estimator_is_verified(name):
    rec, fn, options = RIGHT[name]
    report = check_unbiased(fn, rec, rng=len(name), **options)
    assert report.verdict == "verified", report


def shifted(keep, pi, **a):
    return elman(a, lambda t: keep[t] / pi[t - 1])


def later(keep, pi, **a):
    return elman(a, lambda t: keep[t] / pi[min(t + 1, len(pi) - 1)])


def gate_shifted(keep, pi, **a):
    return elman(a, lambda t: keep[t - 1] / pi[t])


def tripled(loss, grads):
    return loss, {k: 3 * g for k, g in grads.items()}


def longer_window(xi, **a):
    return elman_terms(a, lambda t, i: product(xi, t, i) * (t - i < 9))


WRONG = {
    "weight forgotten": (lambda xi, **a: elman(a, lambda t: float(xi[t] > 0)), {}, "1/π is forgotten"),
    "forgotten by keep": (lambda keep, **a: elman(a, lambda t: keep[t]), {"pi": 0.8}, "1/π is forgotten"),
    "multiplied": (lambda keep, pi, **a: elman(a, lambda t: keep[t] * pi[t]), {}, "multiplied by π"),
    "applied twice": (lambda xi, **a: elman(a, lambda t: xi[t] ** 2), {}, "applied twice"),
    "rooted": (lambda xi, **a: elman(a, lambda t: np.sqrt(xi[t])), {}, "√π"),
    "wrong side": (lambda keep, pi, **a: elman(a, lambda t: (1 - keep[t]) / pi[t]), {}, "wrong side"),
    "other weight": (lambda keep, pi, **a: elman(a, lambda t: keep[t] / (1 - pi[t])), {}, "1 - π"),
    "π of the step before": (shifted, {}, "π_{t-1}"),
    "π of the step after": (later, {}, "π_{t+1}"),
    "gate of the step before": (gate_shifted, {}, "ξ_{t-1}|gate of step t-1"),
    "first gate for all": (lambda xi, **a: elman(a, lambda t: xi[0]), {}, "first step, is used at all"),
    "last gate for all": (lambda xi, **a: elman(a, lambda t: xi[-1]), {}, "last step, is used at all"),
    "first gate for all, h0 not gated": (
        lambda xi, **a: elman(a, lambda t: xi[-1] if t else 1.0),
        {},
        "last step, is used at all",
    ),
    "one π for all": (lambda keep, pi, **a: elman(a, lambda t: keep[t] / pi[0]), {}, "1/π of the first step"),
    "averaged": (lambda keep, pi, **a: elman(a, lambda t: keep[t] / np.mean(pi)), {}, "mean of π"),
    "reversed": (lambda keep, pi, **a: elman(a, lambda t: keep[::-1][t] / pi[t]), {}, "reverse order"),
    "always cut": (lambda xi, **a: elman(a, lambda t: 0.0), {}, "cut at every step"),
    "one sequence's gates": (
        lambda keep, pi, **a: elman(a, lambda t: keep[t][:1] * keep[t][:, None] / pi[t] ** 1.5),
        {"per_sequence": True},
        None,
    ),
    "no mean": (lambda xi, **a: tripled(*elman(a, lambda t: xi[t])), {}, None),
    "a window of 9": (longer_window, {}, None),
    "20 %": (lambda xi, **a: elman(a, lambda t: 1.2 * xi[t]), {}, "1.2/π"),
    "5 %": (lambda xi, **a: elman(a, lambda t: 0.95 * xi[t]), {}, "0.95/π"),
    "1 %": (lambda xi, **a: elman(a, lambda t: 1.01 * xi[t]), {}, "1.01/π"),
    "1 % of π": (lambda keep, **a: elman(a, lambda t: keep[t] / 0.505), {"pi": 0.5}, "/π; it must be 1/π"),
    "1 % in one block": (
        lambda xi, **a: (lambda r: (r[0], r[1] | {"b_h": 1.01 * r[1]["b_h"]}))(elman(a, lambda t: xi[t])),
        {},
        None,
    ),
    "1 % in float32": (single(lambda xi, **a: elman(a, lambda t: np.float32(1.01 * xi[t]))), {}, "1.01/π"),
    "1 % at one step": (lambda xi, **a: elman(a, lambda t: xi[t] * (1.01 if t == 3 else 1)), {}, None),
    "biased where all are open": (
        lambda xi, **a: elman(a, lambda t: xi[t] * (1.01 if np.all(xi > 0) else 1)),
        {},
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_biased_estimator_is_refuted_and_named(name):
    fn, options, words = WRONG[name]
    report = check_unbiased(fn, cells.elman, rng=0, **options)
    assert report.verdict == "refuted", report
    assert all("is biased" in f.what for f in report.findings if f.block)
    if words is not None:
        assert report.diagnosis is not None and any(w in report.diagnosis for w in words.split("|")), report


# By sampling


def recursion(steps, pi=0.5, factor=0.9, weight=None):
    """z_T of claim T7 for scalars, A = 1 and J = factor; weight is 1/π unless it is wrong."""

    def fn(rng):
        z = 1.0
        for keep in rng.random(steps - 1) < pi:
            z = 1 + keep * (weight or 1 / pi) * factor * z
        return {"z": np.array([z])}

    return fn, {"z": np.array([sum(factor**k for k in range(steps))])}


def vector(bias, spread, size=6):
    """A vector with noise of some spread, its mean off by a part of its norm in a direction of its own."""
    mean = np.arange(1.0, 1 + size)
    away = np.random.default_rng(size).normal(size=size)
    shift = bias * np.linalg.norm(mean) * away / np.linalg.norm(away)

    def fn(rng):
        return {"v": mean + shift + spread * np.linalg.norm(mean) * rng.normal(size=size) / np.sqrt(size)}

    return fn, {"v": mean}


OPTIONS = {"rng": 0, "samples": 20_000, "false_alarm": 1e-3, "smallest_bias": 0.1}
SAMPLED = {
    "right, short": (recursion(3, pi=0.7), "verified"),
    "right, T = 20": (recursion(20), "inconclusive"),
    "right, T = 40": (recursion(40), "inconclusive"),
    "right, little noise": (vector(0.0, 0.3), "verified"),
    "right, much noise": (vector(0.0, 5.0), "inconclusive"),
    "right, a small bias": (vector(0.002, 0.3), "verified"),
    "weight forgotten": (recursion(5, weight=1.0), "refuted"),
    "weight forgotten, T = 40": (recursion(40, weight=1.0), "refuted"),
    "weight off by 10 %": (recursion(3, pi=0.7, weight=1.1 / 0.7), "refuted"),
    "exactly the smallest bias": (vector(0.1, 0.3), "refuted"),
    "twice the smallest bias": (vector(0.2, 0.3), "refuted"),
    "a bias under much noise": (vector(0.1, 5.0), "inconclusive"),
}


@pytest.mark.parametrize("name", SAMPLED)
def test_sampling_refutes_what_is_biased_and_says_when_it_cannot_tell(name):
    (fn, target), verdict = SAMPLED[name]
    report = check_unbiased(fn, target, **OPTIONS)
    assert report.verdict == verdict, report
