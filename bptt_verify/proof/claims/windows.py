"""T5: truncation to a window of τ steps; what it leaves out, and how large that can be."""

from __future__ import annotations

from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.letters import A, J, T, c, earlier, i, k, product, s, t
from bptt_verify.proof.claims.magnitude import RHO, bound
from bptt_verify.proof.claims.unrolled import G, H, initial_state, unrolled_at_any_step
from bptt_verify.proof.kernel import (
    Case,
    Definition,
    Letter,
    Norm,
    Theorem,
    Total,
    Transpose,
    assume,
    at_least,
    between,
    distribute,
    empty_product,
    empty_sum,
    equation,
    exchange,
    index,
    induction,
    instantiate,
    last_term,
    peel_newest,
    peel_oldest,
    power,
    reindex,
    ring,
    split_sum,
    statement,
    submultiplicative,
    sum_of_sums,
    symmetric,
    take_out,
    transposition,
    triangle,
    unfold,
)

tau = index("τ")
WINDOWED = Letter("Ĝ", "n", "p")
CUT = Letter("λ^τ", "n", "1")
ALPHA = Letter("α", nonnegative=True)
R = Letter("r")

TERM = product(t, i + 1) * A(i)
REACHED = Transpose(product(t, i + 1)) * c(t)

WINDOW = Definition(
    WINDOWED,
    t,
    (
        Case((at_least(tau - 1, t),), Total(TERM, i, 1, t)),
        Case((at_least(t, tau),), Total(TERM, i, t - tau + 1, t)),
    ),
)
"""The sensitivity of h_t to w through the last τ steps only; all of them, if there are no more."""

CUT_ADJOINT = Definition(
    CUT,
    i,
    (
        Case((at_least(T - tau + 1, i),), Total(REACHED, t, i, i + tau - 1)),
        Case((at_least(i, T - tau + 2),), Total(REACHED, t, i, T)),
    ),
)
"""What step i does to the losses of the next τ steps, its own among them."""


@cache
def sensitivity() -> Theorem:
    """``∂h_t/∂w = Σ_{i=1}^{t} (J_t … J_{i+1}) A_i`` for every t ≥ 0."""
    return unrolled_at_any_step()


@cache
def joined() -> Theorem:
    """``(J_t … J_{s+1}) (J_s … J_i) = J_t … J_i`` where i - 1 ≤ s ≤ t."""
    near = at_least(s, i - 1)
    claim = equation(product(t, s + 1) * product(s, i), product(t, i), near, at_least(t, s))
    base = Calculation(claim.at({t: s}).left, near).by(empty_product)
    known, u = earlier(claim, t, s)
    step = (
        Calculation(claim.left, near, at_least(t, s + 1))
        .rewrite(peel_newest(product(t, s + 1), (at_least(t, s + 1),)))
        .use(known, {u: t - 1})
        .back(peel_newest(product(t, i), (near, at_least(t, s + 1))))
    )
    return induction(claim, t, s, 1, base.theorem, step.theorem)


@cache
def covered() -> Theorem:
    """``Ĝ_t = ∂h_t/∂w`` for t ≤ τ: the window reaches back to the first step."""
    claim = equation(WINDOWED(t), G(t), t)
    whole = symmetric(sensitivity())
    base = Calculation(WINDOWED(tau), tau).unfold(WINDOW).use(whole, {t: tau})
    step = Calculation(WINDOWED(t), t, at_least(tau - 1, t)).unfold(WINDOW).use(whole)
    return induction(claim, t, tau, -1, base.theorem, step.theorem)


@cache
def sensitivity_error() -> Theorem:
    """``∂h_t/∂w = Ĝ_t + Σ_{i=1}^{t-τ} (J_t … J_{i+1}) A_i`` for t ≥ τ ≥ 0."""
    beyond = between(0, tau, t)
    return (
        Calculation(G(t), *beyond)
        .use(sensitivity())
        .by(split_sum, t - tau)
        .back(unfold(WINDOW, t, (at_least(t, tau),)))
        .theorem
    )


