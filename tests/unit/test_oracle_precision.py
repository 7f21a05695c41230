"""A float gradient against many digits: the right one has all its digits, a wrong one is named."""

import numpy as np
import pytest

import bptt_verify.language as bv
from bptt_verify.derivation import adjoint
from bptt_verify.errors import UsageError
from bptt_verify.oracle import digits_evidence
from bptt_verify.oracle.quotients import Numbers
from bptt_verify.program import evaluate


@bv.recurrence
def cell(
    x=bv.Input("d", onehot=True), y=bv.Target("q"), h=bv.State("n"),
    W_hx=bv.Param("n d"), W_hh=bv.Param("n n"), W_qh=bv.Param("q n"),
):  # fmt: skip
    h = bv.tanh(W_hx @ x + W_hh @ h)
    o = W_qh @ h
    return bv.Step(h=h, output=o, loss=bv.sum(bv.softmax(o) * y))


SIZES = {"T": 4, "B": 2, "n": 3, "d": 2, "q": 2}
ADJOINT = adjoint(cell.program)


def gradient(arrays):
    values = evaluate(ADJOINT, arrays)
    return {name: values[value] for name, value in ADJOINT.results if name != "loss"}


def evidence(fn, **more):
    return digits_evidence(cell.program, fn, SIZES, np.random.default_rng(3), **more)


def test_a_right_gradient_has_all_its_digits():
    e = evidence(gradient)
    assert (e.verdict, e.how, e.findings) == ("verified", "tested", ())
    assert set(e.numbers) == {"W_hx", "W_hh", "W_qh", "h0"}
    assert max(e.numbers.values()) < 1e-14
    assert "40 digits" in e.summary and "T=4, B=2" in e.summary


@pytest.mark.parametrize("name", ["W_hx", "W_hh", "W_qh", "h0"])
def test_an_error_of_1e_11_is_refuted(name):
    e = evidence(lambda arrays: {k: v * (1 + 1e-11 * (k == name)) for k, v in gradient(arrays).items()})
    assert (e.verdict, [f.block for f in e.findings]) == ("refuted", [name])


def test_nan_is_refuted():
    e = evidence(lambda arrays: {k: v * np.nan if k == "h0" else v for k, v in gradient(arrays).items()})
    assert (e.verdict, [f.block for f in e.findings]) == ("refuted", ["h0"])


def test_a_missing_parameter_is_refuted_and_a_missing_state_listed():
    e = evidence(lambda arrays: {k: v for k, v in gradient(arrays).items() if k != "W_hh"})
    assert (e.verdict, [f.block for f in e.findings]) == ("refuted", ["W_hh"])
    e = evidence(lambda arrays: {k: v for k, v in gradient(arrays).items() if k != "h0"})
    assert e.verdict == "verified" and "not provided: h0" in e.summary


def test_the_wrong_shape_is_refuted():
    e = evidence(lambda arrays: {k: v[0] if k == "W_hh" else v for k, v in gradient(arrays).items()})
    assert (e.verdict, [f.block for f in e.findings]) == ("refuted", ["W_hh"])


def test_a_function_that_raises_is_refuted():
    def broken(arrays):
        raise KeyError("x")

    e = evidence(broken)
    assert e.verdict == "refuted" and "KeyError" in e.summary


def test_the_function_cannot_change_the_point():
    def greedy(arrays):
        right = gradient(arrays)
        for a in arrays.values():
            a *= 0
        return right

    assert evidence(greedy).verdict == "verified"


def test_sizes_are_required():
    with pytest.raises(UsageError):
        digits_evidence(cell.program, gradient, {"T": 2}, np.random.default_rng(0))


def test_quotients_have_the_digits_they_promise():
    @bv.recurrence
    def square(x=bv.Input(""), h=bv.State(""), w=bv.Param("")):
        h = w * h + bv.exp(x)
        return bv.Step(h=h, loss=h * h)

    one = {"x": np.zeros((2, 1)), "h0": np.zeros(1), "w": np.array(0.5), "weights": np.ones((2, 1))}
    numbers = Numbers(one, 40)  # h1 = 1, h2 = w + 1, loss = 1 + (w + 1)², dloss/dw = 2 (w + 1) = 3
    assert abs(numbers.gradient(square.program)["w"].item() - 3) < numbers.arithmetic.mpf(10) ** -45
