"""Classic misprints: each has a smallest counterexample, and the derivation of the true formula, with the
misprint in its place, is refused by the kernel at the step where the misprint matters."""

from dataclasses import dataclass
from itertools import product as outcomes

import numpy as np
import pytest
import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims import (
    ball,
    change,
    clip,
    columns,
    detached,
    examples,
    feedback,
    feeding,
    forcing,
    gains,
    walks,
)
from bptt_verify.proof.claims.adjoint_form import ADJOINT, LAMBDA, closed_form, gradient
from bptt_verify.proof.claims.gates import ANY, gradient_of_gates
from bptt_verify.proof.claims.letters import A, J, T, c, earlier, i, k, product, s, t
from bptt_verify.proof.claims.linear import V, W_hh, W_qh, g, gradient_of_matrix, h, left, right
from bptt_verify.proof.claims.misprints import NO_WEIGHT, ascending, biased, misprints
from bptt_verify.proof.claims.randomized import ONE_GATE, RECURSIVE, XI, Z, unbiased, unit
from bptt_verify.proof.claims.unrolled import SENSITIVITY, G, unrolled_at_any_step
from bptt_verify.proof.claims.windows import WINDOW, tau
from bptt_verify.proof.counterexamples import counterexample
from bptt_verify.proof.evaluation import Model, evaluated, integers
from bptt_verify.proof.kernel import (
    Case,
    Definition,
    Letter,
    Mean,
    Norm,
    Ordered,
    Total,
    Trace,
    Transpose,
    assume,
    at_least,
    between,
    distribute,
    empty_product,
    empty_sum,
    equation,
    first_term,
    independence,
    induction,
    last_term,
    one_factor,
    one_term,
    peel_newest,
    peel_oldest,
    power,
    reindex,
    replay,
    resize,
    specialise,
    split_sum,
    statement,
    transposition,
    unfold,
)

MISPRINTS = {m.name: m for m in misprints()}


# ── the two sides, computed again with NumPy alone ────────────────────────────────────────────────


@dataclass(frozen=True)
class Letters:
    """The matrices of a counterexample."""

    matrices: dict

    def __call__(self, name, *at):
        """A matrix; what the counterexample does not list, it does not need."""
        return np.array(self.matrices[f"{name}({at[0]})" if at else name], dtype=int)

    def law(self, name, *at):
        """The values of a random number, with probabilities."""
        return self.matrices[f"{name}({at[0]})" if at else name]


def chain(factors, n):
    """The product from left to right; the identity, if there are none."""
    whole = np.identity(n, dtype=int)
    for factor in factors:
        whole = whole @ factor
    return whole


def sensitivity(x, t):
    """∂h_t/∂w by the chain rule of one step after the other."""
    rate = 0 * x("A", 1)
    for step in range(1, t + 1):
        rate = x("A", step) + (x("J", step) @ rate if rate.any() else 0)
    return rate


def adjoint(x, t, T):
    """λ_t by going back from the last step."""
    return x("c", T) if t == T else x("c", t) + x("J", t + 1).T @ adjoint(x, t + 1, T)


def linear_adjoint(x, t, T):
    last = x("W_qh").T @ x("∂L/∂o", t)
    return last if t == T else x("W_hh").T @ linear_adjoint(x, t + 1, T) + last


def order(x, n, t):
    terms = [chain([x("J", r) for r in range(j + 1, t + 1)], n) @ x("A", j) for j in range(1, t)]
    return sensitivity(x, t), sum(terms, x("A", t))


def first_factor(x, n, t):
    terms = [chain([x("J", r) for r in range(t, j - 1, -1)], n) @ x("A", j) for j in range(1, t)]
    return sensitivity(x, t), sum(terms, x("A", t))


def last_summand(x, n, t):
    terms = [chain([x("J", r) for r in range(t, j, -1)], n) @ x("A", j) for j in range(1, t + 1)]
    return sensitivity(x, t), sum(terms, x("A", t))


def without_transpose(x, n, t, T):
    return adjoint(x, t, T), x("c", t) + x("J", t + 1) @ adjoint(x, t + 1, T)


