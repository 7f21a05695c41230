"""Elementwise functions. On traced values they make a node, on NumPy arrays they compute."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.errors import RecurrenceError, UnsupportedError
from bptt_verify.language.tracing import here
from bptt_verify.language.values import Value, elementwise
from bptt_verify.program import functions as table
from bptt_verify.program.evaluation import NUMPY
from bptt_verify.program.structures import structure


class ElementwiseFunction:
    """A scalar function applied elementwise; made by ``pointwise``.

    Parameters
    ----------
    name : str
        For messages.
    arguments : tuple of Symbol
    expr : SymPy expression of the arguments
    """

    def __init__(self, name: str, arguments: tuple[sp.Symbol, ...], expr: sp.Expr) -> None:
        self.name, self.arguments, self.expr = name, arguments, expr

    def __repr__(self) -> str:
        return f"<elementwise {self.name}>"

    def __call__(self, *args: Any) -> Any:
        """Apply to traced values, or to numbers and NumPy arrays."""
        if len(args) != len(self.arguments):
            raise RecurrenceError(
                f"{here()}: {self.name} got {len(args)} arguments; expected {len(self.arguments)}."
            )
        if any(isinstance(a, Value) for a in args):
            return elementwise(f"apply {self.name} to", self._build, *args, name=_word(self.name))
        values = dict(zip(self.arguments, map(np.asarray, args), strict=True))
        return _number(self.expr, values)

    def _build(self, *parts: sp.Expr) -> sp.Expr:
        return self.expr.xreplace(dict(zip(self.arguments, parts, strict=True)))


def _word(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) and not keyword.iskeyword(name) else "part"


def _number(expr: sp.Expr, values: dict[sp.Symbol, Any]) -> Any:
    if expr in values:
        return values[expr]
    if expr.is_number:
        return float(expr)
    parts = [_number(a, values) for a in expr.args] if expr.func in NUMPY else []
    return NUMPY[expr.func](*parts) if parts else structure(expr, lambda part: _number(part, values))


def pointwise(function: Callable[..., Any], name: str = "") -> ElementwiseFunction:
    """An elementwise function from a SymPy scalar function.

    Parameters
    ----------
    function : callable
        Takes one or more SymPy symbols and returns a SymPy expression of them, for example
        ``lambda u: u * sympy.erf(u)``. A SymPy function class such as ``sympy.erf`` does too.
    name : str, optional
        For messages.

    Returns
    -------
    ElementwiseFunction

    Raises
    ------
    RecurrenceError
        If the result is not a scalar SymPy expression of the arguments.
    UnsupportedError
        If it contains a function that cannot be generated; the message lists those that can.
    """
    if isinstance(function, str) or not callable(function):
        raise RecurrenceError(
            f"pointwise: function={function!r}; expected a callable such as `lambda u: u * sympy.erf(u)`. "
            "Text is never parsed as code."
        )
    label = name or getattr(function, "__name__", "pointwise")
    symbols = tuple(sp.Symbol(f"u{i}", real=True) for i in range(_arity(function, label)))
    expr = function(*symbols)
    if isinstance(expr, int | float):
        expr = sp.sympify(expr)
    if not isinstance(expr, sp.Expr) or not expr.free_symbols <= set(symbols):
        raise RecurrenceError(
            f"pointwise {label}: function({', '.join(map(str, symbols))})={expr!r}; expected a scalar "
            "SymPy expression "
            "of its arguments only."
        )
    expr = table.stable(expr.doit())
    _check_supported(expr, label)
    for s in symbols:  # the slope must be expressible too, and the error belongs here
        _check_supported(table.derivative(expr, s, sp.Symbol("s", real=True)), f"{label} (its derivative)")
    return ElementwiseFunction(label, symbols, expr)


def _arity(function: Callable[..., Any], label: str) -> int:
    if isinstance(function, type) and issubclass(function, sp.Function):
        counts: Any = getattr(function, "nargs", sp.S.Naturals0)
        return 1 if counts == sp.S.Naturals0 else int(min(counts))
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    needed = [p for p in parameters if p.default is p.empty]
    if not needed or any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in needed):
        raise RecurrenceError(f"pointwise {label}: expected a function of one or more positional arguments.")
    return len(needed)


def _check_supported(expr: sp.Expr, label: str) -> None:
    for part in sp.preorder_traversal(expr):
        if isinstance(part, sp.logic.boolalg.Boolean) and not isinstance(part, sp.Expr):
            if not isinstance(part, _CONDITIONS):
                raise UnsupportedError(
                    f"pointwise {label}: the condition {part} ({part.func.__name__}) is not supported; "
                    "expected relations "
                    "(<, <=, >, >=, Eq, Ne) joined by & | ~."
                )
        elif isinstance(part, sp.Piecewise) and part.args[-1].cond != sp.true:
            raise UnsupportedError(
                f"pointwise {label}: a Piecewise has no value where no condition holds; expected a last "
                "branch "
                "(…, True)."
            )
        elif isinstance(part, sp.Expr) and not part.is_Atom and part.func not in _KNOWN:
            raise UnsupportedError(
                f"pointwise {label}: {part.func.__name__} is not supported; expected a combination of "
                f"+ - * / ** and {table.supported()}."
            )
        elif part.is_Atom and part.is_number and not (part.is_real and part.is_finite):
            raise UnsupportedError(
                f"pointwise {label}: the constant {part} is no number; expected finite real ones."
            )


_KNOWN = {*table.FUNCTIONS, *table.STRUCTURE, sp.functions.elementary.piecewise.ExprCondPair}
_CONDITIONS = (sp.core.relational.Relational, sp.And, sp.Or, sp.Not, sp.logic.boolalg.BooleanAtom)


tanh = pointwise(sp.tanh, "tanh")
sigmoid = pointwise(table.sigmoid, "sigmoid")
relu = pointwise(table.relu, "relu")
softplus = pointwise(table.softplus, "softplus")
exp = pointwise(sp.exp, "exp")
log = pointwise(sp.log, "log")
sqrt = pointwise(sp.sqrt, "sqrt")
sin = pointwise(sp.sin, "sin")
cos = pointwise(sp.cos, "cos")
tan = pointwise(sp.tan, "tan")
sinh = pointwise(sp.sinh, "sinh")
cosh = pointwise(sp.cosh, "cosh")
atan = pointwise(sp.atan, "atan")
erf = pointwise(sp.erf, "erf")
