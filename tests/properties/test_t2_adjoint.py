"""T2: the adjoint recursion, its closed form, and both ways of summing, against generated gradients."""

import numpy as np
import pytest
from cells_for_tests import draw
from hypothesis import given, settings
from hypothesis import strategies as st
from steps_for_tests import Steps, absolute, close, direct, kernel_of, product, sequence, steps_of

from bptt_verify.cells import CATALOGUE
from bptt_verify.codegen import generate
from bptt_verify.language import Input, Param, State, Step, Target, dot, recurrence, squared_error, tanh

sizes = st.fixed_dictionaries({word: st.integers(1, 3) for word in "dnmq"} | {"v": st.integers(2, 4)})
seeds = st.integers(0, 2**32 - 1)


def recursion(J, c):
    """λ_T = c_T, λ_t = c_t + J_{t+1}ᵀ λ_{t+1}."""
    found = list(c)
    for t in range(len(c) - 2, 0, -1):
        found[t] = c[t] + J[t + 1].T @ found[t + 1]
    return found


def closed(J, c):
    """λ_t = Σ_{s=t}^{T} (J_s … J_{t+1})ᵀ c_s."""
    T = len(c) - 1
    return [None, *(sum(product(J, s, t + 1).T @ c[s] for s in range(t, T + 1)) for t in range(1, T + 1))]


def backward(J, A, c):
    """Σ_i λ_iᵀ A_i."""
    return sum(left @ a for left, a in zip(recursion(J, c)[1:], A[1:], strict=True))


def forward(J, A, c):
    """Σ_t c_tᵀ Σ_{i=1}^{t} (J_t … J_{i+1}) A_i."""
    return sum(c[t] @ product(J, t, i + 1) @ A[i] for t in range(1, len(c)) for i in range(1, t + 1))


def sized(steps, c):
    """The same with absolute values, for scales."""
    return Steps(absolute(steps.J), {k: absolute(a) for k, a in steps.A.items()}, steps.h), absolute(c)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(list(CATALOGUE)), st.integers(1, 8), sizes, seeds)
def test_the_recursion_has_its_closed_form(name, T, sizes, seed):
    rec = CATALOGUE[name]
    arrays = draw(rec, np.random.default_rng(seed), T, 1, sizes, scale=0.5)
    steps = steps_of(rec, arrays)
    c = direct(rec, arrays, kernel_of(name).forward(**arrays).outputs)
    bounds = recursion(*(absolute(x) for x in (steps.J, c)))
    for found, wanted, scale in list(zip(recursion(steps.J, c), closed(steps.J, c), bounds, strict=True))[1:]:
        assert close(found, wanted, scale)


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(list(CATALOGUE)), st.integers(1, 8), st.integers(1, 2), sizes, seeds)
def test_both_sums_are_the_gradient(data, name, T, B, sizes, seed):
    """Of a parameter; over a batch it is the sum over the sequences."""
    rec = CATALOGUE[name]
    arrays = draw(rec, np.random.default_rng(seed), T, B, sizes, scale=0.5)
    block = data.draw(st.sampled_from([p for p in rec.params if not p.startswith(("W_q", "b_q"))]))
    gradient = kernel_of(name).loss_and_grad(**arrays)[1][block].ravel()
    whole = {forward: 0.0, backward: 0.0}
    scale = 0.0
    for b in range(B):
        one = sequence(rec, arrays, b)
        steps = steps_of(rec, one)
        c = direct(rec, one, kernel_of(name).forward(**one).outputs)
        for side in whole:
            whole[side] = whole[side] + side(steps.J, steps.A[block], c)
        bounds, sizes_of_c = sized(steps, c)
        scale = scale + backward(bounds.J, bounds.A[block], sizes_of_c)
    for found in whole.values():
        assert close(found, gradient, scale)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(list(CATALOGUE)), st.integers(1, 8), sizes, seeds)
