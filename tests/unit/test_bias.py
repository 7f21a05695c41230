"""The exact bias of truncated gradients."""

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS, draw

import bptt_verify as bv
from bptt_verify.analysis import TruncationBias, biases, terms, truncation_bias
from bptt_verify.cells import elman, linear, lstm
from bptt_verify.estimators import kept

SOME = ("elman", "lstm", "output_is_previous_state", "matrix_and_vector_states", "elman_charlm")
ESTIMATORS = (bv.Window(1), bv.Window(3), bv.Chunks(2, 2), bv.Chunks(2, 3), bv.Chunks(3, 4), bv.Full())


def arrays_of(rec, T=6, B=2, seed=0, scale=0.7):
    return draw(rec, np.random.default_rng(seed), T, B, scale=scale)


def dropped_terms(rec, arrays, estimator):
    """The terms that are left out, summed one by one, by parameter; and the sum of the sizes of all."""
    steps = len(arrays["weights"])
    mask = kept(estimator, steps)
    sums = {p: np.zeros_like(arrays[p]) for p in rec.params}
    sizes = dict.fromkeys(rec.params, 0.0)
    for lag, start, parts in terms.signed_terms(rec.program, arrays):
        for p, found in parts.items():
            for i, term in enumerate(found, start):
                sums[p] += (not mask[i + lag, i]) * term.sum(axis=0)
                sizes[p] += np.abs(term).max(initial=0.0)
    return sums, sizes


@pytest.mark.parametrize("name", ALL_CELLS)
def test_the_bias_is_minus_the_dropped_terms(name):
    rec = ALL_CELLS[name]
    arrays = arrays_of(rec, 5)
    for estimator in (bv.Window(2), bv.Chunks(2, 3)):
        found, (sums, sizes) = (
            truncation_bias(rec, estimator, **arrays),
            dropped_terms(rec, arrays, estimator),
        )
        for p in rec.params:
            assert np.abs(found.bias[p] + sums[p]).max(initial=0.0) <= 1e-13 * sizes[p], p
    one = truncation_bias(rec, 1, **arrays_of(rec, 1))
    assert not any(b.any() for b in one.bias.values()) and one.curve.tolist() == [0.0]


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_it_is_the_difference_of_generated_gradients(name, estimator):
    rec = ALL_CELLS[name]
    arrays = arrays_of(rec)
    arrays["weights"][2] = 0
    _, part = bv.generate(rec, estimator=estimator).loss_and_grad(**arrays)
    _, full = bv.generate(rec).loss_and_grad(**arrays)
    found = truncation_bias(rec, estimator, **arrays)
    assert list(found.bias) == list(found.relative) == list(full)
    for k, b in found.bias.items():
        scale = max(np.abs(part[k]).max(), np.abs(full[k]).max())
        assert b.shape == full[k].shape and np.abs(part[k] - full[k] - b).max() <= 1e-13 * scale, k
        assert found.relative[k] == pytest.approx(np.linalg.norm(b) / np.linalg.norm(full[k]), rel=1e-12)
    assert estimator == bv.Full() or any(b.any() for b in found.bias.values())


@pytest.mark.parametrize("name", SOME)
def test_the_curve_is_the_relative_bias_of_every_window(name):
    rec = ALL_CELLS[name]
    arrays = arrays_of(rec)
    _, full = bv.generate(rec).loss_and_grad(**arrays)
    size = np.sqrt(sum(np.sum(full[p] ** 2) for p in rec.params))
    curve = truncation_bias(rec, bv.Chunks(2, 2), **arrays).curve
    for tau in (1, 2, 5, 7):
        found = truncation_bias(rec, tau, **arrays)
        wanted = np.sqrt(sum(np.sum(found.bias[p] ** 2) for p in rec.params)) / size
        assert found.overall == pytest.approx(wanted, rel=1e-12, abs=0)
        assert curve[min(tau, 6) - 1] == pytest.approx(wanted, rel=1e-12, abs=0)
    assert curve.shape == (6,) and curve[0] > 0 == curve[-1]


def test_a_window_off_by_one_is_noticed(monkeypatch):
    arrays = arrays_of(elman)
    right = truncation_bias(elman, 3, **arrays).bias
    monkeypatch.setattr(biases, "kept", lambda estimator, steps: kept(bv.Window(estimator.tau + 1), steps))
    wrong = truncation_bias(elman, 3, **arrays).bias
    for k in ("W_hh", "x", "h0"):
        assert np.abs(wrong[k] - right[k]).max() > 1e-3 * np.abs(right[k]).max()


