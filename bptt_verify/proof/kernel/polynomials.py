"""The ring normal form: a term as a polynomial in non-commuting atoms."""

from __future__ import annotations

import sympy as sp

from bptt_verify.proof.kernel.binding import canonical
from bptt_verify.proof.kernel.terms import factors

Monomial = tuple[sp.Expr, ...]


def polynomial(term: sp.Expr) -> dict[Monomial, sp.Expr]:
    """Coefficients (commuting, expanded) by the ordered factors they stand before.

    Sums with symbolic limits, ordered products, transposes, norms and traces are atoms; two of them are
    one atom if they are equal up to the names of bound indices. Used are only the laws of a ring:
    associativity, commutativity of addition, distributivity, 0 and 1, commuting scalars.
    """
    if isinstance(term, sp.Add):
        return _sum([polynomial(a) for a in term.args])
    scalar, ordered = factors(term)
    result: dict[Monomial, sp.Expr] = {(): sp.expand(canonical(scalar))}
    for f in ordered:
        new = polynomial(f) if isinstance(f, sp.Add) else {(canonical(f),): sp.S.One}
        result = _sum([{a + b: u * v} for a, u in result.items() for b, v in new.items()])
    return {m: c for m, c in result.items() if c != 0}


def _sum(parts: list[dict[Monomial, sp.Expr]]) -> dict[Monomial, sp.Expr]:
    total: dict[Monomial, sp.Expr] = {}
    for part in parts:
        for monomial, coefficient in part.items():
            total[monomial] = sp.expand(total.get(monomial, 0) + coefficient)
    return {m: c for m, c in total.items() if c != 0}
