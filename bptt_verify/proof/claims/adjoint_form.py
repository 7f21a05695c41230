"""T2: the adjoint recursion, its closed form, and the gradient by exchanging two sums."""

from __future__ import annotations

from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.letters import A, J, T, c, earlier, i, k, product, s, t
from bptt_verify.proof.claims.unrolled import INITIAL, SENSITIVITY, G, H, initial_state, unrolled_whole
from bptt_verify.proof.kernel import (
    Case,
    Definition,
    Letter,
    Theorem,
    Total,
    Transpose,
    assume,
    at_least,
    between,
    distribute,
    empty_product,
    equation,
    exchange,
    first_term,
    induction,
    instantiate,
    last_term,
    one_term,
    peel_oldest,
    reindex,
    ring,
    split_sum,
    sum_of_sums,
    sum_of_zeros,
    take_out,
    transposition,
    unfold,
)

LAMBDA = Letter("λ", "n", "1")
e = Letter("∂⁺L/∂w", "1", "p")  # ∂L_t/∂w, what the step's loss says of w directly
a = Letter("α", "n", "1")  # (∂L_t/∂h_t)ᵀ
b = Letter("β", "n", "1")  # (∂L_t/∂h_{t-1})ᵀ

ADJOINT = Definition(
    LAMBDA,
    t,
    (
        Case((at_least(t, T), at_least(T, t)), c(T)),
        Case((at_least(T - 1, t),), c(t) + Transpose(J(t + 1)) * LAMBDA(t + 1)),
    ),
    onward=-1,
    limit=T,
)
"""The total adjoint λ_t = (∂L/∂h_t)ᵀ: what step t does to the loss directly and through the next step."""

DIRECT = Definition(
    c,
    t,
    (
        Case((at_least(t, T), at_least(T, t)), a(T)),
        Case((at_least(T - 1, t),), a(t) + b(t + 1)),
    ),
)
"""c_t = (∂L_t/∂h_t + ∂L_{t+1}/∂h_t)ᵀ: the losses that read h_t themselves."""


@cache
def closed_form() -> Theorem:
    """``λ_t = Σ_{s=t}^{T} (J_s … J_{t+1})ᵀ c_s`` for every t ≤ T."""
    terms = Transpose(product(s, t + 1)) * c(s)
    claim = equation(LAMBDA(t), Total(terms, s, t, T), at_least(T, t))
    no_factor = Calculation(Transpose(product(t, t + 1)) * c(t)).by(empty_product).by(transposition).theorem
    last = Calculation(claim.at({t: T}).right).by(one_term).by(empty_product).by(transposition)
    base = Calculation(LAMBDA(T)).unfold(ADJOINT).back(last.theorem)
    known, u = earlier(claim, t, T, -1)
    step = (
        Calculation(LAMBDA(t), at_least(T - 1, t))
        .unfold(ADJOINT)
        .use(known, {u: t + 1})
        .by(distribute)
        .back(transposition(Transpose(product(s, t + 2) * J(t + 1)), ()))
        .back(peel_oldest(product(s, t + 1), between(t + 1, s, T)))
        .back(no_factor)
        .back(first_term(Total(terms, s, t, T), (at_least(T, t),)))
    )
    return induction(claim, t, T, -1, base.theorem, step.theorem)


@cache
def gradient() -> Theorem:
    """``Σ_t c_tᵀ ∂h_t/∂w = Σ_i λ_iᵀ A_i``: forward mode and backward mode sum the same terms."""
    return (
        Calculation(Total(Transpose(c(t)) * G(t), t, 1, T))
        .use(unrolled_whole())
        .by(distribute, where=lambda x: x.is_Mul)
        .by(exchange, (1, T), (i, T))
        .by(take_out, sp.S.One, Transpose(c(t)) * product(t, i + 1), A(i))
        .use(gathered(), {i: i})
        .theorem
    )


