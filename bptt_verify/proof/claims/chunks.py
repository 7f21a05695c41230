"""T6: chunks, as closed gates where they have no overlap, and as a recursion of each chunk where they do."""

from __future__ import annotations

from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.adjoint_form import ADJOINT, LAMBDA
from bptt_verify.proof.claims.gates import ANY, BEFORE, XI
from bptt_verify.proof.claims.letters import A, J, T, c, earlier, i, k, product, s, t
from bptt_verify.proof.claims.unrolled import H, initial_state
from bptt_verify.proof.kernel import (
    Case,
    Definition,
    Letter,
    Statement,
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
    index,
    induction,
    instantiate,
    one_term,
    peel_oldest,
    split_sum,
    substitute,
    sum_of_sums,
    take_out,
    transposition,
)

a, b, e, far = (index(name) for name in "abel")
MU = Letter("μ", "n", "1")
GATED, GATED_ADJOINT = ANY.adjoint, ANY.backward_mode
TERMS = Transpose(product(s, t + 1)) * c(s)

RUN_BACK = Definition(
    MU,
    t,
    (
        Case((at_least(t, e), at_least(e, t)), c(e)),
        Case(between(a, t, e - 1), c(t) + Transpose(J(t + 1)) * MU(t + 1)),
        Case((at_least(a - 1, t), at_least(e - 1, t)), Transpose(J(t + 1)) * MU(t + 1)),
    ),
    onward=-1,
    limit=e,
)
"""The adjoint of the chunk a … e alone, run back from its end e beyond its first step a."""


def _no_factor() -> Theorem:
    """``(J_t … J_{t+1})ᵀ c_t = c_t``: the product is empty."""
    return Calculation(substitute(TERMS, {s: t})).by(empty_product).by(transposition).theorem


def _sum_of_one(last: sp.Expr) -> Theorem:
    """The closed form at the last step is its own ``c``."""
    one = Calculation(Total(substitute(TERMS, {t: last}), s, last, last)).by(one_term)
    return one.by(empty_product).by(transposition).theorem


def _one_step_back(step: Calculation, last: sp.Expr) -> Calculation:
    """From ``c_t + J_{t+1}ᵀ (closed form at t + 1)`` to the closed form at t, with the given last step."""
    return (
        step.by(distribute)
        .back(transposition(Transpose(product(s, t + 2) * J(t + 1)), ()))
        .back(peel_oldest(product(s, t + 1), between(t + 1, s, last)))
        .back(_no_factor())
        .back(first_term(Total(TERMS, s, t, last), (at_least(last, t),)))
    )


def _open(first: sp.Expr, last: sp.Expr) -> Theorem:
    """The gates of the steps from ``first`` to ``last`` are 1."""
    return assume(equation(XI(k), 1, *between(first, k, last), every=(k,)))


def _within(claim: Statement, last: sp.Expr, base: Theorem) -> Theorem:
    """The gated adjoint where all gates up to the last step are open, from its value at the last step."""
    known, u = earlier(claim, t, last, -1)
    within = (*claim.given, at_least(last - 1, t), at_least(T, last))
    step = Calculation(GATED(t), *within).unfold(GATED_ADJOINT).use(_open(a + 1, last), {k: t + 1})
    return induction(claim, t, last, -1, base, _one_step_back(step.use(known, {u: t + 1}), last).theorem)


@cache
def chunk() -> Theorem:
    """``λ^ξ_t = Σ_{s=t}^{b} (J_s … J_{t+1})ᵀ c_s`` if ξ_{a+1} … ξ_b are 1 and ξ_{b+1} is 0, a ≤ t ≤ b < T."""
    shut = assume(equation(XI(b + 1), 0))
    claim = equation(GATED(t), Total(TERMS, s, t, b), at_least(t, a), at_least(T - 1, b))
    base = Calculation(GATED(b), at_least(T - 1, b)).unfold(GATED_ADJOINT).use(shut).back(_sum_of_one(b))
    return _within(claim, b, base.theorem)


@cache
def last_chunk() -> Theorem:
    """``λ^ξ_t = Σ_{s=t}^{T} (J_s … J_{t+1})ᵀ c_s`` for a ≤ t ≤ T if ξ_{a+1} … ξ_T are 1."""
    claim = equation(GATED(t), Total(TERMS, s, t, T), at_least(t, a))
    base = Calculation(GATED(T)).unfold(GATED_ADJOINT).back(_sum_of_one(T))
    return _within(claim, T, base.theorem)


