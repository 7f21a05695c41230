"""Gradient estimators, as frozen data: which terms of the gradient sum are kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Full:
    """Full backpropagation through time: every term of the sum (claims T1, T2)."""


Estimator = Full
