"""The local Lipschitz constant: its parts, its expression, its corners and its errors."""

import itertools
import time

import numpy as np
import pytest
import sympy as sp
from cells_for_tests import ALL_CELLS, draw

import bptt_verify as bv
from bptt_verify.analysis import Bound, lipschitz_bound
from bptt_verify.cells import elman, gru, linear, lstm
from bptt_verify.derivation.enclosures import enclosure
from bptt_verify.derivation.geometric import (
    geometric,
    geometric_total,
    greater,
    lesser,
    path_peak,
    path_sum,
    path_total,
    power_peak,
    supremum,
)
from bptt_verify.derivation.jumps import jumps
from bptt_verify.derivation.normform import norm_form
from bptt_verify.errors import ArrayError, UsageError
from bptt_verify.program.functions import FUNCTIONS, relu, sigmoid, softplus, step
from bptt_verify.program.structures import structure

u, v, w = sp.symbols("u v w", real=True)
EXPRESSIONS = (
    u * (1 - u) * v, (1 - w) * u + w * v, sp.sin(u) * sp.cos(v), sp.exp(-(u**2)) * v, 1 / (1 + u**2), 1 / u,
    u**-2, sp.sqrt(1 + u**2), sp.log(1 + u**2), sp.Max(u, v) * w, sp.Min(u, v), sp.tan(u), sp.Abs(u) * u,
    sigmoid(u) * (1 - sigmoid(u)), softplus(u) - relu(v), sp.erf(u) * sp.erfc(v), 2**u, (1 + u**2) ** v,
    step(u) * v, u**3 - u, sp.acos(u / 10), sp.atan(u) * sp.cosh(v), (u + v) * (u - w),
    sp.sinh(u) - sp.asinh(v),
    sp.Piecewise((u, u > 0), (u / 10, True)), sp.Heaviside(u) * v, sp.sign(u) + v, 3 - 2 * u + u**2,
)  # fmt: skip


def arrays_of(rec, T=6, B=2, seed=0, scale=0.4):
    return draw(rec, np.random.default_rng(seed), T, B, scale=scale)


def meaning(expr, point):
    """The value of an expression at many points."""
    if expr in point:
        return point[expr]
    if expr.is_number and not expr.has(*(f for f in FUNCTIONS if f.__module__.startswith("bptt"))):
        return float(expr)
    if expr.func in FUNCTIONS:
        return FUNCTIONS[expr.func].numpy(meaning(expr.args[0], point))
    return structure(expr, lambda part: meaning(part, point))


# ---- ranges of expressions ----


@pytest.mark.parametrize("expr", EXPRESSIONS, ids=str)
def test_no_value_leaves_its_range(expr):
    rng = np.random.default_rng(0)
    for width in 10 ** rng.uniform(-4, 1, size=60):
        ends = {s: sorted(rng.normal(scale=2) + width * rng.normal(size=2)) for s in (u, v, w)}
        low, high = enclosure(expr, {s: tuple(e) for s, e in ends.items()})
        draws = {
            s: np.where(rng.uniform(size=400) < 0.7, rng.uniform(*e, size=400), e[0]) for s, e in ends.items()
        }
        with np.errstate(all="ignore"):
            values = meaning(expr, draws)
        values = values[np.isfinite(values)]
        assert (low <= values).all() and (values <= high).all()


@pytest.mark.parametrize(
    ("expr", "box", "expected"),
    [
        (u * (1 - u), {u: (0, 1)}, (0, 0.25)),
        ((1 - w) * u + w * v, {u: (-1, 1), v: (-3, 2), w: (0, 1)}, (-3, 2)),
        (u**2, {u: (-1, 2)}, (0, 4)),
        (sp.exp(u), {u: (-np.inf, 0)}, (0, 1)),
        (1 / u, {u: (-1, 1)}, (-np.inf, np.inf)),
        (sp.log(u), {u: (-1, 1)}, (-np.inf, np.inf)),
    ],
)
def test_ranges_that_are_known(expr, box, expected):
    assert np.allclose(enclosure(expr, box), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("expr", "count"),
    [
        (sp.Piecewise((u, u > 0), (u / 10, True)), 0),
        (sp.Piecewise((u**3, (u > -1) & (u < 1)), (sp.sign(u), True)), 0),
        (sp.Piecewise((u + 1, u > 0), (u / 10, True)), 1),
        (sp.sign(u), 1),
        (v + sp.Piecewise((u, u > 2), (2, True)), 0),
        (sp.tanh(u), 0),
    ],
)
def test_jumps_are_told_from_kinks(expr, count):
    assert len(jumps(expr)) == count


