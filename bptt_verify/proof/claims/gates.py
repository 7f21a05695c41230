"""T6: a gate on the Jacobian of every step: the gated recursions, and what their gradient differs by.

The gates are any numbers here. T7 proves the same with gates that are random, as these are laws of a ring.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.letters import A, J, T, c, earlier, i, k, product, s, t
from bptt_verify.proof.claims.unrolled import SENSITIVITY, G
from bptt_verify.proof.kernel import (
    Case,
    Definition,
    Letter,
    Ordered,
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
    first_term,
    free,
    index,
    induction,
    instantiate,
    last_term,
    one_term,
    peel_newest,
    peel_oldest,
    reindex,
    ring,
    substitute,
    sum_of_sums,
    take_out,
    transposition,
)

START, LATER = (t, -t), (at_least(t, 1),)
END, BEFORE = (at_least(t, T), at_least(T, t)), (at_least(T - 1, t),)


@dataclass(frozen=True)
class Gates:
    """The letters of one kind of gates.

    Attributes
    ----------
    gate : Letter
        ξ, one for each step.
    adjoint : Letter
        λ^ξ, the adjoint with the gates.
    forward : Letter
        z, the sensitivity to w with the gates.
    """

    gate: Letter
    adjoint: Letter
    forward: Letter

    @property
    def backward_mode(self) -> Definition:
        """``λ^ξ_T = c_T``, ``λ^ξ_t = c_t + ξ_{t+1} J_{t+1}ᵀ λ^ξ_{t+1}``."""
        later = self.gate(t + 1) * Transpose(J(t + 1)) * self.adjoint(t + 1)
        return Definition(self.adjoint, t, (Case(END, c(T)), Case(BEFORE, c(t) + later)), -1, T)

    @property
    def forward_mode(self) -> Definition:
        """``z_0 = 0``, ``z_t = A_t + ξ_t J_t z_{t-1}``."""
        cases = (
            Case(START, sp.S.Zero),
            Case(LATER, A(t) + self.gate(t) * J(t) * self.forward(t - 1)),
        )
        return Definition(self.forward, t, cases)

    def product(self, newest: sp.Expr, oldest: sp.Expr) -> Ordered:
        """``ξ_newest … ξ_oldest``."""
        taken = free(sp.sympify(newest)) | free(sp.sympify(oldest))
        bound = next(x for x in (k, index("j"), index("l")) if x not in taken)
        return Ordered(self.gate(bound), bound, oldest, newest)


ANY = Gates(Letter("ξ"), Letter("λ^ξ", "n", "1"), Letter("z", "n", "p"))
XI = ANY.gate
INITIAL = Letter("Z", "n", "n")
GATED_INITIAL = Definition(INITIAL, t, (Case(START, sp.S.One), Case(LATER, XI(t) * J(t) * INITIAL(t - 1))))
"""The sensitivity to h_0 with the gates."""


@cache
def gated_adjoint() -> Theorem:
    """``λ^ξ_t = Σ_{s=t}^{T} (ξ_s … ξ_{t+1}) (J_s … J_{t+1})ᵀ c_s`` for every t ≤ T."""
    own, definition = ANY.adjoint, ANY.backward_mode
    terms = ANY.product(s, t + 1) * Transpose(product(s, t + 1)) * c(s)
    claim = equation(own(t), Total(terms, s, t, T), at_least(T, t))
    here = (
        Calculation(substitute(terms, {s: t})).by(empty_product).by(empty_product).by(transposition).theorem
    )
    last = Calculation(claim.at({t: T}).right).by(one_term)
    last = last.by(empty_product).by(empty_product).by(transposition)
    base = Calculation(own(T)).unfold(definition).back(last.theorem)
    known, u = earlier(claim, t, T, -1)
    further = between(t + 1, s, T)
    step = (
        Calculation(own(t), *BEFORE)
        .unfold(definition)
        .use(known, {u: t + 1})
        .by(distribute)
        .back(peel_oldest(ANY.product(s, t + 1), further))
        .back(transposition(Transpose(product(s, t + 2) * J(t + 1)), ()))
        .back(peel_oldest(product(s, t + 1), further))
        .back(here)
        .back(first_term(Total(terms, s, t, T), (at_least(T, t),)))
    )
    return induction(claim, t, T, -1, base.theorem, step.theorem)


@cache
def gated_forward() -> Theorem:
    """``z_t = Σ_{i=1}^{t} (ξ_t … ξ_{i+1}) (J_t … J_{i+1}) A_i`` for every t ≥ 0."""
    own, definition = ANY.forward, ANY.forward_mode
    terms = ANY.product(t, i + 1) * product(t, i + 1) * A(i)
    claim = equation(own(t), Total(terms, i, 1, t), t)
    nothing = Calculation(claim.at({t: sp.S.Zero}).right).by(empty_sum)
    base = Calculation(own(0)).unfold(definition).back(nothing.theorem)
    known, u = earlier(claim, t, 0)
    here = Calculation(substitute(terms, {i: t})).by(empty_product).by(empty_product).theorem
    step = (
        Calculation(own(t), *LATER)
        .unfold(definition)
        .use(known, {u: t - 1})
        .by(distribute)
        .back(peel_newest(ANY.product(t, i + 1), between(1, i, t - 1)))
        .back(peel_newest(product(t, i + 1), between(1, i, t - 1)))
        .back(here)
        .back(last_term(Total(terms, i, 1, t), LATER))
    )
    return induction(claim, t, 0, 1, base.theorem, step.theorem)


@cache
def gated_gathered() -> Theorem:
    """``Σ_{t=i}^{T} c_tᵀ (ξ_t … ξ_{i+1}) (J_t … J_{i+1}) = λ^ξ_iᵀ``."""
    terms = ANY.product(t, i + 1) * Transpose(c(t)) * product(t, i + 1)
    turned = ANY.product(t, i + 1) * Transpose(product(t, i + 1)) * c(t)
    return (
        Calculation(Total(terms, t, i, T), at_least(T, i))
        .back(transposition(Transpose(turned), ()))
        .back(transposition(Transpose(Total(turned, t, i, T)), ()))
        .back(instantiate(gated_adjoint(), ((t, i),)))
        .theorem
    )


@cache
def gated_gradient() -> Theorem:
    """``Σ_t c_tᵀ z_t = Σ_i λ^ξ_iᵀ A_i``: forward and backward mode with the same gates."""
    left = ANY.product(t, i + 1) * Transpose(c(t)) * product(t, i + 1)
    return (
        Calculation(Total(Transpose(c(t)) * ANY.forward(t), t, 1, T))
        .use(gated_forward())
        .by(distribute, where=lambda x: x.is_Mul)
        .by(exchange, (1, T), (i, T))
        .by(take_out, sp.S.One, left, A(i))
        .use(gated_gathered())
        .theorem
    )


@cache
def gated_initial() -> Theorem:
    """``Z_t = (ξ_t … ξ_1) (J_t … J_1)`` for every t ≥ 0."""
    claim = equation(INITIAL(t), ANY.product(t, 1) * product(t, 1), t)
    start = Calculation(claim.at({t: sp.S.Zero}).right).by(empty_product).by(empty_product)
    base = Calculation(INITIAL(0)).unfold(GATED_INITIAL).back(start.theorem)
    known, u = earlier(claim, t, 0)
    step = (
        Calculation(INITIAL(t), *LATER)
        .unfold(GATED_INITIAL)
        .use(known, {u: t - 1})
        .back(peel_newest(ANY.product(t, 1), LATER))
        .back(peel_newest(product(t, 1), LATER))
    )
    return induction(claim, t, 0, 1, base.theorem, step.theorem)


@cache
def gated_initial_gradient() -> Theorem:
    """``Σ_t c_tᵀ Z_t = ξ_1 λ^ξ_1ᵀ J_1``: ξ_1 gates the gradient of h_0 and nothing else."""
    left = ANY.product(t, 2) * Transpose(c(t)) * product(t, 2)
    return (
        Calculation(Total(Transpose(c(t)) * INITIAL(t), t, 1, T), at_least(T, 1))
        .use(gated_initial())
        .by(peel_oldest, where=lambda x: isinstance(x, Ordered) and x.body.is_commutative)
        .by(peel_oldest, where=lambda x: isinstance(x, Ordered) and not x.body.is_commutative)
        .by(take_out, XI(1), left, J(1))
        .use(gated_gathered(), {i: sp.S.One})
        .theorem
    )


@cache
def closed_gate() -> Theorem:
    """``ξ_t … ξ_{i+1} = 0`` for i < s ≤ t if ξ_s = 0: no term passes a closed gate."""
    zero = assume(equation(XI(s), 0))
    within = between(i + 1, s, t)
    claim = equation(ANY.product(t, i + 1), 0, *within)
    at_gate = (at_least(s, i + 1),)
    base = Calculation(ANY.product(s, i + 1), *at_gate).by(peel_newest).use(zero)
    known, u = earlier(claim, t, s)
    beyond = (*at_gate, at_least(t, s + 1))
    step = Calculation(claim.left, *beyond).by(peel_newest).use(known, {u: t - 1})
    return induction(claim, t, s, 1, base.theorem, step.theorem)


@cache
def gradient_of_gates() -> Theorem:
    """``Σ_i λ^ξ_iᵀ A_i = Σ_t c_tᵀ ∂h_t/∂w + Σ_{t=2}^{T} (ξ_t - 1) λ^ξ_tᵀ J_t ∂h_{t-1}/∂w``: the error."""
    return error_of(ANY)


def error_of(gates: Gates) -> Theorem:
    """``gradient_of_gates``, for gates of any kind."""
    xi, own = gates.gate, gates.adjoint
    passed = Transpose(own(t)) * J(t) * G(t - 1)
    kept = Transpose(own(t)) * G(t)
    let_through = xi(t) * passed
    some = (at_least(T, 1),)
    return (
        Calculation(Total(Transpose(own(t)) * A(t), t, 1, T), *some)
        .back(Calculation(G(t) - J(t) * G(t - 1), *LATER).unfold(SENSITIVITY, t).theorem)
        .rewrite(ring(Transpose(own(t)) * (G(t) - J(t) * G(t - 1)), kept - passed))
        .by(sum_of_sums)
        .rewrite(_peeled(gates))
        .rewrite(first_term(Total(-passed, t, 1, T), some))
        .unfold(SENSITIVITY, 0)
        .back(sum_of_sums(Total(let_through - passed, t, 2, T), ()))
        .rewrite(ring(let_through - passed, (xi(t) - 1) * passed))
        .theorem
    )


def _peeled(gates: Gates) -> Theorem:
    """``Σ_t λ^ξ_tᵀ G_t = Σ_t c_tᵀ G_t + Σ_{t=2}^{T} ξ_t λ^ξ_tᵀ J_t G_{t-1}`` with G_t = ∂h_t/∂w."""
    xi, own = gates.gate, gates.adjoint
    direct, some = Transpose(c(t)) * G(t), (at_least(T, 1),)
    through = xi(t + 1) * Transpose(own(t + 1)) * J(t + 1)
    return (
        Calculation(Total(Transpose(own(t)) * G(t), t, 1, T), *some)
        .by(last_term)
        .unfold(gates.backward_mode, t)
        .unfold(gates.backward_mode, T)
        .by(transposition, where=lambda x: isinstance(x, Transpose) and x.args[0].is_Add)
        .by(transposition, where=lambda x: isinstance(x, Transpose) and x.args[0].is_Mul)
        .rewrite(ring((Transpose(c(t)) + through) * G(t), direct + through * G(t)))
        .by(sum_of_sums)
        .back(last_term(Total(direct, t, 1, T), some))
        .by(reindex, t, t - 1, where=lambda x: isinstance(x, Total) and x.body == through * G(t))
        .theorem
    )
