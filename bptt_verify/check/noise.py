"""How much of a number is rounding: precision, conditioning, and scatter.

A noise floor is never a fixed number. It is measured: the reference is evaluated again at inputs that
differ in their last digits, and what moves is not known. What an implementation loses in its own
intermediate results (``1 - h**2`` of a saturated unit, float32 sums) does not show there; it shows
because rounding errors scatter from one nearby point to the next, while mistakes stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bptt_verify.check.problem import Array, Arrays, Loss, magnitude, many_losses

SAFETY = 2.0  # factor on every measured floor
LAST_DIGITS = 4.0  # size of a probing perturbation, in units of the machine epsilon
DRAWS = 3  # number of probing perturbations


@dataclass(frozen=True)
class Precision:
    """The floating-point format a function computes in.

    Attributes
    ----------
    name : str
        Such as ``"float64"``.
    eps, tiny : float
        Machine epsilon, and the smallest normal number.
    """

    name: str
    eps: float
    tiny: float


def precision_of(dtype: type[np.floating]) -> Precision:
    """The precision of a NumPy floating type."""
    info = np.finfo(dtype)
    return Precision(np.dtype(dtype).name, float(info.eps), float(info.tiny))


DOUBLE = precision_of(np.float64)
SINGLE = precision_of(np.float32)
HALF = precision_of(np.float16)


def _fits_single(array: Array) -> bool:
    with np.errstate(all="ignore"):
        return bool(np.all(~np.isfinite(array) | (array.astype(np.float32) == array)))


def working_precision(results: Iterable[Array]) -> Precision:
    """The precision to judge a function by, from all the arrays it returned.

    It is the coarsest floating dtype returned; float64 arrays count as float32 when each of their values is
    a float32 number and at least two are not whole numbers (zeros and ones tell nothing).
    """
    arrays = [np.asarray(a) for a in results]
    dtypes = {a.dtype for a in arrays}
    if np.dtype(np.float16) in dtypes:
        return HALF
    if np.dtype(np.float32) in dtypes:
        return SINGLE
    doubles = [a for a in arrays if a.dtype == np.float64]
    telling = sum(int(np.sum(np.isfinite(a) & (a != np.round(a)))) for a in doubles)
    return SINGLE if telling >= 2 and all(map(_fits_single, doubles)) else DOUBLE


def operations(arrays: Arrays) -> float:
    """Growth of rounding errors: the square root of the number of elements that enter the loss."""
    return float(np.sqrt(1 + sum(np.size(a) for a in arrays.values())))


def is_real(array: Array) -> bool:
    """Whether an array holds floating-point numbers."""
    return bool(np.issubdtype(np.asarray(array).dtype, np.floating))


def nearby(arrays: Arrays, relative: float, rng: np.random.Generator) -> dict[str, Array]:
    """The same arrays, each real element changed by a random relative amount of at most `relative`."""
    return {
        name: a * (1 + relative * rng.uniform(-1, 1, np.shape(a))) if is_real(a) else a
        for name, a in arrays.items()
    }


def loss_noise(loss: Loss, arrays: Arrays, precision: Precision, rng: np.random.Generator) -> float:
    """How far the loss moves when its inputs change in their last digits, and at least its own rounding."""
    digits = LAST_DIGITS * precision.eps
    points = [arrays, *(nearby(arrays, digits, rng) for _ in range(DRAWS))]
    here, *moved = np.real(many_losses(loss, points))
    own = max(precision.eps, working_precision([np.array([here, *moved])]).eps)
    return float(max(*(abs(m - here) for m in moved), own * abs(here)))


def slope_noise(
    slopes: Callable[[Sequence[Arrays]], Array],
    arrays: Arrays,
    precision: Precision,
    rng: np.random.Generator,
) -> float:
    """How far a directional derivative moves when the inputs change in their last digits.

    ``slopes`` gives the derivative at each of several points.
    """
    digits = LAST_DIGITS * precision.eps
    here, *moved = slopes([arrays, *(nearby(arrays, digits, rng) for _ in range(DRAWS))])
    return float(max(*(abs(m - here) for m in moved), precision.eps * abs(here)))


def floor(scale: float, moved: float, arrays: Arrays, precision: Precision) -> float:
    """The noise floor of one element of a block.

    Parameters
    ----------
    scale : float
        Largest reference entry of the block.
    moved : float
        Measured by `slope_noise`.
    arrays : mapping
        The inputs; their number bounds the number of operations.
    precision : Precision
        What the function under test computes in.
    """
    rounding = LAST_DIGITS * precision.eps * scale + moved + LAST_DIGITS * precision.tiny
    return SAFETY * operations(arrays) * rounding


def zero_floor(loss: float, gradients: Iterable[Array], arrays: Arrays, precision: Precision) -> float:
    """The floor for a block whose true gradient is exactly zero, and so has no scale of its own.

    It is rounding relative to the largest of the loss, the other gradients, and the data.
    """
    sizes = [abs(loss)] + [magnitude(g) for g in gradients]
    sizes += [magnitude(a) for a in arrays.values() if is_real(a)]
    largest = max(s for s in sizes if np.isfinite(s))
    return floor(largest, 0.0, arrays, precision)


def systematic(errors: Sequence[float], times: float = 10.0) -> bool:
    """Whether errors measured at nearby points agree (a mistake) or scatter around zero (rounding).

    The mean must be so many times the standard deviation: rounding has a bias of its own (a library's
    ``tanh`` may be off to one side by half a digit), while a mistake varies by a percent or so between nearby
    points.
    """
    values = np.asarray(errors, dtype=float)
    if not np.all(np.isfinite(values)):
        return True
    return bool(abs(values.mean()) > times * values.std(ddof=1))
