"""Reference derivatives and noise: they know when they do not know."""

from __future__ import annotations

import numpy as np
import pytest

from bptt_verify.check import (
    analytic,
    complex_gradient,
    difference_gradient,
    loss_noise,
    systematic,
    working_precision,
)
from bptt_verify.check.kinks import at_kink
from bptt_verify.check.noise import DOUBLE, HALF, SINGLE
from bptt_verify.check.observations import observe
from bptt_verify.check.reference import kinked
from bptt_verify.check.roughness import noise_level, roughness
from bptt_verify.check.slopes import remainder


def here(rng=None):
    rng = rng or np.random.default_rng(3)
    return {"a": rng.normal(size=(2, 3)), "b": rng.normal(size=3)}


def smooth(p):
    return np.sum(np.tanh(p["a"] @ p["b"])) + np.sum(p["a"] ** 3)


def exact(p):
    slope = 1 - np.tanh(p["a"] @ p["b"]) ** 2
    return {"a": np.outer(slope, p["b"]) + 3 * p["a"] ** 2, "b": slope @ p["a"]}


def test_complex_gradient_is_exact():
    p = here()
    for block, wanted in exact(p).items():
        np.testing.assert_allclose(complex_gradient(smooth, p, block), wanted, rtol=1e-14)


@pytest.mark.parametrize("factor", [1e-300, 1e-150, 1e100, 1e250])
def test_complex_gradient_neither_underflows_nor_overflows(factor):
    p = here()
    found = complex_gradient(lambda q: factor * smooth(q), p, "b")
    np.testing.assert_allclose(found, factor * exact(p)["b"], rtol=1e-12)


def test_difference_gradient_bounds_its_error():
    p = here()
    for block, wanted in exact(p).items():
        values, errors, trusted = difference_gradient(smooth, p, block, np.random.default_rng(0))
        assert trusted.mean() > 0.5
        assert np.all(np.abs(values - wanted)[trusted] <= 8 * errors[trusted] + 1e-12)


def into_real_buffer(p):
    buffer = np.zeros(3)
    buffer[:] = p["b"]
    return np.sum(buffer**2)


@pytest.mark.parametrize(
    ("loss", "answers"),
    [
        (smooth, {"a": "yes", "b": "yes"}),
        (lambda p: np.sum(np.abs(p["b"])) + np.sum(p["a"] ** 2), {"a": "yes", "b": "no"}),
        (lambda p: np.sum(np.real(p["b"]) ** 2) + np.sum(p["a"] ** 2), {"a": "yes", "b": "no"}),
        (lambda p: np.sum(p["b"].astype(np.complex64) ** 2) + np.sum(p["a"] ** 2), {"a": "yes", "b": "no"}),
        (lambda p: np.sum(p["a"] * np.conj(p["a"])), {"a": "no", "b": "unclear"}),
        (into_real_buffer, {"b": "no"}),
        (lambda p: float(np.sum(p["b"])), {"b": "no"}),
        (lambda p: np.sum(np.maximum(p["a"], 0) ** 2), {"a": "yes"}),
    ],
)
def test_analytic_is_found_out(loss, answers):
    for seed in range(4):
        told = analytic(loss, here(), tuple(answers), np.random.default_rng(seed))
        assert told == answers


def test_differences_of_a_loss_that_is_not_finite_are_not_trusted():
    values, errors, trusted = difference_gradient(
        lambda q: np.nan * smooth(q), here(), "b", np.random.default_rng(0)
    )
    assert not trusted.any() and np.all(errors == np.inf) and np.all(np.isnan(values))


def test_kink_is_seen():
    p = {"a": np.array([0.0, 1.0])}
    loss = lambda q: np.sum(np.maximum(q["a"], 0)) + np.sum(np.sin(q["a"]))  # noqa: E731
    assert kinked(loss, p, ("a", np.array([1.0, 0.0])), 1e-16, 1.0)
    assert not kinked(loss, p, ("a", np.array([0.0, 1.0])), 1e-16, 1.0)


def test_loss_noise_grows_with_the_loss():
    p, rng = here(), np.random.default_rng(0)
    assert loss_noise(smooth, p, DOUBLE, rng) < 1e-13
    assert 1e-12 < loss_noise(lambda q: 1e4 + smooth(q), p, DOUBLE, rng) < 1e-10


@pytest.mark.parametrize("sigma", [1e-12, 1e-8, 1e-4])
def test_the_rest_of_a_polynomial_tells_noise_from_curvature(sigma):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        t = rng.uniform(-1, 1, 11)
        seen = noise_level(t, np.sin(5e-3 * t) + 7 * (5e-3 * t) ** 2 + sigma * rng.normal(size=11))
        assert 0.3 * sigma < seen < 3 * sigma


