"""Generated kernels of recurrences that feed back their output: three modes, against complex steps (T11)."""

import pickle

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS, draw

import bptt_verify as bv
from bptt_verify.language import inward, outward, run
from bptt_verify.program import evaluate

CELLS = [name for name, rec in ALL_CELLS.items() if rec.feedback]
MODES = ("free", "teacher", "scheduled")
SIZES = {"d": 2, "n": 3, "q": 2, "m": 4, "v": 5}


def arrays_of(rec, T=5, B=2, seed=0):
    """Arrays for one call, of moderate size."""
    arrays = draw(rec, np.random.default_rng(seed), T, B, SIZES)
    return {k: v * 0.6 if k in rec.params else v for k, v in arrays.items()}


def numbers(rec, arrays):
    """Loss, and every gradient by complex steps of the program, entry by entry."""
    known, name = inward(arrays), dict(rec.program.results)["loss"]
    grads = {}
    for block in (*rec.params, *(i for i in rec.inputs if i not in rec.onehot), *rec.initial):
        grads[block] = np.zeros(np.shape(known[block]))
        for at in np.ndindex(grads[block].shape):
            moved = known[block].astype(complex)
            moved[at] += 1e-100j
            grads[block][at] = evaluate(rec.program, {**known, block: moved})[name].imag / 1e-100
    return evaluate(rec.program, known)[name], grads


def close(found, wanted):
    """Equal up to rounding, relative to the largest entry."""
    scale = np.max(np.abs(wanted))
    return np.shape(found) == np.shape(wanted) and np.max(np.abs(found - wanted)) <= 1e-12 * scale


@pytest.mark.parametrize("style", ["fast", "plain"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CELLS)
def test_the_gradient_in_every_mode(name, mode, style):
    rec = bv.with_feedback(ALL_CELLS[name], mode)
    arrays = arrays_of(rec)
    loss, grads = bv.generate(ALL_CELLS[name], feedback=mode, style=style).loss_and_grad(**arrays)
    wanted, truth = numbers(rec, arrays)
    assert abs(loss - wanted) <= 1e-13 * abs(wanted)
    assert grads.keys() == truth.keys()
    assert all(close(grads[k], truth[k]) for k in truth)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CELLS)
def test_the_program_means_what_the_function_does_when_it_is_fed(name, mode):
    rec = bv.with_feedback(ALL_CELLS[name], mode)
    arrays = arrays_of(rec)
    loss, outputs, states = run(rec, arrays)
    trace = bv.generate(rec).forward(**arrays)
    assert abs(trace.loss - loss) <= 1e-13 * abs(loss) and close(trace.outputs, outputs)
    assert trace.states.keys() == states.keys() == rec.carried.keys()
    assert all(close(trace.states[s], states[s]) for s in states)


@pytest.mark.parametrize("name", CELLS)
def test_a_mask_of_ones_is_teacher_forcing_and_one_of_zeros_is_running_freely(name):
    rec = ALL_CELLS[name]
    arrays = arrays_of(rec)
    scheduled = bv.generate(rec, feedback="scheduled")
    for value, mode in ((1, "teacher"), (0, "free")):
        loss, grads = scheduled.loss_and_grad(**arrays, mask=np.full(5, value))
        wanted, truth = bv.generate(rec, feedback=mode).loss_and_grad(**arrays)
        assert abs(loss - wanted) <= 1e-14 * abs(wanted)
        assert all(close(grads[k], truth[k]) for k in truth)


@pytest.mark.parametrize(
    "estimator", [None, bv.Window(2), bv.Chunks(2, 2), bv.Chunks(2, 3), bv.Randomized(0.5)]
)
def test_the_first_row_of_a_mask_is_ignored_and_a_row_serves_the_batch(estimator):
    rec = bv.cells.elman_feedback
    kernel = bv.generate(rec, feedback="scheduled", estimator=estimator)
    arrays = arrays_of(rec)
    arrays |= {"xi": np.array([2.0, 0, 2, 2, 0])} if isinstance(estimator, bv.Randomized) else {}
    mask = np.array([0, 1, 0, 0, 1])
    _, wanted = kernel.loss_and_grad(**arrays, mask=mask)
    for other in (np.array([1, 1, 0, 0, 1]), np.repeat(mask[:, None], 2, axis=1), mask.astype(bool)):
        _, found = kernel.loss_and_grad(**arrays, mask=other)
        assert all(np.array_equal(found[k], wanted[k]) for k in wanted)


