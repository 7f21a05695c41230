"""T5: the terms of a window, summed forwards, backwards and as full minus tail, against generated kernels."""

from functools import cache

import numpy as np
import pytest
from gates_for_tests import drawn, names, seeds, sized, sizes
from hypothesis import given, settings
from hypothesis import strategies as st
from steps_for_tests import absolute, close, kernel_of, product

from bptt_verify.cells import CATALOGUE
from bptt_verify.codegen import generate
from bptt_verify.estimators import Window

window_kernel = cache(lambda name, tau: generate(CATALOGUE[name], estimator=Window(tau)))


def windowed(J, A, t, tau):
    """Ĝ_t: the last τ terms of the sensitivity."""
    return sum(product(J, t, i + 1) @ A[i] for i in range(max(1, t - tau + 1), t + 1))


def forward(J, A, c, tau):
    """Σ_t c_tᵀ Ĝ_t."""
    return sum(c[t] @ windowed(J, A, t, tau) for t in range(1, len(c)))


def tail(J, A, c, tau):
    """Σ_{t=τ+1}^{T} c_tᵀ Σ_{i=1}^{t-τ} (J_t … J_{i+1}) A_i."""
    terms = [
        c[t] @ product(J, t, i + 1) @ A[i] for t in range(tau + 1, len(c)) for i in range(1, t - tau + 1)
    ]
    return sum(terms, np.zeros(A[1].shape[1]))


def backward(J, A, c, tau):
    """Σ_i λ^τ_iᵀ A_i, where λ^τ_i reads the losses of the next τ steps."""
    last = [min(len(c) - 1, i + tau - 1) for i in range(len(c))]
    adjoint = [sum(product(J, t, i + 1).T @ c[t] for t in range(i, last[i] + 1)) for i in range(1, len(c))]
    return sum(left @ a for left, a in zip(adjoint, A[1:], strict=True))


def stopped(J, A, t, tau):
    """Ĝ_t + (J_t … J_{t-τ+1}) ∂h_{t-τ}/∂w."""
    before = windowed(J, A, t - tau, t) if t > tau else 0 * A[1]
    return windowed(J, A, t, tau) + product(J, t, t - tau + 1) @ before


@settings(deadline=None, max_examples=50)
@given(st.data(), names, st.integers(1, 8), st.integers(1, 2), st.integers(1, 10), sizes, seeds)
def test_both_sums_are_the_gradient_of_a_window_kernel(data, name, T, B, tau, sizes, seed):
    arrays, parts = drawn(name, T, B, sizes, seed)
    block = data.draw(
        st.sampled_from([p for p in CATALOGUE[name].params if not p.startswith(("W_q", "b_q"))])
    )
    gradient = window_kernel(name, tau).loss_and_grad(**arrays)[1][block].ravel()
    scale = sum(forward(bounds.J, bounds.A[block], c, T) for bounds, c in (sized(*p) for p in parts))
    for side in (forward, backward):
        found = sum(side(steps.J, steps.A[block], c, tau) for steps, c in parts)
        assert close(found, gradient, scale)


@settings(deadline=None, max_examples=30)
@given(st.data(), names, st.integers(1, 8), st.integers(1, 10), sizes, seeds)
def test_the_bias_of_a_window_kernel_is_the_tail(data, name, T, tau, sizes, seed):
    arrays, ((steps, c),) = drawn(name, T, 1, sizes, seed)
    block = data.draw(
        st.sampled_from([p for p in CATALOGUE[name].params if not p.startswith(("W_q", "b_q"))])
    )
    full = kernel_of(name).loss_and_grad(**arrays)[1][block].ravel()
    truncated = window_kernel(name, tau).loss_and_grad(**arrays)[1][block].ravel()
    bounds, sizes_of_c = sized(steps, c)
    scale = forward(bounds.J, bounds.A[block], sizes_of_c, T)
    assert close(full - truncated, tail(steps.J, steps.A[block], c, tau), scale)
    if tau >= T:
        assert close(truncated, full, scale)


