"""Local Jacobians against index notation with symbolic sizes."""

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

import bptt_verify.language as bv
from bptt_verify.derivation import jacobian
from bptt_verify.errors import UsageError
from bptt_verify.oracle import jacobian_evidence
from bptt_verify.oracle.indices import IndexNotation
from bptt_verify.program import Contract, Pointwise, Ref, symbol

SIZES = {"T": 3, "B": 2, "n": 2, "d": 1, "q": 1}


@bv.recurrence
def elman(x=bv.Input("d"), h=bv.State("n"), W_hx=bv.Param("n d"), W_hh=bv.Param("n n"), b_h=bv.Param("n")):
    h = bv.tanh(W_hx @ x + W_hh @ h + b_h)
    return bv.Step(h=h, loss=bv.sum(h))


@bv.recurrence
def gated(
    x=bv.Input("d"), h=bv.State("n"), c=bv.State("n"),
    W_fx=bv.Param("n d"), W_fh=bv.Param("n n"), W_gx=bv.Param("n d"), W_gh=bv.Param("n n"), s=bv.Param(""),
):  # fmt: skip
    f = bv.sigmoid(W_fx @ x + W_fh @ h)
    c = f * c + (1 - f) * bv.tanh(W_gx @ x + W_gh.T @ h)
    h = s * f * bv.tanh(c)
    return bv.Step(h=h, c=c, loss=bv.sum(h))


@bv.recurrence
def normed(h=bv.State("n"), y=bv.Target("n"), W_hh=bv.Param("n n"), g=bv.Param("n")):
    a = W_hh @ h
    z = a - bv.mean(a)
    scale = bv.pointwise(lambda u: sp.sqrt(u + sp.Rational(1, 100)))
    h = bv.softmax(g * z / scale(bv.mean(z * z))) + bv.relu(a)
    return bv.Step(h=h, loss=bv.dot(h, y))


@bv.recurrence
def branched(x=bv.Input("n"), h=bv.State("n"), W_hh=bv.Param("n n")):
    leaky = bv.pointwise(lambda u: sp.Max(u, u / 10))
    bent = bv.pointwise(lambda u: sp.Piecewise((u**2, u > 0), (sp.sin(u), True)))
    a = W_hh @ h + x
    h = leaky(a) + bent(a) + abs(a) * bv.log(1 + bv.exp(a))
    return bv.Step(h=h, loss=bv.dot(h, h))


@bv.recurrence
def scalar(x=bv.Input(""), h=bv.State(""), w=bv.Param("")):
    h = bv.tanh(w * h + x)
    return bv.Step(h=h, loss=h * h)


def evidence(rec, program, sizes=SIZES):
    return jacobian_evidence(rec.program, program, sizes, np.random.default_rng(0))


@pytest.mark.parametrize("rec", [elman, gated, normed, branched, scalar], ids=lambda r: r.name)
def test_derived_jacobians_are_verified(rec):
    e = evidence(rec, jacobian(rec.program))
    assert (e.verdict, e.how) == ("verified", "checked"), e
    assert ("d(h, c)/d(h, c, x, W_fx" if rec is gated else "dh/dh") in e.summary
    assert ("symbolic n" in e.summary or rec is scalar) and "T=1, B=1" in e.summary


def exchanged(program, result, expr=None, equation=None):
    """The program with one result computed differently."""
    name = dict(program.results)[result]
    ref = Ref(name, program.labels(name))
    new = equation or Pointwise("other", ref.labels, expr(symbol(ref)), (ref,))
    results = tuple((k, new.name if k == result else v) for k, v in program.results)
    return replace(program, equations=(*program.equations, new), results=results)


