"""Estimators as data: what is refused, and which terms of the gradient sum each keeps."""

import pickle
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from bptt_verify.errors import UsageError
from bptt_verify.estimators import (
    Chunks,
    Full,
    Geometric,
    Randomized,
    Window,
    drawn,
    exact_probabilities,
    gated,
    gates,
    kept,
    probabilities,
)

WRONG = {
    "no window": (lambda: Window(0), ["Window: tau=0", "at least 1"]),
    "a window that is no whole number": (lambda: Window(2.0), ["tau=2.0", "whole number"]),
    "a window that is a truth value": (lambda: Window(True), ["tau=True"]),
    "a chunk that reaches less far than it is long": (lambda: Chunks(3, 2), ["k1=3, k2=2", "k2 ≥ k1"]),
    "no chunk": (lambda: Chunks(0, 2), ["Chunks: k1=0"]),
    "π = 0": (lambda: Randomized(0), ["pi=0", "0 < pi ≤ 1", "biased"]),
    "π > 1": (lambda: Randomized(1.5), ["pi=1.5"]),
    "π < 0": (lambda: Randomized(-0.5), ["pi=-0.5"]),
    "π is not a number": (lambda: Randomized(float("nan")), ["pi=nan"]),
    "π is a word": (lambda: Randomized("half"), ["pi='half'"]),
    "π is nothing": (lambda: Randomized(None), ["pi=None"]),
    "π is a truth value": (lambda: Randomized(True), ["pi=True"]),
    "π is complex": (lambda: Randomized(0.5 + 0j), ["pi=(0.5+0j)"]),
    "π is empty": (lambda: Randomized([]), ["pi is empty"]),
    "one π is 0": (lambda: Randomized([0.5, 0.0]), ["pi[1]=0.0", "0 < pi[1] ≤ 1"]),
    "π is a matrix": (lambda: Randomized(np.full((2, 2), 0.5)), ["pi=array"]),
    "gates for whom": (lambda: Randomized(0.5, per_sequence=1), ["per_sequence=1", "True or False"]),
    "a ratio of 0": (lambda: Geometric(0.5, 0, 0.1), ["ratio=0"]),
    "an infinite ratio": (lambda: Geometric(0.5, float("inf"), 0.1), ["ratio=inf"]),
    "a minimum of 0": (lambda: Geometric(0.5, 0.9, 0), ["Geometric: minimum=0"]),
    "π of another length": (lambda: probabilities(Randomized([0.5, 0.5]), 3), ["2 entries", "T=3"]),
    "gates of a window": (lambda: gates(Window(2), 3), ["Window(tau=2)", "Chunks(k, k)"]),
    "gates that are drawn": (lambda: gates(Randomized(0.5), 3), ["Randomized"]),
    "terms that are drawn": (lambda: kept(Randomized(0.5), 3), ["expected Full, Window or Chunks"]),
}


@pytest.mark.parametrize(("wrong", "words"), WRONG.values(), ids=WRONG)
def test_what_is_no_estimator_is_refused(wrong, words):
    with pytest.raises(UsageError) as caught:
        wrong()
    assert [w for w in words if w not in str(caught.value)] == [], str(caught.value)


def test_estimators_are_plain_values():
    for e in (Full(), Window(3), Chunks(2, 5), Randomized([0.5, Fraction(1, 3)]), Randomized(0.5, True)):
        assert pickle.loads(pickle.dumps(e)) == e
        assert hash(e) == hash(pickle.loads(pickle.dumps(e)))
    assert Window(np.int64(3)) == Window(3)
    assert Randomized(np.array([0.5, 1.0])) == Randomized((0.5, 1.0))
    assert Randomized(np.float32(0.5)) == Randomized(np.array(0.5)) == Randomized(0.5)


def by_definition(reach, steps):
    """Which pairs a rule keeps, pair by pair."""
    return np.array([[i <= t and reach(t, i) for i in range(1, steps + 1)] for t in range(1, steps + 1)])


def test_the_terms_of_a_window_and_of_chunks():
    for steps, k1 in product(range(1, 9), range(1, 10)):
        assert np.array_equal(kept(Window(k1), steps), by_definition(lambda t, i: t - i < k1, steps))  # noqa: B023
        for k2 in range(k1, 12):
            end = {t: next(e for e in range(k1, 99, k1) if e >= t) for t in range(1, steps + 1)}
            wanted = by_definition(lambda t, i: i >= end[t] - k2 + 1, steps)  # noqa: B023
            assert np.array_equal(kept(Chunks(k1, k2), steps), wanted)


def test_the_laws_of_chunks():
    """Chunks(1, τ) is a window; k2 ≥ k1 ⌈T/k1⌉ is everything; every step's own term is kept."""
    for steps, k1 in product(range(1, 9), range(1, 10)):
        assert np.array_equal(kept(Chunks(1, k1), steps), kept(Window(k1), steps))
        enough = k1 * -(-steps // k1)
        for k2 in range(k1, enough + 3):
            assert (k2 >= enough) <= np.array_equal(kept(Chunks(k1, k2), steps), kept(Full(), steps))
            assert kept(Chunks(k1, k2), steps).diagonal().all()


def test_the_gates_of_chunks_keep_the_same_terms():
    for steps, k in product(range(1, 9), range(1, 10)):
        for e in (Chunks(k, k), *([Window(1)] if k == 1 else []), *([Full()] if k >= steps else [])):
            xi = gates(e, steps)
            through = by_definition(lambda t, i: np.prod(xi[i:t]) == 1, steps)  # noqa: B023
            assert gated(e) and np.array_equal(through, kept(e, steps))
    assert not gated(Window(2)) and not gated(Chunks(2, 3)) and gated(Randomized(0.5))


def test_probabilities():
    assert probabilities(Randomized(0.25), 3).tolist() == [0.25] * 3
    assert exact_probabilities(Randomized(Fraction(1, 3)), 2) == (Fraction(1, 3),) * 2
    falling = probabilities(Randomized(Geometric(1.0, 0.5, 0.2)), 4)
    assert falling.tolist() == [1.0, 0.5, 0.25, 0.2]
    rising = probabilities(Randomized(Geometric(0.3, 2.0, 0.1)), 2000)
    assert rising[0] == 0.3 and rising[1] == 0.6 and (rising[2:] == 1).all()


@pytest.mark.parametrize("per_sequence", [False, True])
def test_gates_are_drawn_by_their_law(per_sequence):
    """The mean of 20 000 gates is within 6 standard deviations; another law is not (checked below)."""
    pi = np.array([0.5, 0.1, 1.0, 0.8])
    estimator = Randomized(pi, per_sequence)
    rng = np.random.default_rng(1)
    xi = np.array([drawn(estimator, 4, 3, rng) for _ in range(20_000)])
    assert xi.shape == (20_000, 4, 3)[: 2 + per_sequence]
    opened = (xi > 0).reshape(20_000, 4, -1)
    assert np.all((xi == 0) | np.isclose(xi * (pi[:, None] if per_sequence else pi), 1))
    spread = 6 * np.sqrt(pi * (1 - pi) / 20_000)[:, None] + 1e-12
    assert np.all(np.abs(opened.mean(axis=0) - pi[:, None]) <= spread)
    assert np.any(np.abs(opened.mean(axis=0) - np.roll(pi, 1)[:, None]) > spread)
    together = np.corrcoef(opened[:, :2, 0].T)[0, 1]
    assert abs(together) < 6 / np.sqrt(20_000)