def test_a_tiny_bias_keeps_its_digits():
    """With a scalar state and a loss at the last step the tail is a geometric sum, here below rounding."""
    factor, steps = 1e-3, 20
    arrays = {k: np.ones((1, 1)) for k in ("W_hx", "W_qh")} | {"W_hh": np.full((1, 1), factor)}
    arrays |= {"x": np.ones((steps, 1, 1)), "y": np.zeros((steps, 1, 1)), "weights": np.zeros((steps, 1))}
    arrays["weights"][-1] = 1
    _, full = bv.generate(linear).loss_and_grad(**arrays)
    bias = truncation_bias(linear, 10, **arrays).bias
    output = sum(factor**k for k in range(steps))
    wanted = -output * sum(factor**k for k in range(10, steps))
    np.testing.assert_allclose(bias["W_hx"], [[wanted]], rtol=1e-13)
    assert np.abs(bias["W_hx"]).max() < 1e-20 * np.abs(full["W_hx"]).max()


def test_the_smallest_window_for_a_relative_bias():
    found = truncation_bias(elman, 1, **arrays_of(elman))
    rising = TruncationBias("r", bv.Window(1), {}, {}, 0.0, np.array([0.5, 0.01, 0.2, 0.05, 0.01, 0.0]))
    assert [rising.smallest_tau(r) for r in (0.5, 0.3, 0.1, 0.05, 0.01, 0.001, 0)] == [1, 2, 4, 4, 5, 6, 6]
    assert rising.smallest_tau(np.float32(0.3)) == 2
    assert found.smallest_tau(0) == 6 and found.smallest_tau(np.inf) == 1
    assert (found.curve[found.smallest_tau(0.1) - 1 :] <= 0.1).all()
    unknown = TruncationBias("u", bv.Window(1), {}, {}, 0.0, np.array([0.1, np.nan, 0.1, 0.0]))
    assert unknown.smallest_tau(0.2) == 3
    for wrong in (-0.1, np.nan, "0.1", None, True):
        with pytest.raises(bv.UsageError, match=r"smallest_tau: relative=.*; expected a number, at least 0"):
            found.smallest_tau(wrong)


def test_nothing_relative_to_nothing():
    found = truncation_bias(elman, 2, **{**arrays_of(elman), "weights": np.zeros((6, 2))})
    assert set(found.relative.values()) == {0.0} and not found.curve.any()
    assert truncation_bias(elman, 2, **arrays_of(elman)).relative["W_qh"] == 0


def test_what_explodes_is_reported_without_warnings():
    found = truncation_bias(linear, 2, **{**arrays_of(linear, 40, 1), "W_hh": 1e20 * np.eye(3)})
    assert not np.isfinite(found.bias["W_hx"]).all()
    assert {"inf", "nan"} & set(str(found).split())
    assert 1 <= found.smallest_tau(0.1) <= 40


def test_the_table():
    found = truncation_bias(lstm, bv.Window(3), **arrays_of(lstm, 12))
    lines = str(found).splitlines()
    assert lines[0] == "bias of lstm with Window(tau=3), T = 12"
    row = next(line for line in lines if line.split()[0] == "W_fh").split()
    values = [np.linalg.norm(found.bias["W_fh"]), found.relative["W_fh"]]
    np.testing.assert_allclose([float(v) for v in row[1:]], values, rtol=6e-3)
    assert lines[-3] == f"relative bias of all parameters together: {found.overall:.3g}; by window τ:"
    assert lines[-2].split() == ["τ", "1", "2", "3", "5", "10", "12"]
    assert lines[-1].split() == [f"{found.curve[t - 1]:.1e}" for t in (1, 2, 3, 5, 10, 12)]


def test_arrays_as_for_a_kernel():
    arrays = arrays_of(elman)
    short = {k: a for k, a in arrays.items() if k not in ("weights", "h0")}
    full = {**short, "weights": np.full((6, 2), 1 / 12), "h0": np.zeros((2, 3))}
    one, other = truncation_bias(elman, 2, **short), truncation_bias(elman, np.int64(2), **full)
    np.testing.assert_array_equal(one.curve, other.curve)
    single = truncation_bias(elman, 2, **{k: a.astype(np.float32) for k, a in full.items()})
    assert single.bias["W_hh"].dtype == np.float64


def test_wrong_calls_are_refused():
    arrays = arrays_of(elman)
    for wrong in (0, -1, 1.5, True, "3", None, bv.Randomized(0.5)):
        with pytest.raises(bv.UsageError, match=r"truncation_bias: tau=.*; expected a whole number of steps"):
            truncation_bias(elman, wrong, **arrays)
    with pytest.raises(bv.UsageError, match=r"truncation_bias: rec='elman'; expected a Recurrence"):
        truncation_bias("elman", 2, **arrays)
    with pytest.raises(bv.ArrayError, match=r"elman\.truncation_bias: missing array 'W_hh'"):
        truncation_bias(elman, 2, **{k: a for k, a in arrays.items() if k != "W_hh"})
    with pytest.raises(bv.ArrayError, match=r"dtype=complex128; expected float32 or float64"):
        truncation_bias(elman, 2, **{**arrays, "b_h": np.zeros(3, complex)})
