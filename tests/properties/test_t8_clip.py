"""Claim T8: the norm of the clip, its direction, the projection, non-expansiveness, and every corner."""

from fractions import Fraction
from math import isqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bptt_verify.errors import ArrayError
from bptt_verify.kernels.updates import clip_by_norm

SHAPES = {"w": (3, 4), "b": (5,), "s": (), "e": (0, 2)}


@st.composite
def gradients(draw, dtype=None, smallest=-3, largest=3):
    """Blocks of different shapes, each with its own scale."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    names = draw(st.lists(st.sampled_from(sorted(SHAPES)), min_size=1, unique=True))
    kinds = [dtype or draw(st.sampled_from([np.float32, np.float64])) for _ in names]
    powers = [draw(st.integers(smallest, largest)) for _ in names]
    return {
        n: np.asarray(rng.normal(size=SHAPES[n]) * 10.0**p).astype(k)
        for n, k, p in zip(names, kinds, powers, strict=True)
    }


def exact_square(grads):
    """‖g‖² as a fraction."""
    return sum((Fraction(float(v)) ** 2 for a in grads.values() for v in a.ravel()), Fraction(0))


def norm(grads):
    """‖g‖, rounded down to 200 bits."""
    square = exact_square(grads)
    return Fraction(isqrt(square.numerator * 4**1300 // square.denominator), 2**1300)


def eps_of(grads):
    return Fraction(float(max(np.finfo(a.dtype).eps for a in grads.values())))


def distance(one, two):
    return norm({k: np.asarray(one[k], float) - np.asarray(two[k], float) for k in one})


thresholds = st.floats(1e-3, 1e3, exclude_min=True)


@settings(deadline=None)
@given(gradients(), thresholds)
def test_the_norm_is_the_smaller_of_both(grads, threshold):
    clipped, eps = clip_by_norm(grads, threshold), eps_of(grads)
    wanted = min(norm(grads), Fraction(threshold))
    assert wanted * (1 - 4 * eps) <= norm(clipped) <= wanted * (1 + 4 * eps)


@settings(deadline=None)
@given(gradients(), thresholds)
def test_the_direction_is_kept(grads, threshold):
    clipped, eps = clip_by_norm(grads, threshold), float(eps_of(grads))
    factor = min(1.0, threshold / float(norm(grads))) if norm(grads) else 1.0
    for name, array in grads.items():
        np.testing.assert_allclose(clipped[name], factor * np.asarray(array, float), rtol=4 * eps)
        assert clipped[name].dtype == array.dtype
        assert clipped[name].shape == array.shape


@settings(deadline=None)
@given(gradients(dtype=np.float64), st.data(), thresholds)
def test_no_point_of_the_ball_is_nearer(grads, data, threshold):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    clipped = clip_by_norm(grads, threshold)
    moved = {k: v + rng.normal(size=v.shape) * threshold * rng.uniform() for k, v in clipped.items()}
    length = float(norm(moved))
    shrink = min(1.0, threshold / length) if length else 1.0
    inside = {k: v * shrink for k, v in moved.items()}
    slack = 8 * np.finfo(float).eps * (float(norm(grads)) + threshold)
    assert float(distance(grads, clipped)) <= float(distance(grads, inside)) + slack


@settings(deadline=None)
@given(st.data(), thresholds)
def test_the_clip_does_not_expand(data, threshold):
    one = data.draw(gradients(dtype=np.float64))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    step = 10.0 ** data.draw(st.integers(-4, 3))
    two = {k: np.asarray(v + step * rng.normal(size=v.shape)) for k, v in one.items()}
    slack = 8 * np.finfo(float).eps * threshold
    assert float(distance(clip_by_norm(one, threshold), clip_by_norm(two, threshold))) <= (
        float(distance(one, two)) + slack
    )


@settings(deadline=None)
@given(gradients(dtype=np.float64, smallest=-300, largest=300), st.integers(-300, 300))
def test_no_scale_overflows_or_is_lost(grads, power):
    threshold = 10.0**power
    clipped = clip_by_norm(grads, threshold)
    wanted = min(norm(grads), Fraction(threshold))
    assert norm(clipped) <= wanted * (1 + 4 * eps_of(grads))
    assert norm(clipped) >= wanted * (1 - 4 * eps_of(grads)) - 20 * Fraction(5e-324)
    if norm(grads) <= threshold * (1 - Fraction(1, 10**9)):
        assert all(np.array_equal(clipped[k], grads[k]) for k in grads)


@settings(deadline=None)
@given(gradients(), thresholds)
def test_a_second_clip_changes_nothing_but_rounding(grads, threshold):
    once = clip_by_norm(grads, threshold)
    twice = clip_by_norm(once, threshold)
    for name in grads:
        np.testing.assert_allclose(twice[name], once[name], rtol=4 * float(eps_of(grads)))


@settings(deadline=None)
@given(gradients(dtype=np.float64), thresholds, st.integers(-40, 40))
def test_gradient_and_threshold_scale_together(grads, threshold, power):
    scaled = clip_by_norm(
        {k: np.ldexp(v, power) for k, v in grads.items()}, float(np.ldexp(threshold, power))
    )
    for name, array in clip_by_norm(grads, threshold).items():
        np.testing.assert_array_equal(scaled[name], np.ldexp(array, power))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 31, 33, 1000, 300_000])
def test_the_bound_holds_in_exact_arithmetic_for_long_arrays(dtype, count):
    rng = np.random.default_rng(count)
    eps = Fraction(float(np.finfo(dtype).eps))
    for values in (rng.normal(size=count), np.full(count, 0.1), rng.exponential(size=count) ** 3):
        clipped = clip_by_norm({"w": (values * 100).astype(dtype)}, 0.7)
        integers = [int(v) for v in np.ldexp(clipped["w"].astype(float), 120).tolist()]
        square = Fraction(sum(v * v for v in integers), 4**120)
        assert (Fraction(0.7) * (1 - 4 * eps)) ** 2 <= square <= (Fraction(0.7) * (1 + 4 * eps)) ** 2


def test_zero_stays_zero():
    for dtype in (np.float32, np.float64):
        clipped = clip_by_norm({"w": np.zeros((2, 3), dtype), "b": np.zeros(2, dtype)}, 1e-300)
        assert all(not v.any() and v.dtype == dtype for v in clipped.values())


def test_an_infinite_threshold_changes_nothing():
    grads = {"w": np.array([1e308, -1e308, 1e308]), "b": np.array([5e-324], dtype=float)}
    clipped = clip_by_norm(grads, np.inf)
    assert all(np.array_equal(clipped[k], v) and clipped[k] is not v for k, v in grads.items())


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("threshold", [1.0, np.inf])
def test_an_entry_that_is_no_number_is_refused_with_its_block(value, threshold):
    grads = {"fine": np.ones(3), "W_hh": np.array([[1.0, value]])}
    with pytest.raises(ArrayError, match=r"grads\['W_hh'\]: an entry is"):
        clip_by_norm(grads, threshold)


def test_a_gradient_at_the_threshold_is_kept():
    grads = {"w": np.array([3.0, 4.0])}
    assert np.array_equal(clip_by_norm(grads, 5.0)["w"], grads["w"])


def test_one_huge_and_one_tiny_block():
    clipped = clip_by_norm({"huge": np.array([3e200, 4e200]), "tiny": np.array([1e-200])}, 1e199)
    np.testing.assert_allclose(clipped["huge"], [6e198, 8e198], rtol=1e-15)
    np.testing.assert_allclose(clipped["tiny"], [2e-202], rtol=1e-15)


def test_the_largest_numbers_clip_to_the_threshold_although_their_norm_overflows():
    most = np.finfo(float).max
    clipped = clip_by_norm({"w": np.full(9, most)}, most)
    np.testing.assert_allclose(clipped["w"], most / 3, rtol=1e-15)


@pytest.mark.parametrize("threshold", [1e-200, 1.0])
def test_small_and_subnormal_gradients_are_left_alone(threshold):
    grads = {"w": np.array([1e-200, -2e-201]), "b": np.array([5e-324, -1e-310])}
    for name, array in clip_by_norm(grads, 2 * threshold).items():
        assert np.array_equal(array, grads[name])


def test_subnormal_gradients_are_clipped_to_rounding():
    grads = {"w": np.array([3e-310, 4e-310])}
    np.testing.assert_allclose(clip_by_norm(grads, 5e-311)["w"], [3e-311, 4e-311], rtol=0, atol=5e-324)


def test_float32_neither_overflows_nor_underflows():
    for scale in (1e38, 1e-35):  # the results are normal numbers
        grads = {"w": np.array([2.4, 3.2, 0.0], np.float32) * np.float32(scale / 2)}
        clipped = clip_by_norm(grads, 0.1 * scale)["w"]
        assert clipped.dtype == np.float32
        np.testing.assert_allclose(clipped.astype(float), np.array([0.06, 0.08, 0]) * scale, rtol=3e-7)


def test_empty_stays_empty():
    assert clip_by_norm({}, 1.0) == {}
    assert clip_by_norm({"e": np.zeros((0, 3))}, 1.0)["e"].shape == (0, 3)


@pytest.mark.parametrize(
    "array",
    [np.arange(3), np.array([True]), np.ones(2, complex), np.ones(2, np.float16), np.ones(2, np.longdouble),
     [1, 2], "text", None],
    ids=str,
)  # fmt: skip
def test_what_is_not_of_float32_or_float64_is_refused(array):
    with pytest.raises(ArrayError, match=r"grads\['w'\]: dtype="):
        clip_by_norm({"b": np.ones(2), "w": array}, 1.0)
