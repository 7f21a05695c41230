"""Rules about ≤ between numbers: what cannot be negative, what follows by adding it, square roots.

Scalars are real. There is no division: a quotient is a letter with the assumption that says of what.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.kernel.binding import equal
from bptt_verify.proof.kernel.equality import conclusion
from bptt_verify.proof.kernel.polynomials import polynomial
from bptt_verify.proof.kernel.signs import nonnegative
from bptt_verify.proof.kernel.sums import Conditions
from bptt_verify.proof.kernel.terms import expression, shape
from bptt_verify.proof.kernel.theorems import Conclusion, Theorem, equation, rule, statement

Summand = tuple[Any, ...]  # a factor, and the theorems whose differences it is multiplied with


@rule("it cannot be negative by its form")
def not_negative(term: sp.Expr, given: Conditions) -> Conclusion:
    """``0 ≤ term`` for norms, squares, ``tr(XᵀX)``, nonnegative letters, and their sums and products."""
    (term,) = _numbers("not_negative", term)
    if not nonnegative(term):
        raise ProofError(f"not_negative: {term!s:.160} may be negative, by its form.")
    return Conclusion(statement(sp.S.Zero, "≤", term, *given))


@rule("what is added is not negative")
def combine(left: sp.Expr, right: sp.Expr, summands: tuple[Summand, ...]) -> Conclusion:
    """``left ≤ right``, since ``right = left + Σ f (b - a) (d - c) …`` where no summand is negative.

    Parameters
    ----------
    left, right : sympy.Expr
        Scalars.
    summands : tuple of tuple
        Each is a factor f that cannot be negative by its form, and theorems ``a ≤ b``, ``c ≤ d``, …. If
        one of them is an equation, the summand is 0, and f may be any scalar.

    Raises
    ------
    ProofError
        If ``right - left`` and the sum differ as polynomials, or a factor may be negative.
    """
    left, right = _numbers("combine", left, right)
    total = sp.Add(*map(_summand, summands))
    if polynomial(right - left) != polynomial(total):
        raise ProofError(f"combine: {right - left!s:.160} and {total!s:.160} have different normal forms.")
    premises = [theorem for _, *theorems in summands for theorem in theorems]
    given = [g for p in premises for g in p.statement.given]
    return conclusion(statement(left, "≤", right, *given), *premises)


def _summand(summand: Summand) -> sp.Expr:
    factor, *theorems = summand
    said = [theorem.statement for theorem in theorems]
    factor, *_ = _numbers("combine", factor, *(side for s in said for side in (s.left, s.right)))
    if all(s.relation == "≤" for s in said) and not nonnegative(factor):
        raise ProofError(f"combine: the factor {factor!s:.160} may be negative, by its form.")
    return sp.Mul(factor, *(s.right - s.left for s in said))


@rule("the square root grows with its argument")
def root(theorem: Theorem, left: sp.Expr, right: sp.Expr) -> Conclusion:
    """From ``left² ≤ right²`` to ``left ≤ right``, if the right side cannot be negative by its form.

    Raises
    ------
    ProofError
        If it may be, or the theorem is not about these squares.
    """
    left, right = _numbers("root", left, right)
    s = theorem.statement
    squares = ((s.left, left), (s.right, right))
    if any(shape(x) not in (None, ()) or polynomial(x) != polynomial(y * y) for x, y in squares):
        raise ProofError(f"root: the theorem is not about the squares of {left!s:.80} and {right!s:.80}.")
    if not nonnegative(right):
        raise ProofError(f"root: {right!s:.160} may be negative, by its form.")
    return conclusion(statement(left, "≤", right, *s.given), theorem)


@rule("each is at most the other")
def both_ways(first: Theorem, second: Theorem) -> Conclusion:
    """From ``a ≤ b`` and ``b ≤ a`` to ``a = b``.

    Raises
    ------
    ProofError
        If the second theorem is not about the sides of the first.
    """
    a, b = first.statement, second.statement
    _numbers("both_ways", a.left, a.right)
    if not (equal(a.left, b.right) and equal(a.right, b.left)):
        raise ProofError(f"both_ways: {b.left!s:.80} ≤ {b.right!s:.80} is not the first, the other way.")
    return conclusion(equation(a.left, a.right, *a.given, *b.given), first, second)


def _numbers(name: str, *values: Any) -> list[sp.Expr]:
    """The values as terms, all of them scalars or numbers."""
    terms = list(map(expression, values))
    for term in terms:
        if shape(term) not in (None, ()):
            raise ProofError(f"{name}: {term!s:.160} is a matrix; expected a number.")
    return terms