@settings(deadline=None, max_examples=30)
@given(names, st.integers(1, 8), st.integers(1, 10), sizes, seeds)
def test_the_gradients_of_the_initial_states_keep_the_first_losses(name, T, tau, sizes, seed):
    arrays, ((steps, c),) = drawn(name, T, 1, sizes, seed)
    gradient = window_kernel(name, tau).loss_and_grad(**arrays)[1]
    found = sum(c[t] @ product(steps.J, t, 1) for t in range(1, min(tau, T) + 1))
    bounds, sizes_of_c = sized(steps, c)
    scale = sum(sizes_of_c[t] @ product(bounds.J, t, 1) for t in range(1, T + 1))
    wanted = np.concatenate([gradient[f"{s}0"][0] for s in CATALOGUE[name].carried])
    assert close(found, wanted, scale)


@settings(deadline=None, max_examples=30)
@given(names, st.integers(1, 8), sizes, seeds, st.data())
def test_the_chain_stops_at_an_earlier_sensitivity(name, T, sizes, seed, data):
    _, ((steps, _),) = drawn(name, T, 1, sizes, seed)
    A = steps.A[next(iter(CATALOGUE[name].params))]
    tau = data.draw(st.integers(1, T))
    found, wanted = stopped(steps.J, A, T, tau), windowed(steps.J, A, T, T)
    assert close(found, wanted, windowed(absolute(steps.J), absolute(A), T, T))


@settings(deadline=None, max_examples=30)
@given(names, st.integers(1, 8), st.integers(1, 8), sizes, seeds)
def test_the_tail_is_within_its_bound(name, T, tau, sizes, seed):
    """With the largest ‖J_k‖ and ‖A_k‖ that occur."""
    _, ((steps, c),) = drawn(name, T, 1, sizes, seed)
    A = steps.A[next(iter(CATALOGUE[name].params))]
    rho, alpha = (max(np.linalg.norm(m, 2) for m in matrices[1:]) for matrices in (steps.J, A))
    powers = {t: sum(rho**k for k in range(tau, t)) for t in range(tau + 1, T + 1)}
    bound = sum(np.linalg.norm(c[t]) * alpha * powers[t] for t in powers)
    assert np.linalg.norm(tail(steps.J, A, c, tau)) <= bound * (1 + 1e-10)
    for t, total in powers.items():
        assert np.isclose((1 - rho) * total, rho**tau - rho**t, rtol=0, atol=1e-10 * (1 + rho) * total)


MISPRINTS = {
    "one step too many": lambda J, A, c, tau: forward(J, A, c, tau + 1),
    "one step too few": lambda J, A, c, tau: forward(J, A, c, tau - 1),
    "counted from the end of the sequence": lambda J, A, c, tau: sum(
        c[t] @ product(J, t, i + 1) @ A[i]
        for t in range(1, len(c))
        for i in range(max(1, len(c) - tau), t + 1)
    ),
    "not truncated": lambda J, A, c, tau: forward(J, A, c, len(c)),
    "the tail for the window": tail,
}


@pytest.mark.parametrize("misprint", MISPRINTS.values(), ids=MISPRINTS)
@pytest.mark.parametrize("name", ["elman", "gru", "lstm"])
def test_a_misprint_is_seen(name, misprint):
    arrays, ((steps, c),) = drawn(name, 5, 1, {"d": 2, "n": 3, "m": 2, "q": 2, "v": 3}, 0)
    block = next(iter(CATALOGUE[name].params))
    gradient = window_kernel(name, 2).loss_and_grad(**arrays)[1][block].ravel()
    assert close(forward(steps.J, steps.A[block], c, 2), gradient, np.abs(gradient).max())
    assert not close(misprint(steps.J, steps.A[block], c, 2), gradient, np.abs(gradient).max())
