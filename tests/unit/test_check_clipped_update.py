"""check_clipped_update: right steps stay below the bound, wrong ones are refuted and named."""

from types import SimpleNamespace

import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify.analysis import lipschitz_bound
from bptt_verify.check.cliprules import rule_of
from bptt_verify.codegen import generate_update
from bptt_verify.errors import CheckFailedError, UsageError
from bptt_verify.kernels.updates import clip_by_norm, clipped_update
from bptt_verify.verify import assert_clipped_update, attacks, check_clipped_update

ETA_THETA = {"step_size": 0.1, "threshold": 1.0}


def own(grads, params):
    return {k: grads[k] for k in params}


def moved(params, step):
    return {k: w + step[k] for k, w in params.items()}


def times(grads, factor):
    return {k: factor * g for k, g in grads.items()}


def elman(fn, **options):
    return check_clipped_update(fn, bv.cells.elman, **ETA_THETA, rng=0, **options)


def evidence(report, name):
    return next(e for e in report.evidence if e.name == name)


def in_place(params, grads, step_size, threshold):
    clipped_update(params, grads, step_size=step_size, threshold=threshold, inplace=True)


def replaced(params, grads, *, step_size, threshold):
    clipped = clip_by_norm(own(grads, params), threshold)
    for k in params:
        params[k] = params[k] - step_size * clipped[k]


def with_more_arguments(params, grads, step_size=0.1, threshold=1.0, verbose=False, **rest):
    clipped = clip_by_norm(own(grads, params), threshold)
    return moved(params, times(clipped, -step_size))


@pytest.mark.parametrize("fn", [clipped_update, in_place, replaced, with_more_arguments])
def test_a_right_update_is_verified_in_any_style(fn):
    report = elman(fn, convention="exact")
    assert report.verdict == "verified", report
    bound = evidence(report, "bound")
    assert bound.how == "tested"
    assert 0.05 < bound.numbers["tightness"] <= 1
    assert bound.numbers["steps"] == 5 * (12 + 2 * 10)  # also from parameters that were moved


@pytest.mark.parametrize("cell", ["linear", "gru", "lstm"])
def test_the_bound_is_never_broken_on_other_cells(cell):
    report = check_clipped_update(
        clipped_update, getattr(bv.cells, cell), step_size=0.02, threshold=3.0, rng=1
    )
    assert report.verdict == "verified", report


@pytest.mark.parametrize("convention", ["torch", "per_parameter", "per_element"])
def test_other_conventions_are_named_with_their_own_bounds(convention):
    update = generate_update(convention=convention).clipped_update
    report = elman(update)
    assert report.verdict == "verified", report
    assert f"({convention})" in evidence(report, "update").summary
    report = elman(update, convention="exact")
    assert report.verdict == "refuted"
    assert f"({convention})" in report.diagnosis


