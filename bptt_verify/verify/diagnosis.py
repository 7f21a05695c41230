"""Which known mistake reproduces the wrong numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt_verify.check import Arrays
from bptt_verify.derivation import adjoint
from bptt_verify.language import Recurrence
from bptt_verify.mutants import mutants
from bptt_verify.program import BATCH, TIME, Program, evaluate, size_of
from bptt_verify.verify.adapters import Adapted

AGREE = (
    1e-8  # relative to a block's largest entry; a mistake reproduces the numbers to rounding or not at all
)
AGREE_SINGLE = 1e-4
FACTORS: Mapping[str, Callable[[int, int], float]] = {
    "T": lambda t, b: t,
    "B": lambda t, b: b,
    "T·B": lambda t, b: t * b,
    "1/T": lambda t, b: 1 / t,
    "1/B": lambda t, b: 1 / b,
    "1/(T·B)": lambda t, b: 1 / (t * b),
    "2": lambda t, b: 2.0,
    "1/2": lambda t, b: 0.5,
    "-1": lambda t, b: -1.0,
    "T - 1": lambda t, b: t - 1,
    "1/(T - 1)": lambda t, b: 1 / (t - 1) if t > 1 else np.nan,
    "T/(T - 1)": lambda t, b: t / (t - 1) if t > 1 else np.nan,
    "1/T²": lambda t, b: 1 / t**2,
}  # of T and B


@dataclass(frozen=True, eq=False)
class Call:
    """One call of the function: what it was sent, and what it returned."""

    arrays: Arrays
    loss: float
    grads: Mapping[str, Any]


def diagnosis(rec: Recurrence, fn: Adapted, cases: Sequence[Arrays]) -> str | None:
    """As ``one_mistake``, of a function that is called here at each of these inputs."""
    calls = calls_of(fn, cases)
    return one_mistake(adjoint(rec.program), calls) if calls else None


def one_mistake(right: Program, calls: Sequence[Call]) -> str | None:
    """The description of the first known mistake that gives the function's numbers in every case.

    Parameters
    ----------
    right : Program
        The right adjoint.
    calls : sequence of Call
        Calls at inputs on which the function is wrong, or may be.
    """
    if fits(right, calls):
        return None
    for m in mutants(right, rare=True):
        if fits(m.program, calls):
            return f"{m.description} [{m.name}]"
    return None


def only_where(wrong: Sequence[Call], right: Sequence[Call]) -> str:
    """What the wrong calls have in common and no right one has, to begin a sentence with; "" if nothing."""
    features: Mapping[str, Callable[[int, int], bool]] = {
        "T = 1": lambda t, b: t == 1,
        "T > 1": lambda t, b: t > 1,
        "B = 1": lambda t, b: b == 1,
        "B > 1": lambda t, b: b > 1,
    }
    if not wrong or not right:
        return ""
    shapes = [[c.arrays["weights"].shape for c in calls] for calls in (wrong, right)]
    for words, has in features.items():
        if all(has(*s) for s in shapes[0]) and not any(has(*s) for s in shapes[1]):
            return f"only where {words}"
    return ""


def factors(program: Program, call: Call) -> dict[str, float]:
    """What a whole gradient, a block of it, or a loss may be off by, by name: of T, B and the other sizes."""
    sizes: dict[str, int] = {}
    for a in program.arrays:
        if a.name in call.arrays and not a.index:
            sizes |= zip(map(size_of, a.labels), np.shape(call.arrays[a.name]), strict=True)
    t, b = sizes.pop(TIME), sizes.pop(BATCH)
    found = {name: value(t, b) for name, value in FACTORS.items()}
    return {
        "": 1.0,
        **found,
        **{w: n for w, n in sizes.items()},
        **{f"1/{w}": 1 / n for w, n in sizes.items()},
    }


def calls_of(fn: Adapted, cases: Sequence[Arrays]) -> list[Call]:
    """The calls that give gradients, each with its loss; a loss that is no number is NaN."""
    made = ((arrays, returned(fn, arrays)) for arrays in cases)
    return [Call(arrays, _number(r[0]), r[1]) for arrays, r in made if r is not None]


def _number(loss: Any) -> float:
    try:
        return float(np.asarray(loss).item())
    except (TypeError, ValueError):
        return np.nan


def called(fn: Adapted, arrays: Arrays) -> dict[str, Any] | None:
    """The floating-point gradients of one call; None if it fails."""
    found = returned(fn, arrays)
    return None if found is None else found[1]


def returned(fn: Adapted, arrays: Arrays) -> tuple[Any, dict[str, Any]] | None:
    """What one call returns as its loss, and the real gradients of the right shape; None if it fails."""
    try:
        with np.errstate(all="ignore"):
            loss, grads = fn({k: v.copy() for k, v in arrays.items()})
        found = {k: np.asarray(v) for k, v in grads.items()}
    except Exception:  # whatever it raises, the contract evidence has quoted it already
        return None
    fits_in = {k for k, v in found.items() if k not in arrays or v.shape == np.shape(arrays[k])}
    kept = {k: np.array(v) for k, v in found.items() if v.dtype.kind == "f" and k in fits_in}
    return (loss, kept) if kept else None


def gradients(program: Program, arrays: Arrays) -> dict[str, Any]:
    """All results of an adjoint program but the loss."""
    with np.errstate(all="ignore"):
        values = evaluate(program, arrays)
    return {k: values[v] for k, v in program.results if k != "loss"}


def fits(program: Program, calls: Sequence[Call]) -> bool:
    """Whether an adjoint program gives the numbers of every call."""
    return all(agree(c.grads, gradients(program, c.arrays)) for c in calls)


def agree(found: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    """Whether all blocks that both have are equal to rounding."""
    return all(close(found[k], expected[k]) for k in found if k in expected)


def close(found: Any, expected: Any) -> bool:
    """Whether one block is equal to rounding."""
    if found.shape != expected.shape:
        return False
    scale = np.abs(expected).max(initial=0.0)
    tolerance = AGREE_SINGLE if found.dtype == np.float32 else AGREE
    with np.errstate(all="ignore"):
        return bool(np.abs(found - expected).max(initial=0.0) <= tolerance * scale)
