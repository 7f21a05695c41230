"""The independent reference of truncated gradients, and what check_truncated accepts, refuses and says."""

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS, draw
from truncations_for_tests import detaching, rerunning, running_back

import bptt_verify as bv
from bptt_verify import cells
from bptt_verify.analysis.terms import signed_terms
from bptt_verify.check import complex_slope
from bptt_verify.derivation import adjoint
from bptt_verify.estimators import Chunks, Full, Randomized, Window, kept
from bptt_verify.oracle import TruncatedLoss, gradient_parts
from bptt_verify.program import evaluate
from bptt_verify.verify import assert_truncated, check_truncated

STEPS = 5
ESTIMATORS = (Full(), Window(1), Window(2), Window(5), Chunks(2, 2), Chunks(2, 3), Chunks(3, 7))


def close(found, expected, scale):
    return np.abs(found - expected).max(initial=0.0) <= 1e-11 * scale


@pytest.mark.parametrize("name", ALL_CELLS)
def test_the_terms_are_those_of_the_derivation(name):
    """Complex steps through states held fixed against c_tᵀ (J_t … J_{i+1}) A_i, term by term."""
    rec = ALL_CELLS[name]
    arrays = draw(rec, np.random.default_rng(1), T=STEPS, B=2, scale=0.6)
    parts = gradient_parts(rec.program, arrays, tuple(rec.params))
    right = adjoint(rec.program)
    values = evaluate(right, arrays)
    full = {k: values[v] for k, v in right.results}
    terms = {k: np.zeros((STEPS, STEPS, arrays[k].size)) for k in rec.params}
    for lag, start, some in signed_terms(rec.program, arrays):
        for k, term in some.items():
            for i, at in enumerate(range(start, start + len(term))):
                terms[k][at + lag, at] = term[i].sum(axis=0).ravel()
    later = np.concatenate((parts.reaching[:, 1:], np.zeros_like(parts.reaching[:, :1])), axis=1)
    for k, place in parts.places.items():
        scale = max(np.abs(terms[k]).max(initial=0.0), np.abs(full[k]).max(initial=0.0))
        assert close((parts.reaching - later)[..., place], terms[k], scale)
        explicit = full[k].ravel() - terms[k].sum(axis=(0, 1))
        assert close(parts.explicit.sum(axis=0)[place], explicit, scale)


@pytest.mark.parametrize("name", ALL_CELLS)
def test_the_slopes_of_the_truncated_loss_are_sums_of_kept_terms(name):
    rec, rng = ALL_CELLS[name], np.random.default_rng(2)
    arrays = draw(rec, rng, T=STEPS, B=2, scale=0.6)
    inputs = [n for n in rec.inputs if n not in rec.onehot]
    blocks = (*rec.params, *inputs, *(f"{s}0" for s in rec.carried))
    parts = gradient_parts(rec.program, arrays, blocks)
    directions = {b: rng.normal(size=arrays[b].shape) for b in blocks}
    for estimator in ESTIMATORS:
        loss = TruncatedLoss(rec.program, estimator)
        first = kept(estimator, STEPS).argmax(axis=1)
        expected = parts.explicit.sum(axis=0) + parts.reaching[np.arange(STEPS), first].sum(axis=0)
        for b, d in directions.items():
            slope = complex_slope(loss, arrays, b, d)
            parted = expected[parts.places[b]] * d.ravel()
            assert abs(slope - parted.sum()) <= 1e-11 * np.abs(parted).sum(), (estimator, b)


def test_the_loss_of_real_arrays_is_the_whole_loss_and_many_points_are_points_one_by_one():
    rng = np.random.default_rng(3)
    arrays = draw(cells.gru, rng, T=6, B=2)
    loss = TruncatedLoss(cells.gru.program, Window(2))
    assert loss(arrays) == evaluate(cells.gru.program, arrays)[dict(cells.gru.program.results)["loss"]]
    moved = [{**arrays, "x": arrays["x"] + 1e-100j * rng.normal(size=arrays["x"].shape)} for _ in range(3)]
    at_once = loss({**arrays, "x": np.stack([m["x"] for m in moved], axis=-1)})
    singly = np.array([loss(m) for m in moved])
    assert np.allclose(np.imag(at_once), np.imag(singly), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("fn", "estimator"),
    [
        (detaching(4), Chunks(4, 4)),
        (rerunning(1), Window(1)),
        (rerunning(6), Window(6)),
        (running_back(3, 5), Chunks(3, 5)),
        (bv.generate(cells.elman).loss_and_grad, Full()),
    ],
    ids=["detaching", "window 1", "window 6", "chunks", "full"],
)
def test_right_truncations_in_different_styles_are_verified(fn, estimator):
    report = check_truncated(fn, cells.elman, estimator, rng=0)
    assert report.verdict == "verified", report
    assert report.diagnosis is None


