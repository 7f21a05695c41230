"""Indices, such as the step t, and the linear expressions in them that stand for steps and limits."""

from __future__ import annotations

from typing import Any

import sympy as sp

from bptt_verify.errors import ProofError

RESERVED = "_"  # how the names begin that bound indices are given when terms are compared


def index(name: str) -> sp.Symbol:
    """An integer variable, such as the step ``t`` or the number of steps ``T``."""
    return sp.Symbol(name, integer=True)


def is_index(symbol: Any) -> bool:
    """Whether it was made by ``index``: another symbol, as a positive one, brings assumptions of its own."""
    return type(symbol) is sp.Symbol and type(symbol.name) is str and symbol == index(symbol.name)


def linear(expr: Any) -> dict[sp.Expr, int]:
    """The integer factor of every index in an expression, and under 1 the constant; none is 0.

    Raises
    ------
    ProofError
        If the expression is not linear in its indices with integer factors.
    """
    if type(expr) is int or isinstance(expr, sp.Integer):
        return {sp.S.One: int(expr)} if expr else {}
    if is_index(expr):
        return {expr: 1}
    if isinstance(expr, sp.Add):
        parts = [linear(a) for a in expr.args]
        sums = {k: sum(p.get(k, 0) for p in parts) for p in parts for k in p}
        return {k: v for k, v in sums.items() if v}
    if isinstance(expr, sp.Mul) and len(expr.args) == 2 and isinstance(expr.args[0], sp.Integer):
        times = int(expr.args[0])
        return {k: times * v for k, v in linear(expr.args[1]).items() if times}
    raise ProofError(
        f"index: {expr!s:.80}; expected integers, indices made by index(...), their sums and multiples."
    )


def position(at: Any) -> sp.Expr:
    """An index expression in normal form; refused unless it is linear in its indices."""
    return sp.Add(*(sp.Mul(v, k) for k, v in linear(at).items()))
