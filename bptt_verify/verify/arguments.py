"""What the public checks do with their common arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bptt_verify.check import Arrays, Case, Problem
from bptt_verify.errors import UsageError
from bptt_verify.language import MASK, Recurrence
from bptt_verify.verify.adapters import Adapted, adapted
from bptt_verify.verify.adapting import AdaptedFunction
from bptt_verify.verify.cases import batch_axes
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


def refuse_wrt(wrt: Sequence[str] | None) -> None:
    """Of a recurrence the gradient of every parameter is expected, whatever ``wrt`` says.

    Raises
    ------
    UsageError
        If it says something.
    """
    if wrt is not None:
        raise UsageError(f"wrt={wrt!r:.60} with a recurrence; expected it with a loss function.")


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


def other_forms(rec: Recurrence, fn: Adapted, cases: Sequence[Case]) -> tuple[str, ...]:
    """A note on what helps a function that fails on most inputs, or returns other shapes."""
    if 2 * sum(_fits(rec, fn, c.arrays) for c in cases) >= len(cases):  # equal sizes may fit by chance
        return ()
    axes = batch_axes(rec)
    single = ({k: np.take(v, 0, axes[k]) if k in axes else v for k, v in c.arrays.items()} for c in cases)
    if not isinstance(fn.function, AdaptedFunction) and all(_fits(rec, fn, a) for a in single):
        return ("the function runs on single sequences (T, …): check adapt(fn, layout='sequence')",)
    sizes = "".join(f", {w}=…" for w in dict.fromkeys(w for d in rec.declarations.values() for w in d.sizes))
    fixed = f"if the function is written for certain sizes, check it against with_sizes({rec.name}{sizes})"
    return () if rec.fixed else (fixed,)


def _fits(rec: Recurrence, fn: Adapted, arrays: Arrays) -> bool:
    """Whether the function runs; and gives, where it names gradients, one of a matrix in its shape."""
    try:
        with np.errstate(all="ignore"):
            returned = fn({k: v.copy() for k, v in arrays.items()})
        grads = returned[1] if isinstance(returned, Sequence) and len(returned) == 2 else None
        shapes = {k: np.shape(g) for k, g in grads.items()} if isinstance(grads, Mapping) else {}
    except Exception:  # whatever a foreign function raises, or foreign arrays
        return False
    matrices = [p for p, words in rec.params.items() if len(words) == 2] or list(rec.params)
    given = [shapes[p] == arrays[p].shape for p in matrices if p in shapes]
    return any(given) or not given


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
