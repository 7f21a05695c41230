"""Decoders written by hand, right and wrong: each is judged rightly, and a wrong one is told what it does."""

import functools

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS, draw

import bptt_verify as bv
from bptt_verify.derivation import adjoint, detached
from bptt_verify.language import MASK_NEXT, inward
from bptt_verify.program import evaluate
from bptt_verify.verify.cases import recurrence_cases
from bptt_verify.verify.feedbacks import following, leaking, worlds

MODES = ("free", "teacher", "scheduled")


def handwritten(mode, *faults):
    """Loss and gradient of ``elman_feedback``, with some mistakes."""

    def fn(x, y, W_hx, W_hh, W_hu, b_h, W_qh, b_q, h0, u0, weights, mask=None):
        T, B = weights.shape
        chosen = {"free": np.zeros((T, B)), "teacher": np.ones((T, B)), "scheduled": mask}[mode].copy()
        chosen[0] = 0  # the first value is given
        if "mask upside down" in faults:
            chosen[1:] = 1 - chosen[1:]
        if "mask of the step before" in faults:
            chosen[1:] = mask[:-1]
        if "runs freely" in faults:
            chosen[:] = 0
        if "teacher-forced" in faults:
            chosen[1:] = 1
        h, u, o = np.empty((T + 1, *h0.shape)), np.empty((T, *u0.shape)), np.empty((T, *u0.shape))
        h[0] = h0
        for t in range(T):
            m = chosen[t][:, None]
            target = y[t] if {"leaks", "leaks later"} & set(faults) else y[t - 1]
            own = np.where(m > 0, target, o[t - 1]) if t else u0
            u[t] = target if "leaks" in faults else own
            if "zero at first" in faults and t == 0:
                u[t] = 0
            h[t + 1] = np.tanh(x[t] @ W_hx.T + h[t] @ W_hh.T + u[t] @ W_hu.T + b_h)
            o[t] = h[t + 1] @ W_qh.T + b_q
        loss = 0.5 * np.sum(weights[:, :, None] * (o - y) ** 2)
        grads = {k: np.zeros_like(v) for k, v in dict(W_hx=W_hx, W_hh=W_hh, W_hu=W_hu, b_h=b_h).items()}
        grads |= {"W_qh": np.zeros_like(W_qh), "b_q": np.zeros_like(b_q), "x": np.zeros_like(x)}
        dh, du = np.zeros_like(h0), np.zeros_like(u0)
        for t in reversed(range(T)):
            do = weights[t][:, None] * (o[t] - y[t])
            if t + 1 < T and "detaches what is fed" not in faults and "leaks" not in faults:
                open_path = 1.0 if "follows targets" in faults else 1 - chosen[t + 1][:, None]
                do = do + open_path * du
            dh = dh + do @ W_qh
            da = dh * (1 - h[t + 1] ** 2)
            grads["W_qh"] += do.T @ h[t + 1]
            grads["b_q"] += do.sum(0)
            grads["W_hx"] += da.T @ x[t]
            grads["W_hh"] += da.T @ h[t]
            grads["W_hu"] += da.T @ u[t]
            grads["b_h"] += da.sum(0)
            grads["x"][t] = da @ W_hx
            du, dh = da @ W_hu, da @ W_hh
            if "no recurrence" in faults and t:
                dh = np.zeros_like(dh)
        return loss, grads | {"h0": dh} | ({} if {"leaks", "zero at first"} & set(faults) else {"u0": du})

    return fn


@pytest.mark.parametrize("mode", MODES)
def test_a_right_decoder_is_verified(mode):
    report = bv.check_gradient(handwritten(mode), bv.cells.elman_feedback, feedback=mode, rng=0)
    assert report.verdict == "verified" and report.diagnosis is None, report


