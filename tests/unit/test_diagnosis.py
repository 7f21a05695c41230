"""What a refuted report says: one mistake or two, another model, the smallest inputs, a script."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from mistakes_for_tests import function_of

import bptt_verify as bv
from bptt_verify.derivation import adjoint
from bptt_verify.mutants import mutants
from bptt_verify.mutants.models import models
from bptt_verify.program import evaluate
from bptt_verify.verify import recurrence_cases
from bptt_verify.verify.adapters import Adapted
from bptt_verify.verify.cases import REGIMES
from bptt_verify.verify.combinations import two_mistakes
from bptt_verify.verify.diagnosis import calls_of
from bptt_verify.verify.halfcut import cut_program
from bptt_verify.verify.wrongmodels import gradient_fits, model_named

ELMAN = bv.cells.elman


def mistaken(rec, *names):
    """The adjoint with these mistakes, one made after the other."""
    program = adjoint(rec.program)
    for name in names:
        program = next(m for m in mutants(program) if m.name == name).program
    return program


def calls(program, rec=ELMAN, **ways):
    """What such a function returns on some telling inputs, the smallest first."""
    cases = [c.arrays for c in recurrence_cases(rec, np.random.default_rng(4), REGIMES[:4])]
    return calls_of(Adapted(function_of(program, **ways), None), cases)


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_another_model_is_named_where_loss_and_gradient_are_right_for_it(cell):
    rec = getattr(bv.cells, cell)
    every = list(models(rec.program))
    for model in every if cell == "elman" else every[::10]:
        found = calls(adjoint(model.program), rec, given=model.given, returned=model.returned)
        said = model_named(rec, found)
        assert "Loss and gradient are right for that" in said, (model, said)
        others = [m for m in every if m.name in said.rpartition("[")[2]]
        assert model in others or any(same_numbers(rec, model, o) for o in others), (model, said)


def same_numbers(rec, one, two):
    """Whether two models have the same gradients, as those of one sequence where there is only one."""
    found = calls(adjoint(one.program), rec, given=one.given, returned=one.returned)
    return gradient_fits(adjoint(two.program), two, found)


def test_models_of_gated_cells():
    found = {m.name for m in models(bv.cells.gru.program)}
    assert {"complement of z_t in h", "no factor r_t in n_pre", "gates of r_pre and z_pre"} <= found
    assert "gates of i_pre and f_pre" in {m.name for m in models(bv.cells.lstm.program)}


def test_another_model_with_a_mistake_in_its_gradient():
    model = next(m for m in models(ELMAN.program) if m.name == "sigmoid for tanh in h")
    program = next(m for m in mutants(adjoint(model.program)) if m.name == "no dh0").program
    said = model_named(ELMAN, calls(program))
    assert "it applies sigmoid in h, where tanh belongs" in said
    assert "Besides, the gradient of h0 is missing (zero)" in said


def test_a_gradient_of_another_model_under_a_right_loss():
    model = next(m for m in models(ELMAN.program) if m.name == "first sequence only")
    right, other = adjoint(ELMAN.program), adjoint(model.program)

    def loss_and_grad(**arrays):
        loss, _ = function_of(right)(**arrays)
        return loss, function_of(other, model.given)(**arrays)[1]

    report = bv.check_gradient(loss_and_grad, ELMAN, rng=4)
    assert "right one of another model, which counts the first sequence of the batch only" in report.diagnosis


@pytest.mark.parametrize(
    "names",
    [
        ("missing transpose: W_hh in h_prev_bar", "h_t for h_{t-1} in W_hh_bar"),
        ("no slope of tanh for h", "missing transpose: W_hh in h_prev_bar"),
        ("no dh0", "no db_q"),
        ("slope of tanh at a", "no h0 in W_hh_bar"),
        ("no carried adjoint: h", "only step 1 in W_qh_bar"),
    ],
    ids=" and ".join,
)
def test_two_mistakes_are_found(names):
    said = two_mistakes(adjoint(ELMAN.program), calls(mistaken(ELMAN, *names)))
    descriptions = {m.name: m.description for m in mutants(adjoint(ELMAN.program))}
    assert all(descriptions[n] in said for n in names), said
    assert said.startswith("two mistakes: ")


def test_a_mistake_and_a_factor_are_found():
    program = mistaken(ELMAN, "missing transpose: W_hh in h_prev_bar", "times T")
    said = bv.check_gradient(function_of(program), ELMAN, rng=4).diagnosis
    assert "W_hh is used where its transpose belongs" in said
    assert "the whole gradient is T times the right one" in said


def test_a_factor_of_one_block_is_named_by_all_cases():
    def loss_and_grad(**arrays):
        loss, grads = function_of(adjoint(ELMAN.program))(**arrays)
        batch = arrays["weights"].shape[1]
        return loss, {**grads, "b_h": grads["b_h"] / batch, "W_qh": -grads["W_qh"]}

    said = bv.check_gradient(loss_and_grad, ELMAN, rng=4).diagnosis
    assert "the gradient of b_h is 1/B times the right one" in said
    assert "the gradient of W_qh is -1 times the right one" in said


def test_what_no_catalogue_has_is_not_named():
    def loss_and_grad(**arrays):
        loss, grads = function_of(adjoint(ELMAN.program))(**arrays)
        return loss, {k: g + 0.01 * np.sin(np.arange(g.size)).reshape(g.shape) for k, g in grads.items()}

    report = bv.check_gradient(loss_and_grad, ELMAN, rng=4)
    assert report.verdict == "refuted" and report.diagnosis is None
    assert report.findings and report.smallest and report.script
    assert "  likely cause: no known mistake was found that gives these numbers\n" in str(report)


def test_the_smallest_inputs_need_two_states_for_a_transpose_and_two_steps_for_a_lost_path():
    turned = bv.check_gradient(
        function_of(mistaken(ELMAN, "missing transpose: W_hh in h_prev_bar")), ELMAN, rng=4
    )
    assert turned.smallest == "T=1, B=1, d=1, q=1, n=2"
    lost = bv.check_gradient(function_of(mistaken(ELMAN, "no carried adjoint: h")), ELMAN, rng=4)
    assert lost.smallest == "T=2, B=1, d=1, q=1, n=1"  # T = 1 shows nothing: dh0 is not carried by h_bar


def test_a_function_that_raises_is_shrunk_to_where_it_raises():
    def loss_and_grad(**arrays):
        if len(arrays["x"]) > 3:
            raise IndexError("too long")
        return function_of(adjoint(ELMAN.program))(**arrays)

    report = bv.check_gradient(loss_and_grad, ELMAN, rng=4)
    assert report.smallest is not None and report.smallest.startswith("T=4, B=1, ")


def test_the_text_is_verdict_place_cause_script():
    report = bv.check_gradient(function_of(mistaken(ELMAN, "no dh0")), ELMAN, rng=4)
    text = str(report).splitlines()
    order = [next(k for k, line in enumerate(text) if line.startswith(start)) for start in (
        "REFUTED: ", "  where: ", "  likely cause: ", "  smallest found: ", "  to reproduce:", "  tested ",
    )]  # fmt: skip
    assert order == sorted(order) and order[0] == 0


MINE = """
    import numpy as np

    def loss_and_grad(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0):
        T, B, _ = x.shape
        h = [h0]
        for t in range(T):
            h.append(np.tanh(x[t] @ W_hx.T + h[t] @ W_hh.T + b_h))
        error = np.array(h[1:]) @ W_qh.T + b_q - y
        grads = {k: np.zeros_like(v) for k, v in dict(W_hx=W_hx, W_hh=W_hh, b_h=b_h).items()}
        grads |= {"W_qh": np.einsum("tbq,tbn->qn", error, np.array(h[1:])) / (T * B)}
        grads |= {"b_q": error.sum(axis=(0, 1)) / (T * B)}
        carried = np.zeros_like(h0)
        for t in reversed(range(T)):
            da = (error[t] @ W_qh / (T * B) + carried) * (1 - h[t + 1] ** 2)
            grads["W_hx"] += da.T @ x[t]
            grads["W_hh"] += da.T @ h[t + 1]  # wrong
            grads["b_h"] += da.sum(axis=0)
            carried = da @ W_hh
        return 0.5 * np.sum(error**2) / (T * B), grads | {"h0": carried}

    def loss(**arrays):
        return loss_and_grad(**arrays)[0]

    def draw(rng):
        T, B = rng.integers(1, 3, size=2)
        shapes = {"x": (T, B, 1), "y": (T, B, 1), "W_hx": (2, 1), "W_hh": (2, 2), "b_h": (2,)}
        shapes |= {"W_qh": (1, 2), "b_q": (1,), "h0": (B, 2)}
        return {k: rng.normal(size=s) for k, s in shapes.items()}
