"""T2: the adjoint recursion, its closed form, and the gradient by exchanging two sums."""

from __future__ import annotations

from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.letters import A, J, T, c, earlier, i, product, s, t
from bptt_verify.proof.claims.unrolled import G, H, initial_state, unrolled_whole
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
    split_sum,
    sum_of_sums,
    sum_of_zeros,
    take_out,
    transposition,
    unfold,
)

LAMBDA = Letter("λ", "n", "1")
E = Letter("e", "1", "p")  # ∂L_t/∂w, what the step's loss says of w directly
E0 = Letter("e0", "1", "n")
a = Letter("a", "n", "1")  # (∂L_t/∂h_t)ᵀ
b = Letter("b", "n", "1")  # (∂L_t/∂h_{t-1})ᵀ

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
    last = Calculation(Total(terms, s, t, T).subs({}) if False else claim.at({t: T}).right).by(one_term)
    last = last.by(empty_product).by(transposition)
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
    """``Σ_t c_tᵀ ∂h_t/∂w = Σ_i λ_iᵀ A_i``: forward mode and backward mode are one double sum."""
    adjoint = instantiate(closed_form(), ((t, i),)).statement.right
    turned = reindex(adjoint, t, t, ()) 
    return (
        Calculation(Total(Transpose(c(t)) * G(t), t, 1, T))
        .use(unrolled_whole())
        .by(distribute)
        .by(exchange, (1, T), (i, T))
        .by(take_out, sp.S.One, Transpose(c(t)) * product(t, i + 1), A(i))
        .back(transposition(Transpose(Transpose(product(t, i + 1)) * c(t)), ()))
    ).theorem
