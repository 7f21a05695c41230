"""The size of every term of the gradient sum."""

import json
import sys

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS, draw

import bptt_verify as bv
from bptt_verify.analysis import terms
from bptt_verify.cells import CATALOGUE, elman, linear, lstm
from bptt_verify.derivation import adjoint, jacobian, previous, states_of, step_loss
from bptt_verify.program import evaluate

T, B = 5, 3


def arrays_of(rec, T=T, B=B, seed=0, scale=0.7):
    return draw(rec, np.random.default_rng(seed), T, B, scale=scale)


def results_of(program, arrays):
    values = evaluate(program, arrays)
    return {k: values[v] for k, v in program.results}


def explicit_parts(rec, arrays):
    """Σ_t ∂L_t/∂w with the states held fixed."""
    values = evaluate(rec.program, arrays)
    after = {s: values[v] for s, v in states_of(rec.program).items()}
    given = {previous(s): np.concatenate((arrays[f"{s}0"][None], a[:-1])) for s, a in after.items()} | after
    step = step_loss(rec.program)
    return results_of(step.program, arrays | {a.name: given[key] for key, a in step.given.items()})


def summed_terms(rec, arrays, without=()):
    """The sum of the signed terms, by parameter, and the sum of their sizes."""
    sums = {p: np.zeros_like(arrays[p]) for p in rec.params}
    sizes = dict.fromkeys(rec.params, 0.0)
    for lag, _, parts in terms.signed_terms(rec.program, arrays):
        for p, term in parts.items():
            sums[p] = sums[p] + (lag not in without) * term.sum(axis=(0, 1))
            sizes[p] += np.abs(term).sum(axis=(0, 1)).max(initial=0.0)
    return sums, sizes


@pytest.mark.parametrize("name", ALL_CELLS)
def test_the_terms_and_the_explicit_parts_are_the_whole_gradient(name):
    rec = ALL_CELLS[name]
    for steps, batch in ((1, 2), (5, 3)):
        arrays = arrays_of(rec, steps, batch)
        wanted, explicit = results_of(adjoint(rec.program), arrays), explicit_parts(rec, arrays)
        sums, sizes = summed_terms(rec, arrays)
        for p in rec.params:
            scale = sizes[p] + np.abs(explicit[p]).max(initial=0.0)
            assert np.abs(sums[p] + explicit[p] - wanted[p]).max(initial=0.0) <= 1e-14 * scale


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_missing_lag_is_noticed(name):
    rec, arrays = CATALOGUE[name], arrays_of(CATALOGUE[name])
    wanted, explicit = results_of(adjoint(rec.program), arrays), explicit_parts(rec, arrays)
    for lag in range(T):
        sums, _ = summed_terms(rec, arrays, without=(lag,))
        errors = [
            np.abs(sums[p] + explicit[p] - wanted[p]).max() / np.abs(wanted[p]).max() for p in rec.params
        ]
        assert max(errors) > 1e-6


def dense_sizes(rec, arrays, parameter, newest_left=True):
    """‖c_tᵀ (J_t … J_{i+1}) A_i‖ summed over the batch, from dense arrays; here c_t = ∂L_t/∂h_t."""
    local, direct = results_of(jacobian(rec.program), arrays), explicit_parts(rec, arrays)
    size = {s: arrays[f"{s}0"][0].size for s in rec.carried}
    steps, batch = arrays["weights"].shape
    J = np.block(
        [
            [local[f"d{s}/d{r}"].reshape(steps, batch, size[s], size[r]) for r in rec.carried]
            for s in rec.carried
        ]
    )
    A = [local[f"d{s}/d{parameter}"].reshape(steps, batch, size[s], -1) for s in rec.carried]
    A, c = np.concatenate(A, axis=2), np.concatenate([direct[s] for s in rec.carried], axis=2)
    sizes = np.zeros((steps, steps))
    for t in range(steps):
        for i in range(t + 1):
            product = np.eye(J.shape[-1])
            for s in range(i + 1, t + 1):
                product = J[s] @ product if newest_left else product @ J[s]
            sizes[t, i] = np.linalg.norm(
                np.einsum("bn,bnm,bmw->w", c[t], product + np.zeros_like(J[0]), A[i])
            )
    return sizes


@pytest.mark.parametrize("name", CATALOGUE)
def test_sizes_are_those_of_dense_products_in_this_order(name):
    rec, arrays = CATALOGUE[name], arrays_of(CATALOGUE[name])
    profile = bv.lag_profile(rec, **arrays)
    for p, sizes in profile.terms.items():
        wanted = dense_sizes(rec, arrays, p)
        assert np.abs(sizes - wanted).max() <= 1e-13 * wanted.max()
    p = next(iter(profile.terms))
    wrong = dense_sizes(rec, arrays, p, newest_left=False)
    if rec is not linear:  # there J_t is the same for every t
        assert np.abs(profile.terms[p] - wrong).max() > 1e-3 * wrong.max()


