"""T1: ∂h_t/∂w as a sum of ordered products, against forward mode of generated kernels and complex step."""

import numpy as np
import pytest
from cells_for_tests import draw
from hypothesis import given, settings
from hypothesis import strategies as st
from steps_for_tests import absolute, close, kernel_of, product, steps_of

from bptt_verify.cells import CATALOGUE

STEP = 1e-30
sizes = st.fixed_dictionaries({word: st.integers(1, 3) for word in "dnmq"} | {"v": st.integers(2, 4)})


def unrolled(J, A, t):
    """A_t + Σ_{i=1}^{t-1} (J_t … J_{i+1}) A_i."""
    return A[t] + sum(product(J, t, i + 1) @ A[i] for i in range(1, t))


def drawn(name, T, sizes, seed):
    rng = np.random.default_rng(seed)
    return draw(CATALOGUE[name], rng, T, 1, sizes, scale=0.5), rng


def moved(name, arrays, block, direction):
    """∂h_t/∂block in a direction, (T, n): by forward mode of the kernel, and by complex step."""
    rec = CATALOGUE[name]
    tangents = kernel_of(name).jvp(arrays, {block: direction})[2]
    forward = np.hstack([tangents[s][:, 0] for s in rec.carried])
    step = steps_of(rec, arrays | {block: arrays[block] + 1j * STEP * direction})
    return forward, np.imag(step.h[1:]) / STEP


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(list(CATALOGUE)), st.integers(1, 8), sizes, st.integers(0, 2**32 - 1))
def test_the_sum_of_products_is_the_sensitivity(data, name, T, sizes, seed):
    arrays, rng = drawn(name, T, sizes, seed)
    block = data.draw(st.sampled_from(list(CATALOGUE[name].params)))
    direction = rng.normal(size=arrays[block].shape)
    steps = steps_of(CATALOGUE[name], arrays)
    A = [None, *(a @ direction.ravel() for a in steps.A[block][1:])]
    found = np.array([unrolled(steps.J, A, t) for t in range(1, T + 1)])
    scale = np.array([unrolled(absolute(steps.J), absolute(A), t) for t in range(1, T + 1)])
    for wanted in moved(name, arrays, block, direction):
        assert close(found, wanted, scale)


@settings(deadline=None, max_examples=30)
@given(st.data(), st.sampled_from(list(CATALOGUE)), st.integers(1, 8), sizes, st.integers(0, 2**32 - 1))
def test_the_product_of_all_jacobians_is_the_sensitivity_to_the_initial_state(data, name, T, sizes, seed):
    arrays, rng = drawn(name, T, sizes, seed)
    rec = CATALOGUE[name]
    state = data.draw(st.sampled_from(list(rec.carried)))
    direction = rng.normal(size=arrays[f"{state}0"].shape)
    whole = np.concatenate([direction[0] if s == state else 0 * arrays[f"{s}0"][0] for s in rec.carried])
    steps = steps_of(rec, arrays)
    found = np.array([product(steps.J, t, 1) @ whole for t in range(1, T + 1)])
    scale = np.array([product(absolute(steps.J), t, 1) @ np.abs(whole) for t in range(1, T + 1)])
    for wanted in moved(name, arrays, f"{state}0", direction):
        assert close(found, wanted, scale)


MISPRINTS = {
    "the product starts at i": lambda J, A, t: A[t] + sum(product(J, t, i) @ A[i] for i in range(1, t)),
    "the order is reversed": lambda J, A, t: (
        A[t] + sum(product([None, *(j.T for j in J[1:])], t, i + 1).T @ A[i] for i in range(1, t))
    ),
    "the sum ends at t": lambda J, A, t: A[t] + sum(product(J, t, i + 1) @ A[i] for i in range(1, t + 1)),
}


@pytest.mark.parametrize("misprint", MISPRINTS.values(), ids=MISPRINTS)
@pytest.mark.parametrize("name", ["elman", "gru", "lstm"])  # no two of their Jacobians are equal
def test_a_misprint_is_seen(name, misprint):
    arrays, rng = drawn(name, 4, {"d": 2, "n": 3, "m": 2, "q": 2, "v": 3}, 0)
    block = next(iter(CATALOGUE[name].params))
    direction = rng.normal(size=arrays[block].shape)
    steps = steps_of(CATALOGUE[name], arrays)
    A = [None, *(a @ direction.ravel() for a in steps.A[block][1:])]
    right, wrong = unrolled(steps.J, A, 4), misprint(steps.J, A, 4)
    assert close(right, moved(name, arrays, block, direction)[0][3], right)
    assert not close(wrong, right, right)
