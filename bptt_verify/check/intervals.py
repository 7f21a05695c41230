"""Intervals of a bias from the e-processes of the sequential test, valid at any time."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from bptt_verify.check.budgets import PROCESSES, Plan
from bptt_verify.check.problem import Array

MISSED = 0.05  # each limit of a norm, and each interval as a whole, is wrong with this probability


def catoni(x: Array) -> Array:
    """φ(x) = sign(x) log(1 + |x| + x²/2): about x near 0, and of slow growth."""
    size = np.abs(x)
    return np.asarray(np.sign(x) * np.log1p(size + size * size / 2))


def at_least(plan: Plan, logs: Array, used: Array) -> float:
    """A norm that the bias is not below, in units of the scale.

    For a bias of norm at most b, exp(φ(λ y) - λ² v/2 - λ b - λ² b²/2) has mean at most 1.

    Parameters
    ----------
    plan : Plan
    logs, used : array (directions, rates)
        Logarithms of the e-processes for b = 0, and how many samples each has used.
    """
    excess = np.maximum(logs - np.log(PROCESSES / MISSED), 0) / np.maximum(used, 1)
    return float(np.max((np.sqrt(1 + 2 * excess) - 1) / plan.rates))


def along(plan: Plan, y: Array) -> tuple[float, float]:
    """Catoni's confidence interval for the mean of residuals along one direction; the best of all rates."""
    low, high = -np.inf, np.inf
    for rate in plan.rates:
        width = len(y) * rate**2 * plan.moment / 2 + np.log(2 * len(plan.rates) / MISSED)
        low, high = max(low, _crossing(y, rate, width)), min(high, _crossing(y, rate, -width))
    return low, high


def _crossing(y: Array, rate: float, level: float) -> float:
    """The b with Σ φ(rate (y - b)) = level; the sum falls with b."""

    def excess(b: float) -> float:
        return float(np.sum(catoni(rate * (y - b)))) - level

    low, high, reach = float(y.min()), float(y.max()), float(1 / rate)
    while excess(low) <= 0:
        low, reach = low - reach, 2 * reach
    while excess(high) > 0:
        high, reach = high + reach, 2 * reach
    return float(brentq(excess, low, high, xtol=1e-6 / rate))
