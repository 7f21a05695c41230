"""Adjoint, tangent and local Jacobians of programs, and the derivation to read."""

import re

import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify.cells import CATALOGUE
from bptt_verify.check import complex_gradient
from bptt_verify.derivation import adjoint, cotangent_adjoint, jacobian, tangent
from bptt_verify.program import evaluate
from bptt_verify.verify import recurrence_cases


def case_of(rec, seed=0, steps=5):
    cases = recurrence_cases(rec, np.random.default_rng(seed))
    return next(c.arrays for c in cases if c.arrays["weights"].shape[0] == steps)


def results_of(program, arrays):
    values = evaluate(program, arrays)
    return {k: values[v] for k, v in program.results}


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_adjoint_agrees_with_complex_step(name):
    rec, arrays = CATALOGUE[name], case_of(CATALOGUE[name])
    found = results_of(adjoint(rec.program), arrays)
    for block in (*rec.params, *(f"{s}0" for s in rec.states)):
        expected = complex_gradient(lambda a: results_of(rec.program, a)["loss"], arrays, block)
        np.testing.assert_allclose(found[block], expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_tangent_is_the_adjoint_along_a_direction(name):
    rec, arrays = CATALOGUE[name], case_of(CATALOGUE[name])
    grads = results_of(adjoint(rec.program), arrays)
    grads.pop("loss")
    rng = np.random.default_rng(1)
    directions = {k: rng.normal(size=g.shape) for k, g in grads.items()}
    moved = results_of(tangent(rec.program), arrays | {f"{k}_dot": v for k, v in directions.items()})
    expected = sum(np.sum(grads[k] * directions[k]) for k in grads)
    assert moved["loss"] == pytest.approx(expected, rel=1e-11)


def test_the_whole_derivative_is_the_ordered_product_of_local_jacobians():
    """T1 for h0: ∂h_T/∂h_0 = J_T … J_1, the newest factor on the left; the other order is another number."""
    rec = bv.cells.elman
    arrays = case_of(rec)
    local = results_of(jacobian(rec.program), arrays)["dh/dh"]
    newest_left = oldest_left = np.eye(local.shape[-1])
    for step in local[:, 0]:
        newest_left, oldest_left = step @ newest_left, oldest_left @ step
    batch, n = arrays["h0"].shape
    columns = []
    for k in range(n):
        seed = np.zeros((batch, n))
        seed[:, k] = 1.0
        zeros = {
            f"{a.name}_dot": np.zeros(arrays[a.name].shape) for a in rec.program.arrays if a.name in arrays
        }
        columns.append(results_of(tangent(rec.program), arrays | zeros | {"h0_dot": seed})["h"][-1, 0])
    np.testing.assert_allclose(np.stack(columns, axis=1), newest_left, atol=1e-14)
    assert np.abs(np.stack(columns, axis=1) - oldest_left).max() > 1e-3


def test_cotangents_of_output_and_final_state_have_their_own_adjoint():
    rec = bv.cells.lstm
    arrays = case_of(rec)
    rng = np.random.default_rng(4)
    forward = results_of(rec.program, arrays)
    seeds = {"output": rng.normal(size=forward["output"].shape), "h": rng.normal(size=arrays["h0"].shape)}
    seeds["c"] = rng.normal(size=arrays["c0"].shape)
    found = results_of(
        cotangent_adjoint(rec.program), arrays | {f"{k}_cotangent": v for k, v in seeds.items()}
    )

    def scalar(a):
        v = results_of(rec.program, a)
        return np.sum(v["output"] * seeds["output"]) + sum(np.sum(v[s][-1] * seeds[s]) for s in ("h", "c"))

    for block in ("W_fh", "x", "h0", "c0", "b_q"):
        expected = complex_gradient(scalar, arrays, block)
        np.testing.assert_allclose(found[block], expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_deriving_does_not_simplify_away_the_saved_output():
    steps = [f.text for f in bv.derive(bv.cells.elman).steps]
    assert "a_bar_t = h_bar_t ⊙ (1 - h_t²)" in steps
    assert "h_prev_bar_t = W_hhᵀ a_bar_t" in steps


def test_the_local_derivatives_of_elman_are_those_of_the_textbook():
    local = bv.derive(bv.cells.elman).jacobian
    assert str(local["dh/dh"]) == "∂h_t[n]/∂h_{t-1}[n'] = (1 - h_t[n]²) W_hh[n,n']"
    assert str(local["dh/dW_hh"]) == "∂h_t[n]/∂W_hh[n',n''] = (1 - h_t[n]²) δ[n,n'] h_{t-1}[n'']"
    assert str(local["dh/dW_qh"]).endswith("= 0")


def test_the_gradient_of_one_block():
    derivation = bv.derive(bv.cells.elman)
    assert str(derivation.gradient("W_hh")) == "W_hh_bar = Σ_{t,b} a_bar_t h_{t-1}ᵀ"
    assert str(derivation.gradient("h0")) == "h0_bar = h_prev_bar_t, t = 1"
    with pytest.raises(bv.UsageError, match=r"of='W_xx'; expected one of .*W_hh"):
        derivation.gradient("W_xx")


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_documents_hold_every_formula(name):
    derivation = bv.derive(CATALOGUE[name])
    latex, markdown = (re.sub(r"[\s&]", "", t) for t in (derivation.to_latex(), derivation.to_markdown()))
    page = derivation.to_html()
    for f in derivation.steps:
        assert re.sub(r"\s", "", f.latex) in latex
        assert re.sub(r"\s", "", f.latex) in markdown
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\begin{align*}") == latex.count(r"\end{align*}") > 0
    assert "<script" not in page


def test_claims_say_how_they_are_known():
    claims = bv.derive(bv.cells.gru).claims
    assert set(claims) == {"T1", "T2"}
    assert all("proof for every T does not exist yet" in c.known for c in claims.values())


def test_deriving_something_else_is_refused():
    with pytest.raises(bv.UsageError, match="expected a Recurrence"):
        bv.derive("elman")
