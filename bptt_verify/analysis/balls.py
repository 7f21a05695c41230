"""What is known of one value on a ball of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt_verify.derivation.enclosures import (
    Interval,
)
from bptt_verify.program import (
    BATCH,
    TIME,
)

Array = np.ndarray[Any, Any]
Labels = tuple[str, ...]
LEAD = (TIME, BATCH)
REPLACED = 0.6  # of the sum of the shares: a change that is less becomes the share of no single parameter


@dataclass(frozen=True, eq=False)
class Ball:
    """What is known of one value on the ball.

    Attributes
    ----------
    value : array
        At the given arrays, with the labels of the value.
    low, high : array
        Ends of the interval of each entry.
    moved : array
        Bounds of the norm of the difference from ``value`` over all labels but T and B.
    norm : array
        The same for the norm of the value.
    shares : array
        The same change as a sum of shares, along the first axis: d_0, which is that of no single parameter,
        and the d_p of each parameter.
    """

    value: Array
    low: Array
    high: Array
    moved: Array
    norm: Array
    shares: Array

    def rows(self, rows: slice) -> Ball:
        """Some steps of a value with the label T."""
        return _of(field[rows] for field in _fields(self))

    def with_rows(self, rows: slice, other: Ball) -> Ball:
        """The same with other steps in their place."""
        return _of(_replaced(a, rows, b) for a, b in zip(_fields(self), _fields(other), strict=True))

    @property
    def each(self) -> Array:
        """How far each entry can move."""
        return np.asarray(np.maximum(np.maximum(self.high - self.value, self.value - self.low), 0.0))


Read = tuple[Ball, Labels]


def lead_of(labels: Labels) -> Labels:
    """The labels of time and batch."""
    return tuple(x for x in labels if x in LEAD)


def rest_of(labels: Labels) -> Labels:
    """The other labels."""
    return tuple(x for x in labels if x not in LEAD)


def length(values: Array, lead: int) -> Array:
    """Euclidean norms over all axes but the first ``lead``."""
    return np.asarray(np.sqrt(np.sum(np.square(values), axis=tuple(range(lead, np.ndim(values))))))


def together(shares: Array) -> Array:
    """A bound of the whole change from its shares."""
    return np.asarray(shares[0] + np.sqrt(np.sum(np.square(shares[1:]), axis=0)))


def known(value: Array, interval: Interval, moved: Array, norm: Array, shares: Array, labels: Labels) -> Ball:
    """All that is known, each part tightened by the others."""
    lead = len(lead_of(labels))
    own = length(value, lead)
    shares = np.broadcast_to(shares, (len(shares), *value.shape[:lead]))
    moved = np.fmin(np.fmin(moved, together(shares)), own + norm)
    moved = np.broadcast_to(moved, value.shape[:lead])
    wide = np.reshape(moved, (*moved.shape, *[1] * (value.ndim - lead)))
    low = np.broadcast_to(np.minimum(np.fmax(interval[0], value - wide), value), value.shape)
    high = np.broadcast_to(np.maximum(np.fmin(interval[1], value + wide), value), value.shape)
    moved = np.minimum(moved, length(np.maximum(high - value, value - low), lead))
    largest = length(np.maximum(np.abs(low), np.abs(high)), lead)
    norm = np.fmin(np.fmin(norm, own + moved), largest)
    alone = np.concatenate([moved[None], np.zeros((len(shares) - 1, *moved.shape))])
    shares = np.where(moved < REPLACED * together(shares), alone, shares)
    shares = np.where(np.isfinite(together(shares)), shares, alone)
    return Ball(value, low, high, moved, norm, shares)


def tightened(ball: Ball, shares: Array, labels: Labels) -> Ball:
    """The same with other shares of its change, where they are less."""
    least = np.where(together(shares) < together(ball.shares), shares, ball.shares)
    ends = (ball.low, ball.high)
    return known(ball.value, ends, np.fmin(ball.moved, together(shares)), ball.norm, least, labels)


def inside(inner: Ball, outer: Ball) -> Array:
    """At which steps all that the outer one says follows from the inner one."""
    pairs = [(a, b) for a, b in zip(_fields(inner), _fields(outer), strict=True)][2:]
    pairs.append((outer.low, inner.low))
    return np.asarray(np.all([(a <= b).reshape(len(a), -1).all(axis=1) for a, b in pairs], axis=0))


def hull(a: Ball, b: Ball) -> Ball:
    """What holds if one of both does."""
    larger = (np.fmax(x, y) for x, y in ((a.high, b.high), (a.moved, b.moved), (a.norm, b.norm)))
    high, moved, norm = larger
    return Ball(a.value, np.fmin(a.low, b.low), high, moved, norm, np.fmax(a.shares, b.shares))


def inflated(ball: Ball, by: float) -> Ball:
    """A little more of everything."""
    low, high = (ball.value + (1 + by) * (end - ball.value) for end in (ball.low, ball.high))
    return Ball(ball.value, low, high, (1 + by) * ball.moved, (1 + by) * ball.norm, (1 + by) * ball.shares)


def moved(value: Array, labels: Labels, radius: float, count: int, share: int = 0) -> Ball:
    """A value that moves by at most ``radius``, as the one of ``count`` shares."""
    lead = len(lead_of(labels))
    shares = np.zeros((count, *value.shape[:lead]))
    shares[share] = radius
    moved = np.full(value.shape[:lead], radius)
    return Ball(value, value - radius, value + radius, moved, length(value, lead) + radius, shares)


def _fields(ball: Ball) -> Iterator[Array]:
    yield from (ball.value, ball.low, ball.high, ball.moved, ball.norm, np.moveaxis(ball.shares, 0, -1))


def _of(fields: Iterable[Array]) -> Ball:
    value, low, high, moved, norm, shares = fields
    return Ball(value, low, high, moved, norm, np.moveaxis(shares, -1, 0))


def _replaced(field: Array, rows: slice, by: Array) -> Array:
    new = field.copy()
    new[rows] = by
    return new


def joined(edge: Ball, ball: Ball, shift: int) -> Ball:
    """What is read at a neighbouring step, the boundary's among it."""
    pairs = zip(_fields(edge), _fields(ball), strict=True)
    return _of(np.concatenate([a[None], b[:-1]] if shift < 0 else [b[1:], a[None]]) for a, b in pairs)
