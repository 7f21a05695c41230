"""Reference derivatives of a loss: complex step where it is valid, else finite differences with an error."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from scipy.differentiate import derivative

from bptt_verify.check import noise
from bptt_verify.check.problem import Array, Arrays, Loss, many_losses, one_hot, real_loss, signs, unit
from bptt_verify.check.roughness import roughness

SMALL_STEP = 1e-150  # no rounding of any kind, and no overflow when derivatives explode
LARGE_STEP = 1e-10  # for derivatives so small that SMALL_STEP times them would underflow
UNDERFLOW = 1e-280

Analytic = Literal["yes", "no", "unclear"]


def _complex_copy(arrays: Arrays) -> dict[str, Array]:
    return {k: np.asarray(a, np.complex128) if noise.is_real(a) else a for k, a in arrays.items()}


def _imaginary(loss: Loss, points: Sequence[Arrays]) -> Array:
    return np.asarray(np.imag(many_losses(loss, points)), dtype=float)


def complex_slopes(loss: Loss, points: Sequence[Arrays], block: str, direction: Array) -> Array:
    """Derivatives of the loss at several points when `block` moves along `direction`, by complex steps."""
    values = np.zeros(len(points))
    still = {
        id(p): _complex_copy(p) for p in points
    }  # shared by equal points: then `many` stacks the block only
    for step in (SMALL_STEP, LARGE_STEP):
        steps = [step * unit(p, block) for p in points]
        moved = [
            {**still[id(p)], block: p[block] + 1j * h * direction} for p, h in zip(points, steps, strict=True)
        ]
        changes = _imaginary(loss, moved)
        values = changes / np.array(steps)
        if not np.max(np.abs(changes), initial=0.0) < UNDERFLOW:
            break
    return values


def complex_slope(loss: Loss, arrays: Arrays, block: str, direction: Array) -> float:
    """Derivative of the loss when `block` moves along `direction`, by a complex step.

    Exact to rounding if the loss is analytic (see `analytic`), whatever the size of the derivative.
    """
    return float(complex_slopes(loss, [arrays], block, direction)[0])


def complex_elements(loss: Loss, arrays: Arrays, block: str, positions: Sequence[int] | Array) -> Array:
    """Derivatives of the loss in some elements (flat positions) of a block, by complex steps."""
    still = _complex_copy(arrays)
    values = np.zeros(len(positions))
    for step in (SMALL_STEP, LARGE_STEP):
        h = step * unit(arrays, block)
        points = []
        for position in positions:
            moved = np.array(still[block])
            moved.reshape(-1)[position] += 1j * h
            points.append({**still, block: moved})
        changes = _imaginary(loss, points)
        values = changes / h
        if not np.max(np.abs(changes), initial=0.0) < UNDERFLOW:
            break
    return values


def complex_blocks(loss: Loss, arrays: Arrays, blocks: Sequence[str]) -> dict[str, Array]:
    """Derivatives in all elements of several blocks, by complex steps that are taken all at once.

    Blocks whose derivatives are so small that the steps underflow are left out.
    """
    still = _complex_copy(arrays)
    points: list[dict[str, Array]] = []
    for block in blocks:
        for position in range(np.size(arrays[block])):
            moved = np.array(still[block])
            moved.reshape(-1)[position] += 1j * SMALL_STEP * unit(arrays, block)
            points.append({**still, block: moved})
    ends = np.cumsum([np.size(arrays[b]) for b in blocks])
    parts = zip(blocks, np.split(_imaginary(loss, points), ends[:-1]), strict=True)
    return {
        b: changes / (SMALL_STEP * unit(arrays, b))
        for b, changes in parts
        if not np.max(np.abs(changes), initial=0.0) < UNDERFLOW
    }


def complex_gradient(loss: Loss, arrays: Arrays, block: str) -> Array:
    """Gradient of the loss in one block, every element by a complex step.

    Parameters
    ----------
    loss : callable
        ``loss(arrays) -> scalar``; it is handed complex arrays.
    arrays : mapping of str to ndarray
        Where.
    block : str
        With respect to which array.

    Returns
    -------
    ndarray
        Float64, of the block's shape.
    """
    block_array = np.asarray(arrays[block])
    values = complex_elements(loss, arrays, block, range(block_array.size))
    return values.reshape(block_array.shape)


@dataclass(frozen=True)
class Slopes:
    """Directional derivatives by finite differences.

    Attributes
    ----------
    values, errors : ndarray
        The derivatives and what bounds their error: SciPy's estimate plus the rounding of the loss.
    trusted : ndarray of bool
        Where SciPy reports success.
    """

    values: Array
    errors: Array
    trusted: Array


Probe = tuple[str, Array]  # a block and a direction in it


def difference_slopes(
    loss: Loss,
    arrays: Arrays,
    probes: Sequence[Probe],
    wobble: float,
    first_steps: Sequence[float] = (0.5, 5e-3, 5e-5),
) -> Slopes:
    """Directional derivatives by ``scipy.differentiate.derivative``.

    Parameters
    ----------
    loss, arrays
        What and where.
    probes : sequence of (block, direction)
        The loss is differentiated in t at ``arrays[block] + t * direction``; scale directions so that t = 1
        is a large change, because SciPy's steps are absolute.
    wobble : float
        Noise of the loss along them, from `roughness`.
    first_steps : sequence of float
        First step; where no success is reported, the next one is tried.
    """
    count = len(probes)
    found = Slopes(np.full(count, np.nan), np.full(count, np.inf), np.zeros(count, dtype=bool))
    if not np.isfinite(wobble):  # nor then is the loss, here or nearby
        return found

    def along(t: Array, which: Array) -> Array:
        ts, numbers = np.broadcast_arrays(t, which)
        pairs = zip(ts.flat, numbers.flat, strict=True)
        points = [_moved(arrays, probes[int(k)], float(s)) for s, k in pairs]
        return np.asarray(np.real(many_losses(loss, points)), dtype=float).reshape(ts.shape)

    for first in first_steps:
        todo = np.flatnonzero(~found.trusted)
        if todo.size == 0:
            break
        with np.errstate(all="ignore"):
            result = derivative(
                along, np.zeros(todo.size), args=(todo.astype(float),), initial_step=first,
                tolerances={"atol": 64 * wobble / first},
            )  # fmt: skip
        last = first / 2.0 ** (np.maximum(result.nit, 1) - 1)
        found.values[todo] = result.df
        found.errors[todo] = result.error + 12 * wobble / last  # measured: noise is amplified 8 / last times
        found.trusted[todo] = result.success & np.isfinite(result.df)
    return found


def _moved(arrays: Arrays, probe: Probe, t: float) -> dict[str, Array]:
    block, direction = probe
    return {**arrays, block: arrays[block] + t * direction}


def _moved_loss(loss: Loss, arrays: Arrays, probe: Probe, t: float) -> float:
    return real_loss(loss, _moved(arrays, probe, t))


def difference_gradient(
    loss: Loss, arrays: Arrays, block: str, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Gradient in one block by finite differences.

    Returns
    -------
    values, errors, trusted : ndarray
        Each of the block's shape; only elements marked in `trusted` are to be used.
    """
    array = np.asarray(arrays[block])
    scale = unit(arrays, block)
    probes = [(block, scale * one_hot(array.shape, i)) for i in range(array.size)]
    slopes = difference_slopes(loss, arrays, probes, roughness(loss, arrays, block, rng))
    shape = array.shape
    return (
        (slopes.values / scale).reshape(shape),
        (slopes.errors / scale).reshape(shape),
        slopes.trusted.reshape(shape),
    )


