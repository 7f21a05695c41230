"""Finite differences with an error estimate: a second opinion that shares nothing with complex steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bptt_verify.check import contract, kinks, noise, reference, scatter, slopes
from bptt_verify.check.problem import (
    Array,
    Arrays,
    Case,
    GradientFunction,
    Problem,
    magnitude,
    one_hot,
    real_loss,
    signs,
    unit,
)
from bptt_verify.check.roughness import roughness
from bptt_verify.verdict import Evidence, Finding, Verdict

DIRECTIONS = 2
ELEMENTS = 3  # single elements looked at in each block
RELATIVE = 1e-7
MOST_CASES = 8


@dataclass(frozen=True)
class Look:
    """One directional derivative."""

    block: str
    case: str
    index: tuple[int, ...] | None
    state: Literal["right", "wrong", "unclear"]
    found: float
    expected: float
    error: float


def difference_evidence(fn: GradientFunction, problem: Problem, rng: np.random.Generator) -> Evidence:
    """Finite differences of every block along random signed directions and in single elements.

    Parameters
    ----------
    fn : callable
        The gradient function under test.
    problem : Problem
        Its reference loss and inputs.
    rng : numpy.random.Generator

    Returns
    -------
    Evidence
        Refuted only where the Taylor remainder confirms a mismatch; ``"verified"`` if nothing is wrong and
        every required block was told in some case.
    """
    finite = [c for c in problem.draw(rng) if np.isfinite(real_loss(problem.loss, c.arrays))]
    cases = kinks.smooth_cases(problem, finite[:MOST_CASES], rng)
    looks: list[Look] = []
    for case in cases:
        wrong = {k.block for k in looks if k.state == "wrong"}
        looks += _looks(fn, problem, case, rng, wrong)
    return _evidence(problem, looks)


def _probes(
    block: str, grad: Array, arrays: Arrays, rng: np.random.Generator
) -> list[tuple[str, Array, int | None]]:
    scale = unit(arrays, block)
    chosen = rng.choice(grad.size, min(ELEMENTS, grad.size), replace=False)
    return [
        *((block, scale * signs(grad.shape, rng), None) for _ in range(DIRECTIONS)),
        *((block, scale * one_hot(grad.shape, int(i)), int(i)) for i in chosen),
    ]


def _looks(
    fn: GradientFunction, problem: Problem, case: Case, rng: np.random.Generator, known: set[str]
) -> list[Look]:
    """Look at every block until it is known to be wrong."""
    grads = contract.gradients(fn, problem, case.arrays)
    precision = noise.working_precision(grads.values())
    looks: list[Look] = []
    for block, grad in grads.items():
        if block not in known:
            looks += _looks_at(fn, problem, case, rng, block, grad, precision)
    return looks


def _looks_at(
    fn: GradientFunction, problem: Problem, case: Case, rng: np.random.Generator, block: str, grad: Array,
    precision: noise.Precision,
) -> list[Look]:  # fmt: skip
    """Look along the probes of one block until one is wrong."""
    probes = _probes(block, grad, case.arrays, rng)
    wobble = roughness(problem.loss, case.arrays, block, rng)
    seen = reference.difference_slopes(problem.loss, case.arrays, [p[:2] for p in probes], wobble)
    slack = slopes.claim_slack(grad, case.arrays, block, precision)
    looks: list[Look] = []
    for k, (_, direction, position) in enumerate(probes):
        claimed = float(np.sum(grad * direction, dtype=float))
        value, bound = float(seen.values[k]), 8 * float(seen.errors[k]) + slack
        state: Literal["right", "wrong", "unclear"] = "unclear"
        if seen.trusted[k]:
            size = max(abs(value), magnitude(grad) * unit(case.arrays, block))
            state = _state(claimed, value, bound, size)
        probe = block, direction
        if state == "wrong" and not _confirmed(fn, problem, case, probe, claimed, wobble, slack, rng):
            state = "unclear"
        error = abs(claimed - value) / abs(value) if value else np.inf
        looks.append(Look(block, case.name, _index(position, grad.shape), state, claimed, value, error))
        if state == "wrong":
            break
    return looks


def _index(position: int | None, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    return None if position is None else tuple(int(i) for i in np.unravel_index(position, shape))


def _state(claimed: float, value: float, bound: float, size: float) -> Literal["right", "wrong", "unclear"]:
    """A mismatch beyond the bound is wrong; agreement counts only if the bound could have shown an error."""
    if not np.isfinite(claimed) or abs(claimed - value) > bound + RELATIVE * size:
        return "wrong"
    return "right" if bound <= 1e-2 * size or size == 0 else "unclear"


def _confirmed(
    fn: GradientFunction, problem: Problem, case: Case, probe: reference.Probe, claimed: float,
    wobble: float, slack: float, rng: np.random.Generator,
) -> bool:  # fmt: skip
    seen = slopes.remainder(problem.loss, case.arrays, probe, claimed, wobble, slack)
    return seen.outcome == "wrong" and scatter.persists(fn, problem, case.arrays, probe, wobble, rng)


def _evidence(problem: Problem, looks: list[Look]) -> Evidence:
    wrong = {k.block: k for k in reversed(looks) if k.state == "wrong"}
    findings = tuple(_finding(k) for k in wrong.values())
    told = {k.block for k in looks if k.state != "unclear"}
    needed = set(problem.required) or {k.block for k in looks}
    verdict: Verdict = "verified" if needed and needed <= told else "inconclusive"
    unclear = sum(k.state == "unclear" for k in looks)
    share = unclear / len(looks) if looks else 1.0
    worst = max((k.error for k in looks if k.state == "right" and np.isfinite(k.error)), default=0.0)
    untold = [b for b in problem.blocks if b not in told and any(k.block == b for k in looks)]
    summary = f"{len(looks) - unclear} of {len(looks)} derivatives could be told ({share:.0%} inconclusive)"
    summary += f"; none of {', '.join(untold)}" if untold else ""
    numbers = {"derivatives": float(len(looks)), "inconclusive_share": share, "worst_error": worst}
    name = "finite differences, second opinion"
    return Evidence(name, "tested", "refuted" if findings else verdict, summary, findings, numbers)


def _finding(look: Look) -> Finding:
    where = "along a random direction" if look.index is None else f"at [{', '.join(map(str, look.index))}]"
    text = (
        f"dL/d{look.block} is wrong {where} by finite differences and Taylor remainder: "
        f"found {look.found:.6g}, expected {look.expected:.6g} "
        f"(relative error {look.error:.2g}) on case {look.case!r}"
    )
    error = float(look.error)
    return Finding(text, look.block, look.index, None, look.found, look.expected, error, look.case)
