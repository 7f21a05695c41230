"""Located expressions: an exact SymPy expression together with its number at one point.

The expression is what is compared; the number decides branches (a maximum, a condition), as they are
in a neighbourhood of the point. Every application of a function, every sum that is multiplied, and every
base of a fractional or negative power is replaced by a letter, which keeps the expressions shallow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.oracle.opaque import GUARD, OPAQUE, context, meanings, to_number
from bptt_verify.oracle.points import Point, index_text
from bptt_verify.program import Program, evaluate


class Letters:
    """The letters in use, and what they stand for.

    Attributes
    ----------
    arithmetic : mpmath context
        Of the numbers at the point.
    definitions : dict of letter to expression
        An opaque application, or the sum or the base of a power that it stands for.
    """

    def __init__(self, digits: int) -> None:
        self.arithmetic = context(digits + GUARD)
        self.definitions: dict[sp.Expr, sp.Expr] = {}
        self.names: dict[sp.Expr, sp.Symbol] = {}

    def letter(self, expr: sp.Expr) -> sp.Symbol:
        """The letter for an expression; the same one for the same expression."""
        if expr not in self.names:
            letter = sp.Symbol(f"s{len(self.names)}")
            self.names[expr], self.definitions[letter] = letter, expr
        return self.names[expr]

    def short(self, expr: sp.Expr) -> sp.Expr:
        """The expression itself, or a letter for a sum."""
        return self.letter(expr) if expr.is_Add else expr

    def constant(self, number: Any) -> Located:
        """A constant; a decimal one means the binary fraction it is."""
        expr = sp.sympify(number.item() if isinstance(number, np.generic) else number)
        expr = sp.Rational(expr) if expr.is_Float else expr
        return Located(expr, to_number(self.arithmetic, expr), self)


class Located:
    """``expr``, whose number at the point is ``value``."""

    __slots__ = ("book", "expr", "value")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expr: sp.Expr, value: Any, book: Letters) -> None:
        self.expr, self.value, self.book = expr, value, book

    def __repr__(self) -> str:
        return f"Located({self.expr})"

    def _like(self, other: Any) -> Located:
        return other if isinstance(other, Located) else self.book.constant(other)

    def __add__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented  # NumPy then adds to every entry
        o = self._like(other)
        return Located(self.expr + o.expr, self.value + o.value, self.book)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        o = self._like(other)
        a, b = self.expr, o.expr
        if not a.is_number and not b.is_number:
            a, b = self.book.short(a), self.book.short(b)
        return Located(a * b, self.value * o.value, self.book)

    __radd__, __rmul__ = __add__, __mul__

    def __pow__(self, power: Any) -> Any:
        if isinstance(power, np.ndarray):
            return NotImplemented
        p = self._like(power)
        plain = self.expr.is_Atom or (p.expr.is_Integer and p.expr > 0)
        base = self.expr if plain else self.book.letter(self.expr)
        value = self.value ** (int(p.expr) if p.expr.is_Integer else p.value)
        return Located(base**p.expr, value, self.book)

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > self._like(other).value)

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= self._like(other).value)

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < self._like(other).value)

    def __le__(self, other: Any) -> bool:
        return bool(self.value <= self._like(other).value)

    def __eq__(self, other: object) -> bool:
        return bool(self.value == self._like(other).value)


class Symbolic:
    """Programs on located symbols: every entry of every declared array is one.

    Parameters
    ----------
    point : mapping of str to float64 or integer array
        Where the symbols are located; integer class arrays stay what they are.
    digits : int
        Of the numbers at the point.
    """

    def __init__(self, point: Point, digits: int) -> None:
        self.book = Letters(digits)
        self.definitions = self.book.definitions
        self.arrays = {n: v if v.dtype.kind == "i" else self._symbols(n, v) for n, v in point.items()}
        means = meanings(self.book.arithmetic)
        self.functions = {k: np.frompyfunc(self._function(f, means[k]), 1, 1) for k, f in OPAQUE.items()}

    def _symbols(self, name: str, values: Any) -> Any:
        symbols = np.empty(values.shape, dtype=object)
        for index in np.ndindex(values.shape):
            number = self.book.arithmetic.mpf(float(values[index]))
            symbols[index] = Located(sp.Symbol(index_text(name, index)), number, self.book)
        return symbols

    def _function(self, function: Any, meaning: Callable[[Any], Any]) -> Callable[[Any], Located]:
        def apply(argument: Any) -> Located:
            u = self.located(argument)
            return Located(self.book.letter(function(u.expr)), meaning(u.value), self.book)

        return apply

    def located(self, value: Any) -> Located:
        """One entry of a value; plain numbers become constants."""
        return value if isinstance(value, Located) else self.book.constant(value)

    def values(self, program: Program) -> dict[str, Any]:
        """Every value of the program, as arrays of Located (or of plain numbers)."""
        return evaluate(program, self.arrays, functions=self.functions, number=self.book.constant)
