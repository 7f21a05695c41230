"""The prediction ŷ that a loss compares with its target: the output, or softmax or a sigmoid of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.analysis.arithmetic import KINDS
from bptt_verify.analysis.matrices import Value, diagonal, is_matrix
from bptt_verify.analysis.worlds import World
from bptt_verify.errors import FormulaError


def prediction(world: World, t: int) -> Value:
    """ŷ_t as a column.

    Raises
    ------
    FormulaError
        If the recurrence has no output.
    """
    output = world.cell.output
    if output is None:
        raise FormulaError(f"formula: ŷ is the prediction, but {world.cell.rec.name} has no output.")
    value = world.number(("value", output, t)).reshape(-1, 1)
    if world.cell.link == "softmax":
        return softmax(world, value)
    return value if world.cell.link == "identity" else elementwise(world, KINDS["sigmoid"], value)


def softmax(world: World, value: Value) -> Value:
    """As the loss computes it, with the largest entry taken off."""
    if not is_matrix(value):
        return world.arithmetic.number(1)
    exponentials = elementwise(world, sp.exp, value - max(value.ravel()))
    return np.asarray(exponentials / exponentials.sum(), dtype=object)


def elementwise(world: World, kind: Any, value: Any) -> Any:
    """A function of every entry."""
    return np.asarray(np.frompyfunc(lambda u: world.arithmetic.apply(kind, u), 1, 1)(value), dtype=object)


def prediction_slope(world: World, t: int) -> Any:
    """∂ŷ_t/∂o_t."""
    p = prediction(world, t)
    if world.cell.link == "softmax":
        return diagonal(p) - p @ p.T
    return diagonal(p * (1 - p))


def loss_slope(world: World, t: int) -> Any:
    """∂ℓ_t/∂ŷ_t as a row, for the cross-entropy that belongs to the link.

    Raises
    ------
    FormulaError
        If the loss of the recurrence is another function of ŷ.
    """
    target = next(iter(world.cell.rec.targets), None)
    p = prediction(world, t)
    if target is not None:
        y = world.number(("value", target, t)).reshape(-1, 1)
        slope = -y / p if world.cell.link == "softmax" else (1 - y) / (1 - p) - y / p
        through = world.direct(("ell", t), ("value", str(world.cell.output), t))
        found = (slope.T @ prediction_slope(world, t) - through).ravel()
        if all(abs(e) <= abs(world.arithmetic.number(1)) / 10**20 for e in found):
            return np.asarray(slope.T, dtype=object)
    raise FormulaError(
        "formula: a derivative by ŷ, which the loss is not written in; expected one by the output, "
        f"{world.cell.output}_t."
    )
