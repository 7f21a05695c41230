"""exposure_terms: the parts of a free-running gradient add up to gradients that are computed apart (T12)."""

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS, draw

import bptt_verify as bv
from bptt_verify.derivation import adjoint, detached
from bptt_verify.language import inward
from bptt_verify.program import evaluate

CELLS = [name for name, rec in ALL_CELLS.items() if rec.feedback]
SIZES = {"d": 2, "n": 3, "q": 2, "m": 4, "v": 5}


def arrays_of(rec, T=6, B=2, seed=0):
    arrays = draw(rec, np.random.default_rng(seed), T, B, SIZES)
    return {k: v * 0.6 if k in rec.params else v for k, v in arrays.items()}


def close(found, wanted, scale):
    return np.max(np.abs(found - wanted)) <= 1e-12 * scale


def fed_constant(rec, arrays):
    """The gradient with all that is fed held at its value: it is given as an input, by complex steps.

    Uses the author's function alone: u is replaced by what the run has fed.
    """
    free = bv.generate(rec).forward(**arrays)
    fed = {u: np.concatenate((arrays[f"{u}0"][None], free.states[u][:-1])) for u in rec.feedback}
    steps, batch = arrays["weights"].shape
    onehot = {n: np.eye(SIZES[rec.declarations[n].sizes[0]]) for n in rec.onehot}

    def loss(params):
        total = 0.0
        for b in range(batch):
            state = {s: arrays[f"{s}0"][b] for s in rec.states}
            for t in range(steps):
                given = {n: arrays[n][t, b] for n in (*rec.inputs, *rec.targets)}
                given = {n: onehot[n][v] if n in onehot else v for n, v in given.items()}
                step = rec.function(**given, **state, **params, **{u: v[t, b] for u, v in fed.items()})
                total += arrays["weights"][t, b] * step.loss
                state = {s: step.states[s] for s in rec.states}
        return total

    params, grads = {p: arrays[p].astype(complex) for p in rec.params}, {}
    for p in params:
        grads[p] = np.zeros(arrays[p].shape)
        for at in np.ndindex(grads[p].shape):
            moved = params[p].copy()
            moved[at] += 1e-100j
            grads[p][at] = loss({**params, p: moved}).imag / 1e-100
    return grads


@pytest.mark.parametrize("mode", ["free", "scheduled"])
@pytest.mark.parametrize("name", CELLS)
def test_the_parts_add_up_to_gradients_that_are_computed_apart(name, mode):
    rec = bv.with_feedback(ALL_CELLS[name], mode)
    arrays = arrays_of(rec)
    parts = bv.exposure_terms(rec, **arrays)
    loss, own = bv.generate(rec).loss_and_grad(**arrays)
    plain = {k: v for k, v in arrays.items() if k != "mask"}
    taught, teacher = bv.generate(rec, feedback="teacher").loss_and_grad(**plain)
    assert abs(parts.loss - loss) <= 1e-13 * abs(loss)
    assert abs(parts.teacher_loss - taught) <= 1e-13 * abs(taught)
    for k in own:
        scale = max(np.max(np.abs(v)) for v in (own[k], teacher[k], parts.paths[k]))
        assert close(parts.detached[k] + parts.paths[k], own[k], scale)
        assert close(parts.paths[k] + parts.exposure[k], own[k] - teacher[k], scale)
        assert close(parts.gradient[k], own[k], scale) and close(parts.teacher[k], teacher[k], scale)


@pytest.mark.parametrize("name", CELLS)
def test_the_detached_part_is_the_gradient_with_what_is_fed_held_constant(name):
    rec = ALL_CELLS[name]
    arrays = arrays_of(rec, T=4)
    parts = bv.exposure_terms(rec, **arrays)
    for p, wanted in fed_constant(rec, arrays).items():
        assert close(parts.detached[p], wanted, np.max(np.abs(wanted)))


def test_there_are_no_paths_where_the_mask_feeds_every_target():
    rec = bv.with_feedback(bv.cells.elman_feedback, "scheduled")
    arrays = {**arrays_of(rec), "mask": np.ones(6)}
    parts = bv.exposure_terms(rec, **arrays)
    assert not parts.path_norms.any() and not any(v.any() for v in parts.paths.values())
    assert not any(np.abs(v).max() > 1e-15 for v in parts.exposure.values())


def test_one_step_has_no_paths():
    parts = bv.exposure_terms(bv.cells.jordan, **arrays_of(bv.cells.jordan, T=1))
    assert parts.path_norms.tolist() == [0.0]
    assert not any(v.any() for v in parts.paths.values())


def test_the_norms_are_those_of_each_step_alone():
    rec, arrays = bv.cells.jordan, arrays_of(bv.cells.jordan, T=3)
    parts = bv.exposure_terms(rec, **arrays)
    assert parts.path_norms[0] == 0 and all(parts.path_norms[1:] > 0)
    whole = np.sqrt(sum(np.sum(np.square(parts.paths[p])) for p in rec.params))
    assert whole <= parts.path_norms.sum() * (1 + 1e-12)
    # Only step 2 is fed an output: its term is the whole sum.
    scheduled = bv.with_feedback(rec, "scheduled")
    alone = bv.exposure_terms(scheduled, **arrays, mask=np.array([0, 0, 1]))
    size = np.sqrt(sum(np.sum(np.square(alone.paths[p])) for p in rec.params))
    assert abs(alone.path_norms[1] - size) <= 1e-12 * size and alone.path_norms[2] == 0


def test_many_steps_are_taken_a_few_at_a_time(monkeypatch):
    rec, arrays = bv.cells.elman_feedback, arrays_of(bv.cells.elman_feedback)
    whole = bv.exposure_terms(rec, **arrays)
    monkeypatch.setattr("bptt_verify.analysis.exposures.ENTRIES", 1)
    again = bv.exposure_terms(rec, **arrays)
    assert np.allclose(again.path_norms, whole.path_norms, rtol=1e-13)
    assert all(close(again.paths[k], v, np.max(np.abs(v)) or 1) for k, v in whole.paths.items())


def test_the_text_shows_both_losses_and_every_block():
    text = str(bv.exposure_terms(bv.cells.jordan, **arrays_of(bv.cells.jordan)))
    assert "teacher-forced" in text and all(f"∂L/∂{p}" in text for p in bv.cells.jordan.params)


def test_detaching_leaves_the_loss_and_the_first_fed_value():
    rec, arrays = bv.cells.jordan, inward(arrays_of(bv.cells.jordan))
    whole = adjoint(rec.program)
    cut = detached(whole)
    values, others = evaluate(whole, arrays), evaluate(cut, arrays)
    assert values[dict(whole.results)["loss"]] == others[dict(cut.results)["loss"]]
    assert others[dict(cut.results)["u0"]].any()


@pytest.mark.parametrize(
    ("rec", "words"),
    [
        (bv.cells.elman, ["exposure_terms", "elman", "no Feedback"]),
        (bv.with_feedback(bv.cells.jordan, "teacher"), ["feedback='teacher' feeds no output", "scheduled"]),
        ("jordan", ["rec='jordan'", "@recurrence"]),
    ],
)
def test_recurrences_without_own_outputs_are_refused(rec, words):
    with pytest.raises(bv.UsageError) as caught:
        bv.exposure_terms(rec)
    assert all(w in str(caught.value) for w in words), caught.value


def test_a_missing_array_is_named():
    with pytest.raises(bv.ArrayError, match=r"jordan.exposure_terms: missing array 'x'"):
        bv.exposure_terms(bv.cells.jordan)
