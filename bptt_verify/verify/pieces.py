"""Chunks differentiated apart: what a loss says of the state that is carried into its chunk is lost too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bptt_verify.check import Array, Arrays
from bptt_verify.derivation import adjoint
from bptt_verify.language import Recurrence
from bptt_verify.program import TIME, Program, evaluate
from bptt_verify.program.surgery import states_of
from bptt_verify.verify.adapters import Adapted
from bptt_verify.verify.diagnosis import agree, called

ENOUGH = 12  # cases longer than this add nothing but time


def pieces_named(rec: Recurrence, fn: Adapted, cases: Sequence[Arrays], likely: Sequence[int]) -> str | None:
    """The length of the chunks, if the numbers are those of chunks that are differentiated apart.

    That is not ``Chunks(k, k)`` where a loss reads the state before its step: at the start of a chunk that
    state is detached for the loss as well, although this part of c_t passes no Jacobian.
    """
    told = [(a, called(fn, a)) for a in cases if 1 < len(a["weights"]) <= ENOUGH]
    seen = [(a, g) for a, g in told if g is not None]
    longest = max((len(a["weights"]) for a, _ in seen), default=0)
    program = adjoint(rec.program)
    for length in dict.fromkeys((*(k for k in likely if k < longest), *range(1, longest))):
        if all(agree(g, apart(program, rec, a, length)) for a, g in seen):
            return (
                f"chunks of {length} steps are differentiated apart: the state that is carried into a "
                "chunk is detached for the loss that reads it too. Chunks(k, k) keeps that explicit part"
            )
    return None


def apart(program: Program, rec: Recurrence, arrays: Arrays, length: int) -> dict[str, Array]:
    """The gradients of chunks that are run one after the other, each from the final states of the last."""
    timed = [a.name for a in program.arrays if TIME in a.labels]
    results = {k: v for k, v in program.results if k != "loss"}
    carried: dict[str, Array] = {}
    whole: dict[str, list[Array]] = {k: [] for k in results}
    for start in range(0, len(arrays["weights"]), length):
        own = {k: a[start : start + length] if k in timed else a for k, a in arrays.items()} | carried
        with np.errstate(all="ignore"):
            values = evaluate(program, own)
        carried = {f"{s}0": values[v][-1] for s, v in states_of(rec.program).items()}
        for k, name in results.items():
            whole[k].append(values[name])
    return {k: _joined(k, rec, parts) for k, parts in whole.items()}


def _joined(name: str, rec: Recurrence, parts: list[Array]) -> Array:
    """Inputs of all chunks one after the other, parameters summed, initial states of the first chunk."""
    if name in rec.inputs:
        return np.concatenate(parts)
    return np.asarray(sum(parts[1:], parts[0])) if name in rec.params else parts[0]
