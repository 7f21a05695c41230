"""What the public checks do with their common arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bptt_verify.check import Case, Problem
from bptt_verify.errors import UsageError
from bptt_verify.language import MASK, Recurrence
from bptt_verify.verify.adapters import Adapted, adapted
from bptt_verify.verify.adapting import AdaptedFunction
from bptt_verify.verify.diagnosis import returned
from bptt_verify.verify.problems import Reduction


def seeded(rng: int | np.random.Generator | None) -> tuple[int | None, np.random.Generator]:
    """The seed, where there is one, and the generator that a public ``rng=`` means.

    Raises
    ------
    UsageError
        If it is neither a seed nor a generator.
    """
    if isinstance(rng, np.random.Generator):
        return None, rng
    if rng is not None and (isinstance(rng, bool) or not isinstance(rng, int | np.integer) or rng < 0):
        raise UsageError(
            f"rng={rng!r:.60}; expected a non-negative integer seed or a numpy.random.Generator."
        )
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if rng is None else int(rng)
    return seed, np.random.default_rng(seed)


def drawn_once(problem: Problem, rng: np.random.Generator) -> tuple[Problem, list[Case]]:
    """The problem with its cases drawn, so that every way of looking sees the same inputs."""
    cases = list(problem.draw(rng))
    return replace(problem, draw=lambda _: cases), cases


def meant(fn: Callable[..., Any], rec: Recurrence, reduction: Reduction) -> Adapted:
    """The function as it is called against a recurrence.

    A function of ``adapt`` learns which arrays are series and initial states. Where the caller says how the
    losses are reduced, ``weights`` are sent to a function that names them, not to one that takes anything.
    """
    bound = fn.bound(rec) if isinstance(fn, AdaptedFunction) else fn
    made = adapted(bound, known_arrays(rec))
    default = isinstance(reduction, str) and reduction == "mean"
    return made if default or "weights" in made.named else replace(made, withheld=frozenset({"weights"}))


def known_arrays(rec: Recurrence) -> dict[str, None]:
    """The names of all arrays that a gradient function may be sent."""
    mask = (MASK,) if rec.mode == "scheduled" else ()
    names = (*rec.inputs, *rec.targets, *rec.params, *rec.initial, *mask, "weights")
    return dict.fromkeys(names)


def other_sizes(rec: Recurrence, fn: Adapted, cases: Sequence[Case]) -> tuple[str, ...]:
    """A note on ``with_sizes``, where all that the function does is fail, or return other shapes."""
    if rec.fixed or not cases or any(_has_a_shape(rec, fn, c) for c in cases):
        return ()
    sizes = "".join(f", {w}=…" for w in dict.fromkeys(w for d in rec.declarations.values() for w in d.sizes))
    return (f"if the function is written for certain sizes, check it against with_sizes({rec.name}{sizes})",)


def _has_a_shape(rec: Recurrence, fn: Adapted, case: Case) -> bool:
    """Whether the function returns the gradient of some matrix in its shape."""
    found = returned(fn, case.arrays)
    matrices = [p for p, words in rec.params.items() if len(words) == 2] or list(rec.params)
    return found is not None and any(p in found[1] for p in matrices)


def not_sent(rec: Recurrence, fn: Adapted, reduction: Reduction) -> tuple[str, ...]:
    """Notes on the arrays that the function does not take."""
    missing = [n for n in known_arrays(rec) if not fn.takes(n)]
    notes = [f"{n} is not an argument of the function and was not sent" for n in missing if n != "weights"]
    if "weights" in missing:
        shown = repr(reduction) if isinstance(reduction, str) else "the given array"
        why = "no weights are sent" if "weights" in fn.withheld else "the function takes no weights"
        notes.append(f"{why}: it is judged with reduction={shown}")
    elif not isinstance(reduction, str) or reduction != "mean":
        notes.append("reduction= is not used: the function takes weights, and they were sent")
    return tuple(notes)
