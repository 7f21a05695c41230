"""T7: kernels with random gates: every outcome, their exact mean, and their exact variance."""

from functools import cache
from itertools import product as outcomes

import numpy as np
import pytest
from gates_for_tests import adjoint, backward, blocks, drawn, gated, names, scale_of, seeds, sized, sizes
from hypothesis import given, settings
from hypothesis import strategies as st
from steps_for_tests import close, kernel_of, product

from bptt_verify.cells import CATALOGUE
from bptt_verify.codegen import generate
from bptt_verify.estimators import Randomized

kernel = cache(lambda name, own: generate(CATALOGUE[name], estimator=Randomized(0.5, per_sequence=own)))
chances = st.sampled_from([0.5, 0.25, 0.75, 0.9, 1.0])


def schedules(T):
    return st.lists(chances, min_size=T, max_size=T).map(np.array)


def laws(pi):
    """Every outcome of the gates, with its probability."""
    for opened in outcomes((0.0, 1.0), repeat=pi.size):
        o = np.reshape(opened, pi.shape)
        probability = np.prod(np.where(o == 1, pi, 1 - pi))
        if probability:
            yield probability, o / pi


def enumerated(name, arrays, pi):
    """The exact mean and second moment of all gradients of a kernel, and the outcomes."""
    mean, second = {}, {}
    for probability, xi in laws(pi):
        gradient = kernel(name, pi.ndim == 2).loss_and_grad(**arrays, xi=xi)[1]
        for block, g in gradient.items():
            mean[block] = mean.get(block, 0.0) + probability * g
            second[block] = second.get(block, 0.0) + probability * g**2
    return mean, second


def largest(parts, block, pi):
    """A scale for rounding: the sum of absolute values with every gate open."""
    return scale_of(parts, block, np.array([1.0, *1 / pi]))


def moments(J, c, pi):
    """Λ_T = c cᵀ; Λ_{t-1} = c cᵀ + c mᵀ J + Jᵀ m cᵀ + Jᵀ Λ_t J / π_t, where m is the full adjoint λ_t."""
    T = len(c) - 1
    full = adjoint(J, c, np.ones(T + 1))
    found = {T: np.outer(c[T], c[T])}
    for t in range(T, 1, -1):
        cross = np.outer(c[t - 1], full[t] @ J[t])
        back = J[t].T @ found[t] @ J[t] / pi[t - 1]
        found[t - 1] = np.outer(c[t - 1], c[t - 1]) + cross + cross.T + back
    return found


def variance(J, A, c, pi):
    """The diagonal of Σ_{t=2}^{T} (1/π_t - 1) G_{t-1}ᵀ J_tᵀ Λ_t J_t G_{t-1}, with G = ∂h/∂w."""
    found, rate, second = np.zeros(A[1].shape[1]), A[1], moments(J, c, pi)
    for t in range(2, len(c)):
        arrives = J[t] @ rate
        found = found + (1 / pi[t - 1] - 1) * np.einsum("ik,ij,jk->k", arrives, second[t], arrives)
        rate = A[t] + arrives
    return found


@settings(deadline=None, max_examples=40)
@given(st.data(), names, st.integers(1, 8), st.integers(1, 2), sizes, seeds)
def test_at_every_outcome_a_kernel_is_the_gated_sum(data, name, T, B, sizes, seed):
    """The outcome is drawn as data, so that a failure has the fewest open gates."""
    arrays, parts = drawn(name, T, B, sizes, seed)
    block = data.draw(blocks(name))
    pi = data.draw(schedules(T))
    opened = np.array(data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=T, max_size=T)))
    gradient = kernel(name, False).loss_and_grad(**arrays, xi=opened / pi)[1][block].ravel()
    xi = np.array([0.0, *opened / pi])
    for side in (gated, backward):
        found = sum(side(steps.J, steps.A[block], c, xi) for steps, c in parts)
        assert close(found, gradient, largest(parts, block, pi))


@settings(deadline=None, max_examples=20)
@given(st.data(), names, st.integers(1, 8), st.integers(1, 2), sizes, seeds)
def test_the_mean_over_all_outcomes_is_the_full_gradient(data, name, T, B, sizes, seed):
    arrays, parts = drawn(name, T, B, sizes, seed)
    pi = data.draw(schedules(T))
    mean, _ = enumerated(name, arrays, pi)
    full = kernel_of(name).loss_and_grad(**arrays)[1]
    assert mean.keys() == full.keys()
    for block in CATALOGUE[name].params:
        scale = largest(parts, block, pi) if block in parts[0][0].A else np.abs(full[block])
        assert close(mean[block], full[block], np.maximum(np.max(scale), np.abs(full[block]).max()))
    for state in CATALOGUE[name].carried:
        largest_open = kernel(name, False).loss_and_grad(**arrays, xi=1 / pi)[1][f"{state}0"]
        scale = 1 + np.abs(full[f"{state}0"]).max() + np.abs(largest_open).max()
        assert close(mean[f"{state}0"], full[f"{state}0"], scale)


