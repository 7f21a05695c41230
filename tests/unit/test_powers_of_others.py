"""``power`` for truncated gradients, and for plain loss functions."""

import campaigns_for_tests as functions
import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify.derivation import adjoint
from bptt_verify.estimators import kept
from bptt_verify.verify.mistakes import completed, evaluated
from bptt_verify.verify.patterns import claimed
from bptt_verify.verify.wrongtruncations import Truncated, of_truncation

REC = bv.cells.elman
SIZES = {"d": 2, "n": 3, "q": 2}
STEPS, BATCH = 8, 2


def given(steps=STEPS, batch=BATCH, seed=1):
    rng = np.random.default_rng(seed)
    shapes = {"x": (steps, batch, 2), "y": (steps, batch, 2), "W_hx": (3, 2), "W_hh": (3, 3), "b_h": (3,)}
    shapes |= {"W_qh": (2, 3), "b_q": (2,), "h0": (batch, 3)}
    return {k: rng.normal(size=s) * 0.6 for k, s in shapes.items()}


def exact(estimator, arrays, blocks=None):
    """A test that compares with the right numbers."""
    _, expected = bv.generate(REC, estimator=estimator).loss_and_grad(**arrays)

    def test(fn):
        loss, grads = fn(**arrays)
        right = bv.generate(REC).loss_and_grad(**arrays)[0]
        return abs(loss - right) < 1e-9 and all(
            np.allclose(grads[k], expected[k], rtol=1e-9, atol=1e-12) for k in blocks or expected
        )

    return test


@pytest.fixture(scope="module")
def made():
    """The parts behind ``power`` for a window, and arrays for them."""
    arrays = completed(REC, given())
    wrong = of_truncation(REC, bv.Window(3), [arrays])
    counted = next(m.gradient.args for m in wrong.wrong if m.name.startswith("equals"))
    return next(m for m in wrong.wrong).gradient.func.__self__, arrays, counted


def kernel_of(estimator, arrays):
    return bv.generate(REC, estimator=estimator).loss_and_grad(**given())[1]


@pytest.mark.parametrize("estimator", [bv.Full(), bv.Window(2), bv.Chunks(3, 3), bv.Chunks(2, 3)])
def test_another_truncation_has_the_numbers_of_its_kernel(made, estimator):
    truncated, arrays, _ = made
    _, found = truncated.counted(claimed(estimator), arrays)
    for name, g in kernel_of(estimator, arrays).items():
        assert np.allclose(found[name], g, rtol=1e-10, atol=1e-13), name


@pytest.mark.parametrize("estimator", [bv.Window(3), bv.Chunks(3, 3), bv.Chunks(2, 5)])
def test_the_runs_back_add_up_to_the_right_gradient(made, estimator):
    _, arrays, _ = made
    runs = Truncated(REC, estimator, None, None).runs(arrays)
    total = {k: np.zeros(np.shape(arrays[k])) for k in (*REC.params, "x", "h0")}
    for own, place in runs:
        _, grads = evaluated(adjoint(REC.program), own)
        for k, g in grads.items():
            if k == "x":
                total[k][place] += g
            elif k != "h0" or place.start == 0:
                total[k] += g
    for name, g in kernel_of(estimator, arrays).items():
        assert np.allclose(total[name], g, rtol=1e-10, atol=1e-13), name


def test_chunks_that_restart_are_chunks_by_themselves():
    arrays = completed(REC, given())
    known = of_truncation(REC, bv.Chunks(4, 4), [arrays])
    loss, grads = next(m for m in known.wrong if m.name == "state reset to zero").gradient(arrays)
    own = given()
    halves = []
    for k in (0, 4):
        part = own | {n: own[n][k : k + 4] for n in ("x", "y")}
        part |= {"h0": own["h0"] if k == 0 else np.zeros((BATCH, 3))}
        halves.append(bv.generate(REC).loss_and_grad(**part))
    assert np.isclose(loss, (halves[0][0] + halves[1][0]) / 2)
    assert np.allclose(grads["W_hh"], (halves[0][1]["W_hh"] + halves[1][1]["W_hh"]) / 2)
    assert np.allclose(grads["h0"], halves[0][1]["h0"] / 2)


