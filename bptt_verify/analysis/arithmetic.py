"""The kinds of numbers on which a formula and a recurrence are computed.

*Exact*: fractions. An elementwise function is a random integer for each argument, remembered, whose
slope follows the function's own rule: equality there holds whatever the function's values are.
*Real*: 50 digits. A third kind, to show values, is in ``closed``.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from random import Random
from typing import Any

import sympy as sp

from bptt_verify.oracle.opaque import context, meanings, to_number
from bptt_verify.program.functions import FUNCTIONS, relu, sigmoid, softplus, step

Number = Any  # a number of one of the kinds
DIGITS = 50
SPREAD = 10**6  # opaque values are integers up to this size

KINDS: dict[str, Any] = {kind.__name__: kind for kind in FUNCTIONS}


class InexactError(ArithmeticError):
    """A constant that is no fraction, met in exact arithmetic."""


class Arithmetic:
    """What the kinds share: slopes, from the rules of the functions."""

    exact = False

    def number(self, value: Fraction | int) -> Number:
        """A fraction as a number of this kind."""
        raise NotImplementedError

    def constant(self, expr: sp.Expr) -> Number:
        """A SymPy constant as a number of this kind."""
        raise NotImplementedError

    def apply(self, kind: Any, u: Number) -> Number:
        """An elementwise function of a number."""
        raise NotImplementedError

    def power(self, base: Number, exponent: Fraction) -> Number:
        """A power with a fractional exponent."""
        raise NotImplementedError

    def slope(self, kind: Any, u: Number, s: Number) -> Number:
        """The derivative of ``s = kind(u)``."""
        if kind in _SLOPES:
            return _SLOPES[kind](self, u, s)
        x = sp.Symbol("x", real=True)
        return self._walk(sp.diff(kind(x), x), x, u)

    def _walk(self, expr: sp.Expr, x: sp.Symbol, u: Number) -> Number:
        if expr == x:
            return u
        if expr.is_number:
            return self.constant(expr)
        values = [self._walk(a, x, u) for a in expr.args if not expr.is_Pow or a is not expr.args[1]]
        if expr.is_Pow:
            exponent = expr.args[1]
            if exponent.is_Integer:
                return values[0] ** int(exponent)
            return self.power(values[0], Fraction(int(exponent.p), int(exponent.q)))
        if expr.is_Add or expr.is_Mul:
            total = values[0]
            for v in values[1:]:
                total = total + v if expr.is_Add else total * v
            return total
        return self.apply(expr.func, values[0])


_SLOPES: dict[Any, Callable[[Arithmetic, Any, Any], Any]] = {
    sp.tanh: lambda a, u, s: 1 - s * s,
    sigmoid: lambda a, u, s: s * (1 - s),
    sp.exp: lambda a, u, s: s,
    sp.log: lambda a, u, s: 1 / u,
    softplus: lambda a, u, s: a.apply(sigmoid, u),
    relu: lambda a, u, s: a.apply(step, u),
    step: lambda a, u, s: a.number(0),
    sp.Abs: lambda a, u, s: a.apply(sp.sign, u),
    sp.sign: lambda a, u, s: a.number(0),
}
_PIECEWISE: dict[Any, Callable[[Any], Any]] = {
    relu: lambda u: max(u, 0 * u),
    step: lambda u: Fraction(u > 0),
    sp.Abs: abs,
    sp.sign: lambda u: Fraction((u > 0) - (u < 0)),
}


class Exact(Arithmetic):
    """Fractions with opaque elementwise functions.

    Attributes
    ----------
    opaque : dict
        The values drawn so far; empty where everything was rational, and the numbers are then the true ones.
    """

    exact = True

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.opaque: dict[Any, Fraction] = {}

    def number(self, value: Fraction | int) -> Number:
        return Fraction(value)

    def constant(self, expr: sp.Expr) -> Number:
        if expr.is_Float:
            return Fraction(str(expr.n(15)))
        if not expr.is_Rational:
            raise InexactError(str(expr))
        return Fraction(int(expr.p), int(expr.q))

    def apply(self, kind: Any, u: Number) -> Number:
        return _PIECEWISE[kind](u) if kind in _PIECEWISE else self._drawn((kind, Fraction(u)))

    def power(self, base: Number, exponent: Fraction) -> Number:
        return self._drawn((exponent, Fraction(base)))

    def _drawn(self, key: Any) -> Fraction:
        if key not in self.opaque:
            self.opaque[key] = Fraction(self.random.randint(2, SPREAD) * self.random.choice((1, -1)))
        return self.opaque[key]


class Real(Arithmetic):
    """Numbers of 50 digits and some more."""

    def __init__(self) -> None:
        self.context = context(DIGITS)
        self.functions = meanings(self.context)

    def number(self, value: Fraction | int) -> Number:
        value = Fraction(value)
        return self.context.mpf(value.numerator) / value.denominator

    def constant(self, expr: sp.Expr) -> Number:
        return to_number(self.context, expr)

    def apply(self, kind: Any, u: Number) -> Number:
        return self.functions[kind](u)

    def power(self, base: Number, exponent: Fraction) -> Number:
        return base ** self.number(exponent)
