"""T12: the gradient with what is fed held constant, and the paths through what is fed."""

from __future__ import annotations

from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.adjoint_form import e
from bptt_verify.proof.claims.feedback import (
    alone,
    along,
    by_states,
    fed_rate,
    first_fed,
    gradient,
    state_rate,
    telescoped,
    turned,
)
from bptt_verify.proof.claims.feeding import (
    ANY,
    BY_VALUES,
    FED,
    LAMBDA,
    PATH,
    RATE,
    SOME,
    B,
    F,
    G,
    H,
    Y,
    b,
)
from bptt_verify.proof.claims.forcing import FREE, ordinary_fed_adjoint
from bptt_verify.proof.claims.gates import BEFORE, END, LATER, START
from bptt_verify.proof.claims.letters import A, T, c, earlier, k, t
from bptt_verify.proof.kernel import (
    Case,
    Definition,
    Letter,
    Theorem,
    Total,
    Transpose,
    assume,
    at_least,
    equation,
    first_term,
    induction,
    ring,
    specialise,
    sum_of_sums,
    take_out,
    unfold,
)

DETACHED = Letter("(dh/dw)_det", "n", "p")
MADE_DETACHED = Letter("(do/dw)_det", "q", "p")
LAMBDA_DETACHED = Letter("λ^det", "n", "1")


def _held(rate: Letter, partial: Letter, jacobian: Letter) -> Definition:
    step = partial(t) + jacobian(t) * rate(t - 1)
    return Definition(rate, t, (Case(START, sp.S.Zero), Case(LATER, step)))


def _behind(adjoint: Letter, direct: Letter, jacobian: Letter) -> Definition:
    step = direct(t) + Transpose(jacobian(t + 1)) * adjoint(t + 1)
    return Definition(adjoint, t, (Case(END, direct(T)), Case(BEFORE, step)), -1, T)


RATES = _held(DETACHED, A, H)
"""The chain rule of one step with u_t held constant."""

MADE_RATES = Definition(MADE_DETACHED, t, (Case(LATER, B(t) + G(t) * DETACHED(t)),))
"""What w does to o_t if u_t is held constant: on the way through the state and directly."""

ADJOINTS = _behind(LAMBDA_DETACHED, c, H)
"""The adjoint with everything that is fed held constant."""

WHOLE = Total(e(t) + Transpose(c(t)) * RATE(t) + Transpose(b(t)) * FED(t), t, 1, T)
HELD = Total(e(t) + Transpose(c(t)) * DETACHED(t), t, 1, T)
PATHS = Total(PATH * MADE_DETACHED(t - 1), t, 2, T)


@cache
def paths() -> Theorem:
    """``∂L/∂w = g_det + Σ_{t≥2} (1 - m_t) λ^u_tᵀ (do_{t-1}/dw)_det``."""
    own = Transpose(c(t)) * RATE(t) + Transpose(b(t)) * FED(t)
    through = PATH * G(t - 1) * DETACHED(t - 1)
    made = unfold(MADE_RATES, t - 1, (at_least(t, 2),))
    return (
        Calculation(WHOLE, *SOME)
        .by(sum_of_sums)
        .back(sum_of_sums(Total(own, t, 1, T), ()))
        .use(gradient())
        .back(_partials())
        .back(sum_of_sums(Total(BY_VALUES.body + through, t, 2, T), ()))
        .rewrite(ring(BY_VALUES.body + through, PATH * made.statement.right))
        .back(made)
        .back(sum_of_sums(HELD, ()))
        .theorem
    )


def _partials() -> Theorem:
    """``Σ c_tᵀ (dh_t/dw)_det + Σ_{t≥2} (1 - m_t) λ^u_tᵀ G_{t-1} (dh_{t-1}/dw)_det = Σ λ_tᵀ A_t``."""
    direct = Total(Transpose(c(t)) * DETACHED(t), t, 1, T)
    through = Total(PATH * G(t - 1) * DETACHED(t - 1), t, 2, T)
    return (
        Calculation(direct + through, *SOME)
        .back(alone(specialise(by_states(), Y, t, DETACHED(t)), c))
        .rewrite(along(LAMBDA, unfold(RATES, t, LATER), unfold(RATES, 0, ())))
        .theorem
    )


