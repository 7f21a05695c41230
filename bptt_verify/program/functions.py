"""The elementwise functions: one table, from SymPy's class to NumPy's meaning and to the slope.

A slope is written in the saved output where that is possible (``1 - tanh²`` as ``1 - s²``), because
the backward pass then needs no second evaluation of the function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special
import sympy as sp


class sigmoid(sp.Function):
    """Logistic function 1/(1 + e^-u)."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """``s (1 - s)``."""
        return self * (1 - self)


class softplus(sp.Function):
    """log(1 + e^u)."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """``sigmoid(u)``."""
        return sigmoid(self.args[0])


class step(sp.Function):
    """1 for u > 0, else 0: the slope of relu. Its own slope is 0 almost everywhere."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """0, almost everywhere."""
        return sp.Integer(0)


class relu(sp.Function):
    """max(u, 0); the slope at the kink u = 0 is taken as 0."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """``step(u)``."""
        return step(self.args[0])


def numpy_sigmoid(u: Any) -> Any:
    """Logistic function, relatively accurate on both sides, for real and complex arrays."""
    u = np.asarray(u)
    if np.iscomplexobj(u):
        return 1 / (1 + np.exp(-(np.maximum(u.real, -700.0) + 1j * u.imag)))
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-u))


def numpy_softplus(u: Any) -> Any:
    """log(1 + e^u) without overflow, for real and complex arrays."""
    u = np.asarray(u)
    positive = u.real > 0
    return np.where(positive, u, 0) + np.log1p(np.exp(np.where(positive, -u, u)))


def numpy_step(u: Any) -> Any:
    """1 where the real part is positive, else 0, in the dtype of u."""
    u = np.asarray(u)
    return (u.real > 0).astype(u.dtype)


def numpy_abs(u: Any) -> Any:
    """|u|, judged by the real part: analytic away from 0."""
    u = np.asarray(u)
    return np.where(u.real < 0, -u, u)


def numpy_sign(u: Any) -> Any:
    """-1, 0 or 1 by the real part, in the dtype of u."""
    u = np.asarray(u)
    return np.sign(u.real).astype(u.dtype)


def numpy_relu(u: Any) -> Any:
    """max(u, 0), judged by the real part."""
    u = np.asarray(u)
    return np.where(u.real > 0, u, np.zeros((), u.dtype))


@dataclass(frozen=True)
class Elementwise:
    """One function of one real argument.

    Attributes
    ----------
    numpy : callable
        Its meaning on arrays, complex ones too: what has a kink is judged by the real part.
    code : str
        How generated code calls it; ``_name`` is a helper that the generator emits with it.
    slope : callable (u, s) -> SymPy expression, or None
        The derivative from argument u and saved output s; None: SymPy's own derivative.
    """

    numpy: Callable[[Any], Any]
    code: str
    slope: Callable[[sp.Expr, sp.Expr], sp.Expr] | None = None


FUNCTIONS: dict[type, Elementwise] = {
    sp.tanh: Elementwise(np.tanh, "np.tanh", lambda u, s: 1 - s**2),
    sigmoid: Elementwise(numpy_sigmoid, "_sigmoid", lambda u, s: s * (1 - s)),
    softplus: Elementwise(numpy_softplus, "_softplus"),
    step: Elementwise(numpy_step, "_step"),
    relu: Elementwise(numpy_relu, "_relu"),
    sp.exp: Elementwise(np.exp, "np.exp", lambda u, s: s),
    sp.log: Elementwise(np.log, "np.log"),
    sp.sin: Elementwise(np.sin, "np.sin"),
    sp.cos: Elementwise(np.cos, "np.cos"),
    sp.tan: Elementwise(np.tan, "np.tan", lambda u, s: 1 + s**2),
    sp.sinh: Elementwise(np.sinh, "np.sinh"),
    sp.cosh: Elementwise(np.cosh, "np.cosh"),
    sp.asin: Elementwise(np.arcsin, "np.arcsin"),
    sp.acos: Elementwise(np.arccos, "np.arccos"),
    sp.atan: Elementwise(np.arctan, "np.arctan"),
    sp.asinh: Elementwise(np.arcsinh, "np.arcsinh"),
    sp.acosh: Elementwise(np.arccosh, "np.arccosh"),
    sp.atanh: Elementwise(np.arctanh, "np.arctanh"),
    sp.erf: Elementwise(scipy.special.erf, "scipy.special.erf"),
    sp.erfc: Elementwise(scipy.special.erfc, "scipy.special.erfc"),
    sp.Abs: Elementwise(numpy_abs, "_abs", lambda u, s: sp.sign(u)),
    sp.sign: Elementwise(numpy_sign, "_sign", lambda u, s: sp.Integer(0)),
}

# Kinds of SymPy expression that are evaluated by structure rather than by this table.
STRUCTURE = (sp.Add, sp.Mul, sp.Pow, sp.Max, sp.Min, sp.Piecewise, sp.Heaviside)


def stable(expr: sp.Expr) -> sp.Expr:
    """The expression with ``1/(1 + e^u)`` and ``log(1 + e^u)`` by the functions that do not overflow."""

    def inner(part: sp.Expr) -> Any:
        """u, where the part is 1 + e^u."""
        terms = part.args if part.is_Add else ()
        powers = [t.args[0] for t in terms if t.func is sp.exp]
        return powers[0] if len(terms) == 2 and len(powers) == 1 and 1 in terms else None

    def logistic(part: sp.Expr) -> bool:
        return (
            bool(part.is_Pow and part.args[1].is_Integer and part.args[1] < 0)
            and inner(part.args[0]) is not None
        )

    expr = expr.replace(logistic, lambda e: sigmoid(-inner(e.args[0])) ** -e.args[1])
    return expr.replace(
        lambda e: e.func is sp.log and inner(e.args[0]) is not None, lambda e: softplus(inner(e.args[0]))
    )


def supported() -> str:
    """The list for error messages."""
    return ", ".join(sorted({c.__name__ for c in (*FUNCTIONS, *STRUCTURE[3:])}))


def derivative(expr: sp.Expr, argument: sp.Symbol, output: sp.Expr) -> sp.Expr:
    """The derivative of ``output = expr`` by SymPy ``diff``, in terms of the saved output if possible."""
    entry = FUNCTIONS.get(expr.func)
    if entry is not None and entry.slope is not None and expr.args[0] == argument:
        return entry.slope(argument, output)
    if expr.func is sp.Pow and expr.args[0] == argument and expr.args[1] == sp.Rational(1, 2):
        return 1 / (2 * output)
    slope = sp.diff(expr, argument)
    # Kinks have measure zero: a jump contributes no slope there, and sign(0) = 0.
    return slope.replace(sp.DiracDelta, lambda *a: sp.Integer(0))
