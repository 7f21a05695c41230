"""``gradient_test`` of truncated and of random gradients."""

import hypothesis
import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify.testing import GradientTestFailedError, gradient_test

LINEAR, ELMAN = bv.cells.linear, bv.cells.elman
HALF = bv.Randomized(0.5)
full = bv.generate(ELMAN).loss_and_grad
window = bv.generate(ELMAN, estimator=bv.Window(3)).loss_and_grad
random = bv.generate(ELMAN, estimator=HALF).loss_and_grad
alone = hypothesis.settings(database=None)
few = hypothesis.settings(database=None, max_examples=15)


def failure(fn, estimator, rec=ELMAN, **more):
    with pytest.raises(GradientTestFailedError) as caught:
        gradient_test(rec, estimator=estimator, settings=alone, **more)(fn)()
    return caught.value


def run(script, **scope):
    exec(script.replace("print(", "report = ("), scope)
    return scope["report"]


@pytest.fixture
def undiagnosed(monkeypatch):
    """No likely causes: these take longer than all the rest."""
    for name in ("truncation_cause", "outcome_cause"):
        monkeypatch.setattr(f"bptt_verify.testing.ofrecurrence.{name}", lambda *arguments: None)


@pytest.mark.parametrize("estimator", [bv.Window(3), bv.Chunks(2, 4), bv.Chunks(3, 3), bv.Full()])
def test_right_truncations_pass(estimator):
    test = gradient_test(ELMAN, estimator=estimator, settings=few)(
        bv.generate(ELMAN, estimator=estimator).loss_and_grad
    )
    test()
    report = test.bptt.report
    assert report.verdict == "verified"
    names = [e.name for e in report.evidence]
    assert names == ["drawn examples"] + ["reach"] * (estimator != bv.Full())


@pytest.mark.parametrize(
    ("fn", "estimator", "steps", "cause"),
    [
        (window, bv.Window(4), 4, "it equals Window(tau=3)"),
        (window, bv.Window(2), 3, "it equals Window(tau=3)"),
        (full, bv.Window(3), 4, "it equals Full()"),
        (window, bv.Chunks(3, 3), 4, "it equals Window(tau=3)"),
        (window, None, 4, "it equals Window(tau=3)"),
    ],
)
def test_another_truncation_fails_at_the_least_steps_that_show_it(fn, estimator, steps, cause):
    found = failure(fn, estimator)
    assert steps == found.example.T
    assert cause in str(found)
    kind = f"{estimator} of " * (estimator is not None)
    assert str(found).startswith(f"REFUTED: Kernel.loss_and_grad against {kind}the recurrence elman\n")


def test_an_ordinary_mistake_in_a_truncated_gradient_is_found(undiagnosed):
    def doubled(**arrays):
        loss, grads = window(**arrays)
        return loss, {k: 2 * g if k == "b_h" else g for k, g in grads.items()}

    found = failure(doubled, bv.Window(3))
    assert (found.example.T, found.example.B) == (1, 1)
    assert {f.block for f in found.report.findings} == {"b_h"}


def test_the_script_of_a_truncated_gradient_repeats_the_check(undiagnosed):
    found = failure(window, bv.Window(2))
    assert (
        "bv.check_truncated(fn, bv.cells.elman, inputs=arrays, rng=0, estimator=bv.Window(tau=2)"
        in found.script
    )
    assert run(found.script, fn=window).verdict == "refuted"


def test_a_truncation_that_no_example_shows_is_not_verified():
    @bv.recurrence
    def fading(x=bv.Input("n"), y=bv.Target("n"), h=bv.State("n"), b=bv.Param("n")):
        h = 1e-4 * h + b * x
        return bv.Step(h=h, loss=bv.squared_error(h, y))

    right = bv.generate(fading, estimator=bv.Window(5)).loss_and_grad
    with pytest.raises(bv.CheckFailedError, match=r"(?s)INCONCLUSIVE.*do not tell Window\(tau=5\)"):
        gradient_test(fading, estimator=bv.Window(5), settings=few)(right)()


def test_more_steps_are_drawn_than_a_truncation_reaches():
    test = gradient_test(LINEAR, estimator=bv.Window(10))(full)
    assert test.bptt.against.limits.steps == 22