WRONG = {
    "scaled": ("dh/dW_hx", {"expr": lambda u: 2 * u}),
    "zero": ("dh/db_h", {"expr": lambda u: 0 * u}),
    "square instead of slope": ("dh/dx", {"expr": lambda u: u * u}),
    "no slope": (
        "dh/dh",
        {
            "equation": Contract(
                "other", ("T", "B", "n", "n'"), (Ref("W_hh", ("n", "n'")), Ref("weights", ("T", "B")))
            )
        },
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_jacobian_is_refuted_by_name(mistake):
    result, change = WRONG[mistake]
    e = evidence(elman, exchanged(jacobian(elman.program), result, **change))
    assert e.verdict == "refuted"
    assert [f.block for f in e.findings] == [result]
    assert e.findings[0].found != e.findings[0].expected


@pytest.mark.parametrize("result", ["dh/dc", "dh/dW_gh", "dc/dh"])
def test_a_wrong_jacobian_between_two_states_is_refuted(result):
    e = evidence(gated, exchanged(jacobian(gated.program), result, lambda u: -u))
    assert (e.verdict, [f.block for f in e.findings]) == ("refuted", [result])


def test_a_missing_transpose_is_refuted():
    right = jacobian(elman.program)
    name = dict(right.results)["dh/dh"]
    turned = Pointwise("turned", ("T", "B", "n", "n'"), symbol(Ref(name, ("T", "B", "n'", "n"))),
                       (Ref(name, ("T", "B", "n'", "n")),))  # fmt: skip
    e = evidence(elman, exchanged(right, "dh/dh", equation=turned))
    assert (e.verdict, [f.block for f in e.findings]) == ("refuted", ["dh/dh"])


def test_h_t_for_the_previous_h_is_refuted():
    right = jacobian(elman.program)
    equations = tuple(
        replace(e, operands=tuple(replace(r, shift=0) for r in e.operands), expr=e.expr.xreplace(
            {symbol(r): symbol(replace(r, shift=0)) for r in e.operands}))
        if isinstance(e, Pointwise) and any(r.shift for r in e.operands) else e
        for e in right.equations
    )  # fmt: skip
    assert equations != right.equations
    e = evidence(elman, replace(right, equations=equations))
    assert (e.verdict, [f.block for f in e.findings]) == ("refuted", ["dh/dW_hh"])


@pytest.mark.parametrize("left_out", ["dc/dh", "dh/ds", "dc/dW_gh"])
def test_a_missing_jacobian_is_refuted_unless_it_is_zero(left_out):
    right = jacobian(gated.program)
    less = replace(right, results=tuple(r for r in right.results if r[0] != left_out))
    e = evidence(gated, less)
    assert (e.verdict, [f.block for f in e.findings]) == ("refuted", [left_out])
    zero = replace(right, results=tuple(r for r in right.results if r[0] != "dc/ds"))
    assert evidence(gated, zero).verdict == "verified"


def test_the_wrong_shape_is_refuted():
    right = jacobian(elman.program)
    results = tuple((k, dict(right.results)["dh/dh"] if k == "dh/dx" else v) for k, v in right.results)
    e = evidence(elman, replace(right, results=results))
    assert (e.verdict, [f.block for f in e.findings]) == ("refuted", ["dh/dx"])


def test_a_relation_between_functions_is_inconclusive():
    right = jacobian(elman.program)
    unit = lambda u: u * (sp.sin(u) ** 2 + sp.cos(u) ** 2)  # noqa: E731
    e = evidence(elman, exchanged(right, "dh/dx", unit))
    assert (e.verdict, e.findings) == ("inconclusive", ())
    assert "40 digits" in e.summary


def test_what_is_not_one_step_is_inconclusive():
    over_batch = Contract("batch_sum", ("T", "n"), (Ref("W_hx", ("n", "d")), Ref("x", ("T", "B", "d"))))
    ref = Ref("batch_sum", ("T", "n"))
    copy = Pointwise("W_hx_x", ("T", "B", "n"), symbol(ref), (ref,))
    kept = tuple(copy if e.name == "W_hx_x" else e for e in elman.program.equations)
    equations = (over_batch, *kept)
    program = replace(elman.program, equations=equations)
    e = jacobian_evidence(program, jacobian(elman.program), SIZES, np.random.default_rng(0))
    assert e.verdict == "inconclusive"
    assert "a sum over time or batch is not part of one step" in e.summary


def test_sizes_are_required():
    with pytest.raises(UsageError):
        evidence(elman, jacobian(elman.program), {"n": 2})


def test_index_notation_keeps_sizes_symbolic():
    notation = IndexNotation(elman.program)
    i = notation.fresh(("n",))
    text = str(notation.entry("h", i))
    assert "W_hh[i1, i3]*h0[i3]" in text and "|n| - 1" in text and "|d| - 1" in text
