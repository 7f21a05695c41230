"""How rough a loss is along one block: rounding that shows only when inputs move by more than a few digits.

A loss that rounds a parameter to float32 is a staircase: its last float64 digits move nothing, and yet it
jumps by much more than they say. Differences of high order along equally spaced points tell such noise from
curvature: those of a smooth function fall with the order, those of noise do not (R. W. Hamming; J. J. Moré
and S. M. Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33, 2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial

import numpy as np

from bptt_verify.check import noise
from bptt_verify.check.problem import Array, Arrays, Loss, many_losses, signs, unit

SPACINGS = (1e-7, 1e-5, 1e-3, 1e-2)  # relative; float32 shows at the second, float16 at the last
SIDE = 5  # points on each side of the middle one
ASIDE = 6e-3  # distance of the middle from the given point, which may lie at a kink: that is no noise
ORDERS = range(4, 9)  # orders of differences that are looked at; lower ones hold the slope and the curvature
SMOOTH = 5e-3  # noise below this part of one spacing's change: larger spacings would show curvature only
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
        The largest noise seen at spacings from 1e-7 of the block's size up to the first one at which the
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


def _roughness(
    loss: Loss, arrays: Arrays, blocks: Sequence[str], own: float, rng: np.random.Generator
) -> float | None:
    """The same for blocks that move together; None if the loss stays where it is."""
    found = None
    direction = {b: _direction(arrays, b, rng) for b in blocks}
    for spacing in SPACINGS:
        seen = np.real(many_losses(loss, _points(arrays, direction, spacing)))
        if not np.all(np.isfinite(seen)):
            break
        change = float(np.mean(np.abs(np.diff(seen))))
        if change <= STILL * own:  # too short a way, or no influence
            continue
        level = noise_level(seen)
        found = max(found or own, level)
        if level <= SMOOTH * change:
            break
    return found


def _direction(arrays: Arrays, block: str, rng: np.random.Generator) -> Array:
    """No two elements move equally far: else all of them could go from one float32 number to the next."""
    shape = np.shape(arrays[block])
    return np.asarray(unit(arrays, block) * rng.uniform(0.5, 1, shape) * signs(shape, rng))


def _points(arrays: Arrays, direction: Arrays, spacing: float) -> list[dict[str, Array]]:
    return [
        {**arrays, **{b: arrays[b] + (ASIDE + k * spacing) * d for b, d in direction.items()}}
        for k in range(-SIDE, SIDE + 1)
    ]


def noise_level(values: Array) -> float:
    """Noise of a function from its values at equally spaced points, by their table of differences.

    A difference of order k of independent errors of variance σ² has the variance σ² (2k)! / (k!)². Curvature
    adds to that, the less the higher the order, so the smallest answer is taken.
    """
    levels = []
    for order in ORDERS:
        differences = np.diff(values, order)
        share = factorial(order) ** 2 / factorial(2 * order)
        levels.append(float(np.sqrt(share * np.mean(differences**2))))
    return min(levels)
