"""Sums with a gate at every step, in plain arrays, and the sequences that they are of."""

import numpy as np
from cells_for_tests import draw
from hypothesis import strategies as st
from steps_for_tests import Steps, absolute, direct, kernel_of, product, sequence, steps_of

from bptt_verify.cells import CATALOGUE

radii = st.sampled_from([0.3, 0.9, 1.0, 1.2])  # spectral radius of the recurrent matrices
sizes = st.fixed_dictionaries(
    {word: st.integers(1, 3) for word in "dnmq"} | {"v": st.integers(2, 4), "radius": radii}
)
seeds = st.integers(0, 2**32 - 1)
names = st.sampled_from(list(CATALOGUE))


def passes(xi, t, i):
    """ξ_t … ξ_{i+1}."""
    return np.prod(xi[i + 1 : t + 1])


def gated(J, A, c, xi):
    """Σ_t c_tᵀ Σ_i (ξ_t … ξ_{i+1}) (J_t … J_{i+1}) A_i."""
    steps = range(1, len(c))
    return sum(
        passes(xi, t, i) * (c[t] @ product(J, t, i + 1) @ A[i]) for t in steps for i in range(1, t + 1)
    )


def adjoint(J, c, xi):
    """λ_T = c_T, λ_t = c_t + ξ_{t+1} J_{t+1}ᵀ λ_{t+1}."""
    found = list(c)
    for t in range(len(c) - 2, 0, -1):
        found[t] = c[t] + xi[t + 1] * (J[t + 1].T @ found[t + 1])
    return found


def backward(J, A, c, xi):
    """Σ_i λ^ξ_iᵀ A_i."""
    return sum(left @ a for left, a in zip(adjoint(J, c, xi)[1:], A[1:], strict=True))


def forward(J, A, c, xi):
    """z_t = A_t + ξ_t J_t z_{t-1}."""
    z, total = 0 * A[1], 0.0
    for t in range(1, len(c)):
        z = A[t] + xi[t] * (J[t] @ z)
        total = total + c[t] @ z
    return total


def error(J, A, c, xi):
    """Σ_{t=2}^{T} (ξ_t - 1) λ^ξ_tᵀ J_t ∂h_{t-1}/∂w."""
    rate, total, left = A[1], np.zeros(A[1].shape[1]), adjoint(J, c, xi)
    for t in range(2, len(c)):
        total = total + (xi[t] - 1) * (left[t] @ J[t] @ rate)
        rate = A[t] + J[t] @ rate
    return total


def drawn(name, T, B, sizes, seed):
    """Arrays, and of each sequence its steps and direct parts."""
    rec = CATALOGUE[name]
    arrays = draw(rec, np.random.default_rng(seed), T, B, sizes, scale=0.5)
    if "radius" in sizes:
        arrays |= {p: scaled(arrays[p], sizes["radius"]) for p, words in rec.params.items() if twice(words)}
    parts = []
    for b in range(B):
        one = sequence(rec, arrays, b)
        parts.append((steps_of(rec, one), direct(rec, one, kernel_of(name).forward(**one).outputs)))
    return arrays, parts


def twice(words):
    """Whether a parameter is a square matrix of one size."""
    return len(words) == 2 and words[0] == words[1]


def scaled(matrix, radius):
    """The same matrix with this spectral radius."""
    return matrix * (radius / np.abs(np.linalg.eigvals(matrix)).max())


def sized(steps, c):
    """The same with absolute values, for scales."""
    return Steps(absolute(steps.J), {k: absolute(a) for k, a in steps.A.items()}, steps.h), absolute(c)


def scale_of(parts, block, xi):
    """What rounding can do to any of the sums."""
    bounds = [sized(*p) for p in parts]
    return sum(gated(steps.J, steps.A[block], c, np.maximum(1, np.abs(xi))) for steps, c in bounds)


def blocks(name):
    """The parameters that only the cell reads."""
    return st.sampled_from([p for p in CATALOGUE[name].params if not p.startswith(("W_q", "b_q"))])
