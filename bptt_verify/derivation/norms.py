"""Bounds of norms as SymPy expressions: what is known of a value, and how expressions combine."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

import numpy as np
import sympy as sp

from bptt_verify.derivation.enclosures import JUMPS, Interval, enclosure, factor_groups, magnitude
from bptt_verify.derivation.geometric import greater, lesser, supremum
from bptt_verify.program.functions import derivative

ZERO = sp.Integer(0)
Range = tuple[sp.Expr, sp.Expr]
ANY: Range = (-sp.oo, sp.oo)


@dataclass(frozen=True)
class Norm:
    """What is known of one value, for every step, every sequence and everywhere on the ball.

    Attributes
    ----------
    norm : SymPy expression
        A bound of the Euclidean norm over all labels but T and B, apart from what ``gains`` says.
    total : SymPy expression or None
        A bound of the sum of these norms over T and B; None: T · B · ``norm``.
    gains : dict of str to expression
        What a neighbouring step adds, by carried value: the bound is ``norm + Σ gains[s] · ‖s‖``.
    range : pair of expressions
        Ends of an interval for every entry.
    matrix : SymPy expression or None
        A bound of the spectral norm; None: ``norm``.
    """

    norm: sp.Expr
    total: sp.Expr | None = None
    gains: Mapping[str, sp.Expr] = field(default_factory=dict)
    range: Range = ANY
    matrix: sp.Expr | None = None

    def times(self, factor: sp.Expr) -> Norm:
        """Norms of a value that is at most ``factor`` times as large, entry by entry."""
        return Norm(
            product(factor, self.norm),
            None if self.total is None else product(factor, self.total),
            {s: product(factor, g) for s, g in self.gains.items() if product(factor, g) != 0},
        )

    def plus(self, other: Norm, cells: sp.Expr) -> Norm:
        """Norms of a sum; ``cells`` is T · B."""
        known = self.total is not None or other.total is not None
        total = self.summed(cells) + other.summed(cells) if known else None
        gains = dict(self.gains)
        for s, g in other.gains.items():
            gains[s] = gains.get(s, ZERO) + g
        return Norm(self.norm + other.norm, total, gains)

    def summed(self, cells: sp.Expr) -> sp.Expr:
        """The bound of the sum over all steps and sequences."""
        return product(cells, self.norm) if self.total is None else self.total


def product(*factors: sp.Expr) -> sp.Expr:
    """A product of bounds in which 0 times infinity is 0."""
    return ZERO if any(f == 0 for f in factors) else sp.Mul(*factors)


def larger(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """The larger of two bounds."""
    if a == b or b == 0:
        return a
    if a == 0:
        return b
    if a.is_number and b.is_number:
        return max(a, b)
    return sp.oo if sp.oo in (a, b) else greater(a, b)


def smaller(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """The smaller of two bounds."""
    if a == b or b == sp.oo:
        return a
    if a == sp.oo:
        return b
    return min(a, b) if a.is_number and b.is_number else lesser(a, b)


def size(interval: Range) -> sp.Expr:
    """The largest absolute value in a range."""
    low, high = interval
    return high if low == -high else larger(_absolute(low), _absolute(high))


def hull(a: Range, b: Range) -> Range:
    """The smallest range around two, symmetric where it depends on norms."""
    (low, high), (least, most) = a, b
    if all(end.is_number or end.is_infinite for end in (low, high, least, most)):
        return min(low, least), max(high, most)
    whole = larger(size(a), size(b))
    return (-whole, whole)


def _absolute(end: sp.Expr) -> sp.Expr:
    if end.is_number or end.is_infinite:
        return abs(end)
    return -end if end.could_extract_minus_sign() else end


def exact(value: float) -> sp.Expr:
    """A number as a fraction where it is one with a small denominator, up to its rounding and not less."""
    if not np.isfinite(value):
        return -sp.oo if value < 0 else sp.oo
    near = sp.Rational(round(value * 720720), 720720)
    return near if abs(float(near) - value) <= 4e-15 * max(1.0, abs(value)) else sp.Float(value)


def numeric(interval: Range) -> Interval:
    """The range in numbers: infinite ends where it depends on norms."""
    low, high = interval
    return (
        float(low) if low.is_number or low.is_infinite else -np.inf,
        float(high) if high.is_number or high.is_infinite else np.inf,
    )


def range_of(expr: sp.Expr, ranges: Mapping[sp.Symbol, Range]) -> Range:
    """A range in numbers that holds whatever the norms are."""
    low, high = enclosure(expr, {s: numeric(r) for s, r in ranges.items()})
    return exact(float(low)), exact(float(high))


def largest(expr: sp.Expr, ranges: Mapping[sp.Symbol, Range]) -> sp.Expr:
    """A bound of |e|, in norms if there is none in numbers."""
    if expr.is_Symbol and expr in ranges:
        return size(ranges[expr])
    own = {s: r for s, r in ranges.items() if expr.has(s)}
    found = exact(float(magnitude(enclosure(expr, {s: numeric(r) for s, r in own.items()}))))
    if found != sp.oo and found is not sp.nan:
        return found
    if any(sp.oo in map(abs, r) for r in own.values()) and not _useful(expr, own):
        return sp.oo
    if all(numeric(r) == tuple(map(_float, r)) for r in own.values()):
        return sp.oo
    if expr.is_Mul:
        groups = factor_groups(expr)
        if len(groups) > 1:
            return product(*(largest(g, ranges) for g in groups))
    if expr.is_Add:
        return sp.Add(*(largest(a, ranges) for a in expr.args))
    return supremum(sp.Lambda(tuple(own), expr), *(end for r in own.values() for end in r))


def _useful(expr: sp.Expr, own: Mapping[sp.Symbol, Range]) -> bool:
    """Whether numbers in the place of norms make the expression finite."""
    tried = {s: (_float(low), _float(high)) for s, (low, high) in own.items()}
    return bool(np.isfinite(magnitude(enclosure(expr, tried))))


def _float(end: sp.Expr) -> float:
    if end.is_number or end.is_infinite:
        return float(end)
    return -1.0 if end.could_extract_minus_sign() else 1.0


@dataclass(frozen=True)
class Operands:
    """The operands of a pointwise equation.

    Attributes
    ----------
    norms : dict of symbol to Norm
        Of each operand repeated to the labels of the equation.
    ranges : dict of symbol to range
    repeated : set of symbol
        The operands that lack labels of the equation.
    totals : dict of symbol to expression
        Sums over T and B of the norms of the operands themselves, where they are known.
    count : expression
        The number of entries of a step and sequence.
    cells : expression
        T · B.
    """

    norms: Mapping[sp.Symbol, Norm]
    ranges: Mapping[sp.Symbol, Range]
    repeated: Set[sp.Symbol]
    totals: Mapping[sp.Symbol, sp.Expr | None]
    count: sp.Expr
    cells: sp.Expr


def pointwise_norm(expr: sp.Expr, known: Operands) -> Norm:
    """The triangle inequality for sums; for a product one norm times suprema; else see ``_other``."""
    if expr in known.norms:
        return known.norms[expr]
    if not expr.free_symbols & set(known.norms):
        return Norm(product(sp.sqrt(known.count), largest(expr, {})))
    if expr.is_Add:
        return pointwise_norm_of_sum([pointwise_norm(a, known) for a in expr.args], known)
    if expr.is_Mul and len(factor_groups(expr)) > 1:
        return _product(factor_groups(expr), known)
    if isinstance(expr, sp.Piecewise | sp.Max | sp.Min):
        return _by_branches(expr, known)
    return _other(expr, known)


def _by_branches(expr: sp.Expr, known: Operands) -> Norm:
    """The largest of several values is at most their sum; less if it has a bound in numbers."""
    bound = largest(expr, known.ranges)
    if bound.is_number and bound != sp.oo:
        return Norm(product(sp.sqrt(known.count), bound))
    branches = [e for e, _ in expr.args] if isinstance(expr, sp.Piecewise) else expr.args
    return pointwise_norm_of_sum([pointwise_norm(b, known) for b in branches], known)


def pointwise_norm_of_sum(parts: list[Norm], known: Operands) -> Norm:
    """The triangle inequality."""
    found = parts[0]
    for part in parts[1:]:
        found = found.plus(part, known.cells)
    return found


def _product(factors: tuple[sp.Expr, ...], known: Operands) -> Norm:
    """The norm of one factor times bounds of all entries of the others."""
    constants = [f for f in factors if not f.free_symbols & set(known.norms)]
    factors = tuple(f for f in factors if f not in constants)
    scale = product(*(largest(c, {}) for c in constants))
    bounds = [largest(f, known.ranges) for f in factors]
    norms = [pointwise_norm(f, known) for f in factors]

    def score(i: int) -> tuple[bool, ...]:
        others = product(*(b for j, b in enumerate(bounds) if j != i))
        whole = factors[i] not in known.repeated
        return (
            others != sp.oo,
            norms[i].norm != sp.oo,
            bool(norms[i].gains),
            whole,
            norms[i].total is not None,
        )

    best = max(range(len(factors)), key=score)
    others = {j: b for j, b in enumerate(bounds) if j != best}
    found = norms[best].times(product(scale, *others.values()))
    if found.total is not None:
        return found
    for j in others:  # Σ sup|f_j| ‖f‖ ≤ sup‖f‖ Σ sup|f_j|
        summed = known.totals.get(factors[j])
        if summed is not None:
            rest = product(*(b for k, b in others.items() if k != j))
            return replace(found, total=product(scale, norms[best].norm, summed, rest))
    return found


def _other(expr: sp.Expr, known: Operands) -> Norm:
    """√count · sup|e|, or √count · |e(0)| + Σ_j sup|∂e/∂u_j| ‖u_j‖ where e has no bound."""
    bound = largest(expr, known.ranges)
    whole = product(sp.sqrt(known.count), bound)
    own = [s for s in known.norms if expr.has(s)]
    steady = not any(known.norms[s].gains for s in own)
    if bound.is_number and bound != sp.oo:
        return Norm(whole)
    around = {s: _with_zero(r) for s, r in known.ranges.items()}
    slopes = {s: largest(derivative(expr, s, expr), around) for s in own}
    start = largest(expr.xreplace(dict.fromkeys(own, ZERO)), {})
    if sp.oo in (start, *slopes.values()) or expr.has(*JUMPS, sp.Piecewise):
        return Norm(whole)
    total = Norm(product(sp.sqrt(known.count), start))
    for s, slope in slopes.items():
        total = total.plus(known.norms[s].times(slope), known.cells)
    return total if not steady or bound == sp.oo or len(own) == 1 else Norm(whole)


def _with_zero(interval: Range) -> Range:
    low, high = interval
    if low.is_number or low.is_infinite:
        low = min(low, ZERO)
    if high.is_number or high.is_infinite:
        high = max(high, ZERO)
    return low, high


def with_range(found: Norm, interval: Range, count: sp.Expr) -> Norm:
    """The norms with a range, which may be tighter than either."""
    low, high = interval
    if not found.gains and found.norm != sp.oo:
        low = -found.norm if low == -sp.oo else low
        high = found.norm if high == sp.oo else high
    elif sp.oo not in (-low, high) and (found.norm == sp.oo or found.gains):
        bounded = product(sp.sqrt(count), size((low, high)))
        return (
            Norm(bounded, None, {}, (low, high)) if found.total is None else replace(found, range=(low, high))
        )
    return replace(found, range=(low, high))
