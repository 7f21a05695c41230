"""What is wrong with a gradient: the chain of things that are tried, the simplest explanations first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bptt_verify.check import Array, Arrays, Problem
from bptt_verify.derivation import adjoint
from bptt_verify.estimators import Chunks, Full, Window, kept
from bptt_verify.language import Recurrence
from bptt_verify.oracle import Truncation
from bptt_verify.program import Program
from bptt_verify.verify.adapters import Adapted
from bptt_verify.verify.adapting import AdaptedFunction
from bptt_verify.verify.afterwards import (
    changed_afterwards,
    clipped_inside_named,
    rounded_named,
)
from bptt_verify.verify.batches import batch_named
from bptt_verify.verify.cases import batch_axes
from bptt_verify.verify.combinations import two_mistakes
from bptt_verify.verify.diagnosis import Call, calls_of, diagnosis, fits, one_mistake, only_where
from bptt_verify.verify.feedbacks import feedback_named
from bptt_verify.verify.halfcut import half_cut_named
from bptt_verify.verify.keptterms import Seen, differs, named_pattern, observed
from bptt_verify.verify.pieces import pieces_named
from bptt_verify.verify.repeats import repeated_named
from bptt_verify.verify.restarts import restart_named
from bptt_verify.verify.termweights import LONGEST, weights_named
from bptt_verify.verify.unsteady import damage_named, memory_named
from bptt_verify.verify.wrongmodels import gradient_of_another, has_right_loss, model_named

DIAGNOSED_STEPS = 12  # cases longer than this add nothing to a diagnosis but time
FEW, LONG_STEPS = 3, 60  # where all are longer: how many are looked at, and beyond how many steps only one is
REPEATS = 3  # draws of the parameters with which the weights of the terms are solved for


def gradient_cause(
    rec: Recurrence, fn: Adapted, problem: Problem, cases: Sequence[Arrays], pairs: bool = True
) -> str | None:
    """In words, which known mistake gives the numbers of a refuted full gradient; None if none does.

    ``pairs``: whether two mistakes at once are looked for, which takes longest.
    """
    calls = _short_calls(fn, cases)
    if not calls or not all(set(rec.params) <= set(c.grads) for c in calls):
        return None  # what is wrong with its form has been said, and explains the rest
    right = adjoint(rec.program)
    found = memory_named(right, fn, calls)
    if found is None:
        parts = [damage_named(fn, calls), _cause_of_numbers(rec, right, fn, problem, cases, calls, pairs)]
        found = ". Its numbers: ".join(p for p in parts if p) or None
    return found


def _cause_of_numbers(
    rec: Recurrence, right: Program, fn: Adapted, problem: Problem, cases: Sequence[Arrays],
    calls: Sequence[Call], pairs: bool,
) -> str | None:  # fmt: skip
    """As ``gradient_cause``, of a function whose results are always the same."""
    right_loss = has_right_loss(rec, calls)
    if right_loss and fits(right, calls):  # only long runs can be wrong
        return named_pattern(observed(rec, fn, problem, cases, Full()), Full())
    single = _single_calls(rec, fn, calls)
    found = (
        feedback_named(rec, calls)
        or one_mistake(right, calls)
        or (None if right_loss else model_named(rec, calls))
        or changed_afterwards(rec, right, calls)
        or changed_afterwards(rec, right, single)
    )
    if found is not None:
        return found
    kept = observed(rec, fn, problem, cases, Full())
    found = (
        named_pattern(kept, Full(), partly=False)
        or half_cut_named(rec, right, calls, ())
        or repeated_named(rec, right, single or calls)
        or clipped_inside_named(right, calls)
        or batch_named(rec, right, calls)
        or (_sometimes(right, calls) if right_loss else None)
        or _but_for_the_start(rec, right, calls)
        or (two_mistakes(right, calls) if pairs else None)
    )
    if found is None and right_loss:  # this speaks of the gradient alone
        found = named_pattern(kept, Full()) or (gradient_of_another(rec, calls) if pairs else None)
    return found or rounded_named(right, calls)


def truncation_cause(
    rec: Recurrence,
    fn: Adapted,
    problem: Problem,
    cases: Sequence[Arrays],
    estimator: Truncation,
    rng: np.random.Generator,
) -> str | None:
    """In words, which truncation a refuted gradient equals, or which other mistake gives its numbers."""
    reset = restart_named(rec, fn, cases, _lengths(estimator))
    if reset is not None:
        return reset
    seen = observed(rec, fn, problem, cases, estimator)
    return (
        named_pattern(seen, estimator)
        or _named_where_whole(rec, fn, cases, estimator)
        or pieces_named(rec, fn, cases, _lengths(estimator))
        or half_cut_named(rec, adjoint(rec.program), _short_calls(fn, cases), _lengths(estimator))
        or _weighed(rec, fn, problem, cases, estimator, rng)
        or _unknown(seen, estimator)
    )


def _sometimes(right: Program, calls: Sequence[Call]) -> str | None:
    """The mistake of a function that is right in some calls, and where it is made."""
    wrong = [c for c in calls if not fits(right, [c])]
    where = only_where(wrong, [c for c in calls if c not in wrong])
    found = one_mistake(right, wrong) if where else None
    return None if found is None else f"{where}: {found}"


def _but_for_the_start(rec: Recurrence, right: Program, calls: Sequence[Call]) -> str | None:
    """The mistake that gives all numbers but those of the initial states."""
    initial = [n for n in rec.initial if n in calls[0].grads]
    if not initial:
        return None
    others = [replace(c, grads={k: v for k, v in c.grads.items() if k not in initial}) for c in calls]
    found = one_mistake(right, others)
    return None if found is None else f"{found}; the gradient of {', '.join(initial)} does not have it"


def _short_calls(fn: Adapted, cases: Sequence[Arrays]) -> list[Call]:
    """Calls in the cases that are short, the smallest first."""
    told = [a for a in cases if len(a["weights"]) <= DIAGNOSED_STEPS]
    if not told:  # inputs of the caller's
        told = list(cases[: 1 if len(cases[0]["weights"]) > LONG_STEPS else FEW])
    return calls_of(fn, sorted(told, key=lambda a: (len(a["weights"]), a["weights"].size)))


def _single_calls(rec: Recurrence, fn: Adapted, calls: Sequence[Call]) -> list[Call]:
    """The same inputs, one sequence at a time, where the function is called so: it may clip each, say."""
    if not isinstance(fn.function, AdaptedFunction) or fn.function.layout != "sequence":
        return []
    axes = batch_axes(rec)
    single = [
        {k: np.take(v, [b], axes[k]) if k in axes else v for k, v in c.arrays.items()}
        for c in calls
        for b in range(c.arrays["weights"].shape[1])
    ]
    return calls_of(fn, single)


def _lengths(estimator: Truncation) -> tuple[int, ...]:
    match estimator:
        case Window(tau):
            return (tau,)
        case Chunks(k1, k2):
            return tuple(dict.fromkeys((k1, k2)))
    return ()


def _named_where_whole(
    rec: Recurrence, fn: Adapted, cases: Sequence[Arrays], estimator: Truncation
) -> str | None:
    """The ordinary diagnosis, in the cases in which nothing is truncated."""

    def whole(steps: int) -> bool:
        return bool(np.array_equal(kept(estimator, steps), kept(Full(), steps)))

    short = [a for a in cases if whole(len(a["weights"])) and len(a["weights"]) <= LONGEST]
    found = diagnosis(rec, fn, short) if any(len(a["weights"]) > 1 for a in short) else None
    return None if found is None else f"where nothing is truncated, too: {found}"


def _weighed(
    rec: Recurrence,
    fn: Adapted,
    problem: Problem,
    cases: Sequence[Arrays],
    estimator: Truncation,
    rng: np.random.Generator,
) -> str | None:
    initial = rec.initial
    short = [a for a in cases if 1 < len(a["weights"]) <= LONGEST]
    for arrays in sorted(short, key=lambda a: -len(a["weights"])):
        draws = [arrays, *(_redrawn(rec, arrays, rng) for _ in range(REPEATS))]
        seen = observed(rec, fn, problem, draws, estimator)
        if len(seen) == len(draws) and any(differs(s, estimator) for s in seen):
            found = weights_named(seen, estimator, initial)
            if found is not None:
                return found
    return None


def _unknown(seen: Sequence[Seen], estimator: Truncation) -> str | None:
    """Where the numbers differ, if nothing explains them."""
    for s in seen:
        wrong = differs(s, estimator)
        if wrong:
            named = ", ".join(f"∂L/∂{b}" for b in wrong)
            return f"no known truncation gives these numbers; {named} differ from T={s.steps} on"
    return None


def _redrawn(rec: Recurrence, arrays: Arrays, rng: np.random.Generator) -> dict[str, Array]:
    """The same case with other parameters and inputs."""
    real = [n for n in (*rec.params, *rec.inputs) if n not in rec.onehot]
    return {**arrays, **{k: arrays[k] * rng.uniform(0.5, 1.5, np.shape(arrays[k])) for k in real}}
