"""Small tools to write new equations: free names, relabelling, substitution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sympy as sp

from bptt_verify.program import Equation, Pointwise, Program, Ref, symbol
from bptt_verify.program.names import free_name

Operands = dict[sp.Symbol, Ref]


class Names:
    """Hands out names that are not in use."""

    def __init__(self, program: Program) -> None:
        self.taken = set(program.names())

    def unique(self, name: str) -> str:
        """``name``, or the first numbered variant that is free."""
        free = free_name(name, self.taken)
        self.taken.add(free)
        return free


def relabel(ref: Ref, change: Mapping[str, str]) -> Ref:
    """The same array read under other labels."""
    return replace(ref, labels=tuple(change.get(x, x) for x in ref.labels))


def relabel_expression(
    expr: sp.Expr, operands: Operands, change: Mapping[str, str]
) -> tuple[sp.Expr, Operands]:
    """An expression and its operands under other labels."""
    new = {s: relabel(r, change) for s, r in operands.items()}
    return expr.xreplace({s: symbol(r) for s, r in new.items()}), {symbol(r): r for r in new.values()}


def pointwise(name: str, labels: tuple[str, ...], expr: sp.Expr, operands: Operands) -> Pointwise:
    """A Pointwise equation with just the operands that its expression has."""
    return Pointwise(name, labels, expr, tuple(r for s, r in operands.items() if expr.has(s)))


def inline(program: Program, keep: set[str], sums: bool = False) -> Program:
    """Substitute what just one pointwise equation reads; names in ``keep`` stay, and sums unless asked."""
    keep = keep | {n for _, n in program.results} | set(program.carry) | {c.boundary for c in program.carries}
    readers: dict[str, list[tuple[Equation, Ref]]] = {}
    for e in program.equations:
        for r in e.operands:
            readers.setdefault(r.name, []).append((e, r))
    gone: dict[str, Pointwise] = {}
    equations: list[Equation] = []
    for e in program.equations:
        if isinstance(e, Pointwise) and any(r.name in gone for r in e.operands):
            e = _substituted(e, gone)
        one = readers.get(e.name, [])
        if (
            isinstance(e, Pointwise)
            and (sums or not e.expr.is_Add)
            and e.name not in keep
            and len(one) == 1
            and isinstance(one[0][0], Pointwise)
            and one[0][1].shift == 0
        ):
            gone[e.name] = e
        else:
            equations.append(e)
    return replace(program, equations=tuple(equations))


def _substituted(e: Pointwise, gone: Mapping[str, Pointwise]) -> Pointwise:
    expr, operands = e.expr, {}
    for r in e.operands:
        if r.name in gone:
            inner = gone[r.name]
            change = dict(zip(inner.labels, r.labels, strict=True))
            part, known = relabel_expression(inner.expr, {symbol(o): o for o in inner.operands}, change)
            expr = expr.xreplace({symbol(r): part})
            operands.update(known)
        else:
            operands[symbol(r)] = r
    return pointwise(e.name, e.labels, expr, operands)