FREE, TEACHER, SCHEDULED = (f"feedback={mode!r}" for mode in MODES)
WRONG = [
    # what it does, what was asked for, and what the diagnosis says
    (("free", "leaks"), "free", ["target of the same step", "u_t = y_t", "leaks", FREE]),
    (("teacher", "leaks"), "teacher", ["target of the same step", "u_t = y_t", "leaks", TEACHER]),
    (("scheduled", "leaks"), "scheduled", ["target of the same step", "u_t = y_t", "leaks", SCHEDULED]),
    (("teacher", "leaks later"), "teacher", ["u_t = y_t", "leaks", "from the second step on"]),
    (("teacher", "leaks later"), "free", ["u_t = y_t", "leaks", "from the second step on", FREE]),
    (("scheduled", "leaks later"), "scheduled", ["u_t = y_t", "leaks", "where the mask is 1", SCHEDULED]),
    (("teacher",), "free", ["is teacher-forced", FREE, "Loss and gradient are right for that"]),
    (("free",), "teacher", ["runs freely", TEACHER, "Loss and gradient are right for that"]),
    (("scheduled", "runs freely"), "scheduled", ["runs freely", SCHEDULED]),
    (("scheduled", "teacher-forced"), "scheduled", ["is teacher-forced", SCHEDULED]),
    (("free", "detaches what is fed"), "free", ["feedback path is missing", "detached"]),
    (("scheduled", "detaches what is fed"), "scheduled", ["feedback path is missing"]),
    (("teacher", "follows targets"), "teacher", ["follows the feedback path where a target is fed"]),
    (("scheduled", "follows targets"), "scheduled", ["follows the feedback path where a target is fed"]),
    (("scheduled", "mask upside down"), "scheduled", ["the output where the mask is 1"]),
    (("scheduled", "mask of the step before"), "scheduled", ["mask one step late"]),
    (("free", "zero at first"), "free", ["zero at the first step", "u0"]),
    (("free", "no recurrence"), "free", ["the adjoint of h is not carried back"]),
    (("teacher", "no recurrence"), "teacher", ["the adjoint of h is not carried back"]),
    (
        ("teacher", "leaks", "no recurrence"),
        "teacher",
        ["target of the same step", "another mistake besides"],
    ),
    (("free", "teacher-forced", "detaches what is fed"), "free", ["is teacher-forced"]),
]


@pytest.mark.parametrize(("how", "mode", "words"), WRONG)
def test_a_wrong_decoder_is_told_what_it_does(how, mode, words):
    report = bv.check_gradient(handwritten(*how), bv.cells.elman_feedback, feedback=mode, rng=0)
    assert report.verdict == "refuted"
    assert all(w in report.diagnosis for w in words), report.diagnosis


def interpreted(program, change=dict, loss=None):
    """A gradient function from an adjoint program; with another loss, one that is sold as that loss's."""

    def fn(**arrays):
        known = inward(arrays)
        values = evaluate(program, change(known))
        whole = (
            evaluate(loss, known)[dict(loss.results)["loss"]]
            if loss
            else values[dict(program.results)["loss"]]
        )
        return whole, {k: values[v] for k, v in program.results if k != "loss"}

    return fn


CELLS = ["decoder", "residual_output"]  # the catalogue's are among the decoders above


@functools.cache
def modes_of(name):
    return {mode: bv.with_feedback(ALL_CELLS[name], mode) for mode in MODES}


# Every model is there with the decoder; with two Feedbacks, in the mode that has most of them.
@pytest.mark.parametrize(
    ("name", "mode"), [*(("decoder", mode) for mode in MODES), ("residual_output", "scheduled")]
)
def test_every_model_of_feedback_is_told_from_the_right_one(name, mode):
    rec = modes_of(name)[mode]
    _, *others = worlds(rec)
    for world in others:
        report = bv.check_gradient(interpreted(adjoint(world.program), world.given), rec, rng=1)
        assert report.verdict == "refuted" and world.description in report.diagnosis, report.diagnosis


@pytest.mark.parametrize(
    ("mode", "sold", "words"),
    [
        ("free", "teacher", "belongs to a function that is teacher-forced"),
        ("teacher", "free", "belongs to a function that runs freely"),
        ("scheduled", "free", "belongs to a function that runs freely"),
        ("scheduled", "teacher", "belongs to a function that is teacher-forced"),
    ],
)
@pytest.mark.parametrize("name", ["decoder"])
def test_a_gradient_sold_as_that_of_another_mode(name, mode, sold, words):
    rec = modes_of(name)[mode]
    fn = interpreted(adjoint(modes_of(name)[sold].program), loss=rec.program)
    report = bv.check_gradient(fn, rec, rng=1)
    assert report.verdict == "refuted" and words in report.diagnosis, report.diagnosis
    assert report.diagnosis.startswith("the loss is right")


