"""``gradient_test``: what passes, what fails, and what a failure says."""

import unittest

import hypothesis
import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify.testing import GradientTestFailedError, gradient_test

LINEAR, ELMAN = bv.cells.linear, bv.cells.elman
linear, elman = bv.generate(LINEAR), bv.generate(ELMAN)
window = bv.generate(ELMAN, estimator=bv.Window(3))
calls = [0]


def doubled_late(**arrays):
    """Wrong for four steps or more, and two sequences or more."""
    loss, grads = linear.loss_and_grad(**arrays)
    T, B = arrays["x"].shape[:2]
    return loss, {k: 2 * g if T > 3 and B > 1 and k == "W_hh" else g for k, g in grads.items()}


def summed(x, y, W_hx, W_hh, W_qh):
    """Takes neither weights nor an initial state; sums over time and batch."""
    weights = np.ones(x.shape[:2])
    loss, grads = linear.loss_and_grad(x=x, y=y, W_hx=W_hx, W_hh=W_hh, W_qh=W_qh, weights=weights)
    return loss, {k: grads[k] for k in ("W_hx", "W_hh", "W_qh")}


def single(**arrays):
    """Computes in float32."""
    return elman.loss_and_grad(**{k: v.astype(np.float32) for k, v in arrays.items()})


def truncated(**arrays):
    """The gradient of a window."""
    return window.loss_and_grad(**arrays)


def slightly_off(**arrays):
    """One block is off by a ten-millionth."""
    loss, grads = linear.loss_and_grad(**arrays)
    return loss, grads | {"W_hx": grads["W_hx"] * (1 + 1e-7)}


def wrong_loss(**arrays):
    """The gradient is right."""
    loss, grads = linear.loss_and_grad(**arrays)
    return loss * (1 + 1e-6), grads


def forgets(**arrays):
    """One block is missing."""
    loss, grads = linear.loss_and_grad(**arrays)
    return loss, {k: g for k, g in grads.items() if k != "W_qh"}


def raises(**arrays):
    """Fails for more than one sequence."""
    if arrays["x"].shape[1] > 1:
        raise ValueError("one sequence only")
    return linear.loss_and_grad(**arrays)


def sometimes(**arrays):
    """Wrong in every fiftieth call."""
    calls[0] += 1
    loss, grads = linear.loss_and_grad(**arrays)
    return loss, {k: g * (1 + (calls[0] % 50 == 0)) for k, g in grads.items()}


@pytest.fixture
def undiagnosed(monkeypatch):
    """No likely causes: these take longer than all the rest."""
    for name in ("gradient_cause", "diagnosis"):
        monkeypatch.setattr(f"bptt_verify.testing.ofrecurrence.{name}", lambda *arguments: None)


@gradient_test(LINEAR, max_examples=20)
def test_as_a_decorator(**arrays):
    return linear.loss_and_grad(**arrays)


class TestInAClass:
    test_linear = gradient_test(LINEAR, max_examples=20)(linear.loss_and_grad)


class TestInATestCase(unittest.TestCase):
    test_linear = gradient_test(LINEAR, max_examples=20)(linear.loss_and_grad)


@pytest.mark.parametrize("name", ["elman", "elman_relu", "gru", "lstm", "elman_charlm"])
def test_right_gradients_of_the_catalogue_pass(name):
    rec = getattr(bv.cells, name)
    test = gradient_test(rec, max_examples=60)(bv.generate(rec).loss_and_grad)
    test()
    assert test.bptt.report.verdict == "verified" and test.bptt.told == 60


@pytest.mark.parametrize("mode", ["free", "teacher", "scheduled"])
def test_feedback(mode, undiagnosed):
    right = bv.generate(bv.cells.jordan, feedback=mode).loss_and_grad
    gradient_test(bv.cells.jordan, feedback=mode, max_examples=30)(right)()
    other = "free" if mode != "free" else "teacher"
    if mode != "scheduled":
        with pytest.raises(GradientTestFailedError, match=f"feedback='{other}'"):
            gradient_test(bv.cells.jordan, feedback=other, max_examples=30)(right)()


def test_other_conventions_pass():
    gradient_test(LINEAR, reduction="sum", max_examples=30)(summed)()
    gradient_test(ELMAN, max_examples=30)(single)()


