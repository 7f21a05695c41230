"""Pointwise expressions as NumPy: one expression (plain style), or calls that write into buffers (fast)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sympy as sp

from bptt_verify.errors import UnsupportedError
from bptt_verify.program.functions import FUNCTIONS
from bptt_verify.program.spelling import Style, fraction, negative, ordered, spell

OUT = "<out>"


@dataclass(frozen=True)
class Call:
    """``function(*args, out=out)``; an argument is a symbol, a temporary, OUT, or a number as text."""

    function: str
    args: tuple[object, ...]
    out: object


def code_name(kind: type) -> str:
    """How a SymPy function is called in generated code."""
    if kind not in FUNCTIONS:
        raise UnsupportedError(f"{kind.__name__} cannot be generated")
    return FUNCTIONS[kind].code


def number(value: sp.Expr) -> str:
    """A constant as Python source; exact for integers and simple fractions."""
    if value.is_Integer:
        return str(int(value))
    return repr(float(value))


def expression(expr: sp.Expr, names: Mapping[sp.Expr, str], rank: Mapping[sp.Expr, int]) -> str:
    """``expr`` as one Python expression."""

    def call(name: str, args: list[str]) -> str:
        kind = next((k for k in FUNCTIONS if k.__name__ == name), None)
        if kind is not None:
            return f"{code_name(kind)}({', '.join(args)})"
        return _special(name, args)

    style = Style(
        name=lambda s: names[s],
        call=call,
        times=lambda left, right: " * ",
        number=number,
        over=" / ",
        fraction=None,
        power=lambda base, power: f"{base}**{power}",
        root=lambda u: f"np.sqrt({u})",
        choice=_piecewise,
    )
    constants = {f: sp.Float(f.evalf(20), 20) for f in expr.atoms(sp.Function) if f.is_number}
    return spell(expr.xreplace(constants), style, rank)


def _special(name: str, args: list[str]) -> str:
    if name in ("Max", "Min"):
        ufunc = "np.maximum" if name == "Max" else "np.minimum"
        text = args[0]
        for a in args[1:]:
            text = f"{ufunc}({text}, {a})"
        return text
    if name == "Heaviside":
        return f"np.heaviside(np.real({args[0]}), {args[1]})"
    raise UnsupportedError(f"{name} cannot be generated")


def _piecewise(expr: sp.Piecewise, write: Callable[[sp.Expr], str]) -> str:
    *branches, (last, _) = expr.args
    constant = all(value.is_number for value, _ in expr.args)
    text = f"dtype.type({write(last)})" if constant else write(last)  # numbers alone would be float64
    for value, truth in reversed(branches):
        text = f"np.where({_condition(truth, write)}, {write(value)}, {text})"
    return text


def _condition(truth: sp.Expr, write: Callable[[sp.Expr], str]) -> str:
    if isinstance(truth, sp.And | sp.Or):
        word = " & " if isinstance(truth, sp.And) else " | "
        return word.join(f"({_condition(a, write)})" for a in truth.args)
    if isinstance(truth, sp.Not):
        return f"~({_condition(truth.args[0], write)})"
    if truth in (sp.true, sp.false):
        return str(bool(truth))
    return f"np.real({write(truth.lhs)}) {truth.rel_op} np.real({write(truth.rhs)})"


class Calls:
    """The sequence of calls that computes an expression into OUT, with temporaries 0, 1, …"""

    def __init__(self, expr: sp.Expr, rank: Mapping[sp.Expr, int]) -> None:
        self.rank, self.depth, self.temporaries = rank, 0, 0
        self.calls: list[Call] = []
        result = self._value(expr, OUT)
        if result is not OUT:
            self.calls.append(Call("np.copyto", (result,), OUT))

    def _emit(self, function: str, *args: object, out: object) -> object:
        self.calls.append(Call(function, args, out))
        return out

    def _temporary(self) -> int:
        self.depth += 1
        self.temporaries = max(self.temporaries, self.depth)
        return self.depth - 1

    def _value(self, expr: sp.Expr, out: object) -> object:
        """Where the value of ``expr`` is: a symbol or number as it stands, otherwise ``out``."""
        if expr.is_Symbol:
            return expr
        if expr.is_number:
            return number(expr)
        if expr.is_Add:
            return self._sum(expr, out)
        if expr.is_Mul:
            return self._product(expr, out)
        if expr.is_Pow:
            return self._power(expr, out)
        if expr.func in FUNCTIONS:
            argument = self._value(expr.args[0], out)
            return self._emit(code_name(expr.func), argument, out=out)
        raise UnsupportedError(f"{expr.func.__name__} in place")

    def _apart(self, expr: sp.Expr) -> object:
        """A second operand: as it stands, or in a temporary of its own."""
        if expr.is_Symbol or expr.is_number:
            return self._value(expr, None)
        return self._value(expr, self._temporary())

    def _sum(self, expr: sp.Expr, out: object) -> object:
        terms = ordered(expr, self.rank)
        heavy = [a for a in terms if not (a.is_Symbol or a.is_number)]
        first = heavy[0] if heavy else terms[0]
        rest = [a for a in terms if a is not first]
        level = self.depth
        total = self._value(-first if negative(first) else first, out)
        flip = negative(first)  # then ``total`` stands for its negative until it meets a positive term
        for a in sorted(rest, key=negative) if flip else rest:
            part = self._apart(-a if negative(a) else a)
            if flip and not negative(a):
                total, flip = self._emit("np.subtract", part, total, out=out), False
            else:
                sign = "np.add" if negative(a) == flip else "np.subtract"
                total = self._emit(sign, total, part, out=out)
            self.depth = level
        return self._emit("np.negative", total, out=out) if flip else total

    def _product(self, expr: sp.Expr, out: object) -> object:
        above, below = fraction(expr)
        coefficient, rest = above.as_coeff_Mul()
        factors = ordered(rest, self.rank) if rest.is_Mul else [rest]
        level = self.depth
        heavy = [a for a in factors if not a.is_Symbol]
        first = heavy[0] if heavy else factors[0]
        total = self._value(first, out) if rest != 1 else number(coefficient)
        remaining = [a for a in factors if a is not first]
        for a in remaining:
            total = self._emit("np.multiply", total, self._apart(a), out=out)
            self.depth = level
        if rest != 1 and coefficient == -1:
            total = self._emit("np.negative", total, out=out)
        elif rest != 1 and coefficient != 1:
            total = self._emit("np.multiply", number(coefficient), total, out=out)
        if below != 1:
            total = self._emit("np.divide", total, self._apart(below), out=out)
            self.depth = level
        return total

    def _power(self, expr: sp.Expr, out: object) -> object:
        base, power = expr.args
        if power.is_Integer and power < 0:
            inner = self._value(base**-power, out)
            return self._emit("np.divide", "1", inner, out=out)
        inner = self._value(base, out)
        if power == sp.Rational(1, 2):
            return self._emit("np.sqrt", inner, out=out)
        if power == 2:
            return self._emit("np.multiply", inner, inner, out=out)
        return self._emit("np.power", inner, number(power), out=out)


def in_place(expr: sp.Expr) -> bool:
    """Whether Calls can write the expression (piecewise ones are written as one expression)."""
    kinds = (sp.Add, sp.Mul, sp.Pow)
    inside = [p for p in sp.preorder_traversal(expr) if not p.is_Atom]
    plain = all(p.func in kinds or p.func in FUNCTIONS for p in inside)
    powers = all(p.args[1].is_number for p in inside if p.is_Pow)
    return plain and powers and bool(expr.free_symbols)
