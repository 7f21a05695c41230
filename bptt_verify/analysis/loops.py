"""What a loop over time does to what is known of its values, many steps at once.

A step reads what it carries only from its neighbour. So take a guess G_t of what is known of the carried
values for a window of steps, and bound every step from it, which gives G'_t. The first step is right: what
it reads is known. And if G'_t lies within G_t for all steps up to t, then G' is right up to step t + 1, by
induction. Those steps are settled, and the others are tried again, from a guess a little larger than both.

What a step carries on is also bounded through how it depends on its neighbour (``linear``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt_verify.analysis.balls import Ball, hull, inflated, inside, joined, moved, tightened
from bptt_verify.analysis.linear import LAGS, Linear, independent, recursion, stacked_sizes
from bptt_verify.analysis.rules import Rules
from bptt_verify.program import BATCH, TIME, Component, Program, Ref

Array = np.ndarray[Any, Any]
Balls = dict[str, Ball]
GROWTH = 0.05  # by which guesses are larger than what was found
WINDOW = 64  # steps that are tried at once
WORK = 5e7  # numbers in all matrices of one value


class Loop:
    """One loop: its equations, and what is known of what they read. Steps count in its direction.

    ``found`` has what is known of the carried values: settled up to some step, and guessed from there on.
    """

    def __init__(
        self, program: Program, rules: Rules, values: Mapping[str, Any], balls: Balls, part: Component
    ) -> None:
        self.program, self.rules, self.values, self.balls = program, rules, values, balls
        self.equations, self.direction = part.equations, part.direction
        names = {e.name for e in self.equations}
        self.carries = {c.value: c for c in program.carries if c.value in names}
        self.steps = rules.sizes[TIME]
        self.found = {v: self._still(v) for v in self.carries}
        widths = [int(np.prod(b.value.shape[2:])) for b in self.found.values()]
        self.starts = dict(zip(self.carries, np.cumsum([0, *widths]), strict=False))
        self.width = sum(widths)
        timed = all(e.labels[:2] == (TIME, BATCH) for e in self.equations)
        largest = max(np.size(values[n]) for n in names)
        self.linear = timed and 0 < largest * self.width <= WORK
        self.past: dict[int, tuple[Array, Array, Array]] = {}

    def _still(self, v: str) -> Ball:
        value = np.asarray(self.values[v], float)
        return moved(value, self.program.labels(v), 0.0, self.rules.shares)

    def run(self) -> Balls:
        """What is known of every value of the loop."""
        broken, first = set(self.rules.broken), 0
        while first < self.steps:
            first += self._settled(first, min(first + WINDOW, self.steps))
        self.rules.broken.intersection_update(broken)  # guesses do not count
        return self._bounds(slice(0, self.steps), None, known=True)

    def _rows(self, first: int, last: int) -> slice:
        if self.direction > 0:
            return slice(first, last)
        return slice(self.steps - last, self.steps - first)

    def _settled(self, first: int, last: int) -> int:
        """Try the steps of a window; how many of them are settled."""
        rows, forms = self._rows(first, last), dict[str, Linear]()
        found = self._bounds(rows, forms if self.linear else None)
        if self.linear:
            found.update(self._tightened(first, last, found, forms))
        within = np.all([inside(found[v], self.found[v].rows(rows)) for v in self.carries], axis=0)
        ordered = within[:: self.direction]
        count = min(1 + (len(ordered) if ordered.all() else int(ordered.argmin())), last - first)
        settled, open_ = self._rows(first, first + count), self._rows(first + count, last)
        for v, ball in self.found.items():
            new = found[v]
            self.found[v] = ball.with_rows(settled, new.rows(_within(settled, rows)))
            guess = hull(ball.rows(open_), inflated(new.rows(_within(open_, rows)), GROWTH))
            self.found[v] = self.found[v].with_rows(open_, guess)
        return count

    def _bounds(self, rows: slice, forms: dict[str, Linear] | None, known: bool = False) -> Balls:
        """Some steps of every value, from what is carried; that itself too, unless it is known."""
        found: Balls = {}
        for e in self.equations:
            operands = [(self._read(r, rows, found), r.labels) for r in e.operands]
            own = None
            if forms is not None:
                pairs = zip(e.operands, operands, strict=True)
                own = [self._form(r, ball, forms) for r, (ball, _) in pairs]
            value = np.asarray(self.values[e.name])[rows]
            found[e.name], form = self.rules.both(e, operands, value, own)
            if forms is not None and form is not None:
                forms[e.name] = form
            if known and e.name in self.carries:
                found[e.name] = self.found[e.name].rows(rows)
        return found

    def _read(self, r: Ref, rows: slice, found: Balls) -> Ball:
        if not r.shift and r.name in found:
            return found[r.name]
        ball = self.found[r.name] if r.name in self.carries else self.balls[r.name]
        if r.shift:
            ball = joined(self.balls[self.program.carry[r.name].boundary], ball, r.shift)
        return ball.rows(rows) if TIME in r.labels else ball

    def _form(self, r: Ref, ball: Ball, forms: Mapping[str, Linear]) -> Linear:
        if not r.shift or r.name not in self.carries:
            return forms[r.name] if r.name in forms and not r.shift else independent(ball)
        shape = ball.value.shape
        unit = np.zeros((int(np.prod(shape[2:])), self.width))
        unit[:, self.starts[r.name] + np.arange(len(unit))] = np.eye(len(unit))
        matrix = np.broadcast_to(unit.reshape(*shape[2:], self.width), (*shape, self.width))
        return Linear(matrix, np.zeros_like(ball.shares), np.zeros_like(ball.shares))

    def _tightened(self, first: int, last: int, found: Balls, forms: Mapping[str, Linear]) -> Balls:
        """The carried values, with what the recursion of their changes says."""
        order = slice(None, None, self.direction)
        own = [forms[v] for v in self.carries]
        flat = [self._flat(found[v], f) for v, f in zip(self.carries, own, strict=True)]
        gain, rest = (stacked_sizes(parts) for parts in ([f.gain for f in own], [f.rest for f in own]))
        known = stacked_sizes([found[v].shares for v in self.carries])
        steps = np.concatenate(flat, axis=2)[order], _by_step(gain[:, order]), _by_step(rest[:, order])
        self.past.update(enumerate(zip(*steps, strict=True), first))
        begin = max(0, first - LAGS)
        before = stacked_sizes([b.shares for b in self.found.values()])[:, self._rows(0, first)][:, order]
        start = stacked_sizes([self.balls[c.boundary].shares for c in self.carries.values()])
        start = before[:, begin - 1] if begin else np.broadcast_to(start, known[:, 0].shape)
        shares = recursion(
            [self.past[t] for t in range(begin, last)],
            start,
            _by_step(np.concatenate([before[:, begin:], known[:, order]], axis=1)),
        )[first - begin :]
        shares = np.moveaxis(shares[order], 0, 1)
        return {v: tightened(found[v], shares, self.program.labels(v)) for v in self.carries}

    def _flat(self, ball: Ball, form: Linear) -> Array:
        """A as a matrix for each step and sequence."""
        shape = (*ball.value.shape, self.width)
        matrix = np.zeros(shape) if form.matrix is None else form.matrix
        return np.reshape(matrix, (*shape[:2], -1, self.width))


def _by_step(shares: Array) -> Array:
    return np.moveaxis(shares, 1, 0)


def _within(rows: slice, window: slice) -> slice:
    """The rows, counted from where a window begins."""
    return slice(rows.start - window.start, rows.stop - window.start)