# ---- sums ----


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1 - 1e-12, 1.0, 1 + 1e-12, 1.3, 3.0])
@pytest.mark.parametrize("steps", [0, 1, 2, 7, 50])
def test_geometric_sums_are_right_at_and_around_1(ratio, steps):
    once = [ratio**k for k in range(steps)]
    assert float(geometric(ratio, steps)) == pytest.approx(sum(once), rel=1e-12)
    twice = sum(itertools.accumulate(once))
    assert float(geometric_total(ratio, steps)) == pytest.approx(twice, rel=1e-12)
    assert float(power_peak(ratio, steps)) == pytest.approx(max(1, ratio**steps))


def test_the_closed_form_is_right_at_1():
    ρ, T = sp.symbols("ρ T", positive=True)
    for form in (geometric, geometric_total):
        closed = form(ρ, T).doit()
        assert closed.has(sp.Piecewise) and not closed.has(sp.Sum)
        for ratio, steps in itertools.product((sp.Rational(1, 2), 1, 2), (1, 4, 9)):
            assert closed.subs({T: steps, ρ: ratio}) == sp.nsimplify(form(ρ, T).subs({T: steps, ρ: ratio}))
        assert form(1, T).subs(T, 4) == form(ρ, T).subs({ρ: 1, T: 4})


def test_sums_of_matrix_powers():
    gains = np.random.default_rng(0).uniform(size=(3, 3))
    powers = [np.linalg.matrix_power(gains, k) for k in range(7)]
    for i, j in itertools.product(range(3), repeat=2):
        entries = [p[i, j] for p in powers]
        assert float(path_sum(i, j, 6, *gains.ravel())) == pytest.approx(sum(entries[:6]))
        assert float(path_peak(i, j, 6, *gains.ravel())) == pytest.approx(max(entries))
        assert float(path_total(i, j, 6, *gains.ravel())) == pytest.approx(
            sum(itertools.accumulate(entries[:6]))
        )


def test_functions_of_bounds_print_and_take_values():
    a = sp.Symbol("a", positive=True)
    sup = supremum(sp.Lambda((u,), sp.exp(u)), -a, a)
    assert float(sup.subs(a, 1)) == pytest.approx(np.e)
    assert (
        r"\sup" in sp.latex(sup) and r"\max" in sp.latex(greater(a, 1)) and r"\min" in sp.latex(lesser(a, 1))
    )
    assert float(lesser(a, 2).subs(a, 3)) == 2 and float(greater(a, 2).subs(a, 3)) == 3
    assert r"\begin{pmatrix}" in sp.latex(path_sum(0, 1, a, a, 0, 0, a))


# ---- the bound ----


@pytest.mark.parametrize("name", ALL_CELLS)
def test_the_expression_is_the_value_of_the_norms_form(name):
    arrays = arrays_of(ALL_CELLS[name])
    bound = lipschitz_bound(ALL_CELLS[name], 0.1, **arrays)
    assert bound() == pytest.approx(bound.norm_value, nan_ok=False)
    assert bound.value == min(bound.norm_value, bound.data_value)
    assert bound.kind == ("data" if bound.data_value <= bound.norm_value else "norms")
    assert bound.per_parameter.keys() == ALL_CELLS[name].params.keys()
    parts = list(bound.per_parameter.values())
    assert np.hypot.reduce([0.0, *parts]) == pytest.approx(bound.value)
    assert bool(bound.reasons) == (np.inf in (bound.norm_value, bound.data_value))
    assert r"\begin{aligned}" in bound.latex and str(bound).startswith(name)


@pytest.mark.parametrize("rec", [linear, elman, gru], ids=lambda r: r.name)
def test_the_expression_alone_is_enough(rec):
    """In T, r, sizes and norms, evaluated by SymPy with nothing else at hand."""
    bound = lipschitz_bound(rec, 0.1, **arrays_of(rec))
    assert bound.expression.free_symbols <= set(bound.norms)
    assert {"T", "r"} <= set(map(str, bound.expression.free_symbols))
    assert bound.expression.has(geometric)
    assert float(bound.expression.subs(bound.norms)) == pytest.approx(bound.norm_value, rel=1e-6)


def test_the_ratio_may_be_exactly_1():
    arrays = arrays_of(elman)
    values = []
    for shift in (-1e-7, 0.0, 1e-7):
        bound = lipschitz_bound(elman, 0.5, **{**arrays, "W_hh": (0.5 + shift) * np.eye(3)})
        values.append(float(bound.expression.subs(bound.norms)))
    assert values == sorted(values) and values[2] == pytest.approx(values[0], rel=1e-5)


def test_other_norms_and_arrays_of_them():
    arrays = arrays_of(elman)
    bound = lipschitz_bound(elman, 0.1, **arrays)
    larger = lipschitz_bound(elman, 0.3, **arrays)
    assert bound(r=0.3) == pytest.approx(larger.norm_value)
    assert bound({"‖W_hh‖₂": 2.0}, T=20) > bound(T=20)
    assert np.allclose(bound(r=np.array([0.1, 0.3])), [bound.norm_value, larger.norm_value])
    with pytest.raises(UsageError, match="expected names among"):
        bound(W_hh=1.0)


