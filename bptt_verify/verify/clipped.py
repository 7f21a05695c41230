"""``check_clip`` and its twin ``assert_clip``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from bptt_verify.check.clips import CONVENTIONS, judge_clip
from bptt_verify.errors import CheckFailedError, UsageError
from bptt_verify.verdict import Report
from bptt_verify.verify.arguments import seeded


def check_clip(
    fn: Callable[..., Any],
    threshold: float,
    convention: str | None = None,
    *,
    rng: int | np.random.Generator | None = None,
) -> Report:
    """Check a function that clips gradients, and name the convention it follows.

    Parameters
    ----------
    fn : callable
        ``fn(grads, threshold)``, for a dict of arrays and a number. It returns the clipped dict, the arrays
        in a list, or a tuple with one of these in it; or it changes the dict or its arrays in place and
        returns nothing, or a number.
    threshold : float
        Positive and finite. Others are tried too.
    convention : {"exact", "torch", "per_parameter", "per_element"}, optional
        ``exact`` is min(1, θ/‖g‖) g with one norm over all arrays (claim T8), ``torch`` divides by
        ‖g‖ + 1e-6, ``per_parameter`` takes the norm of each array, ``per_element`` clamps. Left out, any of
        them passes, also with another margin than 1e-6 added to the norm.
    rng : int or Generator, optional
        Seed of everything random; fresh if left out, and printed in the report.

    Returns
    -------
    Report
        The evidence ``convention`` names the rule that is followed, a known mistake among them; the
        diagnosis does where that is not the convention asked for. Zero, small, empty and huge gradients are
        tried, and those with inf and NaN. Other conventions than the exact one need not survive an
        overflow of the squared norm, nor keep an inf or NaN in sight; that is noted.

    Raises
    ------
    UsageError
        If an argument is not as described.
    """
    _check_function(fn, ({}, 1.0), "fn(grads, threshold)")
    value = positive(threshold, "threshold")
    if convention is not None and convention not in CONVENTIONS:
        known = ", ".join(map(repr, CONVENTIONS))
        raise UsageError(f"convention={convention!r:.60}; expected None or one of {known}.")
    seed, generator = seeded(rng)
    evidence, diagnosis, notes = judge_clip(fn, value, convention, generator)
    name = getattr(fn, "__qualname__", None) or type(fn).__name__
    wanted = f"the convention {convention}" if convention is not None else "the known conventions"
    return Report(f"the clip {name} against {wanted}", evidence, diagnosis, notes, seed)


def assert_clip(
    fn: Callable[..., Any],
    threshold: float,
    convention: str | None = None,
    *,
    rng: int | np.random.Generator | None = None,
) -> Report:
    """As ``check_clip``; raises unless the verdict is ``"verified"``.

    Raises
    ------
    CheckFailedError
        With the whole report as its message.
    """
    report = check_clip(fn, threshold, convention, rng=rng)
    if report.verdict != "verified":
        raise CheckFailedError(report)
    return report


def positive(value: Any, what: str) -> float:
    """A positive finite number among the arguments.

    Raises
    ------
    UsageError
        If it is none.
    """
    number = not isinstance(value, bool) and isinstance(value, int | float | np.integer | np.floating)
    if not number or not 0 < value < np.inf:
        raise UsageError(f"{what}={value!r:.60}; expected a positive finite number.")
    return float(value)


def _check_function(fn: Any, arguments: tuple[Any, ...], form: str) -> None:
    if not callable(fn):
        raise UsageError(f"fn={fn!r:.60}; expected a function {form}.")
    try:
        inspect.signature(fn).bind(*arguments)
    except TypeError as error:
        name = getattr(fn, "__name__", fn)
        raise UsageError(f"fn={name!r:.60}: {error}; expected a function {form}.") from error
    except ValueError:  # a built-in without a signature
        return
