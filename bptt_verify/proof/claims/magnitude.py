"""T4: how fast the terms of the gradient can grow or shrink with the lag."""

from __future__ import annotations

from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.letters import A, J, c, earlier, i, k, product, t
from bptt_verify.proof.claims.linear import W_hh
from bptt_verify.proof.kernel import (
    Letter,
    Norm,
    Theorem,
    Transpose,
    assume,
    at_least,
    discharge,
    empty_product,
    equation,
    index,
    induction,
    norm_of_number,
    peel_newest,
    power,
    specialise,
    statement,
    submultiplicative,
)

RHO = Letter("ρ", nonnegative=True)
GAMMA = Letter("γ", nonnegative=True)
MU = Letter("μ")
D = Letter("D", "n", "n")  # diag(φ'(a_t))
v = Letter("v", "n", "1")
m = index("m")


@cache
def bound() -> Theorem:
    """``‖J_t … J_{i+1}‖ ≤ ρ^{t-i}`` for every t ≥ i if every ``‖J_k‖ ≤ ρ``."""
    claim = statement(Norm(product(t, i + 1)), "≤", power(RHO(), t - i), at_least(t, i))
    each = assume(statement(Norm(J(k)), "≤", RHO(), every=(k,)))
    start = claim.at({t: i})
    one = Calculation(start.right).by(empty_product).theorem
    base = Calculation(start.left).by(empty_product).by(norm_of_number).back(one)
    known, u = earlier(claim, t, i)
    beyond = at_least(t, i + 1)
    step = (
        Calculation(Norm(product(t, i + 1)), beyond)
        .by(peel_newest)
        .by(submultiplicative)
        .use(known, {u: t - 1})
        .use(each, {k: t})
        .back(peel_newest(power(RHO(), t - i), (beyond,)))
    )
    return induction(claim, t, i, 1, base.theorem, step.theorem)


@cache
def term_bound() -> Theorem:
    """``‖c_tᵀ (J_t … J_{i+1}) A_i‖ ≤ ‖c_tᵀ‖ ρ^{t-i} ‖A_i‖``: a term of the gradient at lag t - i."""
    return (
        Calculation(Norm(Transpose(c(t)) * product(t, i + 1) * A(i)), at_least(t, i))
        .by(submultiplicative)
        .use(bound())
        .theorem
    )


@cache
def elementwise_bound() -> Theorem:
    """``‖D_t W_hh … D_{i+1} W_hh‖ ≤ (γ ‖W_hh‖)^{t-i}`` if every ``‖D_k‖ ≤ γ``, as with D = diag(φ'(a))."""
    slope = assume(statement(Norm(D(k)), "≤", GAMMA(), every=(k,)))
    each = Calculation(Norm(D(k) * W_hh())).by(submultiplicative).use(slope).theorem
    whole = specialise(specialise(bound(), J, k, D(k) * W_hh()), RHO, k, GAMMA() * Norm(W_hh()))
    (assumed,) = whole.assumptions
    return discharge(whole, assumed, each)


@cache
def eigenvector() -> Theorem:
    """``(W_hhᵀ)^m v = μ^m v`` for every m ≥ 0 if ``W_hhᵀ v = μ v``."""
    once = assume(equation(Transpose(W_hh()) * v(), MU() * v()))
    claim = equation(power(Transpose(W_hh()), m) * v(), power(MU(), m) * v(), m)
    start = claim.at({m: sp.S.Zero})
    none = Calculation(start.right).by(empty_product).theorem
    base = Calculation(start.left).by(empty_product).back(none)
    known, u = earlier(claim, m, 0)
    step = (
        Calculation(claim.left, at_least(m, 1))
        .by(peel_newest)
        .use(known, {u: m - 1})
        .use(once)
        .back(peel_newest(power(MU(), m), (at_least(m, 1),)))
    )
    return induction(claim, m, 0, 1, base.theorem, step.theorem)
