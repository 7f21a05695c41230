"""Evaluate a Program directly, equation by equation: the meaning that generated code must have.

Plain on purpose: one NumPy operation after the other, in the order of the equations; only what is the same
at every step is found out once. It works on any NumPy arrays, object arrays of exact numbers or SymPy
expressions included, so that one definition of meaning serves the floating-point and the exact side.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
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
from bptt_verify.program.order import Component, components
from bptt_verify.program.structures import structure

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
        self.shapes: dict[Labels, tuple[int, ...]] = {}
        self.constants: dict[sp.Expr, Any] = {}
        self.values: Values = {}
        for a in program.arrays:
            value = self.values[a.name] = self._declared(a.name, arrays)
            if value.ndim > len(a.labels):
                self.sizes[STACK] = value.shape[-1]
        self.parts, self.meanings = _prepared(program)

    def _declared(self, name: str, arrays: Mapping[str, Any]) -> Any:
        a = self.program.array[name]
        if a.role == "identity" and name not in arrays:
            return np.eye(self.size(a.labels[0]), dtype=int)
        if a.role == "zero" and name not in arrays:
            return np.zeros([self.size(x) for x in a.labels], dtype=int)
        if a.index:
            return np.eye(self.size(a.labels[-1]), dtype=int)[np.asarray(arrays[name])]
        return np.asarray(arrays[name])

    def size(self, label: str) -> int:
        word = size_of(label)
        return int(word) if word.isdigit() else self.sizes[word]

    def shape(self, labels: Labels) -> tuple[int, ...]:
        """The shape of an array with these labels."""
        if labels not in self.shapes:
            self.shapes[labels] = tuple(map(self.size, labels))
        return self.shapes[labels]

    def run(self) -> Values:
        for part in self.parts:
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
        return self._computed(e, 0, [self._read_all(r) for r in e.operands])

    def _computed(self, e: Equation, dropped: int, operands: list[Any]) -> Any:
        """An equation's value from those of its operands; its own first axes are dropped in a loop."""
        key = e.name, tuple([getattr(v, "ndim", 0) for v in operands])
        if key not in self.meanings:
            self.meanings[key] = _meaning(e, dropped, key[1])
        return self.meanings[key](self, operands)

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
        lines = [(rows[e.name], e, [self._reader(r, rows) for r in e.operands]) for e in equations]
        for t in range(steps) if direction > 0 else reversed(range(steps)):
            for row, e, readers in lines:
                row[t] = self._computed(e, 1, [read(t) for read in readers])
        for e in equations:
            self.values[e.name] = np.stack(_alike(rows[e.name]))
            self._finish(e.name)

    def _reader(self, r: Ref, rows: dict[str, list[Any]]) -> Callable[[int], Any]:
        """What gives an operand's value at each step of a loop."""
        if TIME not in r.labels:
            fixed = self.values[r.name]
            return lambda t: fixed
        source = rows[r.name] if r.name in rows else self.values[r.name]
        if not r.shift:
            return lambda t: source[t]
        edge, shift, steps = self.values[self.program.carry[r.name].boundary], r.shift, self.sizes[TIME]
        return lambda t: source[t + shift] if 0 <= t + shift < steps else edge

    def length(self, size: sp.Symbol) -> int:
        """The length that a size symbol stands for."""
        return self.sizes[next(w for w in self.sizes if size_symbol(w) == size)]

    def constant(self, expr: sp.Expr) -> Any:
        """A constant as a number of the domain."""
        if expr not in self.constants:
            self.constants[expr] = self.number(expr)
        return self.constants[expr]


Step = Callable[[_Evaluation, list[Any]], Any]


Meanings = dict[tuple[str, tuple[int, ...]], Step]  # of equations, by how many axes the operands have


@lru_cache(maxsize=256)
def _prepared(program: Program) -> tuple[tuple[Component, ...], Meanings]:
    """What is the same in all runs of a program; the meanings are found as they are needed."""
    return components(program), {}


def _meaning(e: Equation, dropped: int, axes: tuple[int, ...]) -> Step:
    """How to compute an equation from operands that have so many axes."""
    labels = tuple(_labelled(r, dropped, count) for r, count in zip(e.operands, axes, strict=True))
    stacked = any(STACK in own for own in labels)
    return _step(e, dropped, labels, (*e.labels[dropped:], *([STACK] if stacked else [])))