def closed_without_transpose(x, n, t, T):
    terms = [chain([x("J", r) for r in range(j, t, -1)], n) @ x("c", j) for j in range(t, T + 1)]
    return adjoint(x, t, T), sum(terms)


def exponent(x, n, t, T):
    powers = [chain([x("W_hh").T] * (j - t), n) for j in range(t, T + 1)]
    terms = [p @ x("W_qh").T @ x("∂L/∂o", T + t - j) for p, j in zip(powers, range(t, T + 1), strict=True)]
    return linear_adjoint(x, t, T), sum(terms)


def state(x, n, T):
    """The change of the loss in the direction V of W_hh, forwards; and by the wrong gradient."""
    change, rate = 0, np.zeros((n, 1), int)
    for step in range(1, T + 1):
        rate = x("V") @ x("h", step - 1) + x("W_hh") @ rate
        change += ((x("W_qh").T @ x("∂L/∂o", step)).T @ rate).item()
    wrong = sum(linear_adjoint(x, step, T) @ x("h", step).T for step in range(1, T + 1))
    return change, np.trace(wrong.T @ x("V"))


def window(x, n, t, τ):
    """The window, and what it leaves out but its last term."""
    within = [chain([x("J", r) for r in range(t, j, -1)], n) @ x("A", j) for j in range(t - τ + 1, t + 1)]
    before = [chain([x("J", r) for r in range(t, j, -1)], n) @ x("A", j) for j in range(1, t - τ)]
    return sensitivity(x, t), sum(within) + sum(before)


def gated_adjoint(x, t, T):
    if t == T:
        return x("c", T)
    return x("c", t) + x("ξ", t + 1) * (x("J", t + 1).T @ gated_adjoint(x, t + 1, T))


def gate(x, n, t, T):
    wrong = x("c", t) + x("ξ", t) * (x("J", t + 1).T @ gated_adjoint(x, t + 1, T))
    return gated_adjoint(x, t, T), wrong


def error_of_gates(x, n, T):
    left = sum(gated_adjoint(x, j, T).T @ x("A", j) for j in range(1, T + 1))
    right = sum(x("c", j).T @ sensitivity(x, j) for j in range(1, T + 1))
    for j in range(2, T + 1):
        right = right + (x("ξ", j) - 1) * (gated_adjoint(x, j, T).T @ x("J", j) @ sensitivity(x, j))
    return left, right


def gated(x, t, gates):
    """z_t with the given gates."""
    z = 0 * x("A", 1)
    for step in range(1, t + 1):
        z = x("A", step) + (gates[step] * (x("J", step) @ z) if step > 1 else 0)
    return z


def mean(x, t, factor=lambda step: 1):
    """E z_t with an own gate at every step from the second on, times a factor."""
    total, laws = 0, [x.law("ξ", step) for step in range(2, t + 1)]
    for outcome in outcomes(*laws):
        gates = [None, None, *(value * factor(step) for step, (value, _) in enumerate(outcome, 2))]
        total = total + np.prod([p for _, p in outcome] or [1]) * gated(x, t, gates)
    return total


def square_of_a_gate(x, n, t):
    before, law = mean(x, t - 1), x.law("ξ", t)
    first, second = (sum(p * value**power for value, p in law) for power in (1, 2))
    return second * before, first**2 * before


def fed_adjoints(x, T):
    """λ and λ^u of every step, by their recursions."""
    state, fed = {T: x("c", T)}, {}
    for step in range(T, 0, -1):
        if step < T:
            own = 1 - x("m", step + 1)
            state[step] = x("c", step) + x("H", step + 1).T @ state[step + 1]
            state[step] = state[step] + own * (x("G", step).T @ fed[step + 1])
        if step > 1:  # that of the first step is not needed
            fed[step] = x("b", step) + x("F", step).T @ state[step]
            if step < T:
                fed[step] = fed[step] + own * (x("S", step).T @ fed[step + 1])
    return state, fed


