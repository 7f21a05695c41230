"""T7: second moments under random gates, and the covariance of the gradient."""

from __future__ import annotations

from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.adjoint_form import ADJOINT, LAMBDA
from bptt_verify.proof.claims.gates import BEFORE, LATER, error_of
from bptt_verify.proof.claims.letters import A, J, T, c, earlier, i, k, s, t
from bptt_verify.proof.claims.randomized import (
    GATED,
    GATED_ADJOINT,
    KAPPA,
    RANDOM,
    RECURSIVE,
    XI,
    Z,
    adjoint,
    expanded,
    recursive,
    unit,
)
from bptt_verify.proof.claims.unrolled import G
from bptt_verify.proof.kernel import (
    Definition,
    Mean,
    Theorem,
    Total,
    Transpose,
    assume,
    at_least,
    constants_out,
    empty_sum,
    equation,
    first_term,
    independence,
    induction,
    mean_of_constant,
    mean_of_sum,
    mean_of_transpose,
    transposition,
)

SECOND = equation(Mean(XI(k) ** 2), KAPPA(k), every=(k,))


def _second() -> Theorem:
    """``E ξ_k² = κ_k`` for every k: assumed."""
    return assume(SECOND)


@cache
def second_moment() -> Theorem:
    """``E z_t z_tᵀ = A Aᵀ + A Gᵀ Jᵀ + J G Aᵀ + κ_t J E[z_{t-1} z_{t-1}ᵀ] Jᵀ``, where G = ∂h_{t-1}/∂w."""
    before, xi = Z(t - 1), XI(t)
    fresh, carried = A(t), J(t) * before
    cross = fresh * Transpose(before) * Transpose(J(t))
    square = carried * Transpose(before) * Transpose(J(t))
    whole = (
        Calculation(Mean(Z(t) * Transpose(Z(t))), *LATER)
        .unfold(RECURSIVE)
        .by(transposition)
        .by(transposition, where=lambda x: isinstance(x, Transpose) and x.args[0].is_Mul)
    )
    terms = fresh * Transpose(fresh) + xi * cross + xi * carried * Transpose(fresh) + xi**2 * square
    return (
        expanded(whole, terms)
        .by(mean_of_sum)
        .by(mean_of_constant)
        .rewrite(_apart(xi, cross, RECURSIVE))
        .rewrite(_apart(xi, carried * Transpose(fresh), RECURSIVE))
        .rewrite(_apart(xi**2, square, RECURSIVE))
        .use(unit(), {k: t})
        .use(_second(), {k: t})
        .by(mean_of_transpose)
        .use(recursive(), {t: t - 1})
        .theorem
    )


def _apart(gate: sp.Expr, rest: sp.Expr, definition: Definition) -> Theorem:
    """``E[s X] = E[s] a E[Y] b`` for a gate s that is independent of X = a Y b."""
    both = independence(Mean(gate * rest), gate, (definition,), ())
    return Calculation(both.statement.left).rewrite(both).rewrite(constants_out(Mean(rest), ())).theorem


@cache
def adjoint_moment() -> Theorem:
    """``Λ_t = c_t c_tᵀ + c_t mᵀ J + Jᵀ m c_tᵀ + κ_{t+1} Jᵀ Λ_{t+1} J``, with Λ_t = E λ^ξ_t λ^ξ_tᵀ for t < T.

    Here J = J_{t+1}, and m = λ_{t+1} is the full adjoint.
    """
    after, xi, back = GATED(t + 1), XI(t + 1), Transpose(J(t + 1))
    direct, carried = c(t), back * after
    cross = direct * Transpose(after) * J(t + 1)
    square = carried * Transpose(after) * J(t + 1)
    whole = (
        Calculation(Mean(GATED(t) * Transpose(GATED(t))), *BEFORE)
        .unfold(GATED_ADJOINT)
        .by(transposition)
        .by(transposition, where=lambda x: isinstance(x, Transpose) and x.args[0].is_Mul)
    )
    terms = direct * Transpose(direct) + xi * cross + xi * carried * Transpose(direct) + xi**2 * square
    return (
        expanded(whole, terms)
        .by(mean_of_sum)
        .by(mean_of_constant)
        .rewrite(_apart(xi, cross, GATED_ADJOINT))
        .rewrite(_apart(xi, carried * Transpose(direct), GATED_ADJOINT))
        .rewrite(_apart(xi**2, square, GATED_ADJOINT))
        .use(unit(), {k: t + 1})
        .use(_second(), {k: t + 1})
        .by(mean_of_transpose)
        .use(adjoint(), {t: t + 1})
        .theorem
    )


@cache
def adjoint_covariance() -> Theorem:
    """``C_t = κ_{t+1} Jᵀ C_{t+1} J + (κ_{t+1} - 1) Jᵀ m mᵀ J`` with ``C_t = E λ^ξ_t λ^ξ_tᵀ - λ_t λ_tᵀ``.

    Here J = J_{t+1}, and m = λ_{t+1} is the full adjoint.
    """
    back, m, kappa = Transpose(J(t + 1)), LAMBDA(t + 1), KAPPA(t + 1)
    later = Mean(GATED(t + 1) * Transpose(GATED(t + 1)))
    exact = m * Transpose(m)
    return (
        Calculation(Mean(GATED(t) * Transpose(GATED(t))) - LAMBDA(t) * Transpose(LAMBDA(t)), *BEFORE)
        .use(adjoint_moment())
        .unfold(ADJOINT, t)
        .by(transposition)
        .by(transposition, where=lambda x: isinstance(x, Transpose) and x.args[0].is_Mul)
        .to(kappa * back * (later - exact) * J(t + 1) + (kappa - 1) * back * exact * J(t + 1))
        .theorem
    )


