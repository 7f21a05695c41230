"""Programs of single steps: the loss with states held fixed, J_t, products of vectors with J_t and A_t."""

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS, draw

from bptt_verify.cells import CATALOGUE, elman, lstm
from bptt_verify.derivation import (
    adjoint,
    jacobian,
    previous,
    state_jacobians,
    state_products,
    states_of,
    step_loss,
    with_own_parameters,
)
from bptt_verify.program import components, evaluate

T, B = 4, 2


def arrays_of(rec, seed=0):
    return draw(rec, np.random.default_rng(seed), T, B, scale=0.7)


def results_of(program, arrays):
    values = evaluate(program, arrays)
    return {k: values[v] for k, v in program.results}


def given_of(rec, arrays):
    """The states before and after each step, by key."""
    values = evaluate(rec.program, arrays)
    after = {s: values[v] for s, v in states_of(rec.program).items()}
    return {previous(s): np.concatenate((arrays[f"{s}0"][None], a[:-1])) for s, a in after.items()} | after


def at(step, arrays, given):
    return results_of(step.program, arrays | {a.name: given[key] for key, a in step.given.items()})


def vectors_of(rec, arrays):
    rng = np.random.default_rng(1)
    return {s: rng.normal(size=(T, *arrays[f"{s}0"].shape)) for s in rec.carried}


def close(found, wanted, scale=None):
    scale = np.abs(wanted).max(initial=0.0) if scale is None else scale
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max(initial=0.0) <= 1e-12 * scale


@pytest.mark.parametrize("name", ALL_CELLS)
def test_nothing_recurs(name):
    program = ALL_CELLS[name].program
    for step in (step_loss(program), state_products(program), state_jacobians(program)):
        assert step.program.carries == ()
        assert {part.direction for part in components(step.program)} <= {0}
        assert not any(a.role in ("initial", "zero") for a in step.program.arrays)


@pytest.mark.parametrize("name", ALL_CELLS)
def test_the_jacobians_are_those_of_the_whole_trajectory(name):
    rec, arrays = ALL_CELLS[name], arrays_of(ALL_CELLS[name])
    found = at(state_jacobians(rec.program), arrays, given_of(rec, arrays))
    whole = results_of(jacobian(rec.program), arrays)
    assert found.keys() == {f"d{s}/d{r}" for s in rec.carried for r in rec.carried}
    for key, block in found.items():
        close(block, whole[key])


@pytest.mark.parametrize("name", ALL_CELLS)
def test_products_are_those_with_the_dense_local_derivatives(name):
    rec, arrays = ALL_CELLS[name], arrays_of(ALL_CELLS[name])
    vectors = vectors_of(rec, arrays)
    found = at(state_products(rec.program), arrays, given_of(rec, arrays) | vectors)
    whole = results_of(jacobian(rec.program), arrays)
    for key in found:
        other = key.removesuffix("@-1")
        total, scale = 0.0, 0.0
        for s, v in vectors.items():
            left, right = v.reshape(T * B, -1), whole[f"d{s}/d{other}"].reshape(T * B, v[0, 0].size, -1)
            rows = np.einsum("rn,rnw->rw", left, right)
            total, scale = total + rows, scale + np.abs(left).max() * np.abs(right).max()
        summed = other in rec.params
        wanted = total.sum(axis=0) if summed else total
        close(found[key], wanted.reshape(found[key].shape), scale * T * B)


@pytest.mark.parametrize("name", ALL_CELLS)
def test_the_loss_of_a_step_has_the_gradient_of_the_loss_with_the_states_held(name):
    """By complex step of the loss of the same program: it reads the states it is given, and no others."""
    rec, arrays = ALL_CELLS[name], arrays_of(ALL_CELLS[name])
    step, given = step_loss(rec.program), given_of(rec, arrays)
    found = at(step, arrays, given)
    loss = results_of(rec.program, arrays)["loss"]
    assert found["loss"] == pytest.approx(loss, rel=1e-12, abs=1e-14)
    rng = np.random.default_rng(2)
    for key in found.keys() - {"loss"}:
        direction = rng.normal(size=found[key].shape)
        whole = {**arrays, **given}
        whole[key] = whole[key] + 1e-30j * direction
        moved = at(step, {k: whole[k] for k in arrays}, {k: whole[k] for k in given})["loss"]
        terms = found[key] * direction
        assert abs(np.imag(moved) / 1e-30 - terms.sum()) <= 1e-12 * max(np.abs(terms).sum(), abs(loss))


