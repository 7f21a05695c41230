"""Rows of an embedding that are written more than once: an indexed assignment keeps one row of each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bptt_verify.language import Recurrence
from bptt_verify.mutants.mutant import backward, with_equations
from bptt_verify.program import BATCH, TIME, Array, Contract, Program, Ref
from bptt_verify.program.names import free_name
from bptt_verify.verify.diagnosis import Call, agree, gradients

ORDERS: Mapping[str, Callable[[Any], Any]] = {
    "of the sequences that have the same class at one step, only the last one counts: an indexed += adds "
    "once for each class (np.add.at adds every row)": lambda x: np.array([_last(row) for row in x]),
    "of all rows of a class only the last one counts: an indexed = or += writes once for each class "
    "(np.add.at adds every row)": lambda x: _last(x),
    "of all rows of a class only that of its first step counts: it is overwritten (= for +=) at each step of "
    "the backward loop": lambda x: _last(x[::-1])[::-1],
}  # which rows of classes x (T, B) count


def repeated_named(rec: Recurrence, right: Program, calls: Sequence[Call]) -> str | None:
    """Which rows count, where the gradient of an embedding lacks those of repeated classes."""
    for name in (n for n in rec.inputs if n in rec.onehot):
        counted = free_name(f"{name}_counted", set(right.names()))
        program = _counting(right, name, counted)
        for words, where in ORDERS.items():
            known = ({**c.arrays, counted: where(c.arrays[name]).astype(float)} for c in calls)
            if all(agree(c.grads, gradients(program, a)) for c, a in zip(calls, known, strict=True)):
                return f"the gradient by the classes {name}: {words} [repeated classes]"
    return None


def _last(classes: Any) -> Any:
    """Where a class is met for the last time, in the order of memory."""
    flat = classes.ravel()
    _, first = np.unique(flat[::-1], return_index=True)
    found = np.zeros(flat.shape, bool)
    found[len(flat) - 1 - first] = True
    return found.reshape(classes.shape)


def _counting(program: Program, name: str, counted: str) -> Program:
    """The program whose sums over the rows of an input count some of them only."""
    changed = [
        replace(e, operands=(*e.operands, Ref(counted, (TIME, BATCH))))
        for e in backward(program)
        if isinstance(e, Contract) and any(r.name == name for r in e.operands)
    ]
    more = Array(counted, "input", (TIME, BATCH))
    return with_equations(replace(program, arrays=(*program.arrays, more)), *changed)
