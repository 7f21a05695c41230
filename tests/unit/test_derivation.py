"""Adjoint, tangent and local Jacobians of programs, and the derivation to read."""

import re

import numpy as np
import pytest
import sympy as sp
from cells_for_tests import ALL_CELLS, draw

import bptt_verify as bv
from bptt_verify.cells import CATALOGUE
from bptt_verify.check import complex_gradient
from bptt_verify.derivation import adjoint, changes, cotangent_adjoint, jacobian, tangent
from bptt_verify.derivation.claims import Claims
from bptt_verify.derivation.truncations import Truncations
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
    for block in (*rec.params, *(f"{s}0" for s in rec.carried)):
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
    assert str(local["dh/dh"]) == "∂⁺h_t[n]/∂h_{t-1}[n'] = (1 - h_t[n]²) W_hh[n,n']"
    assert str(local["dh/dW_hh"]) == "∂⁺h_t[n]/∂W_hh[n',n''] = (1 - h_t[n]²) δ[n,n'] h_{t-1}[n'']"
    assert str(local["dh/dW_qh"]).endswith("= 0")


def test_the_gradient_of_one_block():
    derivation = bv.derive(bv.cells.elman)
    assert str(derivation.gradient("W_hh")) == "W_hh_bar = Σ_{t,b} a_bar_t h_{t-1}ᵀ"
    assert str(derivation.gradient("h0")) == "h0_bar = h_prev_bar_1"
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


@pytest.mark.parametrize("name", CATALOGUE)
def test_claims_carry_the_theorems_the_instance_and_how_each_part_is_known(name):
    rec = CATALOGUE[name]
    claims = bv.derive(rec).claims
    assert list(claims) == [f"T{n}" for n in range(1, 13)]
    assert all(len(c.theorems) == len(c.general.parts) > 0 for c in claims.values())
    apart = (["T3"] if name != "linear" else []) + (["T11", "T12"] if not rec.feedback else [])
    assert [c.id for c in claims.values() if not c.applies] == apart
    words = {(c.id, k.word) for c in claims.values() for k in c.known}
    assert words >= {
        ("T1", "proved"),
        ("T1", "checked"),
        ("T2", "proved"),
        ("T2", "checked"),
        ("T2", "tested"),
        *((c, word) for c in ("T5", "T6", "T7", "T8", "T9", "T10") for word in ("proved", "tested")),
    }
    assert len(claims["T2"].parts["gradients"]) == sum(
        a.role in ("param", "input", "initial") and not a.index for a in rec.program.arrays
    )
    assert len(claims["T1"].parts["sums"]) == len(bv.derive(rec).instance.read_by_state()) > 0


@pytest.mark.parametrize("name", ALL_CELLS)
def test_every_recurrence_has_a_derivation_in_every_format(name):
    derivation = bv.derive(ALL_CELLS[name])
    fed = bool(ALL_CELLS[name].feedback)
    assert all(c.known for c in derivation.claims.values() if fed or c.id not in ("T11", "T12"))
    for written in (
        derivation.to_text(),
        derivation.to_markdown(),
        derivation.to_latex(),
        derivation.to_html(),
    ):
        assert name in written.replace("\\_", "_")


def test_the_linear_recurrence_has_powers_and_elman_its_own_bound():
    linear, elman = (bv.derive(getattr(bv.cells, n)).claims for n in ("linear", "elman"))
    assert [f.text for f in linear["T3"].formulas] == [
        "λ_t = Σ_{s=t}^{T} (W_hhᵀ)^{s-t} c_s",
        "λ_t = Σ_{i=t}^{T} (W_hhᵀ)^{T-i} W_qhᵀ ∂L/∂o_{T+t-i}",
    ]
    assert [f.text for f in elman["T4"].formulas] == ["‖(D_t W_hh) ⋯ (D_{i+1} W_hh)‖ ≤ ‖W_hh‖^{t-i}"]
    assert bv.derive(bv.cells.lstm).claims["T4"].formulas == ()


def test_claims_are_made_when_they_are_read():
    made = []
    claims = Claims({name: lambda name=name: made.append(name) or name for name in ("T1", "T2")})
    assert list(claims) == ["T1", "T2"] and len(claims) == 2 and made == []
    assert claims["T2"] == claims["T2"] == "T2" and made == ["T2"]
    assert str(claims) == "Claims(T1, T2)"
    with pytest.raises(KeyError):
        claims["T3"]


def test_the_bound_is_made_when_it_is_read(monkeypatch):
    def refused(program):
        raise RuntimeError("not now")

    monkeypatch.setattr(changes, "norm_form", refused)
    claims = bv.derive(bv.cells.lstm).claims
    assert claims["T8"].applies and claims["T9"].applies
    with pytest.raises(RuntimeError, match="not now"):
        claims["T10"]


