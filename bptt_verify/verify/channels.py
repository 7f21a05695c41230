"""How the random part of a function is reached: its gates as an argument, or only a generator."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bptt_verify.check import Array, Arrays
from bptt_verify.errors import UsageError
from bptt_verify.verify.adapters import Adapted
from bptt_verify.verify.schedules import Law

Channel = Literal["xi", "keep", "rng"]
CHANNELS: tuple[Channel, ...] = ("xi", "keep", "rng")


def argument_names(fn: Any) -> tuple[tuple[str, ...], bool]:
    """The named arguments of a function, and whether it takes any others; nothing known counts as any."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return (), True
    named = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def channel_of(fn: Any, through: str | None) -> Channel:
    """The channel asked for, or the first of xi, keep and rng that the function names.

    Raises
    ------
    UsageError
        If there is none.
    """
    named, others = argument_names(fn)
    if through is not None:
        if through not in CHANNELS:
            raise UsageError(f"through={through!r:.60}; expected 'xi', 'keep' or 'rng'.")
        if through not in named and not others:
            raise UsageError(
                f"through={through!r}: fn takes no such argument; expected one among {', '.join(named)}."
            )
        return through
    found: list[Channel] = [c for c in CHANNELS if c in named]
    if found:
        return found[0]
    if others:
        return "xi"
    raise UsageError(
        f"fn={getattr(fn, '__name__', fn)!r}: how it gets its randomness cannot be told from its arguments "
        f"({', '.join(named) or 'none'}); expected xi (scaled gates 0 or 1/π), keep (gates 0 or 1) or rng (a "
        "numpy Generator). Give it one of these, by a wrapper such as lambda xi, **arrays: ….",
    )


@dataclass(frozen=True)
class Gated:
    """A user's function whose gates are an argument.

    Attributes
    ----------
    adapted : Adapted
    through : {"xi", "keep"}
    law : Law
    sends_pi : bool
        Whether the function is also sent ``pi``.
    """

    adapted: Adapted
    through: Channel
    law: Law
    sends_pi: bool

    def __call__(self, arrays: Arrays, keep: Array, pi: Array) -> Any:
        """Call it at gates that are open where ``keep`` is 1; without a loss of its own it gets NaN.

        Parameters
        ----------
        arrays : mapping of str to array
        keep, pi : array (T,), or (T, B) where there is a gate a sequence
        """
        extra: dict[str, Any] = {"xi": keep / pi} if self.through == "xi" else {"keep": np.array(keep)}
        if self.sends_pi:
            by_step = np.array(pi[:, 0] if pi.ndim == 2 else pi)
            extra["pi"] = by_step if self.law.form is None else self.law.form
        return as_pair(self.adapted({**arrays, **extra}))


def as_pair(returned: Any) -> Any:
    """``(loss, grads)``; where a function returns gradients only the loss is NaN."""
    return (np.nan, returned) if isinstance(returned, Mapping) else returned