@cache
def free_paths() -> Theorem:
    """``g_free = g_det + Σ_{t≥2} λ^u_tᵀ (do_{t-1}/dw)_det`` if m_k = 0 for every k ≥ 2."""
    return Calculation(WHOLE, *SOME).use(paths()).use(assume(FREE), {k: t}).theorem


@cache
def ordinary_paths() -> Theorem:
    """``g_free = g_det + Σ_{t≥2} λ_tᵀ F_t (do_{t-1}/dw)_det`` if no loss and no value reads what was fed."""
    return Calculation(WHOLE, *SOME).use(free_paths()).rewrite(turned(ordinary_fed_adjoint())).theorem


@cache
def other_order() -> Theorem:
    """``∂L/∂w = g_det + Σ_{t≥2} (1 - m_t) (b_t + F_tᵀ λ^det_t)ᵀ do_{t-1}/dw``: the other order."""
    row, fed = Transpose(LAMBDA_DETACHED(t)), FED(t)
    direct, reads = Transpose(c(t)) * RATE(t), Transpose(b(t)) * fed
    through = row * F(t) * fed
    last, step = unfold(ADJOINTS, T, ()), unfold(ADJOINTS, t, BEFORE)
    telescope = telescoped(last, step, Y)
    held = Total(Transpose(c(t)) * DETACHED(t), t, 1, T)
    partials = (
        Calculation(held, *SOME)
        .back(alone(specialise(telescope, Y, t, DETACHED(t)), c))
        .rewrite(along(LAMBDA_DETACHED, unfold(RATES, t, LATER), unfold(RATES, 0, ())))
    )
    states = (
        Calculation(Total(direct, t, 1, T), *SOME)
        .back(alone(specialise(telescope, Y, t, RATE(t)), c))
        .rewrite(along(LAMBDA_DETACHED, state_rate(), unfold(ANY.rates, 0, ())))
        .back(partials.theorem)
    )
    return (
        Calculation(WHOLE, *SOME)
        .by(sum_of_sums)
        .rewrite(states.theorem)
        .back(sum_of_sums(Total(reads + through, t, 1, T), ()))
        .rewrite(ring(reads + through, (Transpose(b(t)) + row * F(t)) * fed))
        .rewrite(first_term(Total((Transpose(b(t)) + row * F(t)) * fed, t, 1, T), SOME))
        .use(first_fed())
        .use(fed_rate())
        .back(sum_of_sums(HELD, ()))
        .theorem
    )


# ── against teacher forcing ───────────────────────────────────────────────────────────────────────

A_TEACHER, H_TEACHER = Letter("A'", "n", "p"), Letter("H'", "n", "n")
C_TEACHER, E_TEACHER = Letter("c'", "n", "1"), Letter("∂⁺L'/∂w", "1", "p")
TEACHER_RATE, LAMBDA_TEACHER = Letter("dh'/dw", "n", "p"), Letter("λ'", "n", "1")
TEACHER_RATES = _held(TEACHER_RATE, A_TEACHER, H_TEACHER)
"""The chain rule of one step under teacher forcing (T11), along the trajectory that is its own."""

TEACHER_ADJOINTS = _behind(LAMBDA_TEACHER, C_TEACHER, H_TEACHER)
"""The adjoint under teacher forcing."""

TEACHER = Total(E_TEACHER(t) + Transpose(C_TEACHER(t)) * TEACHER_RATE(t), t, 1, T)
ALIKE = tuple(
    equation(one(k), other(k), every=(k,))
    for one, other in ((A_TEACHER, A), (H_TEACHER, H), (C_TEACHER, c), (E_TEACHER, e))
)


