"""The public checks: what they accept, refuse, send, and say."""

import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify import cells

KERNEL = bv.generate(cells.elman)
NAMES = ("x", "y", "W_hx", "W_hh", "b_h", "W_qh", "b_q")


def sums(x, y, W_hx, W_hh, b_h, W_qh, b_q):
    """A right function that sums over time and batch and starts from a zero state."""
    arrays = dict(zip(NAMES, (x, y, W_hx, W_hh, b_h, W_qh, b_q), strict=True))
    loss, grads = KERNEL.loss_and_grad(**arrays, weights=np.ones(x.shape[:2]))
    return loss, {k: grads[k] for k in ("W_hx", "W_hh", "b_h", "W_qh", "b_q")}


def test_the_kernel_is_verified_against_its_recurrence():
    report = bv.check_gradient(KERNEL.loss_and_grad, cells.elman, rng=0)
    assert report.verdict == "verified"
    assert report.findings == ()
    assert report.seed == 0


def test_a_function_without_weights_and_state_is_sent_neither_and_the_report_says_so():
    report = bv.check_gradient(sums, cells.elman, rng=0, reduction="sum")
    assert report.verdict == "verified"
    assert any("h0 is not an argument" in n for n in report.notes)
    assert any("reduction='sum'" in n for n in report.notes)


def test_the_wrong_reduction_is_refuted_and_named():
    report = bv.check_gradient(sums, cells.elman, rng=0)
    assert report.verdict == "refuted"
    assert "mean is missing" in report.diagnosis


def test_an_array_of_weights_as_reduction():
    def halves(x, y, W_hx, W_hh, b_h, W_qh, b_q):
        loss, grads = sums(x, y, W_hx, W_hh, b_h, W_qh, b_q)
        return loss / 2, {k: g / 2 for k, g in grads.items()}

    assert bv.check_gradient(halves, cells.elman, rng=0, reduction=np.array(0.5)).verdict == "verified"


def test_given_inputs_replace_the_drawn_ones():
    seen = []

    def fn(**arrays):
        seen.append(arrays["x"].shape)
        return KERNEL.loss_and_grad(**arrays)

    def inputs(rng):
        sizes = {
            "x": (4, 2, 3),
            "y": (4, 2, 2),
            "W_hx": (5, 3),
            "W_hh": (5, 5),
            "b_h": (5,),
            "W_qh": (2, 5),
            "b_q": (2,),
        }
        return {k: rng.normal(size=s) for k, s in sizes.items()}

    assert bv.check_gradient(fn, cells.elman, inputs=inputs, rng=0).verdict == "verified"
    assert set(seen) == {(4, 2, 3)}
    assert (
        bv.check_gradient(fn, cells.elman, inputs=inputs(np.random.default_rng(0)), rng=0).verdict
        == "verified"
    )


def test_elementwise_and_norm_clipping_are_diagnosed_with_their_threshold():
    def elementwise(**arrays):
        loss, grads = KERNEL.loss_and_grad(**arrays)
        return loss, {k: np.clip(g, -0.01, 0.01) for k, g in grads.items()}

    def by_norm(**arrays):
        loss, grads = KERNEL.loss_and_grad(**arrays)
        norm = np.sqrt(sum(np.sum(g**2) for g in grads.values()))
        return loss, {k: g * min(1.0, 0.02 / norm) for k, g in grads.items()}

    for fn, words in ((elementwise, "±0.01 element by element"), (by_norm, "global norm 0.02")):
        report = bv.check_gradient(fn, cells.elman, rng=0)
        assert report.verdict == "refuted"
        assert words in report.diagnosis


def test_a_plain_loss_function_needs_inputs_and_is_checked():
    def loss(a, b):
        return np.sum(np.sin(a) * b)

    def right(a, b):
        return loss(a, b), {"a": np.cos(a) * b, "b": np.sin(a)}

    def wrong(a, b):
        return loss(a, b), {"a": np.cos(a) * b, "b": np.cos(a)}

    inputs = {"a": np.linspace(0.1, 1, 4), "b": np.linspace(-1, 1, 4)}
    assert bv.check_gradient(right, loss, inputs=inputs, rng=0).verdict == "verified"
    report = bv.check_gradient(wrong, loss, inputs=inputs, rng=0)
    assert report.verdict == "refuted"
    assert {f.block for f in report.findings} == {"b"}
    with pytest.raises(bv.UsageError, match="inputs=None; expected a dict of arrays"):
        bv.check_gradient(right, loss)


