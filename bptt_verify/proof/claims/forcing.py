"""T11: teacher forcing, free running, and what a gradient is where the output is a function of the state."""

from __future__ import annotations

from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.feedback import (
    fed_adjoint,
    fed_rate,
    first_fed,
    last_fed_adjoint,
    loss_gradient,
    state_adjoint,
    state_rate,
    turned,
)
from bptt_verify.proof.claims.feeding import (
    ANY,
    FED,
    LAMBDA,
    LOSS,
    OF_FED,
    RATE,
    SOME,
    B,
    F,
    G,
    H,
    M,
    S,
    b,
)
from bptt_verify.proof.claims.gates import BEFORE, LATER
from bptt_verify.proof.claims.letters import A, J, T, c, earlier, k, t
from bptt_verify.proof.claims.unrolled import SENSITIVITY, unrolled_at_any_step
from bptt_verify.proof.claims.unrolled import G as SENSITIVITY_TO_W
from bptt_verify.proof.kernel import (
    Case,
    Definition,
    Letter,
    Statement,
    Theorem,
    Transpose,
    assume,
    at_least,
    equation,
    induction,
    specialise,
    sum_of_zeros,
    transposition,
    unfold,
)

FROM_SECOND = (at_least(t, 2),)


def _every(left: sp.Expr, right: object, *given: sp.Expr) -> Statement:
    return equation(left, right, *given, every=(k,))


TEACHER = _every(M(k), 1, at_least(k, 2))
FREE = _every(M(k), 0, at_least(k, 2))
NO_OTHER_RECURRENCE = _every(H(k), 0, at_least(k, 2))
BY_STATE = _every(S(k), 0)  # the value that is fed does not read what was fed
NOT_READ = _every(b(k), 0)  # no loss reads what was fed


# ── teacher forcing ───────────────────────────────────────────────────────────────────────────────


@cache
def teacher_fed() -> Theorem:
    """``du_t/dw = 0`` for every t ≥ 1 if m_k = 1 for every k ≥ 2: a target does not depend on w."""
    later = Calculation(FED(t), *FROM_SECOND).use(fed_rate()).use(assume(TEACHER), {k: t})
    return induction(equation(FED(t), 0, *LATER), t, 1, 1, first_fed(), later.theorem)


@cache
def teacher_rate() -> Theorem:
    """``dh_t/dw = A_t + H_t dh_{t-1}/dw``: the path through the output vanishes."""
    return Calculation(RATE(t), *LATER).use(state_rate()).use(teacher_fed()).theorem


@cache
def teacher_adjoint() -> Theorem:
    """``λ_t = c_t + H_{t+1}ᵀ λ_{t+1}`` for 1 ≤ t < T."""
    step = Calculation(LAMBDA(t), *LATER, *BEFORE).use(state_adjoint())
    return step.use(assume(TEACHER), {k: t + 1}).theorem


@cache
def teacher_gradient() -> Theorem:
    """``∂L/∂w = Σ_t ∂L_t/∂w + Σ_t λ_tᵀ A_t``."""
    whole = Calculation(LOSS, *SOME).use(loss_gradient())
    return whole.use(assume(TEACHER), {k: t}).by(sum_of_zeros).theorem


@cache
def decoupled_rate() -> Theorem:
    """``dh_t/dw = A_t`` for every t ≥ 1 if also H_k = 0 for every k ≥ 2: no step knows of another."""
    first = Calculation(RATE(1)).use(teacher_rate(), {t: 1}).unfold(ANY.rates, 0)
    later = Calculation(RATE(t), *FROM_SECOND).use(teacher_rate()).use(assume(NO_OTHER_RECURRENCE), {k: t})
    return induction(equation(RATE(t), A(t), *LATER), t, 1, 1, first.theorem, later.theorem)


@cache
def decoupled_adjoint() -> Theorem:
    """``λ_t = c_t`` for 1 ≤ t ≤ T."""
    last = unfold(ANY.adjoints, T, ())
    step = Calculation(LAMBDA(t), *LATER, *BEFORE).use(teacher_adjoint())
    step = step.use(assume(NO_OTHER_RECURRENCE), {k: t + 1}).by(transposition)
    return induction(equation(LAMBDA(t), c(t), *LATER), t, T, -1, last, step.theorem)


@cache
def decoupled_gradient() -> Theorem:
    """``∂L/∂w = Σ_t ∂L_t/∂w + Σ_t c_tᵀ A_t``: a sum over the steps, each alone."""
    return Calculation(LOSS, *SOME).use(teacher_gradient()).use(decoupled_adjoint()).theorem


