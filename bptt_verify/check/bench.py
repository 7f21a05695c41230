"""What a comparison is made of: the bench it is made on, the point, and the numbers that are expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bptt_verify.check import noise
from bptt_verify.check.problem import Array, Arrays, GradientFunction, Problem

Method = Literal["complex step", "finite differences"]


@dataclass(frozen=True)
class Bench:
    """What stays the same for all comparisons of one function."""

    fn: GradientFunction
    problem: Problem
    precision: noise.Precision
    methods: Mapping[str, Method]
    rng: np.random.Generator


@dataclass(frozen=True)
class Point:
    """Inputs, and the gradients the function returned there (copies of the right shape).

    Attributes
    ----------
    name : str
    arrays, grads : mapping of str to ndarray
    step : int, optional
        The step whose loss term alone counts.
    left : bool
        Whether the loss has a kink here, and the function is compared at both sides of it instead.
    """

    name: str
    arrays: Arrays
    grads: Mapping[str, Array]
    step: int | None = None
    left: bool = False


@dataclass(frozen=True)
class Expected:
    """Reference numbers of one block: some elements (flat positions) and some directions."""

    positions: Array
    directions: list[Array]
    values: Array  # of the elements, then of the directions
    errors: Array
    trusted: Array

    @property
    def scale(self) -> float:
        """The block's own scale: the largest element, or what the directions say about it."""
        count = len(self.positions)
        parts = np.where(self.trusted, np.abs(self.values), 0.0)
        sizes = [float(np.sqrt(d.size)) for d in self.directions]
        return max([*parts[:count], *(parts[count:] / sizes)], default=0.0)

    def found(self, grad: Array) -> Array:
        """The same numbers, from a gradient under test."""
        elements = grad.reshape(-1)[self.positions].astype(float)
        with np.errstate(all="ignore"):
            return np.array([*elements, *(float(np.sum(grad * d, dtype=float)) for d in self.directions)])

    def weights(self) -> Array:
        """How rounding of single elements adds up in each number."""
        return np.array([*np.ones(len(self.positions)), *(np.sqrt(d.size) for d in self.directions)])
