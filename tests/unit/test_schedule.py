"""The schedule of gates with the smallest variance at an expected cost."""

import itertools
import warnings

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS, draw
from scipy.optimize import minimize

import bptt_verify as bv
from bptt_verify.analysis import OptimalSchedule, expectation, optimal_schedule, schedules
from bptt_verify.analysis.costs import Cost, cost_of
from bptt_verify.analysis.moments import path_of
from bptt_verify.cells import elman, linear
from bptt_verify.errors import VarianceWarning

SOME = ("elman", "lstm", "output_is_previous_state", "gates_read_twice")


def arrays_of(rec, T=6, B=2, seed=3, scale=0.7, zero=()):
    arrays = draw(rec, np.random.default_rng(seed), T, B, scale=scale)
    arrays["weights"][list(zero)] = 0
    return arrays


def problem_of(rec, arrays, budget, minimum=0.01, per_sequence=False):
    groups = arrays["weights"].shape[1] if per_sequence else 1
    cost = cost_of(rec.program, arrays["weights"], groups)
    return schedules._problem(path_of(rec.program, arrays), cost, budget, minimum, groups)


def exact(rec, arrays, estimator):
    """The variance of all parameters' gradients together."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VarianceWarning)
        found = expectation(bv.generate(rec, estimator=estimator), **arrays)
    return sum(found.variance[p].sum() for p in rec.params)


def outcomes(pi):
    """Every outcome of the gates with its probability."""
    for bits in itertools.product((0, 1), repeat=len(pi)):
        yield np.prod(np.where(bits, pi, 1 - pi)), np.array(bits)


# ---- cost ----


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("zero", [(), (1, 2), (5,), (0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 5)], ids=str)
def test_the_expected_cost_is_what_the_kernel_makes(name, zero):
    rec, pi = ALL_CELLS[name], np.random.default_rng(1).uniform(0.2, 0.9, 6)
    arrays = arrays_of(rec, zero=zero)
    kernel = bv.generate(rec, estimator=bv.Randomized(tuple(pi)))
    made = [(p, kernel.estimate(**arrays, xi=bits / pi).products) for p, bits in outcomes(pi)]
    cost = cost_of(rec.program, arrays["weights"], 1)
    assert cost.products(pi) == pytest.approx(sum(p * n for p, n in made), rel=1e-13)
    assert cost.most() == max(n for _, n in made) == pytest.approx(cost.products(np.ones(6)))


def test_each_sequence_has_its_own_products():
    losses = np.random.default_rng(0).random((7, 3)) < 0.4
    pi = np.random.default_rng(1).uniform(0.2, 0.9, 7)
    apart = [Cost(losses[:, [b]]).products(pi) for b in range(3)]
    assert Cost(losses).products(pi) == pytest.approx(sum(apart), rel=1e-14)


@pytest.mark.parametrize("seed", range(10))
def test_slopes_of_the_cost(seed):
    rng = np.random.default_rng(seed)
    cost, pi = Cost(rng.random((8, 2)) < rng.random()), rng.uniform(0.1, 1, 8)
    ones = np.eye(8)
    wanted = [cost.products(pi + (1 - pi) * e) - cost.products(pi - (pi - 1e-3) * e) for e in ones]
    np.testing.assert_allclose(
        cost.slopes(pi), np.array(wanted) / (1 - 1e-3), atol=1e-12
    )  # it is multilinear


# ---- variance ----


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("per_sequence", [False, True])
def test_variance_and_its_slopes(name, per_sequence):
    rec, pi = ALL_CELLS[name], np.random.default_rng(0).uniform(0.2, 0.9, 6)
    arrays = arrays_of(rec, zero=(1, 4))
    problem = problem_of(rec, arrays, 3.0, per_sequence=per_sequence)
    variance, slopes = problem.variance(pi)
    assert variance == pytest.approx(exact(rec, arrays, bv.Randomized(tuple(pi), per_sequence)), rel=1e-12)
    for t in range(6):  # multilinear in κ: a difference over any step is the derivative
        low, high = pi.copy(), pi.copy()
        low[t], high[t] = 1.0, 0.5
        difference = problem.variance(high)[0] - problem.variance(low)[0]
        assert difference == pytest.approx(slopes[t], rel=1e-9, abs=1e-12 * variance)


# ---- the optimum ----


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize(("zero", "per_sequence"), [((), False), ((1, 2), False), ((), True)], ids=str)
def test_no_optimiser_finds_a_better_one(name, zero, per_sequence):
    rec = ALL_CELLS[name]
    arrays = arrays_of(rec, zero=zero)
    budget = 3.0 * (2 if per_sequence else 1)
    found = optimal_schedule(rec, arrays, budget, per_sequence=per_sequence)
    problem = problem_of(rec, arrays, budget, per_sequence=per_sequence)
    other = minimize(
        lambda pi: np.log(problem.variance(pi)[0]),
        np.full(6, found.constant_pi),
        bounds=[(0.01, 1)] * 6,
        constraints={"type": "ineq", "fun": lambda pi: budget - problem.cost.products(pi)},
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert found.variance <= np.exp(other.fun) * (1 + 1e-6)
    assert found.variance < 0.9 * found.constant_variance
    assert found.products == pytest.approx(budget, rel=1e-9) and found.products <= budget


@pytest.mark.parametrize("budget", [0.5, 2.0, 4.7, 6.0])
@pytest.mark.parametrize("zero", [(), (0, 1, 2, 3, 4)], ids=str)
def test_what_is_reported_is_right(budget, zero):
    arrays = arrays_of(elman, zero=zero)
    found = optimal_schedule(elman, arrays, budget)
    cost = cost_of(elman.program, arrays["weights"], 1)
    assert isinstance(found, OptimalSchedule) and found.estimator == bv.Randomized(tuple(found.pi.tolist()))
    assert found.products == cost.products(found.pi) <= budget
    constant = np.full(6, found.constant_pi)
    assert cost.products(constant) == pytest.approx(budget, rel=1e-9)
    assert found.variance == pytest.approx(exact(elman, arrays, found.estimator), rel=1e-11, abs=1e-25)
    wanted = exact(elman, arrays, bv.Randomized(found.constant_pi))
    assert found.constant_variance == pytest.approx(wanted, rel=1e-11, abs=1e-25)
    assert found.variance <= found.constant_variance and found.gain >= 1
    assert (found.pi >= 0.01).all() and (found.pi <= 1).all()


def test_what_the_parameters_do_not_see_goes_to_the_minimum():
    found = optimal_schedule(elman, arrays_of(elman, zero=(5,)), 3.0, minimum=0.05)
    assert found.pi[0] == found.pi[5] == 0.05 < found.pi[1:5].min()


def test_all_gates_but_the_first_open_costs_one_less():
    found = optimal_schedule(elman, arrays_of(elman), 5.5)
    assert found.variance == 0 and found.gain == np.inf and found.constant_variance > 0
    assert (found.pi[1:] == 1).all() and found.products <= 5.5


def test_one_step():
    found = optimal_schedule(elman, arrays_of(elman, 1), 1)
    assert found.variance == found.constant_variance == 0 and found.gain == 1


def test_the_constant_schedule_where_nothing_is_better(monkeypatch):
    arrays = arrays_of(elman)
    monkeypatch.setattr(schedules, "ROUNDS", 0)
    found = optimal_schedule(elman, arrays, 3)
    assert found.pi == pytest.approx(0.5) and found.gain == 1
    tight = optimal_schedule(elman, arrays, 0.3, minimum=0.05)
    assert tight.pi == pytest.approx(0.05)


def test_the_table():
    found = optimal_schedule(elman, arrays_of(elman), 3)
    lines = str(found).splitlines()
    assert lines[0] == "schedule for elman, T = 6, 3 expected products a run"
    assert lines[2].split() == ["constant", "0.5", f"{np.sqrt(found.constant_variance):.3e}"]
    low, high = (f"{v:.4g}" for v in (found.pi.min(), found.pi.max()))
    assert lines[3].split() == ["optimal", low, "…", high, f"{np.sqrt(found.variance):.3e}"]
    assert f"{found.gain:.3g} times smaller" in lines[4]


# ---- wrong calls ----


def test_wrong_budgets_and_limits_are_refused():
    arrays = arrays_of(elman)
    for budget in (0, -1, 6.01, np.nan, np.inf, "3", None, True):
        with pytest.raises(bv.UsageError, match=r"budget=.*; expected a number of products .* at most 6,"):
            optimal_schedule(elman, arrays, budget)
    with pytest.raises(bv.UsageError, match=r"at most 5, that with all gates open"):
        optimal_schedule(elman, arrays_of(elman, zero=(5,)), 6)
    assert optimal_schedule(elman, arrays, 12, per_sequence=True).variance == 0
    with pytest.raises(bv.UsageError, match=r"budget=0\.05; expected at least 0\.06, which every .*=0\.01"):
        optimal_schedule(elman, arrays, 0.05)
    for minimum in (0, 1.1, np.nan, (0.1, 0.2), "0.1", True):
        with pytest.raises(bv.UsageError, match=r"minimum=.*; expected 0 < minimum ≤ 1"):
            optimal_schedule(elman, arrays, 3, minimum=minimum)
    with pytest.raises(bv.UsageError, match=r"per_sequence=1; expected True or False"):
        optimal_schedule(elman, arrays, 3, per_sequence=1)


def test_wrong_arrays_are_refused():
    arrays = arrays_of(elman)
    with pytest.raises(bv.UsageError, match=r"optimal_schedule: rec='elman'; expected a Recurrence"):
        optimal_schedule("elman", arrays, 3)
    with pytest.raises(bv.UsageError, match=r"optimal_schedule: arrays=None; expected a dict"):
        optimal_schedule(elman, None, 3)
    with pytest.raises(bv.ArrayError, match=r"elman\.optimal_schedule: missing array 'x'"):
        optimal_schedule(elman, {k: a for k, a in arrays.items() if k != "x"}, 3)
    with pytest.raises(bv.ArrayError, match=r"dtype=complex128; expected float32 or float64"):
        optimal_schedule(elman, {**arrays, "b_h": np.zeros(3, complex)}, 3)
    with pytest.raises(bv.UsageError, match=r"weights=0 for every loss that reads a state"):
        optimal_schedule(elman, {**arrays, "weights": np.zeros((6, 2))}, 3)
    large = {**arrays_of(linear, 40, 1), "W_hh": 1e20 * np.eye(3)}
    with pytest.raises(bv.ArrayError, match=r"variance=(nan|inf) at constant π=0\.5; expected a finite one"):
        optimal_schedule(linear, large, 20)