def test_a_function_without_weights_and_state_in_single_precision():
    def fn(x, y, W_hx, W_hh, b_h, W_qh, b_q):
        single = {k: v.astype(np.float32) for k, v in locals().items()}
        weights = np.full(x.shape[:2], 1 / (x.shape[0] * x.shape[1]), np.float32)
        h0 = np.zeros((x.shape[1], len(b_h)), np.float32)
        loss, grads = rerunning(3)(**single, weights=weights, h0=h0)
        return loss, {k: g for k, g in grads.items() if k != "h0"}

    report = check_truncated(fn, cells.elman, Window(3), rng=0)
    assert report.verdict == "verified", report
    assert any("float32" in n for n in report.notes)
    assert any("h0 is not an argument" in n for n in report.notes)
    report = check_truncated(fn, cells.elman, Window(4), rng=0)
    assert report.verdict == "refuted"
    assert "equals Window(tau=3)" in report.diagnosis


def given(steps, gain):
    rng = np.random.default_rng(5)
    sizes = {"x": (steps, 2, 2), "y": (steps, 2, 2), "W_hx": (3, 2), "W_hh": (3, 3), "b_h": (3,)}
    sizes |= {"W_qh": (2, 3), "b_q": (2,), "h0": (2, 3)}
    arrays = {k: rng.normal(size=s) for k, s in sizes.items()}
    return arrays | {"W_hh": gain * arrays["W_hh"], "x": 0.1 * arrays["x"]}


def test_inputs_that_do_not_tell_are_inconclusive():
    short = check_truncated(rerunning(8), cells.elman, Window(8), inputs=given(8, 0.5), rng=0)
    assert short.verdict == "inconclusive"
    assert "do not tell Window(tau=8) from Window(tau=9)" in str(short)
    vanishing = check_truncated(rerunning(8), cells.elman, Window(8), inputs=given(20, 1e-3), rng=0)
    assert vanishing.verdict == "inconclusive"
    telling = check_truncated(rerunning(8), cells.elman, Window(8), inputs=given(20, 0.5), rng=0)
    assert telling.verdict == "verified"


@pytest.mark.parametrize("gain", [1e-3, 0.1, 3.0, 30.0])
def test_right_truncations_are_not_refuted_where_gradients_vanish_or_explode(gain):
    for fn, estimator in ((rerunning(4), Window(4)), (running_back(2, 5), Chunks(2, 5))):
        report = check_truncated(fn, cells.elman, estimator, inputs=given(20, gain), rng=0)
        assert report.verdict != "refuted", report


def test_a_recurrence_without_memory_has_one_truncation_only():
    @bv.recurrence
    def memoryless(x=bv.Input("n"), h=bv.State("n"), a=bv.Param("n")):
        before = h
        h = bv.tanh(a * x)
        return bv.Step(h=h, output=h, loss=bv.dot(h, before))

    report = check_truncated(bv.generate(memoryless).loss_and_grad, memoryless, Window(3), rng=0)
    assert report.verdict == "verified", report
    assert "every truncation is the full gradient" in str(report)


def test_the_twin_raises_with_the_whole_report():
    assert assert_truncated(detaching(3), cells.elman, Chunks(3, 3), rng=0).verdict == "verified"
    with pytest.raises(bv.CheckFailedError, match="REFUTED") as caught:
        assert_truncated(detaching(3), cells.elman, Window(3), rng=0)
    assert "equals Chunks(k1=3, k2=3)" in caught.value.report.diagnosis


def test_one_seed_gives_one_report():
    a, b = (check_truncated(rerunning(2), cells.elman, Window(3), rng=7) for _ in range(2))
    assert str(a) == str(b)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"fn": 3}, "fn=3; expected a function"),
        ({"rec": lambda h: h}, "expected a Recurrence"),
        ({"estimator": Randomized(0.5)}, "check it with check_unbiased"),
        ({"estimator": Window}, "expected an instance: Full(), Window(tau) or Chunks(k1, k2)"),
        ({"estimator": 8}, "estimator=8; expected an instance"),
        ({"rng": -1}, "rng=-1; expected a non-negative integer"),
        ({"reduction": "max"}, "reduction='max'; expected 'mean', 'sum'"),
        ({"inputs": 5}, "inputs=5; expected a dict"),
        ({"fn": lambda x: 0}, "takes no argument 'W_hx'"),
        ({"fn": lambda q, **kw: 0}, "'q'"),
    ],
    ids=lambda x: x if isinstance(x, str) else "call",
)
def test_wrong_calls_name_the_value_and_what_was_expected(kwargs, words):
    call = {"fn": detaching(2), "rec": cells.elman, "estimator": Chunks(2, 2), "rng": 0} | kwargs
    with pytest.raises(bv.UsageError) as caught:
        check_truncated(call.pop("fn"), call.pop("rec"), call.pop("estimator"), **call)
    assert words in str(caught.value)
