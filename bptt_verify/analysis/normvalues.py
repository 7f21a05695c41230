"""Numbers for bounds: the norms of given arrays, and expressions in norms as operations on floats."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.derivation.geometric import NUMBERS, supremum, supremum_on
from bptt_verify.derivation.normform import NormForm
from bptt_verify.derivation.normpass import RADIUS, length_symbol, norm_symbol
from bptt_verify.program import BATCH, TIME, Program, size_of

Array = np.ndarray[Any, Any]
Values = dict[sp.Symbol, float]
Operation = tuple[Callable[..., float], tuple[int, ...]]


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


@dataclass(frozen=True, eq=False)
class Compiled:
    """Expressions in norms, to be evaluated: every distinct part once, after the parts that it needs.

    Attributes
    ----------
    inputs : tuple of symbol
        Whose numbers come first.
    operations : tuple of (function, places)
        Each appends the function of what is at these places.
    outputs : tuple of int
        The places of the expressions.
    """

    inputs: tuple[sp.Symbol, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[int, ...]

    def __call__(self, values: Mapping[sp.Symbol, float]) -> list[float]:
        """The value of every expression."""
        known = [values[s] for s in self.inputs]
        for function, places in self.operations:
            known.append(function(*[known[k] for k in places]))
        return [known[k] for k in self.outputs]


def compiled(exprs: Iterable[sp.Expr], definitions: Mapping[sp.Symbol, sp.Expr]) -> Compiled:
    """The expressions as operations; symbols that are defined stand for their definitions."""
    wanted = list(exprs)
    order = list(dict.fromkeys(part for e in wanted for part in _parts(e, definitions)))
    inputs = tuple(e for e in order if e.is_Symbol and e not in definitions)
    places = {e: k for k, e in enumerate(inputs)}
    operations: list[Operation] = []
    for e in order:
        if e in places:
            continue
        if e in definitions:
            places[e] = places[definitions[e]]
            continue
        places[e] = len(inputs) + len(operations)
        function, needs = _operation(e)
        operations.append((function, tuple(places[a] for a in needs)))
    return Compiled(inputs, tuple(operations), tuple(places[e] for e in wanted))


def _parts(expr: sp.Expr, definitions: Mapping[sp.Symbol, sp.Expr]) -> Iterable[sp.Expr]:
    """Everything an expression needs, before it, and itself."""
    found: dict[sp.Expr, None] = {}
    waiting = [(expr, False)]
    while waiting:
        e, ready = waiting.pop()
        if ready:
            found[e] = None
        elif e not in found:
            needs = (definitions[e],) if e in definitions else _operation(e)[1] if e.args else ()
            waiting += [(e, True), *((a, False) for a in needs)]
    return found


def _operation(expr: sp.Expr) -> tuple[Callable[..., float], tuple[sp.Expr, ...]]:
    """The function of floats that an expression is, and its arguments."""
    if expr.is_number or expr.is_infinite:
        return partial(_constant, float(expr)), ()
    if isinstance(expr, supremum):
        return partial(supremum_on, expr.args[0]), expr.args[1:]
    if expr.is_Add:
        return _sum, expr.args
    if expr.is_Mul:
        return _product, expr.args
    if expr.is_Pow:
        return _power, expr.args
    return NUMBERS[expr.func], expr.args


def _constant(value: float) -> float:
    return value


def _sum(*parts: float) -> float:
    return math.fsum(parts) if all(map(math.isfinite, parts)) else sum(parts)


def _product(*parts: float) -> float:
    return 0.0 if 0.0 in parts else math.prod(parts)


def _power(base: float, exponent: float) -> float:
    if exponent == 0.5:
        return math.sqrt(base)
    try:
        return float(base**exponent)
    except (OverflowError, ZeroDivisionError):
        return math.inf


@lru_cache(maxsize=64)
def _parameters(form: NormForm) -> Compiled:
    return compiled(form.parameters.values(), form.definitions)


def form_values(form: NormForm, norms: Mapping[sp.Symbol, float]) -> dict[str, float]:
    """The bound of each parameter."""
    return dict(zip(form.parameters, _parameters(form)(norms), strict=True))


def form_reasons(form: NormForm, norms: Mapping[sp.Symbol, float]) -> tuple[str, ...]:
    """Why there is no finite bound: a jump, or the first equation without one."""
    if form.broken or np.isfinite(list(form_values(form, norms).values())).all():
        return form.broken
    values = compiled(form.equations.values(), form.definitions)(norms)
    named = (text for text, v in zip(form.equations, values, strict=True) if not np.isfinite(v))
    return tuple(f"no finite bound by norms: {text}" for text in [*named][:1])


def expanded(expr: sp.Expr, definitions: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
    """The expression with every defined symbol replaced by what it stands for."""
    known: dict[sp.Symbol, sp.Expr] = {}
    for name, definition in definitions.items():
        known[name] = definition.xreplace(known)
    return expr.xreplace(known)
