"""The letters of the claims: n numbers of state, p of parameters; and the products of Jacobians."""

from __future__ import annotations

from typing import Any

import sympy as sp

from bptt_verify.proof.kernel import Letter, Ordered, Statement, Theorem, assume, free, hypothesis, index

t, i, s, k, T = (index(name) for name in "tiskT")

A = Letter("A", "n", "p")  # the immediate partial ∂f/∂w, the previous state held fixed
J = Letter("J", "n", "n")  # the local Jacobian ∂f/∂h_{t-1}
c = Letter("c", "n", "1")  # what the loss says of h_t directly


def product(newest: Any, oldest: Any) -> Ordered:
    """``J_newest … J_oldest``."""
    taken = free(sp.sympify(newest)) | free(sp.sympify(oldest))
    bound = next(x for x in (k, index("j"), index("l")) if x not in taken)
    return Ordered(J(bound), bound, oldest, newest)


def earlier(claim: Statement, over: Any, start: Any, onward: int = 1) -> tuple[Theorem, Any]:
    """The induction hypothesis as a theorem, and the index it speaks of."""
    statement = hypothesis(claim, over, start, onward)
    return assume(statement), statement.every[0]
