"""How the change of a value depends on the changes of what a loop carries over from the neighbouring step.

    Δv = A Δs + u ,    ‖u‖ ≤ Σ_p ρ_p (gain_p ‖Δs‖ + rest_p)

with s all that the loop carries, stacked, of each sequence; the ρ_p are those of ``Ball.shares``. A is the
same everywhere on the ball. Through an equation e(u) the change is exactly Σ_j σ_j Δu_j with the mean slopes
σ_j along the segment from the given arrays: A takes their middle, and the gain what they may differ from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt_verify.analysis.balls import Ball, together

Array = np.ndarray[Any, Any]
LAGS = 16  # steps over which a recursion is unrolled


@dataclass(frozen=True, eq=False)
class Linear:
    """The dependence of one value.

    Attributes
    ----------
    matrix : array or None
        A, with the labels of the value and one more axis; None for 0.
    gain, rest : array
        By share, and by step and sequence where the value has these.
    """

    matrix: Array | None
    gain: Array
    rest: Array


def independent(ball: Ball) -> Linear:
    """Of a value that does not depend on what the loop carries."""
    return Linear(None, np.zeros_like(ball.shares), ball.shares)


def spectral_of(matrix: Array, lead: int) -> Array:
    """The spectral norm of A as a map into all labels but the first ``lead``."""
    flat = matrix.reshape(*matrix.shape[:lead], -1, matrix.shape[-1])
    return spectral(flat)


def spectral(matrices: Array) -> Array:
    """Spectral norms; inf where one has no number."""
    if np.isfinite(matrices).all():
        return np.asarray(np.linalg.norm(matrices, 2, axis=(-2, -1)))
    finite = np.asarray(np.isfinite(matrices).all(axis=(-2, -1)))
    cleared = np.where(finite[..., None, None], matrices, 0.0)
    return np.where(finite, np.linalg.norm(cleared, 2, axis=(-2, -1)), np.inf)


def times(a: Any, b: Any) -> Array:
    """The product, in which 0 times infinity is 0."""
    return np.asarray(np.where((np.asarray(a) == 0) | (np.asarray(b) == 0), 0.0, np.multiply(a, b)))


def less(a: Array, b: Array) -> Array:
    """Of two bounds by shares the one that is less altogether."""
    return np.asarray(np.where(together(b) < together(a), b, a))


def stacked_sizes(parts: Sequence[Array]) -> Array:
    """The root of the sum of squares: sizes of a stack from those of its parts."""
    return np.asarray(np.sqrt(np.sum([p**2 for p in parts], axis=0)))


def recursion(steps: Sequence[tuple[Array, Array, Array]], start: Array, found: Array) -> Array:
    """Shares of Δs_t in the order of the loop, from ``Δs_t = A_t Δs_{t-1} + u_t``, never more than ``found``.

    It is taken one step at a time, and unrolled over a few: ``Σ_i ‖A_t … A_{i+1}‖ ‖u_i‖``.

    Parameters
    ----------
    steps : sequence of (array (B, N, N), array (shares, B), array (shares, B))
        A_t, and gain and rest of u_t.
    start : array (shares, B)
        Of what is there before the first step.
    found : array (T, shares, B)
        What is known otherwise.
    """
    results, sources = [start], list[Array]()
    one = np.broadcast_to(np.eye(steps[0][0].shape[-1]), (1, *steps[0][0].shape))
    products = one
    for (matrix, gain, rest), known in zip(steps, found, strict=True):
        fresh = times(gain, together(results[-1])) + rest
        products = np.concatenate([matrix @ products, one])[-LAGS - 1 :]
        sources = [*sources, fresh][-LAGS:]
        sizes = spectral(products)[:, None]
        origin = results[-len(sources)]
        unrolled = times(sizes[0], origin) + np.sum(times(sizes[1:], np.stack(sources)), axis=0)
        best = less(known, times(sizes[-2], results[-1]) + fresh)
        results.append(less(best, unrolled))
    return np.stack(results[1:])
