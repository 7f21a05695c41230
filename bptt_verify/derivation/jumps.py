"""Where an expression has jumps, and which of its cases meet."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.derivation.enclosures import JUMPS, Interval, Range, enclosing, enclosure


def straddled(
    expr: sp.Expr, symbols: tuple[sp.Symbol, ...], edges: list[sp.Expr] | None = None
) -> Range | None:
    """Where a box may contain a jump or a kink given by cases: (mask, mask); None where there is none."""
    edges = _edges(expr) if edges is None else edges
    if not edges:
        return None
    parts = [enclosing(edge, symbols) for edge in edges]

    def mask(boxes: list[Interval]) -> Interval:
        ranges = [part(boxes) for part in parts]
        found = reduce(np.logical_or, [(np.less_equal(lo, 0) & np.greater_equal(hi, 0)) for lo, hi in ranges])
        return found, found

    return mask


def _edges(expr: Any) -> list[sp.Expr]:
    """Expressions at whose zeros an expression has a jump, or another branch."""
    found = [e.args[0] for e in expr.atoms(*JUMPS)]
    for cases in expr.atoms(sp.Piecewise):
        relations = [r for _, c in cases.args for r in c.atoms(sp.core.relational.Relational)]
        found += [r.lhs - r.rhs for r in relations]
    return found


def jumps(expr: sp.Expr) -> list[sp.Expr]:
    """Expressions at whose zeros an expression is not continuous, as far as is seen.

    Of one symbol: both sides of every edge are compared there. Of several: every edge counts.
    """
    cases = [e for e in sp.preorder_traversal(expr) if isinstance(e, sp.Piecewise)]
    outer = [e for e in cases if not any(e is not other and other.has(e) for other in cases)]
    plain = expr.xreplace({e: sp.Dummy() for e in outer})
    return [*_edges(plain), *(edge for e in outer for edge in _breaks(e))]


def _breaks(cases: sp.Piecewise) -> list[sp.Expr]:
    edges, symbols = _edges(cases), sorted(cases.free_symbols, key=str)
    if len(symbols) != 1 or any(e.diff(symbols[0]).free_symbols or e.diff(symbols[0]) == 0 for e in edges):
        return edges
    (u,) = symbols
    zeros = {-e.subs(u, 0) / e.diff(u) for e in edges}
    return [u - zero for zero in zeros if not _continuous(cases, u, zero)]


def _continuous(expr: sp.Expr, u: sp.Symbol, zero: sp.Expr) -> bool:
    sides = [_branch(expr, u, zero + shift) for shift in (-sp.Rational(1, 10**6), 0, sp.Rational(1, 10**6))]
    if any(jump.args[0].subs(u, zero) == 0 for side in sides for jump in side.atoms(*JUMPS)):
        return False
    values = [float(enclosure(side.subs(u, zero), {})[0]) for side in sides]
    return max(values) - min(values) <= 1e-12 * max(1.0, *map(abs, values))


def _branch(expr: sp.Expr, u: sp.Symbol, at: sp.Expr) -> sp.Expr:
    """The expression with that branch of each case distinction that holds at a point."""

    def chosen(*cases: Any) -> sp.Expr:
        return next(e for e, c in cases if c.subs(u, at) == sp.true)

    return expr.replace(sp.Piecewise, chosen)
