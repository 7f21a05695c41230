"""Recurrences at fixed sizes: every check that draws its own inputs keeps to them."""

import pickle

import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify.testing import gradient_test
from bptt_verify.verify import recurrence_cases

ELMAN = bv.cells.elman
SIZES = {"n": 5, "q": 2, "T": 4, "B": 3}


def written_for(sizes, change=dict):
    """A function that fails on inputs of other sizes, and what is done to its gradients."""
    right = bv.generate(ELMAN).loss_and_grad

    def loss_and_grad(**arrays):
        steps, batch, _ = arrays["x"].shape
        (q, n), d = arrays["W_qh"].shape, arrays["W_hx"].shape[1]
        seen = {"T": steps, "B": batch, "n": n, "q": q, "d": d}
        if any(seen[w] != size for w, size in sizes.items()):
            raise ValueError(f"operands could not be broadcast together: {seen}")
        loss, grads = right(**arrays)
        return loss, change(grads)

    return loss_and_grad


def turned(grads):
    """One gradient is transposed."""
    return {**grads, "W_hh": grads["W_hh"].T.copy()}


@pytest.mark.parametrize("sizes", [SIZES, {"n": 7}, {"T": 1}, {"B": 1, "d": 1}])
def test_a_function_that_is_written_for_sizes(sizes):
    rec = bv.with_sizes(ELMAN, **sizes)
    assert bv.check_gradient(written_for(sizes), rec, rng=0).verdict == "verified"
    wrong = bv.check_gradient(written_for(sizes, turned), rec, rng=0)
    assert {f.block for f in wrong.findings} == {"W_hh"}
    assert "the gradient of W_hh is returned transposed" in wrong.cause


def test_every_check_keeps_to_the_sizes():
    rec = bv.with_sizes(ELMAN, **SIZES)
    fn = written_for(SIZES)
    gradient_test(rec, max_examples=10)(fn)()
    assert bv.campaign(fn, rec, examples=4).verdict == "verified"
    window = bv.generate(ELMAN, estimator=bv.Window(2)).loss_and_grad
    assert bv.check_truncated(window, rec, bv.Window(2), rng=0).verdict == "verified"


def test_a_campaign_at_other_sizes_is_another_one(tmp_path):
    results = tmp_path / "results.jsonl"
    fn = written_for({})
    bv.campaign(fn, bv.with_sizes(ELMAN, n=2), examples=2, path=results)
    with pytest.raises(bv.UsageError, match="sizes"):
        bv.campaign(fn, bv.with_sizes(ELMAN, n=3), examples=2, path=results)


def test_cases_that_differ_by_their_length_only_are_drawn_once():
    cases = list(recurrence_cases(bv.with_sizes(ELMAN, T=3, n=9), np.random.default_rng(0)))
    assert all(len(c.arrays["x"]) == 3 and c.arrays["b_h"].shape == (9,) for c in cases)
    names = [c.name for c in cases]
    assert len(names) == len(set(names)) and not any("one step" in n or "long" in n for n in names)


def test_the_script_and_the_smallest_inputs_keep_to_them():
    report = bv.check_gradient(written_for({"n": 3}, turned), bv.with_sizes(ELMAN, n=3), rng=0)
    assert report.smallest == "T=1, B=1, d=1, q=1, n=3"
    wide = bv.check_gradient(written_for({"n": 40}, turned), bv.with_sizes(ELMAN, n=40), rng=0)
    assert "bv.with_sizes(bv.cells.elman, n=40), rng=0)" in wide.script


def test_sizes_are_pickled_and_shown_and_added_to():
    rec = bv.with_sizes(bv.with_sizes(ELMAN, n=3, d=2), d=4)
    assert pickle.loads(pickle.dumps(rec)).fixed == {"n": 3, "d": 4}
    assert repr(rec).endswith("n=3, d=4>") and ELMAN.fixed == {}
    assert bv.with_feedback(bv.with_sizes(bv.cells.jordan, n=3), "teacher").fixed == {"n": 3}


def test_a_function_that_fails_everywhere_is_told_of_them():
    report = bv.check_gradient(written_for({"n": 100}), ELMAN, rng=0)
    assert any("with_sizes(elman, d=…, q=…, n=…)" in n for n in report.notes)
    told = bv.check_gradient(written_for({}, turned), ELMAN, rng=0).notes
    assert not any("with_sizes" in n for n in told)


def test_a_function_of_one_sequence_is_told_of_the_layout():
    def one_sequence(x, W_hx, W_hh, b_h, h0, **others):
        h = [h0]
        for row in x:
            h.append(np.tanh(W_hx @ row + W_hh @ h[-1] + b_h))
        return 0.0, h[0], h[1]

    notes = bv.check_gradient(one_sequence, ELMAN, rng=0).notes
    assert any("runs on single sequences (T, …): check adapt(fn, layout='sequence')" in n for n in notes)


@pytest.mark.parametrize(
    ("rec", "sizes", "said"),
    [
        (ELMAN, {"m": 3}, "m=3; expected sizes among d, n, q, T, B"),
        (ELMAN, {"n": 0}, "n=0; expected a whole number, at least 1"),
        (ELMAN, {"n": 2.0}, "n=2.0; expected a whole number"),
        (ELMAN, {"T": True}, "T=True; expected a whole number"),
        (bv.cells.elman_charlm, {"v": 1}, "v=1; expected a whole number, at least 2"),
        (ELMAN.function, {"n": 2}, "expected a Recurrence"),
    ],
)
def test_what_no_size_can_be_is_refused(rec, sizes, said):
    with pytest.raises(bv.UsageError, match=said):
        bv.with_sizes(rec, **sizes)


def test_a_recurrence_in_the_place_of_the_function_is_refused():
    with pytest.raises(bv.UsageError, match="fn=elman, a recurrence; expected a function first"):
        bv.check_gradient(ELMAN, bv.generate(ELMAN).loss_and_grad)
