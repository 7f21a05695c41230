"""What is checked: a reference loss, its blocks, and how to draw telling inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Loss = Callable[[Arrays], Any]
GradientFunction = Callable[[Arrays], tuple[Any, Mapping[str, Any]]]


@dataclass(frozen=True)
class Case:
    """One set of inputs.

    Attributes
    ----------
    name : str
        Such as ``"T=1, B=1"`` or ``"saturated"``; it appears in messages.
    arrays : mapping of str to ndarray
        Everything the reference loss needs; float64, or integers for classes.
    """

    name: str
    arrays: Arrays


@dataclass(frozen=True)
class Problem:
    """A gradient to be judged, described by its reference loss.

    Attributes
    ----------
    subject : str
        What is checked, for messages.
    required : tuple of str
        Blocks (parameters) whose gradient must be provided.
    optional : tuple of str
        Blocks (real inputs, initial states) compared where provided, noted where not.
    loss : callable
        ``loss(arrays) -> scalar``, the reference; it may be handed complex arrays. Where it has a method
        ``many(sequence of arrays) -> sequence of scalars``, that is used for many points at once.
    draw : callable
        ``draw(rng) -> cases``.
    steps : callable, optional
        ``steps(arrays) -> T``.
    at_step : callable, optional
        ``at_step(arrays, t)``: the same arrays, where only the loss term of step t (from 1) counts.
    shorten : callable, optional
        ``shorten(arrays, T)``: the same arrays cut to their first T steps.
    provides_loss : bool
        Whether the loss returned by the function under test is compared too.
    rough : callable, optional
        ``rough(eps, rng)``: the same loss, but the slopes of its saturating functions are off by a few
        eps. That is what ``1 - h**2`` loses once h rounds to 1, and what no right function can avoid.
    complex_only : bool
        Whether the gradient is what complex steps give, and not the derivative of the loss: the steps then
        go through a truncation that real numbers do not see, and finite differences say nothing.
    """

    subject: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    loss: Loss
    draw: Callable[[np.random.Generator], Iterable[Case]]
    steps: Callable[[Arrays], int] | None = None
    at_step: Callable[[Arrays, int], Arrays] | None = None
    shorten: Callable[[Arrays, int], Arrays] | None = None
    provides_loss: bool = True
    rough: Callable[[float, np.random.Generator], Loss] | None = None
    complex_only: bool = False

    @property
    def blocks(self) -> tuple[str, ...]:
        """Required and optional blocks."""
        return self.required + self.optional


def many_losses(loss: Loss, points: Sequence[Arrays]) -> Array:
    """The loss at many points; overflow gives a non-finite number, not a warning."""
    at_once = getattr(loss, "many", None)
    with np.errstate(all="ignore"):
        found = at_once(points) if at_once is not None and points else [loss(p) for p in points]
        return np.array([np.asarray(v).item() for v in found])


def real_loss(loss: Loss, arrays: Arrays) -> float:
    """The reference loss at real arrays."""
    return float(np.real(many_losses(loss, [arrays])[0]))


def magnitude(array: Array) -> float:
    """Largest absolute value; 0 for an empty array."""
    return float(np.max(np.abs(array))) if np.size(array) else 0.0


def unit(arrays: Arrays, block: str) -> float:
    """The size that a change of this block is measured in: its largest entry, or 1 if all are zero."""
    return magnitude(arrays[block]) or 1.0


def signs(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """A random direction of entries -1 and +1."""
    return rng.choice(np.array([-1.0, 1.0]), size=shape)


def one_hot(shape: tuple[int, ...], position: int) -> Array:
    """The direction that moves one element (flat position) only."""
    direction = np.zeros(shape)
    direction.reshape(-1)[position] = 1.0
    return direction