@pytest.mark.parametrize("seed", range(3))
def test_the_smallest_example_is_found(seed, undiagnosed):
    test = gradient_test(LINEAR, settings=hypothesis.settings(database=None))(doubled_late)
    test.bptt.configure(seed, None)
    with pytest.raises(GradientTestFailedError) as caught:
        test()
    e = caught.value.example
    assert (e.T, e.B, set(e.sizes.values()), e.gain, e.weights) == (4, 2, {1}, 1.0, "mean")


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (slightly_off, "dL/dW_hx is wrong"),
        (wrong_loss, "the loss is wrong"),
        (forgets, "no gradient of W_qh is returned"),
        (raises, "ValueError: one sequence only"),
        (sometimes, "differs between two calls"),
        (summed, "expected"),
    ],
)
def test_wrong_functions_fail(fn, said, undiagnosed):
    with pytest.raises(bv.CheckFailedError) as caught:
        gradient_test(LINEAR, settings=hypothesis.settings(database=None))(fn)()
    assert str(caught.value).startswith(f"REFUTED: {fn.__qualname__} against the recurrence linear\n")
    assert said in str(caught.value)


def test_a_failure_says_where_why_and_how_to_reproduce_it(capsys):
    with pytest.raises(GradientTestFailedError) as caught:
        gradient_test(ELMAN, settings=hypothesis.settings(database=None))(truncated)()
    lines = str(caught.value).splitlines()
    assert lines[:2] == [
        "REFUTED: truncated against the recurrence elman",
        "  smallest found: T=4, B=1, d=1, q=1, n=1",
    ]
    assert lines[2].startswith("  where: dL/dW_hx is wrong") and "right for T=1 to 3" in lines[2]
    assert "  likely cause: it equals Window(tau=3)" in str(caught.value)
    script = caught.value.script
    assert script in "\n".join(line.removeprefix("    ") for line in lines)
    assert f"from {truncated.__module__} import truncated\n" in script
    exec(script, {})
    assert capsys.readouterr().out.startswith("REFUTED: truncated against the recurrence elman")


def test_a_known_mistake_is_named():
    with pytest.raises(GradientTestFailedError) as caught:
        gradient_test(LINEAR, settings=hypothesis.settings(database=None))(summed)()
    assert "the mean is missing" in str(caught.value)


def test_long_examples_are_reproduced_from_their_seed(undiagnosed):
    def wrong_at_nine(**arrays):
        loss, grads = linear.loss_and_grad(**arrays)
        T, B = arrays["x"].shape[:2]
        return loss, {k: g * (1 + (T > 8 and B > 2)) for k, g in grads.items()}

    with pytest.raises(GradientTestFailedError) as caught:
        gradient_test(LINEAR, settings=hypothesis.settings(database=None, max_examples=400))(wrong_at_nine)()
    script = caught.value.script
    assert "arrays = Example(T=9, B=3" in script and "call it fn" in script
    scope = {"fn": wrong_at_nine}
    exec(script.replace("print(", "report = ("), scope)
    assert scope["report"].verdict == "refuted"


def test_what_cannot_be_told_is_not_verified():
    @bv.recurrence
    def undefined(x=bv.Input("n"), y=bv.Target("n"), h=bv.State("n"), b=bv.Param("n")):
        h = bv.tanh(h + b * x)
        return bv.Step(h=h, loss=bv.squared_error(bv.log(-1 - h * h), y))

    with pytest.raises(bv.CheckFailedError, match=r"(?s)INCONCLUSIVE.*reference loss is not finite"):
        gradient_test(undefined, max_examples=5)(lambda **arrays: (0.0, {"b": arrays["b"]}))()


def test_two_tests_of_one_module_do_not_replay_each_other(undiagnosed):
    database = hypothesis.database.InMemoryExampleDatabase()
    settings = hypothesis.settings(database=database)
    for fn, T in ((doubled_late, 4), (slightly_off, 1)):
        with pytest.raises(GradientTestFailedError) as caught:
            gradient_test(LINEAR, settings=settings)(fn)()
        assert caught.value.example.T == T


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gradient_test("linear"), "against='linear'; expected a Recurrence"),
        (lambda: gradient_test(LINEAR, max_examples=0), "max_examples=0; expected"),
        (lambda: gradient_test(LINEAR, max_steps=1.5), "max_steps=1.5; expected"),
        (lambda: gradient_test(LINEAR, reduction=np.ones((2, 2))), "expected 'mean' or 'sum'"),
        (lambda: gradient_test(LINEAR, reduction="median")(summed), "expected 'mean', 'sum'"),
        (lambda: gradient_test(LINEAR, feedback="teacher"), "no Feedback is declared"),
        (lambda: gradient_test(LINEAR)(lambda x, y: None), "takes no argument 'W_hx'"),
        (lambda: gradient_test(LINEAR)(lambda self, **arrays: None), "'self' is required"),
        (lambda: gradient_test(LINEAR)(3), "fn=3; expected a function"),
    ],
)
def test_wrong_use_is_refused_when_the_test_is_made(make, message):
    with pytest.raises(bv.UsageError) as caught:
        make()
    assert message in str(caught.value)
