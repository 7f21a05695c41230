"""Sample sizes of the sequential test, from what is declared and a bound of the second moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bptt_verify.check.problem import Array

FACTORS = (1.0, 4.0, 16.0)  # rates, for biases of that many times the smallest one
PROCESSES = 3 * len(FACTORS)
PILOT = 0.2  # part of the samples that a second moment is estimated from
FEWEST = 10_000  # samples of a pilot, where the budget has twice as many


@dataclass(frozen=True)
class Goal:
    """What is declared about the whole test.

    Attributes
    ----------
    false_alarm : float
        Probability of calling any block wrong if all means are right.
    smallest_bias, power : float
        A bias of this norm, relative to the scale of its block, is found with at least this probability
        wherever the answer is "right".
    samples : int
        The budget.
    """

    false_alarm: float
    smallest_bias: float
    power: float
    samples: int


@dataclass(frozen=True)
class Target:
    """What the mean of one block should be.

    Attributes
    ----------
    values : array (d,)
    scale : float
        Norm that a bias is measured in, above 0.
    variance : float, optional
        E‖X - EX‖², or more, where it is known.
    bound : float, optional
        ‖X - values‖ is never above it, where that is known.
    rounding : float
        Differences this small, relative to the largest entry, are rounding.
    """

    values: Array
    scale: float
    variance: float | None = None
    bound: float | None = None
    rounding: float = 1e-6


@dataclass(frozen=True)
class Plan:
    """The test of one block, in units of its scale.

    Attributes
    ----------
    moment : float
        The bound v of E‖R‖².
    rates, starts : array
        λ of each factor, and how many residuals its learned direction waits for.
    testing : float
        Samples after that.
    threshold : float
        Of the logarithm of the sum of the e-processes.
    """

    moment: float
    rates: Array
    starts: Array
    testing: float
    threshold: float

    def total(self, pilot: int) -> float:
        """Samples for the declared power, after a pilot."""
        return max(float(self.starts[0]), pilot) + self.testing


def planned(target: Target, moment: float, goal: Goal, share: float) -> Plan:
    """The test of a block with this share of the false-alarm rate; E‖R‖² ≤ moment, in units of the scale."""
    miss = 1 - goal.power
    threshold = float(np.log(PROCESSES / share))
    scalar = target.values.size == 1  # the directions ±1 are all there are
    effort = threshold + float(np.log((1 if scalar else 2) / miss))
    part = 0.0 if scalar else 1 / (1 + float(np.sqrt(2 * effort * miss)))  # s², for the fewest samples in all
    sizes = np.array(FACTORS) * goal.smallest_bias
    along = (1 - part) * sizes**2  # m²
    starts = 0 * sizes if scalar else 2 * moment / (miss * part * sizes**2)
    testing = effort * (4 * moment / float(along[0]) + 2)
    return Plan(moment, np.sqrt(along) / (2 * moment + along), starts, testing, threshold)


def pilot_size(goal: Goal) -> int:
    """Samples from which second moments are estimated."""
    return int(min(max(PILOT * goal.samples, FEWEST), max(goal.samples // 2, 1)))
