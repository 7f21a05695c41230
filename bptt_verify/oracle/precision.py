"""A floating-point gradient against derivatives of many digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bptt_verify.oracle.numeric import block_finding, missing, not_provided, real, relative_errors
from bptt_verify.oracle.opaque import GUARD
from bptt_verify.oracle.points import Point, Sizes, blocks, check_sizes, points, sized, sizes_text
from bptt_verify.oracle.quotients import Numbers
from bptt_verify.program import Program
from bptt_verify.verdict import Evidence, Finding

NAME = "gradient in many digits"
TOLERANCE = 1e-12

_FLOOR = 1e-6  # of the largest gradient: the scale given to a block that is zero

Gradient = Callable[[dict[str, Any]], Mapping[str, Any]]


def digits_evidence(
    forward: Program, gradient: Gradient, sizes: Mapping[str, int], rng: np.random.Generator, digits: int = 40
) -> Evidence:
    """Whether a float64 gradient has the digits that its arithmetic allows.

    The reference needs the forward equations only: difference quotients with a step of
    10^-(digits + 20), in arithmetic long enough for it.

    Parameters
    ----------
    forward : Program
        With the result ``"loss"``.
    gradient : callable
        Takes a dict of float64 arrays by declared name (integer arrays for classes), returns a mapping
        of arrays by name of the parameter, input or initial state.
    sizes : mapping of str to int
    rng : numpy.random.Generator
        Draws the point.
    digits : int
        Of the reference.

    Returns
    -------
    Evidence
        Refuted where the error of a block exceeds 1e-12 of its scale, or a parameter has no gradient.

    Raises
    ------
    UsageError
        If a size is missing.
    """
    check_sizes(forward, sizes)
    program = sized(forward, sizes)
    for point in points(program, sizes, rng):
        numbers = Numbers(point, digits)
        if numbers.usable(program):
            return _compared(program, gradient, sizes, point, numbers)
    nowhere = f"no random point has a finite real loss at {sizes_text(sizes)}"
    return Evidence(NAME, "tested", "inconclusive", nowhere)


def _compared(program: Program, gradient: Gradient, sizes: Sizes, point: Point, numbers: Numbers) -> Evidence:
    try:
        found = dict(gradient({n: v.copy() for n, v in point.items()}))
    except Exception as error:  # whatever foreign code raises is the finding
        what = f"the gradient function raised {type(error).__name__}: {error}"
        return Evidence(NAME, "tested", "refuted", f"{what} at {sizes_text(sizes)}", (Finding(what),))
    expected = numbers.gradient(program)
    names = [n for n in expected if n in found]
    if not expected:
        what = "there is no gradient to compare"
        return Evidence(NAME, "tested", "inconclusive", f"{what} at {sizes_text(sizes)}")
    values = {n: np.asarray(found[n], dtype=object) for n in names}
    floor = _FLOOR * max((abs(e) for v in expected.values() for e in v.flat), default=0) or 1
    case, arrays = sizes_text(sizes), blocks(program)
    findings = [
        block_finding(arrays[n], values[n], expected[n], tolerance=TOLERANCE, floor=floor, case=case)
        for n in names
    ]
    wrong = (*missing(program, found), *(f for f in findings if f))
    errors = {n: _worst(values[n], expected[n], floor) for n in names}
    return Evidence(
        NAME,
        "tested",
        "refuted" if wrong else "verified",
        _summary(errors, len(wrong), numbers) + f" at {sizes_text(sizes)}{not_provided(program, found)}",
        wrong,
        errors,
    )


def _worst(found: Any, expected: Any, floor: Any) -> float:
    if found.shape != expected.shape:
        return float("inf")
    worst = [real(e) for e in relative_errors(found, expected, floor).flat]
    return float("nan") if any(e != e for e in worst) else max(worst, default=0.0)


def _summary(errors: dict[str, float], wrong: int, numbers: Numbers) -> str:
    if wrong:
        return f"{wrong} gradients are wrong or missing (tolerance {TOLERANCE:g} of the block's scale)"
    name = max(errors, key=lambda n: errors[n], default="")
    worst = f", worst error {errors[name]:.1e} of the block's scale ({name})" if name else ""
    entries = sum(v.size for n, v in numbers.arrays.items() if n in errors)
    digits = numbers.step_digits - GUARD
    return f"{entries} gradient entries agree with {digits} digits{worst}, tolerance {TOLERANCE:g}"
