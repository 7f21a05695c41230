"""``expectation``: mean and variance of a gradient estimator at given arrays, exactly."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt_verify.analysis.given import prepared
from bptt_verify.analysis.moments import (
    Covariance,
    Path,
    blocks,
    covariance,
    path_of,
    second_moments,
    sensitivities,
)
from bptt_verify.analysis.terms import Array, norms
from bptt_verify.codegen import Kernel
from bptt_verify.errors import UsageError, VarianceWarning
from bptt_verify.estimators import Estimator, Randomized, probabilities

LONG = 8  # steps from which growth is fitted
LEVEL = 1 + 1e-9  # growth per step above which there is a warning
WANTED = 0.01  # the relative standard error of the table's last column


@dataclass(frozen=True, eq=False)
class Expectation:
    """Mean and variance of a gradient estimator, for one set of arrays; ``str`` prints a table.

    Attributes
    ----------
    name : str
        Of the recurrence.
    estimator : Estimator
    mean, variance : dict of str to array
        Elementwise, for every parameter, real input and initial state.
    overall : float
        The standard deviation of one run relative to the mean, both the norm of all parameters together.
    curve : array (T,)
        The trace of the covariance of the gated adjoint λ_t, at ``[t - 1]``: 0 at T, and from there back
        it collects the noise of the gates.
    growth : float
        By which factor a step back multiplies the variance that is there: the geometric mean of
        tr(κ_t J_tᵀ C_t J_t) / tr C_t over the older half of the steps. What a gate adds anew is left out,
        so that a curve that levels off has less than 1. For a constant scalar J it is J²/π.
        NaN where T < 8, where there is no variance, and where there is no number.
    """

    name: str
    estimator: Estimator
    mean: dict[str, Array]
    variance: dict[str, Array]
    overall: float
    curve: Array
    growth: float

    def standard_error(self, samples: int) -> dict[str, Array]:
        """The standard deviation of the mean of independent runs, elementwise.

        Parameters
        ----------
        samples : int
            Number of runs, at least 1.

        Raises
        ------
        UsageError
            If it is less.
        """
        if isinstance(samples, bool) or not isinstance(samples, int | np.integer) or samples < 1:
            raise UsageError(
                f"standard_error: samples={samples!r:.60}; expected a whole number of runs, at least 1."
            )
        return {name: np.sqrt(v / samples) for name, v in self.variance.items()}

    def __str__(self) -> str:
        with np.errstate(all="ignore"):
            return "\n".join(_table(self))


def expectation(kernel: Kernel, /, **arrays: Any) -> Expectation:
    """Mean and variance of a kernel's gradient over its random gates, without sampling (T7).

    The mean is one run with every gate at its expectation 1, since the gradient is linear in each gate. The
    variance of an entry k of a parameter is Σ_{t≥2} (κ_t - 1) d_kᵀ J_tᵀ Λ_t J_t d_k with κ_t = 1/π_t,
    d_k column k of ∂h_{t-1}/∂w, and Λ_t the second moment of the gated adjoint; that of an input x_s is
    a_sᵀ C_s a_s with a_s = ∂h_s/∂x_s, that of an initial state the diagonal of C_0. Computed in double
    precision. With gates shared by the batch, B sequences of N numbers of state are one stacked state: the
    work is O(T (B N)² (B N + P)) for P numbers in all parameters, the memory O(T (B N)² + B N P).

    Parameters
    ----------
    kernel : Kernel
        From ``generate(rec, estimator=Randomized(…))``. Other estimators draw nothing: their mean is the
        kernel's own gradient, truncated or not, and their variance 0.
    **arrays
        As for ``Kernel.loss_and_grad``, real; no gates and no generator.

    Returns
    -------
    Expectation

    Warns
    -----
    VarianceWarning
        Where the variance grows exponentially in the number of steps: ``growth`` is above 1.

    Raises
    ------
    UsageError
        If ``kernel`` is not a Kernel, or its schedule has another number of steps.
    ArrayError
        If an array is missing, unknown, complex, or has a wrong shape or dtype.
    """
    if not isinstance(kernel, Kernel):
        raise UsageError(f"expectation: kernel={kernel!r:.60}; expected a Kernel, made by generate.")
    given = prepared(kernel, "expectation", arrays)
    steps, estimator, params = len(given["weights"]), kernel.estimator, kernel.recurrence.params
    if not isinstance(estimator, Randomized):
        _, mean = kernel.loss_and_grad(**given)
        nothing = {name: np.zeros_like(g) for name, g in mean.items()}
        return Expectation(kernel.name, estimator, mean, nothing, 0.0, np.zeros(steps), float("nan"))
    pi = probabilities(estimator, steps)
    with np.errstate(over="ignore", invalid="ignore"):  # what explodes is reported, as inf or NaN
        _, mean = kernel.loss_and_grad(**given, xi=np.ones(steps))
        variance, found = _variances(kernel.recurrence.program, given, (1 - pi) / pi, estimator.per_sequence)
        growth = growth_of(found)
    if growth > LEVEL:
        _warn(growth, found)
    variance = {name: variance.get(name, np.zeros_like(g)) for name, g in mean.items()}
    overall = _ratio(*_sizes([mean[p] for p in params], [variance[p] for p in params]))
    return Expectation(kernel.name, estimator, mean, variance, overall, found.traces[1:], growth)


def _variances(
    program: Any, given: Mapping[str, Array], excess: Array, per_sequence: bool
) -> tuple[dict[str, Array], Covariance]:
    """The variance of every gradient that passes through a state, and the covariances that it comes from."""
    path = path_of(program, given)
    found = covariance(path, excess, path.direct.shape[1] if per_sequence else 1)
    return {**_of_steps(path, found, excess), **_of_initial_states(path, found)}, found


def _of_steps(path: Path, found: Covariance, excess: Array) -> dict[str, Array]:
    """The variances of the gradients of parameters and inputs."""
    steps, batch, _ = path.direct.shape
    total = np.zeros(sum(int(np.prod(shape)) for shape in path.parameters.values()))
    inputs = {x: np.empty((steps, batch, int(np.prod(shape)))) for x, shape in path.inputs.items()}
    for t, (moved, local) in enumerate(sensitivities(path)):
        matrices = found.matrices[t + 1]
        if t and excess[t]:
            total += excess[t] * second_moments(matrices, path.adjoints[t], moved)
        own = blocks(matrices, batch)
        for x in inputs:
            inputs[x][t] = np.sum(local[x] * (own @ local[x]), axis=1)
    shaped = {x: v.reshape(steps, batch, *path.inputs[x]) for x, v in inputs.items()}
    return {**_split(total, path.parameters), **shaped}


def _of_initial_states(path: Path, found: Covariance) -> dict[str, Array]:
    batch = path.direct.shape[1]
    diagonal = np.diagonal(found.matrices[0], axis1=-2, axis2=-1).reshape(batch, -1)
    ends = np.cumsum([int(np.prod(shape)) for shape in path.sizes.values()])[:-1]
    parts = np.split(diagonal, ends, axis=1)
    return {f"{s}0": v.reshape(batch, *path.sizes[s]) for s, v in zip(path.sizes, parts, strict=True)}


def _split(flat: Array, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Consecutive pieces of a vector as arrays of given shapes."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])[:-1]
    return (
        {n: v.reshape(shapes[n]) for n, v in zip(shapes, np.split(flat, ends), strict=True)} if shapes else {}
    )


def growth_of(found: Covariance) -> float:
    """The factor per step back of the variance that is there, over the older half of the steps."""
    steps = len(found.carried)
    if steps < LONG:
        return float("nan")
    if not np.isfinite(found.traces).all():
        return float("inf") if np.isinf(found.traces).any() else float("nan")
    before, after = found.traces[2 : steps // 2 + 2], found.carried[1 : steps // 2 + 1]
    there = before > 0
    if not there.any():
        return float("nan")
    with np.errstate(divide="ignore"):
        return float(np.exp(np.mean(np.log(after[there] / before[there]))))


def _warn(growth: float, found: Covariance) -> None:
    warnings.warn(
        f"expectation: growth={growth:.3g}; expected at most 1. The variance of the adjoint is multiplied by "
        f"this with every step back: tr C_1 = {found.traces[1]:.1e} after T={len(found.carried)} steps. "
        "Raise π, or see optimal_schedule.",
        VarianceWarning,
        stacklevel=3,
    )


def _table(found: Expectation) -> list[str]:
    width = max(map(len, (*found.mean, "block")))
    head = f"{'block':>{width}}      ‖mean‖   deviation   relative   samples for {WANTED:.0%}"
    lines = [f"gradient of {found.name} with {found.estimator!s:.60}, T = {len(found.curve)}", head]
    rows = [f"{n:>{width}} " + _row(found.mean[n], found.variance[n]) for n in found.mean]
    last = f"relative deviation of one run, all parameters together: {found.overall:.3g}"
    return [*lines, *rows, last]


def _row(mean: Array, variance: Array) -> str:
    size, deviation = _sizes([mean], [variance])
    relative = _ratio(size, deviation)
    return f"{size:11.3e} {deviation:11.3e} {relative:10.3g} {np.ceil((relative / WANTED) ** 2):16.6g}"


def _sizes(means: list[Array], variances: list[Array]) -> tuple[float, float]:
    """The norm of a mean, and the root of the total variance."""
    flat = np.concatenate([np.zeros(0), *(m.ravel() for m in means)])
    return float(norms(flat[None], 1)[0]), float(np.sqrt(sum(np.sum(v) for v in variances)))


def _ratio(size: float, deviation: float) -> float:
    if deviation == 0:
        return 0.0
    return deviation / size if size else float("inf")