@cache
def all_open() -> Theorem:
    """``λ^ξ_t = λ_t`` for 1 ≤ t ≤ T if ξ_2 … ξ_T are 1: the full adjoint."""
    claim = equation(GATED(t), LAMBDA(t), at_least(t, 1))
    base = Calculation(GATED(T)).unfold(GATED_ADJOINT).back(Calculation(LAMBDA(T)).unfold(ADJOINT).theorem)
    known, u = earlier(claim, t, T, -1)
    full = Calculation(LAMBDA(t), *BEFORE).unfold(ADJOINT).theorem
    step = (
        Calculation(GATED(t), at_least(t, 1), *BEFORE)
        .unfold(GATED_ADJOINT)
        .use(_open(sp.Integer(2), T), {k: t + 1})
        .use(known, {u: t + 1})
        .back(full)
    )
    return induction(claim, t, T, -1, base.theorem, step.theorem)


@cache
def in_chunk() -> Theorem:
    """``μ_t = Σ_{s=t}^{e} (J_s … J_{t+1})ᵀ c_s`` for a ≤ t ≤ e: within the chunk."""
    claim = equation(MU(t), Total(TERMS, s, t, e), at_least(t, a))
    base = Calculation(MU(e)).unfold(RUN_BACK).back(_sum_of_one(e))
    known, u = earlier(claim, t, e, -1)
    step = Calculation(MU(t), *between(a, t, e - 1)).unfold(RUN_BACK).use(known, {u: t + 1})
    return induction(claim, t, e, -1, base.theorem, _one_step_back(step, e).theorem)


@cache
def before_chunk() -> Theorem:
    """``μ_t = Σ_{s=a}^{e} (J_s … J_{t+1})ᵀ c_s`` for t ≤ a ≤ e: before it, its losses only."""
    claim = equation(MU(t), Total(TERMS, s, a, e), at_least(e, a))
    base = Calculation(MU(a), at_least(e, a)).use(in_chunk(), {t: a})
    known, u = earlier(claim, t, a, -1)
    step = (
        Calculation(MU(t), at_least(e, a), at_least(a - 1, t))
        .unfold(RUN_BACK)
        .use(known, {u: t + 1})
        .by(distribute)
        .back(transposition(Transpose(product(s, t + 2) * J(t + 1)), ()))
        .back(peel_oldest(product(s, t + 1), between(t + 1, s, e)))
    )
    return induction(claim, t, a, -1, base.theorem, step.theorem)


def _gathered(closed: Theorem, first: sp.Expr, *given: sp.Expr) -> Theorem:
    """``Σ_t c_tᵀ (J_t … J_{i+1}) = μ_iᵀ`` over the chunk's losses from ``first`` on."""
    turned = Transpose(product(t, i + 1)) * c(t)
    return (
        Calculation(Total(Transpose(c(t)) * product(t, i + 1), t, first, e), *given)
        .back(transposition(Transpose(turned), ()))
        .back(transposition(Transpose(Total(turned, t, first, e)), ()))
        .back(instantiate(closed, ((t, i),)))
        .theorem
    )


@cache
def chunk_gradient() -> Theorem:
    """``Σ_{t=a}^{e} c_tᵀ Σ_{i=l}^{t} (J_t … J_{i+1}) A_i = Σ_{i=l}^{e} μ_iᵀ A_i`` for l ≤ a ≤ e."""
    left = Transpose(c(t)) * product(t, i + 1)
    terms = left * A(i)
    chunk_of = (at_least(a, far), at_least(e, a))
    ends = Total(Transpose(MU(i)) * A(i), i, far, e)
    return (
        Calculation(Total(Transpose(c(t)) * Total(product(t, i + 1) * A(i), i, far, t), t, a, e), *chunk_of)
        .by(distribute, where=lambda x: x.is_Mul)
        .by(split_sum, a - 1, where=lambda x: isinstance(x, Total) and x.bound == i)
        .by(sum_of_sums)
        .rewrite(exchange(Total(Total(terms, i, far, a - 1), t, a, e), (far, a - 1), (a, e), chunk_of))
        .rewrite(exchange(Total(Total(terms, i, a, t), t, a, e), (a, e), (i, e), chunk_of))
        .by(take_out, sp.S.One, left, A(i))
        .by(take_out, sp.S.One, left, A(i))
        .rewrite(_gathered(before_chunk(), a, at_least(a, i), at_least(e, a)))
        .rewrite(_gathered(in_chunk(), i, *between(a, i, e)))
        .back(split_sum(ends, a - 1, chunk_of))
        .theorem
    )


@cache
def chunk_initial() -> Theorem:
    """``Σ_{t=a}^{e} c_tᵀ ∂h_t/∂h_0 = μ_1ᵀ J_1`` for 1 ≤ a ≤ e: of a chunk that runs back to the start."""
    chunk_of = (at_least(a, 1), at_least(e, a))
    gathered = instantiate(_gathered(before_chunk(), a, at_least(a, i), at_least(e, a)), ((i, sp.S.One),))
    return (
        Calculation(Total(Transpose(c(t)) * H(t), t, a, e), *chunk_of)
        .use(initial_state())
        .by(peel_oldest)
        .by(take_out, sp.S.One, Transpose(c(t)) * product(t, 2), J(1))
        .rewrite(gathered)
        .theorem
    )