@cache
def initial_moment() -> Theorem:
    """``E[ĝ_0ᵀ ĝ_0] = κ_1 J_1ᵀ Λ_1 J_1`` with ``ĝ_0 = ξ_1 λ^ξ_1ᵀ J_1``, the gradient of h_0, for T ≥ 1."""
    random = XI(1) * Transpose(GATED(1)) * J(1)
    square = Transpose(J(1)) * GATED(1) * Transpose(GATED(1)) * J(1)
    gate, some = XI(1) ** 2, (at_least(T, 1),)
    whole = Calculation(Mean(Transpose(random) * random), *some).by(transposition)
    return (
        expanded(whole, gate * square)
        .rewrite(independence(Mean(gate * square), gate, (GATED_ADJOINT,), some))
        .use(_second(), {k: sp.S.One})
        .by(constants_out)
        .theorem
    )


ERROR = (XI(s) - 1) * Transpose(GATED(s)) * J(s) * G(s - 1)
MOMENT = Mean(GATED(s) * Transpose(GATED(s)))
SPREAD = (KAPPA(s) - 1) * Transpose(G(s - 1)) * Transpose(J(s)) * MOMENT * J(s) * G(s - 1)


@cache
def spread() -> Theorem:
    """``E[R_tᵀ R_t] = Σ_{s=t}^{T} (κ_s - 1) G_{s-1}ᵀ J_sᵀ Λ_s J_s G_{s-1}``.

    ``R_t = Σ_{s=t}^{T} (ξ_s - 1) λ^ξ_sᵀ J_s G_{s-1}`` with ``G = ∂h/∂w`` and ``Λ_s = E λ^ξ_s λ^ξ_sᵀ``.
    """
    rest = Total(ERROR, s, t, T)
    claim = equation(Mean(Transpose(rest) * rest), Total(SPREAD, s, t, T), at_least(T + 1, t))
    first = claim.at({t: T + 1})
    nothing = Calculation(first.right).by(empty_sum).theorem
    base = Calculation(first.left).by(empty_sum).by(mean_of_constant).back(nothing)
    known, u = earlier(claim, t, T + 1, -1)
    later = Total(ERROR, s, t + 1, T)
    own, gate, some = Transpose(GATED(t)) * J(t) * G(t - 1), XI(t) - 1, (at_least(T, t),)
    turned = Transpose(G(t - 1)) * Transpose(J(t)) * GATED(t)
    start = (
        Calculation(claim.left, *some)
        .rewrite(first_term(rest, some))
        .by(transposition)
        .by(transposition, where=lambda x: isinstance(x, Transpose) and x.args[0].is_Mul)
    )
    parts = ((gate**2, turned * own), (gate, turned * later), (gate, Transpose(later) * own))
    step = expanded(start, sp.Add(*(a * b for a, b in parts), Transpose(later) * later)).by(mean_of_sum)
    for a, b in parts:
        step.rewrite(independence(Mean(a * b), a, (GATED_ADJOINT,), some))
    step = (
        step.rewrite(_centred())
        .rewrite(_variance())
        .use(known, {u: t + 1})
        .rewrite(constants_out(Mean(turned * own), ()))
        .back(first_term(claim.right, some))
    )
    return induction(claim, t, T + 1, -1, base.theorem, step.theorem)


def _centred() -> Theorem:
    """``E[ξ_t - 1] = 0``."""
    return Calculation(Mean(XI(t) - 1)).by(mean_of_sum).by(mean_of_constant).use(unit(), {k: t}).theorem


def _variance() -> Theorem:
    """``E[(ξ_t - 1)²] = κ_t - 1``."""
    square = expanded(Calculation(Mean((XI(t) - 1) ** 2)), XI(t) ** 2 - 2 * XI(t) + 1)
    square = square.by(mean_of_sum).by(mean_of_constant).by(constants_out)
    return square.use(unit(), {k: t}).use(_second(), {k: t}).theorem


@cache
def error() -> Theorem:
    """``Σ_i λ^ξ_iᵀ A_i = Σ_t c_tᵀ ∂h_t/∂w + Σ_{t=2}^{T} (ξ_t - 1) λ^ξ_tᵀ J_t ∂h_{t-1}/∂w``, with random ξ."""
    return error_of(RANDOM)


@cache
def covariance() -> Theorem:
    """``E[(ĝ - g)ᵀ (ĝ - g)] = Σ_{t=2}^{T} (κ_t - 1) G_{t-1}ᵀ J_tᵀ Λ_t J_t G_{t-1}``, with G = ∂h/∂w.

    ``ĝ = Σ_i λ^ξ_iᵀ A_i`` is the random gradient and ``g = Σ_t c_tᵀ ∂h_t/∂w`` the exact one.
    """
    random, exact = Total(Transpose(GATED(i)) * A(i), i, 1, T), Total(Transpose(c(t)) * G(t), t, 1, T)
    some = (at_least(T, 1),)
    difference = Calculation(random - exact, *some).use(error()).theorem
    return (
        Calculation(Mean(Transpose(random - exact) * (random - exact)), *some)
        .rewrite(difference)
        .use(spread(), {t: sp.Integer(2)})
        .theorem
    )
