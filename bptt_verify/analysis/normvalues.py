"""Numbers for bounds: the norms of given arrays, and the value of an expression in norms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.analysis.geometric import NUMBERS, supremum, supremum_on
from bptt_verify.analysis.normpass import RADIUS, length_symbol, norm_symbol
from bptt_verify.program import BATCH, TIME, Program, size_of

Array = np.ndarray[Any, Any]
Values = dict[sp.Symbol, float]


def norm_values(program: Program, arrays: Mapping[str, Array], radius: float) -> Values:
    """The norms of the arrays of a program, its sizes and the radius, by symbol."""
    values: Values = {RADIUS: radius}
    for a in program.arrays:
        if a.name not in arrays:
            continue
        given = arrays[a.name]
        lengths = zip(a.labels, given.shape, strict=False)  # classes lack the last axis
        values.update({length_symbol(size_of(x)): float(k) for x, k in lengths})
        if a.index:
            continue
        lead = sum(x in (TIME, BATCH) for x in a.labels)
        flat = np.asarray(given, float).reshape(*given.shape[:lead], -1)
        norms = np.linalg.norm(flat, axis=-1)
        values[norm_symbol(a.name)] = float(norms.max(initial=0.0))
        values[norm_symbol(a.name, "∞")] = float(np.abs(flat).max(initial=0.0))
        if a.role == "weights":
            values[norm_symbol(a.name, "1")] = float(norms.sum())
        if a.role == "param" and given.ndim == 2:
            values[norm_symbol(a.name, "2")] = float(np.linalg.norm(given, 2))
    return values


def value_of(expr: sp.Expr, values: Mapping[sp.Symbol, float], known: dict[sp.Expr, float]) -> float:
    """An expression in numbers; ``known`` remembers the parts that were met."""
    if expr in known:
        return known[expr]
    known[expr] = found = _value(expr, values, known)
    return found


def _value(expr: sp.Expr, values: Mapping[sp.Symbol, float], known: dict[sp.Expr, float]) -> float:
    if expr.is_Symbol:
        return values[expr]
    if expr.is_number or expr.is_infinite:
        return float(expr)
    if isinstance(expr, supremum):
        return supremum_on(expr.args[0], *(value_of(a, values, known) for a in expr.args[1:]))
    parts = [value_of(a, values, known) for a in expr.args]
    if expr.is_Add:
        return math.fsum(parts) if all(map(math.isfinite, parts)) else sum(parts)
    if expr.is_Mul:
        return 0.0 if 0.0 in parts else math.prod(parts)
    if expr.is_Pow:
        return _power(*parts)
    return NUMBERS[expr.func](*parts)


def _power(base: float, exponent: float) -> float:
    if exponent == 0.5:
        return math.sqrt(base)
    try:
        return float(base**exponent)
    except (OverflowError, ZeroDivisionError):
        return math.inf


def expanded(expr: sp.Expr, definitions: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
    """The expression with every defined symbol replaced by what it stands for."""
    known: dict[sp.Symbol, sp.Expr] = {}
    for name, definition in definitions.items():
        known[name] = definition.xreplace(known)
    return expr.xreplace(known)


def needed(exprs: list[sp.Expr], definitions: Mapping[sp.Symbol, sp.Expr]) -> dict[sp.Symbol, sp.Expr]:
    """The definitions that expressions use, in their order."""
    used: set[sp.Symbol] = set()
    waiting = [s for e in exprs for s in e.free_symbols]
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in used:
            used.add(name)
            waiting += definitions[name].free_symbols
    return {s: e for s, e in definitions.items() if s in used}