def test_what_has_terms_and_where():
    profile = bv.lag_profile(elman, **arrays_of(elman))
    assert isinstance(profile, bv.LagProfile)
    assert list(profile.terms) == list(profile.per_sequence) == ["W_hx", "W_hh", "b_h"]  # not the readout's
    for name, sizes in profile.terms.items():
        assert sizes.shape == (T, T) and profile.per_sequence[name].shape == (B, T, T)
        assert not sizes[np.triu_indices(T, 1)].any() and (sizes[np.tril_indices(T)] > 0).all()
        np.testing.assert_allclose(profile.by_lag[name], [np.trace(sizes, -k) for k in range(T)])
    np.testing.assert_allclose(profile.total**2, sum(s**2 for s in profile.terms.values()))
    shared = bv.lag_profile(ALL_CELLS["used_twice"], **arrays_of(ALL_CELLS["used_twice"]))
    assert set(shared.terms) == {"W", "b"}
    nothing = ALL_CELLS["input_only_no_parameter"]
    assert bv.lag_profile(nothing, **arrays_of(nothing)).terms == {}


def test_one_sequence_is_its_own_sum_and_sequences_may_cancel():
    one = bv.lag_profile(elman, **arrays_of(elman, B=1))
    for name, sizes in one.terms.items():
        np.testing.assert_allclose(one.per_sequence[name][0], sizes, rtol=1e-13)
    arrays = {k: np.repeat(a, 2, axis=1) if k in ("x", "y") else a for k, a in arrays_of(elman, B=1).items()}
    arrays["h0"], arrays["weights"] = np.repeat(arrays["h0"], 2, axis=0), np.tile([1.0, -1.0], (T, 1))
    both = bv.lag_profile(elman, **arrays)
    assert both.per_sequence["W_hh"][:, T - 1, 0].min() > 1e-6
    assert both.total.max() <= 1e-15


def test_blocks_of_steps_change_nothing(monkeypatch):
    arrays = arrays_of(lstm, T=7)
    whole = bv.lag_profile(lstm, **arrays)
    monkeypatch.setattr(terms, "ENTRIES", 1)
    blocks = bv.lag_profile(lstm, **arrays)
    for name in whole.terms:
        np.testing.assert_allclose(blocks.terms[name], whole.terms[name], rtol=1e-12)
        np.testing.assert_allclose(blocks.per_sequence[name], whole.per_sequence[name], rtol=1e-12)


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.3])
@pytest.mark.parametrize("last", [False, True])
def test_a_linear_network_with_a_scaled_rotation_changes_by_just_that_factor(factor, last):
    rng, steps = np.random.default_rng(0), 12
    arrays = arrays_of(linear, steps, 1)
    arrays["W_hh"] = factor * np.linalg.qr(rng.normal(size=(3, 3)))[0]
    arrays["x"] /= np.linalg.norm(arrays["x"], axis=-1, keepdims=True)
    if last:
        arrays["weights"] = np.zeros((steps, 1))
        arrays["weights"][-1] = 1.0
    profile = bv.lag_profile(linear, **arrays)
    growth = profile.growth
    assert growth.by_parameter["W_hx"] == pytest.approx(factor, rel=1e-12)
    assert growth.bound == pytest.approx(factor, rel=1e-12)
    np.testing.assert_allclose(growth.products, factor ** np.arange(steps), rtol=1e-12)
    sizes = profile.terms["W_hx"]
    np.testing.assert_allclose(sizes[-1, ::-1], sizes[-1, -1] * factor ** np.arange(steps), rtol=1e-12)
    assert not last or not sizes[:-1].any()
    if factor != 1:  # there h_{t-1}, and with it the other parameter, has a word
        assert f"Contributions {'grow' if factor > 1 else 'shrink'} by a factor of" in str(profile)


@pytest.mark.parametrize("name", CATALOGUE)
def test_products_stay_below_the_bound(name):
    growth = bv.lag_profile(CATALOGUE[name], **arrays_of(CATALOGUE[name], T=12)).growth
    assert (growth.products <= growth.bound ** np.arange(12) * (1 + 1e-12)).all()
    assert growth.products[0] == 1 and growth.products[1] == growth.bound


def test_tiny_and_huge_terms_keep_their_size():
    arrays = arrays_of(linear, 40, 1)
    small = bv.lag_profile(linear, **{**arrays, "W_hh": 1e-6 * np.eye(3)}).terms["W_hx"][-1]
    assert np.log10(small[1] / small[-1]) == pytest.approx(-6 * 38, abs=1)  # squares would be 0
    large = bv.lag_profile(linear, **{**arrays, "W_hh": 1e3 * np.eye(3)})
    assert np.isfinite(large.terms["W_hx"]).all() and large.terms["W_hx"].max() > 1e200


