"""Chunks at whose ends some of the carried states are detached, and others are not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from bptt_verify.check import Arrays
from bptt_verify.language import Recurrence
from bptt_verify.program import BATCH, TIME, Array, Equation, Pointwise, Program, Ref, symbol
from bptt_verify.program.names import free_name
from bptt_verify.verify.diagnosis import Call, fits

MOST_STATES = 4


def half_cut_named(
    rec: Recurrence, right: Program, calls: Sequence[Call], likely: Sequence[int]
) -> str | None:
    """The length of the chunks and the states that are cut, if that gives the numbers of every call."""
    longest = max((len(c.arrays["weights"]) for c in calls), default=0)
    lengths = dict.fromkeys((*(k for k in likely if k < longest), *range(1, longest)))
    for cut in _some_of(list(rec.carried)):
        program, gate = cut_program(right, cut)
        for length in lengths:
            if fits(program, [replace(c, arrays={**c.arrays, gate: _open(c.arrays, length)}) for c in calls]):
                rest = [s for s in rec.carried if s not in cut]
                return (
                    f"chunks of {length} steps at whose ends {', '.join(cut)} is detached, but "
                    f"{', '.join(rest)} is not: the gradient runs on through {', '.join(rest)}"
                )
    return None


def _some_of(states: list[str]) -> Iterator[tuple[str, ...]]:
    if len(states) <= MOST_STATES:
        for count in range(1, len(states)):
            yield from combinations(states, count)


def _open(arrays: Arrays, length: int) -> np.ndarray:
    """1 where the adjoint of the next step is followed, 0 at the last step of a chunk."""
    steps = np.arange(1, len(arrays["weights"]) + 1)
    return np.broadcast_to((steps % length != 0)[:, None].astype(float), arrays["weights"].shape)


def cut_program(right: Program, states: Sequence[str]) -> tuple[Program, str]:
    """The adjoint in which what these states carry back is multiplied by an array (T, B), and its name."""
    gate = free_name("open", set(right.names()))
    public = {v: k for k, v in right.results}
    carried = {c.value for c in right.carries if public.get(c.end, "").removesuffix("0") in states}
    ref = Ref(gate, (TIME, BATCH))

    def gated(e: Equation) -> Equation:
        late = [r for r in e.operands if r.name in carried and r.shift > 0]
        if not late or not isinstance(e, Pointwise):
            return e
        expr = e.expr.xreplace({symbol(r): symbol(r) * symbol(ref) for r in late})
        return replace(e, expr=expr, operands=(*e.operands, ref))

    array = Array(gate, "gates", (TIME, BATCH))
    equations = tuple(map(gated, right.equations))
    return replace(right, arrays=(*right.arrays, array), equations=equations), gate
