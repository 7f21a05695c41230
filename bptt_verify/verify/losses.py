"""The loss of a recurrence as the numerical verifier wants it: at one point, at many, and roughly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.check import Array, Arrays
from bptt_verify.language import Recurrence
from bptt_verify.oracle import TruncatedLoss, Truncation
from bptt_verify.program import evaluate
from bptt_verify.program import functions as table
from bptt_verify.program.evaluation import NUMPY, Functions
from bptt_verify.verify.blurring import blurred

ENTRIES = 1 << 20  # numbers in one array of a truncated run, when many points are computed at once


class RecurrenceLoss:
    """The loss of a recurrence by direct evaluation of its program, at one point or at many at once.

    With an estimator, its derivatives by complex steps are those of the truncated gradient; the loss itself
    is the same.
    """

    def __init__(
        self, rec: Recurrence, functions: Functions = NUMPY, estimator: Truncation | None = None
    ) -> None:
        self.rec, self.functions, self.estimator = rec, functions, estimator
        self.program, self.result = rec.program, dict(rec.program.results)["loss"]
        self.truncated = None if estimator is None else TruncatedLoss(rec.program, estimator)

    def __call__(self, arrays: Arrays) -> Any:
        """The loss."""
        return self._value(arrays)[()]

    def many(self, points: Sequence[Arrays]) -> Array:
        """The losses at many points: arrays that differ are stacked along one more axis."""
        count = len(points)
        if self.truncated is not None:
            count = max(1, ENTRIES // self.truncated.entries(points[0]))
        parts = [points[k : k + count] for k in range(0, len(points), count)]
        return np.concatenate([self._stacked(part) for part in parts])

    def _stacked(self, points: Sequence[Arrays]) -> Array:
        first = points[0]
        stacked = {
            k: v if all(p[k] is v for p in points) else np.stack([p[k] for p in points], axis=-1)
            for k, v in first.items()
        }
        return np.broadcast_to(self._value(stacked), (len(points),))

    def _value(self, arrays: Arrays) -> Any:
        if self.truncated is not None:
            return self.truncated(arrays, self.functions)
        return evaluate(self.program, arrays, functions=self.functions)[self.result]

    def rough(self, eps: float, rng: np.random.Generator) -> RecurrenceLoss:
        """The same loss, where tanh and sigmoid pass on their slopes with an error of a few eps."""

        def rough(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
            def value(u: Any) -> Any:
                exact = np.asarray(function(u))
                return blurred(exact, u, eps, rng) if np.iscomplexobj(exact) else exact

            return value

        saturating = {kind: rough(NUMPY[kind]) for kind in (sp.tanh, table.sigmoid)}
        return RecurrenceLoss(self.rec, {**NUMPY, **saturating}, self.estimator)
