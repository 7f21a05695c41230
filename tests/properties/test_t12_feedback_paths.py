"""T12: the detached gradient and the feedback paths, against generated kernels and held runs."""

import numpy as np
import pytest
from feedback_for_tests import (
    CELLS,
    adjoints,
    backward,
    drawn,
    flat,
    forward,
    gradient,
    local,
    rates,
    shares,
)
from hypothesis import given, settings
from hypothesis import strategies as st

names, modes = st.sampled_from(list(CELLS)), st.sampled_from(["free", "scheduled"])
lengths, seeds = st.integers(1, 8), st.integers(0, 2**32 - 1)


def close(found, wanted):
    assert np.shape(found) == np.shape(wanted)
    scale = max(1.0, np.abs(wanted).max(initial=0.0))
    return bool(np.abs(found - wanted).max(initial=0.0) <= 1e-9 * scale)


def none(of):
    """No share of the own output anywhere: what is fed is held constant."""
    return [None] + [0] * len(of.steps)


def detached(of):
    """(dh/dw)_det, (do/dw)_det with no u that moves, and g_det."""
    h, _, _ = rates(of, none(of))
    o = [None, *(of.B[t] + of.G[t] @ h[t] for t in of.steps)]
    return h, o, sum(of.e[t] + of.c[t] @ h[t] for t in of.steps)


def paths(of, own):
    """Σ_{t≥2} (1 - m_t) λ^u_tᵀ (do_{t-1}/dw)_det."""
    (_, fed), (_, o, _) = adjoints(of, own), detached(of)
    return sum((own[t] * (fed[t] @ o[t - 1]) for t in of.steps[1:]), 0 * of.e[1])


def other_order(of, own):
    """Σ_{t≥2} (1 - m_t) (b_t + F_tᵀ λ^det_t)ᵀ do_{t-1}/dw."""
    (state, _), (_, _, o) = adjoints(of, none(of)), rates(of, own)
    terms = (own[t] * ((of.b[t] + state[t] @ of.F[t]) @ o[t - 1]) for t in of.steps[1:])
    return sum(terms, 0 * of.e[1])


@settings(deadline=None, max_examples=40)
@given(names, modes, lengths, seeds)
def test_the_gradient_is_the_detached_one_and_the_paths(name, mode, T, seed):
    arrays, mask = drawn(name, T, seed)
    own = shares(mode, mask)
    of, _ = local(name, arrays, own)
    wanted = flat(name, gradient(name, mode, arrays, mask))
    _, _, g_det = detached(of)
    assert close(g_det + paths(of, own), wanted)
    assert close(g_det + other_order(of, own), wanted)


@settings(deadline=None, max_examples=20)
@given(names, modes, lengths, seeds)
def test_the_detached_gradient_is_that_of_a_run_that_is_fed_the_same_numbers(name, mode, T, seed):
    """The targets of a teacher-forced run are these numbers, but its losses read the true ones."""
    arrays, mask = drawn(name, T, seed)
    of, fed = local(name, arrays, shares(mode, mask))
    given_of, _ = local(name, arrays, none(of), held=fed)
    assert close(detached(of)[2], forward(given_of, none(of)))
    assert close(detached(of)[2], backward(given_of, none(of)))


@settings(deadline=None, max_examples=30)
@given(names, lengths, seeds)
def test_free_running_against_teacher_forcing(name, T, seed):
    """The paths, and what differs between the two trajectories, step by step."""
    arrays, mask = drawn(name, T, seed)
    own = shares("free", mask)
    (of, _), (there, _) = local(name, arrays, own), local(name, arrays, shares("teacher", mask))
    h, _, _ = detached(of)
    behind, _ = adjoints(there, none(there))
    exposure = sum(
        of.e[t]
        - there.e[t]
        + (of.c[t] - there.c[t]) @ h[t]
        + behind[t] @ (of.A[t] - there.A[t])
        + behind[t] @ (of.H[t] - there.H[t]) @ h[t - 1]
        for t in of.steps
    )
    free, teacher = (flat(name, gradient(name, mode, arrays, mask)) for mode in ("free", "teacher"))
    assert close(paths(of, own) + exposure, free - teacher)


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(["jordan", "elman_feedback"]), st.integers(2, 8), seeds)
def test_without_a_change_of_trajectory_the_paths_are_the_difference(name, T, seed):
    """Targets that are the outputs, but for the last: the loss is that of the last step."""
    arrays, mask = drawn(name, T, seed)
    arrays["weights"] = np.eye(T)[:, [-1]]
    for t in range(1, T):
        _, fed = local(name, arrays, shares("free", mask))
        arrays["y"][t - 1, 0] = fed[t + 1]
    own = shares("free", mask)
    of, _ = local(name, arrays, own)
    free, teacher = (flat(name, gradient(name, mode, arrays, mask)) for mode in ("free", "teacher"))
    assert close(paths(of, own), free - teacher)


def both_whole(of, own):
    """Paths that pass two outputs are counted twice."""
    (_, fed), (_, _, o) = adjoints(of, own), rates(of, own)
    return sum(own[t] * (fed[t] @ o[t - 1]) for t in of.steps[1:])


def both_detached(of, own):
    """Paths that pass two outputs are forgotten."""
    (state, _), (_, o, _) = adjoints(of, none(of)), detached(of)
    return sum(own[t] * ((of.b[t] + state[t] @ of.F[t]) @ o[t - 1]) for t in of.steps[1:])


@pytest.mark.parametrize("misprint", [both_whole, both_detached])
@pytest.mark.parametrize("name", CELLS)
def test_a_misprint_is_seen(name, misprint):
    arrays, mask = drawn(name, 4, 0)
    own = shares("free", mask)
    of, _ = local(name, arrays, own)
    wanted = flat(name, gradient(name, "free", arrays, mask))
    _, _, g_det = detached(of)
    assert close(g_det + paths(of, own), wanted)
    assert not close(g_det + misprint(of, own), wanted)
