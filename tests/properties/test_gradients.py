"""Gradients of random recurrences: against complex step, and forward against reverse mode (T1, T2)."""

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS, draw
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bptt_verify.codegen.kernel import generate
from bptt_verify.derivation import jacobian
from bptt_verify.language import MODES, inward, run, with_feedback
from bptt_verify.program import evaluate
from bptt_verify.testing.strategies import recurrences

SIZES = {"d": 2, "n": 3, "m": 4}
TOLERANCE = 1e-10
STEP = 1e-30

slow = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
calls = {
    "T": st.integers(1, 4),
    "B": st.integers(1, 2),
    "seed": st.integers(0, 2**32 - 1),
    "style": st.sampled_from(["fast", "plain"]),
}


def single_rounding(kernel, arrays, gradient):
    """Per block, the rounding error in single precision: 2**29 times that in double precision.

    It is large where terms cancel (1 - s² of a saturated unit). A wrong formula is equally wrong in both,
    so this tells of rounding and of nothing else.
    """
    single = {
        n: np.asarray(a, np.float32) if np.asarray(a).dtype.kind == "f" else a for n, a in arrays.items()
    }
    _, rough = kernel.loss_and_grad(**single)
    return {n: np.linalg.norm(rough[n] - g) for n, g in gradient.items()}


def check_gradient(arrays, gradient, loss, rng, rounding):
    """Each block along two random directions, and in one entry, against complex step."""
    for block, g in gradient.items():
        shape = np.shape(arrays[block])
        assert g.shape == shape
        one = np.zeros(shape)
        one[tuple(rng.integers(0, shape))] = 1.0
        for direction in (rng.normal(size=shape), rng.normal(size=shape), one):
            wanted = loss({**arrays, block: arrays[block] + 1j * STEP * direction}).imag / STEP
            allowed = TOLERANCE * np.linalg.norm(g) + 32 * 2.0**-29 * rounding.get(block, 0.0)
            allowed *= np.linalg.norm(direction)
            assert abs(np.sum(g * direction) - wanted) <= allowed, block


def check_duality(kernel, arrays, gradient, rng):
    """⟨cotangent, tangent out⟩ = ⟨gradient, tangent in⟩, for outputs and final states, and for the loss."""
    tangents = {n: rng.normal(size=np.shape(arrays[n])) for n in gradient}
    loss, outputs, states = kernel.jvp(arrays, tangents)
    terms = {n: gradient[n] * tangents[n] for n in gradient}
    size = sum(np.sum(np.abs(v)) for v in terms.values())
    assert abs(loss - sum(np.sum(v) for v in terms.values())) <= TOLERANCE * size
    last = {s: v[-1] for s, v in states.items()} | ({} if outputs is None else {"output": outputs})
    cotangents = {n: rng.normal(size=np.shape(v)) for n, v in last.items()}
    pulled = kernel.vjp(arrays, cotangents)
    assert pulled.keys() == gradient.keys()
    out = [cotangents[n] * v for n, v in last.items()]
    back = [pulled[n] * tangents[n] for n in pulled]
    size = sum(np.sum(np.abs(v)) for v in (*out, *back))
    assert abs(sum(map(np.sum, out)) - sum(map(np.sum, back))) <= TOLERANCE * size


def loss_of(rec):
    name = dict(rec.program.results)["loss"]
    return lambda arrays: evaluate(rec.program, arrays)[name]


@slow
@given(rec=recurrences(), **calls)
def test_gradients_of_random_recurrences(rec, T, B, seed, style):
    rng = np.random.default_rng(seed)
    arrays = draw(rec, rng, T, B, SIZES, scale=0.4)
    kernel = generate(rec, style=style)
    loss, gradient = kernel.loss_and_grad(**arrays)
    rounding = single_rounding(kernel, arrays, gradient)
    assume(all(rounding[n] <= 0.1 * np.linalg.norm(g) for n, g in gradient.items()))
    assert gradient.keys() == {*rec.inputs, *rec.params, *(f"{s}0" for s in rec.carried)}
    assert abs(loss - loss_of(rec)(arrays)) <= 1e-12 * max(1.0, abs(loss))
    check_gradient(arrays, gradient, loss_of(rec), rng, rounding)
    check_duality(kernel, arrays, gradient, rng)