def mask_of_the_step(x, n, t, T):
    state, fed = fed_adjoints(x, T)
    wrong = x("c", t) + x("H", t + 1).T @ state[t + 1] + (1 - x("m", t)) * (x("G", t).T @ fed[t + 1])
    return state[t], wrong


def paths_twice(x, n, T):
    """The gradient forwards; and the detached one with all paths, of which some count twice."""
    _, fed = fed_adjoints(x, T)
    whole = held = 0
    rate = detached_rate = value = 0 * x("A", 1)
    for step in range(1, T + 1):
        fed_rate = (1 - x("m", step)) * value if step > 1 else 0 * x("F", 1).T @ rate
        if step > 1:
            held = held + fed[step].T @ fed_rate
        rate = x("A", step) + (x("H", step) @ rate + x("F", step) @ fed_rate if step > 1 else 0)
        detached_rate = x("A", step) + (x("H", step) @ detached_rate if step > 1 else 0)
        whole = whole + x("∂⁺L/∂w", step) + x("c", step).T @ rate
        whole = whole + (x("b", step).T @ fed_rate if step > 1 else 0)
        held = held + x("∂⁺L/∂w", step) + x("c", step).T @ detached_rate
        if step < T:
            value = x("B", step) + x("G", step) @ rate + (x("S", step) @ fed_rate if step > 1 else 0)
    return whole, held


# name: (both sides, the least indices at which it is false, whether commuting numbers hide it)
FALSE_AT = {
    "order": (order, {"t": 3}, True),
    "first factor": (first_factor, {"t": 2}, False),
    "last term": (last_summand, {"t": 1}, False),
    "transpose in the recursion": (without_transpose, {"T": 2, "t": 1}, True),
    "transpose in the closed form": (closed_without_transpose, {"T": 2, "t": 1}, True),
    "exponent": (exponent, {"T": 2, "t": 1}, False),
    "state": (state, {"T": 1}, False),
    "end of the tail": (window, {"t": 2, "τ": 1}, False),
    "gate of the step": (gate, {"T": 2, "t": 1}, False),
    "error of gates": (error_of_gates, {"T": 2}, False),
    "square of a gate": (square_of_a_gate, {"t": 2}, False),
    "mask of the step": (mask_of_the_step, {"T": 2, "t": 1}, False),
    "paths twice": (paths_twice, {"T": 3}, False),
}


def test_every_misprint_is_here():
    assert MISPRINTS.keys() == FALSE_AT.keys() == DERIVATIONS.keys()
    assert all(m.words and m.definitions for m in MISPRINTS.values())


@pytest.mark.parametrize("name", FALSE_AT)
def test_the_smallest_counterexample(name):
    misprint, (sides, indices, needs_matrices) = MISPRINTS[name], FALSE_AT[name]
    found = counterexample(misprint.statement, misprint.definitions)
    assert found.indices == indices
    assert found.sizes["n"] == (2 if needs_matrices else 1)
    left, right = sides(Letters(found.letters), found.sizes["n"], **found.indices)
    assert np.array_equal(left, found.left) and np.array_equal(right, found.right)
    assert not np.array_equal(left, right)
    assert all(f"{k} = {v}" in str(found) for k, v in found.indices.items())


@pytest.mark.parametrize("name", [n for n, (_, _, hidden) in FALSE_AT.items() if hidden])
def test_numbers_that_commute_hide_it(name):
    m = MISPRINTS[name]
    assert counterexample(m.statement, m.definitions, size=1) is None


@pytest.mark.parametrize("name", FALSE_AT)
def test_smaller_indices_hide_it(name):
    m, (_, indices, _) = MISPRINTS[name], FALSE_AT[name]
    assert counterexample(m.statement, m.definitions, most=max(indices.values()) - 1) is None


# ── the derivations, once as they are and once with the misprint ──────────────────────────────────