def test_finite_differences_refute_only_with_a_second_witness():
    """A loss that refuses complex numbers: the Taylor remainder must agree before anything is refuted."""

    def loss(a):
        return float(np.sum(np.abs(a) * a**2))

    def right(a):
        return loss(a), {"a": 3 * np.abs(a) * a}

    def wrong(a):
        return loss(a), {"a": 2 * np.abs(a) * a}

    inputs = {"a": np.array([0.5, -1.2, 2.0])}
    assert bv.check_gradient(right, loss, inputs=inputs, rng=0).verdict == "verified"
    report = bv.check_gradient(wrong, loss, inputs=inputs, rng=0)
    assert report.verdict == "refuted"
    assert {e.name for e in report.evidence} >= {"finite differences", "Taylor remainder"}


def test_the_twin_raises_with_the_whole_report():
    assert bv.assert_gradient(KERNEL.loss_and_grad, cells.elman, rng=0).verdict == "verified"
    with pytest.raises(bv.CheckFailedError, match="REFUTED") as caught:
        bv.assert_gradient(sums, cells.elman, rng=0)
    assert caught.value.report.verdict == "refuted"
    assert isinstance(caught.value, AssertionError)


def test_one_seed_gives_one_report():
    a, b = (bv.check_gradient(sums, cells.elman, rng=7) for _ in range(2))
    assert str(a) == str(b)


ONE = {"x": np.ones((2, 1, 1)), "y": np.ones((2, 1, 1)), "W_hx": np.ones((1, 1)), "W_hh": np.ones((1, 1))}
ONE |= {"b_h": np.ones(1), "W_qh": np.ones((1, 1)), "b_q": np.ones(1)}


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"fn": 3}, "fn=3; expected a function"),
        ({"against": "elman"}, "against='elman'; expected a Recurrence"),
        ({"rng": -1}, "rng=-1; expected a non-negative integer"),
        ({"rng": "seed"}, "rng='seed'"),
        ({"reduction": "max", "fn": sums}, "reduction='max'; expected 'mean', 'sum'"),
        ({"reduction": np.ones((3, 7)), "fn": sums}, "expected weights"),
        ({"inputs": 5}, "inputs=5; expected a dict"),
        ({"inputs": {k: v for k, v in ONE.items() if k != "b_q"}}, "missing array 'b_q'"),
        ({"inputs": ONE | {"z": np.ones(1)}}, "unknown array 'z'"),
        ({"inputs": ONE | {"x": np.array([["a"]])}}, "x has dtype"),
        ({"inputs": ONE | {"x": np.ones((2, 1))}}, "x: shape="),
        ({"inputs": ONE | {"W_hh": np.ones((2, 1))}}, "W_hh: shape=(2, 1); expected (n, n) with n=1"),
        ({"fn": lambda x: 0}, "takes no argument 'W_hx'"),
        ({"fn": lambda q, **kw: 0}, "'q'"),
    ],
    ids=lambda x: x if isinstance(x, str) else "call",
)  # fmt: skip
def test_wrong_calls_name_the_value_and_what_was_expected(kwargs, words):
    call = {"fn": KERNEL.loss_and_grad, "against": cells.elman, "rng": 0} | kwargs
    with pytest.raises(bv.UsageError) as caught:
        bv.check_gradient(call.pop("fn"), call.pop("against"), **call)
    assert words in str(caught.value)


def test_a_reference_that_is_mostly_noise_verifies_nothing_wrong():
    noise = np.random.default_rng(0)

    def loss(a):
        return float(1e-3 * noise.normal() + np.sum(np.real(a) ** 2))

    def wrong(a):
        return np.sum(a**2), {"a": 2.6 * a}

    for seed in range(8):
        report = bv.check_gradient(wrong, loss, inputs=lambda rng: {"a": rng.normal(size=3)}, rng=seed)
        assert report.verdict != "verified"


def saturating(gain):
    """Inputs that drive tanh units to where 1 - h² has no digits left."""

    def inputs(rng):
        sizes = {"x": (8, 2, 3), "y": (8, 2, 2), "W_hx": (4, 3), "W_hh": (4, 4), "b_h": (4,), "W_qh": (2, 4)}
        arrays = {k: rng.normal(size=s) for k, s in sizes.items()} | {"b_q": rng.normal(size=2)}
        return arrays | {"x": gain * arrays["x"], "h0": rng.normal(size=(2, 4))}

    return inputs


