"""The exact oracle verifies right adjoints, refutes wrong ones by name, and says when it cannot tell."""

from dataclasses import replace

import pytest
import sympy as sp

import bptt_verify.language as bv
from bptt_verify.derivation import adjoint
from bptt_verify.errors import UsageError
from bptt_verify.oracle import exact_evidence
from bptt_verify.program import Array, Carry, Contract, Pointwise, Program, Ref, symbol

TBN, TBD, TBQ = ("T", "B", "n"), ("T", "B", "d"), ("T", "B", "q")
SIZES = {"T": 3, "B": 2, "n": 2, "d": 1, "q": 1}

ARRAYS = (
    Array("x", "input", TBD),
    Array("y", "target", TBQ),
    Array("W_hx", "param", ("n", "d")),
    Array("W_hh", "param", ("n", "n'")),
    Array("W_qh", "param", ("q", "n")),
    Array("h0", "initial", ("B", "n")),
    Array("weights", "weights", ("T", "B")),
)


def pointwise(name, labels, expr, *operands):
    return Pointwise(name, labels, expr(*map(symbol, operands)), operands)


FORWARD = (
    Contract("p", TBN, (Ref("W_hx", ("n", "d")), Ref("x", TBD))),
    Contract("r", TBN, (Ref("W_hh", ("n", "n'")), Ref("h", ("T", "B", "n'"), -1))),
    pointwise("h", TBN, lambda p, r: sp.tanh(p + r), Ref("p", TBN), Ref("r", TBN)),
    Contract("o", TBQ, (Ref("W_qh", ("q", "n")), Ref("h", TBN))),
    pointwise("error", TBQ, lambda o, y: o - y, Ref("o", TBQ), Ref("y", TBQ)),
    Contract("square", ("T", "B"), (Ref("error", TBQ), Ref("error", TBQ))),
    Contract("total", (), (Ref("weights", ("T", "B")), Ref("square", ("T", "B")))),
)
RNN = Program("rnn", ARRAYS, FORWARD, (Carry("h", "h0", -1, "h_last"),), (("loss", "total"), ("h", "h")))

BACKWARD = {
    e.name: e
    for e in (
        pointwise("o_bar", TBQ, lambda w, e: 2 * w * e, Ref("weights", ("T", "B")), Ref("error", TBQ)),
        Contract("h_here", TBN, (Ref("W_qh", ("q", "n")), Ref("o_bar", TBQ))),
        Pointwise("beyond", ("B", "n"), sp.Integer(0), ()),
        Contract("h_next", TBN, (Ref("W_hh", ("n'", "n")), Ref("a_bar", ("T", "B", "n'"), 1))),
        pointwise("h_bar", TBN, lambda u, v: u + v, Ref("h_here", TBN), Ref("h_next", TBN)),
        pointwise("a_bar", TBN, lambda g, h: g * (1 - h**2), Ref("h_bar", TBN), Ref("h", TBN)),
        Contract("W_qh_bar", ("q", "n"), (Ref("o_bar", TBQ), Ref("h", TBN))),
        Contract("W_hh_bar", ("n", "n'"), (Ref("a_bar", TBN), Ref("h", ("T", "B", "n'"), -1))),
        Contract("W_hx_bar", ("n", "d"), (Ref("a_bar", TBN), Ref("x", TBD))),
        Contract("x_bar", TBD, (Ref("W_hx", ("n", "d")), Ref("a_bar", TBN))),
        Contract("h0_bar", ("B", "n"), (Ref("W_hh", ("n'", "n")), Ref("a_bar_first", ("B", "n'")))),
    )
}
GRADIENTS = tuple((n, f"{n}_bar") for n in ("W_hx", "W_hh", "W_qh", "x", "h0"))


def by_hand(*changes, drop=()):
    """The adjoint of RNN with some equations exchanged and some results left out."""
    equations = {**BACKWARD, **{e.name: e for e in changes}}
    results = (("loss", "total"), *(r for r in GRADIENTS if r[0] not in drop))
    carries = (*RNN.carries, Carry("a_bar", "beyond", 1, "a_bar_first"))
    return Program("rnn_adjoint", ARRAYS, (*FORWARD, *equations.values()), carries, results)


