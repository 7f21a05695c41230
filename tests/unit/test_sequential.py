"""The sequential test of a mean: error rates, intervals, and what it must not decide."""

import numpy as np
import pytest

from bptt_verify.check.budgets import Goal, Target, pilot_size, planned
from bptt_verify.check.intervals import catoni
from bptt_verify.check.sequential import judge_means

GOAL = Goal(false_alarm=1e-3, smallest_bias=0.1, power=0.9, samples=30_000)


def judge(draw, mean, goal=GOAL, **known):
    mean = np.atleast_1d(np.asarray(mean, dtype=float))
    target = Target(mean, float(np.linalg.norm(mean)) or 1.0, **known)
    return judge_means(lambda n: {"b": draw(n)}, {"b": target}, goal)["b"]


def normal(rng, mean, size=0.5):
    return lambda n: mean + size * rng.normal(size=(n, len(mean)))


def recursion(rng, steps, pi=0.5, factor=0.9):
    def draw(n):
        z = np.ones((n, 1))
        for _ in range(steps - 1):
            z = 1 + (rng.random((n, 1)) < pi) / pi * factor * z
        return z

    return draw, sum(factor**k for k in range(steps))


def test_the_influence_function_lies_between_its_two_logarithms():
    x = np.linspace(-30, 30, 10_001)
    assert np.all(catoni(x) <= np.log1p(x + x**2 / 2) + 1e-14)
    assert np.all(catoni(x) >= -np.log1p(-x + x**2 / 2) - 1e-14)
    assert np.allclose(catoni(x), -catoni(-x))


@pytest.mark.parametrize("p", [0.5, 0.1, 1e-3, 1e-6])
@pytest.mark.parametrize("rate", [1e-3, 0.1, 1.0, 5.0])
def test_one_factor_of_an_e_process_has_mean_at_most_one(p, rate):
    """Exactly, for two values with mean 0 and the largest variance allowed."""
    high, low = np.sqrt((1 - p) / p), -np.sqrt(p / (1 - p))
    for sign in (1, -1):
        mean = p * np.exp(catoni(sign * rate * high)) + (1 - p) * np.exp(catoni(sign * rate * low))
        assert mean * np.exp(-(rate**2) / 2) <= 1 + 1e-12


@pytest.mark.parametrize("size", [1, 6])
@pytest.mark.parametrize("known", [{}, {"variance": True}, {"bound": True}])
def test_right_means_are_right_and_a_bias_of_the_declared_size_is_found(size, known):
    mean = np.linspace(1, 2, size)
    noise = 0.4 * np.linalg.norm(mean) / np.sqrt(size)
    known = {k: {"variance": noise**2 * size, "bound": 2 * noise * np.sqrt(size)}[k] for k in known}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        draw = lambda n, r=rng: mean + noise * r.choice([-1.0, 1.0], size=(n, size))  # noqa: E731
        result = judge(draw, mean, **known)
        assert (result.state, result.samples) == ("right", int(np.ceil(result.needed)))
        assert result.bias < 0.1 and result.at_least == 0
        shift = rng.normal(size=size)
        shift *= 0.1 * np.linalg.norm(mean) / np.linalg.norm(shift)
        found = judge(draw, mean - shift, **known)
        assert found.state == "wrong"
        assert 0 < found.at_least < 0.14


def test_each_further_sample_of_a_plan_adds_what_the_error_rates_need():
    target = Target(np.ones(1), 1.0)
    plan = planned(target, 2.0, GOAL, 1e-3)
    gain = plan.rates[0] * 0.1 - plan.rates[0] ** 2 * (2 * 2.0 + 0.1**2) / 2
    assert plan.testing * gain == pytest.approx(np.log(9 / 1e-3) + np.log(1 / 0.1))
    assert plan.total(0) == plan.testing
    wide = planned(Target(np.ones(4), 2.0), 2.0, GOAL, 1e-3)
    assert wide.starts[0] > wide.starts[1] > wide.starts[2] > 0


@pytest.mark.parametrize("steps", [20, 40])
def test_rare_large_values_are_never_a_reason_to_refute_nor_to_verify(steps):
    for seed in range(25):
        draw, mean = recursion(np.random.default_rng(seed), steps)
        result = judge(draw, mean, Goal(1e-2, 0.05, 0.9, 20_000))
        assert result.state == "open"
        assert "rare large values" in result.why


