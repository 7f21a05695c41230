"""``gradient_test`` against a plain loss function: inputs drawn by a generator, or by a strategy."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

import bptt_verify as bv
from bptt_verify.testing import GradientTestFailedError, gradient_test

alone = hypothesis.settings(database=None, max_examples=30)


def loss(W, b, x, y):
    """A layer."""
    return 0.5 * np.sum((np.tanh(x @ W.T + b) - y) ** 2)


def layer(W, b, x, y):
    """Its gradient, by hand."""
    a = np.tanh(x @ W.T + b)
    e = (a - y) * (1 - a * a)
    return loss(W, b, x, y), {"W": e.T @ x, "b": e.sum(0), "x": e @ W, "y": y - a}


def transposed_where_square(**arrays):
    """Wrong for square matrices above one element only."""
    value, grads = layer(**arrays)
    n, m = arrays["W"].shape
    return value, grads | ({"W": grads["W"].T.copy()} if n == m else {})


def inputs(rng):
    """Sizes vary."""
    n, m, k = rng.integers(1, 5, 3)
    shapes = {"W": (n, m), "b": (n,), "x": (k, m), "y": (k, n)}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


@st.composite
def strategy(draw):
    n, m, k = (draw(st.integers(1, 4)) for _ in range(3))
    numbers = st.sampled_from((0.0, 0.5, -1.0, 2.0, 0.3))
    shapes = {"W": (n, m), "b": (n,), "x": (k, m), "y": (k, n)}
    return {name: draw(arrays_of.arrays(float, shape, elements=numbers)) for name, shape in shapes.items()}


@gradient_test(loss, inputs=inputs, max_examples=10)
def test_as_a_decorator(**arrays):
    return layer(**arrays)


@pytest.mark.parametrize("drawn", [inputs, strategy()])
def test_right_gradients_pass(drawn):
    test = gradient_test(loss, inputs=drawn, settings=alone)(layer)
    test()
    assert test.bptt.report.verdict == "verified"
    assert test.bptt.subject == "layer against the loss loss"
    assert test.bptt.counted.startswith("30 examples")


@pytest.mark.parametrize("drawn", [inputs, strategy()])
def test_a_failing_example_is_shrunk_as_far_as_can_be(drawn):
    """A strategy is shrunk by Hypothesis; of a generator the least is found that a thousand seeds draw."""
    with pytest.raises(GradientTestFailedError) as caught:
        gradient_test(loss, inputs=drawn, settings=hypothesis.settings(database=None))(
            transposed_where_square
        )()
    assert caught.value.example.given["W"].shape == (2, 2)
    assert caught.value.example.given["x"].shape[0] == 1
    text = str(caught.value)
    assert text.startswith("REFUTED: transposed_where_square against the loss loss\n  smallest found: W: (")
    assert "it is the transpose of the right gradient" in text
    assert "likely cause: the gradient of W is transposed" in text


def test_the_script_repeats_the_check():
    with pytest.raises(GradientTestFailedError) as caught:
        gradient_test(loss, inputs=inputs, settings=alone)(transposed_where_square)()
    script = caught.value.script
    assert "'W': np.array([[" in script
    scope = {}
    exec(script.replace("print(", "report = ("), scope)
    assert scope["report"].verdict == "refuted"


def test_large_inputs_are_made_again_from_their_seed(monkeypatch):
    def large(rng):
        return {k: v for k, v in inputs(rng).items()} | {"more": rng.normal(size=90)}

    def wrong(more, **arrays):
        value, grads = layer(**arrays)
        return value, grads | {"more": np.zeros(90), "b": 2 * grads["b"]}

    def flat(more, **arrays):
        return loss(**arrays)

    with pytest.raises(GradientTestFailedError) as caught:
        gradient_test(flat, inputs=large, settings=alone)(wrong)()
    script = caught.value.script
    assert "arrays = inputs(np.random.default_rng(" in script and "call it loss" in script
    scope = {"fn": wrong, "loss": flat, "inputs": large}
    exec(script.replace("print(", "report = ("), scope)
    assert scope["report"].verdict == "refuted"


def test_a_loss_that_is_not_analytic_is_compared_with_finite_differences():
    def absolute(x):
        return np.sum(np.abs(x) * (1 + np.real(x) ** 2))

    def slopes(x):
        return absolute(x), {"x": np.sign(x) * (1 + x * x) + np.abs(x) * 2 * x}

    def wrong(x):
        value, grads = slopes(x)
        return value, {"x": grads["x"] * 1.01}

    some = {"inputs": lambda rng: {"x": rng.uniform(0.5, 2, size=rng.integers(1, 6))}, "settings": alone}
    gradient_test(absolute, **some)(slopes)()
    with pytest.raises(GradientTestFailedError, match="dL/dx is wrong"):
        gradient_test(absolute, **some)(wrong)()


def picky(x):
    """Fails where the first number is negative."""
    if np.real(x[0]) < 0:
        raise ArithmeticError("negative")
    return 0.5 * np.sum(x * x)


def test_inputs_on_which_the_loss_fails_are_undecided():
    def mostly(rng):
        return {"x": rng.normal(size=3) + 0.7}

    test = gradient_test(picky, inputs=mostly, settings=alone)(lambda x: (picky(x), {"x": x.copy()}))
    test()
    assert 0 < test.bptt.untold < 15 and "negative" in test.bptt.report.evidence[0].summary
    with pytest.raises(GradientTestFailedError, match="dL/dx is wrong"):
        gradient_test(picky, inputs=mostly, settings=alone)(lambda x: (picky(x), {"x": 2 * x}))()
    never = arrays_of.arrays(float, 3, elements=st.just(-1.0)).map(lambda x: {"x": x})
    with pytest.raises(bv.CheckFailedError, match=r"(?s)INCONCLUSIVE.*ArithmeticError: negative"):
        gradient_test(picky, inputs=never, settings=alone)(lambda x: (0.0, {"x": x}))()


def test_blocks_of_more_elements_than_are_compared_one_by_one():
    def square(x):
        return 0.5 * np.sum(x * x)

    def wrong(x):
        return square(x), {"x": 1.5 * x}

    few = {"inputs": lambda rng: {"x": rng.normal(size=700)}, "max_examples": 2}
    gradient_test(square, **few)(lambda x: (square(x), {"x": x.copy()}))()
    with pytest.raises(GradientTestFailedError, match="dL/dx is wrong"):
        gradient_test(square, **few)(wrong)()


def of(**more):
    return lambda: gradient_test(loss, **more)(layer)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (of(), "inputs=None; expected a function of a numpy Generator"),
        (of(inputs={"W": np.ones(2)}), "expected a function of a numpy Generator"),
        (of(inputs=inputs, estimator=bv.Window(2)), "estimator=Window(tau=2) with a loss function"),
        (of(inputs=inputs, feedback="free"), "feedback='free' with a loss function"),
        (of(inputs=inputs, reduction="sum"), "reduction='sum' with a loss function"),
        (of(inputs=inputs, max_steps=3), "max_steps=3 with a loss function"),
        (of(inputs=lambda rng: 3), "inputs=3; expected a non-empty dict"),
        (of(inputs=lambda rng: inputs(rng) | {"x": np.ones(9)}), "the loss loss failed on the inputs"),
        (of(inputs=lambda rng: 1 / 0), "ZeroDivisionError"),
        (of(inputs=lambda rng: {"W": np.ones(2)}), "the argument 'b' is required"),
        (lambda: gradient_test(bv.cells.linear, inputs=inputs), "inputs= with a recurrence"),
    ],
)
def test_wrong_use_is_refused_when_the_test_is_made(make, message):
    with pytest.raises(bv.UsageError) as caught:
        make()
    assert message in str(caught.value)


def test_a_strategy_of_something_else_is_refused_when_it_is_drawn():
    with pytest.raises(bv.UsageError, match="expected a non-empty dict"):
        gradient_test(loss, inputs=st.integers(), max_examples=1)(layer)()