def unrolled(between_steps, last):
    """T1 by induction, with the given product of Jacobians between two steps, and the last i."""
    terms = between_steps(t, i) * A(i)
    whole = Total(terms, i, 1, last(t))
    claim = equation(G(t), A(t) + whole, at_least(t, 1))
    first = claim.at({t: sp.S.One}).right
    (none,) = first.atoms(Total)
    nothing = Calculation(first).rewrite(empty_sum(none, ()))
    base = Calculation(G(1)).unfold(SENSITIVITY).unfold(SENSITIVITY).back(nothing.theorem)
    known, u = earlier(claim, t, 1)
    earlier_terms = between_steps(t - 1, i) * A(i)
    step = (
        Calculation(G(t), at_least(t, 2))
        .unfold(SENSITIVITY)
        .use(known, {u: t - 1})
        .to(A(t) + J(t) * A(t - 1) + J(t) * Total(earlier_terms, i, 1, last(t - 1)))
        .by(distribute)
        .back(peel_newest(between_steps(t, i), between(1, i, t - 2)))
        .back(one_factor(between_steps(t, t - 1), ()))
        .back(last_term(whole, (at_least(t, 2),)))
    )
    return induction(claim, t, 1, 1, base.theorem, step.theorem)


def recursion(matrix):
    """λ_t = c_t + (the given matrix) λ_{t+1}."""
    start = Calculation(LAMBDA(t), *between(1, t, T - 1)).unfold(ADJOINT)
    return start.to(c(t) + matrix * LAMBDA(t + 1)).theorem


def closed(turned):
    """T2 by induction downwards; ``turned`` is what is done to the product before c_s."""
    terms = turned(product(s, t + 1)) * c(s)
    claim = equation(LAMBDA(t), Total(terms, s, t, T), at_least(T, t))
    last = Calculation(claim.at({t: T}).right).by(one_term).by(empty_product)
    last = last.by(transposition) if turned is Transpose else last
    base = Calculation(LAMBDA(T)).unfold(ADJOINT).back(last.theorem)
    known, u = earlier(claim, t, T, -1)
    none = Calculation(turned(product(t, t + 1)) * c(t)).by(empty_product)
    none = none.by(transposition) if turned is Transpose else none
    step = Calculation(LAMBDA(t), at_least(T - 1, t)).unfold(ADJOINT).use(known, {u: t + 1}).by(distribute)
    if turned is Transpose:
        step = step.back(transposition(Transpose(product(s, t + 2) * J(t + 1)), ()))
    step = (
        step.back(peel_oldest(product(s, t + 1), between(t + 1, s, T)))
        .back(none.theorem)
        .back(first_term(Total(terms, s, t, T), (at_least(T, t),)))
    )
    return induction(claim, t, T, -1, base.theorem, step.theorem)


def _linear(theorem):
    return specialise(specialise(theorem, J, t, W_hh()), c, t, Transpose(W_qh()) * g(t))


def powers(exponent):
    """The linear case with the sum turned round, so that ∂L/∂o_{T+t-i} stands in the term i."""
    theorem = _linear(closed_form())
    factor = Ordered(W_hh(), k, t + 1, T + t - i)
    return (
        Calculation(theorem.statement.left, *between(1, t, T))
        .use(theorem)
        .by(reindex, i, T + t - i, where=lambda x: isinstance(x, Total))
        .rewrite(reindex(factor, k, k + t, ()))
        .by(transposition, where=lambda x: isinstance(x, Transpose) and isinstance(x.args[0], Ordered))
        .to(Total(power(Transpose(W_hh()), exponent) * Transpose(W_qh()) * g(T + t - i), i, t, T))
        .theorem
    )


def recurrent_matrix(previous):
    """∂L/∂W_hh = Σ λ_i (the given state)ᵀ, from the change ``A_i = V h_{i-1}``."""
    direction = Letter("V", "n", "n")
    columns = A.resized("p", "1")
    change = _linear(specialise(resize(gradient(), "p", "1"), columns, i, direction() * h(i - 1)))
    matrix = resize(specialise(gradient_of_matrix(), left, i, LAMBDA(i)), V.columns, "n")
    matrix = specialise(matrix, right.resized(V.columns, "n"), i, previous)
    return Calculation(Trace(change.statement.left)).use(change).use(matrix).theorem