def kinked(loss: Loss, arrays: Arrays, probe: Probe, wobble: float, doubt: float) -> bool:
    """Whether the one-sided derivatives along a probe differ, by at least a tenth of `doubt`.

    A smooth loss has one-sided differences that approach each other as the step shrinks; at a kink they
    do not.
    """
    steps = (1e-4, 1e-5, 1e-6)
    points = [_moved(arrays, probe, sign * t) for t in steps for sign in (1.0, -1.0)]
    here, *moved = map(float, np.real(many_losses(loss, [arrays, *points])))
    gaps = [
        abs((ahead - here) / t - (here - behind) / t)
        for t, ahead, behind in zip(steps, moved[::2], moved[1::2], strict=True)
    ]
    real = gaps[-1] > max(8 * wobble / 1e-6, 0.1 * doubt)
    steady = all(0.5 * old < new < 2 * old for old, new in pairwise(gaps))  # noise would grow as 1 / t
    return bool(real and steady)


def analytic(
    loss: Loss, arrays: Arrays, blocks: Sequence[str], rng: np.random.Generator
) -> dict[str, Analytic]:
    """Find out, block by block, whether the complex step gives derivatives of this loss.

    Its directional derivative is compared with finite differences. ``"unclear"`` means that these cannot
    tell: the derivative is zero or too small, the loss too noisy, or the point is at a kink.
    """
    wobble = noise.loss_noise(loss, arrays, noise.DOUBLE, rng)
    probes = [(b, unit(arrays, b) * signs(np.shape(arrays[b]), rng)) for b in blocks]
    steps = _strict_slopes(loss, arrays, probes)
    open_ = [i for i, s in enumerate(steps) if s is not None and np.isfinite(s)]
    told: dict[str, Analytic] = {
        b: "no" if s is None else "unclear" for b, s in zip(blocks, steps, strict=True)
    }
    for i in open_:
        if steps[i] == 0 and _responds(loss, arrays, probes[i], wobble):
            told[blocks[i]] = "no"
    for first in ((0.5, 5e-3, 5e-5), (1e-3, 1e-5)):  # only a disagreement is looked at twice
        if not open_:
            break
        slopes = difference_slopes(loss, arrays, [probes[i] for i in open_], wobble, first)
        for k, i in enumerate(open_):
            vote = _vote(float(steps[i] or 0.0), slopes, k)
            if told[blocks[i]] != "no" or vote == "yes":
                told[blocks[i]] = vote
        open_ = [i for i in open_ if told[blocks[i]] == "no"]
    for i in open_:
        if kinked(loss, arrays, probes[i], wobble, 0.0):
            told[blocks[i]] = "unclear"
    return told


