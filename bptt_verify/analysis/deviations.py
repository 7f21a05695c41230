"""How far every value of a Program can move when its parameters move by at most r, in numbers.

Every value v is followed through the Program: its value v⁰ at the given arrays, an interval for each
entry, and for each step and sequence a bound of the Euclidean norms of v - v⁰ and of v (``balls``).
Parameters move by at most r each, inputs do not move. What a loop carries is bounded once more by its
Jacobians (``unrolling``). Applied to the adjoint Program, the results bound how the gradient changes on
the ball.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt_verify.analysis.balls import Ball, Read, joined, moved, stacked, still, tightened
from bptt_verify.analysis.rules import Rules
from bptt_verify.analysis.unrolling import Jacobians
from bptt_verify.program import TIME, Equation, Program, Ref, components, evaluate, size_of

Array = np.ndarray[Any, Any]
Rows = dict[str, list[Ball | None]]


def deviations(
    program: Program, arrays: Mapping[str, Array], radius: float, forward: Program | None = None
) -> tuple[dict[str, Ball], set[str]]:
    """What is known of every value where every parameter moves by at most ``radius``.

    Parameters
    ----------
    program : Program
        Without packs.
    arrays : dict of str to array
    radius : float
    forward : Program, optional
        The recurrence, of which ``program`` is the adjoint; without it no Jacobians are used.

    Returns
    -------
    balls : dict of str to Ball
        By the name of each array and each equation.
    broken : set of str
        The equations that have a jump somewhere on the ball.
    """
    run = _Pass(program, arrays, radius, forward)
    with np.errstate(all="ignore"):
        return run.run(), run.rules.broken


class _Pass:
    def __init__(
        self, program: Program, arrays: Mapping[str, Array], radius: float, forward: Program | None
    ) -> None:
        self.program, self.values = program, evaluate(program, arrays)
        self.sizes: dict[str, int] = {}
        self.balls: dict[str, Ball] = {}
        params = [a.name for a in program.arrays if a.role == "param"]
        for a in program.arrays:
            value = np.asarray(self.values[a.name], float)
            self.sizes.update(zip(map(size_of, a.labels), value.shape, strict=True))
            place = params.index(a.name) + 1 if a.name in params else 0
            self.balls[a.name] = moved(value, a.labels, radius if place else 0.0, len(params) + 1, place)
        self.rules = Rules(program, self.sizes, len(params) + 1)
        self.jacobians = Jacobians(forward, arrays, self.balls) if forward else None

    def run(self) -> dict[str, Ball]:
        for part in components(self.program):
            if part.direction:
                self._loop(part.equations, part.direction)
            else:
                for e in part.equations:
                    operands = [(self._whole(r), r.labels) for r in e.operands]
                    self.balls[e.name] = self.rules.ball(e, e.labels, operands, self.values[e.name])
        return self.balls

    def _whole(self, r: Ref) -> Ball:
        ball = self.balls[r.name]
        if not r.shift:
            return ball
        edge = self.balls[self.program.carry[r.name].boundary]
        return joined(edge, ball, r.shift)

    def _loop(self, equations: tuple[Equation, ...], direction: int) -> None:
        """Step by step; what a step carries on is also bounded by its Jacobian (``unrolling``)."""
        steps = self.sizes[TIME]
        rows: Rows = {e.name: [None] * steps for e in equations}
        names = {e.name for e in equations}
        carried = [c.value for c in self.program.carries if c.value in names]
        states = [self._state(value) for value in carried]
        linear = self.jacobians.chain(states, direction) if self.jacobians else None
        for t in range(steps)[::direction]:
            alone = self._step(equations, t, rows, set(carried)) if linear else {}
            for name, ball in self._step(equations, t, rows, set()).items():
                rows[name][t] = ball
            if linear:
                found = [b for v in carried if (b := rows[v][t]) is not None]
                before = {**self._previous(t), **self._before(carried, states, t, rows)}
                whole, shares = linear.moved(t, before, [alone[v] for v in carried], found)
                for v, ball in zip(carried, found, strict=True):
                    rows[v][t] = tightened(ball, whole, shares, self.program.labels(v)[1:])
        for name, row in rows.items():
            self.balls[name] = stacked([b for b in row if b is not None])

    def _step(self, equations: tuple[Equation, ...], t: int, rows: Rows, fixed: set[str]) -> dict[str, Ball]:
        """One step; with what it reads of ``fixed`` at the neighbouring one held at its value."""
        own: Rows = {**rows}
        own.update({e.name: [*rows[e.name]] for e in equations})
        found: dict[str, Ball] = {}
        for e in equations:
            operands = []
            for r in e.operands:
                ball, labels = self._row(r, t, own)
                operands.append((still(ball, labels) if r.shift and r.name in fixed else ball, labels))
            found[e.name] = own[e.name][t] = self.rules.ball(
                e, e.labels[1:], operands, self.values[e.name][t]
            )
        return found

    def _state(self, value: str) -> str:
        """The state that a carried value belongs to, forward or backward."""
        carry = self.program.carry[value]
        if carry.shift < 0:
            return carry.boundary.removesuffix("0")
        return next((k for k, v in self.program.results if v == carry.end), "").removesuffix("0")

    def _before(self, carried: list[str], states: list[str], t: int, rows: Rows) -> dict[str, Ball]:
        """What the loop itself reads of the step before, by state."""
        refs = [Ref(v, self.program.labels(v), self.program.carry[v].shift) for v in carried]
        return {s: self._row(r, t, rows)[0] for s, r in zip(states, refs, strict=True)}

    def _previous(self, t: int) -> dict[str, Ball]:
        """The states before step t that are known, by name."""
        found = {}
        for c in self.program.carries:
            if c.shift < 0 and c.value in self.balls:
                found[c.boundary.removesuffix("0")] = (
                    self.balls[c.value].at(t - 1) if t else self.balls[c.boundary]
                )
        return found

    def _row(self, r: Ref, t: int, rows: dict[str, list[Ball | None]]) -> Read:
        if TIME not in r.labels:
            return self.balls[r.name], r.labels
        at = t + r.shift
        if not 0 <= at < self.sizes[TIME]:
            return self.balls[self.program.carry[r.name].boundary], r.labels[1:]
        found = rows[r.name][at] if r.name in rows else None
        return (found if found is not None else self.balls[r.name].at(at)), r.labels[1:]