def tail(last):
    """What the window leaves out, up to the given i."""
    return (
        Calculation(G(t), *between(1, tau, t))
        .use(unrolled_at_any_step())
        .by(split_sum, last)
        .back(unfold(WINDOW, t, (at_least(t, tau),)))
        .theorem
    )


def gated_recursion(gate):
    """λ^ξ_t = c_t + (the given gate) J_{t+1}ᵀ λ^ξ_{t+1}."""
    start = Calculation(ANY.adjoint(t), *between(1, t, T - 1)).unfold(ANY.backward_mode)
    return start.to(c(t) + gate * Transpose(J(t + 1)) * ANY.adjoint(t + 1)).theorem


def gradient_with_gates(rate):
    """The full gradient and the error, in which the given sensitivity stands."""
    passed = (ANY.gate(t) - 1) * Transpose(ANY.adjoint(t)) * J(t) * rate
    whole = Total(Transpose(c(t)) * G(t), t, 1, T) + Total(passed, t, 2, T)
    true = gradient_of_gates()
    return Calculation(true.statement.left, at_least(T, 1)).use(true).to(whole).theorem


def square(factor):
    """E[ξ_t² z_{t-1}] with the given factor apart."""
    return independence(Mean(XI(t) ** 2 * Z(t - 1)), factor, (RECURSIVE,), (at_least(t, 1),))


def masked(own):
    """λ_t with the given share of the own output."""
    through = own * Transpose(feeding.G(t)) * feeding.OF_FED(t + 1)
    step = Calculation(feeding.LAMBDA(t), *between(1, t, T - 1)).use(feedback.state_adjoint())
    return step.to(c(t) + Transpose(feeding.H(t + 1)) * feeding.LAMBDA(t + 1) + through).theorem


def with_paths(rate):
    """The detached gradient and the paths, in which the given rate of the value stands."""
    whole = detached.HELD + Total(feeding.PATH * rate, t, 2, T)
    return Calculation(detached.WHOLE, at_least(T, 1)).use(detached.paths()).to(whole).theorem


# name: (the derivation, what is right, what is wrong, where the kernel refuses)
DERIVATIONS = {
    "order": (
        unrolled,
        (lambda newest, i: product(newest, i + 1), lambda t: t - 1),
        (lambda newest, i: ascending(newest, i + 1), lambda t: t - 1),
        r"rewrite: J\(i \+ 1\)\*Ordered.* occurs nowhere usable",  # the newest factor is J_{i+1}, not J_t
    ),
    "first factor": (
        unrolled,
        (lambda newest, i: product(newest, i + 1), lambda t: t - 1),
        (product, lambda t: t - 1),
        r"one_factor: the limits t - 1 and t differ",  # J_t J_{t-1} A_{t-1}; the recursion has J_t A_{t-1}
    ),
    "last term": (
        unrolled,
        (lambda newest, i: product(newest, i + 1), lambda t: t - 1),
        (lambda newest, i: product(newest, i + 1), lambda t: t),
        r"empty_sum: -1 ≥ 0 does not follow",  # at t = 1 the sum has a term beside A_1
    ),
    "transpose in the recursion": (
        recursion,
        (Transpose(J(t + 1)),),
        (J(t + 1),),
        r"ring: .* have different normal forms",
    ),
    "transpose in the closed form": (
        closed,
        (Transpose,),
        (lambda x: x,),
        r"rewrite: Ordered.*\*J\(t \+ 1\) occurs nowhere usable",  # the recursion has J_{t+1}ᵀ on the left
    ),
    "exponent": (powers, (T - i,), (i - t,), r"ring: .* have different normal forms"),
    "state": (
        recurrent_matrix,
        (h(i - 1),),
        (h(i),),
        r"rewrite: Trace.*h\(i\).* occurs nowhere usable",  # the sums differ in the state
    ),
    "end of the tail": (tail, (t - tau,), (t - tau - 1,), r"split_sum: t - τ - 1 ≥ 0 does not follow"),
    "gate of the step": (
        gated_recursion,
        (ANY.gate(t + 1),),
        (ANY.gate(t),),
        r"ring: .* have different normal forms",
    ),
    "error of gates": (gradient_with_gates, (G(t - 1),), (G(t),), r"ring: .* have different normal forms"),
    "square of a gate": (square, (XI(t) ** 2,), (XI(t),), r"independence: ξ\(t\) is no factor"),
    "mask of the step": (
        masked,
        (feeding.ANY.own(t + 1),),
        (feeding.ANY.own(t),),
        r"ring: .* have different normal forms",
    ),
    "paths twice": (
        with_paths,
        (detached.MADE_DETACHED(t - 1),),
        (feeding.MADE(t - 1),),
        r"ring: .* have different normal forms",
    ),
}


