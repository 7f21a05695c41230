"""``lag_profile``: the size of every term of the gradient sum, so that vanishing and exploding show."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bptt_verify.analysis.given import kernel_of, prepared
from bptt_verify.analysis.terms import Array, measured, norms, spectral, stacked_jacobians
from bptt_verify.errors import UnsupportedError
from bptt_verify.language import Recurrence

SHOWN = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # lags that are printed, and the last one


@dataclass(frozen=True)
class Growth:
    """How terms change per step of lag, and what bounds the products of Jacobians (T4).

    Attributes
    ----------
    factor : float
        Fitted to all terms that are finite and not zero, all parameters together: the logarithms of the
        sizes have one slope over the lag, and for each t a constant of their own. 0 where only lag 0 has
        terms, NaN where there is nothing to fit.
    by_parameter : dict of str to float
        The same for each parameter.
    bound : float
        ρ = max ‖J_t‖₂ over steps and sequences: ‖J_t … J_{i+1}‖₂ ≤ ρ^(t-i).
    jacobians : array (T, B, n, n)
        J_t of the stacked states.
    """

    factor: float
    by_parameter: dict[str, float]
    bound: float
    jacobians: Array

    @cached_property
    def products(self) -> Array:
        """max ‖J_t … J_{t-k+1}‖₂ over t and sequences for every lag k, (T,); O(T²) matrix products."""
        product, largest = self.jacobians, [1.0]
        with np.errstate(over="ignore", invalid="ignore"):
            for k in range(1, len(self.jacobians)):
                largest.append(float(spectral(product).max()))
                product = self.jacobians[k:] @ product[:-1]  # k + 1 factors, the newest on the left
        return np.array(largest)


@dataclass(frozen=True)
class LagProfile:
    """Sizes of the terms c_tᵀ (J_t … J_{i+1}) A_i of ∂L/∂w; ``str`` prints a table.

    The explicit parts Σ_t ∂L_t/∂w (of a readout, say) pass through no state. They are no terms of this sum,
    and a parameter that no new state depends on is not listed.

    Attributes
    ----------
    name : str
        Of the recurrence.
    terms : dict of str to array (T, T)
        By parameter: the Frobenius norm of the term of step t and step i, summed over the batch, at
        ``[t - 1, i - 1]``. It is 0 for i > t: a step does not depend on a later one.
    per_sequence : dict of str to array (B, T, T)
        The same for each sequence alone. Terms of several sequences may cancel in the sum.
    growth : Growth
    """

    name: str
    terms: dict[str, Array]
    per_sequence: dict[str, Array]
    growth: Growth

    @cached_property
    def by_lag(self) -> dict[str, Array]:
        """By parameter: the sizes at lag k = t - i summed over t, (T,)."""
        return {name: _summed(sizes) for name, sizes in self.terms.items()}

    @cached_property
    def total(self) -> Array:
        """All parameters together: the norm of the terms of step t and step i, (T, T)."""
        return _together(self.terms, len(self.growth.jacobians))

    def to_dict(self) -> dict[str, Any]:
        """The numbers as lists, for JSON."""
        growth = self.growth
        return {
            "name": self.name,
            "terms": {k: v.tolist() for k, v in self.terms.items()},
            "by_lag": {k: v.tolist() for k, v in self.by_lag.items()},
            "growth": {
                "factor": growth.factor,
                "by_parameter": dict(growth.by_parameter),
                "bound": growth.bound,
                "products": growth.products.tolist(),
            },
        }

    def plot(self, ax: Any = None) -> Any:
        """Draw sizes by lag relative to lag 0, the norms of the products, and the bound ρ^k.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        UnsupportedError
            If matplotlib (the extra ``plot``) is not installed.
        """
        ax = _axes() if ax is None else ax
        for name, sizes in self.by_lag.items():
            if sizes[0] > 0:
                ax.plot(_positive(sizes / sizes[0]), label=name)
        growth = self.growth
        ax.plot(_positive(growth.products), "k.", label="largest ‖J_t … J_{i+1}‖₂")
        ax.plot(
            _positive(_powers(growth.bound, len(growth.products))),
            "k--",
            label=f"ρ^k, ρ = {growth.bound:.3g}",
        )
        ax.set(yscale="log", xlabel="lag k = t - i", ylabel="size relative to lag 0", title=self.name)
        ax.legend()
        return ax

    def __str__(self) -> str:
        return "\n".join([*_table(self), _sentence(self)])


def lag_profile(rec: Recurrence, /, **arrays: Any) -> LagProfile:
    """The size of every term of ∂L/∂w = Σ_t ∂L_t/∂w + Σ_t Σ_{i≤t} c_tᵀ (J_t … J_{i+1}) A_i at given arrays.

    The states are stacked, and c_t = (∂L_t/∂h_t + ∂L_{t+1}/∂h_t)ᵀ. Computed in double precision, by O(T²)
    products of vectors with J_t and A_t; only ``growth`` needs J_t as a matrix.

    Parameters
    ----------
    rec : Recurrence
    **arrays
        As for ``Kernel.loss_and_grad``: by declared name, time-major; initial states and ``weights`` may be
        left out.

    Returns
    -------
    LagProfile

    Raises
    ------
    UsageError
        If ``rec`` is not a Recurrence.
    ArrayError
        If an array is missing, unknown, complex, or has a wrong shape or dtype.
    """
    given = prepared(kernel_of(rec, "lag_profile"), "lag_profile", arrays)
    with np.errstate(over="ignore", invalid="ignore"):  # what explodes is reported, as inf or NaN
        terms, apart = measured(rec.program, given)
        jacobians = stacked_jacobians(rec.program, given)
        factor = _fitted(_together(terms, len(jacobians)))
        each = {name: _fitted(sizes) for name, sizes in terms.items()}
    return LagProfile(
        rec.name, terms, apart, Growth(factor, each, float(spectral(jacobians).max()), jacobians)
    )


def _together(sizes: Mapping[str, Array], steps: int) -> Array:
    """The norm of all parameters' terms together."""
    return norms(np.stack([np.zeros((steps, steps)), *sizes.values()], axis=-1), 2)