def test_what_explodes_is_reported_without_warnings():
    arrays = arrays_of(linear, 40, 1)
    profile = bv.lag_profile(linear, **{**arrays, "W_hh": 1e20 * np.eye(3)})
    assert not np.isfinite(profile.terms["W_hx"]).all()
    assert not np.isfinite(profile.growth.products).all()
    assert "inf" in str(profile) or "nan" in str(profile)


def test_the_table_and_its_sentence():
    arrays = arrays_of(elman, 30, 2, scale=0.3)
    profile = bv.lag_profile(elman, **arrays)
    text = str(profile)
    assert text.splitlines()[0] == "lag profile of elman, T = 30, B = 2"
    assert all(f"{n} " in text for n in ("W_hx", "W_hh", "b_h", "all", "ρ^k")) and "W_qh" not in text
    assert f"{profile.by_lag['W_hh'][20]:.1e}" in text
    assert f"shrink by a factor of {profile.growth.factor:.3g} per step of lag; at lag 20 they are" in text
    one = bv.lag_profile(elman, **arrays_of(elman, 1))
    assert "There is nothing to compare" in str(one) and np.isnan(one.growth.factor)
    still = ALL_CELLS["state_is_parameter"]
    assert "Only lag 0 contributes" in str(bv.lag_profile(still, **arrays_of(still)))


def test_the_numbers_can_be_written_as_json():
    profile = bv.lag_profile(lstm, **arrays_of(lstm))
    numbers = json.loads(json.dumps(profile.to_dict()))
    assert numbers["terms"]["W_fh"] == profile.terms["W_fh"].tolist()
    assert numbers["by_lag"]["b_o"] == profile.by_lag["b_o"].tolist()
    assert numbers["growth"]["products"] == profile.growth.products.tolist()


def test_arrays_as_for_a_kernel():
    arrays = arrays_of(elman)
    short = {k: a for k, a in arrays.items() if k not in ("weights", "h0")}
    full = {**arrays, "weights": np.full((T, B), 1 / (T * B)), "h0": np.zeros((B, 3))}
    one, other = bv.lag_profile(elman, **short), bv.lag_profile(elman, **full)
    np.testing.assert_array_equal(one.terms["W_hh"], other.terms["W_hh"])
    single = bv.lag_profile(elman, **{k: a.astype(np.float32) for k, a in full.items()})
    assert single.terms["W_hh"].dtype == np.float64
    np.testing.assert_allclose(single.terms["W_hh"], other.terms["W_hh"], rtol=1e-4)
    charlm = ALL_CELLS["elman_charlm"]
    assert set(bv.lag_profile(charlm, **arrays_of(charlm)).terms) == {"W_hx", "W_hh", "b_h"}


WRONG = {
    "missing": ({"W_hh": ...}, r"elman\.lag_profile: missing array 'W_hh'; expected shape \(n, n\)"),
    "unknown": ({"V": np.zeros(2)}, r"elman\.lag_profile: unknown array 'V'; expected x, y"),
    "no batch axis": ({"x": np.zeros((T, 2))}, r"elman\.lag_profile: x: shape=.*x\[:, None, :\]"),
    "other size": ({"b_h": np.zeros(7)}, r"b_h: shape=\(7,\); expected \(n\) with n=3"),
    "text": ({"b_h": np.array(["a", "b", "c"])}, r"b_h: dtype=<U1; expected float32 or float64"),
    "complex": ({"b_h": np.zeros(3, complex)}, r"dtype=complex128; expected float32 or float64"),
}


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG)
def test_wrong_arrays_are_refused(change, words):
    arrays = {k: a for k, a in {**arrays_of(elman), **change}.items() if a is not ...}
    with pytest.raises(bv.ArrayError, match=words):
        bv.lag_profile(elman, **arrays)


def test_a_recurrence_is_wanted():
    with pytest.raises(bv.UsageError, match=r"lag_profile: rec='elman'; expected a Recurrence"):
        bv.lag_profile("elman")


# ---- the figure ----


def test_the_figure_shows_sizes_products_and_the_bound():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    profile = bv.lag_profile(elman, **arrays_of(elman, 20))
    ax = profile.plot()
    try:
        lines = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
        assert ax.get_yscale() == "log"
        np.testing.assert_allclose(lines["W_hh"], profile.by_lag["W_hh"] / profile.by_lag["W_hh"][0])
        np.testing.assert_allclose(lines["largest ‖J_t … J_{i+1}‖₂"], profile.growth.products)
        bound = next(y for label, y in lines.items() if label.startswith("ρ^k"))
        np.testing.assert_allclose(bound, profile.growth.bound ** np.arange(20))
        assert profile.plot(ax) is ax
        ax.figure.canvas.draw()
    finally:
        pyplot.close(ax.figure)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    profile = bv.lag_profile(elman, **arrays_of(elman))
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(bv.UnsupportedError, match=r"expected the extra 'plot'.*bptt_verify\[plot\]"):
        profile.plot()