def test_a_declared_variance_copes_with_rare_large_values():
    for seed in range(20):
        draw, mean = recursion(np.random.default_rng(seed), 20)
        second, first = 1.0, 1.0
        for _ in range(19):
            second, first = 1 + 2 * 0.9 * first + 0.81 / 0.5 * second, 1 + 0.9 * first
        result = judge(draw, mean, Goal(1e-2, 0.05, 0.9, 20_000), variance=second - first**2)
        assert result.state == "open"
        assert result.needed > 20_000


def test_too_small_a_budget_is_never_right():
    for samples in (1, 10, 300, 3000):
        result = judge(
            normal(np.random.default_rng(0), np.ones(3)), np.ones(3), Goal(1e-6, 0.05, 0.9, samples)
        )
        assert (result.state, result.samples) == ("open", min(samples, result.samples))
        assert result.samples <= samples


def test_a_rare_value_that_was_not_seen_decides_nothing_in_a_small_budget():
    """Always the target, but for a value that has not come yet; with a bound, or without."""
    for known in ({}, {"bound": 100.0}):
        result = judge(lambda n: np.ones((n, 1)), 1.0, Goal(1e-6, 0.1, 0.9, 500), **known)
        assert result.state == "open", known


def test_false_alarms_and_coverage():
    """200 right means at a false-alarm rate of 1 %: 8 or more alarms would have probability 1e-3."""
    alarms = missed = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        draw = lambda n, r=rng: r.lognormal(0, 0.5, size=(n, 1))  # noqa: E731
        mean = np.exp(0.125)
        result = judge(draw, mean, Goal(1e-2, 0.2, 0.9, 4000), variance=np.exp(0.25) * np.expm1(0.25))
        alarms += result.state == "wrong"
        missed += not result.along[1] <= 0 <= result.along[2]
    assert alarms < 8
    assert missed < 20


def test_intervals_hold_the_bias():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        result = judge(normal(rng, 1.3 * np.ones(4)), np.ones(4))
        assert result.state == "wrong"
        assert result.at_least <= 0.3 <= result.at_most
        assert result.along[1] <= 0.3 <= result.along[2]


def test_what_never_varies_is_compared_to_rounding():
    mean = np.array([1.0, -2.0])
    for factor, state in ((1.0, "right"), (1 + 1e-9, "right"), (1.001, "wrong"), (-1.0, "wrong")):
        result = judge(lambda n, f=factor: np.tile(f * mean, (n, 1)), mean)
        assert (result.state, result.samples) == (state, pilot_size(GOAL))


def test_a_sample_that_is_not_finite_is_wrong():
    for value in (np.nan, np.inf):
        result = judge(lambda n, v=value: np.full((n, 2), v), np.ones(2))
        assert (result.state, result.why) == ("wrong", "it is not finite")


def test_a_declared_bound_that_is_exceeded_decides_nothing():
    rng = np.random.default_rng(0)
    result = judge(normal(rng, np.ones(1)), np.ones(1), bound=0.5)
    assert (result.state, result.why) == ("open", "the declared bound is exceeded")


def test_a_target_of_zero_is_judged_in_every_direction():
    rng = np.random.default_rng(0)
    assert judge(normal(rng, np.zeros(3), 0.3), np.zeros(3)).state == "right"
    assert judge(normal(rng, np.array([0.0, 0.2, 0.0]), 0.3), np.zeros(3)).state == "wrong"


def test_other_blocks_may_show_after_the_first_wrong_one():
    rng = np.random.default_rng(0)
    target = Target(np.ones(1), 1.0, variance=0.25)
    draws = {"a": 1.5, "b": 1.4, "c": 1.0}
    results = judge_means(
        lambda n: {k: v + 0.5 * rng.normal(size=(n, 1)) for k, v in draws.items()},
        dict.fromkeys(draws, target),
        GOAL,
    )
    assert [results[k].state for k in draws] == ["wrong", "wrong", "open"]
    assert results["c"].why == "another block was wrong before this one was decided"
