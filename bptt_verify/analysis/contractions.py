"""How a contraction passes on what is known of its operands on a ball of parameters: see ``rules``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt_verify.analysis.balls import Ball, Read, lead_of, length, rest_of, together
from bptt_verify.analysis.linear import Linear, spectral, spectral_of, times
from bptt_verify.derivation.enclosures import Interval
from bptt_verify.program import BATCH, TIME
from bptt_verify.program.evaluation import align

Array = np.ndarray[Any, Any]
Labels = tuple[str, ...]
LEAD = (TIME, BATCH)
Known = tuple[Interval, Array, Array, Array]


class Alone:
    """A sum of one operand over the labels that the result lacks."""

    def __init__(self, read: Read, labels: Labels, counts: Mapping[str, int]) -> None:
        (self.ball, self.own), self.labels = read, labels
        gone = [counts[x] for x in rest_of(self.own) if x not in labels]
        self.more = float(np.sqrt(np.prod(gone)))
        self.axes = tuple(i for i, x in enumerate(self.own) if x not in labels)
        self.kept = tuple(x for x in self.own if x in labels)

    def known(self) -> Known:
        """Interval, change, norm, and shares of the change."""
        ball, lead = self.ball, lead_of(self.own)
        gone = tuple(i for i, x in enumerate(lead) if x not in self.labels)
        moved, norm = (self.more * ball.moved).sum(axis=gone), (self.more * ball.norm).sum(axis=gone)
        shares = (self.more * ball.shares).sum(axis=tuple(i + 1 for i in gone))
        low, high = (align(end.sum(axis=self.axes), self.kept, self.labels) for end in (ball.low, ball.high))
        return (low, high), moved, norm, shares

    def linear(self, form: Linear) -> Linear:
        """The dependence on a neighbouring step; no sum over time or batch."""
        matrix = form.matrix
        if matrix is not None:
            matrix = align(matrix.sum(axis=self.axes), (*self.kept, ""), (*self.labels, ""))
        return Linear(matrix, self.more * form.gain, self.more * form.rest)


class Pair:
    """A contraction of two operands."""

    def __init__(self, operands: list[Read], labels: Labels, counts: Mapping[str, int]) -> None:
        (self.a, self.x), (self.b, self.y) = operands
        self.labels, self.counts = labels, counts
        self.lead = tuple(x for x in LEAD if x in self.x or x in self.y)

    def known(self, square: bool) -> Known:
        """Interval, change, norm, and shares of the change."""
        gone = tuple(i for i, x in enumerate(self.lead) if x not in self.labels)
        shape = [self.counts[x] for x in self.lead]
        moved, norm, shares = self.norms()
        moved, norm = (np.broadcast_to(v, shape).sum(axis=gone) for v in (moved, norm))
        shares = np.broadcast_to(shares, (len(shares), *shape)).sum(axis=tuple(i + 1 for i in gone))
        return self.interval(square), moved, norm, shares

    def norms(self) -> tuple[Array, Array, Array]:
        """For each step's and sequence's product: bounds of its change and norm, and shares of the change."""
        a, b = self._factor(self.a, self.x, self.y), self._factor(self.b, self.y, self.x)
        whole_a, whole_b = np.minimum(a[0] + a[1], a[2]), np.minimum(b[0] + b[1], b[2])
        moved = np.minimum(a[0] * b[1] + a[1] * whole_b, whole_a * b[1] + a[1] * b[0])
        first = times(a[0], b[3]) + times(a[3], whole_b)
        second = times(whole_a, b[3]) + times(a[3], b[0])
        shares = np.where(together(first) <= together(second), first, second)
        return moved, np.minimum(whole_a * b[2], a[2] * whole_b), shares

    def linear(self, form_a: Linear, form_b: Linear) -> Linear:
        """``Δ(A B) = A⁰ ΔB + ΔA B`` with B anywhere on the ball; A is the one that depends on less."""
        one, two = (self.a, self.x, form_a), (self.b, self.y, form_b)
        if form_a.matrix is not None and form_b.matrix is None:
            one, two = two, one
        (a, x, f), (b, y, g) = one, two
        first, second = self._factor(a, x, y), self._factor(b, y, x)
        whole = np.minimum(second[0] + second[1], second[2])
        gain = times(first[0], self._shares(g.gain, y, x)) + times(self._shares(f.gain, x, y), whole)
        rest = times(first[0], self._shares(g.rest, y, x)) + times(self._shares(f.rest, x, y), whole)
        parts = [] if g.matrix is None else [self._through(a.value, x, g.matrix, y)]
        if f.matrix is not None:
            parts.append(self._through(b.value, y, f.matrix, x))
            size = align(spectral_of(f.matrix, len(lead_of(x))), lead_of(x), self.lead) * self._more(x, y)
            gain = gain + times(size, second[3])
        return Linear(sum(parts[1:], parts[0]) if parts else None, gain, rest)

    def _through(self, value: Array, own: Labels, matrix: Array, other: Labels) -> Array:
        return einsum((*self.labels, ""), (value, own), (matrix, (*other, "")))

    def _more(self, own: Labels, other: Labels) -> float:
        """The root of how many entries an operand has along labels that are summed alone."""
        alone = [x for x in rest_of(own) if x not in other and x not in self.labels]
        return float(np.sqrt(np.prod([self.counts[x] for x in alone])))

    def _shares(self, shares: Array, own: Labels, other: Labels) -> Array:
        return aligned(shares, own, self.lead) * self._more(own, other)

    def _factor(self, ball: Ball, own: Labels, other: Labels) -> tuple[Array, Array, Array, Array]:
        """Norm of the value as a factor, of its change, of any value on the ball; shares of the change."""
        more = self._more(own, other)
        parts = (self._norm(ball, own, other), ball.moved, ball.norm)
        first, second, third = (align(p, lead_of(own), self.lead) * more for p in parts)
        return first, second, third, self._shares(ball.shares, own, other)

    def _norm(self, ball: Ball, own: Labels, other: Labels) -> Array:
        """The spectral norm where the operand is a matrix from its summed to its own labels."""
        rest = rest_of(own)
        rows = [x for x in rest if x not in other]
        columns = [x for x in rest if x in other and x not in self.labels]
        lead = len(lead_of(own))
        alone = any(x not in self.labels for x in rows)
        if alone or not rows or not columns or len(rows) + len(columns) < len(rest):
            return length(ball.value, lead)
        matrix = align(ball.value, own, (*lead_of(own), *rows, *columns))
        flat = matrix.reshape(*matrix.shape[:lead], int(np.prod([self.counts[x] for x in rows])), -1)
        return spectral(flat)

    def interval(self, square: bool) -> Interval:
        """An interval for each entry, from the entries and from the norms of rows and columns."""
        value = einsum(self.labels, (self.a.value, self.x), (self.b.value, self.y))
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
        found = einsum(self.labels, (a, self.x), (b, self.y))
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


def aligned(shares: Array, own: Labels, labels: Labels) -> Array:
    """Shares under other labels of time and batch."""
    return np.asarray(align(shares, (" ", *lead_of(own)), (" ", *lead_of(labels))))


def einsum(out: Labels, *operands: tuple[Array, Labels]) -> Array:
    """Sums of products over shared labels."""
    letters: dict[str, str] = {}
    for _, labels in operands:
        for x in labels:
            letters.setdefault(x, chr(ord("a") + len(letters)))
    spelled = ["".join(letters[x] for x in labels) for _, labels in operands]
    path = f"{','.join(spelled)}->{''.join(letters[x] for x in out)}"
    return np.asarray(np.einsum(path, *(a for a, _ in operands)))
