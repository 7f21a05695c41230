"""Mistakes in several equations alike, on some inputs only, of memory, of digits: what is named."""

import numpy as np
import pytest
from mistakes_for_tests import function_of

import bptt_verify as bv
from bptt_verify.derivation import adjoint
from bptt_verify.mutants import mutants
from bptt_verify.mutants.mutant import in_order
from bptt_verify.verify import recurrence_cases
from bptt_verify.verify.adapters import Adapted
from bptt_verify.verify.afterwards import rounded_named
from bptt_verify.verify.cases import REGIMES
from bptt_verify.verify.diagnosis import calls_of, gradients, one_mistake, only_where

ELMAN = bv.cells.elman
RIGHT = bv.generate(ELMAN).loss_and_grad


def changed(change):
    """The right function of the Elman network, its gradients changed."""

    def loss_and_grad(**arrays):
        loss, grads = RIGHT(**arrays)
        return loss, {**grads, **change(arrays, grads)}

    return loss_and_grad


MISTAKES = [
    ("elman", "x one step before"),
    ("elman", "h kept once"),
    ("elman", "dh0 is h_bar of the first step"),
    ("elman", "slope of h_prev_bar only in a_bar"),
    ("elman", "h_prev_bar with the slope of t+1 in a_bar"),
    ("elman_relu", "slope for h: that of a leaky one, 0.01 below zero"),
    ("elman_charlm", "x for y"),
    ("gru_original", "h_{t-1} for part_r in W_nh_bar"),
    ("lstm", "g_pre_bar for o_pre_bar"),
    ("lstm", "h_prev_bar for c_prev_bar carried to the start"),
    ("lstm", "h_t in every sum"),
    ("lstm", "no slopes in any product"),
    ("lstm", "db_f for db_i only"),
    ("lstm", "slope for f: the function again, not its derivative"),
    ("lstm", "no h_prev_bar in o_pre_bar"),
    ("lstm_peephole", "dropped terms of c_prev_bar: f_pre_bar_t ⊙ p_f and i_pre_bar_t ⊙ p_i"),
]


@pytest.mark.parametrize(("cell", "name"), MISTAKES)
def test_a_mistake_is_found_by_its_numbers(cell, name):
    rec = getattr(bv.cells, cell)
    right = adjoint(rec.program)
    wrong = next(m for m in mutants(right, rare=True) if m.name == name)
    cases = [c.arrays for c in recurrence_cases(rec, np.random.default_rng(1), REGIMES[:4])]
    calls = calls_of(Adapted(function_of(wrong.program), None), cases)
    assert one_mistake(right, calls) == f"{wrong.description} [{name}]"


@pytest.mark.parametrize("cell", ["elman", "elman_charlm", "gru_original", "lstm_peephole", "elman_feedback"])
def test_every_rare_mistake_has_the_shapes_of_the_right_gradient(cell):
    rec = getattr(bv.cells, cell)
    arrays = next(iter(recurrence_cases(rec, np.random.default_rng(0), REGIMES[1:2]))).arrays
    every = mutants(adjoint(rec.program), rare=True)
    for m in every[::3] if len(every) > 200 else every:
        found = gradients(m.program, arrays)
        assert all(v.shape == arrays[k].shape for k, v in found.items()), m.name
        assert in_order(m.program) is not None, m.name


def early(arrays, grads):
    """Nothing for sequences of one step."""
    return {"W_hh": 0 * grads["W_hh"]} if len(arrays["x"]) == 1 else {}


def first_sequence(arrays, grads):
    """The biases' gradients, of one sequence."""
    weights = np.zeros_like(arrays["weights"])
    weights[:, 0] = arrays["weights"][:, 0]
    return {k: RIGHT(**{**arrays, "weights": weights})[1][k] for k in ("b_h", "b_q")}