def _summed(sizes: Array) -> Array:
    """Sizes (T, T) summed over t at each lag."""
    return np.array([np.trace(sizes, offset=-k) for k in range(len(sizes))])


def _fitted(sizes: Array) -> float:
    """The factor per step of lag in sizes (T, T): least squares on logarithms, a constant for each t."""
    t, i = np.nonzero(np.isfinite(sizes) & (sizes > 0))
    if not t.size or len(sizes) == 1:
        return float("nan")
    count = np.bincount(t)[t]
    lag, log = (t - i).astype(float), np.log(sizes[t, i])
    lag, log = (v - np.bincount(t, v)[t] / count for v in (lag, log))
    spread = float(np.sum(lag**2))
    if spread == 0:
        return 0.0 if np.all(t == i) else float("nan")
    return float(np.exp(np.sum(lag * log) / spread))


def _table(profile: LagProfile) -> list[str]:
    steps = len(profile.total)
    lags = [k for k in SHOWN if k < steps - 1] + [steps - 1]
    rows = {name: profile.by_lag[name] for name in profile.terms}
    rows["all"], bound = _summed(profile.total), _powers(profile.growth.bound, steps)
    width = max(map(len, rows))
    batch = profile.growth.jacobians.shape[1]
    factors = {**profile.growth.by_parameter, "all": profile.growth.factor}
    head = f"{'k':>{width}} " + " ".join(f"{k:>8}" for k in lags)
    return [
        f"lag profile of {profile.name}, T = {steps}, B = {batch}",
        "size of c_tᵀ (J_t … J_{i+1}) A_i summed over t, by lag k = t - i; its factor per step of lag",
        f"{head}   factor",
        *(f"{n:>{width}} " + _row(v, lags) + f" {factors[n]:8.3g}" for n, v in rows.items()),
        f"{'ρ^k':>{width}} " + _row(bound, lags) + f" {profile.growth.bound:8.3g}",
    ]


def _row(values: Array, lags: list[int]) -> str:
    return " ".join(f"{values[k]:8.1e}" for k in lags)


def _sentence(profile: LagProfile) -> str:
    """What the table says, in a sentence."""
    total, factor = _summed(profile.total), profile.growth.factor
    if np.isnan(factor):
        return "There is nothing to compare: fewer than two lags have terms that are finite and not zero."
    if factor == 0:
        return "Only lag 0 contributes: every term at a larger lag is zero."
    change = "shrink" if factor < 1 else "grow"
    sentence = f"Contributions {change} by a factor of {factor:.3g} per step of lag"
    last = min(20, len(total) - 1)
    if total[0] > 0 and np.isfinite(total[[0, last]]).all():
        sentence += f"; at lag {last} they are {total[last] / total[0]:.1g} of lag 0"
    return f"{sentence}."


def _powers(base: float, count: int) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(np.float64(base) ** np.arange(count))


def _positive(values: Array) -> Array:
    """What a logarithmic axis can show."""
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _axes() -> Any:
    try:
        pyplot = importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        raise UnsupportedError(
            "plot: matplotlib is not installed; expected the extra 'plot'. Run "
            "pip install 'bptt_verify[plot]', or use print(profile)."
        ) from error
    return pyplot.subplots()[1]