"""


@pytest.mark.parametrize("against", ["elman", "loss"])
def test_the_script_runs_and_finds_the_same(tmp_path, monkeypatch, against):
    (tmp_path / "mine_in_a_script.py").write_text(textwrap.dedent(MINE))
    monkeypatch.syspath_prepend(tmp_path)
    import mine_in_a_script as mine

    try:
        if against == "elman":
            report = bv.check_gradient(mine.loss_and_grad, ELMAN, rng=7)
        else:
            report = bv.check_gradient(mine.loss_and_grad, mine.loss, inputs=mine.draw, rng=7)
        script = report.script
    finally:
        del sys.modules["mine_in_a_script"]
    assert report.verdict == "refuted" and "from mine_in_a_script import loss_and_grad" in script
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("REFUTED: loss_and_grad against "), done.stderr
    assert "dL/dW_hh" in done.stdout


def test_given_inputs_are_not_shrunk():
    rng = np.random.default_rng(0)
    shapes = {
        "x": (3, 2, 1),
        "y": (3, 2, 1),
        "W_hx": (2, 1),
        "W_hh": (2, 2),
        "b_h": (2,),
        "W_qh": (1, 2),
        "b_q": (1,),
    }
    arrays = {k: rng.normal(size=s) for k, s in shapes.items()}
    program = mistaken(ELMAN, "doubled")
    report = bv.check_gradient(function_of(program), ELMAN, inputs=arrays, rng=4)
    assert report.smallest.startswith("the given inputs (x (3, 2, 1), ")
    assert repr(arrays["W_hh"].tolist()) in report.script


def plain(a, b, c):
    return np.sum(np.tanh(a @ c) * (b @ c))


def plain_gradient(a, b, c):
    slope, other = (1 - np.tanh(a @ c) ** 2) * (b @ c), np.tanh(a @ c)
    grads = {"a": np.outer(slope, c), "b": np.outer(other, c), "c": a.T @ slope + b.T @ other}
    return plain(a, b, c), grads


def draw_plain(rng):
    return {"a": rng.normal(size=(3, 3)), "b": rng.normal(size=(3, 3)), "c": rng.normal(size=3)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda g: {**g, "a": g["b"], "b": g["a"]}, "the gradients of a and b change places"),
        (lambda g: {**g, "a": g["a"].T}, "the gradient of a is transposed"),
        (
            lambda g: {**g, "a": 2 * g["a"], "c": -g["c"]},
            "two mistakes: the gradient of a is doubled; and the ",
        ),
        (lambda g: {**g, "c": g["c"] + 0.1}, None),
    ],
)
def test_of_a_plain_loss_the_numbers_are_diagnosed(change, said):
    def wrong(**arrays):
        loss, grads = plain_gradient(**arrays)
        return loss, change(grads)

    assert bv.check_gradient(plain_gradient, plain, inputs=draw_plain, rng=0).verdict == "verified"
    report = bv.check_gradient(wrong, plain, inputs=draw_plain, rng=0)
    assert report.verdict == "refuted"
    assert (report.diagnosis is None) if said is None else report.diagnosis.startswith(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda g, a: {k: v * min(1, 0.1 / np.linalg.norm(v)) for k, v in g.items()},
            "clipped by its own norm",
        ),
        (
            lambda g, a: {k: np.clip(v, -0.05, 0.05) for k, v in g.items()},
            "clipped to ±0.05 element by element",
        ),
        (lambda g, a: {**g, "W_hh": g["W_hh"] + 0.01 * a["W_hh"]}, "weight decay"),
        (lambda g, a: {k: v.astype(np.float16).astype(float) for k, v in g.items()}, "half precision"),
        (lambda g, a: {k: np.zeros_like(v) for k, v in g.items()}, "zero throughout"),
    ],
)
def test_what_is_done_to_a_right_gradient_afterwards_is_named(change, said):
    right = function_of(adjoint(ELMAN.program))

    def wrong(**arrays):
        loss, grads = right(**arrays)
        return loss, change(grads, arrays)

    report = bv.check_gradient(wrong, ELMAN, rng=4)
    assert report.verdict == "refuted" and said in report.diagnosis


@pytest.mark.parametrize("cell", ["linear", "elman_relu", "elman_charlm", "jordan"])
def test_every_slip_can_be_run_with_every_other_mistake(cell):
    rec = getattr(bv.cells, cell)
    arrays = next(iter(recurrence_cases(rec, np.random.default_rng(0), REGIMES[1:2]))).arrays
    for first in mutants(adjoint(rec.program), rare=True)[::3]:
        for second in mutants(first.program)[::3]:
            with np.errstate(all="ignore"):
                values = evaluate(second.program, arrays)
            assert all(np.shape(values[v]) == np.shape(arrays[k]) for k, v in second.program.results[1:])


def test_chunks_that_detach_one_state_of_two_are_named():
    cut, rest = "c", "h"
    program, gate = cut_program(adjoint(bv.cells.lstm.program), [cut])

    def half_detached(**arrays):
        open_ = np.arange(1, len(arrays["x"]) + 1) % 3 != 0
        ready = {**arrays, gate: np.broadcast_to(open_[:, None], arrays["weights"].shape)}
        return function_of(program)(**ready)

    report = bv.check_truncated(half_detached, bv.cells.lstm, bv.Chunks(3, 3), rng=0)
    assert report.verdict == "refuted"
    assert f"chunks of 3 steps at whose ends {cut} is detached, but {rest} is not" in report.diagnosis


def test_a_function_of_any_arrays_is_not_sent_weights_where_the_reduction_is_said():
    right = function_of(adjoint(ELMAN.program))

    def summed(**arrays):
        return right(**{"weights": np.ones(arrays["x"].shape[:2]), **arrays})

    report = bv.check_gradient(summed, ELMAN, reduction="sum", rng=4)
    assert report.verdict == "verified"
    assert "no weights are sent: it is judged with reduction='sum'" in report.notes

    def naming(weights, **arrays):
        return right(weights=weights, **arrays)

    report = bv.check_gradient(naming, ELMAN, reduction="sum", rng=4)
    assert report.verdict == "verified"
    assert "reduction= is not used: the function takes weights, and they were sent" in report.notes


def test_a_form_that_is_wrong_is_the_cause_and_no_other_is_named():
    def misspelt(**arrays):
        loss, grads = function_of(adjoint(ELMAN.program))(**arrays)
        return loss, {"Whh" if k == "W_hh" else k: v for k, v in grads.items()}

    def flat(**arrays):
        loss, grads = function_of(adjoint(ELMAN.program))(**arrays)
        return loss, *grads.values()

    assert bv.check_gradient(misspelt, ELMAN, rng=4).diagnosis is None
    report = bv.check_gradient(flat, ELMAN, rng=4)
    assert report.diagnosis is None
    assert "the function returned a tuple of 8; expected (loss, gradients by name)" in report.findings[0].what
    assert "bptt_verify.adapt" in report.findings[0].what


def test_one_sequence_is_left_where_it_is_enough():
    right = function_of(adjoint(ELMAN.program))

    def clipped(**arrays):
        loss, grads = right(**arrays)
        return loss, {k: np.clip(g, -0.5, 0.5) for k, g in grads.items()}

    report = bv.check_gradient(clipped, ELMAN, reduction="sum", rng=4)
    assert report.smallest is not None and "B=1, " in report.smallest
