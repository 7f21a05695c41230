"""T1: the recursion for ∂h_t/∂w, written out, is a sum of ordered products of Jacobians."""

from __future__ import annotations

from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.letters import A, J, earlier, i, product, t
from bptt_verify.proof.kernel import (
    Case,
    Definition,
    Letter,
    Theorem,
    Total,
    at_least,
    between,
    distribute,
    empty_product,
    empty_sum,
    equation,
    induction,
    last_term,
    one_factor,
    peel_newest,
    weaken,
)

G = Letter("∂h/∂w", "n", "p")
H = Letter("∂h/∂h_0", "n", "n")

SENSITIVITY = Definition(G, t, (Case((t, -t), sp.S.Zero), Case((at_least(t, 1),), A(t) + J(t) * G(t - 1))))
"""The chain rule of one step, from an h_0 that does not depend on w."""

INITIAL = Definition(H, t, (Case((t, -t), sp.S.One), Case((at_least(t, 1),), J(t) * H(t - 1))))
"""The chain rule of one step, from h_0 itself."""


@cache
def unrolled() -> Theorem:
    """``∂h_t/∂w = A_t + Σ_{i=1}^{t-1} (J_t … J_{i+1}) A_i`` for every t ≥ 1."""
    terms = product(t, i + 1) * A(i)
    claim = equation(G(t), A(t) + Total(terms, i, 1, t - 1), at_least(t, 1))
    nothing = Calculation(claim.at({t: sp.S.One}).right).by(empty_sum)
    base = Calculation(G(1)).unfold(SENSITIVITY).unfold(SENSITIVITY).back(nothing.theorem)
    known, u = earlier(claim, t, 1)
    step = (
        Calculation(G(t), at_least(t, 2))
        .unfold(SENSITIVITY)
        .use(known, {u: t - 1})
        .to(A(t) + J(t) * A(t - 1) + J(t) * Total(product(t - 1, i + 1) * A(i), i, 1, t - 2))
        .by(distribute)
        .back(peel_newest(product(t, i + 1), between(1, i, t - 2)))
        .back(one_factor(product(t, t), ()))
        .back(last_term(Total(terms, i, 1, t - 1), (at_least(t, 2),)))
    )
    return induction(claim, t, 1, 1, base.theorem, step.theorem)


@cache
def unrolled_whole() -> Theorem:
    """``∂h_t/∂w = Σ_{i=1}^{t} (J_t … J_{i+1}) A_i``: A_t is the term i = t, with no factor before it."""
    terms = product(t, i + 1) * A(i)
    whole = Calculation(Total(terms, i, 1, t), at_least(t, 1)).by(last_term).by(empty_product)
    return Calculation(G(t), at_least(t, 1)).use(unrolled()).back(whole.theorem).theorem


@cache
def unrolled_at_any_step() -> Theorem:
    """``∂h_t/∂w = Σ_{i=1}^{t} (J_t … J_{i+1}) A_i`` for every t ≥ 0: at the start, both are 0."""
    claim = equation(G(t), Total(product(t, i + 1) * A(i), i, 1, t), t)
    nothing = Calculation(claim.at({t: sp.S.Zero}).right).by(empty_sum)
    base = Calculation(G(0)).unfold(SENSITIVITY).back(nothing.theorem)
    later = weaken(unrolled_whole(), (t, at_least(t, 1)))
    return induction(claim, t, 0, 1, base.theorem, later)


@cache
def initial_state() -> Theorem:
    """``∂h_t/∂h_0 = J_t … J_1`` for every t ≥ 0."""
    claim = equation(H(t), product(t, 1), t)
    base = Calculation(H(0)).unfold(INITIAL).back(empty_product(product(0, 1), ()))
    known, u = earlier(claim, t, 0)
    step = (
        Calculation(H(t), at_least(t, 1))
        .unfold(INITIAL)
        .use(known, {u: t - 1})
        .back(peel_newest(product(t, 1), (at_least(t, 1),)))
    )
    return induction(claim, t, 0, 1, base.theorem, step.theorem)
