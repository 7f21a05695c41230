"""Adjoints that are clipped inside the backward loop, so that what is carried further back is clipped too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import sympy as sp

from bptt_verify.mutants.mutant import Mutant, backward
from bptt_verify.program import BATCH, TIME, Contract, Equation, Pointwise, Program, Ref, symbol
from bptt_verify.program.functions import relu
from bptt_verify.program.names import free_name

THRESHOLDS = tuple(
    sp.Rational(n, 100) for n in (100, 500, 1000, 50, 10, 200, 300, 25, 1500, 2000, 5000, 10000, 5, 1)
)


def clipped_inside(program: Program) -> Iterator[Mutant]:
    """One adjoint is clipped at every step, element by element or by its norm.

    The thresholds are those that people write: a threshold cannot be read off the numbers, since the
    adjoints themselves are not returned.
    """
    for threshold in THRESHOLDS:
        for e in backward(program):
            if e.labels[:2] == (TIME, BATCH) and len(e.labels) == 3:
                for to, clipped in (("±", _elementwise), ("the norm ", _by_norm)):
                    text = (
                        f"{e.name} is clipped to {to}{float(threshold):g} at every step of the backward loop"
                    )
                    yield Mutant(f"{e.name} clipped inside", text, clipped(program, e, threshold))


def _elementwise(program: Program, e: Equation, threshold: sp.Expr) -> Program:
    whole = Ref(free_name(f"{e.name}_whole", set(program.names())), e.labels)
    s = symbol(whole)
    inside = s - relu(s - threshold) + relu(-s - threshold)  # SymPy takes long over Max and Min
    return _instead(program, e, whole, Pointwise(e.name, e.labels, inside, (whole,)))


def _by_norm(program: Program, e: Equation, threshold: sp.Expr) -> Program:
    """The norm is that of all sequences of the batch together."""
    taken = set(program.names())
    whole = Ref(free_name(f"{e.name}_whole", taken), e.labels)
    square = Ref(free_name(f"{e.name}_square", taken), e.labels[:1])
    beyond = relu(sp.sqrt(symbol(square)) / threshold - 1)
    scaled = symbol(whole) / (1 + beyond)
    return _instead(
        program, e, whole,
        Contract(square.name, square.labels, (whole, whole)),
        Pointwise(e.name, e.labels, scaled, (whole, square)),
    )  # fmt: skip


def _instead(program: Program, e: Equation, whole: Ref, *after: Equation) -> Program:
    """The program where an equation gives another value, from which the equations after it make its own."""
    changed = (replace(e, name=whole.name), *after)
    equations = [x for old in program.equations for x in (changed if old is e else (old,))]
    return replace(program, equations=tuple(equations))
