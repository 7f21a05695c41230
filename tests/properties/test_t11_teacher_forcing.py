"""T11: rates and adjoints of what is fed, from plain functions of one step, against generated kernels."""

import numpy as np
import pytest
from feedback_for_tests import (
    CELLS,
    MODES,
    adjoints,
    backward,
    drawn,
    flat,
    forward,
    gradient,
    kernel,
    local,
    rates,
    shares,
)
from hypothesis import given, settings
from hypothesis import strategies as st

names, modes = st.sampled_from(list(CELLS)), st.sampled_from(MODES)
lengths, seeds = st.integers(1, 8), st.integers(0, 2**32 - 1)


def close(found, wanted):
    assert np.shape(found) == np.shape(wanted)
    scale = max(1.0, np.abs(wanted).max(initial=0.0))
    return bool(np.abs(found - wanted).max(initial=0.0) <= 1e-9 * scale)


@settings(deadline=None, max_examples=40)
@given(names, modes, lengths, seeds)
def test_both_sums_are_the_gradient_of_a_kernel(name, mode, T, seed):
    arrays, mask = drawn(name, T, seed)
    own = shares(mode, mask)
    of, _ = local(name, arrays, own)
    wanted = flat(name, gradient(name, mode, arrays, mask))
    assert close(forward(of, own), wanted)
    assert close(backward(of, own), wanted)


@settings(deadline=None, max_examples=30)
@given(names, modes, lengths, seeds)
def test_the_gradients_of_what_is_given_at_the_start(name, mode, T, seed):
    arrays, mask = drawn(name, T, seed)
    own = shares(mode, mask)
    of, _ = local(name, arrays, own)
    state, fed = adjoints(of, own)
    grads = gradient(name, mode, arrays, mask)
    (u,) = CELLS[name].feedback
    assert close(fed[1], grads[f"{u}0"][0])
    if CELLS[name].states:
        wanted = np.concatenate([grads[f"{x}0"][0] for x in CELLS[name].states])
        assert close(of.start + state[1] @ of.H[1], wanted)


@settings(deadline=None, max_examples=30)
@given(names, lengths, seeds)
def test_under_teacher_forcing_nothing_passes_the_output(name, T, seed):
    arrays, mask = drawn(name, T, seed)
    own = shares("teacher", mask)
    of, _ = local(name, arrays, own)
    rate, state, total = 0 * of.A[1], 0 * of.c[1], 0.0
    for t in of.steps:
        rate = of.A[t] + of.H[t] @ rate
        total = total + of.e[t] + of.c[t] @ rate
    wanted = flat(name, gradient(name, "teacher", arrays, mask))
    assert close(total, wanted)
    total = sum(of.e[t] for t in of.steps)
    for t in reversed(of.steps):
        state = of.c[t] + (state @ of.H[t + 1] if t + 1 in of.steps else 0)
        total = total + state @ of.A[t]
    assert close(total, wanted)


@settings(deadline=None, max_examples=20)
@given(lengths, seeds)
def test_steps_decouple_where_the_output_is_the_only_recurrence(T, seed):
    arrays, mask = drawn("jordan", T, seed)
    of, _ = local("jordan", arrays, shares("teacher", mask))
    assert not any(of.H[t].any() for t in of.steps)
    found = sum(of.e[t] + of.c[t] @ of.A[t] for t in of.steps)
    assert close(found, flat("jordan", gradient("jordan", "teacher", arrays, mask)))


@settings(deadline=None, max_examples=20)
@given(names, lengths, seeds)
def test_a_mask_between_the_two_and_its_first_row(name, T, seed):
    """Zeros are free running, ones are teacher forcing, and the first row is ignored."""
    arrays, mask = drawn(name, T, seed)
    for value, mode in ((0, "free"), (1, "teacher")):
        for first in (0.0, 1.0):
            given_mask = np.full(T, float(value))
            given_mask[0] = first
            found = kernel(name, "scheduled").loss_and_grad(**arrays, mask=given_mask)[1]
            wanted = gradient(name, mode, arrays, mask)
            assert all(close(found[x], wanted[x]) for x in wanted)


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([x for x in CELLS if x != "reads_everything"]), modes, lengths, seeds)
def test_one_jacobian_where_the_output_is_a_function_of_the_state(name, mode, T, seed):
    arrays, mask = drawn(name, T, seed)
    own = shares(mode, mask)
    of, _ = local(name, arrays, own)
    rate, (wanted, *_) = 0 * of.A[1], rates(of, own)
    for t in of.steps:
        through = own[t] * of.F[t] if t > 1 else 0 * of.F[t]
        jacobian = of.H[t] + (through @ of.G[t - 1] if t > 1 else 0)
        partial = of.A[t] + (through @ of.B[t - 1] if t > 1 else 0)
        rate = partial + jacobian @ rate
        assert close(rate, wanted[t])


def shifted(own):
    """The share of the step itself where that of the next one is right."""
    return [None, *own[1:2], *own[1:-1]]


MISPRINTS = {
    "the mask of the step itself": lambda of, own: backward(of, shifted(own)),
    "no mask": lambda of, own: backward(of, [None] + [1] * (len(own) - 1)),
    "the path is forgotten": lambda of, own: backward(of, [None] + [0] * (len(own) - 1)),
    "direct parts alone": lambda of, own: sum(of.e[t] + of.c[t] @ of.A[t] for t in of.steps),
}


@pytest.mark.parametrize("misprint", MISPRINTS.values(), ids=MISPRINTS)
@pytest.mark.parametrize("name", CELLS)
def test_a_misprint_is_seen(name, misprint):
    arrays, _ = drawn(name, 5, 0)
    mask = np.array([1, 0, 1, 0, 0])
    own = shares("scheduled", mask)
    of, _ = local(name, arrays, own)
    wanted = flat(name, gradient(name, "scheduled", arrays, mask))
    assert close(backward(of, own), wanted)
    assert not close(misprint(of, own), wanted)
