"""The value of a derivative in a formula: which one is meant, and how it is laid out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bptt_verify.analysis.conventions import SCALARS, Convention
from bptt_verify.analysis.matrices import Value
from bptt_verify.analysis.predictions import loss_slope, prediction_slope
from bptt_verify.analysis.worlds import Key, UndefinedError, World
from bptt_verify.errors import FormulaError
from bptt_verify.notation.tree import Derivative, Letter


def derivative_value(
    world: World,
    tree: Derivative,
    steps: tuple[int | None, int | None],
    entries: tuple[int | None, int | None],
    convention: Convention,
) -> Value:
    """The derivative at given steps of top and bottom, or of given entries of them.

    Raises
    ------
    UndefinedError
        If top or bottom does not exist there.
    """
    s, t = steps
    matrix = _matrix(world, tree, s, t, convention)
    scale = world.weight if tree.top.role == "term" and convention.term == "weighted" else None
    matrix = matrix if scale is None else matrix * scale
    matrix = _chosen(matrix, entries)
    sizes = () if entries[1] is not None else world.cell.sizes(name_of(world, tree.bottom))
    if convention.stacking == "columns" and tree.top.role not in SCALARS and tree.bottom.role == "param":
        matrix = by_columns(matrix, _dims(world, tree.bottom))
    if tree.top.role in SCALARS or entries[0] is not None:
        return _gradient(matrix, tree, sizes, convention, _dims(world, tree.bottom))
    denominator = convention.layout == "denominator" if tree.layout == "open" else tree.layout == "column"
    return _number_or(matrix.T if denominator else matrix)


def by_columns(matrix: Any, dims: tuple[int, ...]) -> Any:
    """A derivative by a matrix whose entries are listed column by column instead of row by row."""
    if len(dims) != 2:
        return matrix
    return matrix.reshape(-1, *dims).transpose(0, 2, 1).reshape(len(matrix), -1)


def _chosen(matrix: Any, entries: tuple[int | None, int | None]) -> Any:
    """The rows and columns of the entries that a text names."""
    for axis, k in enumerate(entries):
        if k is not None and not 1 <= k <= matrix.shape[axis]:
            raise UndefinedError(f"there is no entry {k}")
        if k is not None:
            matrix = matrix[k - 1 : k] if axis == 0 else matrix[:, k - 1 : k]
    return matrix


def _gradient(
    matrix: Any, tree: Derivative, sizes: tuple[str, ...], convention: Convention, dims: Any
) -> Value:
    """The derivative of a number, from a row of all entries."""
    if not sizes:
        return matrix[0, 0]
    of_parameter = tree.bottom.role == "param" and tree.layout == "open"
    if of_parameter and convention.parameter == "row":
        return matrix
    if of_parameter and convention.parameter == "column":
        return matrix.T
    if len(sizes) == 2:
        own = matrix.reshape(dims)
        turned = tree.layout == "row" or (of_parameter and convention.parameter == "transposed")
        return own.T if turned else own
    row = convention.layout == "numerator" if tree.layout == "open" else tree.layout == "row"
    return matrix if row else matrix.T


def _number_or(matrix: Any) -> Value:
    return matrix[0, 0] if matrix.shape == (1, 1) else matrix


def _dims(world: World, bottom: Letter) -> tuple[int, ...]:
    return tuple(world.point.sizes[w] for w in world.cell.sizes(name_of(world, bottom)))


def name_of(world: World, letter: Letter) -> str:
    """The name of a value; the output for g and for the prediction ŷ, a function of it."""
    if letter.role not in ("output", "prediction"):
        return letter.name
    if world.cell.output is None:
        raise FormulaError(f"formula: {letter.name} is the output, but {world.cell.rec.name} has none.")
    return world.cell.output


def _top(world: World, letter: Letter, s: int | None) -> Key:
    match letter.role:
        case "loss":
            return ("loss",)
        case "term" | "ell":
            return ("ell", s)
        case "cell":
            return ("stack", s)
    return ("value", name_of(world, letter), s)


def _matrix(world: World, tree: Derivative, s: int | None, t: int | None, convention: Convention) -> Any:
    """One row for each entry of the top, one column for each of the bottom."""
    if world.cell.link != "identity" and "prediction" in (tree.top.role, tree.bottom.role):
        return _by_prediction(world, tree, s, t, convention)
    top = _top(world, tree.top, s)
    bottom = tree.bottom
    if bottom.role == "param":
        if t is not None:
            return _by_copy(world, top, bottom.name, s, t)
        direct = tree.direct or (convention.partial == "direct" and tree.top.role == "value")
        return (world.direct if direct else world.total)(top, ("param", bottom.name))
    name = name_of(world, bottom)
    assert t is not None
    if top == ("loss",) and t == world.steps + 1 and world.cell.reaches_on(name):
        count = int(np.prod(_dims(world, bottom), dtype=int))
        return np.full((1, count), world.arithmetic.number(0), dtype=object)
    before = name in world.cell.state_value and s is not None and t == s - 1
    direct = tree.direct or (convention.partial == "direct" and tree.top.role == "value" and before)
    return (world.direct if direct else world.total)(top, ("value", name, t))


def _by_prediction(
    world: World, tree: Derivative, s: int | None, t: int | None, convention: Convention
) -> Any:
    """A derivative of or by ŷ = softmax(o) (or the logistic function of o)."""
    if tree.top.role == "prediction":
        if tree.bottom.role == "prediction":
            raise FormulaError(
                "formula: a derivative of ŷ by ŷ; expected one by the output or what it comes from."
            )
        plain = replace(tree, top=replace(tree.top, role="output"))
        inner = _matrix(world, plain, s, t, convention)
        return prediction_slope(world, s or 0) @ inner
    if tree.top.role not in SCALARS or t is None:
        raise FormulaError("formula: a derivative by ŷ; expected one of the loss.")
    weight = world.weight if tree.top.role == "loss" else world.arithmetic.number(1)
    same = tree.top.role == "loss" or s == t
    return loss_slope(world, t) * (weight if same else 0)


def _by_copy(world: World, top: Key, param: str, s: int | None, t: int) -> Any:
    """The derivative by the copy of a parameter that step t uses: ∂h_t/∂W^(t) is immediate."""
    world.exists("W", t, 1)
    own = ("param", param)
    if top == ("loss",):
        return world.adjoint_of_stack(t).T @ world.immediate(t, param) + world.weight * world.direct(
            ("ell", t), own
        )
    states = [("value", name, t) for name in world.cell.state_value]
    later = world.total(top, ("stack", t)) if len(states) == 1 else None
    if top in states or s is None:
        return world.direct(top, own)
    if later is None:
        raise FormulaError("formula: a derivative by W^(t) through several states; expected ∂h_t/∂W^(t).")
    through = later @ world.immediate(t, param)
    return through + world.direct(top, own) if s == t else through
