"""``power``: what a test lets pass, counted on tests whose weakness is known."""

import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify import cells
from bptt_verify.derivation import adjoint
from bptt_verify.mutants import mutants

REC = cells.elman
SHAPES = {"W_hx": (5, 3), "W_hh": (5, 5), "b_h": (5,), "W_qh": (2, 5), "b_q": (2,)}
ALL = {m.name for m in mutants(adjoint(REC.program))}
KERNEL = bv.generate(REC)


def given(steps=4, batch=3, **more):
    rng = np.random.default_rng(1)
    arrays = {"x": rng.normal(size=(steps, batch, 3)), "y": rng.normal(size=(steps, batch, 2))}
    return arrays | {k: rng.normal(size=s) * 0.5 for k, s in SHAPES.items()} | more


def exact(arrays, blocks=None, tolerance=1e-9):
    """A test that compares with the right numbers."""

    def test(fn):
        _, expected = KERNEL.loss_and_grad(**arrays)
        _, grads = fn(**arrays)
        return all(
            np.allclose(grads[k], expected[k], rtol=tolerance, atol=tolerance) for k in blocks or expected
        )

    return test


def test_an_exact_test_on_telling_inputs_catches_everything():
    found = bv.power(exact(given(h0=np.ones((3, 5)))), REC, rng=0)
    assert set(found.caught) == ALL
    assert found.missed == found.equivalent == found.invisible == ()
    assert not found.rejects_right
    assert str(found).startswith(f"exact.<locals>.test on elman: catches {len(ALL)} of {len(ALL)}")


def test_one_step_hides_what_needs_two():
    found = bv.power(exact(given(steps=1, batch=1)), REC, rng=0)
    assert {"times T", "times B", "no h0 in W_hh_bar"} <= set(found.invisible)
    assert {"doubled", "negated"} <= set(found.caught)
    assert found.missed == ()
    assert "on these inputs, off by" in str(found)


def test_a_test_that_looks_at_one_block_misses_the_others():
    found = bv.power(exact(given(h0=np.ones((3, 5))), blocks=("b_q",)), REC, rng=0)
    assert {"h_t for h_{t-1} in W_hh_bar", "no dh0", "slope of tanh at a"} <= set(found.missed)
    assert "doubled" in found.caught
    assert "MISSED      off by" in str(found)


def test_a_test_that_accepts_everything_catches_nothing():
    def lenient(fn):
        fn(**given(h0=np.ones((3, 5))))
        return True

    assert set(bv.power(lenient, REC, rng=0).missed) == ALL


def test_a_test_that_rejects_the_right_gradient_is_told_so():
    def strict(fn):
        fn(**given())
        return False

    found = bv.power(strict, REC, rng=0)
    assert found.rejects_right
    assert "REJECTS the right gradient" in str(found)


def test_assertions_and_reports_count():
    arrays = given(h0=np.ones((3, 5)))

    def asserting(fn):
        assert exact(arrays)(fn)

    assert set(bv.power(asserting, REC, rng=0).caught) == ALL
    rng = np.random.default_rng(0)
    shapes = {"x": (2, 2, 1), "y": (2, 2, 1), "W_hx": (2, 1), "W_hh": (2, 2), "W_qh": (1, 2), "h0": (2, 2)}
    small = {k: rng.normal(size=shape) for k, shape in shapes.items()}
    found = bv.power(lambda fn: bv.check_gradient(fn, cells.linear, inputs=small, rng=0), cells.linear, rng=0)
    assert set(found.caught) == {m.name for m in mutants(adjoint(cells.linear.program))}
    assert not found.rejects_right


def test_single_precision_stays_single():
    seen = []

    def test(fn):
        loss, grads = fn(**{k: v.astype(np.float32) for k, v in given().items()})
        seen.append((loss.dtype, {g.dtype for g in grads.values()}))
        return True

    bv.power(test, REC, rng=0)
    assert seen[0] == (np.float32, {np.dtype(np.float32)})


def test_tolerances_of_central_differences():
    assert set(bv.power({"rtol": 1e-4}, REC, rng=0).caught) == ALL
    loose = bv.power({"atol": 0.5, "rtol": 0.1}, REC, inputs=given(), rng=0)
    assert "halved" in loose.missed
    assert not loose.rejects_right
    assert bv.power({"rtol": 0.0, "atol": 0.0}, REC, inputs=given(), rng=0).rejects_right


def test_a_small_gradient_is_below_an_absolute_tolerance():
    arrays = given()
    small = arrays | {"W_hh": arrays["W_hh"] * 1e-3}
    found = bv.power({"rtol": 1e-3, "atol": 1e-3}, REC, inputs=small | {"h0": np.ones((3, 5))}, rng=0)
    assert {"no dh0", "doubled dh0"} <= set(found.missed)


def test_check_grad_of_scipy():
    found = bv.power({"tool": "scipy", "bound": 10.0}, REC, inputs=given(), rng=0)
    assert "halved" in found.missed
    assert set(bv.power("scipy", REC, rng=0).caught) == ALL


@pytest.mark.torch
def test_gradcheck_of_torch():
    pytest.importorskip("torch", reason="PyTorch is not installed (extra `torch`)")
    found = bv.power("torch", REC, rng=0)
    assert set(found.caught) == ALL
    assert not found.rejects_right
    assert "halved" in bv.power({"tool": "torch", "atol": 5.0}, REC, rng=0).missed


def test_check_grads_of_jax():
    pytest.importorskip("jax", reason="JAX is not installed (extra `jax`)")
    found = bv.power("jax", REC, rng=0)
    assert set(found.caught) == ALL
    assert not found.rejects_right
    assert "no dh0" in bv.power({"tool": "jax", "atol": 5.0}, REC, rng=0).missed


def test_a_cell_with_classes():
    found = bv.power({"rtol": 1e-4}, cells.elman_charlm, rng=0)
    assert not found.missed
    assert not found.rejects_right


@pytest.mark.parametrize("mode", ["free", "teacher", "scheduled"])
def test_a_recurrence_that_feeds_back(mode):
    rec = bv.with_feedback(cells.elman_feedback, mode)
    found = bv.power({"rtol": 1e-4}, rec, rng=0)
    assert not found.missed
    assert len(found.caught) > 12
    assert not found.rejects_right


def test_an_exception_that_is_no_assertion_is_not_a_rejection():
    def broken(fn):
        fn(**given())
        raise KeyError("W")

    with pytest.raises(KeyError):
        bv.power(broken, REC, rng=0)


def test_the_same_seed_gives_the_same_table():
    assert bv.power({"rtol": 1e-4}, REC, rng=3) == bv.power({"rtol": 1e-4}, REC, rng=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, REC), "check=3; expected a function"),
        (("numba", REC), "tool='numba'; expected scipy, torch or jax"),
        (({"tol": 1}, REC), "expected tolerances among rtol, atol, eps"),
        (({}, 3), "against=3; expected a Recurrence, or a loss function"),
        ((lambda fn: True, REC), "never called the function"),
        ((lambda fn: fn(**given())[0], REC), "expected True or False, a Report, or None"),
        ((lambda fn: fn(x=np.ones((2, 1, 3))), REC), "takes no argument 'W_hx'"),
    ],
)
def test_wrong_use_is_an_error_that_says_what_to_do(arguments, message):
    with pytest.raises(bv.UsageError) as caught:
        bv.power(*arguments, rng=0)
    assert message in str(caught.value)


def test_inputs_belong_to_tolerances_only():
    with pytest.raises(bv.UsageError, match="the function has its own"):
        bv.power(exact(given()), REC, inputs=given())
