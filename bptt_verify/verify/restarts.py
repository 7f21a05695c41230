"""Chunks that do not carry the state: the loss is then another one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bptt_verify.check import Arrays
from bptt_verify.language import Recurrence
from bptt_verify.program import TIME, evaluate
from bptt_verify.verify.adapters import Adapted

AGREE = 1e-5
ENOUGH = 12  # cases longer than this add nothing but time


def restart_named(rec: Recurrence, fn: Adapted, cases: Sequence[Arrays], likely: Sequence[int]) -> str | None:
    """The length of the chunks at whose starts the function resets the state, if its losses say so.

    Parameters
    ----------
    rec : Recurrence
    fn : Adapted
    cases : sequence of arrays
    likely : sequence of int
        Lengths that are tried first.
    """
    long = [a for a in cases if 1 < len(a["weights"]) <= max(ENOUGH, 2 * max(likely, default=1))]
    losses = [_loss(fn, a) for a in long]
    wrong = [
        k for k, a in enumerate(long) if not _close(losses[k], _restarted(rec, a, len(a["weights"]), False))
    ]
    if not wrong:
        return None
    longest = max(len(long[k]["weights"]) for k in wrong)
    for length in dict.fromkeys((*likely, *range(1, longest))):
        for zero in (True, False):
            if all(_close(f, _restarted(rec, a, length, zero)) for f, a in zip(losses, long, strict=True)):
                value = "zero" if zero else "the initial state"
                return f"the state is reset to {value} every {length} steps, not carried on: the loss differs"
    return None


def _restarted(rec: Recurrence, arrays: Arrays, length: int, zero: bool) -> float:
    """The loss when every chunk but the first begins with zero, or with the initial state again."""
    program, total = rec.program, 0.0
    timed = [a.name for a in program.arrays if TIME in a.labels]
    for start in range(0, len(arrays["weights"]), length):
        own = {k: a[start : start + length] if k in timed else a for k, a in arrays.items()}
        if zero and start:
            own |= {f"{s}0": np.zeros_like(own[f"{s}0"]) for s in rec.carried}
        total += float(evaluate(program, own)[dict(program.results)["loss"]])
    return total


def _loss(fn: Adapted, arrays: Arrays) -> float:
    try:
        with np.errstate(all="ignore"):
            return float(np.asarray(fn({k: v.copy() for k, v in arrays.items()})[0]))
    except Exception:  # whatever it raises, the contract evidence has quoted it already
        return np.nan


def _close(one: float, other: float) -> bool:
    return bool(abs(one - other) <= AGREE * max(abs(one), abs(other)))