def states_and_errors(arrays):
    """The states of all steps, and the errors of the output."""
    h, W, x = [arrays["h0"]], arrays["W_hh"], arrays["x"]
    for row in x:
        h.append(np.tanh(row @ arrays["W_hx"].T + h[-1] @ W.T + arrays["b_h"]))
    states = np.array(h[1:])
    errors = arrays["weights"][..., None] * (states @ arrays["W_qh"].T + arrays["b_q"] - arrays["y"])
    return states, errors


def mixed(arrays, grads):
    """The read-out's gradient, one series flattened as (B, T)."""
    states, errors = states_and_errors(arrays)
    flat = np.swapaxes(states, 0, 1).reshape(-1, states.shape[-1])
    return {"W_qh": errors.reshape(-1, errors.shape[-1]).T @ flat}


def products_of_sums(arrays, grads):
    """The read-out's gradient from sums over the batch."""
    states, errors = states_and_errors(arrays)
    return {"W_qh": np.einsum("tq,tn->qn", errors.sum(1), states.sum(1))}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (early, "only where T = 1: the gradient of W_hh is zero"),
        (mixed, "time and batch are mixed up in the gradient of W_qh"),
        (products_of_sums, "both factors of the gradient of W_qh are summed over the batch"),
        (first_sequence, "the gradient of b_h, b_q is that of the first sequence of the batch only"),
        (lambda a, g: {"h0": np.broadcast_to(g["h0"].sum(0), g["h0"].shape).copy()},
         "the gradient of h0 is summed over the batch"),
        (lambda a, g: {k: g[k].astype(np.float16).astype(float) * (1 + 1e-4 * np.sin(1e4 * g[k])) for k in g},
         "their errors scatter, as in half precision"),
    ],
)  # fmt: skip
def test_what_is_done_to_the_right_gradient_is_named(change, said):
    report = bv.check_gradient(changed(change), ELMAN, rng=0)
    assert report.verdict == "refuted"
    assert said in report.cause, report.cause


def test_a_factor_that_is_there_on_some_inputs_only_is_no_half_precision():
    calls = calls_of(
        Adapted(changed(lambda a, g: {"W_hh": 1.001 * g["W_hh"]}), None),
        [c.arrays for c in recurrence_cases(ELMAN, np.random.default_rng(0), REGIMES[:4])],
    )
    assert rounded_named(adjoint(ELMAN.program), calls) is None


def test_where_a_function_is_wrong():
    cases = [c.arrays for c in recurrence_cases(ELMAN, np.random.default_rng(0), REGIMES[:4])]
    calls = calls_of(Adapted(RIGHT, None), cases)
    by = {(c.arrays["x"].shape[0], c.arrays["x"].shape[1]): c for c in calls}
    one, two, batch = by[1, 1], by[2, 1], by[5, 3]
    assert only_where([one], [two, batch]) == "only where T = 1"
    assert only_where([one, two], [batch]) == "only where B = 1"
    assert only_where([two, batch], [one]) == "only where T > 1"
    assert only_where([one, batch], [two]) == only_where([one], []) == only_where([], [one]) == ""


def test_gradients_of_earlier_calls_that_are_added_are_named():
    kept = {}

    def loss_and_grad(**arrays):
        loss, grads = RIGHT(**arrays)
        shape = arrays["W_hh"].shape + arrays["W_hx"].shape
        if kept.get("shape") != shape:
            kept.update(shape=shape, W_hh=np.zeros(arrays["W_hh"].shape))
        kept["W_hh"] = kept["W_hh"] + grads["W_hh"]
        return loss, {**grads, "W_hh": kept["W_hh"].copy()}

    cause = bv.check_gradient(loss_and_grad, ELMAN, rng=0).cause
    assert "the gradients of earlier calls are added to W_hh: the arrays are not set to zero" in cause


def test_results_that_depend_on_earlier_calls_are_named():
    count = iter(range(10**6))

    def loss_and_grad(**arrays):
        loss, grads = RIGHT(**arrays)
        return loss, {**grads, "b_h": grads["b_h"] * (1 + next(count) % 3)}

    cause = bv.check_gradient(loss_and_grad, ELMAN, rng=0).cause
    assert "of a second call on the same arrays b_h differ" in cause


