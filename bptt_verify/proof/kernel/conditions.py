"""Linear conditions on integers, and whether some of them imply another.

A condition is a SymPy expression that is at least 0. ``implies`` eliminates one index after another
(Fourier and Motzkin) from the conditions together with the negation of the goal, and looks for a
contradiction such as -1 ≥ 0. All numbers stay integers, so that constants may be rounded down; what it
answers yes to is true, and a no means only that it found no contradiction.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import gcd

import sympy as sp

from bptt_verify.proof.kernel.indices import linear, position

Row = tuple[frozenset[tuple[sp.Expr, int]], int]  # Σ coefficient · index + constant ≥ 0
MOST_ROWS = 5_000


def at_least(a: object, b: object) -> sp.Expr:
    """The condition ``a ≥ b``."""
    return position(position(a) - position(b))


def between(low: object, k: object, high: object) -> tuple[sp.Expr, sp.Expr]:
    """The conditions ``low ≤ k ≤ high``."""
    return at_least(k, low), at_least(high, k)


def implies(given: Iterable[sp.Expr], goal: sp.Expr) -> bool:
    """Whether the goal is at least 0 wherever all that is given is."""
    return impossible([*given, -position(goal) - 1])


def impossible(given: Iterable[sp.Expr]) -> bool:
    """Whether no integers satisfy all conditions (False also where that could not be shown)."""
    rows = {r for c in given if (r := _row(c)) is not None}
    while True:
        if any(not terms and constant < 0 for terms, constant in rows):
            return True
        unknown = _fewest(rows)
        if unknown is None:
            return False
        rows = _eliminated(rows, unknown)
        if len(rows) > MOST_ROWS:
            return False


def _row(condition: sp.Expr) -> Row | None:
    coefficients = linear(condition)
    return _tight(coefficients, coefficients.pop(sp.S.One, 0))


def _tight(coefficients: dict[sp.Expr, int], constant: int) -> Row | None:
    """Divided by the common factor of the coefficients; None if it says nothing."""
    coefficients = {k: v for k, v in coefficients.items() if v}
    if not coefficients:
        return (frozenset(), constant) if constant < 0 else None
    common = gcd(*coefficients.values())
    return frozenset((k, v // common) for k, v in coefficients.items()), constant // common


def _fewest(rows: set[Row]) -> sp.Expr | None:
    """The index whose elimination makes the fewest new rows."""
    signs: dict[sp.Expr, list[int]] = {}
    for terms, _ in rows:
        for k, v in terms:
            signs.setdefault(k, [0, 0])[v > 0] += 1
    return min(signs, key=lambda k: (signs[k][0] * signs[k][1], str(k)), default=None)


def _eliminated(rows: set[Row], unknown: sp.Expr) -> set[Row]:
    below: list[tuple[dict[sp.Expr, int], int, int]] = []
    above: list[tuple[dict[sp.Expr, int], int, int]] = []
    rest = set()
    for terms, constant in rows:
        coefficients = dict(terms)
        v = coefficients.pop(unknown, 0)
        if v:
            (below if v > 0 else above).append((coefficients, constant, abs(v)))
        else:
            rest.add((terms, constant))
    for low, c, u in below:
        for high, d, v in above:
            both = {k: v * low.get(k, 0) + u * high.get(k, 0) for k in low.keys() | high.keys()}
            if (row := _tight(both, v * c + u * d)) is not None:
                rest.add(row)
    return rest