# ── free running ──────────────────────────────────────────────────────────────────────────────────


@cache
def free_fed() -> Theorem:
    """``du_t/dw = do_{t-1}/dw`` for every t ≥ 2 if m_k = 0 for every k ≥ 2."""
    return Calculation(FED(t), *FROM_SECOND).use(fed_rate()).use(assume(FREE), {k: t}).theorem


# ── an ordinary recurrence ────────────────────────────────────────────────────────────────────────

FIRST = (at_least(t, 1), at_least(1, t))
A_FED = Letter("A^u", "n", "p")
JACOBIAN = Definition(J, t, (Case(FIRST, H(1)), Case(FROM_SECOND, H(t) + ANY.own(t) * F(t) * G(t - 1))))
"""J_t: by the state itself, and through the output that was fed."""

PARTIAL = Definition(A_FED, t, (Case(FIRST, A(1)), Case(FROM_SECOND, A(t) + ANY.own(t) * F(t) * B(t - 1))))
"""A^u_t: what w does in step t, and to the output that was fed."""


@cache
def ordinary_rate() -> Theorem:
    """``dh_t/dw = A^u_t + J_t dh_{t-1}/dw`` for every t ≥ 1 if every S_k = 0."""
    claim = equation(RATE(t), A_FED(t) + J(t) * RATE(t - 1), *LATER)
    at_first = Calculation(claim.at({t: sp.S.One}).right).unfold(PARTIAL).unfold(JACOBIAN)
    base = Calculation(RATE(1)).use(state_rate(), {t: 1}).use(first_fed()).back(at_first.theorem)
    later = Calculation(claim.right, *FROM_SECOND).unfold(PARTIAL).unfold(JACOBIAN)
    step = (
        Calculation(RATE(t), *FROM_SECOND)
        .use(state_rate())
        .use(fed_rate())
        .unfold(ANY.made_rates)
        .use(assume(BY_STATE), {k: t - 1})
        .to(later.term)
        .back(later.theorem)
    )
    return induction(claim, t, 1, 1, base.theorem, step.theorem)


@cache
def ordinary() -> Theorem:
    """``dh_t/dw = ∂h_t/∂w``: that of the ordinary recurrence with A^u_t and J_t, of which T1 speaks."""
    with_fed = SENSITIVITY.mapped(lambda x: x.xreplace({A(t): A_FED(t)}), frozenset())
    claim = equation(RATE(t), SENSITIVITY_TO_W(t), t)
    start = unfold(with_fed, 0, ())
    base = Calculation(RATE(0)).unfold(ANY.rates).back(start)
    known, u = earlier(claim, t, 0)
    step = Calculation(RATE(t), *LATER).use(ordinary_rate()).use(known, {u: t - 1})
    return induction(claim, t, 0, 1, base.theorem, step.back(unfold(with_fed, t, LATER)).theorem)


@cache
def unrolled() -> Theorem:
    """``dh_t/dw = Σ_{i=1}^{t} (J_t … J_{i+1}) A^u_i`` for every t ≥ 0."""
    closed = specialise(unrolled_at_any_step(), A, t, A_FED(t))
    return Calculation(RATE(t), t).use(ordinary()).use(closed).theorem


@cache
def ordinary_fed_adjoint() -> Theorem:
    """``λ^u_t = F_tᵀ λ_t`` for t ≤ T if every S_k = 0 and every b_k = 0."""
    claim = equation(OF_FED(t), Transpose(F(t)) * LAMBDA(t), at_least(T, t))
    unread, by_state = assume(NOT_READ), assume(BY_STATE)
    last = Calculation(OF_FED(T)).use(last_fed_adjoint()).use(unread, {k: T})
    step = Calculation(OF_FED(t), *BEFORE).use(fed_adjoint()).use(unread, {k: t}).use(by_state, {k: t})
    step = step.by(transposition)
    return induction(claim, t, T, -1, last.theorem, step.theorem)


@cache
def ordinary_adjoint() -> Theorem:
    """``λ_t = c_t + J_{t+1}ᵀ λ_{t+1}`` for 1 ≤ t < T: the recursion of T2."""
    within = (*LATER, *BEFORE)
    whole = turned(unfold(JACOBIAN, t + 1, within))
    return (
        Calculation(LAMBDA(t), *within)
        .use(state_adjoint())
        .use(ordinary_fed_adjoint(), {t: t + 1})
        .to(c(t) + whole.statement.right * LAMBDA(t + 1))
        .back(whole)
        .theorem
    )