@pytest.mark.parametrize("name", CELLS)
def test_a_path_too_few_and_a_path_too_many(name):
    for mode in ("free", "scheduled"):
        rec = modes_of(name)[mode]
        report = bv.check_gradient(interpreted(detached(adjoint(rec.program))), rec, rng=1)
        assert "feedback path is missing" in report.diagnosis
    for mode in ("teacher", "scheduled"):
        rec = modes_of(name)[mode]
        report = bv.check_gradient(interpreted(following(rec)), rec, rng=1)
        assert "follows the feedback path where a target is fed" in report.diagnosis


def test_a_leak_of_the_gradient_alone():
    rec = modes_of("jordan")["teacher"]
    fn = interpreted(adjoint(leaking(rec).program), loss=rec.program)
    report = bv.check_gradient(fn, rec, rng=1)
    assert "the loss is right" in report.diagnosis and "leaks" in report.diagnosis


def test_drawn_masks_are_whole_numbers_of_both_kinds():
    rec = modes_of("jordan")["scheduled"]
    masks = [c.arrays[MASK_NEXT] for c in recurrence_cases(rec, np.random.default_rng(0))]
    assert {m.dtype.kind for m in masks} == {"i"} and set(np.concatenate([m.ravel() for m in masks])) == {
        0,
        1,
    }


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "missing array 'mask'"),
        ({"mask": np.array([0, 3.0, 1, 0])}, "mask: 3.0 is in it"),
    ],
)
def test_own_inputs_of_a_scheduled_check_need_a_mask(inputs, words):
    arrays = draw(bv.cells.elman_feedback, np.random.default_rng(0))
    with pytest.raises(bv.UsageError, match=words):
        bv.check_gradient(
            handwritten("scheduled"),
            bv.cells.elman_feedback,
            feedback="scheduled",
            inputs={**arrays, **inputs},
        )


def test_own_inputs_with_a_mask_of_one_row_for_the_batch():
    arrays = {**draw(bv.cells.elman_feedback, np.random.default_rng(0)), "mask": np.array([1, 0, 1, 1])}
    report = bv.check_gradient(
        handwritten("scheduled"), bv.cells.elman_feedback, feedback="scheduled", inputs=arrays, rng=0
    )
    assert report.verdict == "verified", report


def test_a_scheduled_function_must_take_the_mask():
    def fn(x, y, W_hx, W_hu, b_h, W_qh, b_q):
        raise AssertionError

    with pytest.raises(bv.UsageError, match="takes no argument 'mask'"):
        bv.check_gradient(fn, bv.cells.jordan, feedback="scheduled")


def test_feedback_is_refused_where_there_is_none():
    with pytest.raises(bv.UsageError, match="no Feedback is declared"):
        bv.check_gradient(lambda **a: None, bv.cells.elman, feedback="teacher")
    with pytest.raises(bv.UsageError, match="with a loss function"):
        bv.check_gradient(lambda **a: None, lambda **a: 0.0, inputs={"w": np.ones(2)}, feedback="teacher")
    with pytest.raises(
        bv.UsageError, match=r"feedback='forced'; expected one of 'free', 'teacher', 'scheduled'"
    ):
        bv.generate(bv.cells.jordan, feedback="forced")


@pytest.mark.parametrize("loss", [None, "none", np.ones(2)])
def test_a_loss_that_is_no_number_is_reported_and_ends_nothing(loss):
    right = handwritten("teacher")
    report = bv.check_gradient(
        lambda **arrays: (loss, right(**{k: v for k, v in arrays.items() if k != "mask"})[1]),
        bv.cells.elman_feedback, feedback="free", rng=0,
    )  # fmt: skip
    assert report.verdict == "refuted" and "loss" in str(report)
