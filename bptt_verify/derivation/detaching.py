"""Holding what is fed back constant: the detached gradient of T12."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from bptt_verify.program import Equation, Pointwise, Program, symbol
from bptt_verify.program.surgery import prune


def detached(adjoint: Program) -> Program:
    """The adjoint program in which nothing goes back through what is fed.

    Its forward pass is unchanged. The gradient of ``<name>0`` stays, since it is fed as it is given.
    """
    late = {c.value for c in adjoint.carries if c.fed and c.shift > 0}

    def cut(e: Equation) -> Equation:
        gone = {symbol(r): sp.Integer(0) for r in e.operands if r.name in late and r.shift > 0}
        if not gone or not isinstance(e, Pointwise):  # a share of another step is a term of a sum
            return e
        return replace(
            e, expr=e.expr.xreplace(gone), operands=tuple(r for r in e.operands if symbol(r) not in gone)
        )

    return prune(replace(adjoint, equations=tuple(map(cut, adjoint.equations))))