def test_the_adjoint_written_by_hand_is_verified():
    e = exact_evidence(RNN, by_hand(), SIZES)
    assert (e.verdict, e.how, e.findings) == ("verified", "checked", ())
    assert e.summary == "18 gradient entries and the loss equal as polynomials at T=3, B=2, n=2, d=1, q=1"
    assert e.numbers["entries"] == 18


WRONG = {
    "missing transpose": (
        Contract("h_next", TBN, (Ref("W_hh", ("n", "n'")), Ref("a_bar", ("T", "B", "n'"), 1))),
        {"W_hh", "W_hx", "x", "h0"},
    ),
    "transpose missing at the start only": (
        Contract("h0_bar", ("B", "n"), (Ref("W_hh", ("n", "n'")), Ref("a_bar_first", ("B", "n'")))),
        {"h0"},
    ),
    "h_t for h_{t-1}": (
        Contract("W_hh_bar", ("n", "n'"), (Ref("a_bar", TBN), Ref("h", ("T", "B", "n'")))),
        {"W_hh"},
    ),
    "dropped carried term": (
        pointwise("h_bar", TBN, lambda u: u, Ref("h_here", TBN)),
        {"W_hh", "W_hx", "x", "h0"},
    ),
    "wrong slope": (
        pointwise("a_bar", TBN, lambda g, h: g * (1 - h), Ref("h_bar", TBN), Ref("h", TBN)),
        {"W_hh", "W_hx", "x", "h0"},
    ),
    "missing factor 2": (
        pointwise("o_bar", TBQ, lambda w, e: w * e, Ref("weights", ("T", "B")), Ref("error", TBQ)),
        {"W_hh", "W_hx", "W_qh", "x", "h0"},
    ),
    "weights ignored": (
        pointwise("o_bar", TBQ, lambda e: 2 * e, Ref("error", TBQ)),
        {"W_hh", "W_hx", "W_qh", "x", "h0"},
    ),
    "wrong by 1e-30": (
        Pointwise("x_bar", TBD, sp.Integer(10) ** -30, ()),
        {"x"},
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_adjoint_is_refuted_and_the_blocks_are_named(mistake):
    equation, blocks = WRONG[mistake]
    e = exact_evidence(RNN, by_hand(equation), SIZES)
    assert e.verdict == "refuted"
    assert {f.block for f in e.findings} == blocks
    assert all(f.found != f.expected and f.index is not None and f.error > 0 for f in e.findings)
    assert "T=3, B=2" in e.summary


def test_a_mistake_in_one_step_only_names_the_step():
    from_next = Contract("x_bar", TBD, (Ref("W_hx", ("n", "d")), Ref("a_bar", TBN, 1)))
    mixed = pointwise("x_last", TBD, lambda u: 0 * u, Ref("x", TBD))
    e = exact_evidence(RNN, by_hand(from_next, mixed), SIZES)
    assert [(f.block, f.step) for f in e.findings] == [("x", 1)]


def test_tiny_differences_are_seen():
    nudged = pointwise("x_bar_0", TBD, lambda u: u, Ref("x", TBD))
    inner = Contract("x_bar_0", TBD, (Ref("W_hx", ("n", "d")), Ref("a_bar", TBN)))
    off = pointwise("x_bar", TBD, lambda u: u * (1 + sp.Rational(1, 10**30)), Ref("x_bar_0", TBD))
    e = exact_evidence(RNN, by_hand(nudged, inner, off), SIZES)
    assert (e.verdict, [f.block for f in e.findings]) == ("refuted", ["x"])


def test_a_parameter_without_gradient_is_refuted():
    e = exact_evidence(RNN, by_hand(drop=("W_hh",)), SIZES)
    assert (e.verdict, [f.block for f in e.findings]) == ("refuted", ["W_hh"])


def test_an_input_without_gradient_is_listed():
    e = exact_evidence(RNN, by_hand(drop=("x", "h0")), SIZES)
    assert e.verdict == "verified"
    assert "not provided: x, h0" in e.summary


def test_a_gradient_of_the_wrong_shape_is_refuted():
    whole = by_hand()
    turned = replace(whole, results=tuple((k, "h0_bar" if k == "W_qh" else v) for k, v in whole.results))
    e = exact_evidence(RNN, turned, {**SIZES, "B": 3})
    assert (e.verdict, [f.block for f in e.findings]) == ("refuted", ["W_qh"])


def test_another_loss_is_refuted():
    twice = pointwise("twice", (), lambda u: 2 * u, Ref("total", ()))
    other = by_hand(twice)
    e = exact_evidence(RNN, replace(other, results=(("loss", "twice"), *GRADIENTS)), SIZES)
    assert (e.verdict, [f.block for f in e.findings]) == ("refuted", ["loss"])


def test_relations_between_functions_are_not_decided_but_agree():
    inner = Contract("x_bar_0", TBD, (Ref("W_hx", ("n", "d")), Ref("a_bar", TBN)))
    unit = pointwise(
        "x_bar", TBD, lambda g, x: g * (sp.sin(x) ** 2 + sp.cos(x) ** 2), Ref("x_bar_0", TBD), Ref("x", TBD)
    )
    e = exact_evidence(RNN, by_hand(inner, unit), {**SIZES, "T": 2})
    assert (e.verdict, e.findings) == ("inconclusive", ())
    assert "agree to 40 digits at 3 random points" in e.summary


def test_without_time_nothing_is_verified():
    e = exact_evidence(RNN, by_hand(), SIZES, seconds=0.0)
    assert e.verdict == "inconclusive"
    assert "out of time" in e.summary and "3 random points" in e.summary


def test_without_time_a_wrong_number_still_refutes():
    assert exact_evidence(RNN, by_hand(WRONG["wrong slope"][0]), SIZES, seconds=0.0).verdict == "refuted"


def test_a_program_that_cannot_be_evaluated_is_inconclusive():
    unknown = Contract("x_bar", TBD, (Ref("nowhere", ("n", "d")), Ref("a_bar", TBN)))
    e = exact_evidence(RNN, by_hand(unknown), SIZES)
    assert e.verdict == "inconclusive"
    assert "cannot be computed" in e.summary


@pytest.mark.parametrize("sizes", [{"T": 2, "B": 1, "n": 2, "d": 1}, {**SIZES, "n": 0}, {**SIZES, "q": "1"}])
def test_missing_or_wrong_sizes_are_refused(sizes):
    with pytest.raises(UsageError, match="expected a positive integer"):
        exact_evidence(RNN, by_hand(), sizes)


# Cells written in the language, with the derived adjoint.


@bv.recurrence
def gated(
    x=bv.Input("d"), y=bv.Target("q"), h=bv.State("n"), c=bv.State("n"),
    W_fx=bv.Param("n d"), W_fh=bv.Param("n n"), b_f=bv.Param("n"),
    W_gx=bv.Param("n d"), W_gh=bv.Param("n n"), b_g=bv.Param("n"), W_qh=bv.Param("q n"),
):  # fmt: skip
    f = bv.sigmoid(W_fx @ x + W_fh @ h + b_f)
    c = f * c + (1 - f) * bv.tanh(W_gx @ x + W_gh @ h + b_g)
    h = f * bv.tanh(c)
    o = W_qh @ h
    return bv.Step(h=h, c=c, output=o, loss=bv.squared_error(o, y))


@bv.recurrence
def charlm(
    x=bv.Input("d", onehot=True), y=bv.Target("q", onehot=True), h=bv.State("n"),
    W_hx=bv.Param("n d"), W_hh=bv.Param("n n"), W_qh=bv.Param("q n"),
):  # fmt: skip
    h = bv.tanh(W_hx @ x + W_hh @ h)
    o = W_qh @ h
    return bv.Step(h=h, output=o, loss=bv.softmax_cross_entropy(o, y))


@bv.recurrence
def normed(y=bv.Target("n"), h=bv.State("n"), W_hh=bv.Param("n n"), g=bv.Param("n")):
    a = W_hh @ h
    z = a - bv.mean(a)
    scale = bv.pointwise(lambda u: sp.sqrt(u + sp.Rational(1, 100)))
    h = g * z / scale(bv.mean(z * z))
    return bv.Step(h=h, loss=bv.squared_error(h, y))


@bv.recurrence
def explog(x=bv.Input("n"), h=bv.State("n"), W_hh=bv.Param("n n"), s=bv.Param("")):
    a = bv.exp(-s * h) + bv.softplus(W_hh @ h)
    h = bv.log(1 + a * a) * bv.sin(x) + abs(h)
    return bv.Step(h=h, loss=bv.sum(bv.relu(h - x)))


@bv.recurrence
def branched(x=bv.Input("n"), h=bv.State("n"), W_hh=bv.Param("n n")):
    leaky = bv.pointwise(lambda u: sp.Max(u, u / 10))
    bent = bv.pointwise(lambda u: sp.Piecewise((u**2, u > 0), (sp.sin(u), True)))
    a = W_hh @ h + x
    h = leaky(a) + bent(a)
    return bv.Step(h=h, loss=bv.dot(h, h))


CELLS = {
    "gated": (gated, {"T": 2, "B": 1, "n": 2, "d": 1, "q": 1}, "equal as polynomials"),
    "charlm": (charlm, {"T": 2, "B": 2, "n": 2, "d": 2, "q": 3}, "modulo 2^127 - 1"),
    "normed": (normed, {"T": 2, "B": 1, "n": 3}, "modulo 2^127 - 1"),
    "explog": (explog, {"T": 2, "B": 1, "n": 2}, "equal as polynomials"),
    "branched": (branched, {"T": 2, "B": 1, "n": 2}, "on the branches at a random point"),
}


@pytest.mark.parametrize("cell", CELLS)
def test_derived_adjoints_are_verified(cell):
    rec, sizes, words = CELLS[cell]
    e = exact_evidence(rec.program, adjoint(rec.program), sizes)
    assert e.verdict == "verified", e
    assert words in e.summary


@pytest.mark.parametrize("cell", CELLS)
def test_a_derived_adjoint_with_a_scaled_gradient_is_refuted(cell):
    rec, sizes, _ = CELLS[cell]
    right = adjoint(rec.program)
    name = dict(right.results)["W_hh" if cell != "gated" else "W_fh"]
    ref = Ref(name, right.labels(name))
    scaled = pointwise("scaled", ref.labels, lambda u: 2 * u, ref)
    results = tuple((k, "scaled" if v == name else v) for k, v in right.results)
    e = exact_evidence(
        rec.program, replace(right, equations=(*right.equations, scaled), results=results), sizes
    )
    assert (e.verdict, len(e.findings)) == ("refuted", 1)


@bv.recurrence
def decimal(x=bv.Input("n"), h=bv.State("n"), W_hh=bv.Param("n n")):
    gelu = bv.pointwise(lambda u: 0.5 * u * (1 + sp.tanh(0.7978845608028654 * (u + 0.044715 * u**3))))
    h = gelu(W_hh @ h + x)
    return bv.Step(h=h, loss=bv.dot(h, h))


def test_decimal_constants_do_not_refute():
    e = exact_evidence(decimal.program, adjoint(decimal.program), {"T": 2, "B": 1, "n": 2})
    assert e.verdict in ("verified", "inconclusive") and not e.findings
    assert e.verdict == "verified" or "agree to 12 digits" in e.summary


@bv.recurrence
def scalar(x=bv.Input(""), h=bv.State(""), w=bv.Param("")):
    h = bv.tanh(w * h + x)
    return bv.Step(h=h, loss=h * h)


def test_scalars_are_arrays_too():
    e = exact_evidence(scalar.program, adjoint(scalar.program), {"T": 3, "B": 2})
    assert e.verdict == "verified" and e.summary.startswith("9 gradient entries"), e


@bv.recurrence
def bare(y=bv.Target("n"), h=bv.State("n")):
    h = bv.tanh(h)
    return bv.Step(h=h, loss=bv.squared_error(h, y))


def test_nothing_to_compare_is_not_verified():
    e = exact_evidence(
        bare.program, replace(bare.program, results=bare.program.results[:1]), {"T": 1, "B": 1, "n": 1}
    )
    assert e.verdict == "inconclusive"


@bv.recurrence
def logarithmic(x=bv.Input("n"), h=bv.State("n"), u=bv.Param("n")):
    h = bv.log(u) * x + h
    return bv.Step(h=h, loss=bv.dot(h, h))


def test_a_positive_point_is_found_where_the_function_needs_one():
    e = exact_evidence(logarithmic.program, adjoint(logarithmic.program), {"T": 2, "B": 1, "n": 2})
    assert e.verdict == "verified", e


@bv.recurrence
def nowhere(x=bv.Input("n"), h=bv.State("n"), u=bv.Param("n")):
    h = bv.log(-u * u) * x + h
    return bv.Step(h=h, loss=bv.dot(h, h))


def test_a_loss_that_is_real_nowhere_is_inconclusive():
    e = exact_evidence(nowhere.program, adjoint(nowhere.program), {"T": 1, "B": 1, "n": 1})
    assert (e.verdict, e.findings) == ("inconclusive", ())
