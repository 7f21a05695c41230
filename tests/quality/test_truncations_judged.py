"""Right truncated gradients are never refuted; wrong ones are, and are told what they are."""

import numpy as np
import pytest
from truncations_for_tests import chunks, counting, detaching, forward, rerunning, running_back, window

from bptt_verify import check_gradient, generate
from bptt_verify.cells import CATALOGUE, elman, elman_relu, gru
from bptt_verify.estimators import Chunks, Window
from bptt_verify.verify import check_truncated, recurrence_problem
from bptt_verify.verify.adapters import Adapted
from bptt_verify.verify.longcases import truncation_cases

from bptt_verify.check import caught  # isort: skip


def overlapping(k1, k2):
    """Each run back over k2 steps counts the losses of all of them."""

    def runs(first, last, steps):
        ends = range(k1, steps + k1, k1)
        return float(sum(end - k2 < first and last <= end for end in ends))

    return counting(lambda t, i, steps: runs(i, t, steps), lambda t, steps: runs(t, t, steps))


def twice(t, i, steps):
    return window(4)(t, i, steps) + float((t, i) == (4, 2))


def whole(t, steps):
    """Whether the chunk of t, of 4 steps, is complete."""
    return t <= steps - steps % 4


def resetting(k):
    """The state begins with zero in every chunk."""

    def fn(**a):
        total, grads = 0.0, {}
        for start in range(0, len(a["x"]), k):
            own = {n: v[start : start + k] if n in ("x", "y", "weights") else v for n, v in a.items()}
            own |= {"h0": np.zeros_like(a["h0"])} if start else {}
            loss, part = rerunning(k)(**own)
            total += loss
            for n, g in part.items():
                if n in ("h0", "x"):
                    continue
                grads[n] = grads.get(n, 0.0) + g
        return total, grads

    return fn


def disturbed(k):
    """A mistake that is no truncation."""

    def fn(**a):
        loss, grads = detaching(k)(**a)
        h, _, _ = forward(a)
        return loss, {**grads, "W_hh": grads["W_hh"] + 0.1 * np.outer(h[1][0], h[1][0])}

    return fn


