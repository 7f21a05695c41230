"""Numbers that remember how they are written: polynomials in function values, such as ``1 - tanh(1)^2``."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import sympy as sp

from bptt_verify.analysis.arithmetic import Arithmetic
from bptt_verify.program.functions import FUNCTIONS, sigmoid

MOST_TERMS = 12  # beyond which nobody reads on
Monomial = tuple[tuple[str, int], ...]  # function values with their powers
_AT_ZERO = {sp.tanh: 0, sp.sin: 0, sp.sinh: 0, sp.atan: 0, sp.exp: 1, sp.cos: 1, sp.cosh: 1}


class LongError(ArithmeticError):
    """A closed form that has become too long to show."""


class Written:
    """A sum of multiples of products of function values; ``about`` is its value."""

    __slots__ = ("about", "terms")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, terms: Mapping[Monomial, Fraction], about: float) -> None:
        self.terms, self.about = {m: c for m, c in terms.items() if c}, about
        if len(self.terms) > MOST_TERMS:
            raise LongError(str(len(self.terms)))

    @staticmethod
    def of(value: Any) -> Written:
        """A plain number, or one that is written already."""
        return value if isinstance(value, Written) else Written({(): Fraction(value)}, float(value))

    @property
    def exact(self) -> Fraction | None:
        """The value where it is a fraction."""
        return self.terms.get((), Fraction(0)) if set(self.terms) <= {()} else None

    def __str__(self) -> str:
        if not self.terms:
            return "0"
        ordered = sorted(self.terms.items(), key=lambda t: (t[1] < 0, sum(p for _, p in t[0]), t[0]))
        text = " + ".join(_term(m, c) for m, c in ordered)
        return text.replace("+ -", "- ")

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, PLAIN):
            return NotImplemented
        terms, b = dict(self.terms), Written.of(other)
        for m, c in b.terms.items():
            terms[m] = terms.get(m, Fraction(0)) + c
        return Written(terms, self.about + b.about)

    def __mul__(self, other: Any) -> Any:
        if not isinstance(other, PLAIN):
            return NotImplemented
        terms: dict[Monomial, Fraction] = {}
        b = Written.of(other)
        for m, c in self.terms.items():
            for k, d in b.terms.items():
                product = _product(m, k)
                terms[product] = terms.get(product, Fraction(0)) + c * d
        return Written(terms, self.about * b.about)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Any:
        return self * -1

    def __sub__(self, other: Any) -> Any:
        return self + other * -1

    def __rsub__(self, other: Any) -> Any:
        return self * -1 + other

    def __pow__(self, power: int) -> Written:
        if power < 0:
            return Written.of(1 / self**-power)
        result = Written.of(1)
        for _ in range(power):
            result = result * self
        return result

    def __truediv__(self, other: Any) -> Any:
        if not isinstance(other, PLAIN):
            return NotImplemented
        b = Written.of(other)
        return self * (1 / b.exact if b.exact else _atom(f"1/({b})", 1 / b.about))

    def __rtruediv__(self, other: Any) -> Any:
        return Written.of(other) / self

    def __gt__(self, other: Any) -> bool:
        return self.about > Written.of(other).about

    def __ge__(self, other: Any) -> bool:
        return self.about >= Written.of(other).about

    def __lt__(self, other: Any) -> bool:
        return self.about < Written.of(other).about

    def __le__(self, other: Any) -> bool:
        return self.about <= Written.of(other).about

    def __eq__(self, other: object) -> bool:
        return self.terms == Written.of(other).terms


PLAIN = (Written, Fraction, int)  # what arithmetic with a written number takes


def _atom(text: str, about: float) -> Written:
    return Written({((text, 1),): Fraction(1)}, about)


def _product(a: Monomial, b: Monomial) -> Monomial:
    powers = dict(a)
    for text, p in b:
        powers[text] = powers.get(text, 0) + p
    return tuple(sorted(powers.items()))


def _term(monomial: Monomial, c: Fraction) -> str:
    factors = [text if p == 1 else f"{text}^{p}" for text, p in monomial]
    sign = "-" if c < 0 else ""
    top = [str(abs(c.numerator))] if abs(c.numerator) != 1 or not factors else []
    below = f"/{c.denominator}" if c.denominator != 1 else ""
    return sign + " ".join([*top, *factors]) + below


class Closed(Arithmetic):
    """Numbers as they are written, for display only."""

    def number(self, value: Fraction | int) -> Written:
        return Written.of(value)

    def constant(self, expr: sp.Expr) -> Written:
        if expr.is_Rational:
            return Written.of(Fraction(int(expr.p), int(expr.q)))
        return _atom(str(expr), float(expr))

    def apply(self, kind: Any, u: Any) -> Written:
        w = Written.of(u)
        if kind.__name__ in ("relu", "step", "Abs", "sign"):
            return self._piecewise(kind.__name__, w)
        if w.exact == 0 and (kind in _AT_ZERO or kind is sigmoid):
            return Written.of(_AT_ZERO.get(kind, Fraction(1, 2)))
        return _atom(f"{kind.__name__}({w})", float(FUNCTIONS[kind].numpy(w.about)))

    def _piecewise(self, name: str, u: Written) -> Written:
        sign = (u.about > 0) - (u.about < 0)
        if name in ("step", "sign"):
            return Written.of(max(sign, 0) if name == "step" else sign)
        return u * (sign if name == "Abs" else max(sign, 0))  # type: ignore[no-any-return]

    def power(self, base: Any, exponent: Fraction) -> Written:
        b = Written.of(base)
        return _atom(f"({b})^({exponent})", b.about ** float(exponent))
