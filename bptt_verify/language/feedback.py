"""What is fed back: the output, the target in its place, or one of them by a mask (claim T11).

A Feedback u is a state in all but name: each step leaves the value that the next one is fed. The three modes
differ in nothing but that value: v_t = o_t (or a function of it), or y_t, or m_{t+1} y_t + (1 - m_{t+1}) v_t.
The mask is therefore kept by the step that makes the value, not by the one that reads it: the array
``mask_next`` is the caller's ``mask``, one step earlier. Its last row is the caller's first one, which is
ignored either way, since u_1 is given; so nothing is lost in turning one into the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt_verify.errors import RecurrenceError
from bptt_verify.language.declarations import Declaration, Step
from bptt_verify.language.tracing import describe
from bptt_verify.language.values import Value, elementwise

MODES = ("free", "teacher", "scheduled")
MASK, MASK_NEXT = "mask", "mask_next"


def outward(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays as a caller knows them, with ``mask``."""
    found = dict(arrays)
    if MASK_NEXT in found:
        found[MASK] = np.roll(found.pop(MASK_NEXT), 1, axis=0)
    return found


def inward(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays as a program knows them, with ``mask_next``."""
    found = dict(arrays)
    if MASK in found:
        found[MASK_NEXT] = np.roll(found.pop(MASK), -1, axis=0)
    return found


def own_values(step: Step, declarations: Mapping[str, Declaration]) -> dict[str, Any]:
    """What the recurrence itself feeds, by the name of the Feedback: free running."""
    names = [n for n, d in declarations.items() if d.role == "feedback"]
    return {n: step.states.get(n, step.output) for n in names}


def fed_values(
    own: Mapping[str, Value],
    declarations: Mapping[str, Declaration],
    leaves: Mapping[str, Value],
    mode: str,
    mask: Value,
) -> dict[str, Value]:
    """What is fed in this mode, by the name of the Feedback.

    Raises
    ------
    RecurrenceError
        If targets are to be fed, and it is not clear which.
    """
    if mode == "free":
        return dict(own)
    targets = {u: leaves[teacher(u, declarations)] for u in own}
    if mode == "teacher":
        return dict(targets)
    return {u: elementwise("blend", _blend, mask, targets[u], v, hint=f"{u}_next") for u, v in own.items()}


def _blend(mask: Any, target: Any, value: Any) -> Any:
    return mask * target + (1 - mask) * value


def teacher(name: str, declarations: Mapping[str, Declaration]) -> str:
    """The target that takes the place of a Feedback.

    Raises
    ------
    RecurrenceError
        If there is none, or more than one, of its sizes.
    """
    own = declarations[name]
    fitting = [n for n, d in declarations.items() if d.role == "target" and d.sizes == own.sizes]
    sizes = f"[{' '.join(own.sizes) or 'scalar'}]"
    if own.target is not None:
        if own.target not in fitting:
            raise RecurrenceError(
                f"{name}=Feedback(target={own.target!r}): expected a Target with the sizes {sizes} of the "
                f"Feedback; {', '.join(fitting) or 'no Target'} has them."
            )
        return own.target
    if len(fitting) != 1:
        raise RecurrenceError(
            f"{name}=Feedback(...): {len(fitting)} targets have its sizes {sizes}"
            + (f" ({', '.join(fitting)})" if fitting else "")
            + "; expected one, which takes its place under teacher forcing. "
            + ("Name it: Feedback(..., target=...)." if fitting else "Only feedback='free' can be used.")
        )
    return fitting[0]


def check_fed(own: Mapping[str, Any], declarations: Mapping[str, Declaration], where: str) -> None:
    """Refuse a Feedback with nothing to feed, or with something of other sizes.

    Raises
    ------
    RecurrenceError
    """
    for name, value in own.items():
        wanted = declarations[name].sizes
        if not isinstance(value, Value):
            shown = "no output" if value is None else f"{value!r:.40}"
            raise RecurrenceError(
                f"{where}: the Feedback {name!r} is fed {shown}; expected Step(output=…), which is then fed, "
                f"or Step({name}=<a function of the output>)."
            )
        if value.sizes != wanted:
            raise RecurrenceError(
                f"{where}: the Feedback {name!r} is fed {describe(value)}; expected the sizes "
                f"[{' '.join(wanted) or 'scalar'}] it is declared with. Step({name}=…) feeds something else "
                "than the output."
            )
        if declarations[name].target is not None:
            teacher(name, declarations)
