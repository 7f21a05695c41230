"""How rough a loss is along one block: rounding that shows only when inputs move by more than a few digits.

A loss that rounds a parameter to float32 is a staircase: its last float64 digits move nothing, and yet it
jumps by much more than they say. Over a short way a smooth loss is a polynomial of low degree, and what that
leaves of a staircase is noise. The points are at random distances: the stairs could be in step with equal
ones. (Differences of high order, as in J. J. Moré and S. M. Wild, "Estimating computational
noise", SIAM J. Sci. Comput. 33, 2011, need equal ones.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bptt_verify.check import noise
from bptt_verify.check.problem import Array, Arrays, Loss, many_losses, signs, unit

WAYS = (5e-7, 5e-5, 5e-3, 5e-2)  # to each side, relative; float32 shows at the second, float16 at the last
POINTS = 11
DEGREE = 5
ASIDE = 6e-3  # distance of the middle from the given point, which may lie at a kink: that is no noise
SMOOTH = 1e-3  # noise below this part of the change: a longer way would show curvature only
COARSE = 1e3  # noise so many times what the last digits explain is rounding inside the loss
STILL = 4.0  # a change of so many roundings of the loss or less is none


def roughness(loss: Loss, arrays: Arrays, block: str, rng: np.random.Generator) -> float:
    """Noise of a loss when a block moves, as a standard deviation; rounding of the loss at least.

    Parameters
    ----------
    loss, arrays, block
        What, where, and what moves.
    rng : numpy.random.Generator
        Draws the direction.

    Returns
    -------
    float
        The largest noise seen over ways from 5e-7 of the block's size up to the first one over which the
        loss is smooth. Where the block does not move the loss at all, that of all real arrays together: it
        may be lost in an accumulator of few digits.
    """
    own = noise.loss_noise(loss, arrays, noise.DOUBLE, rng)
    alone = _roughness(loss, arrays, (block,), own, rng)
    if alone is not None:
        return alone
    return roughness_together(loss, arrays, [k for k, a in arrays.items() if noise.is_real(a)], rng)


def roughness_together(loss: Loss, arrays: Arrays, blocks: Sequence[str], rng: np.random.Generator) -> float:
    """The same when several blocks move at once."""
    own = noise.loss_noise(loss, arrays, noise.DOUBLE, rng)
    return _roughness(loss, arrays, blocks, own, rng) or own


def rounds(loss: Loss, arrays: Arrays, rng: np.random.Generator) -> bool:
    """Whether a loss rounds coarsely somewhere inside, so that its last digits say nothing of its noise."""
    real = [k for k, a in arrays.items() if noise.is_real(a)]
    fine = noise.loss_noise(loss, arrays, noise.DOUBLE, rng)
    return roughness_together(loss, arrays, real, rng) > COARSE * fine


def _roughness(
    loss: Loss, arrays: Arrays, blocks: Sequence[str], own: float, rng: np.random.Generator
) -> float | None:
    """The same for blocks that move together; None if the loss stays where it is."""
    levels: list[float] = []
    direction = {b: uneven(arrays, b, rng) for b in blocks}
    for way in WAYS:
        distances = rng.uniform(-way, way, POINTS)
        seen = np.real(many_losses(loss, [moved_together(arrays, direction, ASIDE + t) for t in distances]))
        if not np.all(np.isfinite(seen)):
            break
        change = float(np.ptp(seen))
        if change <= STILL * own:  # too short a way, or no influence
            continue
        level = noise_level(distances / way, seen)
        levels.append(level)
        if level <= SMOOTH * change and len(levels) > 1:  # a staircase may look straight once, over few steps
            break
    return max(own, *levels) if levels else None


def uneven(arrays: Arrays, block: str, rng: np.random.Generator) -> Array:
    """A random direction in which no two elements move equally far, as long as the block is large.

    Else all of them could go from one float32 number to the next, or a sum of them stay zero.
    """
    shape = np.shape(arrays[block])
    return np.asarray(unit(arrays, block) * rng.uniform(0.5, 1, shape) * signs(shape, rng))


def moved_together(arrays: Arrays, direction: Arrays, t: float) -> dict[str, Array]:
    """The arrays with several blocks moved at once, each along its direction."""
    return {**arrays, **{b: arrays[b] + t * d for b, d in direction.items()}}


def noise_level(places: Array, values: Array) -> float:
    """Standard deviation of what a polynomial leaves of some values at places between -1 and 1."""
    basis = np.polynomial.chebyshev.chebvander(places, DEGREE)
    values = values - np.mean(values)
    rest = values - basis @ np.linalg.lstsq(basis, values)[0]
    return float(np.linalg.norm(rest) / np.sqrt(len(values) - DEGREE - 1))
