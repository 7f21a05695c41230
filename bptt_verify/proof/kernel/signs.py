"""Which scalar terms cannot be negative."""

from __future__ import annotations

import sympy as sp

from bptt_verify.proof.kernel.binding import equal
from bptt_verify.proof.kernel.terms import Entry, Norm, Ordered, Total, Trace, Transpose, factors, shape


def nonnegative(term: sp.Expr) -> bool:
    """Whether a scalar is at least 0 by its form: norms, nonnegative letters, squares, sums, products."""
    if shape(term) not in (None, ()):
        return False
    match term:
        case sp.Rational():
            return bool(term >= 0)
        case Norm():
            return True
        case Entry():
            return bool(term.letter.nonnegative)
        case sp.Add() | sp.Mul():
            return all(map(nonnegative, term.args))
        case sp.Pow():
            return bool(term.exp.is_Integer and (term.exp % 2 == 0 or nonnegative(term.base)))
        case Total() | Ordered():
            return nonnegative(term.body)
        case Trace():
            return _is_square(term.args[0])
    return False


def _is_square(matrix: sp.Expr) -> bool:
    """Whether it has the form ``XᵀX``, whose trace is the sum of the squares of all entries of X."""
    scalar, ordered = factors(matrix)
    if scalar != 1 or len(ordered) != 2:
        return False
    first, second = ordered
    return isinstance(first, Transpose) and equal(first.args[0], second)
