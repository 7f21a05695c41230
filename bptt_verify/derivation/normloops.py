"""The bounds of norms of one loop over time, solved: see ``normpass``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product as corners
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from bptt_verify.derivation.geometric import (
    geometric,
    geometric_total,
    path_peak,
    path_sum,
    path_total,
    power_peak,
)
from bptt_verify.derivation.norms import (
    ANY,
    ZERO,
    Norm,
    Range,
    exact,
    hull,
    larger,
    numeric,
    product,
    size,
    smaller,
)
from bptt_verify.program import (
    BATCH,
    TIME,
    Equation,
    Pointwise,
    Ref,
    symbol,
)

if TYPE_CHECKING:
    from bptt_verify.derivation.normpass import NormPass

LEAD = (TIME, BATCH)
CORNERS = 5  # operands of an equation that is a convex combination


class Loop:
    """The equations of one loop over time."""

    def __init__(self, whole: NormPass, equations: tuple[Equation, ...]) -> None:
        self.whole, self.equations = whole, equations
        names = {e.name for e in equations}
        self.carries = {c.value: c for c in whole.program.carries if c.value in names}
        self.ranges: dict[str, Range] = dict.fromkeys(self.carries, ANY)

    def run(self) -> None:
        """Ranges first, as far as they are found; then norms, then everything once more with both."""
        for _ in range(len(self.carries) + 1):
            found = self._step({s: Norm(ZERO, None, {s: sp.Integer(1)}, r) for s, r in self.ranges.items()})
            new = {s: self._range(s, found[s], found) for s in self.carries}
            if new == self.ranges:
                break
            self.ranges = new
        solved = self._solved({s: found[s] for s in self.carries})
        for e in self.equations:
            self.whole.add(e, {r: self._read(r, solved, self.whole.norms) for r in e.operands})
            if e.name in self.carries and e.name in found[e.name].gains:
                self.whole.norms[e.name] = self._bounded(e.name, self.whole.norms[e.name])

    def _step(self, before: Mapping[str, Norm]) -> dict[str, Norm]:
        found: dict[str, Norm] = {}
        for e in self.equations:
            found[e.name] = self.whole.bound(e, {r: self._read(r, before, found) for r in e.operands})
        return found

    def _read(self, r: Ref, before: Mapping[str, Norm], found: Mapping[str, Norm]) -> Norm:
        if r.shift and r.name in self.carries:
            return before[r.name]
        if not r.shift and r.name in found:
            return found[r.name]
        return self.whole.read(r)

    def _range(self, s: str, found: Norm, all_found: Mapping[str, Norm]) -> Range:
        start = self.whole.norms[self.carries[s].boundary].range
        low, high = found.range
        if sp.oo not in (-low, high):
            return hull(start, found.range)
        bound = self._combination(s, all_found)
        if bound is None:
            return self.ranges[s]
        whole = larger(bound, size(start))
        return (-whole, whole)

    def _combination(self, s: str, found: Mapping[str, Norm]) -> sp.Expr | None:
        """m such that |s_{t-1}| ≤ m gives |s_t| ≤ m, also for every larger m.

        Where s_t is of degree 1 in s_{t-1} and in values with ranges in numbers, it is a s_{t-1} + b with
        (a, b) within the convex hull of finitely many corners: |a| ≤ 1, and b = 0 wherever |a| = 1.
        """
        e = self.whole.program.equation[s]
        own = symbol(Ref(s, e.labels, -1))
        if not isinstance(e, Pointwise) or not e.expr.has(own) or len(e.operands) > CORNERS:
            return None
        others = [r for r in e.operands if symbol(r) != own]
        symbols = [symbol(r) for r in others]
        reads = [self._read(r, {c: Norm(sp.oo) for c in self.carries}, found) for r in others]
        boxes = [numeric(n.range) for n in reads]
        if not np.isfinite(boxes).all() or not e.expr.is_polynomial(own, *symbols):
            return None
        if max(sp.Poly(e.expr, own, *symbols).degree_list()) > 1:
            return None
        bounds = []
        for point in corners(*([exact(lo), exact(hi)] for lo, hi in boxes)):
            at = sp.expand(e.expr.xreplace(dict(zip(symbols, point, strict=True))))
            gain, rest = abs(at.coeff(own, 1)), abs(at.coeff(own, 0))
            if not (gain < 1 or (gain == 1 and rest == 0)):
                return None
            bounds.append(ZERO if gain == 1 else rest / (1 - gain))
        return max(bounds)

    def _solved(self, found: Mapping[str, Norm]) -> dict[str, Norm]:
        """Bounds of every carried value as a neighbour reads it: the boundary's and those of T - 1 steps."""
        solved: dict[str, Norm] = {}
        for group in _groups(found):
            for s, norm in self._group(group, found, solved).items():
                short = self.whole.short(f"{s}@", self._bounded(s, norm) if s in found[s].gains else norm)
                solved[s] = replace(short, range=self._absolute(s, short))
        return solved

    def _bounded(self, s: str, norm: Norm) -> Norm:
        """By the interval in which the entries stay, if there is one."""
        low, high = self.ranges[s]
        if sp.oo in (-low, high) or norm.total is not None:
            return norm
        labels = [x for x in self.whole.program.labels(s) if x not in LEAD]
        return Norm(product(sp.sqrt(self.whole.count(labels)), size((low, high))), None, {}, (low, high))

    def _absolute(self, s: str, norm: Norm) -> Range:
        low, high = self.ranges[s]
        return (-norm.norm if low == -sp.oo else low, norm.norm if high == sp.oo else high)

    def _group(
        self, group: list[str], found: Mapping[str, Norm], solved: Mapping[str, Norm]
    ) -> dict[str, Norm]:
        start = {s: self.whole.norms[self.carries[s].boundary].norm for s in group}
        driven = {s: self.whole.short(f"{s}:", self._driven(found[s], group, solved)) for s in group}
        if len(group) == 1:
            (s,) = group
            return {s: self._alone(driven[s], found[s].gains.get(s, ZERO), start[s])}
        entries = [found[s].gains.get(r, ZERO) for s in group for r in group]
        return {s: self._among(i, group, driven, entries, start) for i, s in enumerate(group)}

    def _driven(self, found: Norm, group: list[str], solved: Mapping[str, Norm]) -> Norm:
        """What does not come from the group itself."""
        whole = Norm(found.norm, found.total)
        for s, gain in found.gains.items():
            if s not in group:
                whole = whole.plus(solved[s].times(gain), self.whole.cells)
        return whole

    def _alone(self, driven: Norm, gain: sp.Expr, start: sp.Expr) -> Norm:
        if gain == 0:
            total = None if driven.total is None else driven.total + product(self.whole.batch, start)
            return Norm(larger(driven.norm, start), total)
        before, B = self.whole.steps - 1, self.whole.batch
        once = _safe(geometric, gain, before)
        norm = product(_safe(power_peak, gain, before), start) + product(once, driven.norm)
        if driven.total is None:
            return Norm(norm)
        by_largest = product(B, _safe(geometric_total, gain, before), driven.norm)
        total = smaller(product(once, driven.total), by_largest)
        return Norm(norm, total + product(B, start, 1 + product(gain, once)))

    def _among(
        self,
        i: int,
        group: list[str],
        driven: Mapping[str, Norm],
        entries: list[sp.Expr],
        start: Mapping[str, sp.Expr],
    ) -> Norm:
        T, B = self.whole.steps - 1, self.whole.batch
        norm, total = ZERO, ZERO
        known = any(d.total is not None for d in driven.values())
        for j, s in enumerate(group):
            once = _safe(path_sum, i, j, T, *entries)
            peak = product(_safe(path_peak, i, j, T, *entries), start[s])
            norm += peak + product(once, driven[s].norm)
            by_total = product(once, driven[s].summed(self.whole.cells))
            by_largest = product(B, _safe(path_total, i, j, T, *entries), driven[s].norm)
            total += smaller(by_total, by_largest) + product(B, T + 1, peak)
        return Norm(norm, total if known else None)


def _safe(function: Any, *args: Any) -> sp.Expr:
    """A function of bounds, infinite where one of them is."""
    return sp.oo if sp.oo in args else function(*args)


def _groups(found: Mapping[str, Norm]) -> list[list[str]]:
    """Carried values that depend on each other, those they depend on first."""
    reach = {s: {s} for s in found}
    for _ in found:
        for s in found:
            for r in list(reach[s]):
                reach[s] |= set(found[r].gains)
    groups: list[list[str]] = []
    for s in found:
        group = [r for r in found if r in reach[s] and s in reach[r]]
        if group not in groups:
            groups.append(group)
    return sorted(groups, key=lambda g: len(reach[g[0]]))