@slow
@given(rec=recurrences(feedback=True), mode=st.sampled_from(MODES), **calls)
def test_gradients_of_random_recurrences_that_feed_back(rec, mode, T, B, seed, style):
    rec, rng = with_feedback(rec, mode), np.random.default_rng(seed)
    given_arrays = draw(rec, rng, T, B, SIZES, scale=0.4)
    kernel = generate(rec, style=style)
    loss, gradient = kernel.loss_and_grad(**given_arrays)
    assert abs(loss - run(rec, given_arrays)[0]) <= 1e-11 * max(1.0, abs(loss))
    rounding = single_rounding(kernel, given_arrays, gradient)
    assume(all(rounding[n] <= 0.1 * np.linalg.norm(g) for n, g in gradient.items()))
    arrays = inward(given_arrays)
    check_gradient(arrays, gradient, loss_of(rec), rng, rounding)
    check_duality(kernel, arrays, gradient, rng)


@slow
@given(rec=recurrences(), T=calls["T"], B=calls["B"], seed=calls["seed"])
def test_random_recurrences_mean_what_their_functions_do(rec, T, B, seed):
    arrays = draw(rec, np.random.default_rng(seed), T, B, SIZES)
    loss, outputs, states = run(rec, arrays)
    values, results = evaluate(rec.program, arrays), dict(rec.program.results)
    pairs = [(values[results["output"]], outputs), *((values[results[s]], v) for s, v in states.items())]
    for found, wanted in pairs:
        assert found.shape == wanted.shape
        assert np.max(np.abs(found - wanted)) <= 1e-12 * np.max(np.abs(wanted))
    _, step_loss = rec.program.equation[results["loss"]].operands
    size = np.sum(np.abs(arrays["weights"] * values[step_loss.name]))
    assert abs(values[results["loss"]] - loss) <= 1e-12 * size


def reference(rec):
    """The author's function; the traced program where Python's own ``abs`` would drop the complex step."""
    if rec.name == "many_functions":
        return lambda moved: evaluate(rec.program, moved)[dict(rec.program.results)["loss"]]
    return lambda moved: run(rec, moved)[0]


@pytest.mark.parametrize("name", ALL_CELLS)
@pytest.mark.parametrize(("T", "B"), [(1, 1), (4, 2)])
def test_gradients_of_cells(name, T, B):
    rec, rng = ALL_CELLS[name], np.random.default_rng(T)
    arrays = draw(rec, rng, T, B)
    kernel = generate(rec)
    _, gradient = kernel.loss_and_grad(**arrays)
    check_gradient(arrays, gradient, reference(rec), rng, rounding={})
    check_duality(kernel, arrays, gradient, rng)


@pytest.mark.parametrize("name", ALL_CELLS)
def test_local_jacobians_of_cells(name):
    """One step, so that the whole derivative of a state is its local one."""
    rec = ALL_CELLS[name]
    arrays = draw(rec, np.random.default_rng(0), 1, 1)
    program, results = jacobian(rec.program), dict(rec.program.results)
    values = evaluate(program, arrays)
    for key, result in program.results:
        state, other = key[1:].split("/d")
        block = f"{other}0" if other in rec.carried else other
        found = np.asarray(values[result], float)[0, 0]
        wanted = np.zeros(found.shape)
        for index in np.ndindex(np.shape(arrays[block])):
            moved = np.array(arrays[block], complex)
            moved[index] += 1j * STEP
            column = evaluate(rec.program, {**arrays, block: moved})[results[state]][0, 0].imag / STEP
            inner = index if block == other and block in rec.params else index[2 - (block != other) :]
            wanted[(..., *inner)] = column
        assert np.max(np.abs(found - wanted)) <= 1e-13 * max(np.max(np.abs(wanted)), 1e-3), key