def test_an_input_that_is_changed_is_named_before_the_numbers():
    def loss_and_grad(h0, **arrays):
        loss, grads = RIGHT(h0=h0.copy(), **arrays)
        h0[:] = 0
        return loss, {**grads, "b_h": 2 * grads["b_h"]}

    cause = bv.check_gradient(loss_and_grad, ELMAN, rng=0).cause
    assert cause.startswith("it changes its input h0 in place. Its numbers: ")
    assert "the gradient of b_h is 2 times the right one" in cause


def test_a_mistake_that_the_initial_state_does_not_have():
    wrong = next(m for m in mutants(adjoint(ELMAN.program)) if m.name.startswith("missing transpose"))
    mistaken = function_of(wrong.program)

    def loss_and_grad(**arrays):
        loss, grads = mistaken(**arrays)
        return loss, {**grads, "h0": RIGHT(**arrays)[1]["h0"]}

    cause = bv.check_gradient(loss_and_grad, ELMAN, rng=0).cause
    assert cause.endswith("; the gradient of h0 does not have it") and "its transpose belongs" in cause


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (lambda w: w * (np.arange(len(w)) == len(w) - 1)[:, None], "counts the loss of the last step only"),
        (lambda w: w * (1.0 + (np.arange(len(w)) == 0))[:, None], "counts the loss of the first step twice"),
    ],
)
def test_losses_at_the_ends_are_said_without_chunks(weights, said):
    def loss_and_grad(**arrays):
        other = RIGHT(**{**arrays, "weights": weights(arrays["weights"])})[1]
        return RIGHT(**arrays)[0], other

    cause = bv.check_gradient(loss_and_grad, ELMAN, rng=0).cause
    assert said in cause and "Chunks" not in cause and "check_truncated" not in cause


def test_a_mean_over_an_axis_of_a_plain_loss_is_named():
    def loss(W, x, y):
        return np.mean((x @ W - y) ** 2)

    def wrong(W, x, y):
        return loss(W, x, y), {"W": 2 * x.T @ (x @ W - y) / len(x)}

    def draw(rng):
        k, n, m = rng.integers(2, 6, 3)
        return {"W": rng.normal(size=(n, m)), "x": rng.normal(size=(k, n)), "y": rng.normal(size=(k, m))}

    cause = bv.check_gradient(wrong, loss, inputs=draw, rng=0).cause
    assert cause.startswith("the gradient of W is the right one times the length of axis 1 of W")


def test_a_loss_that_scatters_by_more_than_rounding_is_not_verified():
    def loss_and_grad(**arrays):
        loss, grads = RIGHT(**arrays)
        return float(np.float16(loss)), grads

    report = bv.check_gradient(loss_and_grad, ELMAN, rng=0)
    told = next(e for e in report.evidence if e.name == "loss")
    assert told.verdict != "verified" and "scatter as rounding does" in told.summary


def test_notes_that_differ_in_numbers_only_are_one():
    def loss_and_grad(**arrays):
        loss, grads = RIGHT(**arrays)
        return loss, {k: g * (1 + 1e-4 * np.sin(1e5 * g)) for k, g in grads.items()}

    notes = [n for n in bv.check_gradient(loss_and_grad, ELMAN, rng=0).notes if "scatters" in n]
    assert 0 < len(notes) < 5


def test_a_search_that_fails_leaves_the_verdict(monkeypatch):
    def fails(*arguments):
        raise ZeroDivisionError("in a rule")

    monkeypatch.setattr("bptt_verify.verify.checks.gradient_cause", fails)
    report = bv.check_gradient(changed(lambda a, g: {"b_h": 3 * g["b_h"]}), ELMAN, rng=0)
    assert report.verdict == "refuted"
    assert report.diagnosis.endswith("which is a defect of bptt_verify: ZeroDivisionError: in a rule")
    assert report.smallest and "dL/db_h is wrong" in str(report)
