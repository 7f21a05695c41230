"""Classic misprints of the claims T1 to T3, as statements that are false; each has a counterexample."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from bptt_verify.proof.claims.adjoint_form import ADJOINT, LAMBDA
from bptt_verify.proof.claims.letters import A, J, T, c, i, k, product, s, t
from bptt_verify.proof.claims.linear import W_hh, W_qh, g, h, powers, recurrent_matrix
from bptt_verify.proof.claims.unrolled import SENSITIVITY, G
from bptt_verify.proof.kernel import (
    Definition,
    Letter,
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
    )
