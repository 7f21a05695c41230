"""check_lipschitz: bounds that are too small are broken by a pair, right ones are nearly reached."""

import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify.errors import CheckFailedError, UsageError
from bptt_verify.verify import assert_lipschitz, check_lipschitz
from bptt_verify.verify.losses import RecurrenceLoss

RNG = np.random.default_rng(0)
SQUARE = RNG.normal(size=(6, 6))
POSITIVE = SQUARE @ SQUARE.T
AT = {"x": RNG.normal(size=6), "radius": 0.5}


def quadratic(x):
    return 0.5 * x @ POSITIVE @ x


def steepest_of_quadratic():
    """The largest ‖P x‖ on the ball, by fixed-point iteration from many starts."""
    best = 0.0
    for start in np.random.default_rng(1).normal(size=(20, 6)):
        offset = start
        for _ in range(2000):
            gradient = POSITIVE @ POSITIVE @ (AT["x"] + offset)
            offset = 0.5 * gradient / np.linalg.norm(gradient)
        best = max(best, float(np.linalg.norm(POSITIVE @ (AT["x"] + offset))))
    return best


def test_a_tight_bound_is_nearly_reached_and_a_smaller_one_broken():
    bound = steepest_of_quadratic()
    report = check_lipschitz(quadratic, bound, AT, rng=0)
    assert report.verdict == "verified", report
    assert report.evidence[0].how == "tested"
    assert report.evidence[0].numbers["tightness"] > 0.99
    report = check_lipschitz(quadratic, 0.98 * bound, AT, rng=0)
    assert report.verdict == "refuted"
    assert report.findings[0].found > report.findings[0].expected == 0.98 * bound


def test_the_norm_is_over_all_arrays():
    def loss(x, y):
        return np.abs(x).sum() + np.abs(y).sum()

    domain = {"x": np.full((2, 2), 0.1), "y": np.full(5, -0.2), "radius": 1.0}
    assert check_lipschitz(loss, 3.0, domain, rng=0).verdict == "verified"
    assert check_lipschitz(loss, 2.99, domain, rng=0).verdict == "refuted"


def test_only_the_ball_counts():
    assert check_lipschitz(lambda x: x[0] ** 2, 4.0, {"x": [1.0], "radius": 1}, rng=0).verdict == "verified"
    assert check_lipschitz(lambda x: x[0] ** 2, 3.9, {"x": [1.0], "radius": 1}, rng=0).verdict == "refuted"


@pytest.mark.parametrize("where", [0.3, -0.017, 0.9])
def test_a_jump_is_found(where):
    report = check_lipschitz(lambda x: float(x[0] > where), 1e4, {"x": np.zeros(3), "radius": 1.0}, rng=0)
    assert report.verdict == "refuted"


def test_a_pole_is_found():
    report = check_lipschitz(lambda x: 1 / x[0], 1e3, {"x": np.array([1.0]), "radius": 1.01}, rng=0)
    assert report.verdict == "refuted"
    assert (
        check_lipschitz(lambda x: 1 / x[0], 101.0, {"x": [1.0], "radius": 0.9}, rng=0).verdict == "verified"
    )


def test_a_loss_that_is_not_finite_somewhere_has_no_bound():
    report = check_lipschitz(lambda x: np.log(x[0]), 1e6, {"x": np.array([1.0, 0.0]), "radius": 1.5}, rng=0)
    assert "not finite at a point" in report.findings[0].what


def test_a_steep_valley_off_the_center_is_climbed():
    def loss(x):
        return np.exp(-8 * np.sum((x - 0.4) ** 2))

    exact = np.sqrt(16) * np.exp(-0.5)
    domain = {"x": np.zeros(4), "radius": 1.2}
    assert check_lipschitz(loss, exact, domain, rng=0).verdict == "verified"
    assert check_lipschitz(loss, 0.97 * exact, domain, rng=0).verdict == "refuted"


