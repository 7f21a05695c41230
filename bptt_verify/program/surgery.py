"""Cutting a Program open: what a step reads of its neighbours is given, and time is a label, no loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from bptt_verify.program.names import free_name
from bptt_verify.program.nodes import Array, Carry, Equation, Pointwise, Program, Ref, symbol

Read = tuple[str, int]  # the name and the shift of a Ref


def previous(state: str) -> str:
    """The key of a state as the step before left it."""
    return f"{state}@-1"


def states_of(program: Program) -> dict[str, str]:
    """The name of each state's new value, by state."""
    return {c.boundary.removesuffix("0"): c.value for c in program.carries if c.shift < 0}


def opened(program: Program, reads: Mapping[Read, str], given: Mapping[str, Array]) -> Program:
    """The program with given arrays in place of its neighbours, and without carries.

    Parameters
    ----------
    program : Program
    reads : mapping of (name, shift) to str
        The given array that is read instead.
    given : mapping of str to Array
        The given arrays, by any key.
    """

    def own(r: Ref) -> Ref:
        return Ref(reads[r.name, r.shift], r.labels) if (r.name, r.shift) in reads else r

    boundaries = {c.boundary for c in program.carries}
    kept = tuple(a for a in program.arrays if a.name not in boundaries and a.role != "initial")
    return prune(
        replace(
            program,
            arrays=(*kept, *given.values()),
            equations=tuple(reading(e, {r: own(r) for r in e.operands}) for e in program.equations),
            carries=(),
        )
    )


def states_before(program: Program, unique: Callable[[str], str]) -> tuple[dict[str, Array], dict[Read, str]]:
    """An array for the state before each step, by ``previous(state)``; and what is to be read from it."""
    given, reads = {}, {}
    for s, value in states_of(program).items():
        given[previous(s)] = Array(unique(f"{s}_prev"), "input", program.labels(value))
        reads[value, -1] = given[previous(s)].name
    return given, reads


def opened_loss(program: Program) -> tuple[Program, dict[str, Array]]:
    """The loss Σ_t L_t(h_t, h_{t-1}, x_t, w) with every state given.

    Returns
    -------
    program : Program
        Its one result is ``"loss"``.
    given : dict of str to Array
        The states after each step by name, and before it by ``previous``; labels (T, B, sizes).
    """
    taken = set(program.names())

    def unique(name: str) -> str:
        free = free_name(name, taken)
        taken.add(free)
        return free

    states = states_of(program)
    given, reads = states_before(program, unique)
    for s, value in states.items():
        given[s] = Array(s if s == value else unique(s), "input", program.labels(value))
        reads[value, 0] = given[s].name
    equations = tuple(e for e in program.equations if e.name not in states.values())
    loss = tuple(r for r in program.results if r[0] == "loss")
    return opened(replace(program, equations=equations, results=loss), reads, given), given


def reading(e: Equation, change: Mapping[Ref, Ref]) -> Equation:
    """The equation with other operands."""
    operands = tuple(change[r] for r in e.operands)
    if isinstance(e, Pointwise):
        expr = e.expr.xreplace({symbol(a): symbol(b) for a, b in change.items()})
        return replace(e, operands=operands, expr=expr)
    return replace(e, operands=operands)  # type: ignore[arg-type]


def prune(program: Program) -> Program:
    """The program without the equations and carries that no result needs."""
    live: set[str] = set()
    stack = [name for _, name in program.results]
    while stack:
        name = stack.pop()
        if name in live:
            continue
        live.add(name)
        if name in program.end:
            stack.append(program.end[name].value)
        if name in program.equation:
            e: Equation = program.equation[name]
            stack.extend(r.name for r in e.operands)
        if name in program.carry:
            stack.append(program.carry[name].boundary)
    carries: tuple[Carry, ...] = tuple(c for c in program.carries if c.value in live)
    constants = ("identity", "zero")
    return replace(
        program,
        arrays=tuple(a for a in program.arrays if a.role not in constants or a.name in live),
        equations=tuple(e for e in program.equations if e.name in live),
        carries=carries,
    )