WRONG = {
    "it misses η": lambda p, g, s, t: moved(p, times(clip_by_norm(own(g, p), t), -1.0)),
    "it climbs": lambda p, g, s, t: moved(p, times(clip_by_norm(own(g, p), t), s)),
    "it counts all entries of grads": lambda p, g, s, t: moved(p, times(clip_by_norm(g, t), -s)),
    "it clips the step η g": lambda p, g, s, t: moved(p, times(clip_by_norm(times(own(g, p), s), t), -1.0)),
    "does not clip at all": lambda p, g, s, t: moved(p, times(own(g, p), -s)),
    "it squares η": lambda p, g, s, t: moved(p, times(clip_by_norm(own(g, p), t), -s * s)),
    "it swaps step size and threshold": lambda p, g, s, t: moved(p, times(clip_by_norm(own(g, p), s), -t)),
    "it clips the new parameters": lambda p, g, s, t: clip_by_norm(moved(p, times(own(g, p), -s)), t),
    "it returns the step": lambda p, g, s, t: times(clip_by_norm(own(g, p), t), -s),
    "it returns the parameters as they are": lambda p, g, s, t: dict(p),
    "also shrinks": lambda p, g, s, t: moved(times(p, 1 - s), times(clip_by_norm(own(g, p), t), -s)),
    "max instead of min": lambda p, g, s, t: moved(
        p, times(own(g, p), -s * max(1.0, t / np.sqrt(sum(np.sum(g[k] ** 2) for k in p))))
    ),
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_update_is_refuted_and_named(words):
    def fn(params, grads, step_size, threshold):
        return WRONG[words](params, grads, step_size, threshold)

    report = check_clipped_update(fn, bv.cells.linear, **ETA_THETA, rng=0)
    assert report.verdict == "refuted", report
    assert words in report.diagnosis
    assert evidence(report, "update").findings[0].found != evidence(report, "update").findings[0].expected


def test_a_missing_step_size_breaks_the_bound():
    def fn(params, grads, step_size, threshold):
        return moved(params, times(clip_by_norm(own(grads, params), threshold), -1.0))

    broken = evidence(elman(fn), "bound")
    assert broken.verdict == "refuted"
    assert broken.findings[0].found > broken.findings[0].expected


def test_a_corner_of_the_clip_is_found_through_the_update():
    def fn(params, grads, step_size, threshold):
        used = own(grads, params)
        n = np.sqrt(sum(np.sum(g**2) for g in used.values()))
        return moved(params, times(used, -step_size * min(1.0, threshold / n) if n else 0.0))

    report = elman(fn)
    assert report.verdict == "refuted"
    assert "entries of 1e200" in report.diagnosis


def example():
    rng = np.random.default_rng(4)
    shapes = {"x": (6, 2, 3), "y": (6, 2, 2), "W_hx": (4, 3), "W_hh": (4, 4), "b_h": (4,), "W_qh": (2, 4)}
    return {k: rng.normal(size=s) * 0.5 for k, s in shapes.items()} | {"b_q": np.zeros(2)}


def test_a_given_bound_is_tried_at_the_given_inputs():
    arrays = example()
    bound = lipschitz_bound(bv.cells.elman, 0.1, **arrays)
    report = elman(clipped_update, inputs=arrays, bound=bound)
    assert report.verdict == "verified", report
    tightness = evidence(report, "bound").numbers["tightness"]
    assert elman(clipped_update, inputs=arrays, bound=1.01 * bound.value * tightness).verdict == "verified"
    report = elman(clipped_update, inputs=arrays, bound=0.9 * bound.value * tightness)
    assert report.verdict == "refuted"
    assert "the loss changes by" in report.findings[0].what


def test_inputs_may_be_drawn_by_the_caller():
    report = elman(clipped_update, inputs=lambda rng: example() | {"x": rng.normal(size=(6, 2, 3))})
    assert report.verdict == "verified", report
    assert evidence(report, "bound").numbers["steps"] == 3 * 12


@bv.recurrence
def parabola(
    x=bv.Input("d"), y=bv.Target("q"), h=bv.State("q"), A=bv.Param("q d"),
):  # fmt: skip
    o = A @ x
    h = h / 2
    return bv.Step(h=h, output=o, loss=bv.squared_error(o, y))


def test_a_bound_that_holds_at_the_centre_only_is_broken_elsewhere_in_the_ball():
    """At the minimum of ½ A² a step of 0.1 changes it by 0.05 per length, one from 0.1 to 0.05 by 0.075."""
    one = {"x": np.ones((1, 1, 1)), "y": np.zeros((1, 1, 1)), "A": np.zeros((1, 1))}
    for bound, verdict in ((0.06, "refuted"), (0.1, "verified")):
        report = check_clipped_update(clipped_update, parabola, **ETA_THETA, inputs=one, bound=bound, rng=0)
        assert evidence(report, "bound").verdict == verdict
        assert evidence(report, "bound").numbers["tightness"] * bound == pytest.approx(0.075, rel=0.01)
    at_the_centre = next(o for o in _from_centre(one) if "random" in o.name)
    assert at_the_centre.change / at_the_centre.allowed <= 0.05 / 0.06 + 1e-9


def _from_centre(arrays):
    attack = attacks.Attack(clipped_update_of, bv.generate(parabola), *ETA_THETA.values(), rule_of("exact"))
    return attacks._from_here(attack, attacks.Point("centre", arrays), 0.06, np.random.default_rng(0))


def clipped_update_of(params, grads, step_size, threshold):
    return clipped_update(params, grads, step_size=step_size, threshold=threshold)


def test_a_bound_that_does_not_see_the_parameters_is_broken_by_moving_them(monkeypatch):
    true, seen = attacks.lipschitz_bound, []

    def at_drawn_points(rec, radius, **arrays):
        seen.append(true(rec, radius, **arrays).value)
        return SimpleNamespace(value=seen[-1] if len(seen) % 3 == 1 else seen[-1 - (len(seen) - 1) % 3])

    monkeypatch.setattr(attacks, "lipschitz_bound", at_drawn_points)
    report = check_clipped_update(clipped_update, bv.cells.linear, **ETA_THETA, rng=0)
    bound = evidence(report, "bound")
    assert bound.verdict == "refuted"
    assert all("parameters moved" in f.case for f in bound.findings)


def test_a_failing_update_is_refuted():
    report = elman(lambda params, grads, step_size, threshold: 1 / 0)
    assert report.verdict == "refuted"
    assert "ZeroDivisionError" in report.findings[0].what


def test_the_twin_raises_with_the_report():
    assert_clipped_update(clipped_update, bv.cells.linear, **ETA_THETA, rng=0)
    with pytest.raises(CheckFailedError, match="REFUTED"):
        assert_clipped_update(
            lambda params, grads, step_size, threshold: moved(params, times(own(grads, params), -1e-3)),
            bv.cells.linear,
            **ETA_THETA,
            rng=0,
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fn": None}, "fn=None"),
        ({"fn": lambda params, grads: params}, r"fn\(params, grads, step_size=, threshold=\)"),
        ({"rec": 3}, "rec=3"),
        ({"step_size": 0}, "step_size=0"),
        ({"threshold": np.inf}, "threshold=inf"),
        ({"convention": "global"}, "convention='global'"),
        ({"bound": 1.0}, "inputs=None with a bound"),
        ({"bound": np.inf}, "bound=inf"),
        ({"inputs": 3}, "inputs=3"),
        ({"inputs": example(), "bound": SimpleNamespace(value=1.0, radius=0.01)}, "bound.radius=0.01"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    arguments = {"fn": clipped_update, "rec": bv.cells.elman, **ETA_THETA} | changes
    with pytest.raises(UsageError, match=message):
        check_clipped_update(arguments.pop("fn"), arguments.pop("rec"), **arguments)


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (lambda g: clip_by_norm(g, 0.01), "clipped to the global norm 0.01"),
        (lambda g: generate_update(convention="per_element").clip(g, 0.01), "clipped to ±0.01"),
    ],
)
def test_a_gradient_clipped_before_it_is_returned_is_named(clip, words):
    kernel = bv.generate(bv.cells.elman)

    def fn(**arrays):
        loss, grads = kernel.loss_and_grad(**arrays)
        return loss, clip(grads)

    report = bv.check_gradient(fn, bv.cells.elman, rng=0)
    assert report.verdict == "refuted"
    assert words in report.diagnosis
