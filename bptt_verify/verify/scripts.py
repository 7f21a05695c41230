"""A script that reproduces a finding: imports, the arrays, one call."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bptt_verify.check import Array
from bptt_verify.language import Recurrence

Place = tuple[list[str], str]  # lines that import something, and what it is called then
PRINTED = 60  # a script prints no more numbers than these


def script(
    fn: Any, reference: Place, lines: list[str], options: Mapping[str, Any], check: str = "bv.check_gradient"
) -> str:
    """A script that checks a function.

    Parameters
    ----------
    fn : callable
        It is imported where it can be found again under its own name; else a comment says what to put there.
    reference : (lines, str)
        Lines that import what it is checked against, and what that is called then.
    lines : list of str
        What makes its inputs.
    options : mapping of str to value
        Further arguments of the check; None is left out.
    check : str
        The check, as it is called.
    """
    imported, called = place_of(fn, "fn")
    needed, meant = reference
    listed = "".join(f", {k}={v!r}" for k, v in options.items() if v is not None)
    return "\n".join(
        [
            "import numpy as np",
            "import bptt_verify as bv",
            *dict.fromkeys((*imported, *needed)),
            "",
            *lines,
            f"print({check}({called}, {meant}{listed}))",
        ]
    )


def as_literals(arrays: Mapping[str, Array]) -> list[str]:
    """Lines that make the dict ``arrays``, with all its numbers."""
    return ["arrays = {", *(f"    {k!r}: {printed(v)}," for k, v in arrays.items()), "}"]


class Name(str):
    """A variable of a script; it is printed without quotes."""

    def __repr__(self) -> str:
        return str(self)


def is_short(arrays: Mapping[str, Array]) -> bool:
    """Whether there are few enough numbers to be printed."""
    return sum(np.size(a) for a in arrays.values()) <= PRINTED


def printed(array: Array) -> str:
    """An array as Python text."""
    dtype = "" if array.dtype.kind == "f" else f", dtype={array.dtype.name!r}"
    empty = f".reshape({array.shape})" if not array.size else ""
    return f"np.array({np.asarray(array, float if not dtype else None).tolist()!r}{dtype}){empty}"


def place_of_reference(against: Any) -> Place:
    """Lines that import a recurrence or a loss function, and what it is called then."""
    if not isinstance(against, Recurrence):
        return place_of(against, "loss")
    lines, called = _place_of_recurrence(against)
    sizes = "".join(f", {w}={n}" for w, n in against.fixed.items())
    return lines, f"bv.with_sizes({called}{sizes})" if sizes else called


def _place_of_recurrence(against: Recurrence) -> Place:
    module, path = against.function.__module__, against.function.__qualname__
    if module.partition(".cells")[0] == "bptt_verify":
        return [], f"bv.cells.{against.name}"
    found = _found(against.function, path)
    if isinstance(found, Recurrence) and found.function is against.function:
        return [f"from {_module(against.function)} import {path.partition('.')[0]}"], path
    return [f"# import or define the recurrence {against.name} here, and call it rec"], "rec"


def place_of(fn: Any, otherwise: str) -> Place:
    """Lines that import a function, and what it is called then; a comment where it cannot be imported."""
    path = str(getattr(fn, "__qualname__", None) or type(fn).__name__)
    found = _found(fn, path)
    tested = getattr(found, "bptt", None)  # a gradient test that stands under the name of its function
    if found is fn or getattr(tested, "fn", None) is fn:
        head = path.partition(".")[0]
        return [f"from {_module(fn)} import {head}"], path if found is fn else f"{path}.bptt.fn"
    return [f"# import or make {path} here, and call it {otherwise}"], otherwise


def _found(fn: Any, path: str) -> Any:
    """What a module holds under a function's own name; None if nothing."""
    found: Any = sys.modules.get(getattr(fn, "__module__", ""))
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def _module(fn: Any) -> str:
    """The module's name; of a script, that of its file."""
    code = getattr(fn, "__code__", None)
    if fn.__module__ == "__main__" and code is not None:
        return Path(code.co_filename).stem
    return str(fn.__module__)
