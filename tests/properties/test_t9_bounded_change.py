"""Claim T9: what a clipped step changes, how many it takes, descent, and the bias of random gradients."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bptt_verify.kernels.updates import clip_by_norm, clipped_update

SHAPES = {"W": (3, 2), "b": (3,), "s": ()}
SIZE = 10
ROUNDING = 1e-12  # relative to the largest number that enters

seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
positive = st.floats(1e-3, 1e3)


def blocks(column):
    """The column as parameters of different shapes."""
    parts = np.split(column, np.cumsum([int(np.prod(s)) for s in SHAPES.values()])[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(SHAPES.items(), parts, strict=True)}


def column(parameters):
    return np.concatenate([np.ravel(parameters[name]) for name in SHAPES])


def stepped(x, g, step, threshold):
    return column(clipped_update(blocks(x), blocks(g), step_size=step, threshold=threshold))


def clipped(g, threshold):
    return column(clip_by_norm(blocks(g), threshold))


def point(rng, scale=3.0):
    return scale * rng.normal(size=SIZE)


class Cone:
    """``K ‖x - a‖``: its Lipschitz constant is K, and it is attained along every ray."""

    def __init__(self, rng):
        self.constant, self.tip = rng.uniform(0.1, 5), point(rng)

    def __call__(self, x):
        return self.constant * np.linalg.norm(x - self.tip)


class Waves:
    """``Σ a_i sin(w_iᵀ x)``: its Lipschitz constant is at most ``Σ |a_i| ‖w_i‖``."""

    def __init__(self, rng):
        self.sizes, self.directions = rng.normal(size=4), rng.normal(size=(4, SIZE))
        self.constant = np.abs(self.sizes) @ np.linalg.norm(self.directions, axis=1)

    def __call__(self, x):
        return self.sizes @ np.sin(self.directions @ x)


class Quadratic:
    """``½ xᵀ H x - bᵀ x`` with eigenvalues from -β to β: smooth with β, convex or not."""

    def __init__(self, rng):
        basis = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0]
        values = rng.uniform(-1, 1, size=SIZE)
        self.beta = rng.uniform(0.1, 10)
        values *= self.beta / np.abs(values).max()
        self.matrix, self.linear = (basis * values) @ basis.T, point(rng)

    def __call__(self, x):
        return x @ self.matrix @ x / 2 - self.linear @ x

    def gradient(self, x):
        return self.matrix @ x - self.linear


@pytest.mark.parametrize("kind", [Cone, Waves])
@settings(deadline=None)
@given(seeds, positive, positive)
def test_the_change_is_bounded(kind, rng, step, threshold):
    objective, x, g = kind(rng), point(rng), point(rng, 10 ** rng.uniform(-3, 3))
    size = np.linalg.norm(g)
    change = abs(objective(x) - objective(stepped(x, g, step, threshold)))
    room = ROUNDING * objective.constant * (1 + np.linalg.norm(x) + step * min(size, threshold))
    assert change <= objective.constant * step * min(size, threshold) + room
    raw = abs(objective(x) - objective(x - step * g))
    assert raw <= objective.constant * step * size * (1 + ROUNDING) + room


@settings(deadline=None)
@given(seeds, positive, st.floats(0.1, 10))
def test_the_bound_is_attained(rng, threshold, step):
    """Away from the tip of a cone, a step along the ray has exactly the largest change."""
    cone = Cone(rng)
    g = point(rng)
    x = cone.tip - g
    change = cone(stepped(x, g, step, threshold)) - cone(x)
    largest = cone.constant * step * min(np.linalg.norm(g), threshold)
    assert change == pytest.approx(largest, rel=1e-9)
    assert change > 0.999 * largest  # so a bound that is smaller by a thousandth is wrong


@settings(deadline=None)
@given(seeds, positive, positive)
def test_the_equivalent_learning_rate(rng, step, threshold):
    x, g = point(rng), point(rng, 10 ** rng.uniform(-3, 3))
    other = step * min(1.0, threshold / np.linalg.norm(g))
    moved = stepped(x, g, step, threshold)
    np.testing.assert_allclose(moved, x - other * g, rtol=1e-12, atol=1e-12 * np.abs(x).max())


@settings(deadline=None)
@given(seeds, st.floats(0.01, 1), st.floats(0.1, 5))
def test_an_improvement_takes_its_number_of_steps(rng, step, threshold):
    """Straight to the tip of a cone: as many steps as the bound asks for, and not one fewer."""
    cone = Cone(rng)
    start = cone.tip + threshold * step * 7.5 * (d := point(rng)) / np.linalg.norm(d)
    x, steps, wanted = start, 0, 0.8 * cone(start)
    while cone(start) - cone(x) < wanted * (1 - 1e-9):
        x, steps = stepped(x, 1e3 * (x - cone.tip), step, threshold), steps + 1
    least = wanted / (cone.constant * step * threshold)
    assert steps >= least * (1 - 1e-9) and steps == np.ceil(least * (1 - 1e-9))


@settings(deadline=None)
@given(seeds, positive, st.floats(0.01, 4))
def test_descent(rng, threshold, share):
    """For every η, also beyond 2/β; and a decrease up to there."""
    objective, x = Quadratic(rng), point(rng)
    step, g = share / objective.beta, objective.gradient(x)
    size = np.linalg.norm(g)
    m = min(size, threshold)
    before, after = objective(x), objective(stepped(x, g, step, threshold))
    first = before - step * m * size + objective.beta * step**2 * m**2 / 2
    second = before - step * (1 - objective.beta * step / 2) * m * size
    room = 1e-10 * (abs(before) + objective.beta * (np.linalg.norm(x) + step * m) ** 2)
    assert after <= first + room and first <= second + room
    if share <= 2:
        assert after <= before + room


def test_the_descent_is_attained_and_fails_beyond_two_over_beta():
    """``β/2 x²``: the inequality is an equation, and a longer step goes up."""
    for beta, step, threshold in ((2.0, 0.25, 1.0), (2.0, 1.5, 1e9), (1.0, 2.5, 0.5)):
        x = np.zeros(SIZE)
        x[0] = 3.0 if threshold > 100 else 0.6
        g = beta * x
        m = min(np.linalg.norm(g), threshold)
        after = beta / 2 * np.sum(stepped(x, g, step, threshold) ** 2)
        said = beta / 2 * x @ x - step * m * np.linalg.norm(g) + beta * step**2 * m**2 / 2
        assert after == pytest.approx(said, rel=1e-12)
        assert (after > beta / 2 * x @ x) == (step * beta > 2)


def fair(*values):
    return [Fraction(v) for v in values]


def clip_of(x, threshold):
    return Fraction(max(-threshold, min(x, threshold)))


@pytest.mark.parametrize(
    ("values", "threshold", "of_clip", "of_mean"),
    [
        (fair(2, 0), 1, Fraction(1, 2), 1),
        (fair(3, -1, -1), 1, Fraction(-1, 3), Fraction(1, 3)),  # it even points the other way
        (fair(1, 3), 2, Fraction(3, 2), 2),  # T7: one gate with π = 1/2
    ],
)
def test_clipping_a_random_gradient_is_biased(values, threshold, of_clip, of_mean):
    count = len(values)
    assert sum(clip_of(v, threshold) for v in values) / count == of_clip
    assert clip_of(sum(values) / count, threshold) == of_mean
    measured = [clip_by_norm({"w": np.array([float(v)])}, float(threshold))["w"] for v in values]
    assert np.mean(measured) == pytest.approx(float(of_clip), abs=1e-15)


@settings(deadline=None)
@given(seeds, st.floats(0.1, 10))
def test_the_mean_of_a_clip_is_never_longer_than_the_threshold(rng, threshold):
    """What remains true of a clipped random gradient: T8 for each outcome."""
    outcomes = [clipped(point(rng), threshold) for _ in range(4)]
    assert np.linalg.norm(np.mean(outcomes, axis=0)) <= threshold * (1 + 1e-12)


@settings(deadline=None)
@given(seeds, st.floats(0.1, 10))
def test_parts_that_are_clipped_one_by_one(rng, threshold):
    """``√P θ``, attained if every part is clipped."""
    g = blocks(point(rng, 1e3) + 1e3)
    parts = {name: clip_by_norm({name: g[name]}, threshold)[name] for name in g}
    elements = {name: np.clip(g[name], -threshold, threshold) for name in g}
    assert np.linalg.norm(column(parts)) <= np.sqrt(len(SHAPES)) * threshold * (1 + 1e-12)
    assert np.linalg.norm(column(elements)) <= np.sqrt(SIZE) * threshold * (1 + 1e-12)
    if all(np.linalg.norm(g[name]) >= threshold for name in g):
        assert np.linalg.norm(column(parts)) >= np.sqrt(len(SHAPES)) * threshold * (1 - 1e-12)