@cache
def gathered() -> Theorem:
    """``Σ_{t=i}^{T} c_tᵀ (J_t … J_{i+1}) = λ_iᵀ``."""
    return (
        Calculation(Total(Transpose(c(t)) * product(t, i + 1), t, i, T), at_least(T, i))
        .back(transposition(Transpose(Transpose(product(t, i + 1)) * c(t)), ()))
        .back(transposition(Transpose(Total(Transpose(product(t, i + 1)) * c(t), t, i, T)), ()))
        .back(instantiate(closed_form(), ((t, i),)))
        .theorem
    )


@cache
def initial_gradient() -> Theorem:
    """``Σ_t c_tᵀ ∂h_t/∂h_0 = λ_1ᵀ J_1``."""
    return (
        Calculation(Total(Transpose(c(t)) * H(t), t, 1, T), at_least(T, 1))
        .use(initial_state())
        .by(peel_oldest)
        .by(take_out, sp.S.One, Transpose(c(t)) * product(t, 2), J(1))
        .use(gathered(), {i: sp.S.One})
        .theorem
    )


def regrouped(rate: Letter) -> Calculation:
    """From the losses to the states they read: ``b_1ᵀ r_0 + Σ_t c_tᵀ r_t`` for a rate r of change."""
    reads_new, reads_old = Transpose(a(t)) * rate(t), Transpose(b(t)) * rate(t - 1)
    next_reads = Transpose(b(t + 1)) * rate(t)
    some = at_least(T, 1)
    return (
        Calculation(Total(reads_new + reads_old, t, 1, T), some)
        .by(sum_of_sums)
        .rewrite(first_term(Total(reads_old, t, 1, T), (some,)))
        .rewrite(reindex(Total(reads_old, t, 2, T), t, t + 1, ()))
        .rewrite(last_term(Total(reads_new, t, 1, T), (some,)))
        .back(sum_of_sums(Total(reads_new + next_reads, t, 1, T - 1), ()))
        .rewrite(ring(reads_new + next_reads, (Transpose(a(t)) + Transpose(b(t + 1))) * rate(t)))
        .back(transposition(Transpose(a(t) + b(t + 1)), ()))
        .back(unfold(DIRECT, t, between(1, t, T - 1)))
        .back(unfold(DIRECT, T, ()))
        .back(last_term(Total(Transpose(c(t)) * rate(t), t, 1, T), (some,)))
    )


@cache
def states_gradient() -> Theorem:
    """``Σ_t (a_tᵀ ∂h_t/∂w + b_tᵀ ∂h_{t-1}/∂w) = Σ_i λ_iᵀ A_i``, where c_t collects what reads h_t."""
    return regrouped(G).unfold(SENSITIVITY, 0).use(gradient()).theorem


@cache
def loss_gradient() -> Theorem:
    """``∂L/∂w = Σ_t ∂L_t/∂w + Σ_i λ_iᵀ A_i`` for losses that read w, h_t and h_{t-1}."""
    by_states = states_gradient()
    parts = e(t) + by_states.statement.left.body
    whole = Calculation(Total(parts, t, 1, T), at_least(T, 1)).by(sum_of_sums)
    states = by_states.statement.left
    return whole.back(sum_of_sums(states, ())).use(by_states).theorem


@cache
def loss_initial_gradient() -> Theorem:
    """``∂L/∂h_0 = ∂L_1/∂h_0 + λ_1ᵀ J_1``."""
    return regrouped(H).unfold(INITIAL, 0).use(initial_gradient()).theorem


@cache
def one_step() -> Theorem:
    """``Σ_i λ_iᵀ A_i = λ_tᵀ A_t`` if only step t reads what is differentiated by, as with an input x_t."""
    before = assume(equation(A(k), 0, *between(1, k, t - 1), every=(k,)))
    after = assume(equation(A(k), 0, *between(t + 1, k, T), every=(k,)))
    terms = Transpose(LAMBDA(i)) * A(i)
    return (
        Calculation(Total(terms, i, 1, T), *between(1, t, T))
        .by(split_sum, t)
        .rewrite(last_term(Total(terms, i, 1, t), between(1, t, T)))
        .use(before, {k: i})
        .by(sum_of_zeros)
        .use(after, {k: i})
        .by(sum_of_zeros)
        .theorem
    )
