"""The data form inside loops: recursions of changes, windows of steps, slopes along a segment."""

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS, draw

from bptt_verify.analysis import lipschitz_bound, loops, rules
from bptt_verify.analysis.balls import Ball, hull, inflated, inside, moved, together
from bptt_verify.analysis.linear import recursion, spectral


def steps_of(rng, count=25, size=3, scale=0.6):
    """A_t, gain and rest: of one sequence, with one share of its own and one of a parameter."""
    for _ in range(count):
        matrix = rng.normal(size=(1, size, size))
        yield scale * matrix / spectral(matrix)[:, None, None], *(0.1 * rng.uniform(size=(2, 2, 1)))


def walk(steps, rng, share=1.0):
    """Changes that the recursion allows, as large as a greedy adversary makes them."""
    change = np.zeros(steps[0][0].shape[-1])
    for matrix, gain, rest in steps:
        along = matrix[0] @ change
        size = (gain * np.linalg.norm(change) + rest)[:, 0].sum() * share
        unit = along if np.linalg.norm(along) else rng.normal(size=along.shape)
        change = along + size * unit / np.linalg.norm(unit)
        yield np.linalg.norm(change)


@pytest.mark.parametrize("scale", [0.3, 0.9, 1.2])
def test_no_walk_exceeds_the_recursion_and_one_that_adds_more_does(scale):
    rng = np.random.default_rng(0)
    steps = list(steps_of(rng, scale=scale))
    known = np.full((len(steps), 2, 1), np.inf)
    bound = together(np.moveaxis(recursion(steps, np.zeros((2, 1)), known), 1, 0))[:, 0]
    assert all(np.array(list(walk(steps, rng))) <= bound * 1.5)  # the shares add up to √2 times at most
    assert bound[0] == pytest.approx(together(steps[0][2])[0])
    assert any(np.array(list(walk(steps, rng, share=3.0))) > bound)


def test_products_of_matrices_count_and_not_only_their_norms():
    """Two maps of norm 2 whose product is 0: what comes from before them is forgotten."""
    up, right = np.array([[[0.0, 2.0], [0.0, 0.0]]]), np.zeros((2, 1))
    steps = [(up, right, np.array([[1.0], [0.0]]))] * 40
    bound = recursion(steps, np.zeros((2, 1)), np.full((40, 2, 1), np.inf))[:, 0, 0]
    assert np.allclose(bound[1:], 3.0)


def test_what_is_known_otherwise_is_never_exceeded():
    steps = list(steps_of(np.random.default_rng(1)))
    known = np.full((len(steps), 2, 1), 0.01)
    assert np.all(together(np.moveaxis(recursion(steps, np.zeros((2, 1)), known), 1, 0)) <= 0.03)


@pytest.mark.parametrize("name", ["linear", "elman", "lstm", "swapped_states", "jordan", "matrix_state"])
def test_windows_lead_to_what_one_step_at_a_time_does(name, monkeypatch):
    rec = ALL_CELLS[name]
    arrays = draw(rec, np.random.default_rng(0), 7, 2, scale=0.3)
    found = {}
    for window in (1, 3, 64):
        monkeypatch.setattr(loops, "WINDOW", window)
        found[window] = lipschitz_bound(rec, 0.02, **arrays).data_value
    assert 0 < found[1] < np.inf
    for window in (3, 64):
        assert found[1] * (1 - 1e-9) <= found[window] <= found[1] * (1 + 10 * loops.GROWTH)


def test_a_window_that_is_not_compared_with_its_guess_is_too_small(monkeypatch):
    """If every guess were taken for right, steps would be bounded as if the ones before did not move."""
    rec = ALL_CELLS["elman"]
    arrays = draw(rec, np.random.default_rng(0), 7, 2, scale=0.5)
    right = lipschitz_bound(rec, 0.05, **arrays).data_value
    monkeypatch.setattr(loops, "inside", lambda new, guess: np.ones(len(new.value), bool))
    assert lipschitz_bound(rec, 0.05, **arrays).data_value < 0.9 * right


def test_balls_are_compared_in_all_that_they_say():
    value = np.array([[[1.0, 2.0]], [[0.0, 1.0]]])
    ball = moved(value, ("T", "B", "n"), 0.5, 2, 1)
    assert inside(ball, ball).tolist() == [True, True]
    more = inflated(ball, 0.1)
    assert inside(ball, more).all() and not inside(more, ball).any()
    assert inside(more, hull(ball, more)).all() and inside(ball, hull(ball, more)).all()
    for field in ("low", "high", "moved", "norm", "shares"):
        parts = {k: np.array(getattr(ball, k)) for k in ("value", "low", "high", "moved", "norm", "shares")}
        at = parts[field][:, 1:] if field == "shares" else parts[field][1:]
        at += -0.1 if field != "low" else 0.1
        assert inside(ball, Ball(**parts)).tolist() == [True, False], field


def test_slopes_at_the_given_arrays_alone_are_too_small(monkeypatch):
    """The mean slope on boxes that do not grow is that at the centre: second order is forgotten."""
    rec = ALL_CELLS["elman"]
    arrays = draw(rec, np.random.default_rng(0), 7, 2, scale=0.5)
    right = lipschitz_bound(rec, 0.05, **arrays).data_value
    whole = rules._towards

    def still(box, centre):
        return whole((centre, centre), centre)

    monkeypatch.setattr(rules, "_towards", still)
    assert lipschitz_bound(rec, 0.05, **arrays).data_value < 0.9 * right


def test_an_infinite_bound_says_which_equation_has_none_and_why():
    rec = ALL_CELLS["weight_norm"]
    arrays = draw(rec, np.random.default_rng(0), 4, 2)
    assert np.isfinite(lipschitz_bound(rec, 0.01, **arrays).value)
    wide = lipschitz_bound(rec, 10.0, **arrays)
    assert wide.value == np.inf and len(wide.reasons) == 2
    for form, reason in zip(("norms", "data"), wide.reasons, strict=True):
        assert reason.startswith(f"no finite bound by {form}: power_sum = ")
        assert reason.endswith("because nothing keeps its denominator away from 0")
