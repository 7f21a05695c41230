"""Is an error a mistake or rounding? Look again at nearby points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bptt_verify.check import contract, noise
from bptt_verify.check.problem import Array, Arrays, GradientFunction, Problem
from bptt_verify.check.reference import Probe, difference_slopes

REPEATS = 8
AWAY = 1e-4  # relative distance of a nearby point: rounding errors there are drawn anew

Slope = Callable[[Arrays, Probe], float]


def difference_slope(problem: Problem, rng: np.random.Generator) -> Slope:
    """Slopes by finite differences; nan where they are not trusted."""

    def slope(arrays: Arrays, probe: Probe) -> float:
        wobble = noise.loss_noise(problem.loss, arrays, noise.DOUBLE, rng)
        found = difference_slopes(problem.loss, arrays, [probe], wobble)
        return float(found.values[0]) if found.trusted[0] else np.nan

    return slope


def errors_nearby(
    fn: GradientFunction,
    problem: Problem,
    arrays: Arrays,
    probe: Probe,
    slope: Slope,
    rng: np.random.Generator,
    away: float = AWAY,
) -> Array:
    """Errors of the slope along a probe at eight nearby points (fewer where the reference cannot tell)."""
    block, direction = probe
    errors = []
    for _ in range(REPEATS):
        point = noise.nearby(arrays, away, rng)
        grad = contract.gradients(fn, problem, point).get(block)
        expected = slope(point, probe)
        if grad is not None and np.isfinite(expected):
            errors.append(float(np.sum(grad * direction, dtype=float)) - expected)
    return np.array(errors)


def persists(
    fn: GradientFunction, problem: Problem, arrays: Arrays, probe: Probe, rng: np.random.Generator
) -> bool:
    """Whether an error along a probe is there at nearby points too, judged by finite differences.

    False also when the reference cannot tell at most of them.
    """
    errors = errors_nearby(fn, problem, arrays, probe, difference_slope(problem, rng), rng)
    return len(errors) >= REPEATS // 2 and noise.systematic(list(errors))
