"""Taylor remainder slopes: does the loss move as the gradient says, to first order?

With a right gradient the remainder ``L(p + t v) - L(p) - t <g, v>`` falls as t**2, with a wrong one as t.
A small error hides behind the curvature until t is small, so the step is swept down to the round-off
floor and the smallest clean steps decide. Both signs of t are used: at a kink of the loss the two sides
see different errors, and nothing is concluded.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from bptt_verify.check import contract, kinks, noise, scatter
from bptt_verify.check.problem import (
    Array,
    Arrays,
    Case,
    GradientFunction,
    Loss,
    Problem,
    magnitude,
    many_losses,
    real_loss,
    signs,
    unit,
)
from bptt_verify.check.reference import Probe
from bptt_verify.check.roughness import roughness
from bptt_verify.verdict import Evidence, Finding, Verdict

STEPS = 0.5 * 4.0 ** -np.arange(20)
CLEAN = 4.0  # a remainder this many times its noise is clean
INFORMATIVE = 1e-3  # a bound on the error this small, relative to the slope, supports a gradient
MOST_CASES = 8

Outcome = Literal["right", "wrong", "unclear"]


@dataclass(frozen=True)
class Remainder:
    """What a sweep of steps says about one claimed slope.

    Attributes
    ----------
    outcome : {"right", "wrong", "unclear"}
    rate : float
        Exponent at which the remainder falls at the smallest clean steps (nan if there are none).
    error : float
        First-order coefficient left there: the loss's slope minus the claimed one.
    """

    outcome: Outcome
    rate: float
    error: float


def remainder(
    loss: Loss, arrays: Arrays, probe: Probe, claimed: float, wobble: float, slack: float
) -> Remainder:
    """Sweep the step along a probe, on both sides.

    Parameters
    ----------
    loss, arrays, probe
        What, where, and the block and direction.
    claimed : float
        ``<g, v>`` of the gradient under test.
    wobble, slack : float
        Noise of the loss, and rounding of `claimed`.
    """
    if not np.isfinite(claimed):
        return Remainder("wrong", np.nan, np.inf)
    sides = [_side(loss, arrays, probe, claimed, wobble, slack, sign) for sign in (1.0, -1.0)]
    outcomes = {s.outcome for s in sides}
    errors = [s.error for s in sides]
    rate = min((s.rate for s in sides), key=lambda r: (np.isnan(r), r))
    agree = abs(errors[0] - errors[1]) <= 0.5 * max(map(abs, errors))
    if outcomes == {"wrong"}:
        return Remainder("wrong" if agree else "unclear", rate, float(np.mean(errors)))
    return Remainder("right" if outcomes == {"right"} else "unclear", rate, float(np.mean(errors)))


def _side(
    loss: Loss, arrays: Arrays, probe: Probe, claimed: float, wobble: float, slack: float, sign: float
) -> Remainder:
    block, direction = probe
    points = [{**arrays, block: arrays[block] + sign * t * direction} for t in STEPS]
    here, *ahead = np.real(many_losses(loss, [arrays, *points]))
    clean: list[tuple[float, float]] = []
    bound = np.inf
    dull = 0
    for t, there in zip(STEPS, ahead, strict=True):
        rest = (there - here - sign * t * claimed) * sign
        noisy = CLEAN * (2 * wobble + t * slack)
        if np.isfinite(rest) and abs(rest) > noisy:
            clean, dull = [*clean, (float(t), float(rest))], 0
        elif np.isfinite(rest):
            bound, dull = min(bound, noisy / t), dull + 1
        if dull == 2:
            break
    return _judged(clean, bound, claimed)


def _judged(clean: list[tuple[float, float]], bound: float, claimed: float) -> Remainder:
    """Judge one side by its (at most three) smallest clean steps."""
    last = clean[-3:]
    ratios = [t / u for (t, _), (u, _) in pairwise(last)]
    if len(last) < 3 or any(r > 4.5 for r in ratios):
        supported = bound <= INFORMATIVE * abs(claimed)
        return Remainder("right" if supported else "unclear", np.nan, 0.0)
    steps, rests = np.array(last).T
    rate = float(np.polyfit(np.log(steps), np.log(np.abs(rests)), 1)[0])
    error = float(rests[-1] / steps[-1])
    if rate >= 1.7:
        return Remainder("right", rate, error)
    same_sign = bool(np.all(rests > 0) or np.all(rests < 0))
    return Remainder("wrong" if rate <= 1.3 and same_sign else "unclear", rate, error)


@dataclass(frozen=True)
class Look:
    """One block looked at in one case."""

    block: str
    case: str
    remainder: Remainder
    claimed: float


def taylor_evidence(fn: GradientFunction, problem: Problem, rng: np.random.Generator) -> Evidence:
    """Taylor remainder slopes of every block along a random signed direction.

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
        ``"verified"`` if no block is wrong and every required block was told in some case.
    """
    finite = [c for c in problem.draw(rng) if np.isfinite(real_loss(problem.loss, c.arrays))]
    cases = kinks.smooth_cases(problem, finite[:MOST_CASES], rng)
    looks: list[Look] = []
    for case in cases:
        wrong = {k.block for k in looks if k.remainder.outcome == "wrong"}
        looks += _looks(fn, problem, case, rng, wrong)
    return _evidence(problem, looks)


def _looks(
    fn: GradientFunction, problem: Problem, case: Case, rng: np.random.Generator, known: set[str]
) -> list[Look]:
    """Look at every block that is not known to be wrong."""
    grads = contract.gradients(fn, problem, case.arrays)
    precision = noise.working_precision(grads.values())
    looks = []
    for block, grad in grads.items():
        if block in known:
            continue
        probe = block, unit(case.arrays, block) * signs(grad.shape, rng)
        claimed = float(np.sum(grad * probe[1], dtype=float))
        slack = claim_slack(grad, case.arrays, block, precision)
        wobble = roughness(problem.loss, case.arrays, block, rng)
        seen = remainder(problem.loss, case.arrays, probe, claimed, wobble, slack)
        if seen.outcome == "wrong" and not scatter.persists(fn, problem, case.arrays, probe, wobble, rng):
            seen = Remainder("unclear", seen.rate, seen.error)
        looks.append(Look(block, case.name, seen, claimed))
    return looks


def claim_slack(grad: Array, arrays: Arrays, block: str, precision: noise.Precision) -> float:
    """Rounding of ``<g, v>`` for a direction with entries of the block's own size."""
    floor = noise.floor(magnitude(grad), 0.0, arrays, precision)
    return float(floor * unit(arrays, block) * np.sqrt(max(grad.size, 1)))


