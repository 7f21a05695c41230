"""The rules by which an equation passes on what is known of its operands on a ball of parameters.

- A contraction A B moves by at most ‖A⁰‖‖ΔB‖ + ‖ΔA‖‖B‖ and by at most ‖A‖‖ΔB‖ + ‖ΔA‖‖B⁰‖; where it is a
  product of matrices the norms of A⁰ and B⁰ are spectral ones. Sums over time and batch are summed.
- A pointwise equation moves each entry by at most Σ_j sup|∂e/∂u_j| |Δu_j|, the supremum over the box of its
  operands, and by no more than its range over that box allows. Where the box contains a jump only the
  latter holds.
- A maximum has the maxima of the lower and of the upper ends as its ends.
- Changes are kept apart by the parameter that they come from: where the p-th one moves by r ρ_p, Σ ρ_p² ≤ 1,
  ‖Δv‖ ≤ d_0 + Σ_p d_p ρ_p ≤ d_0 + √Σ d_p², which is less than the sum of all. The rules are linear in the d.
- Norms are at most products of norms, and at most ‖v⁰‖ + ‖Δv‖; changes are at most ‖v⁰‖ + ‖v‖.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.analysis.balls import Ball, Read, known, lead_of, length, rest_of, together
from bptt_verify.derivation.enclosures import (
    Interval,
    Range,
    enclosing,
    intersection,
    magnitude,
)
from bptt_verify.derivation.facts import facts_of
from bptt_verify.derivation.jumps import jumps, straddled
from bptt_verify.program import (
    BATCH,
    TIME,
    Contract,
    Equation,
    Peak,
    Pointwise,
    Program,
    Ref,
    size_of,
    size_symbol,
    symbol,
)
from bptt_verify.program.evaluation import align
from bptt_verify.program.functions import derivative

Array = np.ndarray[Any, Any]
Labels = tuple[str, ...]
LEAD = (TIME, BATCH)


class Rules:
    """The rules for one Program.

    Attributes
    ----------
    sizes : dict of str to int
    shares : int
        How many there are: one for each parameter and one.
    broken : set of str
        The equations that were found to have a jump.
    """

    def __init__(self, program: Program, sizes: dict[str, int], shares: int) -> None:
        self.sizes, self.shares, self.broken = sizes, shares, set[str]()
        self.lengths = {size_symbol(w): k for w, k in sizes.items()}
        self.facts, self.cotangents = facts_of(program), _cotangents(program)

    def _plan(self, e: Pointwise) -> _Slopes:
        return _plan(e, frozenset(r.name for r in e.operands if r.name in self.cotangents))

    def ball(self, e: Equation, labels: Labels, operands: list[Read], value: Any) -> Ball:
        """What is known of the value of an equation under some of its labels."""
        value = np.asarray(value, float)
        match e:
            case Pointwise():
                interval, moved, norm, shares = self._pointwise(e, labels, operands, value)
            case Contract():
                interval, moved, norm, shares = self._contract(labels, operands, e.operands)
            case Peak():
                axes = tuple(i for i, x in enumerate(operands[0][1]) if x not in labels)
                ball = operands[0][0]
                interval, moved = (ball.low.max(axis=axes), ball.high.max(axis=axes)), ball.moved
                norm, shares = ball.norm, ball.shares
            case _:
                raise TypeError(f"{type(e).__name__}: no rule")
        interval = intersection(interval, self.facts.get(e.name, interval))
        return known(value, interval, moved, norm, shares, labels)

    def _pointwise(
        self, e: Pointwise, labels: Labels, operands: list[Read], value: Array
    ) -> tuple[Interval, Array, Array, Array]:
        plan, rest, lead = self._plan(e), rest_of(labels), len(lead_of(labels))
        boxes: list[Interval] = [
            (align(b.low, own, labels), align(b.high, own, labels)) for b, own in operands
        ]
        boxes += [(float(self.lengths[s]),) * 2 for s in plan.sizes]
        own = intersection(plan.value(boxes), self.facts.get(e.name, (-np.inf, np.inf)))
        jump = plan.jump(boxes)[0] if plan.jump else None
        moving = any(np.any(b.moved) for b, _ in operands)
        if plan.breaks and moving and np.any(plan.breaks(boxes)[0]):
            self.broken.add(e.name)
        moved, norm = np.zeros(value.shape[:lead]), np.zeros(value.shape[:lead])
        each, shares = np.zeros(value.shape), np.zeros((self.shares, *value.shape[:lead]))
        axes = tuple(range(lead, value.ndim))
        for (ball, names), slope, through in zip(operands, plan.slopes, plan.linear, strict=True):
            still = not np.any(ball.moved)
            if still and not through:
                continue
            size = magnitude(slope([*boxes, own]))
            size = np.broadcast_to(size if jump is None else np.where(jump, np.inf, size), value.shape)
            largest = size.max(axis=axes, initial=0.0)
            repeated = np.sqrt(np.prod([self.sizes[size_of(x)] for x in rest if x not in names]))
            if through:
                norm = norm + _product(largest, align(ball.norm, lead_of(names), lead_of(labels)) * repeated)
            if still:
                continue
            change = _product(size, align(ball.each, names, labels))
            each = each + change
            whole = align(ball.moved, lead_of(names), lead_of(labels)) * repeated
            moved = moved + np.minimum(_product(largest, whole), length(change, lead))
            shares = shares + _product(largest, _aligned(ball.shares, names, labels) * repeated)
        around = value - each, value + each
        norm = norm if any(plan.linear) else np.full_like(norm, np.inf)
        return intersection(own, around), moved, norm, shares

    def _contract(
        self, labels: Labels, operands: list[Read], refs: tuple[Ref, ...]
    ) -> tuple[Interval, Array, Array, Array]:
        lead, kept = _union([lead_of(own) for _, own in operands]), lead_of(labels)
        summed = tuple(i for i, x in enumerate(lead) if x not in kept)
        counts = {x: self.sizes[size_of(x)] for _, own in operands for x in own}
        if len(operands) == 1:
            ((ball, own),) = operands
            gone = [counts[x] for x in rest_of(own) if x not in labels]
            moved = (np.sqrt(np.prod(gone)) * ball.moved).sum(axis=summed)
            norm = (np.sqrt(np.prod(gone)) * ball.norm).sum(axis=summed)
            shares = (np.sqrt(np.prod(gone)) * ball.shares).sum(axis=tuple(i + 1 for i in summed))
            axes = tuple(i for i, x in enumerate(own) if x not in labels)
            interval = ball.low.sum(axis=axes), ball.high.sum(axis=axes)
            order = tuple(x for x in own if x in labels)
            ends = align(interval[0], order, labels), align(interval[1], order, labels)
            return ends, moved, norm, shares
        pair = Pair(operands, labels, lead, counts)
        shape = [counts[x] for x in lead]
        moved, norm, shares = pair.norms()
        moved, norm = (np.broadcast_to(v, shape).sum(axis=summed) for v in (moved, norm))
        shares = np.broadcast_to(shares, (len(shares), *shape)).sum(axis=tuple(i + 1 for i in summed))
        return pair.interval(refs[0] == refs[1]), moved, norm, shares


def _cotangents(program: Program) -> set[str]:
    """What the loss weights reach; the gradient is linear in it."""
    found = {a.name for a in program.arrays if a.role in ("weights", "cotangent", "zero")}
    found |= {c.value for c in program.carries if c.shift > 0}
    for e in program.equations:
        if any(r.name in found for r in e.operands):
            found.add(e.name)
    return found


class Pair:
    """A contraction of two operands."""

    def __init__(self, operands: list[Read], labels: Labels, lead: Labels, counts: Mapping[str, int]) -> None:
        (self.a, self.x), (self.b, self.y) = operands
        self.labels, self.lead, self.counts = labels, lead, counts

    def norms(self) -> tuple[Array, Array, Array]:
        """For each step's and sequence's product: bounds of its change and norm, and shares of the change."""
        a, b = self._factor(self.a, self.x, self.y), self._factor(self.b, self.y, self.x)
        whole_a, whole_b = np.minimum(a[0] + a[1], a[2]), np.minimum(b[0] + b[1], b[2])
        moved = np.minimum(a[0] * b[1] + a[1] * whole_b, whole_a * b[1] + a[1] * b[0])
        first = _product(a[0], b[3]) + _product(a[3], whole_b)
        second = _product(whole_a, b[3]) + _product(a[3], b[0])
        shares = np.where(together(first) <= together(second), first, second)
        return moved, np.minimum(whole_a * b[2], a[2] * whole_b), shares

    def _factor(self, ball: Ball, own: Labels, other: Labels) -> tuple[Array, Array, Array, Array]:
        """Norm of the value as a factor, of its change, of any value on the ball; shares of the change."""
        alone = [x for x in rest_of(own) if x not in other and x not in self.labels]
        more = float(np.sqrt(np.prod([self.counts[x] for x in alone])))
        parts = (self._norm(ball, own, other, bool(alone)), ball.moved, ball.norm)
        first, *others = (align(p, lead_of(own), self.lead) for p in parts)
        shares = _aligned(ball.shares, own, self.lead)
        return first * more, others[0] * more, others[1] * more, shares * more

    def _norm(self, ball: Ball, own: Labels, other: Labels, alone: bool) -> Array:
        """The spectral norm where the operand is a matrix from its summed to its own labels."""
        rest = rest_of(own)
        rows = [x for x in rest if x not in other]
        columns = [x for x in rest if x in other and x not in self.labels]
        lead = len(lead_of(own))
        if alone or not rows or not columns or len(rows) + len(columns) < len(rest):
            return length(ball.value, lead)
        order = (*lead_of(own), *rows, *columns)
        matrix = align(ball.value, own, order)
        flat = matrix.reshape(*matrix.shape[:lead], int(np.prod([self.counts[x] for x in rows])), -1)
        return np.linalg.norm(flat, 2, axis=(-2, -1)) if np.isfinite(flat).all() else length(flat, lead)

    def interval(self, square: bool) -> Interval:
        """An interval for each entry, from the entries and from the norms of rows and columns."""
        value = _einsum(self.labels, (self.a.value, self.x), (self.b.value, self.y))
        by_entry = self._absolute(np.abs(self.a.value), self.b.each)
        large = np.maximum(np.abs(self.b.low), np.abs(self.b.high))
        each = by_entry + self._absolute(self.a.each, large)
        if set(self.lead) <= set(self.labels):
            each = np.fmin(each, self._by_norms())
        low, high = value - each, value + each
        if square and self.x == self.y:
            low = np.maximum(low, 0.0)
        if (self.a.low >= 0).all() and (self.b.low >= 0).all():
            low = np.fmax(low, self._absolute(self.a.low, self.b.low))
            high = np.fmin(high, self._absolute(self.a.high, self.b.high))
        return low, high

    def _absolute(self, a: Array, b: Array) -> Array:
        found = _einsum(self.labels, (a, self.x), (b, self.y))
        return np.asarray(np.where(np.isnan(found), np.inf, found))

    def _by_norms(self) -> Array:
        """‖row of A⁰‖‖ΔB‖ + ‖ΔA‖(‖column of B⁰‖ + ‖ΔB‖), where no label is summed alone."""
        shared = {x for x in self.x if x in self.y}
        if any(x not in shared and x not in self.labels for x in (*self.x, *self.y)):
            return np.asarray(np.inf)
        a, b = self._lines(self.a, self.x), self._lines(self.b, self.y)
        first = align(self.a.moved, lead_of(self.x), self.labels)
        second = align(self.b.moved, lead_of(self.y), self.labels)
        return np.asarray(a * second + first * (b + second))

    def _lines(self, ball: Ball, own: Labels) -> Array:
        gone = tuple(i for i, x in enumerate(own) if x not in self.labels)
        lines = np.sqrt(np.sum(np.square(ball.value), axis=gone))
        return np.asarray(align(lines, tuple(x for x in own if x in self.labels), self.labels))


@dataclass(frozen=True)
class _Slopes:
    value: Range
    slopes: tuple[Range, ...]
    jump: Range | None
    breaks: Range | None
    linear: tuple[bool, ...]
    sizes: tuple[sp.Symbol, ...]


@lru_cache(maxsize=10_000)
def _plan(e: Pointwise, cotangents: frozenset[str]) -> _Slopes:
    """Ranges of the value and of the slope by each operand, from boxes of operands, sizes and own value."""
    own = symbol(Ref(e.name, e.labels))
    known = [symbol(r) for r in e.operands]
    sizes = sorted(e.expr.free_symbols - set(known), key=str)
    symbols = (*known, *sizes)
    slopes = [derivative(e.expr, s, own) for s in known]
    ranges = tuple(enclosing(slope, (*symbols, own)) for slope in slopes)
    jump = straddled(e.expr, symbols)
    through = tuple(r.name in cotangents for r in e.operands)
    bars = [s for s, t in zip(known, through, strict=True) if t]
    homogeneous = e.expr.xreplace(dict.fromkeys(bars, sp.Integer(0))) == 0
    linear = homogeneous and not any(s.has(*bars) for s, t in zip(slopes, through, strict=True) if t and bars)
    through = through if linear else (False,) * len(through)
    breaks = straddled(e.expr, symbols, jumps(e.expr)) if jump else None
    return _Slopes(enclosing(e.expr, symbols), ranges, jump, breaks, through, tuple(sizes))


def _product(a: Array, b: Array) -> Array:
    return np.where((np.asarray(a) == 0) | (np.asarray(b) == 0), 0.0, np.multiply(a, b))


def _aligned(shares: Array, own: Labels, labels: Labels) -> Array:
    return np.asarray(align(shares, ("", *lead_of(own)), ("", *lead_of(labels))))


def _union(labels: list[Labels]) -> Labels:
    return tuple(x for x in LEAD if any(x in own for own in labels))


def _einsum(out: Labels, *operands: tuple[Array, Labels]) -> Array:
    letters: dict[str, str] = {}
    for _, labels in operands:
        for x in labels:
            letters.setdefault(x, chr(ord("a") + len(letters)))
    spelled = ["".join(letters[x] for x in labels) for _, labels in operands]
    path = f"{','.join(spelled)}->{''.join(letters[x] for x in out)}"
    return np.asarray(np.einsum(path, *(a for a, _ in operands)))
