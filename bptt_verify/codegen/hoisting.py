"""Hoisting: the part of a sum that does not depend on the recursion is computed for all steps at once.

In:  any Program.
Out: an equal Program in which no sum inside a time loop has two terms that the loop does not change.
"""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from bptt_verify.derivation.equations import Names, pointwise
from bptt_verify.program import TIME, Equation, Pointwise, Program, Ref, components, symbol


def hoist(program: Program) -> Program:
    """Move loop-independent partial sums out of the loops."""
    names = Names(program)
    new: dict[str, list[Equation]] = {}
    for part in components(program):
        if part.direction:
            inside = {e.name for e in part.equations}
            for e in part.equations:
                if isinstance(e, Pointwise) and e.expr.is_Add:
                    new[e.name] = _hoisted(e, inside, names)
    equations = [x for e in program.equations for x in new.get(e.name, [e])]
    return replace(program, equations=tuple(equations))


def _hoisted(e: Pointwise, inside: set[str], names: Names) -> list[Equation]:
    """The equation, or its loop-independent part as an equation of its own before the rest."""
    operands = {symbol(r): r for r in e.operands}
    free = [
        t for t in e.expr.args if not any(operands[s].name in inside for s in t.free_symbols if s in operands)
    ]
    moving = any(TIME in operands[s].labels for t in free for s in t.free_symbols if s in operands)
    if len(free) < 2 or not moving:
        return [e]
    part = pointwise(names.unique(f"{e.name}_in"), e.labels, sp.Add(*free), operands)
    ref = Ref(part.name, e.labels)
    rest = sp.Add(symbol(ref), *(t for t in e.expr.args if t not in free))
    return [part, pointwise(e.name, e.labels, rest, {symbol(ref): ref, **operands})]