def test_the_gradients_of_the_initial_states_and_of_each_input(name, T, sizes, seed):
    """λ_1ᵀ J_1, and λ_tᵀ ∂f/∂x_t: what only one step reads has one term."""
    rec = CATALOGUE[name]
    arrays = draw(rec, np.random.default_rng(seed), T, 1, sizes, scale=0.5)
    trace, gradient = kernel_of(name).forward(**arrays), kernel_of(name).loss_and_grad(**arrays)[1]
    steps = steps_of(rec, arrays)
    c = direct(rec, arrays, trace.outputs)
    bounds, sizes_of_c = sized(steps, c)
    adjoint, scales = recursion(steps.J, c), recursion(bounds.J, sizes_of_c)
    wanted = np.concatenate([gradient[f"{s}0"][0] for s in rec.carried])
    assert close(adjoint[1] @ steps.J[1], wanted, scales[1] @ bounds.J[1])
    for x in set(rec.inputs) - set(rec.onehot):
        for t in range(1, T + 1):
            found, scale = adjoint[t] @ steps.A[x][t], scales[t] @ bounds.A[x][t]
            assert close(found, gradient[x][t - 1, 0], scale)


@recurrence
def looks_back(
    x=Input("n"), y=Target("n"), h=State("n"), U=Param("n n"), r=Param("n")
):  # the loss reads the new state, the previous one, and a parameter of the cell
    new = tanh(U @ h + r * x)
    return Step(h=new, output=new, loss=squared_error(new, y) + dot(r, h))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 8), st.integers(1, 3), seeds)
def test_losses_that_read_the_previous_state_and_the_parameter(T, n, seed):
    """c_t = a_t + b_{t+1}; ∂L/∂r = Σ_t ∂L_t/∂r + Σ_i λ_iᵀ A_i; ∂L/∂h_0 = b_1ᵀ + λ_1ᵀ J_1."""
    arrays = draw(looks_back, np.random.default_rng(seed), T, 1, {"n": n}, scale=0.5)
    gradient = KERNEL.loss_and_grad(**arrays)[1]
    steps, weights = steps_of(looks_back, arrays), [0.0, *arrays["weights"][:, 0], 0.0]
    b = [w * arrays["r"] for w in weights]  # b[T + 1] is 0: no step follows
    a = [None, *(weights[t] * (steps.h[t] - arrays["y"][t - 1, 0]) for t in range(1, T + 1))]
    c = [None, *(a[t] + b[t + 1] for t in range(1, T + 1))]
    explicit = sum(weights[t] * steps.h[t - 1] for t in range(1, T + 1))
    bounds, sizes_of_c = sized(steps, c)
    scale = backward(bounds.J, bounds.A["r"], sizes_of_c) + np.abs(explicit)
    assert close(explicit + backward(steps.J, steps.A["r"], c), gradient["r"], scale)
    initial = b[1] + recursion(steps.J, c)[1] @ steps.J[1]
    assert close(initial, gradient["h0"][0], np.abs(b[1]) + recursion(bounds.J, sizes_of_c)[1] @ bounds.J[1])


KERNEL = generate(looks_back)


def transposed(matrices):
    return [None if m is None else m.T for m in matrices]


MISPRINTS = {
    "transpose forgotten": lambda J, A, c: backward(transposed(J), A, c),
    "J_t for J_{t+1}": lambda J, A, c: backward([None, None, *J[1:-1]], A, c),
    "c_{t+1} for c_t": lambda J, A, c: backward(J, A, [None, *c[2:], c[-1]]),
    "only the last loss": lambda J, A, c: backward(J, A, [None, *(0 * x for x in c[1:-1]), c[-1]]),
}


@pytest.mark.parametrize("misprint", MISPRINTS.values(), ids=MISPRINTS)
@pytest.mark.parametrize("name", ["elman", "gru", "lstm"])  # no two of their Jacobians are equal
def test_a_misprint_is_seen(name, misprint):
    rec = CATALOGUE[name]
    arrays = draw(rec, np.random.default_rng(0), 4, 1, {"d": 2, "n": 3, "m": 2, "q": 2, "v": 3}, scale=0.5)
    steps = steps_of(rec, arrays)
    c = direct(rec, arrays, kernel_of(name).forward(**arrays).outputs)
    block = next(iter(rec.params))
    gradient = kernel_of(name).loss_and_grad(**arrays)[1][block].ravel()
    assert close(backward(steps.J, steps.A[block], c), gradient, gradient)
    assert not close(misprint(steps.J, steps.A[block], c), gradient, gradient)
