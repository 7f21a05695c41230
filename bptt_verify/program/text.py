"""A Program as plain text that pins every detail, and a digest of it."""

from __future__ import annotations

import hashlib

import sympy as sp

from bptt_verify.program.nodes import Equation, Pack, Pointwise, Program, Select, symbol


def listing(program: Program) -> str:
    """All of a program, one line per declaration and equation; equal programs have equal listings."""
    lines = [f"program {program.name}"]
    lines += [
        f"given {a.name} {a.role} [{', '.join(a.labels)}]{' one-hot' * a.index}" for a in program.arrays
    ]
    lines += [f"carry {c.value} shift {c.shift:+d} from {c.boundary} to {c.end}" for c in program.carries]
    lines += [_line(e) for e in program.equations]
    lines += [f"result {public} = {name}" for public, name in program.results]
    return "\n".join(lines) + "\n"


def _line(e: Equation) -> str:
    operands = ", ".join(symbol(r).name for r in e.operands)
    detail = sp.srepr(_canonical(e)) if isinstance(e, Pointwise) else ""
    if isinstance(e, Select | Pack):
        detail = f"axis {e.axis}" + (f" slots {e.low}:{e.high}" if isinstance(e, Select) else "")
    return f"{type(e).__name__} {e.name}[{', '.join(e.labels)}] of ({operands}) {detail}".rstrip()


def _canonical(e: Pointwise) -> sp.Expr:
    """The expression with short symbols ``u0, u1, …`` in operand order."""
    return e.expr.xreplace({symbol(r): sp.Symbol(f"u{i}", real=True) for i, r in enumerate(e.operands)})


def digest(program: Program) -> str:
    """SHA-256 of the listing."""
    return hashlib.sha256(listing(program).encode()).hexdigest()
