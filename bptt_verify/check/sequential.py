"""A sequential test of whether the mean of random vectors is a given target, valid at every sample size.

For a block with target μ and samples X_i the residual is R_i = X_i - μ, and E R = 0 is the hypothesis. With
a unit vector u_i that is known before X_i is drawn, y_i = ⟨u_i, R_i⟩ has mean 0 and E y_i² ≤ v, where v is a
bound of E‖R‖². Then exp(φ(λ y_i) - λ² v/2), with Catoni's φ(x) = ± log(1 ± x + x²/2), has mean at most 1
whatever the tails, so that products of it are e-processes: one is above K at any time with probability at
most 1/K (Ville). Their average over three directions (along μ, against it, and that of the residuals seen so
far) and three rates λ is one too. See Wang and Ramdas (2023), Catoni-style confidence sequences for
heavy-tailed mean estimation.

Power needs no normal approximation either. For a bias of norm D, the mean of n residuals is within s D of it
for all n ≥ N_1 = v/(ε s² D²) but with probability ε (Doob's inequality for a reverse martingale), so that
later directions have ⟨u, bias⟩ ≥ m = D √(1 - s²); and then Σ φ(λ y_i) ≥ n (λ m - λ² (v + m²)/2) - log(1/ε)
but with probability ε. With λ = m/(2v + m²) each sample adds at least m²/(4v + 2m²) to the logarithm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bptt_verify.check.budgets import FACTORS, Goal, Plan, Target, pilot_size, planned
from bptt_verify.check.intervals import MISSED, along, at_least, catoni
from bptt_verify.check.problem import Array

TAILS = 4.0  # the kurtosis is assumed to be at most this many times that of the samples
LOST = 0.5  # part of a second moment that may be missing from the pilot's
ULPS = 1e-9  # by which rounding may exceed a bound
CHUNK = 500  # samples between two looks

Draw = Callable[[int], Mapping[str, Array]]
State = Literal["right", "wrong", "open"]
FEW = "the samples are too few to bound its second moment"
NOT_FINITE = "it is not finite"
RARE = "rare large values dominate its second moment, so that no number of samples tells it"


@dataclass(frozen=True)
class MeanResult:
    """What the test says about one block.

    Attributes
    ----------
    state : {"right", "wrong", "open"}
    samples : int
        Drawn for this block until it was decided.
    needed : float
        Samples for the declared power; infinite where that cannot be told.
    bias : float
        Norm of the mean residual, relative to the scale of the block.
    at_least, at_most : float
        The bias is below, and above, each with probability at most ``MISSED``; NaN where that is not known.
    along : tuple of float
        The bias along the target and an interval that misses it with probability at most ``MISSED``.
    index : int
        Position at which the mean is furthest off.
    mean : float
        The mean there.
    kurtosis : float
        E‖R‖⁴/(E‖R‖²)² of the samples.
    moment : float
        The bound of E‖R‖² that was used.
    why : str
    """

    state: State
    samples: int
    needed: float
    bias: float
    at_least: float
    at_most: float
    along: tuple[float, float, float]
    index: int
    mean: float
    kurtosis: float
    moment: float
    why: str = ""


def judge_means(draw: Draw, targets: Mapping[str, Target], goal: Goal) -> dict[str, MeanResult]:
    """Test block by block whether the mean of what is drawn is the target.

    Parameters
    ----------
    draw : callable
        ``draw(n)`` gives n further independent samples by block, each (n, d).
    targets : mapping of str to Target
    goal : Goal

    Returns
    -------
    dict of str to MeanResult
    """
    pilot = pilot_size(goal) if any(t.variance is None for t in targets.values()) else 0
    share = goal.false_alarm / len(targets)
    tracks = {name: _Track(t, goal, share, pilot) for name, t in targets.items()}
    drawn, limit = 0, goal.samples
    while drawn < limit and any(t.state == "open" and not t.why for t in tracks.values()):
        samples = draw(min(CHUNK, limit - drawn, pilot - drawn if drawn < pilot else CHUNK))
        drawn += len(next(iter(samples.values())))
        for name, track in tracks.items():
            track.feed(np.asarray(samples[name], dtype=float))
        limit = min(limit, _limit(tracks.values(), pilot, goal))
    return {name: track.result() for name, track in tracks.items()}


def _limit(tracks: Iterable[_Track], pilot: int, goal: Goal) -> int:
    """Once a block is wrong, as many samples again for the others to show."""
    wrong = [t.count for t in tracks if t.state == "wrong"]
    return max(2 * min(wrong), pilot) if wrong else goal.samples


class _Track:
    """The test of one block, fed with samples."""

    def __init__(self, target: Target, goal: Goal, share: float, pilot: int) -> None:
        self.target, self.goal, self.share, self.pilot = target, goal, share, pilot
        self.assumed = target.variance is None and target.bound is None
        self.level = float(np.log(2 / share))  # of the event that a pilot misleads
        self.state: State = "open"
        self.why = ""
        self.count = self.tested = 0
        self.total = np.zeros(target.values.size)
        self.later = np.zeros(target.values.size)  # the sum of the residuals after the pilot
        self.sums = np.zeros(2)  # of ‖R‖² and ‖R‖⁴
        self.largest = self.furthest = 0.0  # an entry of a residual, and the norm of one
        self.first: Array | None = None
        self.constant = True
        self.plan: Plan | None = None
        self.fixed: list[Array] = []  # residuals along the target, after the pilot
        self.logs = np.zeros((3, len(FACTORS)))
        self.used = np.zeros((3, len(FACTORS)))
        norm = float(np.linalg.norm(target.values))
        self.direction = target.values / norm if norm else np.ones(1) * (target.values.size == 1)
        if target.variance is not None:
            self.plan = planned(target, target.variance / target.scale**2, goal, share)

    def feed(self, samples: Array) -> None:
        """Look at further samples (n, d)."""
        if self.state != "open" or self.why:
            return
        with np.errstate(all="ignore"):
            residuals = (samples - self.target.values) / self.target.scale
        if not np.all(np.isfinite(residuals)):
            self._decide("wrong", NOT_FINITE, len(samples))
        elif self.plan is None or self.count < self.pilot:
            self._remember(samples, residuals)
            if self.count >= self.pilot:
                self._start()
        else:
            self._test(samples, residuals)

    def _decide(self, state: State, why: str = "", more: int = 0) -> None:
        self.state, self.why, self.count = state, why, self.count + more

    def _remember(self, samples: Array, residuals: Array) -> None:
        self.first = samples[0] if self.first is None else self.first
        self.constant = self.constant and bool(np.all(samples == self.first))
        self.count += len(samples)
        self.total += residuals.sum(axis=0)
        with np.errstate(all="ignore"):
            squares = np.sum(residuals**2, axis=1)
            self.sums += (squares.sum(), np.sum(squares**2))
        self.largest = max(self.largest, float(np.abs(residuals).max(initial=0.0)))
        self.furthest = max(self.furthest, float(np.sqrt(squares.max(initial=0.0))))

    def _start(self) -> None:
        """After the pilot: what does not vary is compared; for the rest, bound the second moment."""
        if self.assumed and self.count < 2 * TAILS * self.level / LOST**2:
            self.why = FEW
        elif self.assumed:
            self._settled()
        if self.why or self.state != "open":
            return
        if self.plan is None:
            moment = self._moment()
            if not np.isfinite(moment):
                self.why = RARE
                return
            self.plan = planned(self.target, moment, self.goal, self.share / 2)

    def _settled(self) -> bool:
        """Whether the samples are right to rounding, or all the same."""
        allowed = self.target.rounding * float(np.abs(self.target.values).max()) / self.target.scale
        if self.largest <= (allowed or self.target.rounding):
            self._decide("right", "it equals the target to rounding")
        elif self.constant and (self.assumed or self.target.variance == 0):
            self._decide("wrong", "it never varies, and is not the target")
        return self.state != "open"

    def _moment(self) -> float:
        """A bound of E‖R‖² that fails with at most half of the block's false-alarm rate."""
        mean = self.sums[0] / self.count
        if self.target.bound is not None:
            bound = (self.target.bound / self.target.scale) ** 2
            part = bound * self.level / (2 * self.count)
            return float(min(bound, (np.sqrt(mean + part) + np.sqrt(part)) ** 2))
        lost = np.sqrt(2 * TAILS * self.kurtosis * self.level / self.count)
        return float(mean / (1 - lost)) if lost <= LOST else np.inf

    @property
    def kurtosis(self) -> float:
        """E‖R‖⁴/(E‖R‖²)² of the samples so far."""
        with np.errstate(all="ignore"):
            value = self.count * self.sums[1] / self.sums[0] ** 2
        return float(value) if np.isfinite(value) else np.inf

    def _test(self, samples: Array, residuals: Array) -> None:
        assert self.plan is not None
        needed = int(np.ceil(min(self.plan.total(self.pilot), self.goal.samples)))
        samples, residuals = samples[: needed - self.count], residuals[: needed - self.count]
        logs, used = self._processes(self.plan, residuals)
        over = np.flatnonzero(_log_sum(logs) >= self.plan.threshold)
        stop = int(over[0]) if over.size else len(residuals) - 1
        self.logs, self.used = logs[stop], self.used + used[: stop + 1].sum(axis=0)
        self.later += residuals[: stop + 1].sum(axis=0)
        self.tested += stop + 1
        self._remember(samples[: stop + 1], residuals[: stop + 1])
        self.fixed.append(self._along(residuals[: stop + 1]))
        self._judge(bool(over.size))

    def _judge(self, rejected: bool) -> None:
        assert self.plan is not None
        if rejected and not self._doubt():
            self._decide("wrong")
        done = not rejected and self.count >= self.plan.total(self.pilot)
        if done and not self._settled() and not self._doubt():
            self._decide("right")

    def _along(self, residuals: Array) -> Array:
        """Residuals along the target; 0 where the target is."""
        known = self.direction.size == residuals.shape[1]
        return np.asarray(residuals @ self.direction if known else np.zeros(len(residuals)))

    def _processes(self, plan: Plan, residuals: Array) -> tuple[Array, Array]:
        """The logarithms of all e-processes after each sample, and which samples each of them uses."""
        before = self.total + np.cumsum(residuals, axis=0) - residuals
        norms = np.linalg.norm(before, axis=1, keepdims=True)
        units = np.divide(before, norms, out=np.zeros_like(before), where=norms > 0)
        fixed = self._along(residuals)
        along = np.stack([fixed, -fixed, np.sum(units * residuals, axis=1)], axis=1)
        seen = self.count + np.arange(len(residuals))
        used = np.ones((len(residuals), *self.logs.shape))
        used[:, 2] = seen[:, None] >= plan.starts
        steps = catoni(along[:, :, None] * plan.rates) - plan.rates**2 * plan.moment / 2
        return self.logs + np.cumsum(steps * used, axis=0), used

    def _doubt(self) -> bool:
        """Whether the samples contradict what their second moment was bounded by."""
        assert self.plan is not None
        bound = np.inf if self.target.bound is None else self.target.bound / self.target.scale
        if self.furthest > bound * (1 + ULPS):
            self.why = "the declared bound is exceeded"
        elif self.assumed and self._tails():
            self.why = "rare large values appeared after the pilot"
        return bool(self.why)

    def _tails(self) -> bool:
        assert self.plan is not None
        return self._moment() == np.inf or self.sums[0] / self.count > self.plan.moment

    def _at_most(self) -> float:
        """From Doob's inequality: after the pilot at any time, or where the number of samples was planned."""
        if self.plan is None or not self.tested:
            return np.nan
        if self.state == "wrong":
            spread = self.plan.moment / (self.pilot * MISSED) if self.pilot else np.inf
            top = float(np.linalg.norm(self.total) / self.count + np.sqrt(spread))
        else:
            spread = self.plan.moment / (self.tested * MISSED)
            top = float(np.linalg.norm(self.later) / self.tested + np.sqrt(spread))
        return top if np.isfinite(top) else np.nan

    def result(self) -> MeanResult:
        """What is known now."""
        mean = self.total / max(self.count, 1)
        index = int(np.argmax(np.abs(mean)))
        needed = np.inf if self.plan is None else self.plan.total(self.pilot)
        why = self.why
        if self.state == "open" and not why:
            why = (
                "another block was wrong before this one was decided"
                if self.count < min(needed, self.goal.samples)
                else "more samples are needed than there may be"
            )
        return MeanResult(
            state=self.state,
            samples=self.count,
            needed=self.count if self._exact() else needed,
            bias=float(np.linalg.norm(mean)),
            at_least=at_least(self.plan, self.logs, self.used) if self.plan else 0.0,
            at_most=self._at_most(),
            along=self._interval(),
            index=index,
            mean=float(self.target.values[index] + mean[index] * self.target.scale),
            kurtosis=self.kurtosis,
            moment=np.nan if self.plan is None else self.plan.moment,
            why=why,
        )

    def _interval(self) -> tuple[float, float, float]:
        if self.plan is None or not self.tested or not np.any(self.direction):
            return np.nan, np.nan, np.nan
        centre = float(self.total @ self.direction) / self.count
        return centre, *along(self.plan, np.concatenate(self.fixed))

    def _exact(self) -> bool:
        return self.plan is None and self.state != "open"


def _log_sum(logs: Array) -> Array:
    """log Σ exp over all but the first axis."""
    flat = logs.reshape(len(logs), -1)
    top = flat.max(axis=1)
    return np.asarray(top + np.log(np.sum(np.exp(flat - top[:, None]), axis=1)))
