"""T7: randomized truncation: random independent gates leave the mean of the gradient as it is."""

from __future__ import annotations

from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.adjoint_form import ADJOINT, LAMBDA
from bptt_verify.proof.claims.gates import BEFORE, LATER, START, Gates
from bptt_verify.proof.claims.letters import A, J, T, c, earlier, i, k, t
from bptt_verify.proof.claims.unrolled import SENSITIVITY, G
from bptt_verify.proof.kernel import (
    Case,
    Definition,
    Letter,
    Mean,
    Theorem,
    Total,
    Transpose,
    assume,
    at_least,
    constants_out,
    equation,
    independence,
    induction,
    mean_of_constant,
    mean_of_sum,
    mean_of_transpose,
    ring,
    unfold,
)

RANDOM = Gates(
    Letter("ξ", random="independent"),
    Letter("λ^ξ", "n", "1", random="derived"),
    Letter("z", "n", "p", random="derived"),
)
XI, GATED, Z = RANDOM.gate, RANDOM.adjoint, RANDOM.forward
GATED_ADJOINT, RECURSIVE = RANDOM.backward_mode, RANDOM.forward_mode
ONCE = Letter("z^1", "n", "p", random="derived")
SHARED = Letter("z^s", "n", "p", random="derived")
KAPPA = Letter("κ")

ONE_STEP = Definition(ONCE, t, (Case(LATER, A(t) + XI(t) * J(t) * G(t - 1)),))
"""One random step from the exact derivative before it."""

ONE_GATE = Definition(SHARED, t, (Case(START, sp.S.Zero), Case(LATER, A(t) + XI() * J(t) * SHARED(t - 1))))
"""The recursion with one gate ξ for all steps."""

UNIT = equation(Mean(XI(k)), 1, every=(k,))


def unit() -> Theorem:
    """``E ξ_k = 1`` for every k: assumed."""
    return assume(UNIT)


@cache
def one_step() -> Theorem:
    """``E z^1_t = ∂h_t/∂w`` for every t ≥ 1, with ``z^1_t = A_t + ξ_t J_t ∂h_{t-1}/∂w``."""
    return (
        Calculation(Mean(ONCE(t)), *LATER)
        .unfold(ONE_STEP)
        .by(mean_of_sum)
        .by(mean_of_constant)
        .by(constants_out)
        .use(unit(), {k: t})
        .back(unfold(SENSITIVITY, t, LATER))
        .theorem
    )


@cache
def recursive() -> Theorem:
    """``E z_t = ∂h_t/∂w`` for every t ≥ 0, with ``z_t = A_t + ξ_t J_t z_{t-1}``."""
    return unbiased(RECURSIVE, XI(t), unit())


def unbiased(definition: Definition, gate: sp.Expr, open_on_average: Theorem) -> Theorem:
    """The proof for a recursion with the given gate at step t; refused if it is not independent."""
    own = definition.letter
    claim = equation(Mean(own(t)), G(t), t)
    start = Calculation(G(0)).unfold(SENSITIVITY).theorem
    base = Calculation(Mean(own(0))).unfold(definition).by(mean_of_constant).back(start)
    known, u = earlier(claim, t, 0)
    step = (
        Calculation(Mean(own(t)), *LATER)
        .unfold(definition)
        .by(mean_of_sum)
        .by(mean_of_constant)
        .by(independence, gate, (definition,))
        .use(open_on_average, {k: t})
        .by(constants_out)
        .use(known, {u: t - 1})
        .back(unfold(SENSITIVITY, t, LATER))
    )
    return induction(claim, t, 0, 1, base.theorem, step.theorem)


@cache
def forward_gradient() -> Theorem:
    """``E Σ_t c_tᵀ z_t = Σ_t c_tᵀ ∂h_t/∂w``: forward mode with random gates."""
    return (
        Calculation(Mean(Total(Transpose(c(t)) * Z(t), t, 1, T)))
        .by(mean_of_sum)
        .by(constants_out)
        .use(recursive())
        .theorem
    )


@cache
def adjoint() -> Theorem:
    """``E λ^ξ_t = λ_t`` for every t ≤ T, with ``λ^ξ_t = c_t + ξ_{t+1} J_{t+1}ᵀ λ^ξ_{t+1}``."""
    claim = equation(Mean(GATED(t)), LAMBDA(t), at_least(T, t))
    last = Calculation(LAMBDA(T)).unfold(ADJOINT).theorem
    base = Calculation(Mean(GATED(T))).unfold(GATED_ADJOINT).by(mean_of_constant).back(last)
    known, u = earlier(claim, t, T, -1)
    step = (
        Calculation(Mean(GATED(t)), *BEFORE)
        .unfold(GATED_ADJOINT)
        .by(mean_of_sum)
        .by(mean_of_constant)
        .by(independence, XI(t + 1), (GATED_ADJOINT,))
        .use(unit(), {k: t + 1})
        .by(constants_out)
        .use(known, {u: t + 1})
        .back(unfold(ADJOINT, t, BEFORE))
    )
    return induction(claim, t, T, -1, base.theorem, step.theorem)


@cache
def backward_gradient() -> Theorem:
    """``E Σ_i λ^ξ_iᵀ A_i = Σ_i λ_iᵀ A_i``: backward mode with random gates."""
    return (
        Calculation(Mean(Total(Transpose(GATED(i)) * A(i), i, 1, T)))
        .by(mean_of_sum)
        .by(constants_out)
        .by(mean_of_transpose)
        .use(adjoint(), {t: i})
        .theorem
    )


@cache
def initial_gradient() -> Theorem:
    """``E ξ_1 λ^ξ_1ᵀ J_1 = λ_1ᵀ J_1``: the gradient of h_0, for T ≥ 1."""
    return (
        Calculation(Mean(XI(1) * Transpose(GATED(1)) * J(1)), at_least(T, 1))
        .by(independence, XI(1), (GATED_ADJOINT,))
        .use(unit(), {k: sp.S.One})
        .by(constants_out)
        .by(mean_of_transpose)
        .use(adjoint(), {t: sp.S.One})
        .theorem
    )


def expanded(calculation: Calculation, terms: sp.Expr) -> Calculation:
    """Under the mean, the same by the laws of a ring."""
    return calculation.rewrite(ring(calculation.term.args[0], terms))


@cache
def shared_gate() -> Theorem:
    """``E z^s_3 = ∂h_3/∂w + (κ - 1) J_3 J_2 A_1`` with one gate ξ for all steps, E ξ = 1 and E ξ² = κ."""
    xi, kappa = XI(), KAPPA()
    oldest = J(3) * J(2) * A(1)
    whole = Calculation(G(3))
    for step in (3, 2, 1, 0):
        whole.unfold(SENSITIVITY, step)
    chain = Calculation(Mean(SHARED(3)))
    for step in (3, 2, 1, 0):
        chain.unfold(ONE_GATE, step)
    return (
        expanded(chain, A(3) + xi * J(3) * A(2) + xi**2 * oldest)
        .by(mean_of_sum)
        .by(mean_of_constant)
        .by(constants_out, where=lambda x: x == Mean(xi * J(3) * A(2)))
        .by(constants_out, where=lambda x: x == Mean(xi**2 * oldest))
        .use(assume(equation(Mean(xi), 1)))
        .use(assume(equation(Mean(xi**2), kappa)))
        .to(A(3) + J(3) * (A(2) + J(2) * A(1)) + (kappa - 1) * oldest)
        .back(whole.theorem)
        .theorem
    )
