"""Ranges of scalar expressions over boxes, on arrays: interval arithmetic with a little more.

An interval is a pair of arrays (or numbers) of lower and upper ends, infinite ones included. Every operation
moves its ends outwards by more than its rounding. Plain interval arithmetic forgets that a symbol occurs
twice; two forms that matter here are ranged exactly: a polynomial of degree 1 in each of its symbols has its
extremes at corners of the box, and one of degree 2 in its only symbol there or at its vertex.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from itertools import product
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.program.functions import FUNCTIONS, relu, sigmoid, softplus, step

Interval = tuple[Any, Any]
Range = Callable[[list[Interval]], Interval]

ROUNDING = 1e-15  # relative; a few units in the last place
CORNERS = 4  # symbols of a polynomial that is ranged at its corners
INCREASING: dict[type, Interval] = {  # with the part of the real line where they are defined
    sp.tanh: (-np.inf, np.inf),
    sigmoid: (-np.inf, np.inf),
    softplus: (-np.inf, np.inf),
    relu: (-np.inf, np.inf),
    step: (-np.inf, np.inf),
    sp.sign: (-np.inf, np.inf),
    sp.exp: (-np.inf, np.inf),
    sp.log: (0.0, np.inf),
    sp.sinh: (-np.inf, np.inf),
    sp.asin: (-1.0, 1.0),
    sp.atan: (-np.inf, np.inf),
    sp.asinh: (-np.inf, np.inf),
    sp.acosh: (1.0, np.inf),
    sp.atanh: (-1.0, 1.0),
    sp.erf: (-np.inf, np.inf),
}
DECREASING: dict[type, Interval] = {sp.acos: (-1.0, 1.0), sp.erfc: (-np.inf, np.inf)}
EVEN = (sp.Abs, sp.cosh)
IMAGES: dict[type, Interval] = {
    sp.tanh: (-1.0, 1.0),
    sigmoid: (0.0, 1.0),
    softplus: (0.0, np.inf),
    sp.exp: (0.0, np.inf),
    sp.sin: (-1.0, 1.0),
    sp.cos: (-1.0, 1.0),
    sp.erf: (-1.0, 1.0),
    sp.erfc: (0.0, 2.0),
}
JUMPS = (step, sp.sign, sp.Heaviside)
WHOLE: Interval = (-np.inf, np.inf)


def enclosure(expr: sp.Expr, boxes: Mapping[sp.Symbol, Interval]) -> Interval:
    """An interval that contains every value of the expression where each symbol is in its own."""
    with np.errstate(all="ignore"):
        return enclosing(expr, tuple(boxes))(list(boxes.values()))


@lru_cache(maxsize=20_000)
def enclosing(expr: sp.Expr, symbols: tuple[sp.Symbol, ...]) -> Range:
    """How to enclose an expression: the walk of the tree, done once; NumPy's warnings are the caller's."""
    if expr in symbols:
        place = symbols.index(expr)
        return lambda boxes: boxes[place]
    if expr.is_number and not expr.has(sigmoid, softplus, relu, step):  # SymPy does not know their values
        value = _number(expr)
        return lambda boxes: value
    plain = _structure(expr, symbols)
    exact = _polynomial(expr, symbols)
    if exact is None:
        return plain
    return lambda boxes: intersection(plain(boxes), exact(boxes))


def _number(expr: sp.Expr) -> Interval:
    if not expr.is_real:
        return WHOLE
    return float(expr), float(expr)


def intersection(a: Interval, b: Interval) -> Interval:
    """What two enclosures of one value have in common; an end that is NaN says nothing."""
    return np.fmax(a[0], b[0]), np.fmin(a[1], b[1])


def magnitude(a: Interval) -> Any:
    """The largest absolute value in an interval."""
    return np.maximum(np.abs(a[0]), np.abs(a[1]))


def times(a: Interval, b: Interval) -> Interval:
    """The product; 0 times an infinite end is 0, since an infinite end is not attained."""
    ends = [np.where((x == 0) | (y == 0), 0.0, np.multiply(x, y)) for x in a for y in b]
    return _outwards(reduce(np.minimum, ends), reduce(np.maximum, ends))


def plus(a: Interval, b: Interval) -> Interval:
    """The sum."""
    return _outwards(np.add(a[0], b[0]), np.add(a[1], b[1]))


def _outwards(lo: Any, hi: Any) -> Interval:
    slack = ROUNDING * np.where(np.isfinite(lo), np.abs(lo), 0.0)
    wide = ROUNDING * np.where(np.isfinite(hi), np.abs(hi), 0.0)
    lo, hi = np.subtract(lo, slack), np.add(hi, wide)
    return np.where(np.isnan(lo), -np.inf, lo), np.where(np.isnan(hi), np.inf, hi)


def _structure(expr: sp.Expr, symbols: tuple[sp.Symbol, ...]) -> Range:
    kind = expr.func
    if expr.is_Add or expr.is_Mul:
        return _fold(plus if expr.is_Add else times, _groups(expr, symbols))
    if kind is sp.Piecewise:
        branches = [enclosing(e, symbols) for e, _ in expr.args]
        return _fold(_hull, branches)
    if not all(isinstance(a, sp.Expr) for a in expr.args):
        return lambda boxes: WHOLE
    if kind in (sp.Max, sp.Min):
        better = np.maximum if kind is sp.Max else np.minimum
        return _fold(
            lambda a, b: (better(a[0], b[0]), better(a[1], b[1])), [enclosing(a, symbols) for a in expr.args]
        )
    if expr.is_Pow:
        return _power(expr, symbols)
    inner = enclosing(expr.args[0], symbols)
    return lambda boxes: _function(kind, inner(boxes))


def _fold(combine: Callable[[Interval, Interval], Interval], parts: list[Range]) -> Range:
    return lambda boxes: reduce(combine, [part(boxes) for part in parts])


def _hull(a: Interval, b: Interval) -> Interval:
    return np.minimum(a[0], b[0]), np.maximum(a[1], b[1])


def _groups(expr: sp.Expr, symbols: tuple[sp.Symbol, ...]) -> list[Range]:
    """The terms or factors, those of a product that share a symbol together."""
    if expr.is_Add:
        return [enclosing(a, symbols) for a in expr.args]
    groups = factor_groups(expr)
    if len(groups) == 1:
        return [enclosing(a, symbols) for a in expr.args]
    return [enclosing(g, symbols) for g in groups]


@lru_cache(maxsize=20_000)
def factor_groups(expr: sp.Expr) -> tuple[sp.Expr, ...]:
    """The factors of a product, multiplied together where they share a symbol."""
    groups: list[tuple[set[sp.Symbol], list[sp.Expr]]] = []
    for factor in sp.Mul.make_args(expr):
        own, members = set(factor.free_symbols), [factor]
        for group in [g for g in groups if g[0] & own]:
            groups.remove(group)
            own |= group[0]
            members = group[1] + members
        groups.append((own, members))
    return tuple(sp.Mul(*members) for _, members in groups)


def _polynomial(expr: sp.Expr, symbols: tuple[sp.Symbol, ...]) -> Range | None:
    """The exact range of a polynomial of degree 1 in each symbol, or 2 in its only one."""
    own = sorted(expr.free_symbols, key=str)
    counted = sum(a.count(s) for a in (expr,) for s in own)
    if not (expr.is_Add or expr.is_Mul) or not own or counted == len(own) or len(own) > CORNERS:
        return None
    if not expr.is_polynomial(*own):
        return None
    poly = sp.Poly(expr, *own)
    degrees = poly.degree_list()
    if max(degrees) == 1:
        return _corners(poly, own, symbols)
    return _parabola(poly, symbols.index(own[0])) if degrees == (2,) and own[0] in symbols else None


def _corners(poly: sp.Poly, own: list[sp.Symbol], symbols: tuple[sp.Symbol, ...]) -> Range | None:
    if not set(own) <= set(symbols):
        return None
    terms = [
        (float(c), [symbols.index(s) for s, k in zip(own, m, strict=True) if k]) for m, c in poly.terms()
    ]
    places = [symbols.index(s) for s in own]

    def values(boxes: list[Interval]) -> Interval:
        found = []
        for ends in product((0, 1), repeat=len(places)):
            at = {p: boxes[p][e] for p, e in zip(places, ends, strict=True)}
            found.append([c * reduce(np.multiply, [at[p] for p in used], 1.0) for c, used in terms])
        totals = [reduce(np.add, f) for f in found]
        slack = ROUNDING * reduce(np.maximum, [reduce(np.add, map(np.abs, f)) for f in found])
        return reduce(np.minimum, totals) - slack, reduce(np.maximum, totals) + slack

    return values


def _parabola(poly: sp.Poly, place: int) -> Range:
    a, b, c = (float(poly.coeff_monomial((k,))) for k in (2, 1, 0))
    vertex = -b / (2 * a)

    def values(boxes: list[Interval]) -> Interval:
        points = [*boxes[place], np.clip(vertex, *boxes[place])]
        found = [a * x * x + b * x + c for x in points]
        size = reduce(np.maximum, [np.abs(a * x * x) + np.abs(b * x) + abs(c) for x in points])
        return reduce(np.minimum, found) - ROUNDING * size, reduce(np.maximum, found) + ROUNDING * size

    return values


def _power(expr: sp.Expr, symbols: tuple[sp.Symbol, ...]) -> Range:
    base, power = expr.args
    inner = enclosing(base, symbols)
    if power.is_Integer:
        return lambda boxes: _integer_power(inner(boxes), int(power))
    if power.is_number:
        return lambda boxes: _real_power(inner(boxes), float(power))
    exponent = enclosing(power, symbols)
    return lambda boxes: _function(sp.exp, times(exponent(boxes), _function(sp.log, inner(boxes))))


def _integer_power(a: Interval, k: int) -> Interval:
    if k < 0:
        return _reciprocal(_integer_power(a, -k))
    lo, hi = np.power(a[0], float(k)), np.power(a[1], float(k))
    if k % 2:
        return _outwards(lo, hi)
    least = np.where(np.less_equal(a[0], 0) & np.greater_equal(a[1], 0), 0.0, np.minimum(lo, hi))
    return _outwards(least, np.maximum(lo, hi))


def _real_power(a: Interval, p: float) -> Interval:
    """A power that is defined for a base of at least 0."""
    base = np.where(np.less(a[0], 0), np.nan, a[0])
    found = np.power(base, abs(p)), np.where(np.isnan(base), np.nan, np.power(a[1], abs(p)))
    return _outwards(*found) if p > 0 else _reciprocal(_outwards(*found))


def _reciprocal(a: Interval) -> Interval:
    lo, hi = np.asarray(a[0], float), np.asarray(a[1], float)
    inverse_lo, inverse_hi = 1.0 / hi, 1.0 / lo
    low = np.where((lo < 0) & (hi >= 0), -np.inf, np.where(hi == 0, -np.inf, inverse_lo))
    high = np.where((lo <= 0) & (hi > 0), np.inf, np.where(lo == 0, np.inf, inverse_hi))
    return _outwards(low, high)


def _function(kind: type, a: Interval) -> Interval:
    if kind in INCREASING or kind in DECREASING:
        return _monotone(kind, a)
    if kind in EVEN:
        f = FUNCTIONS[kind].numpy
        least = np.where(np.less_equal(a[0], 0) & np.greater_equal(a[1], 0), 0.0, np.minimum(*map(np.abs, a)))
        return _outwards(f(least), f(np.maximum(*map(np.abs, a))))
    if kind is sp.sin:
        return _cosine((np.subtract(a[0], np.pi / 2), np.subtract(a[1], np.pi / 2)))
    if kind is sp.cos:
        return _cosine(a)
    if kind is sp.tan:
        poles = np.floor(np.divide(a[0], np.pi) + 0.5) != np.floor(np.divide(a[1], np.pi) + 0.5)
        return _outwards(np.where(poles, -np.inf, np.tan(a[0])), np.where(poles, np.inf, np.tan(a[1])))
    if kind is sp.Heaviside:
        return np.where(np.greater(a[0], 0), 1.0, 0.0), np.where(np.less(a[1], 0), 0.0, 1.0)
    return WHOLE


def _monotone(kind: type, a: Interval) -> Interval:
    """NaN ends, outside of where a function is defined, become infinite ones."""
    f, domain = FUNCTIONS[kind].numpy, {**INCREASING, **DECREASING}[kind]
    inside = np.greater_equal(a[0], domain[0]) & np.less_equal(a[1], domain[1])
    ends = [np.where(inside, f(np.asarray(x, float)), np.nan) for x in a]
    lo, hi = _outwards(*(ends if kind in INCREASING else ends[::-1]))
    lo, hi = lo - np.where(inside, 1e-300, 0), hi + np.where(inside, 1e-300, 0)
    image = IMAGES.get(kind, WHOLE)
    return np.maximum(lo, image[0]), np.minimum(hi, image[1])


def _cosine(a: Interval) -> Interval:
    """1 where a multiple of 2π is inside, -1 where an odd multiple of π is, else at the ends."""

    def inside(shift: float) -> Any:
        low = np.divide(np.subtract(a[0], shift), 2 * np.pi) - 1e-12
        high = np.divide(np.subtract(a[1], shift), 2 * np.pi) + 1e-12
        return ~(np.floor(low) == np.floor(high))  # an infinite end gives NaN or inf, which counts as inside

    ends = np.cos(a[0]), np.cos(a[1])
    lo = np.where(inside(np.pi), -1.0, np.minimum(*ends) - 1e-12)
    hi = np.where(inside(0.0), 1.0, np.maximum(*ends) + 1e-12)
    return np.maximum(np.nan_to_num(lo, nan=-1.0), -1.0), np.minimum(np.nan_to_num(hi, nan=1.0), 1.0)
