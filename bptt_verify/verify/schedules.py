"""The probabilities of the gates that a function is judged with: given, or chosen to be telling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from bptt_verify.check import Array
from bptt_verify.errors import UsageError
from bptt_verify.estimators import Geometric, Randomized, probabilities

Pi = float | Fraction | Sequence[Any] | Geometric | Randomized | Callable[[int], Any] | None

MOST = 7  # random gates of which all outcomes are computed
FEW = 5  # where T is larger than that
CHOSEN = (0.5, 0.75, 0.4, 0.8, 1 / 3, 0.6, 2 / 3)  # no two neighbours are equal: a constant hides a shift


@dataclass(frozen=True)
class Law:
    """Where the probabilities come from.

    Attributes
    ----------
    estimator : Randomized, or callable T -> Randomized, or None
        None where they are chosen.
    per_sequence : bool
        One gate a step and sequence.
    form : number, or None
        What the argument ``pi`` of a function is sent where it is not an array (T,).
    """

    estimator: Randomized | Callable[[int], Randomized] | None
    per_sequence: bool = False
    form: float | None = None

    @property
    def given(self) -> bool:
        """Whether it is not chosen."""
        return self.estimator is not None

    @property
    def steps(self) -> int | None:
        """The only T that a sequence of probabilities fits."""
        pi = getattr(self.estimator, "pi", None)
        return len(pi) if isinstance(pi, tuple) else None

    def probabilities(self, steps: int) -> Array:
        """π_1 … π_T; chosen ones are below 1 at every step."""
        if self.estimator is None:
            return np.array([CHOSEN[t % len(CHOSEN)] for t in range(steps)])
        return probabilities(
            self.estimator if isinstance(self.estimator, Randomized) else self.estimator(steps), steps
        )

    def gates(self, pi: Array, batch: int) -> Array:
        """Of the shape of the gates: (T,), or (T, B) where there is one a sequence."""
        return np.repeat(pi[:, None], batch, axis=1) if self.per_sequence else pi

    def telling(self, steps: int, batch: int) -> Array:
        """Of the shape of the gates. Where chosen, few are below 1: any schedule must give the mean."""
        return self.gates(self._few(steps, batch), batch)

    def _few(self, steps: int, batch: int) -> Array:
        pi = self.probabilities(steps)
        rows = max(1, (MOST if steps <= MOST else FEW) // (batch if self.per_sequence else 1))
        if self.given or steps <= rows:
            return pi
        rng = np.random.default_rng(steps)
        start = int(rng.integers(0, steps - rows + 1))
        beside = [start + k for k in range((rows + 1) // 2)]  # neighbours, so that a shift shows
        others = rng.permutation([t for t in range(steps) if t not in beside])[: rows - len(beside)]
        few = np.ones(steps)
        few[[*beside, *others]] = pi[[*beside, *others]]
        return few


def law_of(pi: Pi, per_sequence: bool) -> Law:
    """The law that an argument ``pi`` describes.

    Raises
    ------
    UsageError
        If it is not a number, a sequence, a Geometric, a Randomized, or a function of T.
    """
    if not isinstance(per_sequence, bool):
        raise UsageError(f"per_sequence={per_sequence!r:.60}; expected True or False.")
    if pi is None:
        return Law(None, per_sequence)
    if isinstance(pi, Randomized):
        return Law(pi, per_sequence or pi.per_sequence, _number(pi.pi))
    if callable(pi):
        return Law(lambda steps: _asked(pi, steps), per_sequence)
    estimator = Randomized(pi)  # type: ignore[arg-type]
    return Law(estimator, per_sequence, _number(estimator.pi))


def _number(pi: Any) -> float | None:
    return None if isinstance(pi, tuple | Geometric) else float(pi)


def _asked(pi: Callable[[int], Any], steps: int) -> Randomized:
    answer = np.asarray(pi(steps), dtype=float)
    if answer.shape != (steps,):
        raise UsageError(
            f"pi({steps}) has shape {answer.shape}; expected a probability for every step, ({steps},)."
        )
    return Randomized(tuple(answer))
