"""What a letter of a formula is worth: arrays of the recurrence, the theory's letters, functions."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.analysis.arithmetic import KINDS
from bptt_verify.analysis.conventions import Convention
from bptt_verify.analysis.matrices import Identity, MisfitError, Value, diagonal, is_matrix
from bptt_verify.analysis.predictions import prediction, softmax
from bptt_verify.analysis.slopes import by_columns
from bptt_verify.analysis.worlds import World
from bptt_verify.errors import FormulaError
from bptt_verify.notation.tree import Letter


def quantity(world: World, letter: Letter, t: int, convention: Convention) -> Value:
    """The value of a letter at step t (ignored by what has no step).

    Raises
    ------
    UndefinedError
        If it does not exist at that step.
    FormulaError
        If the letter has no value.
    """
    match letter.role:
        case "param":
            return column(world.number(("param", letter.name)))
        case "value":
            return column(world.number(("value", letter.name, t)))
        case "theory":
            return _THEORY[letter.name](world, t, convention)
        case "loss":
            return world.number(("loss",)).item()
        case "term" | "ell":
            return _step_loss(world, letter, t, convention)
        case "prediction":
            return prediction(world, t)
        case "count":
            return world.arithmetic.number(world.steps)
        case "identity":
            return Identity(world.arithmetic.number(1))
    raise FormulaError(f"formula: {letter.name} has no value; expected it on top of a derivative only.")


def column(entries: Any) -> Value:
    """A value as formulas take it: a number, a column, a matrix."""
    if entries.ndim == 0:
        return entries.item()
    return entries.reshape(-1, 1) if entries.ndim == 1 else entries


def _step_loss(world: World, letter: Letter, t: int, convention: Convention) -> Value:
    ell = world.number(("ell", t)).item()
    return world.weight * ell if letter.role == "term" and convention.term == "weighted" else ell


# ---- the letters of the theory ----


def _immediate(world: World, t: int, convention: Convention) -> Value:
    param = str(world.cell.param)
    matrix = world.immediate(t, param)
    if convention.stacking == "rows":
        return matrix
    return by_columns(matrix, tuple(world.point.sizes[w] for w in world.cell.sizes(param)))


def _weight(world: World, t: int, convention: Convention) -> Value:
    world.exists("ω", t, 1)
    return world.weight


def _delta(world: World, t: int, convention: Convention) -> Value:
    """The adjoint of what the elementwise function is applied to; 0 after the last step."""
    if t == world.steps + 1:
        return np.full((len(world.entries(("stack", 0))), 1), world.arithmetic.number(0), dtype=object)
    return world.total(("loss",), ("value", _activation(world)[1], t)).T


def _slope(world: World, t: int, convention: Convention) -> Value:
    function, argument = _activation(world)
    return diagonal(applied(world, function, 1, column(world.number(("value", argument, t)))))


def _activation(world: World) -> tuple[str, str]:
    found = world.cell.activation
    if found is None:
        raise FormulaError(f"formula: {world.cell.rec.name} has no single elementwise function.")
    return found


_THEORY: dict[str, Callable[[World, int, Convention], Value]] = {
    "lambda": lambda world, t, convention: world.adjoint_of_stack(t),
    "J": lambda world, t, convention: world.state_jacobian(t),
    "A": _immediate,
    "c": lambda world, t, convention: world.explicit(t),
    "omega": _weight,
    "delta": _delta,
    "D": _slope,
}


# ---- functions ----


def applied(world: World, function: str, primes: int, value: Value) -> Value:
    """An elementwise function or its slope, or softmax.

    Raises
    ------
    MisfitError
        If the value is a multiple of the identity.
    """
    if isinstance(value, Identity):
        raise MisfitError(f"{function} of the identity")
    if function == "softmax":
        return softmax(world, value)
    one = _scalar(world, function, primes)
    return np.asarray(np.frompyfunc(one, 1, 1)(value), dtype=object) if is_matrix(value) else one(value)


def _scalar(world: World, function: str, primes: int) -> Callable[[Any], Any]:
    a, half = world.arithmetic, Fraction(1, 2)
    if function == "sqrt":
        return lambda u: a.number(half) / a.power(u, half) if primes else a.power(u, half)
    if function == "sech":
        if primes:
            raise FormulaError("formula: sech'; expected tanh and its slopes.")
        return lambda u: 1 / a.apply(sp.cosh, u)
    kind = KINDS[function]
    return lambda u: a.slope(kind, u, a.apply(kind, u)) if primes else a.apply(kind, u)
