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
