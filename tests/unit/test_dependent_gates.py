"""Gates that depend on each other beyond the steps that are enumerated; detaching where a loss looks back."""

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS

import bptt_verify as bv
from bptt_verify.estimators import kept

KERNEL = bv.generate(bv.cells.elman, estimator=bv.Randomized(0.5))


def with_gates(change):
    """The right recursion, with other gates than it is given."""

    def fn(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights, xi):
        arrays = {"x": x, "y": y, "W_hx": W_hx, "W_hh": W_hh, "b_h": b_h, "W_qh": W_qh, "b_q": b_q}
        return KERNEL.loss_and_grad(**arrays, h0=h0, weights=weights, xi=change(xi))

    return fn


def one_for_two(xi):
    """From step 21 on, the gate of the step before."""
    changed = np.array(xi)
    changed[20:21] = xi[19:20]
    return changed


DEPENDENT = {
    "a buffer of 21 gates whose index is clipped": lambda xi: xi[np.minimum(np.arange(len(xi)), 20)],
    "gates that come again after 13 steps": lambda xi: xi[np.arange(len(xi)) % 13],
    "gates that come again after 25 steps": lambda xi: xi[np.arange(len(xi)) % 25],
    "one gate for two steps": one_for_two,
}


@pytest.mark.parametrize("change", DEPENDENT.values(), ids=DEPENDENT)
def test_gates_that_depend_on_each_other_late_are_refuted(change):
    report = bv.check_unbiased(with_gates(change), bv.cells.elman, rng=0)
    assert report.verdict == "refuted"
    said = str(report.findings[-1])
    assert "these gates are not independent" in said or ("is biased" in said and "T=30" in said)


def test_another_right_estimator_is_verified_pair_by_pair():
    """The gates in the reverse order of time are as independent as they were."""
    report = bv.check_unbiased(with_gates(lambda xi: xi[::-1]), bv.cells.elman, rng=0)
    assert report.verdict == "verified"
    assert "435 of 435 pairs of gates at T = 30" in report.evidence[-1].summary
    assert any("dependence among three or more" in note for note in report.notes)


def detached(rec, length):
    """What detaching does in a framework: every chunk on its own, from the final states of the last."""
    full = bv.generate(rec)
    series = (*rec.inputs, *rec.targets, "weights")

    def fn(**arrays):
        loss, total, carried = 0.0, {}, {}
        for start in range(0, len(arrays["weights"]), length):
            own = {k: v[start : start + length] if k in series else v for k, v in arrays.items()} | carried
            part, grads = full.loss_and_grad(**own)
            carried = {f"{s}0": v[-1] for s, v in full.forward(**own).states.items()}
            loss += part
            for k, g in grads.items():
                if k in rec.inputs:
                    total[k] = np.concatenate([total[k], g]) if start else g
                elif k in rec.params:
                    total[k] = total.get(k, 0) + g
                else:
                    total.setdefault(k, g)
        return loss, total

    return fn


def test_detaching_is_chunks_where_the_loss_reads_the_new_state_only():
    assert (
        bv.check_truncated(detached(bv.cells.elman, 3), bv.cells.elman, bv.Chunks(3, 3), rng=0).verdict
        == "verified"
    )
    rec = ALL_CELLS["output_is_previous_state"]
    report = bv.check_truncated(detached(rec, 3), rec, bv.Chunks(3, 3), rng=0)
    assert report.verdict == "refuted"
    assert "chunks of 3 steps are differentiated apart" in report.diagnosis


IGNORED = {
    "π of 1 only": (dict(pi=1.0), "every probability is 1"),
    "π of 1 at every step": (dict(pi=[1.0, 1.0]), "every probability is 1"),
    "a variance where nothing is sampled": (dict(variance={"W_hh": 1.0}), "variance: nothing is sampled"),
    "a bound where nothing is sampled": (dict(bound={"W_hh": 1.0}), "bound: nothing is sampled"),
    "both for a block": (dict(variance={"b_h": 1.0}, bound={"b_h": 1.0}), "both are given for 'b_h'"),
}


@pytest.mark.parametrize(("options", "words"), IGNORED.values(), ids=IGNORED)
def test_nothing_that_is_given_is_ignored(options, words):
    with pytest.raises(bv.UsageError, match=words):
        bv.check_unbiased(with_gates(lambda xi: xi), bv.cells.elman, **options)


def test_probabilities_mean_nothing_against_a_target():
    for options in (dict(pi=0.5), dict(per_sequence=True)):
        with pytest.raises(bv.UsageError, match="the function draws by itself"):
            bv.check_unbiased(lambda rng: {"a": 1.0}, {"a": 1.0}, **options)


def test_reaches_beyond_every_number_of_steps():
    for estimator in (bv.Window(10**30), bv.Chunks(10**30, 10**30), bv.Chunks(2, 10**30)):
        assert np.array_equal(kept(estimator, 5), np.tri(5, dtype=bool))


def test_a_weight_that_is_not_finite_is_refused():
    with pytest.raises(bv.UsageError, match=r"pi=1e-320; expected a number whose inverse 1/π is finite"):
        bv.Randomized(1e-320)