def recursed(rec, arrays, shift=0):
    """λ_t = c_t + J_{t+1}ᵀ λ_{t+1} with these programs, and the gradient it gives; shifted by a mistake."""
    given, products = given_of(rec, arrays), state_products(rec.program)
    direct = at(step_loss(rec.program), arrays, given)
    adjoints = {s: direct[s].copy() for s in rec.carried}
    for s in rec.carried:
        adjoints[s][:-1] += direct[previous(s)][1:]
    for t in range(T - 2, -1, -1):
        back = at(products, arrays, given | adjoints)
        for s in rec.carried:
            adjoints[s][t] += back[previous(s)][t + 1]
    through = at(products, arrays, given | {s: np.roll(a, shift, axis=0) for s, a in adjoints.items()})
    grads = {k: direct[k] + g for k, g in through.items()}
    return grads | {f"{s}0": grads.pop(previous(s))[0] for s in rec.carried}


def errors(found, wanted):
    return {k: np.abs(found[k] - g).max() / (np.abs(g).max() or 1.0) for k, g in wanted.items()}


@pytest.mark.parametrize("name", ALL_CELLS)
def test_single_steps_make_up_the_gradient(name):
    rec, arrays = ALL_CELLS[name], arrays_of(ALL_CELLS[name])
    wanted = results_of(adjoint(rec.program), arrays)
    wanted.pop("loss")
    found = recursed(rec, arrays)
    assert found.keys() == wanted.keys()
    assert max(errors(found, wanted).values()) <= 1e-13


@pytest.mark.parametrize("name", CATALOGUE)
def test_adjoints_at_the_wrong_step_are_noticed(name):
    rec, arrays = CATALOGUE[name], arrays_of(CATALOGUE[name])
    wanted = results_of(adjoint(rec.program), arrays)
    wanted.pop("loss")
    assert max(errors(recursed(rec, arrays, shift=1), wanted).values()) > 1e-3


@pytest.mark.parametrize("name", ALL_CELLS)
def test_parameters_of_their_own_give_the_terms_of_the_sum(name):
    rec, arrays = ALL_CELLS[name], arrays_of(ALL_CELLS[name])
    given = given_of(rec, arrays) | vectors_of(rec, arrays)
    wanted = at(state_products(rec.program), arrays, given)
    wide = {k: np.broadcast_to(a, (T, B, *a.shape)) if k in rec.params else a for k, a in arrays.items()}
    found = at(state_products(with_own_parameters(rec.program)), wide, given)
    assert found.keys() == wanted.keys()
    for key, value in found.items():
        if key in rec.params:
            assert value.shape == (T, B, *arrays[key].shape)
            close(value.sum(axis=(0, 1)), wanted[key], np.abs(value).sum(axis=(0, 1)).max())
        else:
            close(value, wanted[key])


def test_a_term_is_that_of_its_own_step_and_sequence():
    arrays = arrays_of(lstm)
    given = given_of(lstm, arrays) | vectors_of(lstm, arrays)
    wide = {k: np.broadcast_to(a, (T, B, *a.shape)) if k in lstm.params else a for k, a in arrays.items()}
    whole = at(state_products(with_own_parameters(lstm.program)), wide, given)
    for t in range(T):
        for b in range(B):
            series = {"x": arrays["x"], "y": arrays["y"], "weights": arrays["weights"], **given}
            one = {k: a[t : t + 1, b : b + 1] for k, a in series.items()}
            alone = at(state_products(lstm.program), arrays | one, one)
            close(alone["W_fh"], whole["W_fh"][t, b])
            close(alone["b_g"], whole["b_g"][t, b])


def test_what_is_zero_and_what_is_kept():
    products = state_products(elman.program)
    assert products.zeros() == {"W_qh", "b_q"}
    assert step_loss(elman.program).zeros() == {"x", "W_hx", "W_hh", "b_h", "h@-1"}
    kept = products.keeping({"b_h"})
    assert [k for k, _ in kept.program.results] == ["b_h"]
    assert len(kept.program.equations) < len(products.program.equations)
    assert kept.given == products.given
