"""Duality of forward and reverse mode: ``<c, J v> = <J^T c, v>`` for all directions v and cotangents c."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bptt_verify.check import noise
from bptt_verify.check.problem import Array, Arrays, Case, signs, unit
from bptt_verify.verdict import Evidence, Finding, Verdict

RELATIVE = 1e-10
ALL = "all blocks together"

Linear = Callable[[Arrays, Arrays], Arrays]


@dataclass(frozen=True)
class Look:
    """Both sides of one identity; `size` is the sum of the absolute terms of both."""

    block: str
    case: str
    left: float
    right: float
    size: float
    allowed: float

    @property
    def error(self) -> float:
        """The difference relative to the size of the terms."""
        return abs(self.left - self.right) / self.size if self.size else abs(self.left - self.right)

    @property
    def wrong(self) -> bool:
        """Whether the two sides differ by more than rounding (or are not numbers)."""
        return not self.error <= self.allowed


def duality_evidence(
    jvp: Linear,
    vjp: Linear,
    cases: Iterable[Case],
    blocks: Sequence[str],
    rng: np.random.Generator,
    *,
    draws: int = 2,
) -> Evidence:
    """Compare a forward-mode and a reverse-mode derivative by their inner products.

    Parameters
    ----------
    jvp : callable
        ``jvp(arrays, tangents) -> results``: tangents of the blocks (all of them are given) to tangents of
        the results, both mappings by name. A scalar loss is one of the results.
    vjp : callable
        ``vjp(arrays, cotangents) -> grads``: cotangents of all results to gradients of all blocks.
    cases : iterable of Case
        Where.
    blocks : sequence of str
        The blocks that move, each alone and then all together.
    rng : numpy.random.Generator
    draws : int
        Random signed directions drawn in each case.
    """
    looks = [
        look for case in cases for _ in range(draws) for look in _looks(jvp, vjp, case, tuple(blocks), rng)
    ]  # fmt: skip
    first = {k.block: k for k in reversed(looks) if k.wrong}
    findings = tuple(_finding(k) for k in first.values())
    worst = max((k.error for k in looks), default=0.0)
    summary = f"{len(looks)} identities; worst difference {worst:.1e} of the sum of absolute terms"
    verdict: Verdict = "refuted" if findings else "verified" if any(k.size for k in looks) else "inconclusive"
    return Evidence("duality", "tested", verdict, summary, findings,
                    {"identities": float(len(looks)), "worst_error": worst})  # fmt: skip


def _looks(
    jvp: Linear, vjp: Linear, case: Case, blocks: tuple[str, ...], rng: np.random.Generator
) -> list[Look]:
    arrays = case.arrays
    zero = {b: np.zeros_like(arrays[b]) for b in blocks}
    moves = {b: unit(arrays, b) * signs(np.shape(arrays[b]), rng) for b in blocks}
    together = {k: np.asarray(r) for k, r in jvp(arrays, moves).items()}
    cotangents = {k: signs(r.shape, rng).astype(r.dtype) for k, r in together.items()}
    grads = {b: np.asarray(g) for b, g in vjp(arrays, cotangents).items()}
    precision = noise.working_precision([*together.values(), *grads.values()])
    allowed = RELATIVE + noise.floor(1.0, 0.0, arrays, precision)
    looks = []
    for block in blocks:
        tangents = jvp(arrays, {**zero, block: moves[block]})
        looks.append(_look(block, case, cotangents, tangents, {block: grads[block]}, moves, allowed))
    return [*looks, _look(ALL, case, cotangents, together, {b: grads[b] for b in blocks}, moves, allowed)]


def _look(
    block: str, case: Case, cotangents: Arrays, tangents: Arrays, grads: Arrays, moves: Arrays, allowed: float
) -> Look:
    left = np.concatenate([_terms(cotangents[k], tangents[k]) for k in cotangents])
    right = np.concatenate([_terms(g, moves[b]) for b, g in grads.items()])
    size = float(np.sum(np.abs(left)) + np.sum(np.abs(right)))
    return Look(block, case.name, float(np.sum(left)), float(np.sum(right)), size, allowed)


def _terms(one: Array, two: Array) -> Array:
    return np.ravel(np.asarray(one, dtype=float) * np.asarray(two, dtype=float))


def _finding(look: Look) -> Finding:
    text = (
        f"forward and reverse mode disagree in {look.block}: <c, J v> = {look.left:.6g}, "
        f"<J^T c, v> = {look.right:.6g} (difference {look.error:.2g} of the terms) on case {look.case!r}"
    )
    return Finding(text, look.block, None, None, look.right, look.left, float(look.error), look.case)
