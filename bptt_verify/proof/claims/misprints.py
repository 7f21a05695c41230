"""Classic misprints of the claims T1 to T3, T5 to T7, T11, T12: false statements with counterexamples."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from bptt_verify.proof.claims.adjoint_form import ADJOINT, LAMBDA
from bptt_verify.proof.claims.detached import HELD, MADE_RATES, RATES, WHOLE
from bptt_verify.proof.claims.feeding import ANY as FEEDING
from bptt_verify.proof.claims.feeding import PATH
from bptt_verify.proof.claims.feeding import G as BY_STATE
from bptt_verify.proof.claims.feeding import H as KEPT
from bptt_verify.proof.claims.gates import ANY, gradient_of_gates
from bptt_verify.proof.claims.letters import A, J, T, c, i, k, product, s, t
from bptt_verify.proof.claims.linear import W_hh, W_qh, g, h, powers, recurrent_matrix
from bptt_verify.proof.claims.randomized import ONE_GATE, RECURSIVE, SHARED, XI, Z
from bptt_verify.proof.claims.unrolled import SENSITIVITY, G
from bptt_verify.proof.claims.windows import TERM, WINDOW, WINDOWED, tau
from bptt_verify.proof.kernel import (
    Case,
    Definition,
    Letter,
    Mean,
    Ordered,
    Statement,
    Total,
    Trace,
    Transpose,
    at_least,
    between,
    equation,
    power,
)


@dataclass(frozen=True)
class Misprint:
    """A false statement that looks like a claim.

    Attributes
    ----------
    name : str
    words : str
        What is wrong, and what would be right.
    statement : Statement
    definitions : tuple of Definition
        Of the letters that are not arbitrary.
    """

    name: str
    words: str
    statement: Statement
    definitions: tuple[Definition, ...]


def ascending(newest: sp.Expr, oldest: sp.Expr) -> Ordered:
    """``J_oldest … J_newest``: the wrong order, the oldest factor on the left."""
    return Ordered(J(newest + oldest - k), k, oldest, newest)


def _unrolled(name: str, words: str, terms: sp.Expr, last: sp.Expr) -> Misprint:
    wrong = equation(G(t), A(t) + Total(terms, i, 1, last), at_least(t, 1))
    return Misprint(name, words, wrong, (SENSITIVITY,))


def _adjoint(name: str, words: str, right: sp.Expr, last: sp.Expr) -> Misprint:
    return Misprint(name, words, equation(LAMBDA(t), right, *between(1, t, last)), (ADJOINT,))


def _exponent() -> Misprint:
    terms = power(Transpose(W_hh()), i - t) * Transpose(W_qh()) * g(T + t - i)
    return Misprint(
        "exponent",
        "(W_hhᵀ)^{i-t} stands beside ∂L/∂o_{T+t-i}; right is (W_hhᵀ)^{T-i}, or ∂L/∂o_i beside this exponent.",
        equation(LAMBDA(t), Total(terms, i, t, T), *between(1, t, T)),
        tuple(powers().definitions),
    )


def _state() -> Misprint:
    direction = Letter("V", "n", "n")
    matrix = Total(LAMBDA(i) * Transpose(h(i)), i, 1, T)
    change = recurrent_matrix()
    return Misprint(
        "state",
        "The gradient of W_hh has h_t where the state before, h_{t-1}, is right. "
        "Both sides are the change of the loss in a direction V of W_hh.",
        equation(change.statement.left, Trace(Transpose(matrix) * direction())),
        tuple(change.definitions),
    )


def _window() -> Misprint:
    tail = Total(TERM, i, 1, t - tau - 1)
    return Misprint(
        "end of the tail",
        "What a window leaves out ends at i = t - τ - 1; right is t - τ, as the window starts at t - τ + 1.",
        equation(G(t), WINDOWED(t) + tail, *between(1, tau, t)),
        (WINDOW, SENSITIVITY),
    )


def _gate() -> Misprint:
    later = Transpose(J(t + 1)) * ANY.adjoint(t + 1)
    return Misprint(
        "gate of the step",
        "λ^ξ_t = c_t + ξ_t J_{t+1}ᵀ λ^ξ_{t+1}; right is ξ_{t+1}: a gate is on the Jacobian of its own step.",
        equation(ANY.adjoint(t), c(t) + ANY.gate(t) * later, *between(1, t, T - 1)),
        (ANY.backward_mode,),
    )


def _error_of_gates() -> Misprint:
    passed = Transpose(ANY.adjoint(t)) * J(t) * G(t)
    true = gradient_of_gates().statement
    wrong = Total(Transpose(c(t)) * G(t), t, 1, T) + Total((ANY.gate(t) - 1) * passed, t, 2, T)
    return Misprint(
        "error of gates",
        "The error of a gated gradient has ∂h_t/∂w; right is ∂h_{t-1}/∂w: the gate is on what comes before.",
        equation(true.left, wrong, at_least(T, 1)),
        (ANY.backward_mode, SENSITIVITY),
    )


def _square_of_a_gate() -> Misprint:
    return Misprint(
        "square of a gate",
        "E[ξ_t² z_{t-1}] = (E ξ_t)² E z_{t-1}; right is E[ξ_t²]: a gate is not independent of itself.",
        equation(Mean(XI(t) ** 2 * Z(t - 1)), Mean(XI(t)) ** 2 * Mean(Z(t - 1)), at_least(t, 1)),
        (RECURSIVE,),
    )


def _mask_of_the_step() -> Misprint:
    own, fed = FEEDING.adjoint, FEEDING.of_fed
    through = FEEDING.own(t) * Transpose(BY_STATE(t)) * fed(t + 1)
    right = c(t) + Transpose(KEPT(t + 1)) * own(t + 1) + through
    return Misprint(
        "mask of the step",
        "(1 - m_t) G_tᵀ λ^u_{t+1}; right is 1 - m_{t+1}: a mask is that of the step that is fed.",
        equation(own(t), right, *between(1, t, T - 1)),
        (FEEDING.adjoints, FEEDING.fed_adjoints),
    )


def _paths_twice() -> Misprint:
    definitions = FEEDING.rates, FEEDING.fed_rates, FEEDING.made_rates, FEEDING.adjoints, FEEDING.fed_adjoints
    twice = Total(PATH * FEEDING.made(t - 1), t, 2, T)
    return Misprint(
        "paths twice",
        "The whole do_{t-1}/dw stands beside the whole λ^u_t; right is (do_{t-1}/dw)_det: a path that passes "
        "two outputs is counted twice.",
        equation(WHOLE, HELD + twice, at_least(T, 1)),
        (*definitions, RATES, MADE_RATES),
    )


WITHOUT_WEIGHT = Letter("z^b", "n", "p", random="derived")
NO_WEIGHT = Definition(
    WITHOUT_WEIGHT,
    t,
    (
        Case((t, -t), sp.S.Zero),
        Case((at_least(t, 1),), A(t) + Letter("π")(t) * XI(t) * J(t) * WITHOUT_WEIGHT(t - 1)),
    ),
)
"""The recursion with gates that are 1 or 0: π_t ξ_t, where ξ_t is 1/π_t or 0."""


def biased() -> tuple[Misprint, ...]:
    """Recursions with a wrong gate, of which it is claimed that their mean is ∂h_t/∂w."""
    shared = equation(Mean(SHARED(t)), G(t), at_least(t, 0))
    forgotten = equation(Mean(WITHOUT_WEIGHT(t)), G(t), at_least(t, 0))
    return (
        Misprint(
            "one gate",
            "One gate for all steps; right is a gate of its own for each.",
            shared,
            (ONE_GATE, SENSITIVITY),
        ),
        Misprint("no weight", "An open gate is 1; right is 1/π_t.", forgotten, (NO_WEIGHT, SENSITIVITY)),
    )


def misprints() -> tuple[Misprint, ...]:
    """All of them, in the order of the claims."""
    return (
        _unrolled(
            "order",
            "The Jacobians ascend, J_{i+1} … J_t; right is J_t … J_{i+1}, the later step on the left.",
            ascending(t, i + 1) * A(i),
            t - 1,
        ),
        _unrolled(
            "first factor",
            "The product starts at J_i; right is J_{i+1}: A_i is already the effect on h_i.",
            product(t, i) * A(i),
            t - 1,
        ),
        _unrolled(
            "last term",
            "The sum goes to t beside A_t, which is its last term; right is t - 1.",
            product(t, i + 1) * A(i),
            t,
        ),
        _adjoint(
            "transpose in the recursion",
            "λ_t = c_t + J_{t+1} λ_{t+1}; right is J_{t+1}ᵀ: what comes after acts on λ transposed.",
            c(t) + J(t + 1) * LAMBDA(t + 1),
            T - 1,
        ),
        _adjoint(
            "transpose in the closed form",
            "λ_t = Σ_s (J_s … J_{t+1}) c_s; right is the transpose of the product.",
            Total(product(s, t + 1) * c(s), s, t, T),
            T,
        ),
        _exponent(),
        _state(),
        _window(),
        _gate(),
        _error_of_gates(),
        _square_of_a_gate(),
        _mask_of_the_step(),
        _paths_twice(),
    )
