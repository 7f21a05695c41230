"""Mistakes of output feedback: the wrong value is fed, or the path through it is not followed (T11)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bptt_verify.derivation.detaching import detached
from bptt_verify.mutants.mutant import Mutant
from bptt_verify.program import Equation, Pointwise, Program, Ref
from bptt_verify.program.surgery import reading

MISSING = (
    "the feedback path is missing: what is fed back is held constant (detached), so that nothing goes back "
    "to the output of the step before, on which the loss does depend"
)
LEAK = (
    "is fed the target of the same step, {u}_t = {y}_t, which leaks the answer into the prediction (teacher "
    "forcing feeds {y}_{{t-1}})"
)


def missing_feedback(program: Program) -> Iterator[Mutant]:
    """Nothing is sent back through what is fed."""
    if any(c.fed and c.shift > 0 for c in program.carries):
        yield Mutant("no feedback path", MISSING, detached(program))


def leaked_target(program: Program) -> Iterator[Mutant]:
    """Under teacher forcing, y_t where y_{t-1} belongs."""
    for c in program.carries:
        e = program.equation.get(c.value)
        forced = c.fed and c.shift < 0 and isinstance(e, Pointwise) and e.expr.is_Symbol
        if forced and program.array.get(e.operands[0].name) is not None:  # type: ignore[union-attr]
            target = e.operands[0].name  # type: ignore[union-attr]
            text = "the function " + LEAK.format(u=c.boundary.removesuffix("0"), y=target)
            yield Mutant(f"leaked target: {target}", text, fed_instead(program, c.value, Ref(target, (), 0)))


def fed_instead(program: Program, value: str, other: Ref) -> Program:
    """The program in which another array (its name and its shift) is read where ``value`` is fed back."""

    def read(e: Equation) -> Equation:
        return reading(e, {r: _other(r, value, other) for r in e.operands})

    return replace(program, equations=tuple(map(read, program.equations)))


def _other(r: Ref, value: str, other: Ref) -> Ref:
    return Ref(other.name, r.labels, other.shift) if r.name == value and r.shift < 0 else r