def _responds(loss: Loss, arrays: Arrays, probe: Probe, wobble: float) -> bool:
    """Whether a central difference is far from zero; a slope of exactly zero then looks thrown away."""
    ahead, behind = _moved_loss(loss, arrays, probe, 1e-2), _moved_loss(loss, arrays, probe, -1e-2)
    return abs(ahead - behind) > 1e6 * wobble


def _vote(step: float, slopes: Slopes, k: int) -> Analytic:
    value, error = float(slopes.values[k]), float(slopes.errors[k])
    if not slopes.trusted[k] or not error < 0.1 * max(abs(step), abs(value)):
        return "unclear"
    return "yes" if abs(step - value) <= 8 * error + 1e-6 * abs(value) else "no"


def _strict_slopes(loss: Loss, arrays: Arrays, probes: Sequence[Probe]) -> list[float | None]:
    """Complex-step slopes; None where the loss refuses complex numbers or throws parts of them away.

    They are computed together; where that fails, one by one, to find the blocks that fail.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            together = _slopes_along(loss, arrays, probes)
        except Exception:  # whatever a loss raises on complex input, it is not analytic
            return [None] if len(probes) == 1 else [_strict_slopes(loss, arrays, [p])[0] for p in probes]
    return [None if swallowed else float(s) for s, swallowed in together]


def _slopes_along(loss: Loss, arrays: Arrays, probes: Sequence[Probe]) -> list[tuple[float, bool]]:
    """The slope along each probe, and whether the small step vanished although the slope is not small.

    The latter means complex64 on the way, say.
    """
    small, large = (_changes_along(loss, arrays, probes, step) for step in (SMALL_STEP, LARGE_STEP))
    found = []
    for (block, _), tiny, big in zip(probes, small, large, strict=True):
        size = unit(arrays, block)
        slope = tiny / (SMALL_STEP * size) if not abs(tiny) < UNDERFLOW else big / (LARGE_STEP * size)
        expected = abs(slope) * SMALL_STEP * size
        found.append((slope, bool(expected > 1e3 * UNDERFLOW and abs(tiny) < UNDERFLOW)))
    return found


def _changes_along(loss: Loss, arrays: Arrays, probes: Sequence[Probe], step: float) -> Array:
    """The imaginary part of the loss after a complex step along each probe."""
    still = _complex_copy(arrays)
    moved = [{**still, b: arrays[b] + 1j * step * unit(arrays, b) * d} for b, d in probes]
    return _imaginary(loss, moved)