@pytest.mark.parametrize("gain", [5, 20, 50])
def test_saturated_units_neither_refute_a_right_gradient_nor_hide_a_wrong_one(gain):
    def zeroed(**arrays):
        loss, grads = KERNEL.loss_and_grad(**arrays)
        return loss, grads | {"h0": 0 * grads["h0"]}

    def scaled(**arrays):
        loss, grads = KERNEL.loss_and_grad(**arrays)
        return loss, grads | {"W_hh": 1.001 * grads["W_hh"]}

    verdicts = [
        bv.check_gradient(fn, cells.elman, inputs=saturating(gain), rng=3).verdict
        for fn in (KERNEL.loss_and_grad, zeroed, scaled)
    ]
    assert verdicts == ["verified", "refuted", "refuted"]


def test_single_precision_is_judged_as_such():
    def single(**arrays):
        return KERNEL.loss_and_grad(**{k: v.astype(np.float32) for k, v in arrays.items()})

    report = bv.check_gradient(single, cells.elman, rng=0)
    assert report.verdict == "verified"
    assert any("float32" in n for n in report.notes)


def test_half_precision_inside_and_noise_are_refuted():
    def half(**arrays):
        return KERNEL.loss_and_grad(**{k: v.astype(np.float16).astype(float) for k, v in arrays.items()})

    def noisy(**arrays):
        loss, grads = KERNEL.loss_and_grad(**arrays)
        rng = np.random.default_rng(int(1e6 * abs(float(loss))))  # the same for the same inputs
        return loss, {k: g * (1 + 0.1 * rng.normal(size=g.shape)) for k, g in grads.items()}

    for fn in (half, noisy):
        assert bv.check_gradient(fn, cells.elman, rng=0).verdict == "refuted"


@pytest.mark.parametrize("by", ["x", "W_hh", "h0"])
def test_a_result_remembered_from_an_earlier_call_is_refuted(by):
    kept = {}

    def remembering(**arrays):
        key = arrays[by].tobytes()
        if key not in kept:
            kept[key] = KERNEL.loss_and_grad(**arrays)
        return kept[key]

    assert bv.check_gradient(remembering, cells.elman, rng=0).verdict == "refuted"


def test_what_returns_no_numbers_is_refuted_not_a_crash():
    for grads in (None, {"W_hh": None}, {"W_hh": "text"}, {"W_hh": [[1.0], [1.0, 2.0]]}):
        assert bv.check_gradient(lambda g=grads, **arrays: (0.0, g), cells.elman, rng=0).verdict == "refuted"


def test_a_loss_function_that_fails_or_returns_no_scalar_is_a_usage_error():
    inputs = {"a": np.ones(2)}
    for loss, words in ((lambda a: a, "returned shape (2,)"), (lambda a: 1 / 0, "ZeroDivisionError")):
        with pytest.raises(bv.UsageError) as caught:
            bv.check_gradient(lambda a: (0.0, {"a": a}), loss, inputs=inputs, rng=0)
        assert words in str(caught.value)


def test_large_blocks_are_sampled_and_the_report_says_so():
    rng = np.random.default_rng(0)
    sizes = {
        "x": (9, 3, 40),
        "y": (9, 3, 2),
        "W_hx": (60, 40),
        "W_hh": (60, 60),
        "b_h": (60,),
        "W_qh": (2, 60),
    }
    inputs = {k: rng.normal(size=s) / np.sqrt(s[-1]) for k, s in sizes.items()} | {"b_q": rng.normal(size=2)}

    def wrong(**arrays):
        loss, grads = KERNEL.loss_and_grad(**arrays)
        return loss, grads | {"W_hh": grads["W_hh"] * (1 + 1e-6)}

    report = bv.check_gradient(KERNEL.loss_and_grad, cells.elman, inputs=inputs, rng=0)
    assert report.verdict == "verified"
    assert any("W_hh" in n and "random sample" in n for n in report.notes)
    report = bv.check_gradient(wrong, cells.elman, inputs=inputs, rng=0)
    assert report.verdict == "refuted"
    assert {f.block for f in report.findings} == {"W_hh"}
