"""Calling a clip under test: what it returns, or leaves behind in the arrays it was given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bptt_verify.check.problem import Array, Arrays

Clip = Callable[[dict[str, Array], float], Any]


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes
    ----------
    name : str
        Of the point.
    grads : mapping of str to array
        What was given, untouched.
    threshold : float
    result : mapping of str to array
        Copies; empty if the call failed.
    failure : str or None
        What the function raised.
    misfit : str or None
        What is wrong with the form of what it returned.
    traits : frozenset of str
        ``"in place"``, ``"damages"``, ``"aliases"``.
    """

    name: str
    grads: Arrays
    threshold: float
    result: Arrays = field(default_factory=dict)
    failure: str | None = None
    misfit: str | None = None
    traits: frozenset[str] = frozenset()

    @property
    def returned(self) -> bool:
        """Whether there are numbers to judge."""
        return self.failure is None and self.misfit is None


def observe(fn: Clip, name: str, grads: Arrays, threshold: float) -> Call:
    """Call a clip on copies."""
    given = {k: np.array(g) for k, g in grads.items()}
    handed = dict(given)
    try:
        with np.errstate(all="ignore"):
            returned = fn(handed, threshold)
    except Exception as error:  # the function is foreign; refusing may be right
        return Call(name, grads, threshold, failure=f"{type(error).__name__}: {error}")
    found = _arrays(returned, handed)
    if isinstance(found, str):
        return Call(name, grads, threshold, misfit=found)
    misfit = _misfit(found, grads)
    if misfit is not None:
        return Call(name, grads, threshold, misfit=misfit)
    traits = _traits(found, handed, given, grads)
    return Call(name, grads, threshold, {k: np.array(found[k]) for k in grads}, traits=traits)


def _arrays(returned: Any, handed: Mapping[str, Any]) -> Mapping[str, Any] | str:
    """The clipped gradient in what was returned; the given dict itself where it was changed in place."""
    if isinstance(returned, Mapping):
        return returned
    if returned is None or _number(returned):
        return handed
    if isinstance(returned, tuple | list):
        if _listed(returned, handed):
            return dict(zip(handed, returned, strict=True))
        for part in returned:
            if isinstance(part, Mapping):
                return part
            if isinstance(part, tuple | list) and _listed(part, handed):
                return dict(zip(handed, part, strict=True))
    return f"a {type(returned).__name__} is returned; expected a dict of arrays, or None after work in place"


def _number(value: Any) -> bool:
    try:
        return np.ndim(value) == 0 and np.asarray(value).dtype.kind in "fiub"
    except ValueError:
        return False


def _listed(values: Any, handed: Mapping[str, Any]) -> bool:
    """Whether these are the arrays in the given order."""
    if len(values) != len(handed) or any(isinstance(v, Mapping | tuple | list) for v in values):
        return False
    pairs = zip(values, handed.values(), strict=True)
    return all(np.shape(v) == np.shape(g) for v, g in pairs)


def _misfit(found: Mapping[str, Any], grads: Arrays) -> str | None:
    if set(found) != set(grads):
        return f"the keys are {sorted(map(str, found))}; expected {sorted(grads)}"
    for k, g in grads.items():
        try:
            array = np.asarray(found[k])
        except ValueError as error:
            return f"{k} is no array ({error})"
        if array.shape != np.shape(g) or array.dtype.kind not in "fiu":
            return f"{k} has shape {array.shape} and dtype {array.dtype}; expected {np.shape(g)} and numbers"
    return None


def _traits(
    found: Mapping[str, Any], handed: Mapping[str, Any], given: Arrays, grads: Arrays
) -> frozenset[str]:
    same = all(np.shares_memory(np.asarray(found[k]), np.asarray(handed[k])) for k in grads if grads[k].size)
    changed = [
        k for k in grads if not np.array_equal(given[k], grads[k], equal_nan=given[k].dtype.kind == "f")
    ]
    changed += [k for k in grads if handed.get(k) is not given[k]]
    if changed:
        return frozenset({"in place" if same or found is handed else "damages"})
    shared = any(np.shares_memory(np.asarray(found[k]), given[k]) for k in grads)
    return frozenset({"aliases"} if shared and found is not handed else ())