@settings(deadline=None, max_examples=20)
@given(st.data(), names, st.integers(1, 8), sizes, seeds)
def test_the_variance_over_all_outcomes_is_that_of_the_formula(data, name, T, sizes, seed):
    arrays, parts = drawn(name, T, 1, sizes, seed)
    ((steps, c),) = parts
    pi = data.draw(schedules(T))
    mean, second = enumerated(name, arrays, pi)
    block = data.draw(blocks(name))
    found = (second[block] - mean[block] ** 2).ravel()
    scale = largest(parts, block, pi) ** 2
    assert close(found, variance(steps.J, steps.A[block], c, pi), scale)
    initial = np.concatenate([second[f"{s}0"][0] for s in CATALOGUE[name].carried])
    moment = moments(steps.J, c, pi)[1]
    bounds, sizes_of_c = sized(steps, c)
    largest_initial = adjoint(bounds.J, sizes_of_c, np.array([1.0, *1 / pi]))[1] @ bounds.J[1] / pi[0]
    assert close(initial, np.diag(steps.J[1].T @ moment @ steps.J[1]) / pi[0], largest_initial**2)


@settings(deadline=None, max_examples=15)
@given(st.data(), names, st.integers(1, 3), sizes, seeds)
def test_with_gates_for_each_sequence_the_variances_add(data, name, T, sizes, seed):
    arrays, parts = drawn(name, T, 2, sizes, seed)
    pi = data.draw(schedules(T))
    block = data.draw(blocks(name))
    mean, second = enumerated(name, arrays, np.stack([pi, pi], axis=1))
    full = kernel_of(name).loss_and_grad(**arrays)[1][block]
    scale = largest(parts, block, pi)
    assert close(mean[block].ravel(), full.ravel(), scale)
    wanted = sum(variance(steps.J, steps.A[block], c, pi) for steps, c in parts)
    assert close((second[block] - mean[block] ** 2).ravel(), wanted, scale**2)


@settings(deadline=None, max_examples=30)
@given(names, st.integers(1, 8), chances, sizes, seeds)
def test_one_random_step_from_the_exact_derivative(name, T, pi, sizes, seed):
    _, ((steps, _),) = drawn(name, T, 1, sizes, seed)
    A = steps.A[next(iter(CATALOGUE[name].params))]
    rates = [0 * A[1]]
    for t in range(1, T + 1):
        rates.append(A[t] + steps.J[t] @ rates[-1])
    carried = steps.J[T] @ rates[T - 1]
    mean = pi * (A[T] + carried / pi) + (1 - pi) * A[T]
    assert close(mean, rates[T], np.abs(A[T]) + np.abs(carried))


@settings(deadline=None, max_examples=30)
@given(st.data(), names, st.sampled_from([0.25, 0.5, 0.75]), sizes, seeds)
def test_one_gate_for_all_steps_is_biased_by_what_is_claimed(data, name, pi, sizes, seed):
    """At T = 3 by (1/π - 1) c_3ᵀ J_3 J_2 A_1."""
    arrays, parts = drawn(name, 3, 1, sizes, seed)
    ((steps, c),) = parts
    block = data.draw(blocks(name))
    shut, opened = (kernel(name, False).loss_and_grad(**arrays, xi=np.full(3, x))[1] for x in (0.0, 1 / pi))
    bias = (1 - pi) * shut[block] + pi * opened[block] - kernel_of(name).loss_and_grad(**arrays)[1][block]
    wanted = (1 / pi - 1) * (c[3] @ product(steps.J, 3, 2) @ steps.A[block][1])
    assert close(bias.ravel(), wanted, largest(parts, block, np.full(3, pi)))


MISPRINTS = {
    "1/π forgotten": lambda xi, pi: xi * pi,
    "1/π on closed gates": lambda xi, pi: (1 - xi * pi) / pi,
    "π of the step before": lambda xi, pi: xi * pi / np.roll(pi, 1),
    "1/π twice": lambda xi, pi: xi / pi,
    "one gate for all steps": lambda xi, pi: np.full_like(xi, xi[0]),
    "never open": lambda xi, pi: 0 * xi,
}


@pytest.mark.parametrize("misprint", MISPRINTS.values(), ids=MISPRINTS)
@pytest.mark.parametrize("name", ["elman", "gru", "lstm"])
def test_a_misprint_is_seen(name, misprint):
    pi = np.array([0.4, 0.5, 0.7, 0.6])
    arrays, _ = drawn(name, 4, 1, {"d": 2, "n": 3, "m": 2, "q": 2, "v": 3}, 0)
    block = next(iter(CATALOGUE[name].params))
    full = kernel_of(name).loss_and_grad(**arrays)[1][block]

    def mean(gates):
        run = kernel(name, False).loss_and_grad
        return sum(p * run(**arrays, xi=gates(xi, pi))[1][block] for p, xi in laws(pi))

    assert close(mean(lambda xi, pi: xi), full, np.abs(full))
    assert not close(mean(misprint), full, np.abs(full))


@pytest.mark.parametrize("name", ["elman", "gru", "lstm"])
def test_a_wrong_variance_is_seen(name):
    """With 1/π_{t-1} for 1/π_t, and without the part of the full adjoint."""
    pi = np.array([0.4, 0.5, 0.7, 0.6])
    arrays, ((steps, c),) = drawn(name, 4, 1, {"d": 2, "n": 3, "m": 2, "q": 2, "v": 3}, 0)
    block = next(iter(CATALOGUE[name].params))
    mean, second = enumerated(name, arrays, pi)
    wanted = (second[block] - mean[block] ** 2).ravel()
    assert close(variance(steps.J, steps.A[block], c, pi), wanted, wanted)
    assert not close(variance(steps.J, steps.A[block], c, np.roll(pi, 1)), wanted, wanted)
    alone = [None, *(0 * x for x in c[1:-1]), c[-1]]
    assert not close(variance(steps.J, steps.A[block], alone, pi), wanted, wanted)