@pytest.mark.parametrize("name", ["elman", "lstm"])
def test_the_bound_of_a_recurrence_is_that_of_lipschitz_bound(name):
    rec = CATALOGUE[name]
    claim = bv.derive(rec).claims["T10"]
    bound = bv.lipschitz_bound(rec, 0.1, **draw(rec, np.random.default_rng(0), 3, 2))
    (whole,) = claim.parts["bound"]
    assert whole.text.startswith("K ≤ sqrt(K_W") and whole.text in claim.statement
    assert [f.text.split(" = ")[0] for f in claim.parts["parameters"]] == [f"K_{p}" for p in rec.params]
    for f, expr in zip(claim.parts["parameters"], bound.compact_parameters.values(), strict=True):
        assert f.text.split(" = ")[1] == str(expr).replace("**", "^")
    assert [f.text.split(" = ")[0] for f in claim.parts["definitions"]] == list(map(str, bound.definitions))


def test_a_clip_counts_the_parameters_and_an_infinite_bound_says_why():
    claim = bv.derive(bv.cells.linear).claims["T8"]
    assert [f.text for f in claim.parts["norm"]] == ["‖g‖² = ‖∂L/∂W_hx‖² + ‖∂L/∂W_hh‖² + ‖∂L/∂W_qh‖²"]

    @bv.recurrence
    def jumping(x=bv.Input("d"), h=bv.State("d"), A=bv.Param("d d")):
        h = bv.pointwise(lambda u: sp.Heaviside(u))(A @ x + h)
        return bv.Step(h=h, output=h, loss=bv.sum(h))

    text = bv.derive(jumping).to_text()
    assert "K = ∞" in text and "may jump on the ball, by norms: h_t = " in text


def test_the_case_of_three_steps_is_written_out():
    text = bv.derive(bv.cells.elman).to_text()
    assert "∂h_3/∂w = A_3 + J_3 A_2 + J_3 J_2 A_1" in text
    assert "∂⁺h_t[1]/∂h_{t-1}[2] = (1 - h_t[1]²) W_hh[1,2]" in text
    assert "λ_1 = c_1 + J_2ᵀ c_2 + (J_3 J_2)ᵀ c_3" in text


def test_every_line_of_the_backward_pass_has_a_reason():
    for name in CATALOGUE:
        instance = bv.derive(CATALOGUE[name]).instance
        lines = [*instance.recursion(), *instance.gradients(), *instance.jacobian(), *instance.partials()]
        gated = Truncations(CATALOGUE[name].program)
        lines += [*gated.recursion(), *gated.gradients()]
        assert [line.formula.text for line in lines if not line.reason] == []


def test_the_recursion_with_gates():
    """What step t sends back has a gate; what its loss says of the state before has none."""
    elman = bv.derive(bv.cells.elman).claims["T6"]
    recursion = [f.text for f in elman.parts["recursion"]]
    assert recursion[-2:] == ["h_prev_bar_open_t = W_hhᵀ a_bar_t", "h_prev_bar_t = ξ_t h_prev_bar_open_t"]
    assert "h_bar_t = h_prev_bar_{t+1} + W_qhᵀ error_bar_t" in recursion
    both = bv.derive(ALL_CELLS["output_is_previous_state"]).claims["T6"]
    recursion = [f.text for f in both.parts["recursion"]]
    assert "h_prev_bar_t = ξ_t h_pre_bar_t ⊙ a" in recursion
    assert "h_prev_bar_explicit_t = step_loss_bar_explicit_t h_t" in recursion
    assert [f.text for f in both.parts["gradients"]] == ["h0_bar = h0_bar_gated + h0_bar_explicit"]


def test_deriving_something_else_is_refused():
    with pytest.raises(bv.UsageError, match="expected a Recurrence"):
        bv.derive("elman")


def test_powers_carry_the_recurrences_own_names_and_claim_no_readout_that_is_not_there():
    @bv.recurrence
    def curved(
        x=bv.Input("n"), y=bv.Target("q"), h=bv.State("n"), R=bv.Param("n n"), V=bv.Param("q n")
    ):  # fmt: skip
        h = R @ h + x
        u = bv.tanh(h)
        o = V @ u
        return bv.Step(h=h, output=o, loss=bv.squared_error(o, y))

    claim = bv.derive(curved).claims["T3"]
    assert claim.applies and [f.text for f in claim.formulas] == ["λ_t = Σ_{s=t}^{T} (Rᵀ)^{s-t} c_s"]


def test_the_recursion_says_what_follows_the_last_step_and_where_the_adjoint_is():
    text = bv.derive(bv.cells.lstm).to_text()
    assert "h_prev_bar_{T+1} = 0" in text and "c_prev_bar_{T+1} = 0" in text
    assert "(∂⁺L_t/∂h_t)ᵀ + h_prev_bar_{t+1}, c_prev_bar_{t+1}." in text
    assert "The letter c of the theorems is not the cell's own." in text


def test_a_product_that_is_read_elsewhere_has_a_line_and_a_letter_of_its_own():
    text = bv.derive(bv.cells.gru).to_text()
    assert "u_t = W_nh h_{t-1}" in text and "u_bar_t = n_pre_bar_t ⊙ r_t" in text and "W_nh_h" not in text