@cache
def stopped() -> Theorem:
    """``∂h_t/∂w = Ĝ_t + (J_t … J_{t-τ+1}) ∂h_{t-τ}/∂w``: the window stops the chain at ∂h_{t-τ}/∂w."""
    before = product(t, t - tau + 1)
    return (
        Calculation(G(t), *between(0, tau, t))
        .use(sensitivity_error())
        .back(instantiate(joined(), ((s, t - tau), (i, i + 1))))
        .by(take_out, before, product(t - tau, i + 1) * A(i), sp.S.One)
        .back(instantiate(sensitivity(), ((t, t - tau),)))
        .theorem
    )


WINDOW_GRADIENT = Total(Transpose(c(t)) * WINDOWED(t), t, 1, T)
TAIL = Total(Transpose(c(t)) * Total(TERM, i, 1, t - tau), t, tau + 1, T)


@cache
def gradient_error() -> Theorem:
    """``Σ_t c_tᵀ ∂h_t/∂w = Σ_t c_tᵀ Ĝ_t + Σ_{t=τ+1}^{T} c_tᵀ Σ_{i=1}^{t-τ} (J_t … J_{i+1}) A_i``."""
    full, late = Transpose(c(t)) * G(t), Transpose(c(t)) * WINDOWED(t)
    within = between(0, tau, T)
    beyond = Transpose(c(t)) * Total(TERM, i, 1, t - tau)
    return (
        Calculation(Total(full, t, 1, T), *within)
        .by(split_sum, tau)
        .rewrite(_in_window())
        .use(sensitivity_error())
        .rewrite(ring(Transpose(c(t)) * sensitivity_error().statement.right, late + beyond))
        .rewrite(sum_of_sums(Total(late + beyond, t, tau + 1, T), ()))
        .back(split_sum(WINDOW_GRADIENT, tau, within))
        .theorem
    )


def _in_window() -> Theorem:
    """The losses of the first τ steps, from ∂h_t/∂w to Ĝ_t."""
    first = Total(Transpose(c(t)) * G(t), t, 1, tau)
    return Calculation(first).back(covered()).theorem


@cache
def whole() -> Theorem:
    """``Σ_t c_tᵀ Ĝ_t = Σ_t c_tᵀ ∂h_t/∂w`` for τ ≥ T."""
    return Calculation(WINDOW_GRADIENT, at_least(tau, T)).use(covered()).theorem


@cache
def geometric() -> Theorem:
    """``(1 - r) Σ_{k=τ}^{t-1} r^k = r^τ - r^t`` for every number r and t ≥ τ ≥ 0."""
    terms = power(R(), k)
    claim = equation(
        (1 - R()) * Total(terms, k, tau, t - 1), power(R(), tau) - power(R(), t), at_least(tau, 0)
    )
    start = claim.at({t: tau})
    base = Calculation(start.left, at_least(tau, 0)).by(empty_sum).to(start.right)
    known, u = earlier(claim, t, tau)
    beyond = (at_least(tau, 0), at_least(t, tau + 1))
    before = known.statement.at({u: t - 1})
    step = (
        Calculation(claim.left, *beyond)
        .rewrite(last_term(Total(terms, k, tau, t - 1), beyond))
        .to(before.left + power(R(), t - 1) - R() * power(R(), t - 1))
        .use(known, {u: t - 1})
        .back(peel_newest(power(R(), t), beyond))
        .to(claim.right)
    )
    return induction(claim, t, tau, 1, base.theorem, step.theorem)


@cache
def tail_bound() -> Theorem:
    """``‖tail‖ ≤ Σ_{t=τ+1}^{T} ‖c_tᵀ‖ α Σ_{k=τ}^{t-1} ρ^k`` if every ``‖J_k‖ ≤ ρ`` and ``‖A_k‖ ≤ α``."""
    immediate = assume(statement(Norm(A(k)), "≤", ALPHA(), every=(k,)))
    term = ALPHA() * power(RHO(), t - i)
    return (
        Calculation(Norm(TAIL), tau)
        .by(triangle)
        .by(submultiplicative)
        .by(triangle)
        .by(submultiplicative, where=lambda x: isinstance(x, Norm) and x.args[0].is_Mul)
        .use(bound())
        .use(immediate, {k: i})
        .by(take_out, ALPHA(), power(RHO(), t - i), sp.S.One, where=lambda x: _has_body(x, term))
        .by(reindex, k, t - k, where=lambda x: _has_body(x, power(RHO(), t - i)))
        .theorem
    )


