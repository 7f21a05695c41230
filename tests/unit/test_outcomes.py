"""``check_outcome``: a random gradient at one outcome of its gates."""

import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify.check import complex_gradient
from bptt_verify.derivation import gated_adjoint
from bptt_verify.testing import Example
from bptt_verify.verify.gatefaults import gated_gradients
from bptt_verify.verify.outcomes import KEEP, OutcomeLoss, at_gates, by_sequence, check_outcome

REC, HALF = bv.cells.elman, bv.Randomized(0.5)
random = bv.generate(REC, estimator=HALF).loss_and_grad
KEPT = (1, 0, 1, 1)
EXAMPLE = Example(4, 2, {"d": 2, "n": 3, "q": 1}, seed=3, keep=KEPT)
ARRAYS = EXAMPLE.arrays(REC)


def forgetting(xi, **arrays):
    """1/π is forgotten."""
    return random(**arrays, xi=(xi > 0).astype(float))


def keeping(keep, **arrays):
    """Takes 0 and 1, and returns no loss."""
    return random(**arrays, xi=keep / 0.5)[1]


def single(xi, **arrays):
    """Computes in float32."""
    return random(**{k: v.astype(np.float32) for k, v in arrays.items()}, xi=xi.astype(np.float32))


@pytest.mark.parametrize("fn", [random, keeping, single])
def test_the_gated_recursion_is_verified(fn):
    report = check_outcome(fn, REC, HALF, ARRAYS, rng=0)
    assert report.verdict == "verified", str(report)
    assert any("another unbiased estimator: check_unbiased" in n for n in report.notes)


def test_a_mistake_in_the_gates_is_refuted_and_named():
    report = check_outcome(forgetting, REC, HALF, ARRAYS, rng=0)
    assert report.verdict == "refuted"
    assert "1/π is forgotten" in report.diagnosis
    assert report.subject == f"forgetting against {HALF} of the recurrence elman"


def test_the_full_gradient_is_refuted_where_a_gate_is_closed():
    full = bv.generate(REC).loss_and_grad

    def ignoring(xi, **arrays):
        return full(**arrays)

    assert check_outcome(ignoring, REC, HALF, ARRAYS, rng=0).verdict == "refuted"
    certain = bv.Randomized((0.5, 1, 1, 1))
    opened = ARRAYS | {KEEP: np.array([0, 1, 1, 1])}
    wrong = {f.block for f in check_outcome(ignoring, REC, certain, opened, rng=0).findings}
    assert wrong == {"h0"}


def test_a_gate_for_each_sequence():
    each = bv.Randomized(0.4, per_sequence=True)
    arrays = ARRAYS | {KEEP: np.array([[1, 0], [0, 1], [1, 1], [0, 0]])}
    kernel = bv.generate(REC, estimator=each).loss_and_grad
    assert check_outcome(kernel, REC, each, arrays, rng=0).verdict == "verified"


def test_complex_steps_through_the_loss_give_the_gated_recursion():
    fn = at_gates(random, REC, HALF)
    arrays = dict(EXAMPLE.case(REC).arrays)
    loss = OutcomeLoss(fn)
    gates = by_sequence(np.array(KEPT) / 0.5, 4, 2)
    given = {k: v for k, v in arrays.items() if k != KEEP}
    expected = gated_gradients(gated_adjoint(REC.program), given, gates)
    for block, g in expected.items():
        assert np.allclose(complex_gradient(loss, arrays, block), g, rtol=1e-12, atol=1e-15)
    assert np.isclose(loss(arrays), bv.generate(REC).loss_and_grad(**{k: ARRAYS[k] for k in given})[0])


@pytest.mark.parametrize(
    ("fn", "estimator", "keep", "message"),
    [
        (random, HALF, None, "keep is missing; expected an array (4,)"),
        (random, HALF, np.ones(3), "keep has shape (3,); expected an array (4,)"),
        (random, HALF, np.array([0, 2, 0, 2]), "expected an array (4,) of 1 for an open gate"),
        (random, bv.Randomized(1.0), np.ones(4), "every gate is open"),
        (lambda rng, **arrays: None, HALF, np.ones(4), "is for check_unbiased"),
    ],
)
def test_wrong_use_is_an_error_that_says_what_to_do(fn, estimator, keep, message):
    arrays = {k: v for k, v in ARRAYS.items() if k != KEEP} | ({} if keep is None else {KEEP: keep})
    with pytest.raises(bv.UsageError) as caught:
        check_outcome(fn, REC, estimator, arrays, rng=0)
    assert message in str(caught.value)
