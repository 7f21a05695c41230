"""Write a scalar SymPy expression as text, in the author's own term order.

SymPy sorts the terms of a sum; people do not. A *rank* (the position of each symbol among an
equation's operands) restores the order in which the author wrote them. One walk serves plain text,
Python code and LaTeX; a ``Style`` says how each construct looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import sympy as sp

ADD, MUL, UNARY, POWER, ATOM = range(1, 6)


@dataclass(frozen=True)
class Style:
    """How each construct is written; arguments arrive already written."""

    name: Callable[[sp.Expr], str]
    call: Callable[[str, list[str]], str]
    times: Callable[[sp.Expr, sp.Expr], str]
    number: Callable[[sp.Expr], str]
    over: str
    fraction: Callable[[str, str], str] | None
    power: Callable[[str, str], str]
    root: Callable[[str], str]
    choice: Callable[[sp.Piecewise, Callable[[sp.Expr], str]], str]


def spell(expr: sp.Expr, style: Style, rank: Mapping[sp.Expr, int]) -> str:
    """The text of ``expr``."""
    return _Speller(style, rank).write(expr)[0]


def rank_of(expr: sp.Expr, rank: Mapping[sp.Expr, int]) -> tuple[int, ...]:
    """Sort key of a term: the ranks of its symbols, ascending; constants come last in a sum."""
    return tuple(sorted(rank.get(s, 10**6) for s in expr.free_symbols)) or (10**7,)


def ordered(expr: sp.Expr, rank: Mapping[sp.Expr, int]) -> list[sp.Expr]:
    """Terms of a sum or factors of a product in the author's order, a positive term first if there is one."""
    parts = sorted(expr.args, key=lambda a: (rank_of(a, rank), sp.default_sort_key(a)))
    if expr.is_Add:
        positive = [a for a in parts if not negative(a)]
        if positive and negative(parts[0]):
            parts.remove(positive[0])
            parts.insert(0, positive[0])
        constants = [a for a in parts if a.is_number and not negative(a)]
        for c in constants:  # 1 - s reads better than -s + 1
            parts.remove(c)
            parts.insert(0, c)
    return parts


def decimal(number: sp.Expr) -> bool:
    """Whether a number is written with a point (0.9) rather than as a fraction (1/2, 1/3)."""
    return not number.is_Rational or (int(number.q) % 5 == 0 and 10**12 % int(number.q) == 0)


def fraction(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Numerator and denominator as written: negative powers go below, ``exp(-u)`` stays above."""
    coefficient, rest = expr.as_coeff_Mul()
    below = [f for f in sp.Mul.make_args(rest) if f.is_Pow and f.args[1].is_number and f.args[1].is_negative]
    above = [f for f in sp.Mul.make_args(rest) if f not in below]
    if not coefficient.is_Rational or decimal(coefficient):
        return sp.Mul(coefficient, *above), sp.Mul(*(1 / f for f in below))
    return sp.Mul(coefficient.p, *above), sp.Mul(coefficient.q, *(1 / f for f in below))


def negative(expr: sp.Expr) -> bool:
    """Whether a term is written with a minus sign."""
    coefficient = expr.as_coeff_Mul()[0]
    return bool(coefficient.is_negative)


class _Speller:
    def __init__(self, style: Style, rank: Mapping[sp.Expr, int]) -> None:
        self.style, self.rank = style, rank

    def write(self, expr: sp.Expr) -> tuple[str, int]:
        if expr.is_Symbol:
            return self.style.name(expr), ATOM
        if expr.is_number and not expr.has(sp.Function):
            return self._number(expr)
        if expr.is_Add:
            return self._sum(expr), ADD
        if expr.is_Mul:
            return self._product(expr)
        if expr.is_Pow:
            return self._power(*expr.args)
        if isinstance(expr, sp.Piecewise):
            return self.style.choice(expr, lambda part: self.write(part)[0]), ATOM
        return self.style.call(expr.func.__name__, [self.write(a)[0] for a in expr.args]), ATOM

    def inside(self, expr: sp.Expr, level: int) -> str:
        text, own = self.write(expr)
        return text if own >= level else f"({text})"

    def _number(self, expr: sp.Expr) -> tuple[str, int]:
        text = self.style.number(expr)
        return text, UNARY if text.startswith("-") else (MUL if "/" in text else ATOM)

    def _sum(self, expr: sp.Expr) -> str:
        text = ""
        for term in ordered(expr, self.rank):
            minus = negative(term)
            part = self.inside(-term if minus else term, MUL)
            text += (f" - {part}" if minus else f" + {part}") if text else (f"-{part}" if minus else part)
        return text

    def _product(self, expr: sp.Expr) -> tuple[str, int]:
        if negative(expr):
            return f"-{self.inside(-expr, MUL)}", UNARY
        above, below = fraction(expr)
        if below != 1 and not any(p.is_Add for p in sp.Mul.make_args(above)):
            top, bottom = self._factors(above), below
            if self.style.fraction:
                return self.style.fraction(self.write(above)[0], self.write(bottom)[0]), ATOM
            return f"{top}{self.style.over}{self.inside(bottom, POWER)}", MUL
        return self._factors(expr), MUL

    def _factors(self, expr: sp.Expr) -> str:
        factors = ordered(expr, self.rank) if expr.is_Mul else [expr]
        factors.sort(key=lambda f: not f.is_number)
        text = self.inside(factors[0], UNARY)
        for left, right in pairwise(factors):
            text += self.style.times(left, right) + self.inside(right, UNARY)
        return text

    def _power(self, base: sp.Expr, power: sp.Expr) -> tuple[str, int]:
        if power == sp.Rational(1, 2):
            return self.style.root(self.write(base)[0]), ATOM
        if negative(power):
            if self.style.fraction:
                return self.style.fraction("1", self.write(base**-power)[0]), ATOM
            return f"1{self.style.over}{self.inside(base**-power, POWER)}", MUL
        exponent = self.write(power)[0] if power.is_number else self.inside(power, ATOM)
        return self.style.power(self.inside(base, ATOM), exponent), POWER
