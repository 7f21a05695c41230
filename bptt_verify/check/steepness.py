"""The steepest pair of points in a ball: a search that tries to break a Lipschitz bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bptt_verify.check.problem import Array

EPS = float(np.finfo(float).eps)
NOISE = 1e3 * EPS  # of a loss, relative to its size; a pair must rise above it
JITTER = 20  # and above the noise that is seen along very short lines, that many times
NEAREST = 1e-7  # the least distance of a pair, over the radius
RANDOM = 150  # random pairs
REFINED = 12  # of them halved again and again
ASCENTS = 6  # starts of an ascent
STEPS = 25  # of one ascent
FULL = 2500  # numbers up to which a gradient is taken along every axis, if the effort allows eight of them
DIRECTIONS = 60  # and how many random directions otherwise


@dataclass(frozen=True)
class Pair:
    """Two points, and how far the loss and they are apart.

    Attributes
    ----------
    one, two : array (D,)
    change : float
        |F(one) - F(two)|, less what rounding may have added to it.
    distance : float
    """

    one: Array
    two: Array
    change: float
    distance: float

    @property
    def quotient(self) -> float:
        """Change of the loss over distance: no Lipschitz bound is smaller."""
        return float(self.change / self.distance)


class Ball:
    """A loss on a ball, with the steepest pair seen so far.

    Parameters
    ----------
    loss : callable
        ``loss(vector)``.
    center : array (D,)
    radius : float
    effort : int
        How many evaluations may be made.
    """

    def __init__(self, loss: Callable[[Array], float], center: Array, radius: float, effort: int) -> None:
        self.loss, self.center, self.radius, self.effort = loss, center, radius, effort
        self.evaluations = 0
        self.jitter = 0.0
        self.best: Pair | None = None
        self.not_finite: Array | None = None

    @property
    def spent(self) -> bool:
        """Whether the search is over."""
        return self.evaluations >= self.effort or self.not_finite is not None

    def value(self, point: Array) -> float:
        """The loss at a point of the ball."""
        self.evaluations += 1
        with np.errstate(all="ignore"):
            found = float(self.loss(point))
        if not np.isfinite(found) and self.not_finite is None:
            self.not_finite = point
        return found

    def inside(self, point: Array) -> Array:
        """The nearest point of the ball; not a rounding error outside."""
        offset = point - self.center
        length = float(np.linalg.norm(offset))
        most = self.radius * (1 - 1e-12)
        return point if length <= most else self.center + offset * (most / length)

    def noise(self, *values: float) -> float:
        """What rounding may do to a difference of these values."""
        return NOISE * sum(map(abs, values)) + JITTER * self.jitter

    def pair(self, one: Array, two: Array, values: tuple[float, float] | None = None) -> Pair | None:
        """Look at a pair; remember it if it is the steepest."""
        f, g = values if values is not None else (self.value(one), self.value(two))
        distance = float(np.linalg.norm(one - two))
        if distance < NEAREST * self.radius or not np.isfinite(f - g):
            return None
        found = Pair(one, two, max(0.0, abs(f - g) - self.noise(f, g)), distance)
        if self.best is None or found.quotient > self.best.quotient:
            self.best = found
        return found


def search(ball: Ball, rng: np.random.Generator) -> None:
    """Random pairs, the steepest halved; every axis; ascents of the gradient's norm."""
    ball.jitter = max(_jitter(ball, p, rng) for p in (ball.center, *(_point(ball, rng) for _ in range(4))))
    pairs = [p for p in (ball.pair(*_drawn(ball, k, rng)) for k in range(RANDOM) if not ball.spent) if p]
    pairs.sort(key=lambda p: p.quotient, reverse=True)
    for p in pairs[:REFINED]:
        _halved(ball, p.one, p.two)
    _axes(ball)
    for start in _starts(ball, pairs, rng):
        _ascent(ball, start, rng)
    if ball.best is not None:
        _halved(ball, ball.best.one, ball.best.two)


def _jitter(ball: Ball, point: Array, rng: np.random.Generator) -> float:
    """The noise of the loss: the fourth differences along a very short line, where a smooth loss has none."""
    step = NEAREST * ball.radius * _direction(ball, rng)
    differences = np.diff([ball.value(ball.inside(point + k * step)) for k in range(9)], 4)
    found = float(np.abs(differences).max()) / 70**0.5
    return found if np.isfinite(found) else 0.0


