"""Kinks of the loss: seen before anything is compared there, and left behind.

At a kink (a relu of exactly 0, say) there is no derivative, only conventions: a wrong gradient can hide
behind them, and a right one may follow another than the reference does. So both are looked at again at two
nearby points on opposite sides, where there is one answer. No tolerance is widened.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bptt_verify.check import noise
from bptt_verify.check.problem import Array, Arrays, Case, Loss, Problem, many_losses, real_loss
from bptt_verify.check.roughness import moved_together, roughness_together, uneven

STEPS = ((1e-5, 1e-6, 1e-7), (1e-3, 1e-4, 1e-5))  # relative to each block; the latter for noisy losses
DISTANCES = (
    0.03,
    0.1,
    0.003,
)  # of the points moved to, relative again; the first that is off it
OTHER = " to the other side"  # at the end of the name of the second point
LOOKS = 3  # directions that must all show a kink


@dataclass(frozen=True)
class Surroundings:
    """A case, and the points to look at instead if it lies at a kink.

    Attributes
    ----------
    case : Case
    kinked : bool
        Whether the loss has a kink there.
    sides : tuple of Case
        Two points on opposite sides of it; empty where there is no kink, or none of the moves leaves it.
    distance : float
        How far away these are, relative to each array's largest entry.
    """

    case: Case
    kinked: bool = False
    sides: tuple[Case, ...] = ()
    distance: float = 0.0

    @property
    def told(self) -> tuple[Case, ...]:
        """The points at which the gradient has one value, as far as is known."""
        return self.sides or (self.case,)


def surroundings(problem: Problem, case: Case, rng: np.random.Generator) -> Surroundings:
    """Look whether a case lies at a kink of the reference loss, and for a way off it."""
    if problem.complex_only or not at_kink(problem.loss, case.arrays, problem.blocks, rng):
        return Surroundings(case)
    for distance in DISTANCES:
        sides = _sides(case, problem.blocks, distance, rng)
        if all(_smooth(problem, side.arrays, rng) for side in sides):
            return Surroundings(case, True, sides, distance)
    return Surroundings(case, True)


def smooth_cases(problem: Problem, cases: Iterable[Case], rng: np.random.Generator) -> list[Case]:
    """The cases, with those at a kink replaced by points off it."""
    return [side for case in cases for side in surroundings(problem, case, rng).told]


def at_kink(loss: Loss, arrays: Arrays, blocks: Sequence[str], rng: np.random.Generator) -> bool:
    """Whether the loss has a kink when all blocks move at once, in every direction tried."""
    wobble = noise.loss_noise(loss, arrays, noise.DOUBLE, rng)
    for look in range(LOOKS):
        directions = _directions(arrays, blocks, rng)
        suspect = [s for s in STEPS if _steady(_jumps(loss, arrays, directions, s), wobble, s)]
        if not suspect:
            return False
        if look == 0:  # smooth losses have gone by now; the others may be noisier than their last digits say
            wobble = roughness_together(loss, arrays, blocks, rng)
    return True


def _smooth(problem: Problem, arrays: Arrays, rng: np.random.Generator) -> bool:
    finite = bool(np.isfinite(real_loss(problem.loss, arrays)))
    return finite and not at_kink(problem.loss, arrays, problem.blocks, rng)


def _directions(arrays: Arrays, blocks: Sequence[str], rng: np.random.Generator) -> dict[str, Array]:
    return {b: uneven(arrays, b, rng) for b in blocks}


def _sides(case: Case, blocks: Sequence[str], distance: float, rng: np.random.Generator) -> tuple[Case, Case]:
    directions = _directions(case.arrays, blocks, rng)
    ahead, behind = (moved_together(case.arrays, directions, sign * distance) for sign in (1.0, -1.0))
    words = f"{case.name}, moved off a kink by {distance:g}"
    return Case(words, ahead), Case(f"{words}{OTHER}", behind)


def _jumps(loss: Loss, arrays: Arrays, directions: Arrays, steps: Sequence[float]) -> list[float]:
    """Estimates of how far the slopes ahead and behind differ at the point itself.

    The difference of the one-sided quotients is ``jump + t * curvature``; of two steps t the curvature is
    eliminated.
    """
    points = [moved_together(arrays, directions, sign * t) for t in steps for sign in (1.0, -1.0)]
    here, *moved = map(float, np.real(many_losses(loss, [arrays, *points])))
    gaps = [(a - 2 * here + b) / t for t, a, b in zip(steps, moved[::2], moved[1::2], strict=True)]
    return [(10 * near - far) / 9 for far, near in pairwise(gaps)]


def _steady(jumps: Sequence[float], wobble: float, steps: Sequence[float]) -> bool:
    """Whether the estimates agree on a jump beyond the noise of the loss (which grows as 1 / t)."""
    far, near = jumps
    if not (np.isfinite(far) and np.isfinite(near)) or far * near <= 0:
        return False
    return abs(near) > 16 * wobble / steps[-1] and 0.5 < near / far < 2


def notes(seen: Iterable[Surroundings]) -> list[str]:
    """What was moved, and what could not be."""
    found = []
    for s in seen:
        if s.sides:
            found.append(
                f"the loss has a kink at case {s.case.name!r}: moved off a kink by {s.distance:g} of each "
                "array's largest entry, to both sides; what is compared at the kink itself does not refute"
            )
        elif s.kinked:
            found.append(
                f"the loss has a kink at case {s.case.name!r} that small changes of the inputs do not leave"
            )
    return found