def test_rounding_is_no_violation_and_may_hide_one():
    domain = {"x": np.zeros(10), "radius": 1.0}
    shifted = check_lipschitz(lambda x: np.sum(x + 1e6) - 1e7, np.sqrt(10), domain, rng=0)
    assert shifted.verdict == "verified", shifted
    hidden = check_lipschitz(lambda x: 1e9 + np.sum(x), 1.0, {"x": np.zeros(10), "radius": 1e-6}, rng=0)
    assert hidden.verdict == "inconclusive"
    assert "rounding hides" in hidden.evidence[0].summary


def test_a_constant_has_the_bound_zero():
    assert check_lipschitz(lambda x: 3.0, 0, {"x": np.zeros(2), "radius": 1.0}, rng=0).verdict == "verified"
    assert check_lipschitz(lambda x: x[0], 0, {"x": np.zeros(2), "radius": 1.0}, rng=0).verdict == "refuted"


def test_many_numbers_with_little_effort():
    domain = {"x": np.zeros(1000), "radius": 1.0}
    report = check_lipschitz(lambda x: np.sum(x), 31.7, domain, rng=0, effort=20_000)
    assert report.verdict == "verified"
    assert report.evidence[0].numbers["tightness"] > 0.99
    assert report.evidence[0].numbers["evaluations"] < 20_100
    few = check_lipschitz(lambda x: np.sum(x), 31.7, domain, rng=0, effort=500)
    assert few.evidence[0].numbers["evaluations"] < 600


def test_the_loss_of_a_recurrence_takes_one_dict_and_a_bound_with_a_value():
    class Bound:
        value = 50.0

    rng = np.random.default_rng(2)
    shapes = {"x": (4, 2, 3), "y": (4, 2, 1), "W_hx": (4, 3), "W_hh": (4, 4), "W_qh": (1, 4)}
    arrays = {k: rng.normal(size=s) * 0.5 for k, s in shapes.items()}
    arrays |= {"h0": np.zeros((2, 4)), "weights": np.full((4, 2), 1 / 8)}
    whole = RecurrenceLoss(bv.cells.linear)
    params = {k: arrays[k] for k in bv.cells.linear.params}

    def loss(given):
        return whole({**arrays, **given})

    report = check_lipschitz(loss, Bound(), params | {"radius": 0.1}, rng=0, effort=1500)
    assert report.verdict == "verified", report
    _, grads = bv.generate(bv.cells.linear).loss_and_grad(**arrays)
    slope = np.sqrt(sum(np.sum(grads[k] ** 2) for k in params))
    assert report.evidence[0].numbers["largest quotient"] > slope
    report = check_lipschitz(loss, float(slope), params | {"radius": 0.1}, rng=0, effort=1500)
    assert report.verdict == "refuted"


def test_the_twin_raises_with_the_report():
    assert_lipschitz(quadratic, 1e3, AT, rng=0)
    with pytest.raises(CheckFailedError, match="times as far, and the bound is 1"):
        assert_lipschitz(quadratic, 1.0, AT, rng=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((quadratic, -1.0, AT), "bound=-1.0"),
        ((quadratic, np.inf, AT), "bound=inf"),
        ((quadratic, "1", AT), "bound='1'"),
        ((quadratic, 1.0, {"x": np.zeros(6)}), "expected a dict of arrays, the center"),
        ((quadratic, 1.0, {"radius": 1.0}), "expected a dict of arrays, the center"),
        ((quadratic, 1.0, {"x": np.zeros(6), "radius": 0}), "radius=0"),
        ((quadratic, 1.0, {"x": np.zeros(0), "radius": 1}), "no entries"),
        ((quadratic, 1.0, {"x": np.full(6, np.nan), "radius": 1}), "inf or NaN"),
        ((quadratic, 1.0, {"x": np.zeros(5), "radius": 1}), "failed at the center with ValueError"),
        ((lambda x: x, 1.0, {"x": np.zeros(5), "radius": 1}), "expected a finite real number"),
        ((3, 1.0, AT), "loss=3"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        check_lipschitz(*arguments)
