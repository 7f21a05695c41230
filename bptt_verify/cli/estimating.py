"""Gradient estimators as words of a command line: ``window:8``, ``chunks:20,40``, ``randomized:0.5``."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from bptt_verify.errors import UsageError
from bptt_verify.estimators import Chunks, Estimator, Full, Geometric, Randomized, Window

FORMS = "full, window:TAU, chunks:K1,K2, randomized:PI (or one PI a step), geometric:FIRST,RATIO,MINIMUM"


def estimator(text: str) -> Estimator:
    """The estimator that a word stands for.

    Raises
    ------
    UsageError
        If it stands for none.
    """
    kind, _, rest = text.partition(":")
    parts = [p.strip() for p in rest.split(",")] if rest else []
    match kind, parts:
        case "full", []:
            return Full()
        case "window", [tau]:
            return Window(_number(text, tau, int))
        case "chunks", [k1, k2]:
            return Chunks(_number(text, k1, int), _number(text, k2, int))
        case "randomized", [pi]:
            return Randomized(_number(text, pi, Fraction))
        case "randomized", [_, _, *_]:
            return Randomized(tuple(_number(text, p, Fraction) for p in parts))
        case "geometric", [first, ratio, minimum]:
            return Randomized(Geometric(*(_number(text, p, float) for p in (first, ratio, minimum))))
    raise UsageError(f"--estimator: {text!r:.60}; expected {FORMS}.")


def _number(text: str, part: str, kind: Callable[[str], Any]) -> Any:
    try:
        return kind(part)
    except (ValueError, ZeroDivisionError) as error:
        what = f"--estimator: {part!r:.40} in {text!r:.60} is no {'whole ' if kind is int else ''}number"
        raise UsageError(f"{what}; expected {FORMS}.") from error