@cache
def exposure() -> Theorem:
    """``g_free - g_teacher = Σ_{t≥2} λ^u_tᵀ (do_{t-1}/dw)_det + (g_det - g_teacher)``."""
    return Calculation(WHOLE - TEACHER, *SOME).use(free_paths()).theorem


DIFFERS = Total(
    e(t)
    - E_TEACHER(t)
    + (Transpose(c(t)) - Transpose(C_TEACHER(t))) * DETACHED(t)
    + Transpose(LAMBDA_TEACHER(t)) * (A(t) - A_TEACHER(t)),
    t,
    1,
    T,
) + Total(Transpose(LAMBDA_TEACHER(t)) * (H(t) - H_TEACHER(t)) * DETACHED(t - 1), t, 2, T)


@cache
def trajectories() -> Theorem:
    """What differs between the two trajectories, step by step, adds up to ``g_det - g_teacher``."""
    teacher, mixed = _teacher_partials(TEACHER_RATE, TEACHER_RATES), _teacher_partials(DETACHED, RATES)
    teacher_sum = teacher.statement.left
    chain = Calculation(DIFFERS, *SOME)
    for whole in DIFFERS.args:
        terms = sp.expand(whole.body).args
        chain = chain.rewrite(ring(whole.body, sp.Add(*terms))).by(sum_of_sums)
        for x in (-x for x in terms if x.as_coeff_Mul()[0] == -1):
            chain = chain.rewrite(take_out(Total(-x, t, whole.low, T), -sp.S.One, x, sp.S.One, ()))
    explicit = Total(e(t), t, 1, T) - Total(E_TEACHER(t), t, 1, T)
    direct = Total(Transpose(c(t)) * DETACHED(t), t, 1, T)
    return (
        chain.rewrite(mixed)
        .to(explicit + direct - teacher.statement.right)
        .back(teacher)
        .back(sum_of_sums(HELD, ()))
        .to(HELD - (Total(E_TEACHER(t), t, 1, T) + teacher_sum))
        .back(sum_of_sums(TEACHER, ()))
        .theorem
    )


def _teacher_partials(rate: Letter, rates: Definition) -> Theorem:
    """``Σ c'_tᵀ (a rate)_t``, by the adjoint under teacher forcing."""
    last, step = unfold(TEACHER_ADJOINTS, T, ()), unfold(TEACHER_ADJOINTS, t, BEFORE)
    return (
        Calculation(Total(Transpose(C_TEACHER(t)) * rate(t), t, 1, T), *SOME)
        .back(alone(specialise(telescoped(last, step, Y), Y, t, rate(t)), C_TEACHER))
        .rewrite(along(LAMBDA_TEACHER, unfold(rates, t, LATER), unfold(rates, 0, ())))
        .theorem
    )


@cache
def same_rates() -> Theorem:
    """``dh'_t/dw = (dh_t/dw)_det`` if A'_k = A_k and H'_k = H_k for every k."""
    partial, jacobian = map(assume, ALIKE[:2])
    claim = equation(TEACHER_RATE(t), DETACHED(t), t)
    base = Calculation(TEACHER_RATE(0)).unfold(TEACHER_RATES).back(unfold(RATES, 0, ()))
    known, u = earlier(claim, t, 0)
    step = (
        Calculation(TEACHER_RATE(t), *LATER)
        .unfold(TEACHER_RATES)
        .use(partial, {k: t})
        .use(jacobian, {k: t})
        .use(known, {u: t - 1})
        .back(unfold(RATES, t, LATER))
    )
    return induction(claim, t, 0, 1, base.theorem, step.theorem)


@cache
def no_exposure() -> Theorem:
    """``g_free - g_teacher = Σ_{t≥2} λ^u_tᵀ (do_{t-1}/dw)_det`` if all derivatives of one step are alike."""
    direct, explicit = map(assume, ALIKE[2:])
    difference = Calculation(WHOLE - TEACHER, *SOME).use(exposure())
    return difference.use(direct, {k: t}).use(explicit, {k: t}).use(same_rates()).theorem
