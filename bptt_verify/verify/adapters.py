"""The function under test as the checks want it: which of the arrays it takes, and how it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt_verify.check import Arrays
from bptt_verify.errors import UsageError
from bptt_verify.language import Recurrence, outward


@dataclass(frozen=True)
class Adapted:
    """A user's function, called with just the arrays that it takes.

    Attributes
    ----------
    function : callable
        ``function(**arrays) -> (loss, grads)``.
    accepts : frozenset of str, or None
        Names of its keyword arguments; None where it takes any.
    named : frozenset of str
        Those that it names itself.
    withheld : frozenset of str
        Names that are not sent although it would take them.
    """

    function: Callable[..., Any]
    accepts: frozenset[str] | None
    named: frozenset[str] = frozenset()
    withheld: frozenset[str] = frozenset()

    def takes(self, name: str) -> bool:
        """Whether an array of this name is sent."""
        return name not in self.withheld and (self.accepts is None or name in self.accepts)

    def __call__(self, arrays: Arrays) -> Any:
        """Call the function with the arrays it takes."""
        return self.function(**{k: v for k, v in outward(arrays).items() if self.takes(k)})


def adapted(fn: Any, known: Mapping[str, Any] | None) -> Adapted:
    """Find out what a function takes.

    Parameters
    ----------
    fn : callable
    known : mapping, or None
        The names it may be sent; an argument without default outside of these is an error.

    Raises
    ------
    UsageError
        If ``fn`` is not callable, or requires an argument that cannot be sent.
    """
    if isinstance(fn, Recurrence):
        raise UsageError(f"fn={fn.name}, a recurrence; expected a function first, and then the recurrence.")
    if not callable(fn):
        raise UsageError(f"fn={fn!r:.60}; expected a function fn(**arrays) -> (loss, grads).")
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):
        return Adapted(fn, None)
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY and p.default is p.empty]
    needed = [p.name for p in named if p.default is p.empty and known is not None and p.name not in known]
    if positional or needed:
        listed = ", ".join(known or ())
        raise UsageError(
            f"fn={getattr(fn, '__name__', fn)!r}: the argument {(positional + needed)[0]!r} is required, but "
            f"cannot be sent; expected keyword arguments among {listed}."
        )
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    names = frozenset(p.name for p in named)
    return Adapted(fn, None if takes_any else names, names)


def as_array(value: Any, name: str) -> np.ndarray[Any, Any]:
    """A user's input as an array of numbers."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise UsageError(f"inputs: {name} is no array ({error}); expected numbers of one shape.") from error
    if array.dtype.kind not in "fiub":
        raise UsageError(f"inputs: {name} has dtype={array.dtype}; expected real numbers or integer classes.")
    return array
