"""Plain losses at full strength: sizes that vary, masks, kinks, losses of few digits, losses that fail."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify.testing import gradient_test
from bptt_verify.verify.blurring import Blurring, blurring
from bptt_verify.verify.plainlosses import PlainLoss


def case(rng, steps=3, batch=2, d=2, n=3):
    return {
        "x": rng.normal(size=(steps, batch, d)),
        "y": rng.normal(size=(batch, n)),
        "W": 0.6 * rng.normal(size=(n, d)),
        "U": 0.6 * rng.normal(size=(n, n)),
        "b": 0.3 * rng.normal(size=n),
    }


def hidden(x, W, U, b, function=np.tanh):
    hs = [np.zeros((x.shape[1], len(b)))]
    for xt in x:
        hs.append(function(xt @ W.T + hs[-1] @ U.T + b))
    return hs


def last_loss(x, y, W, U, b):
    return 0.5 * np.sum((hidden(x, W, U, b)[-1] - y) ** 2)


def back(x, W, U, hs, slopes, lam):
    """The gradient from cotangents of all hidden states."""
    g = {"W": np.zeros_like(W), "U": np.zeros_like(U), "b": np.zeros(len(U)), "x": np.zeros_like(x)}
    later = np.zeros_like(hs[0])
    for t in reversed(range(len(x))):
        u = slopes[t] * (lam[t] + later)
        g["W"] += u.T @ x[t]
        g["U"] += u.T @ hs[t]
        g["b"] += u.sum(0)
        g["x"][t] = u @ W
        later = u @ U
    return g


def last_gradient(x, y, W, U, b, bug=None):
    hs = hidden(x, W, U, b)
    slopes = [1 - h**2 for h in hs[1:]]
    lam = np.zeros((len(x), *y.shape))
    lam[-1] = hs[-1] - y
    g = back(x, W, U, hs, slopes, lam) | {"y": y - hs[-1]}
    if bug:
        g[bug] = 1.01 * g[bug]
    return 0.5 * np.sum((hs[-1] - y) ** 2), g


# --- sizes that vary, masks, classes -----------------------------------------------------------------------


def varying(rng):
    return case(rng, *rng.integers(1, 5, size=2), *rng.integers(2, 4, size=2))


@pytest.mark.parametrize("real", [False, True])
def test_sizes_may_differ_from_draw_to_draw(real):
    loss = (lambda **a: float(last_loss(**a))) if real else last_loss
    assert bv.check_gradient(last_gradient, loss, inputs=varying, rng=1).verdict == "verified"
    wrong = partial(last_gradient, bug="U")
    report = bv.check_gradient(wrong, loss, inputs=varying, rng=1)
    assert report.verdict == "refuted"
    assert {f.block for f in report.findings} == {"U"}


def test_names_and_kinds_may_not_differ():
    def growing(rng):
        return {"a": np.ones(2)} | ({"c": np.ones(1)} if rng.random() < 0.5 else {})

    with pytest.raises(bv.UsageError, match="in some draws only"):
        for seed in range(9):
            loss = lambda a, c=0: np.sum(a**2)  # noqa: E731
            bv.check_gradient(lambda a, c=0: (np.sum(a**2), {"a": 2 * a}), loss, inputs=growing, rng=seed)


def test_integers_and_booleans_are_never_moved():
    inputs = {"a": np.array([0.3, -1.0, 2.0]), "k": np.array([2, 0]), "on": np.array([True, False, True])}
    seen = []

    def loss(a, k, on):
        seen.append((k.copy(), on.copy()))
        return np.sum(np.sin(a[k])) + np.sum(a[on] ** 2)

    def fn(a, k, on, factor=1):
        g = 2 * a * on
        np.add.at(g, k, factor * np.cos(a[k]))
        return loss(a, k, on), {"a": g}

    assert bv.check_gradient(fn, loss, inputs=inputs, rng=0).verdict == "verified"
    assert bv.check_gradient(partial(fn, factor=1.01), loss, inputs=inputs, rng=0).verdict == "refuted"
    assert all(np.array_equal(k, inputs["k"]) and np.array_equal(on, inputs["on"]) for k, on in seen)
    assert all(k.dtype == int and on.dtype == bool for k, on in seen)


# --- weights (T, B): steps, and sequences of different lengths ---------------------------------------------


def masked(rng, lengths=(4, 2)):
    steps = max(lengths)
    weights = (np.arange(steps)[:, None] < np.array(lengths)).astype(float)
    return case(rng, steps, len(lengths)) | {
        "y": rng.normal(size=(steps, len(lengths), 3)),
        "weights": weights,
    }


def weighted_loss(x, y, W, U, b, weights):
    hs = hidden(x, W, U, b)
    return 0.5 * np.sum(weights[:, :, None] * (np.array(hs[1:]) - y) ** 2)


def weighted(x, y, W, U, b, weights, bug=None):
    hs = hidden(x, W, U, b)
    errors = weights[:, :, None] * (np.array(hs[1:]) - y)
    slopes = [1 - h**2 for h in hs[1:]]
    counted = (np.array(hs[1:]) - y) if bug == "runs on" else errors
    g = back(x, W, U, hs, slopes, counted) | {"y": -errors}
    if bug == "third":
        third = np.where(np.arange(len(x))[:, None, None] == 2, 0.02 * errors, 0)
        g["b"] = g["b"] + third.sum((0, 1))
    return weighted_loss(x, y, W, U, b, weights), g


def test_weights_localise_the_step_and_are_no_block():
    report = bv.check_gradient(weighted, weighted_loss, inputs=masked, rng=0)
    assert report.verdict == "verified"
    assert any("no gradient of weights is provided" in n for n in report.notes)
    report = bv.check_gradient(partial(weighted, bug="third"), weighted_loss, inputs=masked, rng=0)
    assert report.verdict == "refuted"
    assert [(f.block, f.step) for f in report.findings] == [("b", 3)]


def test_a_gradient_of_the_weights_is_compared_where_it_is_provided():
    def fn(factor, **a):
        loss, g = weighted(**a)
        each = 0.5 * np.sum((np.array(hidden(a["x"], a["W"], a["U"], a["b"])[1:]) - a["y"]) ** 2, axis=2)
        return loss, g | {"weights": factor * each}

    assert bv.check_gradient(partial(fn, 1), weighted_loss, inputs=masked, rng=0).verdict == "verified"
    assert bv.check_gradient(partial(fn, 2), weighted_loss, inputs=masked, rng=0).verdict == "refuted"


def test_a_matrix_that_is_called_weights_is_a_block():
    def loss(x, weights):
        return np.sum(np.tanh(x @ weights))

    def fn(x, weights):
        s = 1 - np.tanh(x @ weights) ** 2
        return loss(x, weights), {"x": s @ weights.T}

    inputs = {"x": np.ones((3, 2)) / 3, "weights": np.array([[0.1, 0.7], [0.3, -0.2]])}
    report = bv.check_gradient(fn, loss, inputs=inputs, rng=0)
    assert report.notes == ("no gradient of weights is provided; not compared",)
    report = bv.check_gradient(fn, loss, inputs=inputs, rng=0, wrt=("weights",))
    assert report.verdict == "refuted"
    assert "no gradient of weights is returned" in report.findings[0].what
    assert "wrt=('weights',)" in report.script


def test_a_state_that_runs_on_past_the_end_is_refuted():
    report = bv.check_gradient(partial(weighted, bug="runs on"), weighted_loss, inputs=masked, rng=0)
    assert report.verdict == "refuted"
    assert {f.block for f in report.findings} >= {"W", "U", "b", "x"}


def test_weights_that_a_function_counts_are_not_taken_apart():
    """Lengths are the sums of the weights here: of one step alone they would be 1."""

    def loss(x, y, W, U, b, weights):
        return weighted_loss(x, y, W, U, b, weights)

    def fn(x, y, W, U, b, weights):
        lengths = weights.sum(0).astype(int)
        prefix = (np.arange(len(x))[:, None] < lengths).astype(float)
        return weighted(x, y, W, U, b, prefix)

    report = bv.check_gradient(fn, loss, inputs=lambda rng: masked(rng, (2, 5, 3)), rng=0)
    assert report.verdict == "verified"


def ending(x, y, W, U, b, lengths):
    hs = np.array(hidden(x, W, U, b))
    return 0.5 * np.sum((hs[lengths, np.arange(len(lengths))] - y) ** 2)


def ending_gradient(x, y, W, U, b, lengths, runs_on=False):
    hs = hidden(x, W, U, b)
    at = np.full_like(lengths, len(x)) if runs_on else lengths
    error = np.array(hs)[at, np.arange(len(at))] - y
    lam = np.zeros((len(x), *y.shape))
    lam[at - 1, np.arange(len(at))] = error
    g = back(x, W, U, hs, [1 - h**2 for h in hs[1:]], lam) | {"y": -error}
    return ending(x, y, W, U, b, lengths), g


def test_lengths_in_an_integer_array():
    inputs = case(np.random.default_rng(0), 4, 3) | {"lengths": np.array([4, 1, 2])}
    assert bv.check_gradient(ending_gradient, ending, inputs=inputs, rng=0).verdict == "verified"
    wrong = partial(ending_gradient, runs_on=True)
    assert bv.check_gradient(wrong, ending, inputs=inputs, rng=0).verdict == "refuted"


def test_masked_batches_of_a_recurrence():
    kernel = bv.generate(bv.cells.elman)
    rng = np.random.default_rng(0)
    sizes = {
        "x": (4, 3, 2),
        "y": (4, 3, 2),
        "W_hx": (3, 2),
        "W_hh": (3, 3),
        "b_h": (3,),
        "W_qh": (2, 3),
        "b_q": (2,),
    }
    inputs = {k: rng.normal(size=s) for k, s in sizes.items()}
    inputs["weights"] = (np.arange(4)[:, None] < np.array([4, 1, 2])) / 7

    def runs_on(weights, **arrays):
        loss, _ = kernel.loss_and_grad(**arrays, weights=weights)
        return loss, kernel.loss_and_grad(**arrays, weights=np.full_like(weights, 1 / 7))[1]

    report = bv.check_gradient(kernel.loss_and_grad, bv.cells.elman, inputs=inputs, rng=0)
    assert report.verdict == "verified"
    assert bv.check_gradient(runs_on, bv.cells.elman, inputs=inputs, rng=0).verdict == "refuted"


# --- stacked, bidirectional, attention ---------------------------------------------------------------------


def stacked(x, W, U, b, V, function=np.tanh):
    below = np.array(hidden(x, W, U, b, function)[1:])
    return np.sum(np.array(hidden(below, V, U, b, function)[1:]) ** 2)


def both_ways(x, W, U, b, V, function=np.tanh):
    ahead, behind = hidden(x, W, U, b, function)[1:], hidden(x[::-1], W, U, b, function)[1:]
    return np.sum((np.array(ahead) + np.array(behind[::-1]) @ V.T) ** 2)


def attention(x, W, U, b, V, function=np.tanh):
    keys = function(x @ W.T + b)
    scores = np.einsum("tbn,sbn->tsb", keys @ U.T, keys @ V.T)
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return np.sum(np.einsum("tsb,sbn->tbn", shares, keys) ** 2)


def complex_gradient(loss, inputs, block):
    """Element by element: the functions under test of the three losses below are made of it."""
    found = np.zeros_like(inputs[block])
    for i in np.ndindex(found.shape):
        moved = inputs[block].astype(complex)
        moved[i] += 1e-30j
        found[i] = np.imag(loss(**inputs | {block: moved})) / 1e-30
    return found


@pytest.mark.parametrize("loss", [stacked, both_ways, attention])
@pytest.mark.parametrize("real", [False, True])
def test_losses_of_other_architectures(loss, real):
    inputs = case(np.random.default_rng(2), 2, 2)
    inputs["V"] = 0.5 * np.random.default_rng(3).normal(size=(3, 3))
    del inputs["y"]
    reference = (lambda **a: loss(**{k: np.real(v) for k, v in a.items()})) if real else loss

    def fn(factor=1.0, **a):
        g = {k: complex_gradient(loss, a, k) for k in a}
        return loss(**a), g | {"U": factor * g["U"]}

    report = bv.check_gradient(fn, reference, inputs=inputs, rng=0)
    assert report.verdict == "verified"
    assert {e.name for e in report.evidence} >= {"finite differences" if real else "complex step"}
    assert bv.check_gradient(partial(fn, 1.001), reference, inputs=inputs, rng=0).verdict == "refuted"


A = np.array([0.7, -1.3, 2.1, -0.4])
NORM = np.sqrt(np.sum(A**2))
PLAIN = {
    "abs": (lambda a: np.sum(np.abs(a) * a**2), lambda a: 3 * a * np.abs(a), "finite differences"),
    "norm": (lambda a: np.linalg.norm(a), lambda a: a / np.linalg.norm(a), "finite differences"),
    "maximum": (lambda a: np.sum(np.maximum(a, 0) ** 3), lambda a: 3 * a**2 * (a > 0), "complex step"),
    "real": (lambda a: np.sum(np.real(a) ** 4), lambda a: 4 * a**3, "finite differences"),
    "conj": (lambda a: np.sum(np.real(a * np.conj(a))), lambda a: 2 * a, "finite differences"),
    "sign": (lambda a: np.sum(np.sign(a) * a**3), lambda a: 3 * a * np.abs(a), "finite differences"),
    "var": (lambda a: np.var(a), lambda a: 2 * (a - a.mean()) / a.size, "finite differences"),
    "max": (lambda a: np.max(a) ** 2, lambda a: 2 * a * (a == a.max()), "complex step"),
    "float": (lambda a: float(np.sum(a**3)), lambda a: 3 * a**2, "finite differences"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_complex_steps_only_where_they_are_valid(name):
    loss, slope, method = PLAIN[name]
    report = bv.check_gradient(lambda a: (loss(a), {"a": slope(a)}), loss, inputs={"a": A}, rng=0)
    assert report.verdict == "verified", str(report)
    assert method in {e.name for e in report.evidence}
    wrong = bv.check_gradient(lambda a: (loss(a), {"a": 1.001 * slope(a)}), loss, inputs={"a": A}, rng=0)
    assert wrong.verdict == "refuted", str(wrong)


# --- what a loss returns -----------------------------------------------------------------------------------


def squares(a):
    return np.sum(a**2)


def doubled(a, factor=1.0):
    return squares(a), {"a": 2 * factor * a}


@pytest.mark.parametrize("made", [np.float32, np.asarray, lambda v: np.asarray(v, np.float32), float])
def test_losses_of_other_types(made):
    loss = lambda a: made(np.real(squares(a)))  # noqa: E731
    assert bv.check_gradient(doubled, loss, inputs={"a": A}, rng=0).verdict == "verified"
    assert bv.check_gradient(partial(doubled, factor=1.01), loss, inputs={"a": A}, rng=0).verdict == "refuted"


def test_an_array_of_one_element_is_no_number():
    with pytest.raises(bv.UsageError, match=r"returned shape \(1,\)"):
        bv.check_gradient(doubled, lambda a: np.sum(a**2, keepdims=True), inputs={"a": A}, rng=0)


def sometimes(answer):
    def loss(a):
        return answer() if len(a) == 3 else squares(a)

    return loss


def fail():
    raise RuntimeError("of three")


@pytest.mark.parametrize(
    ("answer", "words"),
    [(fail, "fails there with RuntimeError: of three"), (lambda: np.nan, "is not finite there")],
)
def test_draws_on_which_the_loss_gives_no_number_are_skipped_and_noted(answer, words):
    def inputs(rng):
        return {"a": rng.normal(size=rng.integers(2, 5))}

    seed = next(
        s for s in range(99) if {len(inputs(r)["a"]) for r in [np.random.default_rng(s)] * 3} == {2, 3, 4}
    )
    report = bv.check_gradient(doubled, sometimes(answer), inputs=inputs, rng=seed)
    assert report.verdict == "verified"
    assert any(words in n for n in report.notes)
    wrong = bv.check_gradient(partial(doubled, factor=1.01), sometimes(answer), inputs=inputs, rng=seed)
    assert wrong.verdict == "refuted"


def test_a_loss_that_is_never_a_number_tells_nothing():
    report = bv.check_gradient(doubled, lambda a: np.nan * squares(a), inputs={"a": A}, rng=0)
    assert report.verdict == "inconclusive"


# --- kinks -------------------------------------------------------------------------------------------------


def relu_loss(x, y, W, U, b):
    return 0.5 * np.sum((hidden(x, W, U, b, lambda u: np.where(u > 0, u, 0))[-1] - y) ** 2)


def relu_gradient(x, y, W, U, b, at_zero=0.0, factor=1.0):
    hs = hidden(x, W, U, b, lambda u: np.where(u > 0, u, 0))
    us = [xt @ W.T + h @ U.T + b for xt, h in zip(x, hs, strict=False)]
    slopes = [np.where(u == 0, at_zero, u > 0) for u in us]
    lam = np.zeros((len(x), *y.shape))
    lam[-1] = hs[-1] - y
    g = back(x, W, U, hs, slopes, lam) | {"y": y - hs[-1]}
    return 0.5 * np.sum((hs[-1] - y) ** 2), g | {"W": factor * g["W"]}


def kinky(zeros):
    """Zero bias and state, and inputs with zeros: some units are at 0 exactly."""
    inputs = case(np.random.default_rng(4), 3, 2)
    inputs["b"] *= 0
    inputs["x"][zeros] = 0
    return inputs


@pytest.mark.parametrize("at_zero", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("zeros", [0, slice(None)])
def test_a_kink_is_left_whatever_the_convention_there(at_zero, real, zeros):
    loss = (lambda **a: float(relu_loss(**{k: np.real(v) for k, v in a.items()}))) if real else relu_loss
    right = partial(relu_gradient, at_zero=at_zero)
    report = bv.check_gradient(right, loss, inputs=kinky(zeros), rng=0)
    assert report.verdict == "verified", str(report)
    assert any("moved off a kink by 0.03" in n for n in report.notes)
    report = bv.check_gradient(partial(right, factor=1.01), loss, inputs=kinky(zeros), rng=0)
    assert report.verdict == "refuted", str(report)
    assert {f.block for f in report.findings} == {"W"}


KINKS = {
    "max": (lambda a: np.max(a) + np.sum(a**2), lambda a: (np.arange(3) == np.argmax(a)) + 2 * a, np.ones(3)),
    "abs": (lambda a: np.sum(np.abs(a)) + np.sum(a**2), lambda a: np.sign(a) + 2 * a, np.array([0.0, 1, -2])),
    "clip": (
        lambda a: np.sum(np.clip(a, -1, 1) ** 2),
        lambda a: 2 * a * (np.abs(a) <= 1),
        np.array([1.0, 0.5, -1.0]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KINKS)
def test_kinks_of_plain_functions(name):
    loss, slope, at = KINKS[name]
    report = bv.check_gradient(lambda a: (loss(a), {"a": slope(a)}), loss, inputs={"a": at}, rng=0)
    assert report.verdict == "verified", str(report)
    assert any("moved off a kink" in n for n in report.notes)
    wrong = bv.check_gradient(lambda a: (loss(a), {"a": 1.01 * slope(a)}), loss, inputs={"a": at}, rng=0)
    assert wrong.verdict == "refuted", str(wrong)


def test_a_gradient_that_is_right_on_one_side_only_is_refuted_and_that_is_said():
    loss = lambda a: np.abs(a[0]) + np.sum(a**2)  # noqa: E731
    one_sided = lambda a: (loss(a), {"a": 2 * a + np.array([1.0, 0.0])})  # noqa: E731
    report = bv.check_gradient(one_sided, loss, inputs={"a": np.array([0.0, 1.0])}, rng=0)
    assert report.verdict == "refuted"
    assert "right on one side of the kink only" in report.findings[0].what


def test_a_kink_that_cannot_be_left_is_said():
    def loss(a):  # near the end of where arccos is defined, and at a kink
        return np.abs(a[0]) + np.arccos(a[1])

    def fn(a):
        return loss(a), {"a": np.array([1.0, -1 / np.sqrt(1 - a[1] ** 2)])}

    report = bv.check_gradient(fn, loss, inputs={"a": np.array([0.0, 1 - 1e-4])}, rng=0)
    assert report.verdict == "inconclusive", str(report)
    assert any("do not leave" in n for n in report.notes)


def test_smooth_losses_are_not_moved():
    for seed in range(5):
        report = bv.check_gradient(last_gradient, last_loss, inputs=case, rng=seed)
        assert report.verdict == "verified"
        assert not any("kink" in n for n in report.notes)


def saturated_loss(W, b, x, y):
    return 0.5 * np.sum((np.tanh(x @ W.T + b) - y) ** 2)


def saturated_gradient(W, b, x, y):
    h = np.tanh(x @ W.T + b)
    da = (h - y) * (1 - h**2)
    return saturated_loss(W, b, x, y), {"W": da.T @ x, "b": da.sum(axis=0), "x": da @ W, "y": y - h}


@pytest.mark.parametrize("size", [1.0, 8.0, 30.0])
def test_saturated_units_of_a_plain_loss_do_not_refute_a_right_gradient_and_do_not_hide_a_wrong_one(size):
    def draw(rng):
        shapes = {"W": (3, 2), "b": (3,), "x": (4, 2), "y": (4, 3)}
        return {k: rng.normal(size=s) * (size if k == "x" else 1) for k, s in shapes.items()}

    def wrong(**given):
        loss, grads = saturated_gradient(**given)
        return loss, {**grads, "b": 1.001 * grads["b"]}

    for seed in range(6):
        report = bv.check_gradient(saturated_gradient, saturated_loss, inputs=draw, rng=seed)
        assert report.verdict == "verified", report
        report = bv.check_gradient(wrong, saturated_loss, inputs=draw, rng=seed)
        assert {f.block for f in report.findings} == {"b"}


def test_a_unit_that_is_saturated_to_its_last_digits_does_not_refute():
    arrays = {"W": np.full((1, 4), 2.0), "b": np.zeros(1), "x": np.full((1, 4), 2.0), "y": np.zeros((1, 1))}
    for seed in range(12):
        report = bv.check_gradient(saturated_gradient, saturated_loss, inputs=arrays, rng=seed)
        assert report.verdict != "refuted", report


def test_a_blurred_loss_is_the_same_up_to_its_slopes():
    rng = np.random.default_rng(0)
    arrays = {
        "W": rng.normal(size=(3, 2)),
        "b": rng.normal(size=3),
        "x": rng.normal(size=(4, 2)),
        "y": np.ones((4, 3)),
    }
    moved = {**arrays, "b": arrays["b"] + 1e-20j}
    known = PlainLoss(saturated_loss, arrays)
    exact, rough = known(moved), known.rough(1e-3, rng)(moved)
    assert np.real(rough) == np.real(exact)
    assert known.rough(1e-3, rng)(arrays) == known(arrays)  # nothing is blurred on real numbers
    assert 0 < abs(np.imag(rough) / np.imag(exact) - 1) < 0.1


def test_arrays_that_blur_go_through_numpy():
    rng = np.random.default_rng(0)
    a = blurring(rng.normal(size=(3, 4)) + 1e-20j, 1e-3, rng)
    b = np.concatenate([a, a])[1:] @ np.swapaxes(a, 0, 1)
    b += a[0, 0]
    assert isinstance(b, Blurring) and b.eps == 1e-3
    out = np.empty((3, 4), complex)
    assert np.tanh(a, out=out) is out
    assert isinstance(np.einsum("ij->i", a), Blurring) and isinstance(np.sum(a), np.complexfloating)


def given(rng):
    shapes = {"W": (3, 2), "b": (3,), "x": (4, 2), "y": (4, 3)}
    return {k: rng.normal(size=s) for k, s in shapes.items()}


def returning(names):
    """A right function that returns some gradients, under these names."""

    def fn(**arrays):
        loss, grads = saturated_gradient(**arrays)
        return loss, {theirs: grads[ours] for theirs, ours in names.items()}

    return fn


def test_without_wrt_what_is_returned_is_compared_and_the_rest_is_said():
    report = bv.check_gradient(returning({"W": "W", "b": "b"}), saturated_loss, inputs=given, rng=0)
    assert report.verdict == "verified"
    assert report.notes == tuple(f"no gradient of {k} is provided; not compared" for k in "xy")


def test_with_wrt_a_forgotten_gradient_refutes():
    fn = returning({"W": "W"})
    assert bv.check_gradient(fn, saturated_loss, inputs=given, rng=0, wrt=["W"]).verdict == "verified"
    report = bv.check_gradient(fn, saturated_loss, inputs=given, rng=0, wrt=["W", "b"])
    assert [f.what.partition(";")[0] for f in report.findings] == ["no gradient of b is returned"]
    with pytest.raises(bv.CheckFailedError, match="no gradient of b is returned"):
        bv.assert_gradient(fn, saturated_loss, inputs=given, rng=0, wrt=["b"])
    with pytest.raises(bv.CheckFailedError, match="no gradient of b is returned"):
        gradient_test(saturated_loss, inputs=given, wrt=["b"], max_examples=3)(fn)()
    assert bv.campaign(fn, saturated_loss, inputs=given, wrt=["b"], examples=2).verdict == "refuted"


def test_a_misspelt_key_and_no_gradient_at_all_are_refuted():
    near = {"weights_hh": "W", "b": "b"}

    def loss(weights_hx, b, x, y):
        return saturated_loss(weights_hx, b, x, y)

    def fn(weights_hx, b, x, y):
        value, grads = saturated_gradient(weights_hx, b, x, y)
        return value, {theirs: grads[ours] for theirs, ours in near.items()}

    def draw(rng):
        arrays = given(rng)
        return {"weights_hx": arrays.pop("W"), **arrays}

    report = bv.check_gradient(fn, loss, inputs=draw, rng=0)
    assert "is it the key 'weights_hh'?" in report.findings[0].what
    report = bv.check_gradient(returning({}), saturated_loss, inputs=given, rng=0)
    assert report.findings[0].what.startswith("no gradient of any of W, b, x, y is returned")


@pytest.mark.parametrize(
    ("wrt", "said"), [("W", "sequence of names"), ([], "sequence"), (["V"], "no real array")]
)
def test_what_wrt_cannot_be(wrt, said):
    with pytest.raises(bv.UsageError, match=said):
        bv.check_gradient(saturated_gradient, saturated_loss, inputs=given, wrt=wrt)


def test_of_a_recurrence_every_gradient_is_expected():
    fn = bv.generate(bv.cells.elman).loss_and_grad
    for check in (
        lambda: bv.check_gradient(fn, bv.cells.elman, wrt=["W_hh"]),
        lambda: bv.campaign(fn, bv.cells.elman, wrt=["W_hh"]),
        lambda: gradient_test(bv.cells.elman, wrt=["W_hh"]),
    ):
        with pytest.raises(bv.UsageError, match="with a recurrence; expected it with a loss function"):
            check()
