"""T3: the formulas of the linear RNN in plain NumPy, against the generated kernel of the linear cell."""

import numpy as np
import pytest
from cells_for_tests import draw
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.linalg import matrix_power
from steps_for_tests import close, kernel_of, steps_of

from bptt_verify.cells import linear

sizes = st.fixed_dictionaries({word: st.integers(1, 3) for word in "dnq"})
arguments = (st.integers(1, 8), sizes, st.integers(0, 2**32 - 1))


def drawn(T, sizes, seed):
    return draw(linear, np.random.default_rng(seed), T, 1, sizes)


def by_outputs(arrays):
    """∂L/∂o_t for L = Σ_t ω_t ½ ‖o_t − y_t‖²; index 0 stands before the first step."""
    outputs = kernel_of("linear").forward(**arrays).outputs[:, 0]
    return np.vstack([0 * outputs[:1], arrays["weights"] * (outputs - arrays["y"][:, 0])])


def powers(arrays, g, t):
    """Σ_{i=t}^{T} (W_hhᵀ)^{T-i} W_qhᵀ ∂L/∂o_{T+t-i}."""
    T = len(g) - 1
    back, read = arrays["W_hh"].T, arrays["W_qh"].T
    return sum(matrix_power(back, T - i) @ read @ g[T + t - i] for i in range(t, T + 1))


def recursion(arrays, g):
    """∂L/∂h_T = W_qhᵀ ∂L/∂o_T, ∂L/∂h_t = W_hhᵀ ∂L/∂h_{t+1} + W_qhᵀ ∂L/∂o_t."""
    found = [arrays["W_qh"].T @ g[-1]]
    for t in range(len(g) - 2, 0, -1):
        found.insert(0, arrays["W_hh"].T @ found[0] + arrays["W_qh"].T @ g[t])
    return [None, *found]


def gradients(arrays, g, adjoint, h):
    """The gradients of the three matrices, and of h_0."""
    x, steps = arrays["x"][:, 0], range(1, len(g))
    return {
        "W_qh": sum(np.outer(g[t], h[t]) for t in steps),
        "W_hx": sum(np.outer(adjoint[t], x[t - 1]) for t in steps),
        "W_hh": sum(np.outer(adjoint[t], h[t - 1]) for t in steps),
        "h0": (arrays["W_hh"].T @ adjoint[1])[None],
    }


def absolute(arrays):
    return {k: np.abs(a) for k, a in arrays.items()}


@settings(deadline=None, max_examples=80)
@given(*arguments)
def test_the_powers_are_the_recursion(T, sizes, seed):
    arrays = drawn(T, sizes, seed)
    g = by_outputs(arrays)
    scale = recursion(absolute(arrays), np.abs(g))
    for t, wanted in list(enumerate(recursion(arrays, g)))[1:]:
        assert close(powers(arrays, g, t), wanted, scale[t])


@settings(deadline=None, max_examples=80)
@given(*arguments)
def test_the_gradients_are_those_of_the_kernel(T, sizes, seed):
    arrays = drawn(T, sizes, seed)
    g, h = by_outputs(arrays), steps_of(linear, arrays).h
    adjoint = [None, *(powers(arrays, g, t) for t in range(1, T + 1))]
    sizes_of_h = steps_of(linear, absolute(arrays)).h
    scale = gradients(absolute(arrays), np.abs(g), recursion(absolute(arrays), np.abs(g)), sizes_of_h)
    found = kernel_of("linear").loss_and_grad(**arrays)[1]
    for name, wanted in gradients(arrays, g, adjoint, h).items():
        assert close(found[name], wanted, scale[name]), name


@settings(deadline=None, max_examples=20)
@given(*arguments)
def test_every_jacobian_is_the_recurrent_matrix(T, sizes, seed):
    arrays = drawn(T, sizes, seed)
    assert all(np.array_equal(J, arrays["W_hh"]) for J in steps_of(linear, arrays).J[1:])


def with_term(arrays, g, t, term):
    T = len(g) - 1
    return sum(term(arrays["W_hh"].T, T, t, i) @ arrays["W_qh"].T @ g[T + t - i] for i in range(t, T + 1))


MISPRINTS = {
    "i - t for T - i": lambda back, T, t, i: matrix_power(back, i - t),
    "one power too many": lambda back, T, t, i: matrix_power(back, T - i + 1),
    "transpose forgotten": lambda back, T, t, i: matrix_power(back.T, T - i),
}


@pytest.mark.parametrize("misprint", MISPRINTS.values(), ids=MISPRINTS)
def test_a_misprint_is_seen(misprint):
    arrays = drawn(5, {"d": 2, "n": 3, "q": 2}, 0)
    g = by_outputs(arrays)
    right = powers(arrays, g, 2)
    assert close(right, recursion(arrays, g)[2], right)
    assert not close(with_term(arrays, g, 2, misprint), right, right)
