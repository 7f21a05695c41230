"""``optimal_schedule``: the probabilities with the smallest variance at an expected cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from bptt_verify.analysis.costs import Cost, cost_of
from bptt_verify.analysis.given import kernel_of, prepared
from bptt_verify.analysis.moments import Path, covariance, path_of, sensitivities, spread
from bptt_verify.analysis.terms import Array
from bptt_verify.errors import ArrayError, UsageError
from bptt_verify.estimators import Randomized
from bptt_verify.language import Recurrence

ROUNDS = 500
LARGEST_STEP, SMALLEST_STEP = 0.5, 1e-5  # of the damped iteration
GAIN = 1e-9  # of the variance, relative: less is no progress
HALVINGS = 80


@dataclass(frozen=True, eq=False)
class OptimalSchedule:
    """Probabilities for ``Randomized``, and what they gain; ``str`` prints a table.

    Attributes
    ----------
    name : str
        Of the recurrence.
    estimator : Randomized
        With ``pi``.
    pi : array (T,)
    variance, products : float
        Variance of all parameters' gradients together, and expected number of products J_tᵀ λ_t a run.
    constant_pi, constant_variance : float
        The constant π with the wanted expected number of products, and its variance.
    """

    name: str
    estimator: Randomized
    pi: Array
    variance: float
    products: float
    constant_pi: float
    constant_variance: float

    @property
    def gain(self) -> float:
        """How many times smaller the variance is than with the constant π."""
        if self.variance == self.constant_variance:
            return 1.0
        return float(np.divide(self.constant_variance, self.variance)) if self.variance else float("inf")

    def __str__(self) -> str:
        low, high = self.pi.min(), self.pi.max()
        return "\n".join(
            [
                f"schedule for {self.name}, T = {len(self.pi)}, {self.products:.4g} expected products a run",
                f"{'':>8}  {'π':>17}   deviation",
                f"constant  {self.constant_pi:17.4g}  {np.sqrt(self.constant_variance):10.3e}",
                f" optimal  {f'{low:.4g} … {high:.4g}':>17}  {np.sqrt(self.variance):10.3e}",
                f"The variance is {self.gain:.3g} times smaller than with constant π.",
            ]
        )


def optimal_schedule(
    rec: Recurrence,
    arrays: Mapping[str, Any],
    budget: float,
    *,
    minimum: float = 1e-2,
    per_sequence: bool = False,
) -> OptimalSchedule:
    """The π_1 … π_T with the smallest variance of the parameters' gradient at given arrays (T7).

    The variance is multilinear in κ_t = 1/π_t, the expected cost in π_t. With their derivatives g_t and q_t,
    a stationary schedule has π_t = √(g_t / (ν q_t)) within its limits, ν such that the budget is met. That is
    iterated with damping from the constant schedule, and the best one met is kept: it is stationary, which
    need not make it the smallest of all, and it is never worse than the constant one. ξ_1 gates only the
    gradient of the initial state, which is not counted, and costs a product: π_1 goes to the minimum. So do
    the gates after the last loss, which nothing passes.

    Parameters
    ----------
    rec : Recurrence
    arrays : mapping of str to array
        As for ``Kernel.loss_and_grad``, real.
    budget : float
        The expected number of products J_tᵀ λ_t a run, above 0 and at most that with all gates open: T for a
        loss at every step. With gates shared by the batch a product for the whole batch is one; with
        ``per_sequence`` one for each sequence, up to T·B.
    minimum : float
        The smallest π_t, above 0 and at most 1.
    per_sequence : bool
        As for ``Randomized``.

    Returns
    -------
    OptimalSchedule

    Raises
    ------
    UsageError
        If ``rec`` is not a Recurrence, the budget cannot be met, or another argument is not as listed.
    ArrayError
        If an array is missing, unknown, complex, or has a wrong shape or dtype; or the variance is
        not finite.
    """
    given = prepared(kernel_of(rec, "optimal_schedule"), "optimal_schedule", arrays)
    _check_options(minimum, per_sequence)
    steps, batch = given["weights"].shape
    groups = batch if per_sequence else 1
    cost = cost_of(rec.program, given["weights"], groups)
    _check_budget(budget, cost, np.full(steps, float(minimum)))
    with np.errstate(over="ignore", invalid="ignore"):
        problem = _problem(path_of(rec.program, given), cost, float(budget), float(minimum), groups)
        constant = problem.meeting(np.ones(steps))
        first, _ = problem.variance(constant)
        if not np.isfinite(first):
            raise ArrayError(
                f"{rec.name}.optimal_schedule: variance={first} at constant π={constant[0]:.4g}; expected a "
                "finite one. Pass arrays along which the gradient does not explode, or a larger budget."
            )
        pi, variance = _best(problem, constant)
    return OptimalSchedule(
        rec.name,
        Randomized(tuple(pi.tolist()), per_sequence),
        pi,
        variance,
        cost.products(pi),
        float(constant[0]),
        first,
    )


def _check_options(minimum: Any, per_sequence: Any) -> None:
    if not _is_number(minimum) or not 0 < minimum <= 1:
        raise UsageError(f"optimal_schedule: minimum={minimum!r:.60}; expected 0 < minimum ≤ 1.")
    if not isinstance(per_sequence, bool):
        raise UsageError(f"optimal_schedule: per_sequence={per_sequence!r:.60}; expected True or False.")


def _check_budget(budget: Any, cost: Cost, least: Array) -> None:
    most, floor = cost.most(), cost.products(least)
    if most == 0:
        raise UsageError(
            "optimal_schedule: weights=0 for every loss that reads a state; expected a loss to pass back."
        )
    if not _is_number(budget) or not 0 < budget <= most:
        raise UsageError(
            f"optimal_schedule: budget={budget!r:.60}; expected a number of products above 0 and at most "
            f"{most}, that with all gates open."
        )
    if floor > budget:
        raise UsageError(
            f"optimal_schedule: budget={budget!r:.60}; expected at least {floor:.4g}, which every "
            f"π_t = minimum={least[0]:.4g} costs. Raise the budget or lower the minimum."
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass(frozen=True, eq=False)
class _Problem:
    """Variance and cost of a schedule.

    ``weights`` (T, G, M, M) are S_t = J_t ∂h_{t-1}/∂w (J_t ∂h_{t-1}/∂w)ᵀ, summed over all parameters: the
    variance is Σ_t (κ_t - 1) ⟨S_t, Λ_t⟩.
    """

    path: Path
    weights: Array
    cost: Cost
    budget: float
    minimum: float

    def variance(self, pi: Array) -> tuple[float, Array]:
        """The variance, and its derivative g_t by each κ_t."""
        excess = (1 - pi) / pi
        groups = self.weights.shape[1]
        found = covariance(self.path, excess, groups).matrices[1:]
        adjoints = self.path.adjoints.reshape(len(pi), groups, -1)
        total, slopes = 0.0, np.zeros_like(pi)
        past = np.zeros_like(self.weights[0])
        for t, weight in enumerate(self.weights):
            second = found[t] + adjoints[t][:, :, None] * adjoints[t][:, None, :]
            moved = spread(self.path.jacobians[t], past)
            total += float(excess[t] * np.sum(weight * second))
            slopes[t] = np.sum((weight + moved) * second)
            past = excess[t] * weight + (1 + excess[t]) * moved
        return total, slopes

    def meeting(self, shape: Array) -> Array:
        """The schedule proportional to ``shape`` within its limits that meets the budget."""
        there, least = shape[shape > 0], np.full(len(shape), self.minimum)
        if not there.size:
            return least
        low, high = np.log(self.minimum / there.max()), np.log(1 / there.min())
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            fits = self.cost.products(self._limited(middle, shape)) <= self.budget
            low, high = (middle, high) if fits else (low, middle)
        ends = (self._limited(x, shape) for x in (high, low))
        return next((pi for pi in ends if self.cost.products(pi) <= self.budget), least)

    def _limited(self, scale: float, shape: Array) -> Array:
        return np.asarray(np.clip(np.exp(scale) * shape, self.minimum, 1.0))


def _problem(path: Path, cost: Cost, budget: float, minimum: float, groups: int) -> _Problem:
    steps, batch, width = path.direct.shape
    weights = np.empty((steps, groups, batch * width // groups, batch * width // groups))
    for t, (moved, _) in enumerate(sensitivities(path)):
        columns = moved.reshape(*weights.shape[1:3], moved.shape[-1])
        weights[t] = columns @ columns.mT
    return _Problem(path, weights, cost, budget, minimum)


def _best(problem: _Problem, start: Array) -> tuple[Array, float]:
    """The damped fixed-point iteration for a stationary schedule."""
    pi, step = start, LARGEST_STEP
    variance, slopes = problem.variance(pi)
    for _ in range(ROUNDS):
        q = problem.cost.slopes(pi)
        target = problem.meeting(np.sqrt(np.divide(slopes, q, out=np.zeros_like(q), where=q > 0)))
        trial = problem.meeting(np.where(slopes > 0, pi ** (1 - step) * target**step, 0.0))
        found, ahead = problem.variance(trial)
        progress = variance - found
        if progress > 0:
            pi, variance, slopes, step = trial, found, ahead, min(LARGEST_STEP, 1.2 * step)
        else:
            step /= 2
        if step < SMALLEST_STEP or 0 < progress <= GAIN * variance:
            break
    return pi, variance
