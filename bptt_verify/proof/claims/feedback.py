"""T11: rates and adjoints of what is fed, step by step, and the gradient forwards and backwards."""

from __future__ import annotations

from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.adjoint_form import regrouped
from bptt_verify.proof.claims.feeding import (
    ANY,
    FED,
    FORWARD,
    LAMBDA,
    LOSS,
    OF_FED,
    PATH,
    RATE,
    READ,
    SOME,
    B,
    G,
    S,
    V,
    Y,
    b,
)
from bptt_verify.proof.claims.gates import BEFORE, LATER
from bptt_verify.proof.claims.letters import T, c, i, t
from bptt_verify.proof.kernel import (
    Letter,
    Theorem,
    Total,
    Transpose,
    at_least,
    empty_product,
    empty_sum,
    first_term,
    last_term,
    one_term,
    peel_newest,
    peel_oldest,
    reindex,
    ring,
    specialise,
    substitute,
    sum_of_sums,
    take_out,
    transposition,
    unfold,
)


@cache
def state_rate() -> Theorem:
    """``dh_t/dw = A_t + H_t dh_{t-1}/dw + F_t du_t/dw`` for every t ≥ 1."""
    fed = unfold(ANY.fed_rates, t, LATER)
    return Calculation(RATE(t), *LATER).unfold(ANY.rates).back(fed).theorem


@cache
def first_fed() -> Theorem:
    """``du_1/dw = 0``: u_1 is given."""
    return Calculation(FED(1)).unfold(ANY.fed_rates).by(empty_sum).theorem


@cache
def fed_rate() -> Theorem:
    """``du_t/dw = (1 - m_t) do_{t-1}/dw`` for every t ≥ 2."""
    inner = ANY.own(i + 1) * ANY.passes(t - 1, i + 2) * (B(i) + G(i) * RATE(i))
    return (
        Calculation(FED(t), at_least(t, 2))
        .unfold(ANY.fed_rates)
        .by(last_term)
        .by(empty_product)
        .by(peel_newest)
        .by(take_out, ANY.own(t) * S(t - 1), inner, sp.S.One)
        .back(unfold(ANY.fed_rates, t - 1, (at_least(t, 2),)))
        .to(ANY.own(t) * (B(t - 1) + G(t - 1) * RATE(t - 1) + S(t - 1) * FED(t - 1)))
        .back(unfold(ANY.made_rates, t - 1, (at_least(t, 2),)))
        .theorem
    )


@cache
def state_adjoint() -> Theorem:
    """``λ_t = c_t + H_{t+1}ᵀ λ_{t+1} + (1 - m_{t+1}) G_tᵀ λ^u_{t+1}`` for every t < T."""
    fed = unfold(ANY.fed_adjoints, t + 1, BEFORE)
    return Calculation(LAMBDA(t), *BEFORE).unfold(ANY.adjoints).back(fed).theorem


@cache
def last_fed_adjoint() -> Theorem:
    """``λ^u_T = b_T + F_Tᵀ λ_T``: o_T is fed to no step."""
    last = Calculation(OF_FED(T)).unfold(ANY.fed_adjoints).by(one_term)
    return last.by(empty_product).by(transposition).theorem


@cache
def fed_adjoint() -> Theorem:
    """``λ^u_t = b_t + F_tᵀ λ_t + (1 - m_{t+1}) S_tᵀ λ^u_{t+1}`` for every t < T."""
    later = ANY.goes_on(t + 1).body
    return (
        Calculation(OF_FED(t), *BEFORE)
        .unfold(ANY.fed_adjoints)
        .by(first_term)
        .by(empty_product)
        .by(transposition)
        .by(peel_oldest)
        .by(transposition, where=lambda x: isinstance(x, Transpose) and x.args[0].is_Mul)
        .by(take_out, ANY.own(t + 1) * Transpose(S(t)), later, sp.S.One)
        .back(unfold(ANY.fed_adjoints, t + 1, BEFORE))
        .theorem
    )


def turned(recursion: Theorem) -> Theorem:
    """The same transposed, term by term."""
    turned = Calculation(Transpose(recursion.statement.left), *recursion.statement.given).use(recursion)
    while any(_can_be_turned(x) for x in turned.term.atoms(Transpose)):
        turned = turned.by(transposition, where=_can_be_turned)
    return turned.theorem


def _can_be_turned(x: sp.Expr) -> bool:
    return isinstance(x, Transpose) and isinstance(x.args[0], sp.Add | sp.Mul | Transpose)


