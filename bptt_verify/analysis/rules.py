"""The rules by which an equation passes on what is known of its operands on a ball of parameters.

- A contraction A B moves by at most ‖A⁰‖‖ΔB‖ + ‖ΔA‖‖B‖ and by at most ‖A‖‖ΔB‖ + ‖ΔA‖‖B⁰‖; where it is a
  product of matrices the norms of A⁰ and B⁰ are spectral ones. Sums over time and batch are summed.
- A pointwise equation moves each entry by Σ_j σ_j Δu_j, where σ_j is the mean of ∂e/∂u_j along the segment
  from u⁰ to u, and by no more than its range over the box of its operands allows. Where the box contains a
  jump only the latter holds.
- A maximum has the maxima of the lower and of the upper ends as its ends.
- Changes are kept apart by the parameter that they come from: where the p-th one moves by r ρ_p, Σ ρ_p² ≤ 1,
  ‖Δv‖ ≤ d_0 + Σ_p d_p ρ_p ≤ d_0 + √Σ d_p², which is less than the sum of all. The rules are linear in the d.
- Norms are at most products of norms, and at most ‖v⁰‖ + ‖Δv‖; changes are at most ‖v⁰‖ + ‖v‖.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.analysis.balls import Ball, Read, known, lead_of, length, rest_of
from bptt_verify.analysis.contractions import Alone, Known, Pair, aligned
from bptt_verify.analysis.linear import Linear, spectral_of, times
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
PARTS = 8  # of a segment, for the mean of slopes along it


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

    def ball(self, e: Equation, operands: list[Read], value: Any) -> Ball:
        """What is known of the value of an equation."""
        return self.both(e, operands, value, None)[0]

    def both(
        self, e: Equation, operands: list[Read], value: Any, forms: list[Linear] | None
    ) -> tuple[Ball, Linear | None]:
        """The same, and how it depends on a neighbouring step, from how its operands do."""
        value = np.asarray(value, float)
        form: Linear | None = None
        match e:
            case Pointwise():
                step = Step(self, e, operands, value, forms)
                found, form = step.known(), step.linear() if forms else None
            case Contract() if len(operands) == 1:
                alone = Alone(operands[0], e.labels, _counts(operands))
                found, form = alone.known(), alone.linear(forms[0]) if forms else None
            case Contract():
                pair = Pair(operands, e.labels, _counts(operands))
                found, form = (
                    pair.known(e.operands[0] == e.operands[1]),
                    pair.linear(*forms) if forms else None,
                )
            case Peak():
                found, form = _peak(e, *operands[0]), _of_peak(*operands[0], forms[0]) if forms else None
            case _:
                raise TypeError(f"{type(e).__name__}: no rule")
        interval, moved, norm, shares = found
        interval = intersection(interval, self.facts.get(e.name, interval))
        return known(value, interval, moved, norm, shares, e.labels), form


def _counts(operands: list[Read]) -> dict[str, int]:
    return {x: k for ball, own in operands for x, k in zip(own, ball.value.shape, strict=True)}


def _peak(e: Peak, ball: Ball, own: Labels) -> Known:
    axes = tuple(i for i, x in enumerate(own) if x not in e.labels)
    return (ball.low.max(axis=axes), ball.high.max(axis=axes)), ball.moved, ball.norm, ball.shares


def _of_peak(ball: Ball, own: Labels, form: Linear) -> Linear:
    if form.matrix is None:
        return form
    gain = form.gain.copy()
    gain[0] += spectral_of(form.matrix, len(lead_of(own)))
    return Linear(None, gain, form.rest)


class Step:
    """One pointwise equation at what is known of its operands.

    The mean slopes along a segment from the given arrays are enclosed by the means of the slopes on boxes
    that grow from there to the whole.
    """

    def __init__(
        self, rules: Rules, e: Pointwise, operands: list[Read], value: Array, forms: list[Linear] | None
    ) -> None:
        self.operands, self.value, self.rules, self.forms = operands, value, rules, forms or []
        self.labels, self.rest, self.lead = e.labels, rest_of(e.labels), len(lead_of(e.labels))
        self.plan = _plan(e, frozenset(r.name for r in e.operands if r.name in rules.cotangents))
        boxes = [(align(b.low, own, e.labels), align(b.high, own, e.labels)) for b, own in operands]
        sizes: list[Interval] = [(float(rules.lengths[s]),) * 2 for s in self.plan.sizes]
        self.boxes: list[Interval] = [*boxes, *sizes]
        centres = [align(b.value, own, e.labels) for b, own in operands]
        growing = list(map(_towards, boxes, centres))
        growing += sizes
        fact = rules.facts.get(e.name, (-np.inf, np.inf))
        self.own = intersection(self.plan.value(self.boxes), fact)
        self.growing = [*growing, intersection(self.plan.value(growing), fact)]
        self.jump = self.plan.jump(self.boxes)[0] if self.plan.jump else None
        moving = any(np.any(b.moved) for b, _ in operands)
        if self.plan.breaks and moving and np.any(self.plan.breaks(self.boxes)[0]):
            rules.broken.add(e.name)
        self.slopes = [self._slope(k) for k in range(len(operands))]

    def _slope(self, k: int) -> tuple[Interval, Array] | None:
        """The interval of the mean slope by an operand, and the largest slope; None if not needed."""
        depends = self.forms and self.forms[k].matrix is not None
        if not np.any(self.operands[k][0].moved) and not self.plan.linear[k] and not depends:
            return None
        low, high = self.plan.slopes[k](self.growing)
        if self.jump is not None:
            low, high = np.where(self.jump, -np.inf, low), np.where(self.jump, np.inf, high)
        low, high = (np.broadcast_to(end, (PARTS, *self.value.shape)) for end in (low, high))
        return (low.mean(axis=0), high.mean(axis=0)), magnitude((low[-1], high[-1]))

    def known(self) -> Known:
        """Interval, change, norm, and shares of the change."""
        value, lead, plan = self.value, self.lead, self.plan
        moved, norm = np.zeros(value.shape[:lead]), np.zeros(value.shape[:lead])
        each, shares = np.zeros(value.shape), np.zeros((self.rules.shares, *value.shape[:lead]))
        for (ball, names), slope, through in zip(self.operands, self.slopes, plan.linear, strict=True):
            if slope is None:
                continue
            repeated = self._repeated(names)
            if through:
                norm = norm + times(self._largest(slope[1]), self._lead(ball.norm, names) * repeated)
            if not np.any(ball.moved):
                continue
            size = magnitude(slope[0])
            change, largest = times(size, align(ball.each, names, self.labels)), self._largest(size)
            each = each + change
            whole = times(largest, self._lead(ball.moved, names) * repeated)
            moved = moved + np.minimum(whole, length(change, lead))
            shares = shares + times(largest, aligned(ball.shares, names, self.labels) * repeated)
        norm = norm if any(plan.linear) else np.full_like(norm, np.inf)
        return intersection(self.own, (value - each, value + each)), moved, norm, shares

    def linear(self) -> Linear:
        """The dependence on a neighbouring step."""
        gain = np.zeros((self.rules.shares, *self.value.shape[: self.lead]))
        rest, parts = np.zeros_like(gain), []
        for (_, names), slope, form in zip(self.operands, self.slopes, self.forms, strict=True):
            if slope is None:
                continue
            (low, high), repeated = slope[0], self._repeated(names)
            largest = self._largest(magnitude((low, high))) * repeated
            gain = gain + times(largest, aligned(form.gain, names, self.labels))
            rest = rest + times(largest, aligned(form.rest, names, self.labels))
            if form.matrix is not None:
                matrix = align(form.matrix, (*names, ""), (*self.labels, ""))
                finite = np.isfinite(low) & np.isfinite(high)
                middle = np.where(finite, (np.where(finite, low, 0) + np.where(finite, high, 0)) / 2, 0.0)
                parts.append(middle[..., None] * matrix)
                around = np.maximum(high - middle, middle - low)
                gain[0] += spectral_of(times(around[..., None], matrix), self.lead)
        return Linear(sum(parts[1:], parts[0]) if parts else None, gain, rest)

    def _repeated(self, names: Labels) -> float:
        missing = [self.rules.sizes[size_of(x)] for x in self.rest if x not in names]
        return float(np.sqrt(np.prod(missing)))

    def _largest(self, size: Array) -> Array:
        axes = tuple(range(self.lead, self.value.ndim))
        return np.asarray(np.broadcast_to(size, self.value.shape).max(axis=axes, initial=0.0))

    def _lead(self, sizes: Array, names: Labels) -> Array:
        return np.asarray(align(sizes, lead_of(names), lead_of(self.labels)))


def _towards(box: Interval, centre: Array) -> Interval:
    """The box shrunk to its centre, in PARTS steps along a new first axis; the last one is the whole."""
    share = (np.arange(1, PARTS + 1) / PARTS).reshape(-1, *[1] * np.ndim(centre))
    with np.errstate(invalid="ignore"):
        low, high = (np.where(share == 1, end, centre + share * (end - centre)) for end in box)
    return low, high


def _cotangents(program: Program) -> set[str]:
    """What the loss weights reach; the gradient is linear in it."""
    found = {a.name for a in program.arrays if a.role in ("weights", "cotangent", "zero")}
    found |= {c.value for c in program.carries if c.shift > 0}
    for e in program.equations:
        if any(r.name in found for r in e.operands):
            found.add(e.name)
    return found


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
