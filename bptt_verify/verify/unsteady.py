"""Functions that remember earlier calls, or damage what they are given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bptt_verify.program import Program
from bptt_verify.verify.adapters import Adapted
from bptt_verify.verify.diagnosis import Call, agree, close, gradients, returned

LOOKED_AT = 3  # calls that are made again


def memory_named(right: Program, fn: Adapted, calls: Sequence[Call]) -> str | None:
    """What a function carries from one call to the next, if its results differ between two equal calls."""
    for call in calls[:LOOKED_AT]:
        one, two = (returned(fn, call.arrays) for _ in range(2))
        if one is None or two is None:
            continue
        changed = [k for k in one[1] if k in two[1] and not close(two[1][k], one[1][k])]
        if not changed:
            continue
        truth = gradients(right, call.arrays)
        named = ", ".join(changed)
        if agree({k: two[1][k] - one[1][k] for k in changed}, truth):
            return (
                f"the gradients of earlier calls are added to {named}: the arrays are not set to zero at the "
                "beginning [accumulates over calls]"
            )
        return f"of a second call on the same arrays {named} differ: something is kept between calls [memory]"
    return None


def damage_named(fn: Adapted, calls: Sequence[Call]) -> str | None:
    """The inputs that a function changes in place."""
    for call in calls[:LOOKED_AT]:
        sent = {k: np.array(v) for k, v in call.arrays.items()}
        try:
            with np.errstate(all="ignore"):
                fn(sent)
        except Exception:  # whatever a foreign function raises is reported elsewhere
            continue
        changed = [
            k for k, v in call.arrays.items() if not np.array_equal(v, sent[k], equal_nan=v.dtype.kind == "f")
        ]
        if changed:
            return f"it changes its input {', '.join(changed)} in place"
    return None
