"""Which scalar terms cannot be negative."""

from __future__ import annotations

import sympy as sp

from bptt_verify.proof.kernel.terms import Entry, Norm, Ordered, Total, shape


def nonnegative(term: sp.Expr) -> bool:
    """Whether a scalar term is at least 0 by its form: norms, nonnegative letters, sums and products."""
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
    return False
