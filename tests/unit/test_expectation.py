"""Exact mean and variance of a gradient with random gates, against every outcome of the gates."""

import itertools
import warnings
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS, draw

import bptt_verify as bv
from bptt_verify.analysis import Expectation, expectation, expectations, moments
from bptt_verify.analysis.expectations import growth_of
from bptt_verify.analysis.moments import covariance, path_of
from bptt_verify.cells import elman, linear, lstm
from bptt_verify.errors import VarianceWarning

SOME = ("elman", "lstm", "gru", "output_is_previous_state", "gates_read_twice", "matrix_and_vector_states")
UNEQUAL = (0.9, Fraction(1, 3), 0.55, 1.0, 0.8, 0.4)


def arrays_of(rec, T=6, B=2, seed=0, scale=0.7, sizes=None):
    return draw(rec, np.random.default_rng(seed), T, B, scale=scale, **({"sizes": sizes} if sizes else {}))


@cache
def generated(name, pi, per_sequence=False):
    return bv.generate(ALL_CELLS[name], estimator=bv.Randomized(pi, per_sequence))


def silent(kernel, **arrays):
    """The expectation, whether it warns or not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VarianceWarning)
        return expectation(kernel, **arrays)


def enumerated(kernel, arrays, per_sequence=False):
    """Mean and variance over all outcomes: each with its probability, the gates handed to the kernel."""
    steps, batch = arrays["weights"].shape
    pi = np.array([float(p) for p in kernel.estimator.pi])
    shape = (steps, batch) if per_sequence else (steps,)
    each = np.broadcast_to(pi.reshape(-1, *[1] * (len(shape) - 1)), shape)
    found = []
    for bits in itertools.product((0, 1), repeat=each.size):
        open_ = np.reshape(bits, shape)
        chance = np.prod(np.where(open_, each, 1 - each))
        found.append((chance, kernel.loss_and_grad(**arrays, xi=open_ / each)[1]))
    mean = {k: sum(p * g[k] for p, g in found) for k in found[0][1]}
    return mean, {k: sum(p * (g[k] - mean[k]) ** 2 for p, g in found) for k in mean}


def assert_outcomes(found, mean, variance):
    """Where all outcomes are equal, their enumeration has the rounding of the mean, squared."""
    assert_same(found.mean, mean)
    assert found.variance.keys() == variance.keys()
    for k, v in variance.items():
        noise = 1e-27 * np.abs(mean[k]).max(initial=0.0) ** 2
        assert found.variance[k].shape == v.shape
        assert np.abs(found.variance[k] - v).max(initial=0.0) <= 1e-12 * v.max(initial=0.0) + noise, k


def assert_same(found, wanted, tolerance=1e-12):
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert found[name].shape == wanted[name].shape, name
        scale = np.abs(wanted[name]).max(initial=0.0)
        assert np.abs(found[name] - wanted[name]).max(initial=0.0) <= tolerance * scale, name


# ---- every outcome ----


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("zero", [(), (1, 2), (0, 1, 2, 3, 4), (5,)], ids=str)
def test_shared_gates_over_all_outcomes(name, zero):
    rec = ALL_CELLS[name]
    arrays = arrays_of(rec)
    arrays["weights"][list(zero)] = 0
    kernel = generated(name, UNEQUAL)
    mean, variance = enumerated(kernel, arrays)
    found = silent(kernel, **arrays)
    assert_outcomes(found, mean, variance)
    assert any(v.any() for v in variance.values())


@pytest.mark.parametrize("name", SOME)
def test_gates_for_each_sequence_over_all_outcomes(name):
    rec = ALL_CELLS[name]
    arrays = arrays_of(rec, 4)
    arrays["weights"][1, 0] = arrays["weights"][2] = 0
    kernel = generated(name, UNEQUAL[:4][::-1], per_sequence=True)
    mean, variance = enumerated(kernel, arrays, per_sequence=True)
    found = silent(kernel, **arrays)
    assert_outcomes(found, mean, variance)
    shared = silent(bv.generate(rec, estimator=bv.Randomized(UNEQUAL[:4][::-1])), **arrays)
    param = next(iter(rec.params))
    assert np.abs(shared.variance[param] - variance[param]).max() > 1e-3 * variance[param].max()
    inputs = [k for k in mean if k in arrays and k not in rec.params and not k.endswith("0")]
    assert_same({k: shared.variance[k] for k in inputs}, {k: variance[k] for k in inputs})


@pytest.mark.parametrize("name", ALL_CELLS)
def test_every_recurrence_over_all_outcomes(name):
    arrays = arrays_of(ALL_CELLS[name], 3, seed=1)
    kernel = generated(name, (0.6, 0.3, 0.8))
    assert_outcomes(expectation(kernel, **arrays), *enumerated(kernel, arrays))


def test_one_step_has_only_the_gate_of_the_initial_state():
    arrays, kernel = arrays_of(lstm, 1), generated("lstm", (0.6,))
    found = expectation(kernel, **arrays)
    assert_outcomes(found, *enumerated(kernel, arrays))
    assert {k for k, v in found.variance.items() if v.any()} == {"h0", "c0"}


@pytest.mark.parametrize("per_sequence", [False, True])
def test_a_wrong_recursion_is_noticed(per_sequence, monkeypatch):
    """κ without the -1, the newest noise left out, and gates that act on each sequence alone or not."""
    arrays = arrays_of(elman, 4)
    kernel = bv.generate(elman, estimator=bv.Randomized((0.5, 0.6, 0.7, 0.8), per_sequence))
    _, variance = enumerated(kernel, arrays, per_sequence)

    def error():
        found = silent(kernel, **arrays).variance
        return max(np.abs(found[k] - variance[k]).max() / variance[k].max() for k in ("W_hx", "W_hh", "h0"))

    def other_groups(path, excess, groups):
        return covariance(path, excess, 3 - groups)

    def older_gate(path, excess, groups):
        return covariance(path, np.roll(excess, 1), groups)

    assert error() < 1e-12
    for wrong in (lambda p, e, g: covariance(p, e + 1, g), lambda p, e, g: covariance(p, 0 * e, g)):
        monkeypatch.setattr(expectations, "covariance", wrong)
        assert error() > 1e-2
    for wrong in (other_groups, older_gate):
        monkeypatch.setattr(expectations, "covariance", wrong)
        assert error() > 1e-3


def test_blocks_of_steps_change_nothing(monkeypatch):
    arrays = arrays_of(lstm, 7)
    kernel = bv.generate(lstm, estimator=bv.Randomized(0.5))
    whole = silent(kernel, **arrays)
    monkeypatch.setattr(moments, "ENTRIES", 1)
    assert_same(silent(kernel, **arrays).variance, whole.variance, 1e-13)


def test_nothing_cancels_where_gates_are_almost_always_open():
    arrays = arrays_of(elman)
    wanted = None
    for exponent in (20, 30, 40):  # 1 - 2^-k is exact
        pi = 1 - 2.0**-exponent
        found = silent(bv.generate(elman, estimator=bv.Randomized(pi)), **arrays)
        scaled = {k: v * pi / (1 - pi) for k, v in found.variance.items()}
        wanted = wanted or scaled
        assert_same(scaled, wanted, 1e-4)  # the terms of higher order are below 2^-20 times a few hundred
    open_ = silent(bv.generate(elman, estimator=bv.Randomized(1)), **arrays)
    assert not any(v.any() for v in open_.variance.values())


# ---- what is reported ----


def test_the_mean_is_the_full_gradient_and_explicit_parts_have_no_variance():
    arrays = arrays_of(lstm)
    found = silent(bv.generate(lstm, estimator=bv.Randomized(0.5, per_sequence=True)), **arrays)
    _, full = bv.generate(lstm).loss_and_grad(**arrays)
    assert isinstance(found, Expectation)
    assert_same(found.mean, {k: full[k] for k in found.mean}, 1e-13)
    assert found.mean.keys() == found.variance.keys() == full.keys()
    assert not found.variance["W_qh"].any() and not found.variance["b_q"].any()
    assert found.variance["h0"].all() and found.variance["W_fh"].all()
    assert not found.variance["x"][-1].any() and found.variance["x"][0].all()


@pytest.mark.parametrize("estimator", [bv.Full(), bv.Window(2), bv.Chunks(2, 4), bv.Chunks(2, 2)], ids=str)
def test_without_random_gates_there_is_no_variance(estimator):
    arrays = arrays_of(elman)
    kernel = bv.generate(elman, estimator=estimator)
    found = expectation(kernel, **arrays)
    assert_same(found.mean, kernel.loss_and_grad(**arrays)[1], 0)
    assert not any(v.any() for v in found.variance.values()) and not found.curve.any()
    assert np.isnan(found.growth)


def test_the_standard_error_of_a_mean():
    found = silent(generated("elman", 0.5), **arrays_of(elman))
    for samples in (1, np.int64(100)):
        for name, error in found.standard_error(samples).items():
            np.testing.assert_allclose(error**2 * samples, found.variance[name], rtol=1e-14)
    for samples in (0, -1, 1.5, True, "1", np.nan):
        with pytest.raises(bv.UsageError, match=r"standard_error: samples=.*; expected a whole number"):
            found.standard_error(samples)


def test_samples_scatter_as_the_variance_says():
    arrays, rng = arrays_of(elman, 4, 1), np.random.default_rng(5)
    kernel = bv.generate(elman, estimator=bv.Randomized(0.8))
    found = silent(kernel, **arrays)
    draws = np.array([kernel.loss_and_grad(**arrays, rng=rng)[1]["W_hh"] for _ in range(2000)])
    z = (draws.mean(axis=0) - found.mean["W_hh"]) / found.standard_error(len(draws))["W_hh"]
    assert np.abs(z).max() < 6
    np.testing.assert_allclose(draws.var(axis=0), found.variance["W_hh"], rtol=0.2)


def test_the_table():
    arrays = arrays_of(elman, 4)
    found = expectation(bv.generate(elman, estimator=bv.Randomized((0.5, 0.6, 0.7, 0.8))), **arrays)
    lines = str(found).splitlines()
    assert lines[0] == "gradient of elman with Randomized(pi=(0.5, 0.6, 0.7, 0.8), per_sequence=False), T = 4"
    assert [line.split()[0] for line in lines[2:-1]] == list(found.mean)
    row = next(line for line in lines if line.strip().startswith("W_hh")).split()
    size, deviation = np.linalg.norm(found.mean["W_hh"]), np.sqrt(found.variance["W_hh"].sum())
    np.testing.assert_allclose([float(v) for v in row[1:4]], [size, deviation, deviation / size], rtol=6e-3)
    assert int(row[4]) == np.ceil((deviation / size) ** 2 * 1e4)
    nothing = expectation(generated("elman", 0.5), **{**arrays, "weights": np.zeros((4, 2))})
    assert str(nothing).splitlines()[2].split()[1:] == ["0.000e+00", "0.000e+00", "0", "0"]
    assert nothing.overall == 0


# ---- growth ----


def scalar(factor, pi, steps, last=False):
    """h_t = a h_{t-1} + x_t with one number of state."""
    rng = np.random.default_rng(0)
    weights = np.full((steps, 1), 1.0 / steps)
    if last:
        weights[:-1] = 0
    arrays = {"x": rng.normal(size=(steps, 1, 1)), "a": np.array([factor]), "weights": weights}
    return generated("output_is_input", pi), arrays


@pytest.mark.parametrize("pi", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("ratio", [0.3, 0.98, 1.02, 2.0])
@pytest.mark.parametrize("steps", [8, 9, 60])
@pytest.mark.parametrize("last", [False, True])
def test_a_constant_scalar_warns_where_its_square_is_above_pi(pi, ratio, steps, last):
    kernel, arrays = scalar(np.sqrt(ratio * pi), pi, steps, last)
    if ratio > 1:
        with pytest.warns(VarianceWarning, match=r"expectation: growth=.*optimal_schedule"):
            found = expectation(kernel, **arrays)
    else:
        found = expectation(kernel, **arrays)  # a warning is an error
    assert found.growth == pytest.approx(ratio, rel=1e-9)
    assert found.curve.shape == (steps,) and found.curve[-1] == 0 < found.curve[0]


def test_the_curve_grows_by_that_factor():
    kernel, arrays = scalar(np.sqrt(0.75), 0.5, 80)
    curve = silent(kernel, **arrays).curve
    assert curve[0] / curve[10] == pytest.approx(1.5**10, rel=0.02)
    kernel, arrays = scalar(np.sqrt(0.4), 0.5, 80)
    arrays["x"][...] = 0.3
    curve = expectation(kernel, **arrays).curve
    assert curve[5] == pytest.approx(curve[20], rel=0.1)


def test_few_steps_are_too_few_to_tell():
    kernel, arrays = scalar(3.0, 0.5, 7)
    assert np.isnan(expectation(kernel, **arrays).growth)


def test_a_large_norm_alone_is_no_growth():
    arrays = arrays_of(linear, 60, 1, sizes={"d": 2, "n": 2, "q": 2})
    arrays["W_hh"] = np.array([[0.5, 5.0], [0.0, 0.5]])  # ‖J‖² is 50 times π, its eigenvalues² half of π
    found = expectation(generated("linear", 0.5), **arrays)
    assert found.growth < 1
    arrays["W_hh"] = np.array([[0.8, 0.0], [0.0, 0.1]])
    found = silent(generated("linear", 0.5), **arrays)
    assert found.growth == pytest.approx(1.28, rel=1e-3)


def test_gates_that_are_open_where_it_matters_do_not_warn():
    kernel, arrays = scalar(0.9, 0.5, 40)
    assert silent(kernel, **arrays).growth == pytest.approx(1.62)
    opened = bv.generate(kernel.recurrence, estimator=bv.Randomized(bv.Geometric(1.0, 0.99, 0.9)))
    assert expectation(opened, **arrays).growth < 1
    never = bv.generate(kernel.recurrence, estimator=bv.Randomized(1.0))
    assert np.isnan(expectation(never, **{**arrays, "a": np.array([1.5])}).growth)


def test_what_explodes_is_reported():
    arrays = {**arrays_of(linear, 40, 1), "W_hh": 200 * np.eye(3)}
    with pytest.warns(VarianceWarning, match="growth=inf"):
        found = expectation(generated("linear", 0.5), **arrays)
    assert np.isfinite(found.mean["W_hx"]).all() and not np.isfinite(found.variance["W_hx"]).any()
    assert not found.variance["W_qh"].any()
    assert {"inf", "nan"} & set(str(found).split())


def test_what_is_no_number_stays_none():
    arrays = arrays_of(elman, 12)
    arrays["x"][3] = np.nan
    found = expectation(generated("elman", 0.5), **arrays)  # a warning is an error
    assert np.isnan(found.growth) and np.isnan(found.variance["W_hh"]).all() and "nan" in str(found)


def test_growth_reads_what_a_gate_passes_on():
    rec = ALL_CELLS["output_is_input"]
    _, arrays = scalar(0.5, 0.5, 10)
    path = path_of(rec.program, {**arrays, "h0": np.zeros((1, 1))})
    found = covariance(path, np.full(10, 3.0), 1)
    np.testing.assert_allclose(found.carried, 4 * 0.25 * found.traces[1:])
    assert growth_of(found) == pytest.approx(1.0)


# ---- arrays and wrong calls ----


def test_arrays_as_for_a_kernel():
    arrays = arrays_of(elman)
    kernel = generated("elman", 0.5)
    short = {k: a for k, a in arrays.items() if k not in ("weights", "h0")}
    full = {**short, "weights": np.full((6, 2), 1 / 12), "h0": np.zeros((2, 3))}
    assert_same(silent(kernel, **short).variance, silent(kernel, **full).variance, 0)
    single = silent(kernel, **{k: a.astype(np.float32) for k, a in full.items()})
    assert single.mean["W_hh"].dtype == single.variance["W_hh"].dtype == np.float64
    charlm = ALL_CELLS["elman_charlm"]
    found = silent(bv.generate(charlm, estimator=bv.Randomized(0.5)), **arrays_of(charlm))
    assert "x" not in found.variance


WRONG = {
    "missing": ({"W_hh": ...}, r"elman\.expectation: missing array 'W_hh'"),
    "gates": ({"xi": np.ones(6)}, r"elman\.expectation: unknown array 'xi'"),
    "no batch axis": ({"x": np.zeros((6, 2))}, r"elman\.expectation: x: shape="),
    "complex": ({"b_h": np.zeros(3, complex)}, r"dtype=complex128; expected float32 or float64"),
}


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG)
def test_wrong_arrays_are_refused(change, words):
    arrays = {k: a for k, a in {**arrays_of(elman), **change}.items() if a is not ...}
    with pytest.raises(bv.ArrayError, match=words):
        expectation(generated("elman", 0.5), **arrays)


def test_a_kernel_and_a_schedule_of_this_length_are_wanted():
    for wrong in (elman, "elman", None):
        with pytest.raises(bv.UsageError, match=r"expectation: kernel=.*; expected a Kernel"):
            expectation(wrong, **arrays_of(elman))
    with pytest.raises(bv.UsageError, match=r"pi has 5 entries, and T=6"):
        expectation(bv.generate(elman, estimator=bv.Randomized((0.5,) * 5)), **arrays_of(elman))
