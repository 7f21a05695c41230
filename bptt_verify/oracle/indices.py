"""One step of a recurrence in SymPy index notation, with symbolic sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.errors import UnsupportedError
from bptt_verify.oracle.located import Located, Symbolic
from bptt_verify.oracle.opaque import KIND, opaque
from bptt_verify.program import (
    BATCH,
    TIME,
    Contract,
    Peak,
    Pointwise,
    Program,
    Ref,
    size_of,
    size_symbol,
    symbol,
)
from bptt_verify.program.structures import structure

Labels = tuple[str, ...]


def sizes_part(labels: Labels) -> Labels:
    """The labels of one step and one sequence."""
    return tuple(x for x in labels if x not in (TIME, BATCH))


def letter(name: str, indices: tuple[sp.Expr, ...]) -> sp.Expr:
    """One entry of an array: ``W[i, j]``, or a symbol if it has no axes."""
    return sp.IndexedBase(name)[indices] if indices else sp.Symbol(name)


def names_in(expr: sp.Expr) -> set[str]:
    """The arrays of which an expression has entries."""
    indexed = {str(entry.base) for entry in expr.atoms(sp.Indexed)}
    return indexed | {s.name for s in expr.atoms(sp.Symbol) if not s.is_integer}


class IndexNotation:
    """The values of one step of one sequence, entry by entry.

    The new value of a state is not written out where another value reads it; it stays a letter.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.states = {c.value for c in program.carries}
        self.count = 0
        self.known: dict[tuple[str, tuple[sp.Expr, ...]], sp.Expr] = {}

    def fresh(self, labels: Labels) -> tuple[sp.Symbol, ...]:
        """New index symbols, one for each label."""
        self.count += len(labels)
        return tuple(sp.Symbol(f"i{self.count - k}", integer=True) for k in range(len(labels)))

    def entry(self, name: str, indices: tuple[sp.Expr, ...]) -> sp.Expr:
        """The entry of a value, in entries of declared arrays, of the previous and of other new states."""
        if (name, indices) not in self.known:
            self.known[name, indices] = self._entry(name, indices)
        return self.known[name, indices]

    def _entry(self, name: str, indices: tuple[sp.Expr, ...]) -> sp.Expr:
        if name not in self.program.equation:
            return letter(name, indices)
        e = self.program.equation[name]
        at = dict(zip(sizes_part(e.labels), indices, strict=True))
        match e:
            case Contract():
                return self._sum(e, at)
            case Pointwise():
                return opaque(e.expr, {symbol(r): self._read(r, at) for r in e.operands})
            case Peak():  # a shift to which the results are invariant: a constant
                return letter(name, indices)
        raise UnsupportedError(f"{name}: {type(e).__name__} has no index notation here.")

    def _read(self, r: Ref, at: Mapping[str, sp.Expr]) -> sp.Expr:
        name = self.program.carry[r.name].boundary if r.shift else r.name
        indices = tuple(at[x] for x in sizes_part(r.labels))
        return letter(name, indices) if name in self.states else self.entry(name, indices)

    def _sum(self, e: Contract, at: Mapping[str, sp.Expr]) -> sp.Expr:
        used = dict.fromkeys(x for r in e.operands for x in r.labels)
        summed = tuple(x for x in used if x not in e.labels)
        if TIME in summed or BATCH in summed:
            raise UnsupportedError(f"{e.name}: a sum over time or batch is not part of one step.")
        bound = dict(zip(summed, self.fresh(summed), strict=True))
        product = sp.Mul(*(self._read(r, {**at, **bound}) for r in e.operands))
        limits = [(i, 0, size_symbol(size_of(x)) - 1) for x, i in bound.items()]
        return sp.Sum(product, *limits) if limits else product


class Instance:
    """Index notation at concrete sizes: sums written out, entries taken from evaluated arrays.

    Parameters
    ----------
    program : Program
        The forward program, for labels.
    symbolic : Symbolic
        Where expressions are located.
    values : mapping of str to array
        All values of the program at T = 1, B = 1.
    sizes : mapping of str to int
    """

    def __init__(
        self, program: Program, symbolic: Symbolic, values: Mapping[str, Any], sizes: Mapping[str, int]
    ) -> None:
        self.program, self.symbolic, self.values = program, symbolic, values
        self.base = {size_symbol(w): int(n) for w, n in sizes.items()}
        self.known: dict[tuple[Any, ...], Located] = {}
        self.free: dict[sp.Expr, tuple[sp.Expr, ...]] = {}

    def __call__(self, expr: sp.Expr, at: Mapping[sp.Expr, int]) -> Located:
        """The located value of an expression whose free indices are given."""
        return self._value(expr, {**self.base, **at})

    def _value(self, expr: sp.Expr, at: Mapping[sp.Expr, int]) -> Located:
        key = (expr, *(at[i] for i in self._indices(expr)))
        if key not in self.known:
            value = self._compute(expr, at, lambda part: self._value(part, at))
            value = value.item() if isinstance(value, np.ndarray) else value
            self.known[key] = self.symbolic.located(value)
        return self.known[key]

    def _indices(self, expr: sp.Expr) -> tuple[sp.Expr, ...]:
        """The free indices and sizes of an expression, in a fixed order."""
        if expr not in self.free:
            bound = {limit[0] for limit in expr.limits} if isinstance(expr, sp.Sum) else set()
            parts = expr.indices if isinstance(expr, sp.Indexed) else expr.args
            inner = [i for part in parts for i in self._indices(part) if i not in bound]
            own = [expr] if expr.is_Symbol and expr.is_integer else []
            self.free[expr] = tuple(dict.fromkeys(own + inner))
        return self.free[expr]

    def _compute(self, expr: sp.Expr, at: Mapping[sp.Expr, int], inner: Any) -> Any:
        if expr in at:
            return at[expr]
        if isinstance(expr, sp.Indexed):
            return self._array(str(expr.base), tuple(int(sp.Integer(i.xreplace(at))) for i in expr.indices))
        if expr.is_Symbol:
            return self._array(expr.name, ())
        if expr.is_number:
            return expr
        if isinstance(expr, sp.Sum):
            return self._sum(expr, at)
        if isinstance(expr, sp.KroneckerDelta):
            return int(expr.args[0].xreplace(at) == expr.args[1].xreplace(at))
        if isinstance(expr, sp.DiracDelta):  # kinks have measure zero
            return 0
        if expr.func in KIND:
            return self.symbolic.functions[KIND[expr.func]](inner(expr.args[0]))
        return structure(expr, inner)

    def _array(self, name: str, index: tuple[int, ...]) -> Any:
        labels = self.program.labels(name)
        return np.asarray(self.values[name], dtype=object)[(0,) * (len(labels) - len(index)) + index]

    def _sum(self, expr: sp.Expr, at: Mapping[sp.Expr, int]) -> Any:
        (index, low, high), *rest = expr.limits[::-1]
        inside = sp.Sum(expr.function, *rest[::-1]) if rest else expr.function
        low, high = (int(bound.xreplace(at)) for bound in (low, high))
        return sum((self._value(inside, {**at, index: k}) for k in range(low, high + 1)), 0)
