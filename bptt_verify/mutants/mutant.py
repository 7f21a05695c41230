"""What a mutant is, and the tools with which rules make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

import sympy as sp

from bptt_verify.program import Equation, Pointwise, Program, Ref, formula, symbol
from bptt_verify.program.surgery import reading


@dataclass(frozen=True)
class Mutant:
    """One wrong gradient.

    Attributes
    ----------
    name : str
        The kind of mistake and its place.
    description : str
        What the author of such code did, as a sentence for the author.
    program : Program
        The wrong adjoint; same arrays and results as the right one.
    """

    name: str
    description: str
    program: Program


Rule = Callable[[Program], Iterator[Mutant]]


def with_equations(program: Program, *changed: Equation) -> Program:
    """The program with some equations replaced by those of the same name."""
    new = {e.name: e for e in changed}
    return replace(program, equations=tuple(new.get(e.name, e) for e in program.equations))


def backward(program: Program) -> list[Equation]:
    """The equations of the backward pass: those that depend on the weights or come after."""
    seeds = {a.name for a in program.arrays if a.role in ("weights", "zero", "cotangent")}
    loss = dict(program.results).get("loss")
    found: list[Equation] = []
    for e in program.equations:
        if e.name != loss and any(r.name in seeds for r in e.operands):
            seeds.add(e.name)
            found.append(e)
    return found


def anywhere(e: Equation) -> bool:
    """Every equation."""
    return True


def reading_otherwise(
    program: Program, change: Callable[[Ref], Ref], where: Callable[[Equation], bool] = anywhere
) -> list[Equation]:
    """The equations of the backward pass that read something else then."""
    return [
        reading(e, {r: change(r) for r in e.operands})
        for e in backward(program)
        if where(e) and any(change(r) != r for r in e.operands)
    ]


def states(program: Program) -> dict[str, str]:
    """Forward carried value -> the name of its initial state."""
    initial = {a.name for a in program.arrays if a.role == "initial"}
    return {c.value: c.boundary for c in program.carries if c.shift < 0 and c.boundary in initial}


def without(e: Pointwise, gone: sp.Symbol, value: sp.Expr) -> Pointwise:
    """The equation with one operand replaced by a constant."""
    expr = e.expr.xreplace({gone: value})
    return replace(e, expr=expr, operands=tuple(r for r in e.operands if expr.has(symbol(r))))


def rewritten(e: Pointwise, expr: sp.Expr, operands: tuple[Ref, ...]) -> Pointwise:
    """The equation with another right-hand side."""
    return replace(e, expr=expr, operands=tuple(dict.fromkeys(r for r in operands if expr.has(symbol(r)))))


def in_order(program: Program) -> Program | None:
    """The program with each equation after those that it needs at its step; None if one needs itself."""
    known = program.equation
    needs = {
        e.name: [r.name for r in e.operands if not r.shift and r.name in known] for e in program.equations
    }
    try:
        names = tuple(TopologicalSorter(needs).static_order())
    except CycleError:
        return None
    return replace(program, equations=tuple(known[n] for n in names))


def text_of(e: Pointwise, part: sp.Expr) -> str:
    """A part of an equation's right-hand side, as a person writes it."""
    return formula(rewritten(e, part, e.operands)).split(" = ", 1)[1]


def with_result(program: Program, public: str, e: Equation) -> Program:
    """The program with one result computed by a further equation."""
    results = tuple((k, e.name if k == public else v) for k, v in program.results)
    return replace(program, equations=(*program.equations, e), results=results)