@pytest.mark.parametrize("name", DERIVATIONS)
def test_the_derivation_is_right_for_the_true_formula(name):
    derive, true, _, _ = DERIVATIONS[name]
    theorem = replay(derive(*true))
    assert not theorem.assumptions
    draw = integers(np.random.default_rng(4))
    sizes = {"n": 2, "p": 3, "q": 3}
    assert evaluated(theorem, Model(sizes, draw, tuple(theorem.definitions)), 4) > 2


@pytest.mark.parametrize("name", DERIVATIONS)
def test_the_derivation_of_the_misprint_is_refused(name):
    derive, _, wrong, where = DERIVATIONS[name]
    with pytest.raises(ProofError, match=where):
        derive(*wrong)


@pytest.mark.parametrize("name", DERIVATIONS)
def test_the_misprint_differs_from_the_claim_in_one_side_only(name):
    derive, true, _, _ = DERIVATIONS[name]
    theorem, wrong = derive(*true), MISPRINTS[name]
    assert theorem.statement.left == wrong.statement.left
    assert theorem.statement.right != wrong.statement.right
    assert theorem.definitions == set(wrong.definitions)


def test_a_true_statement_has_no_counterexample():
    theorem = unfold(ADJOINT, t, (at_least(T - 1, t),))
    assert counterexample(theorem.statement, tuple(theorem.definitions)) is None


# ── recursions with a wrong gate ──────────────────────────────────────────────────────────────────


def one_gate(x, t):
    law = x.law("ξ")
    return sum(p * gated(x, t, [value] * (t + 1)) for value, p in law)


def no_weight(x, t):
    return mean(x, t, lambda step: x("π", step))


BIASED = {
    "one gate": (one_gate, 3, ONE_GATE, XI(), r"independence: ξ may enter both"),
    "no weight": (no_weight, 2, NO_WEIGHT, XI(t), r"rewrite: A\(t\) \+ J.* occurs nowhere usable"),
}


def test_every_wrong_gate_is_here():
    assert [m.name for m in biased()] == list(BIASED)


@pytest.mark.parametrize("misprint", biased(), ids=lambda m: m.name)
def test_a_wrong_gate_has_a_smallest_counterexample(misprint):
    of, least, *_ = BIASED[misprint.name]
    found = counterexample(misprint.statement, misprint.definitions)
    assert found.indices == {"t": least} and found.sizes["n"] == 1
    x = Letters(found.letters)
    assert np.array_equal(of(x, least), found.left) and np.array_equal(sensitivity(x, least), found.right)
    assert not np.array_equal(found.left, found.right)
    assert counterexample(misprint.statement, misprint.definitions, most=least - 1) is None


@pytest.mark.parametrize("name", BIASED)
def test_the_derivation_with_a_wrong_gate_is_refused(name):
    _, _, definition, gate, where = BIASED[name]
    known = unit() if gate == XI(t) else assume(equation(Mean(gate), 1))
    with pytest.raises(ProofError, match=where):
        unbiased(definition, gate, known)


def test_the_derivation_with_the_right_gate_is_a_theorem():
    theorem = replay(unbiased(RECURSIVE, XI(t), unit()))
    assert theorem.assumptions == unit().assumptions
    draw = integers(np.random.default_rng(4))
    assert evaluated(theorem, Model({"n": 2, "p": 3}, draw, tuple(theorem.definitions)), 4) == 5