@pytest.mark.parametrize(
    "estimator",
    [
        HALF,
        bv.Randomized(0.3, per_sequence=True),
        bv.Randomized((0.5, 1, 0.2)),
        bv.Randomized(bv.Geometric(1, 0.7, 0.2)),
    ],
)
def test_right_random_gradients_pass_at_each_outcome(estimator):
    kernel = bv.generate(ELMAN, estimator=estimator)
    test = gradient_test(ELMAN, estimator=estimator, settings=few)(kernel.loss_and_grad)
    test()
    assert test.bptt.report.verdict == "verified"
    drawn = test.bptt.agreed
    assert all(len(e.keep) == e.T * (e.B if estimator.per_sequence else 1) for e in drawn)
    assert {0, 1} <= {k for e in drawn for k in e.keep}


def with_keep(keep, **arrays):
    """Takes 0 and 1, applies 1/π itself, and returns no loss."""
    return random(**arrays, xi=keep / 0.5)[1]


def test_a_function_of_keep_without_a_loss_passes():
    gradient_test(ELMAN, estimator=HALF, settings=few)(with_keep)()


def forgetting(xi, **arrays):
    """1/π is forgotten."""
    return random(**arrays, xi=(xi > 0).astype(float))


def shifted(xi, **arrays):
    """The gates are off by one step."""
    return random(**arrays, xi=np.roll(xi, 1))


def ignoring(xi, **arrays):
    """The gates are not used."""
    return full(**arrays)


def other_loss(xi, **arrays):
    """The gradient is right."""
    loss, grads = random(**arrays, xi=xi)
    return 2 * loss, grads


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (forgetting, "1/π is forgotten"),
        (shifted, "the gates are off by one step"),
        (ignoring, "no known mistake"),
        (other_loss, "the loss is wrong"),
        (window, "the function failed with"),
    ],
)
def test_wrong_random_gradients_fail(fn, said):
    assert said in str(failure(fn, HALF))


def test_closed_gates_are_the_smallest(undiagnosed):
    def wrong_where_the_third_is_open(xi, **arrays):
        loss, grads = random(**arrays, xi=xi)
        return loss, {k: g * (2 if len(xi) > 2 and xi[2] else 1) for k, g in grads.items()}

    found = failure(wrong_where_the_third_is_open, HALF)
    assert (found.example.T, found.example.keep) == (3, (0, 0, 1))
    assert "T=3, B=1, d=1, q=1, n=1, keep=001" in str(found)


def test_the_script_of_a_random_gradient_repeats_the_check(undiagnosed):
    found = failure(forgetting, HALF)
    assert run(found.script).verdict == "refuted"


def sampling(rng, **arrays):
    """Draws its gates."""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gradient_test(ELMAN, estimator=HALF)(sampling), "is for check_unbiased"),
        (lambda: gradient_test(ELMAN, estimator=HALF)(lambda x, W_hx: None), "how it gets its randomness"),
        (lambda: gradient_test(ELMAN, estimator=bv.Randomized(1.0))(random), "every gate is open"),
        (lambda: gradient_test(ELMAN, estimator="window"), "estimator='window'; expected an instance"),
        (lambda: gradient_test(ELMAN, estimator=bv.Window), "expected an instance: Full()"),
        (
            lambda: gradient_test(ELMAN, estimator=bv.Window(5), max_steps=5),
            "max_steps=5 with estimator=Window(tau=5): nothing would be truncated; expected at least 6",
        ),
    ],
)
def test_wrong_use_is_refused_when_the_test_is_made(make, message):
    with pytest.raises(bv.UsageError) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize("estimator", [bv.Window(2), HALF])
def test_the_script_says_what_is_fed(estimator, undiagnosed):
    rec = bv.cells.jordan
    wrong = bv.generate(rec, estimator=estimator, feedback="scheduled").loss_and_grad

    def doubled(**arrays):
        loss, grads = wrong(**arrays)
        return loss, {k: 2 * g for k, g in grads.items()}

    found = failure(doubled, estimator, rec, feedback="scheduled")
    assert "bv.with_feedback(bv.cells.jordan, 'scheduled'), inputs=arrays" in found.script
    assert run(found.script, fn=doubled).verdict == "refuted"