def test_radius_0_gives_the_norm_of_the_gradient():
    for name in ("elman", "lstm", "elman_charlm", "attention"):
        rec, arrays = ALL_CELLS[name], arrays_of(ALL_CELLS[name])
        gradient = bv.generate(rec).loss_and_grad(**arrays)[1]
        size = np.sqrt(sum(np.sum(gradient[p] ** 2) for p in rec.params))
        assert lipschitz_bound(rec, 0, **arrays).data_value == pytest.approx(size, rel=1e-6)


def test_bounds_grow_with_the_radius():
    for name in ("elman", "lstm", "gru", "used_twice", "soft_classes"):
        arrays = arrays_of(ALL_CELLS[name])
        found = [lipschitz_bound(ALL_CELLS[name], r, **arrays) for r in (0, 1e-3, 0.1, 1.0)]
        for form in ("norm_value", "data_value"):
            values = [getattr(b, form) for b in found]
            assert values == sorted(values)


def test_what_has_no_bound_is_inf_and_says_why():
    arrays = arrays_of(ALL_CELLS["weight_norm"])
    bound = lipschitz_bound(ALL_CELLS["weight_norm"], 100.0, **arrays)
    assert bound.value == np.inf and len(bound.reasons) == 2
    assert all("finite bound" in reason and "=" in reason for reason in bound.reasons)
    assert "finite bound" in str(bound)


def test_a_jump_on_the_ball_has_no_lipschitz_constant():
    stepped = bv.pointwise(lambda a: sp.Piecewise((1, a > 0), (0, True)), "stepped")

    @bv.recurrence
    def jumping(x=bv.Input("n"), h=bv.State("n"), a=bv.Param("n")):
        h = stepped(a * x) + h
        return bv.Step(h=h, output=h, loss=bv.dot(h, h))

    x, a = np.ones((3, 1, 2)), np.array([1.0, -1.0])
    near, far = (lipschitz_bound(jumping, r, x=x, a=a) for r in (0.5, 2.0))
    assert near.value == 0 and near.norm_value == np.inf and "jump" in near.reasons[0]
    assert far.value == np.inf and any("by data" in reason for reason in far.reasons)


def test_states_that_stay_in_an_interval_are_bounded_by_it():
    """|h| ≤ 1 whatever the parameters: the bound of the readout does not grow with T."""
    for rec in (elman, lstm, gru):
        bound = lipschitz_bound(rec, 0.1, **arrays_of(rec))
        value = bound.compact_parameters["b_q"]
        assert "T" not in map(str, sp.sympify(value).free_symbols), (rec.name, value)


@pytest.mark.parametrize("radius", [-1, -1e-9, float("nan"), float("inf"), "1", None, True, 1j])
def test_a_wrong_radius_is_refused(radius):
    with pytest.raises(UsageError, match=r"lipschitz_bound: radius=.*expected a finite number, at least 0"):
        lipschitz_bound(elman, radius, **arrays_of(elman))


def test_wrong_arguments_are_refused():
    arrays = arrays_of(elman)
    with pytest.raises(UsageError, match=r"lipschitz_bound: rec=.*expected a Recurrence"):
        lipschitz_bound(lambda: None, 0.1, **arrays)
    with pytest.raises(ArrayError, match="W_hh"):
        lipschitz_bound(elman, 0.1, **{k: a for k, a in arrays.items() if k != "W_hh"})
    with pytest.raises(ArrayError, match="float32 or float64"):
        lipschitz_bound(elman, 0.1, **{k: a + 0j for k, a in arrays.items()})
    with pytest.raises(ArrayError):
        lipschitz_bound(elman, 0.1, **arrays, nothing=1.0)


def test_what_is_left_out_is_filled_in():
    arrays = {k: a.astype(np.float32) for k, a in arrays_of(elman).items() if k not in ("h0", "weights")}
    bound = lipschitz_bound(elman, 0.1, **arrays)
    assert isinstance(bound, Bound) and bound.norms[sp.Symbol("‖h0‖", nonnegative=True)] == 0
    assert 0 < bound.value < np.inf


def test_the_bound_of_lstm_is_derived_and_evaluated_quickly():
    """Ten times the time that it should take, for busy machines."""
    norm_form.cache_clear()
    start = time.perf_counter()
    bound = lipschitz_bound(lstm, 0.1, **arrays_of(lstm))
    assert time.perf_counter() - start < 20
    start = time.perf_counter()
    bound()
    assert time.perf_counter() - start < 0.1