# ── clips that are none ───────────────────────────────────────────────────────────────────────────


def with_max(monkeypatch):
    """The factor is at least 1, and s ‖g‖ at least θ: the larger of 1 and θ/‖g‖."""
    norm = clip.s(columns.k) * Norm(clip.g(columns.k))
    monkeypatch.setattr(clip, "AT_MOST_ONE", statement(1, "≤", clip.s(columns.k), every=(columns.k,)))
    monkeypatch.setattr(clip, "WITHIN", statement(clip.THETA(), "≤", norm, every=(columns.k,)))


def per_element(monkeypatch):
    """No more than θ in another norm, which is not that of g."""
    other = clip.s(columns.k) * Letter("‖g‖∞", nonnegative=True)(columns.k)
    monkeypatch.setattr(clip, "WITHIN", statement(other, "≤", clip.THETA(), every=(columns.k,)))


def beyond_the_ball(monkeypatch):
    """The point y is anywhere in a ball of twice the radius."""
    far = statement(Norm(clip.y(clip.j)), "≤", 2 * clip.THETA(), every=(clip.j,))
    monkeypatch.setattr(clip, "IN_BALL", far)


def neither(monkeypatch):
    """The factor is within its bounds, and neither of the two."""
    product = (1 - clip.s(columns.k)) * (2 * clip.THETA() - clip.s(columns.k) * Norm(clip.g(columns.k)))
    monkeypatch.setattr(clip, "EITHER", equation(product, 0, every=(columns.k,)))


def no_rate(monkeypatch):
    """A step that is not multiplied with η."""
    step = Case((change.LATER,), change.x(t - 1) - clip.g(t))
    monkeypatch.setattr(change, "RAW", Definition(change.x, t, (step,)))


def concave(monkeypatch):
    """The quadratic bound from below."""
    s = change.SMOOTH
    monkeypatch.setattr(change, "SMOOTH", statement(s.right, "≤", s.left, *s.given, every=s.every))


def long_steps(monkeypatch):
    """The bound on η β is 4: too long."""
    monkeypatch.setattr(change, "SHORT", statement(change.BETA() * change.ETA(), "≤", 4))


def steep_elsewhere(monkeypatch):
    """The gradient that is bounded is not the one between the points."""
    monkeypatch.setattr(ball, "STEEP", statement(Norm(ball.y(ball.k)), "≤", ball.K(), every=(ball.k,)))


def not_convex(monkeypatch):
    """Two shares of sum 2."""
    monkeypatch.setattr(ball, "REST", equation(2 - ball.SHARE(), ball.OTHER()))


def more_than_the_blocks(monkeypatch):
    """A whole that is larger than its parts together."""
    square = equation(ball.SIZE() ** 2, 2 * ball.BLOCKS.right)
    monkeypatch.setattr(ball, "BLOCKS", square)


def twice_the_drive(monkeypatch):
    """A step adds 2 c, not c."""
    s = gains.DRIVEN
    more = s.right + gains.C(gains.k)
    monkeypatch.setattr(gains, "DRIVEN", statement(s.left, "≤", more, *s.given, every=s.every))
    gains._one_step_of_all.cache_clear()


def other_way_round(monkeypatch):
    """The gains transposed."""
    j, u, k = gains.j, gains.u, gains.k
    turned = Total(gains.ROW(k, j) * gains.GAIN(u, j), j, 1, gains.m)
    monkeypatch.setattr(gains, "NEXT", equation(turned, gains.ROW(k + 1, u), every=(k, u)))
    gains._one_step_back.cache_clear()


def half_a_target(monkeypatch):
    """A mask of 2 is no teacher forcing."""
    monkeypatch.setattr(forcing, "TEACHER", equation(feeding.M(k), 2, at_least(k, 2), every=(k,)))


def only_the_first_steps(monkeypatch):
    """Teacher forcing from the fourth step on."""
    monkeypatch.setattr(forcing, "TEACHER", equation(feeding.M(k), 1, at_least(k, 4), every=(k,)))


