"""Evaluate a Program directly, equation by equation: the meaning that generated code must have.

Slow and plain on purpose. It works on any NumPy arrays, object arrays of exact numbers or SymPy
expressions included, so that one definition of meaning serves the floating-point and the exact side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.program.functions import FUNCTIONS
from bptt_verify.program.nodes import (
    BATCH,
    TIME,
    Contract,
    Equation,
    Labels,
    Pack,
    Peak,
    Pointwise,
    Program,
    Ref,
    Select,
    size_of,
    size_symbol,
    symbol,
)
from bptt_verify.program.order import components

Values = dict[str, Any]
STACK = "stack"  # the label of the extra last axis of stacked arrays
Functions = Mapping[type, Callable[[Any], Any]]

NUMPY: Functions = {kind: entry.numpy for kind, entry in FUNCTIONS.items()}


def evaluate(
    program: Program,
    arrays: Mapping[str, Any],
    *,
    functions: Functions = NUMPY,
    number: Callable[[sp.Expr], Any] = float,
) -> Values:
    """Every value of the program, by name.

    Parameters
    ----------
    program : Program
    arrays : mapping of str to array
        One per declared array (zeros and identities may be left out), time-major. An array may have one
        more axis at the end: the program is then evaluated for every entry of that *stack* at once, and
        what depends on a stacked array has that axis too.
    functions : mapping of SymPy class to callable
        The meaning of the elementwise functions.
    number : callable
        Turns a SymPy constant into a number of the domain.

    Returns
    -------
    dict of str to array
        Declared arrays, all equations, end values. Values with the label T have it as first axis.
    """
    return _Evaluation(program, arrays, functions, number).run()


class _Evaluation:
    def __init__(
        self, program: Program, arrays: Mapping[str, Any], functions: Functions, number: Any
    ) -> None:
        self.program, self.functions, self.number = program, functions, number
        self.sizes = _sizes(program, arrays)
        self.constants: dict[sp.Expr, Any] = {}
        self.values: Values = {}
        for a in program.arrays:
            self.values[a.name] = self._declared(a.name, arrays)

    def _declared(self, name: str, arrays: Mapping[str, Any]) -> Any:
        a = self.program.array[name]
        if a.role == "identity" and name not in arrays:
            return np.eye(self.size(a.labels[0]), dtype=int)
        if a.role == "zero" and name not in arrays:
            return np.zeros([self.size(x) for x in a.labels], dtype=int)
        if a.index:
            return np.eye(self.size(a.labels[-1]), dtype=int)[np.asarray(arrays[name])]
        return np.asarray(arrays[name])

    def _labelled(self, value: Any, labels: Labels) -> tuple[Any, Labels]:
        """The value with its labels, among them the stack's where it has one more axis."""
        if np.ndim(value) == len(labels):
            return value, labels
        self.sizes[STACK] = value.shape[-1]
        return value, (*labels, STACK)

    def size(self, label: str) -> int:
        word = size_of(label)
        return int(word) if word.isdigit() else self.sizes[word]

    def run(self) -> Values:
        for part in components(self.program):
            if part.direction == 0:
                for e in part.equations:
                    self.values[e.name] = self._whole(e)
                    self._finish(e.name)
            else:
                self._loop(part.equations, part.direction)
        return self.values

    def _finish(self, name: str) -> None:
        carry = self.program.carry.get(name)
        if carry:
            self.values[carry.end] = self.values[name][-1 if carry.shift < 0 else 0]

    def _whole(self, e: Equation) -> Any:
        return self._compute(e, e.labels, [self._labelled(self._read_all(r), r.labels) for r in e.operands])

    def _read_all(self, r: Ref) -> Any:
        value = self.values[r.name]
        if not r.shift:
            return value
        edge = self.values[self.program.carry[r.name].boundary][None]
        rows = _alike([edge, value[:-1]] if r.shift < 0 else [value[1:], edge])
        return np.concatenate(rows)

    def _loop(self, equations: tuple[Equation, ...], direction: int) -> None:
        steps = self.sizes[TIME]
        rows: dict[str, list[Any]] = {e.name: [None] * steps for e in equations}
        for t in range(steps) if direction > 0 else reversed(range(steps)):
            for e in equations:
                operands = [self._read_row(r, t, rows) for r in e.operands]
                rows[e.name][t] = self._compute(e, e.labels[1:], operands)
        for e in equations:
            self.values[e.name] = np.stack(_alike(rows[e.name]))
            self._finish(e.name)

    def _read_row(self, r: Ref, t: int, rows: dict[str, list[Any]]) -> tuple[Any, Labels]:
        if TIME not in r.labels:
            return self._labelled(self.values[r.name], r.labels)
        at = t + r.shift
        if not 0 <= at < self.sizes[TIME]:
            return self._labelled(self.values[self.program.carry[r.name].boundary], r.labels[1:])
        return self._labelled((rows[r.name] if r.name in rows else self.values[r.name])[at], r.labels[1:])

    def _compute(self, e: Equation, out: Labels, operands: list[tuple[Any, Labels]]) -> Any:
        dropped = len(e.labels) - len(out)
        if any(STACK in labels for _, labels in operands):
            out = (*out, STACK)
        match e:
            case Contract():
                return _einsum(operands, out)
            case Peak():
                value, labels = operands[0]
                return value.real.max(axis=tuple(i for i, x in enumerate(labels) if x not in out))
            case Pack(axis=axis):
                axis -= dropped
                wide = [len(r.labels) == len(e.labels) for r in e.operands]
                members = [
                    v if w else np.expand_dims(v, axis) for w, (v, _) in zip(wide, operands, strict=True)
                ]
                return np.concatenate(_alike(members), axis=axis)
            case Select(axis=axis, low=low, high=high):
                value, labels = operands[0]
                part = np.take(value, range(low, high), axis=axis - dropped)
                return (
                    part
                    if len(e.labels) == len(e.operands[0].labels)
                    else np.squeeze(part, axis=axis - dropped)
                )
            case Pointwise():
                aligned = [align(v, labels, out) for v, labels in operands]
                value = np.asarray(_plan(e.expr, e.operands)(self, aligned))
                shape = tuple(map(self.size, out))
                return np.broadcast_to(value, shape).copy() if value.shape != shape else value

    def length(self, size: sp.Symbol) -> int:
        """The length that a size symbol stands for."""
        return self.sizes[next(w for w in self.sizes if size_symbol(w) == size)]

    def constant(self, expr: sp.Expr) -> Any:
        """A constant as a number of the domain."""
        if expr not in self.constants:
            self.constants[expr] = self.number(expr)
        return self.constants[expr]


