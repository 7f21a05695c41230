"""Comparison of numbers, block by block, relative to each block's scale; and the words for what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt_verify.oracle.points import Sizes, blocks, index_text, sizes_text
from bptt_verify.program import TIME, Array, Program
from bptt_verify.verdict import Evidence, Finding


def relative_errors(found: Any, expected: Any, floor: Any) -> Any:
    """``|found - expected|`` over the largest ``|expected|`` of the block (at least ``floor``)."""
    scale = max([abs(e) for e in expected.flat] + [floor])
    errors = np.empty(expected.shape, dtype=object)
    for index in np.ndindex(expected.shape):
        errors[index] = abs(found[index] - expected[index]) / scale
    return errors


def block_finding(
    a: Array, found: Any, expected: Any, *, tolerance: Any, floor: Any, case: str
) -> Finding | None:
    """What is wrong with one block, or None."""
    if np.shape(found) != expected.shape:
        return Finding(f"{a.name}: found shape {np.shape(found)}; expected {expected.shape}.", a.name)
    errors = relative_errors(found, expected, floor)
    bad = [index for index in np.ndindex(errors.shape) if not errors[index] <= tolerance]
    if not bad:
        return None
    worst = max(bad, key=lambda i: errors[i] if errors[i] == errors[i] else np.inf)
    value, right = real(found[worst]), real(expected[worst])
    return Finding(
        f"{index_text(a.name, worst)}: found {value:.6g}, expected {right:.6g} ({case}; "
        f"{len(bad)} of {errors.size} entries of {a.name} differ).",
        block=a.name,
        index=worst,
        step=min(i[0] for i in bad) + 1 if TIME in a.labels else None,
        found=value,
        expected=right,
        error=real(errors[worst]),
        case=case,
    )


def failed(name: str, sizes: Sizes, error: Exception) -> Evidence:
    """Inconclusive evidence, with the reason."""
    reason = f"{type(error).__name__}: {error}".rstrip(": ")
    what = f"cannot be computed at {sizes_text(sizes)}: {reason}"
    return Evidence(name, "checked", "inconclusive", what)


def real(number: Any) -> float:
    """The real part as a float (an mpmath number, complex or not)."""
    return float(number.real)


def missing(forward: Program, names: Mapping[str, Any]) -> tuple[Finding, ...]:
    """A finding for each parameter without a gradient."""
    return tuple(
        Finding(f"{a.name}: no gradient is given; expected one for every parameter.", block=a.name)
        for a in blocks(forward).values()
        if a.role == "param" and a.name not in names
    )


def not_provided(forward: Program, names: Mapping[str, Any]) -> str:
    """The inputs and initial states without a gradient, as the end of a summary."""
    left = [a.name for a in blocks(forward).values() if a.role != "param" and a.name not in names]
    return f"; not provided: {', '.join(left)}" if left else ""