def reads_what_was_fed(monkeypatch):
    """The value is no function of the state."""
    monkeypatch.setattr(forcing, "BY_STATE", equation(feeding.S(k), 1, every=(k,)))


def another_trajectory(monkeypatch):
    """The partials are not alike."""
    other = equation(detached.A_TEACHER(k), 2 * A(k), every=(k,))
    monkeypatch.setattr(detached, "ALIKE", (other, *detached.ALIKE[1:]))


@pytest.mark.parametrize(
    ("spoil", "claim"),
    [
        (with_max, clip.at_most_threshold),
        (with_max, clip.at_most_norm),
        (with_max, clip.variational),
        (per_element, clip.at_most_threshold),
        (beyond_the_ball, clip.variational),
        (neither, clip.one_of_both),
        (neither, clip.variational),
        (no_rate, change.raw),
        (concave, change.descent),
        (long_steps, change.decrease),
        (steep_elsewhere, ball.mean_value),
        (not_convex, ball.within),
        (more_than_the_blocks, ball.blocks),
        (twice_the_drive, gains.in_total),
        (other_way_round, gains.among),
        (half_a_target, forcing.teacher_gradient),
        (only_the_first_steps, forcing.teacher_adjoint),
        (only_the_first_steps, forcing.teacher_gradient),
        (reads_what_was_fed, forcing.ordinary_rate),
        (another_trajectory, detached.same_rates),
    ],
    ids=lambda part: part.__name__,
)
def test_the_derivation_from_a_wrong_premise_is_refused(spoil, claim, monkeypatch):
    assert replay(claim.__wrapped__()).statement == claim().statement
    spoil(monkeypatch)
    reasons = r"occurs nowhere usable|different normal forms|applies nowhere|not about the squares"
    with pytest.raises(ProofError, match=reasons):
        claim.__wrapped__()
    gains._one_step_of_all.cache_clear()
    gains._one_step_back.cache_clear()


def drawn_from(values):
    """The letters of an exact evaluation, of which a statement may need some."""

    def model(rng, most):
        chosen = values(rng)
        return lambda letter, at, shape: chosen[letter.name](at)

    return model


CHANGE, BOUND = change.CHANGE, change.K() * clip.THETA()


@pytest.mark.parametrize(
    ("misprint", "values"),
    [
        (statement(CHANGE, "≤", BOUND, change.LATER), examples.clipped_steps),  # without η
        (statement(CHANGE, "≤", change.ETA() * clip.THETA(), change.LATER), examples.clipped_steps),
        (statement(clip.THETA(), "≤", Norm(clip.clip(t))), examples.clipped),  # always θ
        (statement(Norm(clip.g(t)), "≤", Norm(clip.clip(t))), examples.clipped),  # never shorter
        (
            statement(change.F(t), "≤", change.F(t - 1) - change.ETA() * Norm(clip.g(t)), change.LATER),
            examples.clipped_steps,
        ),
        (statement(ball.SIZE(), "≤", ball.K(ball.k)), walks.blocks),
        (statement(change.F(0) - change.F(T), "≤", Norm(ball.d())), walks.pieces),
        (statement(gains.N(t), "≤", power(gains.RHO(), t) * gains.N(0), t), walks.scalar),
        (statement(Total(gains.N(k), k, 1, T), "≤", gains.POWERS), walks.driven),
        (statement(gains.N(1, t), "≤", gains.GAIN(1, 1) * gains.N(1, t - 1), at_least(t, 1)), walks.gains),
    ],
    ids=[
        "no η",
        "no K",
        "always θ",
        "never shorter",
        "always a descent",
        "the largest block",
        "a segment without K",
        "nothing added",
        "no total",
        "one state alone",
    ],
)
def test_what_is_false_has_a_counterexample(misprint, values):
    found = counterexample(misprint, draw=drawn_from(values))
    assert found is not None and found.left > found.right


def test_what_is_true_of_a_clip_has_none():
    for part, values in (
        (change.clipped, examples.clipped_steps),
        (clip.at_most_threshold, examples.clipped),
    ):
        assert counterexample(part().statement, draw=drawn_from(values)) is None
