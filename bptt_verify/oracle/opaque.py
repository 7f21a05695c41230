"""Opaque elementwise functions: SymPy functions that know their slope and nothing else.

An opaque application is never rewritten, expanded or evaluated by SymPy, so that it serves as a
letter of polynomials. Its slope is stated here in terms of the application itself where that is
possible, apart from the table that the derivation uses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath  # type: ignore[import-untyped]
import sympy as sp

from bptt_verify.program.functions import FUNCTIONS, relu, sigmoid, softplus, step

GUARD = 20  # digits beyond those that are compared


def context(digits: int) -> Any:
    """Arithmetic of its own at that many digits; nothing global is changed."""
    arithmetic = mpmath.mp.clone()
    arithmetic.dps = digits
    return arithmetic


def slope(kind: type, u: sp.Expr, s: sp.Expr) -> sp.Expr:
    """The derivative of ``s = kind(u)`` in opaque functions."""
    if kind in _SLOPES:
        return _SLOPES[kind](u, s)
    x = sp.Symbol("x", real=True)
    return opaque(sp.diff(kind(x), x), {x: u})


_SLOPES: dict[type, Callable[[Any, Any], Any]] = {
    sp.tanh: lambda u, s: 1 - s**2,
    sp.exp: lambda u, s: s,
    sp.tan: lambda u, s: 1 + s**2,
    sigmoid: lambda u, s: s - s**2,
    softplus: lambda u, s: OPAQUE[sigmoid](u),
    relu: lambda u, s: OPAQUE[step](u),
    step: lambda u, s: sp.Integer(0),
    sp.Abs: lambda u, s: OPAQUE[sp.sign](u),
    sp.sign: lambda u, s: sp.Integer(0),
}


def _make(kind: Any) -> Any:
    def fdiff(self: Any, argindex: int = 1) -> sp.Expr:
        return slope(kind, self.args[0], self)

    return type(f"opaque_{kind.__name__}", (sp.Function,), {"nargs": 1, "fdiff": fdiff})


OPAQUE: dict[type, Any] = {kind: _make(kind) for kind in FUNCTIONS}
KIND: dict[Any, type] = {function: kind for kind, function in OPAQUE.items()}


def opaque(expr: sp.Expr, letters: dict[sp.Expr, sp.Expr]) -> sp.Expr:
    """``expr`` with symbols replaced and every known function made opaque."""
    if expr in letters:
        return letters[expr]
    if expr.is_Atom:
        return expr
    function = expr.func if expr.is_number else OPAQUE.get(expr.func, expr.func)
    return function(*(opaque(a, letters) for a in expr.args))


def meanings(arithmetic: Any) -> dict[type, Callable[[Any], Any]]:
    """What each function computes on numbers of an mpmath context."""
    special: dict[type, Callable[[Any], Any]] = {
        sigmoid: lambda u: 1 / (1 + arithmetic.exp(-u)),
        softplus: lambda u: arithmetic.log(1 + arithmetic.exp(u)),
        step: lambda u: arithmetic.mpf(1 if u > 0 else 0),
        relu: lambda u: u if u > 0 else arithmetic.mpf(0),
        sp.Abs: arithmetic.fabs,
        sp.sign: arithmetic.sign,
    }
    return {kind: special.get(kind) or getattr(arithmetic, kind.__name__) for kind in FUNCTIONS}


def to_number(arithmetic: Any, expr: sp.Expr) -> Any:
    """A SymPy constant as a number of the context."""
    if expr.is_Rational:
        return arithmetic.mpf(int(expr.p)) / int(expr.q)
    return arithmetic.mpf(sp.Float(expr.evalf(arithmetic.dps + 5), arithmetic.dps + 5)._mpf_)
