"""T4: norms of products and of terms against powers of ρ, and scaling by eigenvalues, on catalogue cells."""

import numpy as np
import pytest
from cells_for_tests import draw
from hypothesis import given, settings
from hypothesis import strategies as st
from steps_for_tests import close, direct, kernel_of, product, steps_of

from bptt_verify.analysis import lag_profile
from bptt_verify.cells import CATALOGUE

ROUNDING = 1 + 1e-10
sizes = st.fixed_dictionaries({word: st.integers(1, 3) for word in "dnmq"} | {"v": st.integers(2, 4)})
seeds = st.integers(0, 2**32 - 1)
scales = st.sampled_from([0.2, 0.5, 1.0, 3.0])


def norm(matrix):
    return np.linalg.norm(np.atleast_2d(matrix), 2)


def pairs(T):
    return [(t, i) for t in range(1, T + 1) for i in range(1, t + 1)]


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(list(CATALOGUE)), st.integers(1, 8), sizes, scales, seeds)
def test_products_and_terms_are_bounded_by_powers(name, T, sizes, scale, seed):
    rec = CATALOGUE[name]
    arrays = draw(rec, np.random.default_rng(seed), T, 1, sizes, scale)
    steps = steps_of(rec, arrays)
    c = direct(rec, arrays, kernel_of(name).forward(**arrays).outputs)
    bound = max(norm(J) for J in steps.J[1:])
    A = steps.A[next(iter(rec.params))]
    for t, i in pairs(T):
        whole = product(steps.J, t, i + 1)
        assert norm(whole) <= bound ** (t - i) * ROUNDING
        assert norm(c[t] @ whole @ A[i]) <= norm(c[t]) * bound ** (t - i) * norm(A[i]) * ROUNDING


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(["elman", "elman_relu", "elman_charlm", "linear"]),
    st.integers(1, 8),
    sizes,
    scales,
    seeds,
)
def test_where_slopes_are_at_most_1_the_bound_is_the_norm_of_the_recurrent_matrix(
    name, T, sizes, scale, seed
):
    rec = CATALOGUE[name]
    arrays = draw(rec, np.random.default_rng(seed), T, 1, sizes, scale)
    steps = steps_of(rec, arrays)
    for t, i in pairs(T):
        assert norm(product(steps.J, t, i + 1)) <= norm(arrays["W_hh"]) ** (t - i) * ROUNDING


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 8), st.integers(1, 4), scales, seeds)
def test_an_eigenvector_is_scaled_by_a_power_of_its_eigenvalue(T, n, scale, seed):
    """The gradient of h_0 from a last loss that is v; μ may be complex, since the kernel is analytic."""
    W = scale * np.random.default_rng(seed).normal(size=(n, n))
    last = np.zeros((T, 1))
    last[-1] = 1.0
    given = {
        "x": np.zeros((T, 1, 1)),
        "y": np.full((T, 1, 1), -1.0),
        "W_hx": np.zeros((n, 1)),
        "weights": last,
    }
    for μ, v in zip(*(a.T for a in np.linalg.eig(W.T)), strict=True):
        gradient = kernel_of("linear").loss_and_grad(**given, W_hh=W, W_qh=v[None])[1]["h0"][0]
        assert close(gradient, μ**T * v, norm(W) ** T)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(list(CATALOGUE)), st.integers(1, 8), sizes, seeds)
def test_the_lag_profile_reports_these_terms(name, T, sizes, seed):
    rec = CATALOGUE[name]
    arrays = draw(rec, np.random.default_rng(seed), T, 1, sizes, scale=0.5)
    steps = steps_of(rec, arrays)
    c = direct(rec, arrays, kernel_of(name).forward(**arrays).outputs)
    profile = lag_profile(rec, **arrays)
    assert profile.growth.bound == pytest.approx(max(norm(J) for J in steps.J[1:]), rel=1e-10)
    for block, found in profile.terms.items():
        wanted = np.zeros((T, T))
        for t, i in pairs(T):
            wanted[t - 1, i - 1] = norm(c[t] @ product(steps.J, t, i + 1) @ steps.A[block][i])
        assert close(found, wanted, wanted)


def test_one_factor_too_few_is_seen():
    """ρ^(t-i-1) is no bound: with one factor, and ρ > 1, the norm itself is ρ."""
    arrays = draw(CATALOGUE["linear"], np.random.default_rng(0), 3, 1, {"d": 2, "n": 3, "q": 2}, 2.0)
    J = steps_of(CATALOGUE["linear"], arrays).J
    assert norm(product(J, 2, 2)) > max(norm(j) for j in J[1:]) ** 0 * ROUNDING