def _drawn(ball: Ball, k: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """A random pair: across the ball, within it, or close together."""
    one = _point(ball, rng, on_the_sphere=k % 3 == 0)
    if k % 3 == 0:
        return one, ball.inside(2 * ball.center - one)
    if k % 3 == 1:
        return one, _point(ball, rng)
    reach = ball.radius * 10.0 ** rng.uniform(-4, 0)
    return one, ball.inside(one + reach * _direction(ball, rng))


def _point(ball: Ball, rng: np.random.Generator, on_the_sphere: bool = False) -> Array:
    share = 1.0 if on_the_sphere else rng.uniform() ** (1 / max(1, min(ball.center.size, 8)))
    return ball.inside(ball.center + ball.radius * share * _direction(ball, rng))


def _direction(ball: Ball, rng: np.random.Generator) -> Array:
    v = rng.normal(size=ball.center.size)
    return np.asarray(v / np.linalg.norm(v))


def _halved(ball: Ball, one: Array, two: Array) -> None:
    """Halve a pair, and keep the steeper half: it is at least as steep as the whole."""
    f, g = ball.value(one), ball.value(two)
    for _ in range(45):
        if ball.spent:
            return
        middle = (one + two) / 2
        m = ball.value(middle)
        halves = [ball.pair(one, middle, (f, m)), ball.pair(middle, two, (m, g))]
        if None in halves or not max(h.change for h in halves if h is not None):
            return
        if halves[0].quotient >= halves[1].quotient:  # type: ignore[union-attr]
            two, g = middle, m
        else:
            one, f = middle, m


def _axes(ball: Ball) -> None:
    """Across the ball along every axis."""
    for k in range(min(ball.center.size, ball.effort // 8)):
        if ball.spent:
            return
        step = np.zeros(ball.center.size)
        step[k] = ball.radius
        ball.pair(ball.inside(ball.center - step), ball.inside(ball.center + step))


def _starts(ball: Ball, pairs: list[Pair], rng: np.random.Generator) -> Iterator[Array]:
    yield ball.center
    yield from (p.one for p in pairs[: ASCENTS // 2])
    for _ in range(ASCENTS // 2):
        yield _point(ball, rng, on_the_sphere=True)


def _ascent(ball: Ball, point: Array, rng: np.random.Generator) -> None:
    """Walk to where the gradient is longer: the derivative of ‖∇F‖ is the Hessian along ∇F/‖∇F‖."""
    axes = _frame(ball, rng)
    gradient = _slope(ball, point, axes)
    reach = 4.0  # over the radius: the first steps end on the sphere
    for _ in range(STEPS):
        length = float(np.linalg.norm(gradient))
        if ball.spent or not length or not np.isfinite(length):
            return
        unit = gradient / length
        inward = 1e-3 * ball.radius * (-1.0 if unit @ (point - ball.center) > 0 else 1.0)
        ball.pair(point, ball.inside(point + inward * unit))
        uphill = (_slope(ball, ball.inside(point + inward * unit), axes) - gradient) * np.sign(inward)
        size = float(np.linalg.norm(uphill))
        if not size or not np.isfinite(size):
            return
        moved = ball.inside((ball.center if reach > 1 else point) + reach * ball.radius * uphill / size)
        there = _slope(ball, moved, axes)
        if np.linalg.norm(there) > length:
            point, gradient = moved, there
        else:
            reach /= 4
            if reach < 1e-2:
                return


def _frame(ball: Ball, rng: np.random.Generator) -> Array:
    """The axes along which slopes are taken: all, or random ones, orthonormal."""
    count = ball.center.size
    if count <= DIRECTIONS or (count <= FULL and 8 * count <= ball.effort):
        return np.eye(count)
    return np.asarray(np.linalg.qr(rng.normal(size=(count, DIRECTIONS)))[0].T)


def _slope(ball: Ball, point: Array, axes: Array) -> Array:
    """The gradient by differences, as far as the axes span it."""
    step = 1e-6 * ball.radius
    here, total = ball.value(point), np.zeros(point.size)
    for axis in axes:
        if ball.spent:
            break
        inward = -1.0 if axis @ (point - ball.center) > 0 else 1.0
        total += axis * (inward * (ball.value(point + inward * step * axis) - here) / step)
    return total
