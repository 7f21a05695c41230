"""``check_truncated`` and its twin ``assert_truncated``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from bptt_verify.check import Case, Problem, complex_slope, judge_gradient, working_precision
from bptt_verify.errors import CheckFailedError, UsageError
from bptt_verify.estimators import KINDS, Chunks, Full, Randomized, Window, kept
from bptt_verify.language import Recurrence
from bptt_verify.oracle import Truncation
from bptt_verify.verdict import Evidence, Report, Verdict, combine
from bptt_verify.verify.adapters import Adapted
from bptt_verify.verify.arguments import drawn_once, meant, not_sent, seeded
from bptt_verify.verify.causes import truncation_cause
from bptt_verify.verify.diagnosis import called
from bptt_verify.verify.longcases import truncation_cases
from bptt_verify.verify.losses import RecurrenceLoss
from bptt_verify.verify.problems import Inputs, Reduction, recurrence_problem

VISIBLE = 1e-6  # relative difference by which two truncations must differ to be told apart
DIGITS = 1e4  # the same, in units of a coarser precision


def check_truncated(
    fn: Callable[..., Any],
    rec: Recurrence,
    estimator: Truncation,
    *,
    inputs: Inputs = None,
    rng: int | np.random.Generator | None = None,
    reduction: Reduction = "mean",
) -> Report:
    """Check a truncated gradient against the truncated sum (claims T5, T6).

    Parameters
    ----------
    fn : callable
        ``fn(**arrays) -> (loss, grads)``, as for ``check_gradient``. The loss is that of all steps; only
        its gradient is truncated.
    rec : Recurrence
    estimator : Full, Window or Chunks
        What the gradient should be. Terms that pass through no state are never truncated.
    inputs : dict of arrays, or function of a Generator returning one, optional
        Replaces the inputs the library draws, which have lengths around the reach of the estimator.
    rng : int or Generator, optional
        Seed of everything random; fresh if left out, and printed in the report.
    reduction : {"mean", "sum"} or array (T, B)
        The weights of the loss terms that a function without the argument ``weights`` uses.

    Returns
    -------
    Report
        Where the gradient is refuted, ``.diagnosis`` says which truncation it does equal, if any is found.
        The verdict is ``"inconclusive"`` where the inputs do not tell the estimator from its neighbours.

    Raises
    ------
    UsageError
        If an argument is not as described.
    """
    _check_arguments(rec, estimator)
    seed, generator = seeded(rng)
    wrapped = meant(fn, rec, reduction)
    problem = recurrence_problem(rec, wrapped, inputs, reduction, estimator, truncation_cases(estimator))
    problem, cases = drawn_once(problem, generator)
    evidence, notes = judge_gradient(wrapped, problem, generator)
    cause = None
    if combine(e.verdict for e in evidence) == "refuted":
        cause = truncation_cause(rec, wrapped, problem, [c.arrays for c in cases], estimator, generator)
    else:
        evidence = (*evidence, *_reach_evidence(rec, wrapped, problem, cases, estimator, generator))
    name = getattr(fn, "__qualname__", None) or type(fn).__name__
    subject = f"{name} against {estimator} of the recurrence {rec.name}"
    return Report(subject, evidence, cause, (*not_sent(rec, wrapped, reduction), *notes), seed)


def assert_truncated(
    fn: Callable[..., Any],
    rec: Recurrence,
    estimator: Truncation,
    *,
    inputs: Inputs = None,
    rng: int | np.random.Generator | None = None,
    reduction: Reduction = "mean",
) -> Report:
    """As ``check_truncated``; raises unless the verdict is ``"verified"``.

    Raises
    ------
    CheckFailedError
        With the whole report as its message.
    """
    report = check_truncated(fn, rec, estimator, inputs=inputs, rng=rng, reduction=reduction)
    if report.verdict != "verified":
        raise CheckFailedError(report)
    return report


def _check_arguments(rec: Any, estimator: Any) -> None:
    if not isinstance(rec, Recurrence):
        raise UsageError(f"rec={rec!r:.60}; expected a Recurrence, whose truncated sum is then known.")
    if isinstance(estimator, Randomized):
        raise UsageError(
            f"estimator={estimator}; expected Full(), Window(tau) or Chunks(k1, k2). A randomized gradient "
            "is no fixed sum: check it with check_unbiased."
        )
    if not isinstance(estimator, KINDS):
        raise UsageError(
            f"estimator={estimator!r:.60}; expected an instance: Full(), Window(tau) or Chunks(k1, k2)."
        )


def neighbours(estimator: Truncation) -> Iterator[Truncation]:
    """The estimators one step off."""
    match estimator:
        case Window(tau):
            yield from (Window(t) for t in (tau - 1, tau + 1) if t > 0)
        case Chunks(k1, k2):
            near = ((k1, k2 - 1), (k1, k2 + 1), (k1 - 1, k2), (k1 + 1, max(k2, k1 + 1)))
            yield from (Chunks(a, b) for a, b in near if 0 < a <= b)


def _reach_evidence(
    rec: Recurrence,
    fn: Adapted,
    problem: Problem,
    cases: Sequence[Case],
    estimator: Truncation,
    rng: np.random.Generator,
) -> tuple[Evidence, ...]:
    """Whether the inputs tell the estimator from its neighbours at all."""
    near = tuple(neighbours(estimator))
    if not near:
        return ()
    visible = _visible(fn, cases)
    gaps = {e: _gap(rec, problem, cases, estimator, e, rng, visible) for e in near}
    blind = [e for e, gap in gaps.items() if not gap > visible]
    if all(gap == 0 for gap in gaps.values()) and _forgetful(rec, problem, cases, rng):
        summary = "no step reads an earlier state, so that every truncation is the full gradient"
        return (Evidence("reach", "tested", "verified", summary),)
    verdict: Verdict = "inconclusive" if blind else "verified"
    told = ", ".join(str(e) for e in near if e not in blind)
    summary = f"on these inputs it differs visibly from {told}" if told else ""
    if blind:
        summary = (
            f"these inputs do not tell {estimator} from {' and '.join(map(str, blind))}: give longer ones"
        )
    return (Evidence("reach", "tested", verdict, summary, (), {"visible": visible}),)


def _visible(fn: Adapted, cases: Sequence[Case]) -> float:
    """The relative difference that the judge would see, given the precision of the function."""
    grads = called(fn, cases[0].arrays) if cases else None
    return max(VISIBLE, DIGITS * working_precision((grads or {}).values()).eps)


def _gap(
    rec: Recurrence,
    problem: Problem,
    cases: Sequence[Case],
    one: Truncation,
    other: Truncation,
    rng: np.random.Generator,
    enough: float,
) -> float:
    """The largest relative difference of two truncations along a random direction of any block."""
    losses = RecurrenceLoss(rec, estimator=one), RecurrenceLoss(rec, estimator=other)
    largest = 0.0
    for case in reversed(cases):
        steps = len(case.arrays["weights"])
        if np.array_equal(kept(one, steps), kept(other, steps)):
            continue
        for block in problem.required:
            direction = rng.choice([-1.0, 1.0], size=np.shape(case.arrays[block]))
            a, b = (complex_slope(loss, case.arrays, block, direction) for loss in losses)
            if np.isfinite(a) and np.isfinite(b) and a != b:
                largest = max(largest, abs(a - b) / max(abs(a), abs(b)))
        if largest > enough:
            break
    return largest


def _forgetful(rec: Recurrence, problem: Problem, cases: Sequence[Case], rng: np.random.Generator) -> bool:
    """Whether the gradient without any carried adjoint is the full one, in cases of two steps or more."""
    long = [c for c in cases if len(c.arrays["weights"]) > 1]
    return bool(long) and _gap(rec, problem, long, Full(), Window(1), rng, 0.0) == 0
