"""Gradient estimators, as frozen data: which terms c_tᵀ (J_t … J_{i+1}) A_i of the gradient sum are kept.

Explicit parts of the gradient (those that pass through no state) are never gated or truncated.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np

from bptt_verify.errors import UsageError

Array = np.ndarray[Any, Any]
Probability = float | Fraction


@dataclass(frozen=True)
class Full:
    """Full backpropagation through time: every term of the sum (claims T1, T2)."""


@dataclass(frozen=True)
class Window:
    """Truncation to a window (claim T5): the terms with ``t - i < tau``.

    Attributes
    ----------
    tau : int
        Number of steps that a loss reaches back, at least 1. From T on, nothing is truncated.
    """

    tau: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "tau", _count("Window", "tau", self.tau))


@dataclass(frozen=True)
class Chunks:
    """Truncation in chunks (claim T6): every ``k1`` steps run back over the last ``k2`` steps.

    A term is kept if ``i > e(t) - k2``, where ``e(t) = k1 ⌈t/k1⌉`` ends the chunk of t. ``Chunks(k, k)`` is
    what frameworks do by detaching the carried state, where the loss reads the new state only (otherwise
    ``detach`` also cuts its explicit part); ``Chunks(1, tau)`` is ``Window(tau)``.

    Attributes
    ----------
    k1, k2 : int
        Length of a chunk, at least 1; and how far it runs back, at least k1.
    """

    k1: int
    k2: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "k1", _count("Chunks", "k1", self.k1))
        object.__setattr__(self, "k2", _count("Chunks", "k2", self.k2))
        if self.k2 < self.k1:
            raise UsageError(
                f"Chunks: k1={self.k1}, k2={self.k2}; expected k2 ≥ k1, or the losses at the start of a "
                "chunk would have no gradient at all."
            )


@dataclass(frozen=True)
class Geometric:
    """A schedule ``π_t = min(1, max(minimum, first · ratio^(t-1)))`` for ``Randomized``.

    Attributes
    ----------
    first, ratio, minimum : float
        ``0 < first ≤ 1``, ``ratio > 0``, ``0 < minimum ≤ 1``.
    """

    first: float
    ratio: float
    minimum: float

    def __post_init__(self) -> None:
        _probability("Geometric", "first", self.first)
        _probability("Geometric", "minimum", self.minimum)
        if not _is_number(self.ratio) or not 0 < self.ratio < float("inf"):
            raise UsageError(f"Geometric: ratio={self.ratio!r:.60}; expected a finite number above 0.")

    def probabilities(self, steps: int) -> Array:
        """π_1 … π_T."""
        with np.errstate(over="ignore"):
            powers = float(self.first) * float(self.ratio) ** np.arange(steps, dtype=float)
        return np.minimum(1.0, np.maximum(float(self.minimum), powers))


Schedule = Probability | tuple[Probability, ...] | Geometric


@dataclass(frozen=True)
class Randomized:
    """Randomized truncation (claim T7): independent gates ξ_t, 1/π_t with probability π_t and 0 otherwise.

    Attributes
    ----------
    pi : number, sequence of T numbers, or Geometric
        The probabilities π_t of step 1 to T, above 0 and at most 1. ξ_1 gates only the gradient of the
        initial state.
    per_sequence : bool
        One gate a step and sequence, (T, B), instead of one a step for the whole batch, (T,). Both are
        unbiased; their variances differ, and a shared gate saves whole products.
    """

    pi: Schedule
    per_sequence: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "pi", _schedule(self.pi))
        if not isinstance(self.per_sequence, bool):
            raise UsageError(f"Randomized: per_sequence={self.per_sequence!r:.60}; expected True or False.")


Estimator = Full | Window | Chunks | Randomized
KINDS = (Full, Window, Chunks, Randomized)


def gated(estimator: Estimator) -> bool:
    """Whether one gate a step says it all: Full, Window(1), Chunks(k, k) and Randomized."""
    match estimator:
        case Window(tau):
            return tau == 1
        case Chunks(k1, k2):
            return k1 == k2
    return True


def gates(estimator: Estimator, steps: int) -> Array:
    """The gates ξ_1 … ξ_T of a gated estimator that draws none: 0 at the first steps of chunks 2, 3, …

    Raises
    ------
    UsageError
        If it is not one gate a step, or a random one.
    """
    if isinstance(estimator, Randomized) or not gated(estimator):
        raise UsageError(f"gates: estimator={estimator}; expected Full(), Window(1) or Chunks(k, k).")
    xi = np.ones(steps)
    length = {Window: 1, Chunks: getattr(estimator, "k1", 1)}.get(type(estimator))
    if length is not None:
        xi[length::length] = 0.0
    return xi


def kept(estimator: Full | Window | Chunks, steps: int) -> Array:
    """Which terms are kept: a Boolean matrix (T, T), True at ``[t - 1, i - 1]``.

    ``∂L/∂h_0`` keeps the loss terms t with ``[t - 1, 0]``.
    """
    t, i = np.arange(1, steps + 1)[:, None], np.arange(1, steps + 1)[None, :]
    match estimator:
        case Full():
            first = 1 + 0 * t
        case Window(tau):
            first = t - min(tau, steps) + 1
        case Chunks(k1, k2) if k2 >= k1 * -(-steps // k1):
            first = 1 + 0 * t
        case Chunks(k1, k2):
            first = k1 * -(-t // k1) - k2 + 1
        case _:
            raise UsageError(f"kept: estimator={estimator!r:.60}; expected Full, Window or Chunks.")
    return np.asarray((first <= i) & (i <= t))


def exact_probabilities(estimator: Randomized, steps: int) -> tuple[Probability, ...]:
    """π_1 … π_T as they were given, fractions as fractions.

    Raises
    ------
    UsageError
        If a sequence of another length was given.
    """
    pi = estimator.pi
    if isinstance(pi, Geometric):
        return tuple(float(p) for p in pi.probabilities(steps))
    if not isinstance(pi, tuple):
        return (pi,) * steps
    if len(pi) != steps:
        raise UsageError(
            f"Randomized: pi has {len(pi)} entries, and T={steps}; expected one for each step. Pass a number "
            "or a Geometric for any T."
        )
    return pi


def probabilities(estimator: Randomized, steps: int) -> Array:
    """π_1 … π_T as an array (T,)."""
    return np.array([float(p) for p in exact_probabilities(estimator, steps)])


def drawn(estimator: Randomized, steps: int, batch: int, rng: np.random.Generator) -> Array:
    """Gates ξ drawn from their law: (T,), or (T, B) where the estimator has one a sequence."""
    pi = probabilities(estimator, steps)
    if estimator.per_sequence:
        pi = np.broadcast_to(pi[:, None], (steps, batch))
    return np.asarray((rng.random(pi.shape) < pi) / pi)


def _count(kind: str, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise UsageError(f"{kind}: {name}={value!r:.60}; expected a whole number of steps, at least 1.")
    return int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def _probability(kind: str, name: str, value: Any) -> Probability:
    if not _is_number(value):
        several = ", a sequence of one for each step, or a Geometric" if kind == "Randomized" else ""
        raise UsageError(f"{kind}: {name}={value!r:.60}; expected a number, 0 < {name} ≤ 1{several}.")
    shown = str(value) if isinstance(value, Fraction) else repr(value)
    if not 0 < value <= 1:
        raise UsageError(
            f"{kind}: {name}={shown:.60}; expected 0 < {name} ≤ 1. At 0 the weight 1/π is undefined, and a "
            "gate that never opens makes the estimator biased."
        )
    if float(value) * sys.float_info.max < 1:
        raise UsageError(f"{kind}: {name}={shown:.60}; expected a number whose inverse 1/π is finite.")
    return value if isinstance(value, Fraction) else float(value)


def _schedule(pi: Any) -> Schedule:
    if isinstance(pi, Geometric):
        return pi
    if (isinstance(pi, Sequence) and not isinstance(pi, str | bytes)) or (
        isinstance(pi, np.ndarray) and pi.ndim == 1
    ):
        entries = tuple(pi)
        if not entries:
            raise UsageError("Randomized: pi is empty; expected a probability for every step.")
        return tuple(_probability("Randomized", f"pi[{k}]", p) for k, p in enumerate(entries))
    if isinstance(pi, np.ndarray) and pi.ndim == 0:
        pi = pi[()]
    return _probability("Randomized", "pi", pi)