Step = Callable[[_Evaluation, list[Any]], Any]


@lru_cache(maxsize=10_000)
def _plan(expr: sp.Expr, operands: tuple[Ref, ...]) -> Step:
    """How to compute an expression from its operands' values: the walk of the tree, done once."""
    symbols = [symbol(r) for r in operands]
    if expr in symbols:
        place = symbols.index(expr)
        return lambda run, values: values[place]
    if expr.is_Symbol:
        return lambda run, values: run.length(expr)
    if expr.is_number:
        return lambda run, values: run.constant(expr)
    kind, parts = expr.func, {a: _plan(a, operands) for a in _parts(expr)}
    inner = parts.get(expr.args[0])

    def step(run: _Evaluation, values: list[Any]) -> Any:
        if kind in run.functions and inner is not None:
            return run.functions[kind](inner(run, values))
        return structure(expr, lambda part: parts[part](run, values))

    return step


def _parts(expr: sp.Expr) -> list[sp.Expr]:
    """The scalar expressions that ``structure`` asks for: arguments, or those inside of conditions."""
    found: list[sp.Expr] = []
    for a in expr.args:
        found += [a] if isinstance(a, sp.Expr) else _parts(a)
    return found


def structure(expr: sp.Expr, value: Callable[[sp.Expr], Any]) -> Any:
    """The value of a sum, product, power, maximum, minimum or piecewise expression from its parts."""
    if expr.is_Add:
        return reduce(lambda a, b: a + b, map(value, expr.args))
    if expr.is_Mul:
        return reduce(lambda a, b: a * b, map(value, expr.args))
    if expr.is_Pow:
        base, power = expr.args
        if power == sp.Rational(1, 2):
            root = value(base)
            return np.sqrt(root) if np.asarray(root).dtype != object else root ** sp.Rational(1, 2)
        return value(base) ** (int(power) if power.is_Integer else value(power))
    if expr.func in (sp.Max, sp.Min):
        better = np.greater if expr.func is sp.Max else np.less
        return reduce(lambda a, b: np.where(better(np.real(a), np.real(b)), a, b), map(value, expr.args))
    if expr.func is sp.Heaviside:
        u = np.real(value(expr.args[0]))
        return np.where(u > 0, 1.0, np.where(u < 0, 0.0, float(expr.args[1])))
    if expr.func is sp.Piecewise:
        branches = [(value(e), True if c == sp.true else condition(c, value)) for e, c in expr.args]
        return reduce(lambda rest, b: np.where(b[1], b[0], rest), reversed(branches[:-1]), branches[-1][0])
    raise TypeError(f"no meaning for {expr.func.__name__}")


