"""How far what a loop carries can move, from its Jacobians.

A step of a loop is s_t = Φ_t(s_{t-1}; w). With s_{t-1} held at its value it moves by at most e_t; and s_{t-1}
moves it by at most sup‖J_t‖ ‖Δs_{t-1}‖, where J_t is taken anywhere on the ball of w and of s_{t-1}:

    ‖Δs_t‖ ≤ (‖J_t⁰‖ + ‖ΔJ_t‖) ‖Δs_{t-1}‖ + e_t
    ‖Δs_t‖ ≤ Σ_i ‖J_t⁰ … J_{i+1}⁰‖ (e_i + ‖ΔJ_i‖ ‖Δs_{i-1}‖)

the second one by unrolling Δs_t = J_t⁰ Δs_{t-1} + (what is left). Norms of Jacobians are spectral ones, of
all states of the loop stacked. The adjoint recursion is the same with J_tᵀ, in the other direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from bptt_verify.analysis.balls import Ball, moved, together
from bptt_verify.analysis.rules import Rules
from bptt_verify.analysis.terms import trajectory
from bptt_verify.derivation import OneStep, previous, state_jacobians
from bptt_verify.program import TIME, Program, evaluate, size_of

Array = np.ndarray[Any, Any]
WORK = 2e8  # operations of the products of Jacobians over all lags, and entries of all Jacobians


@lru_cache(maxsize=64)
def _local(forward: Program, states: tuple[str, ...]) -> OneStep:
    return state_jacobians(forward).keeping({f"d{s}/d{r}" for s in states for r in states})


class Jacobians:
    """The Jacobians of every step of a recurrence, with what they move, as the forward loops find them."""

    def __init__(self, forward: Program, arrays: Mapping[str, Array], balls: Mapping[str, Ball]) -> None:
        self.forward, self.arrays, self.balls = forward, arrays, balls
        self.found: dict[frozenset[str], _Steps] = {}

    def chain(self, states: list[str], direction: int) -> Chain | None:
        """The recursion of a loop; None where there are no Jacobians, or too large ones."""
        if not all(states) or not states:
            return None
        steps, batch = self.arrays["weights"].shape
        width = sum(self.arrays[f"{s}0"][0].size for s in states)
        if steps * batch * width**2 > WORK:
            return None
        key = frozenset(states)
        if direction > 0:
            self.found[key] = _Steps(self, states)
        if key not in self.found:
            return None
        lags = steps**2 * batch * width**3 <= WORK
        return Chain(self.found[key], states, direction, lags)


class _Steps:
    """Values and changes of the Jacobians, step by step."""

    def __init__(self, whole: Jacobians, states: list[str]) -> None:
        local = _local(whole.forward, tuple(states))
        before, _ = trajectory(whole.forward, whole.arrays)
        self.width = {s: whole.arrays[f"{s}0"][0].size for s in states}
        self.states, self.program, self.keys = states, local.program, dict(local.program.results)
        self.given = {key: a.name for key, a in local.given.items()}
        known = {**whole.arrays, **{a.name: before[key] for key, a in local.given.items()}}
        known = {a.name: known[a.name] for a in self.program.arrays if a.name in known}
        self.values = evaluate(self.program, known)
        self.balls: dict[str, Ball] = {}
        sizes: dict[str, int] = {}
        count = sum(a.role == "param" for a in self.program.arrays) + 1
        for a in self.program.arrays:
            value = np.asarray(self.values[a.name], float)
            sizes.update(zip(map(size_of, a.labels), value.shape, strict=True))
            self.balls[a.name] = whole.balls.get(a.name) or moved(value, a.labels, 0.0, count)
        self.rules = Rules(self.program, sizes, count)
        for e in self.program.equations:
            if TIME not in e.labels:
                operands = [(self.balls[r.name], r.labels) for r in e.operands]
                self.balls[e.name] = self.rules.ball(e, e.labels, operands, self.values[e.name])
        self.rows: dict[int, tuple[Array, Array]] = {}

    def find(self, t: int, before: Mapping[str, Ball]) -> None:
        """The Jacobian of a step from what is known of the states before it."""
        row = {self.given[previous(s)]: ball for s, ball in before.items()}
        for e in self.program.equations:
            if TIME in e.labels:
                operands = [
                    (row[r.name] if r.name in row else self._row(r.name, t), _without_time(r.labels))
                    for r in e.operands
                ]
                row[e.name] = self.rules.ball(e, e.labels[1:], operands, self.values[e.name][t])
        blocks = [[row[self.keys[f"d{s}/d{r}"]] for r in self.states] for s in self.states]
        self.rows[t] = self._stacked(blocks)

    def _row(self, name: str, t: int) -> Ball:
        ball = self.balls[name]
        return ball.at(t) if TIME in self.program.labels(name) else ball

    def _stacked(self, blocks: list[list[Ball]]) -> tuple[Array, Array]:
        batch = blocks[0][0].value.shape[0]
        widths = [round((row[i].value.size // batch) ** 0.5) for i, row in enumerate(blocks)]
        parts = [
            [b.value.reshape(batch, m, n) for b, n in zip(row, widths, strict=True)]
            for row, m in zip(blocks, widths, strict=True)
        ]
        change = np.sqrt(np.sum([[b.moved**2 for b in row] for row in blocks], axis=(0, 1)))
        return np.block(parts), np.asarray(change)


class Chain:
    """The recursion of one loop, in its direction."""

    def __init__(self, steps: _Steps, states: list[str], direction: int, lags: bool) -> None:
        self.steps, self.direction, self.lags = steps, direction, lags
        width = {s: steps.width[s] for s in steps.states}
        starts = dict(zip(steps.states, np.cumsum([0, *width.values()]), strict=False))
        self.order = np.concatenate([starts[s] + np.arange(width[s]) for s in states])
        self.change: Array | float = 0.0
        self.shares: Array | float = 0.0
        self.products: Array | None = None
        self.sources: list[Array] = []

    def moved(
        self, t: int, before: Mapping[str, Ball], alone: list[Ball], found: list[Ball]
    ) -> tuple[Array, Array]:
        """A bound of the change of all that step t carries on, stacked, of each sequence; and its shares."""
        if self.direction > 0:
            self.steps.find(t, before)
        matrix, change = self.steps.rows[t]
        matrix = matrix[:, self.order][:, :, self.order]
        matrix = matrix if self.direction > 0 else matrix.mT
        whole, shares = _together(found), _shares(found)
        fresh = _together(alone) + _times(change, self.change)
        fresh_shares = _shares(alone) + _times(change, self.shares)
        size = _spectral(matrix)
        bound: Array = np.fmin(whole, _times(size, self.change) + fresh)
        shares = _less(shares, _times(size, self.shares) + fresh_shares)
        if self.lags:
            sums = self._unrolled(matrix, np.concatenate([fresh[None], fresh_shares]))
            bound, shares = np.fmin(bound, sums[0]), _less(shares, sums[1:])
        self.change, self.shares = np.fmin(bound, together(shares)), shares
        return np.asarray(self.change), shares

    def _unrolled(self, matrix: Array, fresh: Array) -> Array:
        one = np.broadcast_to(np.eye(matrix.shape[-1]), (1, *matrix.shape))
        later = one if self.products is None else np.concatenate([matrix @ self.products, one])
        self.products = later
        self.sources.append(fresh)
        return np.asarray(np.sum(_times(_spectral(later)[:, None], np.stack(self.sources)), axis=0))


def _together(balls: list[Ball]) -> Array:
    return np.asarray(np.sqrt(np.sum([b.moved**2 for b in balls], axis=0)))


def _shares(balls: list[Ball]) -> Array:
    return np.asarray(np.sqrt(np.sum([b.shares**2 for b in balls], axis=0)))


def _less(a: Array, b: Array) -> Array:
    return np.asarray(np.where(together(b) < together(a), b, a))


def _times(a: Any, b: Any) -> Array:
    return np.asarray(np.where((np.asarray(a) == 0) | (np.asarray(b) == 0), 0.0, np.multiply(a, b)))


def _spectral(matrices: Array) -> Array:
    if not np.isfinite(matrices).all():
        return np.full(matrices.shape[:-2], np.inf)
    return np.asarray(np.linalg.norm(matrices, 2, axis=(-2, -1)))


def _without_time(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(x for x in labels if x != TIME)
