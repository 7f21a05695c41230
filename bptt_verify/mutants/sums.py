"""Mistakes of a sum over time: steps that do not count, because of a loop's ends or of ``=`` for ``+=``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bptt_verify.mutants.mutant import Mutant, backward
from bptt_verify.program import TIME, Array, Carry, Contract, Equation, Pointwise, Program, Ref, symbol
from bptt_verify.program.names import free_name


def lost_steps(program: Program) -> Iterator[Mutant]:
    """Parameter gradients hold one step only, or all but one."""
    sums = [e for e in backward(program) if isinstance(e, Contract) and _is_sum(e)]
    for e in sums:
        yield Mutant(
            f"only step 1 in {e.name}",
            f"{e.name} is overwritten at each step where it should be accumulated: only step 1 is left in it",
            _with_end(program, [e], first=True, alone=True),
        )
    for first, alone, text in (
        (True, True, "are overwritten at each step of the backward loop (= for +=): only step 1 is left"),
        (False, True, "hold the last step only"),
        (True, False, "leave out step 1: the loop ends one step early"),
        (False, False, "leave out the last step: the loop starts one step early"),
    ):
        name = f"{'only' if alone else 'without'} {'step 1' if first else 'the last step'}"
        yield Mutant(
            f"{name} in every parameter",
            f"the gradients of the parameters {text}",
            _with_end(program, sums, first, alone),
        )


def _is_sum(e: Contract) -> bool:
    return TIME not in e.labels and any(TIME in r.labels for r in e.operands)


def _with_end(program: Program, sums: Sequence[Contract], first: bool, alone: bool) -> Program:
    """The program in which each sum is its term at one end of time, or all but that term."""
    taken = set(program.names())
    arrays, carries = list(program.arrays), list(program.carries)
    changed: dict[str, list[Equation]] = {}
    for e in sums:
        each, end, zero, whole = (free_name(f"{e.name}_{w}", taken) for w in ("each", "end", "zero", "whole"))
        taken |= {each, end, zero, whole}
        arrays.append(Array(zero, "zero", e.labels))
        carries.append(Carry(each, zero, 1 if first else -1, end))
        at_end = Ref(end, e.labels)
        terms: list[Equation] = [Contract(each, (TIME, *e.labels), e.operands)]
        if alone:
            terms.append(Pointwise(e.name, e.labels, symbol(at_end), (at_end,)))
        else:
            total = Ref(whole, e.labels)
            rest = symbol(total) - symbol(at_end)
            terms += [replace(e, name=whole), Pointwise(e.name, e.labels, rest, (total, at_end))]
        changed[e.name] = terms
    equations = tuple(x for e in program.equations for x in changed.get(e.name, [e]))
    return replace(program, arrays=tuple(arrays), carries=tuple(carries), equations=equations)