def test_masks_turned_inside_and_out_again_are_the_same():
    mask = np.random.default_rng(0).integers(0, 2, size=(5, 2))
    assert np.array_equal(outward(inward({"mask": mask}))["mask"], mask)
    assert np.array_equal(inward({"mask": mask})["mask_next"][:-1], mask[1:])


def test_teacher_forced_jordan_has_no_loop_over_time():
    def loss_and_grad(mode):
        source = bv.generate(bv.cells.jordan, feedback=mode).source
        return source[source.index("def loss_and_grad") : source.index("def vjp")]

    assert "for t in" not in loss_and_grad("teacher")
    assert "for t in" in loss_and_grad("free")


@pytest.mark.parametrize("mode", MODES)
def test_a_series_goes_on_with_what_was_fed_last(mode):
    rec = bv.with_feedback(bv.cells.elman_feedback, mode)
    arrays = arrays_of(rec, T=6)
    kernel = bv.generate(rec)
    whole = kernel.forward(**arrays)
    series = [k for k in arrays if k in ("x", "y", "weights", "mask")]
    first = {k: v[:3] if k in series else v for k, v in arrays.items()}
    if mode == "scheduled":  # the first row chooses what the last step feeds
        first["mask"] = np.concatenate((arrays["mask"][3:4], arrays["mask"][1:3]))
    head = kernel.forward(**first)
    rest = {k: v[3:] if k in series else v for k, v in arrays.items()}
    tail = kernel.forward(**rest | {f"{s}0": head.states[s][-1] for s in rec.carried})
    assert close(np.concatenate((head.outputs, tail.outputs)), whole.outputs)


def test_single_precision_stays_single_whatever_the_mask_is_made_of():
    rec = bv.cells.elman_feedback
    arrays = {k: v.astype(np.float32) for k, v in arrays_of(rec).items()}
    kernel = bv.generate(rec, feedback="scheduled")
    for mask in (np.ones(5), np.ones(5, int), np.ones(5, bool)):
        loss, grads = kernel.loss_and_grad(**arrays, mask=mask)
        assert loss.dtype == np.float32 and {g.dtype for g in grads.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (None, ["mask", "missing"]),
        (np.array([0, 1, 2, 0, 1]), ["mask: 2", "0 (the output is fed) and 1"]),
        (np.array([0, 0.5, 1, 0, 1]), ["mask: 0.5"]),
        (np.ones(4), ["mask: shape=(4, 2)", "(T, B)", "T=5"]),
        (np.ones((5, 3)), ["mask: shape=(5, 3)", "B=2"]),
        (np.array(["a"] * 5), ["mask", "expected 0 and 1"]),
        (np.full(5, np.nan), ["mask: nan"]),
    ],
)
def test_a_wrong_mask_is_refused(mask, words):
    kernel = bv.generate(bv.cells.elman_feedback, feedback="scheduled")
    given = {} if mask is None else {"mask": mask}
    with pytest.raises(bv.ArrayError) as caught:
        kernel.loss_and_grad(**arrays_of(bv.cells.elman_feedback), **given)
    assert all(w in str(caught.value) for w in words), caught.value


def test_a_mask_is_refused_where_nothing_is_scheduled():
    with pytest.raises(bv.ArrayError, match="unknown array 'mask'"):
        bv.generate(bv.cells.jordan).loss_and_grad(**arrays_of(bv.cells.jordan), mask=np.ones(5))


def test_modes_survive_a_pickle():
    kernel = pickle.loads(pickle.dumps(bv.generate(bv.cells.jordan, feedback="teacher")))
    assert kernel.recurrence.mode == "teacher" and kernel.recurrence.name == "jordan"
    assert kernel.source == bv.generate(bv.cells.jordan, feedback="teacher").source


def test_what_is_fed_makes_another_program():
    digests = {bv.with_feedback(bv.cells.jordan, mode).digest for mode in MODES}
    assert len(digests) == 3
    assert bv.with_feedback(bv.cells.jordan, None) is bv.cells.jordan


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("estimator", [bv.Window(1), bv.Window(3), bv.Chunks(2, 2), bv.Chunks(2, 4)])
def test_truncations_hold_state_and_feedback_fixed(mode, estimator):
    rec = bv.with_feedback(bv.cells.elman_feedback, mode)
    bv.assert_truncated(bv.generate(rec, estimator=estimator).loss_and_grad, rec, estimator, rng=0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CELLS)
def test_random_gates_are_right_on_average(name, mode):
    rec = bv.with_feedback(ALL_CELLS[name], mode)
    kernel = bv.generate(rec, estimator=bv.Randomized(0.5))
    bv.assert_unbiased(kernel.loss_and_grad, rec, pi=0.5, rng=0)