@pytest.mark.parametrize("estimator", [bv.Window(3), bv.Chunks(2, 4), bv.Chunks(3, 3)])
def test_an_exact_test_on_telling_inputs_catches_everything(estimator):
    found = bv.power(exact(estimator, given(steps=11)), REC, estimator=estimator, rng=0)
    assert not found.rejects_right
    assert not found.missed
    assert set(found.equivalent) <= {"chunks differentiated apart"}, found.equivalent
    assert not found.invisible
    assert {"equals Full(): nothing is truncated", "is zero", "no dh0"} <= set(found.caught)
    assert {"missing transpose: W_hh in h_prev_bar", "state reset to zero"} <= set(found.caught)
    assert len(found.attempts) == len({a.name for a in found.attempts})


def test_the_wrong_truncations_of_a_window_are_tried():
    found = bv.power(exact(bv.Window(3), given(steps=11)), REC, estimator=bv.Window(3), rng=0)
    names = {a.name for a in found.attempts}
    assert {"equals Window(tau=2)", "equals Window(tau=4)", "equals Chunks(k1=3, k2=3)"} <= names
    assert any(n.startswith("counts losses more than once") for n in names)
    assert any(n.startswith("passes through no state") for n in names)


def test_inputs_that_are_too_short_hide_the_truncation():
    found = bv.power(exact(bv.Window(3), given(steps=3)), REC, estimator=bv.Window(3), rng=0)
    assert {"equals Full(): nothing is truncated", "equals Window(tau=4)"} <= set(found.invisible)
    assert "equals Window(tau=2)" in found.caught
    blind = bv.power(exact(bv.Window(3), given(), ["b_q"]), REC, estimator=bv.Window(3), rng=0)
    assert "equals Window(tau=2)" in blind.missed


def test_a_test_for_the_full_gradient_rejects_a_truncated_one():
    found = bv.power(exact(bv.Full(), given()), REC, estimator=bv.Window(3), rng=0)
    assert found.rejects_right


def test_inputs_that_are_too_large_are_named():
    arrays = given(steps=2000, batch=1)
    with pytest.raises(bv.UsageError, match=r"T=2000, with .* elements of parameters; expected fewer"):
        bv.power(lambda fn: bool(fn(**arrays)), REC, estimator=bv.Window(2), rng=0)
    assert kept(bv.Window(2), 3).sum() == 5


# ---- plain loss functions ----


def layer_test(blocks=None):
    arrays = functions.layer_inputs(np.random.default_rng(3)) | {"W": np.array([[1.0, 0.5], [0.2, -1.0]])}
    arrays |= {"x": np.array([[0.3, 1.0]] * 2), "y": np.array([[0.4, 0.1], [1.0, 0.0]])}

    def test(fn):
        _, grads = fn(**arrays)
        _, expected = functions.layer(**arrays)
        return all(np.allclose(grads[k], expected[k]) for k in blocks or expected)

    return test, arrays


@pytest.mark.parametrize("gradient", [None, functions.layer])
def test_an_exact_test_of_a_plain_loss_catches_everything(gradient):
    test, arrays = layer_test()
    found = bv.power(test, functions.layer_loss, inputs=arrays, gradient=gradient, rng=0)
    assert not found.rejects_right and not found.missed and not found.equivalent
    names = {"doubled", "negated", "W is zero", "x halved", "W transposed", "W for x", "one element of y"}
    assert names <= set(found.caught)
    assert str(found).startswith("layer_test.<locals>.test on the loss layer_loss: catches")


def test_a_weak_test_of_a_plain_loss_misses():
    test, arrays = layer_test(["W"])
    found = bv.power(test, functions.layer_loss, inputs=arrays, rng=0)
    assert {"x is zero", "one element of y"} <= set(found.missed)
    assert "W transposed" in found.caught


def test_steps_of_a_time_major_block():
    def square(x):
        return np.sum(x**2)

    def first_only(fn):
        _, grads = fn(**arrays)
        return np.allclose(grads["x"][0], 2 * arrays["x"][0])

    arrays = {"x": np.random.default_rng(0).normal(size=(4, 2, 3))}
    found = bv.power(first_only, square, inputs=arrays, rng=0)
    assert "first step of x only" in found.missed
    assert "last step of x only" in found.caught


def test_inputs_drawn_elsewhere_show_what_a_test_cannot_see():
    def no_square(fn):
        return np.allclose(fn(**plain)[1]["W"], functions.layer(**plain)[1]["W"])

    plain = {"W": np.eye(2), "x": np.zeros((2, 2)), "y": np.ones((2, 2))}
    telling = {"W": np.array([[1.0, 0.5], [0.2, -1.0]]), "x": np.ones((2, 2)), "y": np.zeros((2, 2))}
    found = bv.power(no_square, functions.layer_loss, inputs=lambda rng: telling, rng=0)
    assert {"W is zero", "W transposed"} <= set(found.invisible)


