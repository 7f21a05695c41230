"""T11: what only one step reads, such as an input, the initial state, the first value that is fed; m_1."""

from __future__ import annotations

from functools import cache

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.feedback import fed_adjoint, gradient, turned
from bptt_verify.proof.claims.feeding import (
    ANY,
    BY_VALUES,
    FORWARD,
    LAMBDA,
    RATE,
    B,
    F,
    Feeding,
    H,
    M,
    S,
    b,
)
from bptt_verify.proof.claims.gates import BEFORE, LATER
from bptt_verify.proof.claims.letters import A, T, earlier, i, k, s, t
from bptt_verify.proof.kernel import (
    Letter,
    Theorem,
    Total,
    Transpose,
    assume,
    at_least,
    between,
    equation,
    induction,
    instantiate,
    last_term,
    resize,
    split_sum,
    sum_of_zeros,
    unfold,
)

BY_STATES = Total(Transpose(LAMBDA(t)) * A(t), t, 1, T)
OTHER = Feeding(
    Letter("m'"),
    Letter("dh'/dw", "n", "p"),
    Letter("du'/dw", "q", "p"),
    Letter("do'/dw", "q", "p"),
    Letter("λ'", "n", "1"),
    Letter("λ'^u", "q", "1"),
)
SAME_MASK = equation(OTHER.mask(k), M(k), at_least(k, 2), every=(k,))


def _unread(letter: Letter, *given: object) -> Theorem:
    return assume(equation(letter(k), 0, *given, every=(k,)))


@cache
def one_step() -> Theorem:
    """The gradient is ``λ_sᵀ A_s + (1 - m_{s+1}) λ^u_{s+1}ᵀ B_s`` for 1 ≤ s < T, if only step s reads w."""
    within = between(1, s, T - 1)
    before, after = between(1, k, s - 1), between(s + 1, k, T)
    first = Total(BY_STATES.body, t, 1, s)
    value = Total(BY_VALUES.body, t, 2, s + 1)
    return (
        Calculation(FORWARD, *within)
        .use(gradient())
        .rewrite(split_sum(BY_STATES, s, within))
        .rewrite(last_term(first, within))
        .use(_unread(A, *before), {k: t})
        .by(sum_of_zeros)
        .use(_unread(A, *after), {k: t})
        .by(sum_of_zeros)
        .rewrite(split_sum(BY_VALUES, s + 1, within))
        .rewrite(last_term(value, within))
        .use(_unread(B, *before), {k: t - 1})
        .by(sum_of_zeros)
        .use(_unread(B, *after), {k: t - 1})
        .by(sum_of_zeros)
        .theorem
    )


@cache
def initial_state() -> Theorem:
    """``λ_1ᵀ H_1`` for h_0, which step 1 reads as A_1 = H_1, and whose value reads h_1 alone, B_1 = 0."""
    by_h0 = instantiate(resize(one_step(), "p", "n"), ((s, 1),))
    read = assume(equation(A.resized("p", "n")(1), H(1)))
    no_value = assume(equation(B.resized("p", "n")(1), 0))
    return Calculation(by_h0.statement.left, at_least(T, 2)).use(by_h0).use(read).use(no_value).theorem


@cache
def first_fed_gradient() -> Theorem:
    """``λ^u_1`` is the gradient of u_1, which step 1 reads as A_1 = F_1 and B_1 = S_1."""
    by_u1 = instantiate(resize(one_step(), "p", "q"), ((s, 1),))
    read = assume(equation(A.resized("p", "q")(1), F(1)))
    value = assume(equation(B.resized("p", "q")(1), S(1)))
    given = (at_least(T, 2),)
    return (
        Calculation(by_u1.statement.left + Transpose(b(1)), *given)
        .use(by_u1)
        .use(read)
        .use(value)
        .back(turned(instantiate(fed_adjoint(), ((t, 1),))))
        .theorem
    )


@cache
def first_mask() -> Theorem:
    """``dh'_t/dw = dh_t/dw`` if m'_k = m_k for every k ≥ 2: m_1 is without effect."""
    claim = equation(OTHER.rate(t), RATE(t), t)
    base = Calculation(OTHER.rate(0)).unfold(OTHER.rates).back(unfold(ANY.rates, 0, ()))
    known, u = earlier(claim, t, 0)
    alike = assume(SAME_MASK)
    step = (
        Calculation(OTHER.rate(t), *LATER)
        .unfold(OTHER.rates)
        .use(alike, {k: i + 1})
        .use(alike)
        .use(known, {u: t - 1})
        .use(known, {u: i})
        .back(unfold(ANY.rates, t, LATER))
    )
    return induction(claim, t, 0, 1, base.theorem, step.theorem)


@cache
def first_mask_backwards() -> Theorem:
    """``λ'_t = λ_t`` for 1 ≤ t ≤ T."""
    claim = equation(OTHER.adjoint(t), LAMBDA(t), *LATER)
    base = Calculation(OTHER.adjoint(T)).unfold(OTHER.adjoints).back(unfold(ANY.adjoints, T, ()))
    known, u = earlier(claim, t, T, -1)
    alike = assume(SAME_MASK)
    step = (
        Calculation(OTHER.adjoint(t), *LATER, *BEFORE)
        .unfold(OTHER.adjoints)
        .use(alike, {k: t + 1})
        .use(alike)
        .use(known, {u: t + 1})
        .use(known, {u: s})
        .back(unfold(ANY.adjoints, t, BEFORE))
    )
    return induction(claim, t, T, -1, base.theorem, step.theorem)