def condition(expr: Any, value: Callable[[sp.Expr], Any]) -> Any:
    """The truth of a relation (or a combination of relations), judged by real parts."""
    if isinstance(expr, sp.And | sp.Or):
        combine = np.logical_and if isinstance(expr, sp.And) else np.logical_or
        return reduce(combine, [condition(a, value) for a in expr.args])
    if isinstance(expr, sp.Not):
        return np.logical_not(condition(expr.args[0], value))
    compare = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal, "==": np.equal}
    compare["!="] = np.not_equal
    return compare[expr.rel_op](np.real(value(expr.lhs)), np.real(value(expr.rhs)))


def _alike(rows: list[Any]) -> list[Any]:
    """Rows of one number of axes: those without the stack's axis are repeated along it."""
    most = max(r.ndim for r in rows)
    count = next(r.shape[-1] for r in rows if r.ndim == most) if most else 1
    return [r if r.ndim == most else np.repeat(r[..., None], count, axis=-1) for r in rows]


def align(value: Any, labels: Labels, out: Labels) -> Any:
    """Transpose and expand an array so that its axes stand as in ``out``."""
    if labels == out:
        return value
    order = [labels.index(x) for x in out if x in labels]
    value = np.transpose(value, order)
    return value[tuple(slice(None) if x in labels else None for x in out)]


def _einsum(operands: list[tuple[Any, Labels]], out: Labels) -> Any:
    return np.einsum(_subscripts(tuple(labels for _, labels in operands), out), *(v for v, _ in operands))


@lru_cache(maxsize=10_000)
def _subscripts(operands: tuple[Labels, ...], out: Labels) -> str:
    letters: dict[str, str] = {}
    for labels in (*operands, out):
        for x in labels:
            letters.setdefault(x, chr(ord("a") + len(letters)))
    spell = ["".join(letters[x] for x in labels) for labels in operands]
    return f"{','.join(spell)}->{''.join(letters[x] for x in out)}"


def _sizes(program: Program, arrays: Mapping[str, Any]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for a in program.arrays:
        if a.name in arrays:
            shape = np.shape(arrays[a.name])
            for label, length in zip(a.labels, shape, strict=False):  # a class array lacks its last axis
                sizes[size_of(label)] = length
    sizes.setdefault(BATCH, 1)
    return sizes
