"""The expected cost of a randomized gradient: how many products J_tᵀ λ_t a run makes.

A product is made at step t where the gate ξ_t is open and λ_t can be nonzero: where a loss reads h_t, or
gate t + 1 is open and λ_{t+1} can be nonzero. With P_t the probability of that, the cost is Σ_t π_t P_t; with
a loss at every step P_t = 1, with a loss at the last step only P_t = π_{t+1} … π_T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bptt_verify.analysis.terms import Array
from bptt_verify.derivation import previous, states_of, step_loss
from bptt_verify.program import Program


@dataclass(frozen=True, eq=False)
class Cost:
    """The expected number of products as a function of π.

    Attributes
    ----------
    losses : bool array (T, G)
        Whether a loss reads the state after step t, for every group of sequences that share their gates.
    """

    losses: Array

    def most(self) -> int:
        """The number of products with every gate open."""
        return int(np.count_nonzero(self._next() < len(self.losses)))

    def products(self, pi: Array) -> float:
        """The expected number of products."""
        return float(np.sum(pi[:, None] * self._reached(pi)))

    def slopes(self, pi: Array) -> Array:
        """The derivative of the expected number of products by each π_t, (T,)."""
        summed = np.cumsum(pi[:, None] * self._reached(pi), axis=0)
        summed = np.concatenate([np.zeros_like(summed[:1]), summed])
        earlier = np.take_along_axis(summed, self._last() + 1, axis=0)
        return np.asarray(np.sum(summed[1:] - earlier, axis=1) / pi)

    def _reached(self, pi: Array) -> Array:
        """P_t, (T, G): the product of π_{t+1} … up to the next loss."""
        logs, steps = np.cumsum(np.log(pi)), len(pi)
        after = self._next()
        return np.where(after < steps, np.exp(logs[np.minimum(after, steps - 1)] - logs[:, None]), 0.0)

    def _next(self) -> Array:
        """The first step from t on that has a loss, T where there is none."""
        steps = len(self.losses)
        own = np.where(self.losses, np.arange(steps)[:, None], steps)
        return np.asarray(np.minimum.accumulate(own[::-1], axis=0)[::-1])

    def _last(self) -> Array:
        """The last step before t that has a loss, -1 where there is none."""
        own = np.where(self.losses, np.arange(len(self.losses))[:, None], -1)
        own = np.concatenate([np.full_like(own[:1], -1), own[:-1]])
        return np.asarray(np.maximum.accumulate(own, axis=0))


def cost_of(program: Program, weights: Array, groups: int) -> Cost:
    """The cost of a recurrence with loss weights (T, B): which steps have a loss depends on which are 0."""
    step = step_loss(program)
    nothing, states = step.zeros(), states_of(program)
    there = weights != 0
    losses = np.zeros_like(there)
    if not nothing.issuperset(states):
        losses |= there
    if not nothing.issuperset(map(previous, states)):
        losses[:-1] |= there[1:]
    return Cost(losses.reshape(len(weights), groups, -1).any(axis=2))