@pytest.mark.parametrize("tool", [{"rtol": 1e-4}, "scipy"])
def test_tools_and_tolerances(tool):
    _, arrays = layer_test()
    found = bv.power(tool, functions.layer_loss, inputs=arrays, rng=0)
    assert not found.rejects_right and not found.missed
    loose = {"rtol": 0.0, "atol": 9.0} if isinstance(tool, dict) else {"tool": "scipy", "bound": 9.0}
    assert "halved" in bv.power(loose, functions.layer_loss, inputs=arrays, rng=0).missed


def picked(x, classes):
    """The sum of the squares of some elements."""
    return 0.5 * np.sum(x[classes] ** 2)


def picked_gradient(x, classes):
    grad = np.zeros_like(x)
    np.add.at(grad, classes, x[classes])
    return picked(x, classes), {"x": grad}


@pytest.mark.parametrize("gradient", [None, picked_gradient])
def test_integers_are_sent_and_no_block(gradient):
    arrays = {"x": np.array([1.0, -2.0, 3.0]), "classes": np.array([0, 1, 1])}

    def test(fn):
        return np.allclose(fn(**arrays)[1]["x"], picked_gradient(**arrays)[1]["x"])

    found = bv.power(test, picked, inputs=arrays, gradient=gradient, rng=0)
    assert not found.rejects_right and not found.missed
    assert {a.name for a in found.attempts} == {
        "doubled",
        "halved",
        "negated",
        "x is zero",
        "one element of x",
    }


def rough(x):
    """Not analytic."""
    return float(np.sum(np.abs(np.real(x))))


def rough_and_sign(x):
    return rough(x), {"x": np.sign(x)}


def test_a_loss_that_is_not_analytic_needs_its_gradient():
    arrays = {"x": np.array([1.0, -2.0, 3.0])}

    def test(fn):
        return np.allclose(fn(**arrays)[1]["x"], np.sign(arrays["x"]))

    found = bv.power(test, rough, inputs=arrays, gradient=rough_and_sign, rng=0)
    assert not found.rejects_right and not found.missed
    with pytest.raises(bv.UsageError, match="the loss is not analytic in x; expected"):
        bv.power(test, rough, inputs=arrays, rng=0)


@pytest.mark.parametrize(
    ("arguments", "more", "message"),
    [
        (({}, REC), {"estimator": bv.Window(2)}, "a truncated gradient is not; expected a function"),
        (("torch", REC), {"estimator": bv.Chunks(2, 2)}, "a truncated gradient is not; expected a function"),
        (({}, REC), {"estimator": bv.Randomized(0.5)}, "expected Full(), Window(tau) or Chunks(k1, k2)"),
        (({}, REC), {"estimator": 3}, "estimator=3; expected an instance"),
        (({}, REC), {"gradient": functions.right}, "gradient= with a recurrence"),
        (({}, functions.layer_loss), {}, "inputs=None; expected a dict of arrays"),
        (({}, functions.layer_loss), {"estimator": bv.Window(2)}, "with a loss function"),
        (({}, functions.layer_loss), {"inputs": {"W": np.ones((2, 2))}}, "argument 'x' is required"),
    ],
)
def test_wrong_use_is_an_error_that_says_what_to_do(arguments, more, message):
    with pytest.raises(bv.UsageError) as caught:
        bv.power(*arguments, rng=0, **more)
    assert message in str(caught.value)


def test_mistakes_are_tried_in_the_gradients_that_the_right_function_returns():
    def loss(W, x, y):
        return 0.5 * np.sum((x @ W - y) ** 2)

    def right(W, x, y):
        return loss(W, x, y), {"W": x.T @ (x @ W - y)}

    arrays = {"W": np.ones((2, 2)), "x": np.arange(6.0).reshape(3, 2), "y": np.zeros((3, 2))}
    found = bv.power({"rtol": 1e-4, "atol": 1e-6, "eps": 1e-6}, loss, inputs=arrays, gradient=right, rng=0)
    assert not found.missed and {"W is zero", "W transposed"} <= set(found.caught)
    assert not any("x" in name for name in found.caught)
