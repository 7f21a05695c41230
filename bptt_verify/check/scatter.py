"""Is an error a mistake or rounding? Look again at nearby points."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bptt_verify.check import contract, noise
from bptt_verify.check.problem import Array, Arrays, GradientFunction, Problem
from bptt_verify.check.reference import Probe, difference_slopes
from bptt_verify.check.roughness import rounds

REPEATS = 8
PLAIN = 1e3  # standard deviations that an error measures at half of the points where these are enough
AWAY = 1e-4  # relative distance of a nearby point: rounding errors there are drawn anew
FURTHER = 1e-2  # the same where the reference itself rounds, to float16 perhaps

Slopes = Callable[[Sequence[Arrays], Probe], Array]  # at each of several points


def differences(problem: Problem, wobble: float) -> Slopes:
    """Slopes by finite differences of a loss of a known noise; nan where they are not trusted."""

    def slope(arrays: Arrays, probe: Probe) -> float:
        found = difference_slopes(problem.loss, arrays, [probe], wobble)
        return float(found.values[0]) if found.trusted[0] else np.nan

    return lambda points, probe: np.array([slope(a, probe) for a in points])


def distance(problem: Problem, arrays: Arrays, rng: np.random.Generator) -> float:
    """How far away points must be for rounding inside the reference loss to be drawn anew."""
    return FURTHER if rounds(problem.loss, arrays, rng) else AWAY


def errors_nearby(
    fn: GradientFunction,
    problem: Problem,
    arrays: Arrays,
    probe: Probe,
    slopes: Slopes,
    rng: np.random.Generator,
    away: float = AWAY,
    together: int = 1,
) -> Array:
    """Errors of the slope along a probe at eight nearby points (fewer where the reference cannot tell).

    They are computed ``together`` so many at a time; exact slopes (more than one at a time) are looked at in
    half of the points only where the errors there are as good as equal.
    """
    block, direction = probe
    errors: list[float] = []
    for _ in range(REPEATS // together):
        points = [noise.nearby(arrays, away, rng) for _ in range(together)]
        grads = [contract.gradients(fn, problem, p).get(block) for p in points]
        for grad, expected in zip(grads, slopes(points, probe), strict=True):
            if grad is not None and np.isfinite(expected):
                errors.append(float(np.sum(grad * direction, dtype=float)) - expected)
        if together > 1 and len(errors) == REPEATS // 2 and noise.systematic(errors, PLAIN):
            break
    return np.array(errors)


def persists(
    fn: GradientFunction,
    problem: Problem,
    arrays: Arrays,
    probe: Probe,
    wobble: float,
    rng: np.random.Generator,
) -> bool:
    """Whether an error along a probe is there at nearby points too, judged by finite differences.

    False also when the reference cannot tell at most of them. ``wobble`` is the noise of the loss.
    """
    away = distance(problem, arrays, rng)
    errors = errors_nearby(fn, problem, arrays, probe, differences(problem, wobble), rng, away)
    return len(errors) >= REPEATS // 2 and noise.systematic(list(errors))