def test_roughness_of_smooth_losses_is_their_rounding():
    p = here()
    for seed in range(5):
        rng = np.random.default_rng(seed)
        assert roughness(smooth, p, "a", rng) < 1e-13
        assert roughness(lambda q: 1e4 + smooth(q), p, "a", rng) < 1e-10


@pytest.mark.parametrize(("dtype", "low", "high"), [(np.float32, 1e-8, 1e-5), (np.float16, 1e-4, 1e-1)])
def test_roughness_sees_a_staircase_along_the_block_that_is_rounded(dtype, low, high):
    p = here()
    loss = lambda q: smooth({**q, "a": q["a"].astype(dtype).astype(float)})  # noqa: E731
    for seed in range(5):
        rng = np.random.default_rng(seed)
        assert loss_noise(loss, p, DOUBLE, rng) < 1e-13
        assert low < roughness(loss, p, "a", rng) < high
        assert roughness(loss, p, "b", rng) < 1e-13


def test_roughness_sees_an_accumulator_that_loses_a_small_block():
    p = here()
    lost = lambda q: float(np.float32(smooth(q) + 1e-12 * np.sum(q["c"]))) + np.pi  # noqa: E731
    p["c"] = np.ones(2)
    for seed in range(20):
        assert 1e-7 < roughness(lost, p, "c", np.random.default_rng(seed)) < 1e-5


def test_a_kink_is_no_roughness():
    p = {"a": np.array([0.0, 1.0])}
    assert roughness(lambda q: np.sum(np.abs(q["a"])), p, "a", np.random.default_rng(0)) < 1e-14


def test_kinks_are_seen_at_the_point_only():
    rng = np.random.default_rng(0)
    loss = lambda q: np.sum(np.maximum(q["a"], 0)) + np.sum(np.sin(q["b"]))  # noqa: E731
    b = rng.normal(size=3)
    for at, answer in (([0.0, 1.0], True), ([0.0, 0.0], True), ([1e-3, 1.0], False), ([2.0, -1.0], False)):
        assert at_kink(loss, {"a": np.array(at), "b": b}, ("a", "b"), rng) is answer
        assert not at_kink(loss, {"a": np.array(at), "b": b}, ("b",), rng)
    assert not any(at_kink(smooth, here(np.random.default_rng(s)), ("a", "b"), rng) for s in range(50))


def test_working_precision():
    x = np.random.default_rng(0).normal(size=5)
    assert working_precision([x]) == DOUBLE
    assert working_precision([x.astype(np.float32)]) == SINGLE
    assert working_precision([x.astype(np.float32).astype(float)]) == SINGLE
    assert working_precision([x.astype(np.float16), x]) == HALF
    assert working_precision([np.zeros(5)]) == DOUBLE


def test_systematic_errors_and_scatter():
    rng = np.random.default_rng(0)
    assert systematic(list(1e-9 * (1 + 0.03 * rng.normal(size=8))))
    assert not any(systematic(list(rng.normal(size=8))) for _ in range(1000))


@pytest.mark.parametrize(("error", "outcome"), [(0, "right"), (1e-5, "wrong"), (6e-3, "wrong"), (1, "wrong")])
def test_remainder_tells_small_errors(error, outcome):
    p = here()
    probe = "a", np.ones((2, 3))
    claimed = float(np.sum(exact(p)["a"])) * (1 + error)
    seen = remainder(smooth, p, probe, claimed, loss_noise(smooth, p, DOUBLE, np.random.default_rng(0)), 0.0)
    assert seen.outcome == outcome
    if error:
        assert seen.rate == pytest.approx(1, abs=0.3)


def test_remainder_does_not_judge_at_a_kink():
    loss = lambda q: np.sum(np.maximum(q["a"], 0)) + np.sum(q["a"] ** 2)  # noqa: E731
    seen = remainder(loss, {"a": np.zeros(1)}, ("a", np.ones(1)), 0.5, 1e-16, 0.0)
    assert seen.outcome == "unclear"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (lambda g: 0 * g, "all elements are zero"),
        (lambda g: -g, "every element has the wrong sign"),
        (lambda g: 6 * g, "every element is 6 (= T*B) times the right one"),
        (lambda g: g / 3, "every element is 0.333333 (= 1/T) times the right one"),
        (lambda g: g.T, "it is the transpose of the right gradient"),
        (lambda g: g + 1, ""),
    ],
)
def test_observations(found, words):
    g = np.random.default_rng(0).normal(size=(3, 3))
    assert observe(found(g).ravel(), g.ravel(), (3, 3), {"T": 3, "B": 2}) == words