def _evidence(problem: Problem, looks: list[Look]) -> Evidence:
    wrong = {k.block: k for k in reversed(looks) if k.remainder.outcome == "wrong"}
    told = {k.block for k in looks if k.remainder.outcome != "unclear"}
    findings = tuple(_finding(k) for k in wrong.values())
    needed = set(problem.required) or {k.block for k in looks}
    verdict: Verdict = "verified" if needed and needed <= told else "inconclusive"
    rates = [k.remainder.rate for k in looks if k.remainder.outcome == "right"]
    lowest = float(np.nanmin([*rates, np.inf]))
    count = sum(k.remainder.outcome != "unclear" for k in looks)
    untold = [b for b in problem.blocks if b not in told and any(k.block == b for k in looks)]
    summary = f"{count} of {len(looks)} directions could be told; lowest rate {lowest:.2f} (2 is right)"
    summary += f"; no clean window for {', '.join(untold)}" if untold else ""
    numbers = {"directions": float(len(looks)), "clean": float(count), "lowest_rate": lowest}
    outcome: Verdict = "refuted" if findings else verdict
    return Evidence("Taylor remainder", "tested", outcome, summary, findings, numbers)


def _finding(look: Look) -> Finding:
    seen = look.remainder
    expected = look.claimed + seen.error
    relative = abs(seen.error) / abs(expected) if expected else np.inf
    text = (
        f"dL/d{look.block} is wrong along a random direction: slope {look.claimed:.6g}, "
        f"but the loss moves by {expected:.6g} to first order "
        f"(remainder rate {seen.rate:.2f}; relative error {relative:.2g}) on case {look.case!r}"
    )
    return Finding(text, look.block, None, None, look.claimed, expected, float(relative), look.case)
