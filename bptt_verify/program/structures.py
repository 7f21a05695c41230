"""The value of an expression from the values of its parts, for what is no function of the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import sympy as sp


def structure(expr: sp.Expr, value: Callable[[sp.Expr], Any]) -> Any:
    """The value of a sum, product, power, maximum, minimum or piecewise expression from its parts."""
    if expr.is_Add:
        return reduce(lambda a, b: a + b, map(value, expr.args))
    if expr.is_Mul:
        return reduce(lambda a, b: a * b, map(value, expr.args))
    if expr.is_Pow:
        base, power = expr.args
        if power == sp.Rational(1, 2):
            root = value(base)
            return np.sqrt(root) if np.asarray(root).dtype != object else root ** sp.Rational(1, 2)
        return value(base) ** (int(power) if power.is_Integer else value(power))
    if expr.func in (sp.Max, sp.Min):
        better = np.greater if expr.func is sp.Max else np.less
        return reduce(lambda a, b: np.where(better(np.real(a), np.real(b)), a, b), map(value, expr.args))
    if expr.func is sp.Heaviside:
        u = np.real(value(expr.args[0]))
        return np.where(u > 0, 1.0, np.where(u < 0, 0.0, float(expr.args[1])))
    if expr.func is sp.Piecewise:
        branches = [(value(e), True if c == sp.true else condition(c, value)) for e, c in expr.args]
        return reduce(lambda rest, b: np.where(b[1], b[0], rest), reversed(branches[:-1]), branches[-1][0])
    raise TypeError(f"no meaning for {expr.func.__name__}")


def condition(expr: Any, value: Callable[[sp.Expr], Any]) -> Any:
    """The truth of a relation (or a combination of relations), judged by real parts."""
    if isinstance(expr, sp.And | sp.Or):
        combine = np.logical_and if isinstance(expr, sp.And) else np.logical_or
        return reduce(combine, [condition(a, value) for a in expr.args])
    if isinstance(expr, sp.Not):
        return np.logical_not(condition(expr.args[0], value))
    compare = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal, "==": np.equal}
    compare["!="] = np.not_equal
    return compare[expr.rel_op](np.real(value(expr.lhs)), np.real(value(expr.rhs)))
