"""One point at which a formula is compared with the truth: values and exact derivatives of everything.

The forward program is evaluated on a tape, and each derivative is a sweep over it. Nothing here knows
the adjoint recursion or the closed sum: they are what is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from bptt_verify.analysis.arithmetic import KINDS, Arithmetic
from bptt_verify.analysis.meaning import Cell
from bptt_verify.analysis.tape import Node, sweep, value_of
from bptt_verify.program import BATCH, TIME, evaluate

Key = tuple[Any, ...]  # ("loss",), ("ell", t), ("stack", t), ("value", name, t), ("param", name)


class UndefinedError(Exception):
    """A formula reads what does not exist, such as x_{T+1}.

    Attributes
    ----------
    required : bool
        Whether the formula is to blame, rather than the step chosen for a free letter.
    """

    required = True


@dataclass(frozen=True, eq=False)
class Point:
    """Numbers for one small problem, with a batch of one.

    Attributes
    ----------
    steps : int
        T.
    sizes : mapping of str to int
    arrays : mapping of str to object array
        By declared name, in the shapes of the call convention: fractions, or integers for classes.
    """

    steps: int
    sizes: Mapping[str, int]
    arrays: Mapping[str, Any]


class World:
    """A recurrence at a point.

    Parameters
    ----------
    cell : Cell
    point : Point
    arithmetic : Arithmetic
    reduction : {"mean", "sum"}
        The weights of the steps' losses.
    """

    def __init__(self, cell: Cell, point: Point, arithmetic: Arithmetic, reduction: str) -> None:
        self.cell, self.point, self.arithmetic, self.reduction = cell, point, arithmetic, reduction
        self.steps = point.steps
        one = Fraction(1, self.steps) if reduction == "mean" else Fraction(1)
        self.weight = arithmetic.number(one)
        self.given = {n: self._nodes(v) for n, v in point.arrays.items()}
        weights = np.full((self.steps, 1), self.weight, dtype=object)
        functions = {kind: np.frompyfunc(self._function(kind), 1, 1) for kind in KINDS.values()}
        arrays = {**self.given, "weights": weights}
        self.values = evaluate(cell.program, arrays, functions=functions, number=arithmetic.constant)
        self.sweeps: dict[Any, dict[int, Any]] = {}
        self.found: dict[Any, Any] = {}

    def _nodes(self, values: Any) -> Any:
        if values.dtype.kind == "i":
            return values
        node: Callable[[Any], Node] = lambda v: Node(self.arithmetic, self.arithmetic.number(v))  # noqa: E731
        return np.asarray(np.frompyfunc(node, 1, 1)(values), dtype=object)

    def _function(self, kind: Any) -> Callable[[Any], Any]:
        def apply(u: Any) -> Any:
            return u.apply(kind) if isinstance(u, Node) else self.arithmetic.apply(kind, u)

        return apply

    # ---- what there is ----

    def entries(self, key: Key) -> Any:
        """The entries of something, as an array of nodes (or plain numbers) of its own shape.

        Raises
        ------
        UndefinedError
            If it does not exist at that step.
        """
        if key not in self.found:
            self.found[key] = self._entries(key)
        return self.found[key]

    def _entries(self, key: Key) -> Any:
        match key:
            case ("loss",):
                return np.asarray(self.values[dict(self.cell.program.results)["loss"]], dtype=object)
            case ("ell", t):
                self.exists("ℓ", t, 1)
                return np.asarray(self._at(self.cell.step_loss, t), dtype=object)
            case ("stack", t):
                parts = [self.entries(("value", s, t)).ravel() for s in self.cell.state_value]
                return np.concatenate(parts)
            case ("param", name):
                return np.asarray(self.values[name], dtype=object)
            case ("value", name, t):
                return np.asarray(self._timed(name, t), dtype=object)
        raise KeyError(key)

    def _timed(self, name: str, t: int) -> Any:
        if name in self.cell.state_value:
            self.exists(name, t, 0)
            return self.values[f"{name}0"][0] if t == 0 else self._at(self.cell.state_value[name], t)
        self.exists(name, t, 1)
        return self._at(name, t)

    def _at(self, name: str, t: int) -> Any:
        labels = self.cell.program.labels(name)
        return (
            self.values[name][(t - 1, 0) if BATCH in labels else (t - 1,)]
            if TIME in labels
            else self.values[name]
        )

    def exists(self, name: str, t: int, first: int) -> None:
        """Refuse a step that is not there.

        Raises
        ------
        UndefinedError
        """
        if not first <= t <= self.steps:
            raise UndefinedError(f"{name}_{t} does not exist at T = {self.steps}")

    def number(self, key: Key) -> Any:
        """The values of something, plain numbers."""
        return np.asarray(np.frompyfunc(value_of, 1, 1)(self.entries(key)), dtype=object)

    # ---- derivatives ----

    def total(self, top: Key, bottom: Key) -> Any:
        """The derivative through everything in between, as a matrix (entries of top × of bottom)."""
        return self._matrix(top, bottom, ())

    def direct(self, top: Key, bottom: Key) -> Any:
        """The derivative with the states that a step reads held fixed."""
        return self._matrix(top, bottom, self._read_by(top))

    def _read_by(self, top: Key) -> tuple[int, ...]:
        """The steps of the states that are the arguments of something."""
        match top:
            case ("ell", t):
                return (t - 1, t)
            case ("stack", t):
                return (t - 1,)
            case ("value", name, t):
                inner = self.cell.state_value.get(name, name) in self.cell.feeding
                return (t - 1,) if inner else (t - 1, t)
        return ()

    def _matrix(self, top: Key, bottom: Key, fixed: tuple[int, ...]) -> Any:
        key = (top, bottom, fixed)
        if key not in self.found:
            blocked = frozenset(o for t in fixed for o in self._orders(t))
            columns = self.entries(bottom).ravel()
            rows = [self._sweep(entry, fixed, blocked) for entry in self.entries(top).ravel()]
            matrix = np.empty((len(rows), len(columns)), dtype=object)
            for i, j in np.ndindex(matrix.shape):
                column = columns[j]
                slope = rows[i].get(column.order, 0) if isinstance(column, Node) else 0
                matrix[i, j] = self.arithmetic.number(0) + slope
            self.found[key] = matrix
        return self.found[key]

    def _orders(self, t: int) -> list[int]:
        if not 0 <= t <= self.steps:
            return []
        return [n.order for n in self.entries(("stack", t)) if isinstance(n, Node)]

    def _sweep(self, entry: Any, fixed: tuple[int, ...], blocked: frozenset[int]) -> dict[int, Any]:
        if not isinstance(entry, Node):
            return {}
        key = (entry.order, fixed)
        if key not in self.sweeps:
            self.sweeps[key] = sweep(entry, blocked)
        return self.sweeps[key]

    # ---- the letters of the theory ----

    def state_jacobian(self, t: int) -> Any:
        """``J_t``."""
        self.exists("J", t, 1)
        return self.direct(("stack", t), ("stack", t - 1))

    def immediate(self, t: int, param: str) -> Any:
        """``A_t``."""
        self.exists("A", t, 1)
        return self.direct(("stack", t), ("param", param))

    def explicit(self, t: int) -> Any:
        """``c_t``: what the losses of this step and the next read of the states directly, as a column."""
        self.exists("c", t, 0)
        total = np.full((1, len(self.entries(("stack", t)))), self.arithmetic.number(0), dtype=object)
        for s in (t, t + 1):
            if 1 <= s <= self.steps:
                total = total + self.weight * self.direct(("ell", s), ("stack", t))
        return total.T

    def adjoint_of_stack(self, t: int) -> Any:
        """``λ_t``: the derivative of the loss by all states of a step, each taken as a thing of its own."""
        if t == self.steps + 1:
            return np.full((len(self.entries(("stack", 0))), 1), self.arithmetic.number(0), dtype=object)
        whole = self.total(("loss",), ("stack", t))
        if len(self.cell.state_value) == 1 or t == 0:
            return whole.T
        inner = self._among_states(t)
        return (whole - whole @ inner).T

    def _among_states(self, t: int) -> Any:
        """How the states of one step enter each other directly (the loss by c_t also passes through h_t)."""
        names = list(self.cell.state_value)
        rows = [self._matrix(("value", s, t), ("stack", t), (t - 1, t)) for s in names]
        inner = np.concatenate(rows)
        for k in range(len(inner)):
            inner[k, k] = self.arithmetic.number(0)
        return inner