def _has_body(term: sp.Expr, body: sp.Expr) -> bool:
    return isinstance(term, Total) and bool(term.body == body)


@cache
def cut_gathered() -> Theorem:
    """``Σ_{t=i}^{i+τ-1} c_tᵀ (J_t … J_{i+1}) = λ^τ_iᵀ`` where the window ends before the last step does."""
    return _gathered(i + tau - 1, at_least(T - tau + 1, i))


@cache
def last_gathered() -> Theorem:
    """``Σ_{t=i}^{T} c_tᵀ (J_t … J_{i+1}) = λ^τ_iᵀ`` for the last steps."""
    return _gathered(T, at_least(i, T - tau + 2))


def _gathered(last: sp.Expr, given: sp.Expr) -> Theorem:
    return (
        Calculation(Total(Transpose(c(t)) * product(t, i + 1), t, i, last), given)
        .back(transposition(Transpose(REACHED), ()))
        .back(transposition(Transpose(Total(REACHED, t, i, last)), ()))
        .back(unfold(CUT_ADJOINT, i, (given,)))
        .theorem
    )


@cache
def adjoint_of_window() -> Theorem:
    """``Σ_t c_tᵀ Ĝ_t = Σ_i λ^τ_iᵀ A_i``: what a kernel of the window computes."""
    within = between(1, tau, T)
    left = Transpose(c(t)) * product(t, i + 1)
    terms = left * A(i)
    ends = Total(Transpose(CUT(i)) * A(i), i, 1, T)
    return (
        Calculation(WINDOW_GRADIENT, *within)
        .back(_without_tail())
        .rewrite(_exchanged_full())
        .rewrite(_exchanged_tail())
        .rewrite(split_sum(Total(Total(terms, t, i, T), i, 1, T), T - tau + 1, within))
        .rewrite(_split_at_window())
        .to(
            Total(Total(terms, t, i, i + tau - 1), i, 1, T - tau + 1)
            + Total(Total(terms, t, i, T), i, T - tau + 2, T)
        )
        .by(take_out, sp.S.One, left, A(i))
        .by(take_out, sp.S.One, left, A(i))
        .use(cut_gathered())
        .use(last_gathered())
        .back(split_sum(ends, T - tau + 1, within))
        .theorem
    )


def _without_tail() -> Theorem:
    """The full gradient without its tail is that of the window."""
    full = Total(Transpose(c(t)) * G(t), t, 1, T)
    return Calculation(full - TAIL, *between(0, tau, T)).use(gradient_error()).theorem


def _exchanged_full() -> Theorem:
    """The full gradient, with the later step inside."""
    return (
        Calculation(Total(Transpose(c(t)) * G(t), t, 1, T))
        .use(sensitivity())
        .by(distribute, where=lambda x: x.is_Mul)
        .by(exchange, (1, T), (i, T))
        .theorem
    )


def _exchanged_tail() -> Theorem:
    """The tail, with the later step inside."""
    return (
        Calculation(TAIL, *between(1, tau, T))
        .by(distribute, where=lambda x: x.is_Mul)
        .by(exchange, (1, T - tau + 1), (i + tau, T))
        .theorem
    )


def _split_at_window() -> Theorem:
    """What the first steps do to all later losses: to those in the window, and to the others."""
    terms = Transpose(c(t)) * product(t, i + 1) * A(i)
    return (
        Calculation(Total(Total(terms, t, i, T), i, 1, T - tau + 1), *between(1, tau, T))
        .by(split_sum, i + tau - 1, where=lambda x: isinstance(x, Total) and x.bound == t)
        .by(sum_of_sums)
        .theorem
    )


@cache
def initial_window() -> Theorem:
    """``Σ_{t=1}^{τ} c_tᵀ ∂h_t/∂h_0 = λ^τ_1ᵀ J_1``: of the initial state, the terms t ≤ τ are kept."""
    return (
        Calculation(Total(Transpose(c(t)) * H(t), t, 1, tau), *between(1, tau, T))
        .use(initial_state())
        .by(peel_oldest)
        .by(take_out, sp.S.One, Transpose(c(t)) * product(t, 2), J(1))
        .use(cut_gathered(), {i: sp.S.One})
        .theorem
    )