def _labelled(r: Ref, dropped: int, axes: int) -> Labels:
    """The labels of an operand's value, among them the stack's where it has one more axis."""
    labels = r.labels[dropped:] if TIME in r.labels else r.labels
    return labels if axes == len(labels) else (*labels, STACK)


def _step(e: Equation, dropped: int, labels: tuple[Labels, ...], out: Labels) -> Step:
    match e:
        case Contract():
            subscripts = _subscripts(labels, out)
            return lambda run, values: np.einsum(subscripts, *values)
        case Peak():
            others = tuple(i for i, x in enumerate(labels[0]) if x not in out)
            return lambda run, values: values[0].real.max(axis=others)
        case Pack():
            at = e.axis - dropped
            wide = [len(r.labels) == len(e.labels) for r in e.operands]
            return lambda run, values: np.concatenate(
                _alike([v if w else np.expand_dims(v, at) for w, v in zip(wide, values, strict=True)]), at
            )
        case Select():
            return partial(_selected, e, e.axis - dropped)
        case Pointwise():
            expression = _plan(e.expr, e.operands)
            return partial(_pointwise, expression, [_aligner(own, out) for own in labels], out)


def _selected(e: Select, axis: int, run: _Evaluation, values: list[Any]) -> Any:
    part = np.take(values[0], range(e.low, e.high), axis=axis)
    return part if len(e.labels) == len(e.operands[0].labels) else np.squeeze(part, axis=axis)


def _pointwise(
    expression: Step,
    aligners: list[Callable[[Any], Any] | None],
    out: Labels,
    run: _Evaluation,
    values: list[Any],
) -> Any:
    aligned = [v if f is None else f(v) for f, v in zip(aligners, values, strict=True)]
    value = np.asarray(expression(run, aligned))
    shape = run.shape(out)
    return value if value.shape == shape else np.broadcast_to(value, shape).copy()


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
    if expr.is_Add or expr.is_Mul:
        return _folded(operator.add if expr.is_Add else operator.mul, [parts[a] for a in expr.args])
    inner = parts.get(expr.args[0])

    def step(run: _Evaluation, values: list[Any]) -> Any:
        if kind in run.functions and inner is not None:
            return run.functions[kind](inner(run, values))
        return structure(expr, lambda part: parts[part](run, values))

    return step


def _folded(combine: Callable[[Any, Any], Any], parts: list[Step]) -> Step:
    """A sum or a product, as ``structure`` computes it."""
    first, *rest = parts

    def step(run: _Evaluation, values: list[Any]) -> Any:
        total = first(run, values)
        for part in rest:
            total = combine(total, part(run, values))
        return total

    return step


def _parts(expr: sp.Expr) -> list[sp.Expr]:
    """The scalar expressions that ``structure`` asks for: arguments, or those inside of conditions."""
    found: list[sp.Expr] = []
    for a in expr.args:
        found += [a] if isinstance(a, sp.Expr) else _parts(a)
    return found


def _alike(rows: list[Any]) -> list[Any]:
    """Rows of one number of axes: those without the stack's axis are repeated along it."""
    most = max(r.ndim for r in rows)
    count = next(r.shape[-1] for r in rows if r.ndim == most) if most else 1
    return [r if r.ndim == most else np.repeat(r[..., None], count, axis=-1) for r in rows]


def align(value: Any, labels: Labels, out: Labels) -> Any:
    """Transpose and expand an array so that its axes stand as in ``out``."""
    aligned = _aligner(labels, out)
    return value if aligned is None else aligned(value)


def _aligner(labels: Labels, out: Labels) -> Callable[[Any], Any] | None:
    """What does so; None where nothing is to be done."""
    if labels == out:
        return None
    order = [labels.index(x) for x in out if x in labels]
    places = tuple(slice(None) if x in labels else None for x in out)
    if order == sorted(order):
        return lambda value: np.asarray(value)[places]  # an exact scalar is no array
    return lambda value: np.transpose(value, order)[places]


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
