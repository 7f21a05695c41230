"""Which known mistake reproduces the wrong numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bptt_verify.check import Arrays
from bptt_verify.derivation import adjoint
from bptt_verify.language import Recurrence
from bptt_verify.mutants import mutants
from bptt_verify.program import Program, evaluate
from bptt_verify.verify.adapters import Adapted

AGREE = (
    1e-8  # relative to a block's largest entry; a mistake reproduces the numbers to rounding or not at all
)
AGREE_SINGLE = 1e-4


def diagnosis(rec: Recurrence, fn: Adapted, cases: Sequence[Arrays]) -> str | None:
    """The description of the first known mistake that gives the function's numbers in every case.

    Parameters
    ----------
    rec : Recurrence
    fn : Adapted
    cases : sequence of arrays
        Inputs on which the function is wrong, or may be.
    """
    found = [called(fn, arrays) for arrays in cases]
    pairs = [(a, g) for a, g in zip(cases, found, strict=True) if g is not None]
    if not pairs:
        return None
    right = adjoint(rec.program)
    truths = [_gradients(right, a) for a, _ in pairs]
    wrong = [k for k, (_, g) in enumerate(pairs) if not agree(g, truths[k])]
    if not wrong:
        return None
    for m in mutants(right):
        if all(agree(g, _gradients(m.program, a)) for a, g in pairs):
            return f"{m.description} [{m.name}]"
    return clipped([pairs[k][1] for k in wrong], [truths[k] for k in wrong])


def called(fn: Adapted, arrays: Arrays) -> dict[str, Any] | None:
    """The floating-point gradients of one call; None if it fails."""
    found = returned(fn, arrays)
    return None if found is None else found[1]


def returned(fn: Adapted, arrays: Arrays) -> tuple[Any, dict[str, Any]] | None:
    """What one call returns as its loss, and the floating-point gradients; None if it fails."""
    try:
        with np.errstate(all="ignore"):
            loss, grads = fn({k: v.copy() for k, v in arrays.items()})
        found = {k: np.asarray(v) for k, v in grads.items()}
    except Exception:  # whatever it raises, the contract evidence has quoted it already
        return None
    kept = {k: v for k, v in found.items() if v.dtype.kind == "f"}
    return (loss, kept) if kept else None


def _gradients(program: Program, arrays: Arrays) -> dict[str, Any]:
    with np.errstate(all="ignore"):
        values = evaluate(program, arrays)
    return {k: values[v] for k, v in program.results if k != "loss"}


def agree(found: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    """Whether all blocks that both have are equal to rounding."""
    return all(_close(found[k], expected[k]) for k in found if k in expected)


def _close(found: Any, expected: Any) -> bool:
    if found.shape != expected.shape:
        return False
    scale = np.abs(expected).max(initial=0.0)
    tolerance = AGREE_SINGLE if found.dtype == np.float32 else AGREE
    return bool(np.abs(found - expected).max(initial=0.0) <= tolerance * scale)


def clipped(found: Sequence[Mapping[str, Any]], truth: Sequence[Mapping[str, Any]]) -> str | None:
    """Whether the numbers are the right ones after an elementwise or a norm clip, and at which threshold."""
    threshold = max(np.abs(g[k]).max(initial=0.0) for g in found for k in g)
    if all(
        agree(g, {k: np.clip(v, -threshold, threshold) for k, v in t.items()})
        for g, t in zip(found, truth, strict=True)
    ):
        return f"the gradient is clipped to ±{threshold:g} element by element before it is returned [clipped]"
    norms = [_norm(g, g) for g in found]
    threshold = max(norms)
    scaled = [
        {k: v * min(1.0, threshold / _norm(t, g)) for k, v in t.items()}
        for g, t in zip(found, truth, strict=True)
    ]
    if all(agree(g, s) for g, s in zip(found, scaled, strict=True)):
        return f"the gradient is clipped to the global norm {threshold:g} before it is returned [clipped]"
    return None


@np.errstate(over="ignore")
def _norm(values: Mapping[str, Any], keys: Mapping[str, Any]) -> float:
    """The norm over the blocks that the function returns."""
    return float(np.sqrt(sum(float(np.sum(np.square(values[k]))) for k in keys if k in values))) or 1.0
