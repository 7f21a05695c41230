"""Ranges that no interval arithmetic sees, because two values come from one: those of a stable softmax."""

from __future__ import annotations

import sympy as sp

from bptt_verify.program import Contract, Peak, Pointwise, Program, Ref, symbol

Fact = tuple[float, float]


def facts_of(program: Program) -> dict[str, Fact]:
    """Ranges by the name of the value.

    With p = max u: u - p ≤ 0, Σ exp(u - p) ≥ 1 and 0 ≤ exp(u - p) / Σ exp(u - p) ≤ 1.
    """
    facts: dict[str, Fact] = {}
    infinite = float("inf")
    for e in program.equations:
        if _shifted(program, e):
            facts[e.name] = (-infinite, 0.0)
        elif isinstance(e, Contract) and normalizer(program, e):
            facts[e.name] = (1.0, infinite)
        elif isinstance(e, Pointwise) and _share(program, e):
            facts[e.name] = (0.0, 1.0)
    return facts


def normalizer(program: Program, e: object) -> Ref | None:
    """The operand of a sum of exp(u - max u) over the labels of that maximum."""
    if not isinstance(e, Contract) or len(e.operands) != 1:
        return None
    (inner,) = e.operands
    exponential = program.equation.get(inner.name)
    if not isinstance(exponential, Pointwise) or exponential.expr.func is not sp.exp or inner.shift:
        return None
    refs = exponential.operands
    if len(refs) != 1 or exponential.expr.args[0] != symbol(refs[0]):
        return None
    shifted = program.equation.get(refs[0].name)
    peak = _shifted(program, shifted)
    return inner if peak is not None and len(peak.labels) == len(e.labels) else None


def _shifted(program: Program, e: object) -> Peak | None:
    """The equation of p where a value is u - p and p = max u."""
    if not isinstance(e, Pointwise) or len(e.operands) != 2:
        return None
    for u, p in (e.operands, e.operands[::-1]):
        peak = program.equation.get(p.name)
        if isinstance(peak, Peak) and e.expr == symbol(u) - symbol(p):
            read = peak.operands[0]
            if (read.name, read.shift) == (u.name, u.shift) and not p.shift:
                return peak
    return None


def _share(program: Program, e: Pointwise) -> bool:
    if len(e.operands) != 2:
        return False
    for a, b in (e.operands, e.operands[::-1]):
        inner = normalizer(program, program.equation.get(b.name))
        if inner is not None and inner.name == a.name and e.expr == symbol(a) / symbol(b):
            return True
    return False
