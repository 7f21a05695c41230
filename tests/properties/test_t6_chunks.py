"""T6: gated sums and chunks, summed term by term, against generated kernels and the gated adjoint program."""

from functools import cache

import numpy as np
import pytest
from gates_for_tests import (
    adjoint,
    backward,
    blocks,
    drawn,
    error,
    forward,
    gated,
    names,
    scale_of,
    seeds,
    sized,
    sizes,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from steps_for_tests import close, kernel_of, product

from bptt_verify.cells import CATALOGUE
from bptt_verify.codegen import generate
from bptt_verify.estimators import Chunks, Full, Randomized, Window, gates, kept

kernel = cache(lambda name, estimator: generate(CATALOGUE[name], estimator=estimator))
chunkings = st.integers(1, 5).flatmap(lambda k1: st.builds(Chunks, st.just(k1), st.integers(k1, 9)))
numbers = st.sampled_from([0.0, 1.0, 2.0, -1.0, 0.5])


def masked(J, A, c, keep):
    """The terms of the sum that are kept."""
    steps = range(1, len(c))
    terms = [c[t] @ product(J, t, i + 1) @ A[i] for t in steps for i in range(1, t + 1) if keep[t - 1, i - 1]]
    return sum(terms, np.zeros(A[1].shape[1]))


def by_chunks(J, A, c, k1, k2):
    """Σ_i μ_iᵀ A_i of every chunk, each run back from its end."""
    T, total = len(c) - 1, 0.0
    for a in range(1, T + 1, k1):
        e, far = min(a + k1 - 1, T), max(1, a + k1 - k2)
        mu = c[e]
        total = total + mu @ A[e]
        for t in range(e - 1, far - 1, -1):
            mu = J[t + 1].T @ mu + (c[t] if t >= a else 0)
            total = total + mu @ A[t]
    return total


@settings(deadline=None, max_examples=50)
@given(st.data(), names, st.integers(1, 8), st.integers(1, 2), sizes, seeds)
def test_all_sums_with_gates_are_the_gradient_of_a_gated_kernel(data, name, T, B, sizes, seed):
    """Forwards, backwards, term by term, and full plus the exact error; any real gates."""
    arrays, parts = drawn(name, T, B, sizes, seed)
    block = data.draw(blocks(name))
    xi = np.array(data.draw(st.lists(numbers, min_size=T, max_size=T)))
    gradient = kernel(name, Randomized(0.5)).loss_and_grad(**arrays, xi=xi)[1]
    numbered = np.concatenate([[0.0], xi])
    scale = scale_of(parts, block, numbered)

    def in_full(J, A, c, xi):
        return gated(J, A, c, np.ones_like(xi)) + error(J, A, c, xi)

    for side in (gated, backward, forward, in_full):
        found = sum(side(steps.J, steps.A[block], c, numbered) for steps, c in parts)
        assert close(found, gradient[block].ravel(), scale)


@settings(deadline=None, max_examples=40)
@given(st.data(), names, st.integers(1, 8), sizes, seeds)
def test_the_first_gate_gates_the_initial_states_alone(data, name, T, sizes, seed):
    arrays, ((steps, c),) = drawn(name, T, 1, sizes, seed)
    xi = np.array([0.0, *data.draw(st.lists(numbers, min_size=T, max_size=T))])
    gradient = kernel(name, Randomized(0.5)).loss_and_grad(**arrays, xi=xi[1:])[1]
    wanted = np.concatenate([gradient[f"{s}0"][0] for s in CATALOGUE[name].carried])
    found = xi[1] * (adjoint(steps.J, c, xi)[1] @ steps.J[1])
    bounds, sizes_of_c = sized(steps, c)
    scale = adjoint(bounds.J, sizes_of_c, np.maximum(1, np.abs(xi)))[1] @ bounds.J[1]
    assert close(found, wanted, 2 * scale)
    other = kernel(name, Randomized(0.5)).loss_and_grad(**arrays, xi=np.array([3.0, *xi[2:]]))[1]
    assert all(np.array_equal(gradient[p], other[p]) for p in CATALOGUE[name].params)


@settings(deadline=None, max_examples=50)
@given(st.data(), names, st.integers(1, 8), st.integers(1, 2), chunkings, sizes, seeds)
def test_chunks_are_the_gradient_of_their_kernel(data, name, T, B, chunks, sizes, seed):
    arrays, parts = drawn(name, T, B, sizes, seed)
    block = data.draw(blocks(name))
    gradient = kernel(name, chunks).loss_and_grad(**arrays)[1][block].ravel()
    scale = scale_of(parts, block, np.ones(T + 1))
    keep = kept(chunks, T)
    term_by_term = sum(masked(steps.J, steps.A[block], c, keep) for steps, c in parts)
    run_back = sum(by_chunks(steps.J, steps.A[block], c, chunks.k1, chunks.k2) for steps, c in parts)
    assert close(term_by_term, gradient, scale)
    assert close(run_back, gradient, scale)


@settings(deadline=None, max_examples=40)
@given(names, st.integers(1, 8), chunkings, sizes, seeds)
def test_the_gradients_of_the_initial_states_by_chunks(name, T, chunks, sizes, seed):
    """The losses of the chunks that run back to the start are kept."""
    arrays, ((steps, c),) = drawn(name, T, 1, sizes, seed)
    gradient = kernel(name, chunks).loss_and_grad(**arrays)[1]
    first = [t for t in range(1, T + 1) if chunks.k1 * -(-t // chunks.k1) <= chunks.k2]
    found = sum((c[t] @ product(steps.J, t, 1) for t in first), np.zeros(len(steps.h[0])))
    bounds, sizes_of_c = sized(steps, c)
    scale = sum(sizes_of_c[t] @ product(bounds.J, t, 1) for t in range(1, T + 1))
    assert close(found, np.concatenate([gradient[f"{s}0"][0] for s in CATALOGUE[name].carried]), scale)


@settings(deadline=None, max_examples=40)
@given(names, st.integers(1, 8), st.integers(1, 9), sizes, seeds)
def test_laws_of_chunks(name, T, k, sizes, seed):
    """Chunks(k, k) is its gates; Chunks(1, k) is Window(k); far enough back is Full."""
    arrays, _ = drawn(name, T, 1, sizes, seed)
    full = kernel_of(name).loss_and_grad(**arrays)[1]
    far = k * -(-T // k)
    same = {
        Chunks(k, k): kernel(name, Randomized(0.5)).loss_and_grad(**arrays, xi=gates(Chunks(k, k), T))[1],
        Chunks(1, k): kernel(name, Window(k)).loss_and_grad(**arrays)[1],
        Chunks(k, far): full,
    }
    for chunks, wanted in same.items():
        found = kernel(name, chunks).loss_and_grad(**arrays)[1]
        for block in full:
            scale = max(1.0, np.abs(full[block]).max(initial=0.0), np.abs(wanted[block]).max(initial=0.0))
            assert close(found[block], wanted[block], scale)


@pytest.mark.parametrize("T", range(1, 9))
def test_every_loss_counts_once(T):
    for k1 in range(1, 10):
        for k2 in range(k1, 10):
            keep = kept(Chunks(k1, k2), T)
            assert keep.diagonal().all() and not np.triu(keep, 1).any()
    assert np.array_equal(kept(Full(), T), np.tri(T, dtype=bool))


def scaled(xi, matrices):
    """Each times the gate of its step."""
    return [None, *(x * m for x, m in zip(xi[1:], matrices[1:], strict=True))]


MISPRINTS = {
    "the gate of the step itself": lambda J, A, c, xi: backward(J, A, c, [0.0, 0.0, *xi[1:-1]]),
    "gated A": lambda J, A, c, xi: backward(J, scaled(xi, A), c, xi),
    "gated c": lambda J, A, c, xi: backward(J, A, scaled(xi, c), xi),
    "no gates": lambda J, A, c, xi: backward(J, A, c, np.ones_like(xi)),
    "the error twice": lambda J, A, c, xi: backward(J, A, c, xi) + error(J, A, c, xi),
}


@pytest.mark.parametrize("misprint", MISPRINTS.values(), ids=MISPRINTS)
@pytest.mark.parametrize("name", ["elman", "gru", "lstm"])
def test_a_misprint_is_seen(name, misprint):
    arrays, ((steps, c),) = drawn(name, 4, 1, {"d": 2, "n": 3, "m": 2, "q": 2, "v": 3}, 0)
    block, xi = next(iter(CATALOGUE[name].params)), np.array([0.0, 1.5, 0.0, 2.0, 0.5])
    gradient = kernel(name, Randomized(0.5)).loss_and_grad(**arrays, xi=xi[1:])[1][block].ravel()
    assert close(backward(steps.J, steps.A[block], c, xi), gradient, np.abs(gradient).max())
    assert not close(misprint(steps.J, steps.A[block], c, xi), gradient, np.abs(gradient).max())