def telescoped(last: Theorem, recursion: Theorem, rate: Letter) -> Theorem:
    """An adjoint times any rate, summed: what it says of the next step is shifted to that."""
    at_end, step = turned(last), turned(recursion)
    ends = [x * rate(T) for x in sp.Add.make_args(at_end.statement.right)]
    here = [substitute(x, {T: t}) for x in ends]
    terms = [x * rate(t) for x in sp.Add.make_args(step.statement.right)]
    after = [x for x in terms if x not in here]
    whole = Total(step.statement.left * rate(t), t, 1, T)
    chain = (
        Calculation(whole, *SOME)
        .by(last_term)
        .rewrite(step)
        .rewrite(at_end)
        .rewrite(ring(step.statement.right * rate(t), sp.Add(*terms)))
        .rewrite(ring(at_end.statement.right * rate(T), sp.Add(*ends)))
        .by(sum_of_sums)
    )
    for term in here:
        chain = chain.back(last_term(Total(term, t, 1, T), SOME))
    for term in after:
        chain = chain.rewrite(reindex(Total(term, t, 1, T - 1), t, t - 1, ()))
    return chain.theorem


def alone(theorem: Theorem, direct: Letter) -> Theorem:
    """The direct part alone on the right."""
    s = theorem.statement
    others = [x for x in s.right.args if Transpose(direct(t)) not in x.body.args]
    return Calculation(sp.Add(s.left, *(-x for x in others)), *SOME).rewrite(theorem).theorem


@cache
def by_states() -> Theorem:
    """``Σ λ_tᵀ Y_t = Σ c_tᵀ Y_t + Σ_{t≥2} λ_tᵀ H_t Y_{t-1} + Σ_{t≥2} (1 - m_t) λ^u_tᵀ G_{t-1} Y_{t-1}``."""
    return telescoped(unfold(ANY.adjoints, T, ()), state_adjoint(), Y)


@cache
def by_fed() -> Theorem:
    """``Σ λ^u_tᵀ V_t = Σ b_tᵀ V_t + Σ λ_tᵀ F_t V_t + Σ_{t≥2} (1 - m_t) λ^u_tᵀ S_{t-1} V_{t-1}``."""
    return telescoped(last_fed_adjoint(), fed_adjoint(), V)


@cache
def gradient() -> Theorem:
    """``Σ_t (c_tᵀ dh_t/dw + b_tᵀ du_t/dw) = Σ_t λ_tᵀ A_t + Σ_{t≥2} (1 - m_t) λ^u_tᵀ B_{t-1}``."""
    return (
        Calculation(FORWARD, *SOME)
        .by(sum_of_sums)
        .back(alone(specialise(by_states(), Y, t, RATE(t)), c))
        .back(alone(specialise(by_fed(), V, t, FED(t)), b))
        .rewrite(along(LAMBDA, state_rate(), unfold(ANY.rates, 0, ())))
        .rewrite(_rates_of_fed())
        .theorem
    )


def along(adjoint: Letter, recursion: Theorem, start: Theorem) -> Theorem:
    """``Σ λ_tᵀ (a rate)_t``, by the recursion of the rate, which starts at 0."""
    rate, row = recursion.statement.left, Transpose(adjoint(t))
    terms = [row * x for x in recursion.statement.right.args]
    (before,) = (Total(x, t, 1, T) for x in terms if x.has(substitute(rate, {t: t - 1})))
    return (
        Calculation(Total(row * rate, t, 1, T), *SOME)
        .use(recursion)
        .rewrite(ring(row * recursion.statement.right, sp.Add(*terms)))
        .by(sum_of_sums)
        .rewrite(first_term(before, SOME))
        .rewrite(start)
        .theorem
    )


def _rates_of_fed() -> Theorem:
    """``Σ λ^u_tᵀ du_t/dw``, by the value that was made one step earlier."""
    made = unfold(ANY.made_rates, t - 1, (at_least(t, 2),))
    terms = [PATH * x for x in made.statement.right.args]
    return (
        Calculation(Total(Transpose(OF_FED(t)) * FED(t), t, 1, T), *SOME)
        .by(first_term)
        .use(first_fed())
        .use(fed_rate())
        .rewrite(made)
        .rewrite(ring(PATH * made.statement.right, sp.Add(*terms)))
        .by(sum_of_sums)
        .theorem
    )


@cache
def loss_gradient() -> Theorem:
    """The same with all that the losses read: w itself, ``h_t``, ``h_{t-1}`` and ``u_t``."""
    return (
        Calculation(LOSS, *SOME)
        .by(sum_of_sums)
        .back(sum_of_sums(Total(READ, t, 1, T), ()))
        .rewrite(regrouped(RATE).unfold(ANY.rates, 0).theorem)
        .back(sum_of_sums(FORWARD, ()))
        .use(gradient())
        .theorem
    )