WRONG = {
    "a shorter window": (rerunning(7), Window(8), "it equals Window(tau=7); expected Window(tau=8)"),
    "a longer window": (rerunning(9), Window(8), "it equals Window(tau=9)"),
    "a long window": (rerunning(19), Window(20), "it equals Window(tau=19)"),
    "nothing truncated": (rerunning(10**6), Window(5), "equals Full(): nothing is truncated"),
    "chunks for a window": (detaching(4), Window(4), "equals Chunks(k1=4, k2=4)"),
    "a window for chunks": (rerunning(4), Chunks(4, 4), "equals Window(tau=4)"),
    "other chunks": (running_back(3, 6), Chunks(3, 5), "equals Chunks(k1=3, k2=6)"),
    "one step more": (
        counting(lambda t, i, T: float(i > 4 * -(-t // 4) - 5)), Chunks(4, 4), "equals Chunks(k1=4, k2=5)"
    ),
    "chunks from the end": (
        counting(lambda t, i, T: float(i > T - 4 * ((T - t) // 4) - 4)), Chunks(4, 4), "counted from the end"
    ),
    "shifted chunks": (
        counting(lambda t, i, T: float(i > 1 + 4 * -(-(t - 1) // 4) - 4)), Chunks(4, 4),
        "boundaries shifted: the first chunk has 1 of 4 steps",
    ),
    "the last chunk from T": (
        counting(lambda t, i, T: float(i > min(T, 3 * -(-t // 3)) - 5)), Chunks(3, 5),
        "the last chunk runs back from T",
    ),
    "losses counted twice": (
        overlapping(3, 5), Chunks(3, 5), "each run back of Chunks(k1=3, k2=5) counts those of all its 5 steps"
    ),
    "no gradient at the start of a chunk": (
        counting(chunks(4, 2)), Chunks(4, 4), "runs back 2 of each 4 steps"
    ),
    "losses of the last steps only": (
        counting(
            lambda t, i, T: chunks(4, 4)(t, i, T) * (t == min(T, 4 * -(-t // 4))),
            lambda t, T: float(t == min(T, 4 * -(-t // 4))),
        ), Chunks(4, 4), "counts only the losses of the last step of each chunk",
    ),
    "the last chunk dropped": (
        counting(lambda t, i, T: chunks(4, 4)(t, i, T) * whole(t, T), lambda t, T: float(whole(t, T))),
        Chunks(4, 4), "drops the losses of the last chunk",
    ),
    "h0 kept one step longer": (
        counting(window(8), initial=lambda t, T: float(t <= 9)), Window(8), "∂L/∂h0 equals Window(tau=9)"
    ),
    "h0 kept one step shorter": (
        counting(window(8), initial=lambda t, T: float(t <= 7)), Window(8), "∂L/∂h0 equals Window(tau=7)"
    ),
    "h0 never truncated": (
        counting(chunks(4, 4), initial=lambda t, T: 1.0), Chunks(4, 4), "∂L/∂h0 equals Full()"
    ),
    "h0 without gradient": (
        counting(chunks(4, 4), initial=lambda t, T: 0.0), Chunks(4, 4), "∂L/∂h0 is zero"
    ),
    "no explicit parts": (counting(window(3), lambda t, T: 0.0), Window(3), "has no explicit parts"),
    "mean over chunks": (
        counting(lambda t, i, T: T / 4 * chunks(4, 4)(t, i, T), lambda t, T: T / 4), Chunks(4, 4),
        "with the mean over each chunk of 4 steps instead of over T",
    ),
    "one term twice": (
        counting(twice), Window(4), "that of the loss 4 and step 2 2 times instead of 1"
    ),
    "weights by lag": (
        counting(lambda t, i, T: 0.5 ** (t - i) if t - i < 3 else 0.0), Window(3),
        "lag 0: 1, lag 1: 0.5, lag 2: 0.25",
    ),
    "the state is reset": (resetting(4), Chunks(4, 4), "the state is reset to zero every 4 steps"),
    "nothing known": (disturbed(4), Chunks(4, 4), "no known truncation gives these numbers; ∂L/∂W_hh"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_truncations_are_refuted_and_named(name):
    fn, estimator, words = WRONG[name]
    report = check_truncated(fn, elman, estimator, rng=1)
    assert report.verdict == "refuted"
    assert words in (report.diagnosis or ""), report
    assert all(f.case for f in report.findings)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("fn", "estimator"),
    [
        (rerunning(2), Window(2)),
        (rerunning(13), Window(13)),
        (detaching(7), Chunks(7, 7)),
        (running_back(2, 9), Chunks(2, 9)),
    ],
    ids=["short window", "long window", "detaching", "overlapping chunks"],
)
def test_right_truncations_are_verified_whatever_the_seed(fn, estimator, seed):
    assert check_truncated(fn, elman, estimator, rng=100 + seed).verdict == "verified"


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (rerunning(3), "it equals Window(tau=3); expected Full()"),
        (detaching(5), "it equals Chunks(k1=5, k2=5); expected Full()"),
        (rerunning(30), "it equals Window(tau=30)"),
    ],
    ids=["window", "detaching", "long window"],
)
def test_a_truncated_gradient_given_to_check_gradient_is_told_so(fn, words):
    report = check_gradient(fn, elman, rng=0)
    assert report.verdict == "refuted"
    assert words in (report.diagnosis or ""), report
    assert "use check_truncated" in report.diagnosis


FOUR = (Window(3), Window(4), Window(5), Chunks(2, 2), Chunks(2, 3), Chunks(2, 5))


@pytest.mark.parametrize("estimator", [Window(4), Chunks(2, 3)], ids=str)
@pytest.mark.parametrize("name", CATALOGUE)
def test_of_the_generated_kernels_just_the_right_one_is_not_caught(name, estimator):
    rec, rng = CATALOGUE[name], np.random.default_rng(4)
    kernels = {str(e): generate(rec, estimator=e).loss_and_grad for e in FOUR}
    functions = {k: (lambda arrays, f=f: f(**arrays)) for k, f in kernels.items()}
    problem = recurrence_problem(rec, Adapted(lambda **arrays: None, None), estimator=estimator)
    cases = [c for c in truncation_cases(estimator)(rec, rng) if len(c.arrays["weights"]) in range(5, 10)]
    assert set(caught(functions, problem, cases, rng)) == set(kernels) - {str(estimator)}


@pytest.mark.parametrize("estimator", [Window(1), Window(6), Chunks(3, 3), Chunks(2, 5)], ids=str)
def test_generated_kernels_are_verified(estimator):
    kernel = generate(elman_relu, estimator=estimator)
    assert check_truncated(kernel.loss_and_grad, elman_relu, estimator, rng=4).verdict == "verified"


def test_a_kernel_of_another_cell_is_told_which_estimator_it_is():
    kernel = generate(gru, estimator=Window(4))
    report = check_truncated(kernel.loss_and_grad, gru, Chunks(4, 4), rng=4)
    assert report.verdict == "refuted"
    assert "it equals Window(tau=4)" in (report.diagnosis or ""), report
