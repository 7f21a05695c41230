"""``check_gradient`` and its twin ``assert_gradient``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from bptt_verify.check import Problem, judge_gradient, taylor_evidence
from bptt_verify.errors import CheckFailedError, UsageError
from bptt_verify.language import Recurrence, with_feedback
from bptt_verify.verdict import Evidence, Report, combine
from bptt_verify.verify.adapters import Adapted, adapted
from bptt_verify.verify.arguments import drawn_once, meant, not_sent, other_forms, refuse_wrt, seeded
from bptt_verify.verify.causes import gradient_cause
from bptt_verify.verify.plaincauses import plain_cause
from bptt_verify.verify.plainlosses import loss_problem
from bptt_verify.verify.problems import Inputs, Reduction, recurrence_problem
from bptt_verify.verify.refuted import RefutedReport
from bptt_verify.verify.reproduction import Subject, reproduced


def check_gradient(
    fn: Callable[..., Any],
    against: Recurrence | Callable[..., Any],
    *,
    inputs: Inputs = None,
    rng: int | np.random.Generator | None = None,
    reduction: Reduction = "mean",
    feedback: str | None = None,
    wrt: Sequence[str] | None = None,
) -> Report:
    """Check a gradient function against a recurrence, or against a loss function.

    Parameters
    ----------
    fn : callable
        ``fn(**arrays) -> (loss, grads)``, grads a mapping with one array per parameter (and, where it
        provides them, per real input and initial state). It is sent only the arrays it takes.
    against : Recurrence or callable
        The equations; or any ``loss(**arrays)`` of real arrays.
    inputs : dict of arrays, or function of a Generator returning one, optional
        With a recurrence, replaces the inputs the library draws. With a loss function, required; every
        floating-point array in it is a block whose gradient can be compared. Sizes may differ from draw to
        draw.
    rng : int or Generator, optional
        Seed of everything random; fresh if left out, and printed in the report.
    reduction : {"mean", "sum"} or array (T, B)
        The weights of the loss terms that a function without the argument ``weights`` uses.
    feedback : {"free", "teacher", "scheduled"}, optional
        What a Feedback of the recurrence is fed (claim T11); a scheduled function takes ``mask``, (T, B).
    wrt : sequence of str, optional
        With a loss function, the arrays whose gradient is expected. If left out, those that are returned are
        compared, and a note names the others: nothing tells parameters from data. (Of a recurrence the
        gradient of every parameter is expected.)

    Returns
    -------
    Report
        ``.verdict`` is ``"verified"``, ``"refuted"`` or ``"inconclusive"``. The cause of a refuted one
        and its script are looked for when they are first read or printed.

    Raises
    ------
    UsageError
        If an argument is not as described.
    """
    seed, generator = seeded(rng)
    if isinstance(against, Recurrence):
        refuse_wrt(wrt)
        against = with_feedback(against, feedback)
        wrapped = meant(fn, against, reduction)
        problem = recurrence_problem(against, wrapped, inputs, reduction)
    elif callable(against):
        if feedback is not None:
            raise UsageError(
                f"feedback={feedback!r:.40} with a loss function; expected a Recurrence with a Feedback."
            )
        wrapped = adapted(fn, None)
        problem = loss_problem(fn, against, inputs, wrt)
    else:
        raise UsageError(f"against={against!r:.60}; expected a Recurrence or a loss function loss(**arrays).")
    problem, cases = drawn_once(problem, generator)
    evidence, notes = judge_gradient(wrapped, problem, generator)
    if any(e.name.startswith("finite") and e.verdict != "verified" for e in evidence):
        evidence = _with_slopes(evidence, wrapped, problem, generator)
    if isinstance(against, Recurrence):
        notes = (*not_sent(against, wrapped, reduction), *notes)
    title = f"{_named(fn)} against {_titled(against)}"
    if combine(e.verdict for e in evidence) != "refuted":
        return Report(title, evidence, None, notes, seed)
    formal = any(e.name == "contract" and e.verdict == "refuted" for e in evidence)
    if formal and isinstance(against, Recurrence) and inputs is None:
        notes = (*notes, *other_forms(against, wrapped, cases))
    subject = Subject(fn, wrapped, against, inputs, reduction, seed, wrt)

    def cause() -> str | None:
        if isinstance(against, Recurrence):
            return gradient_cause(against, wrapped, problem, [c.arrays for c in cases])
        return plain_cause(wrapped, problem, cases, np.random.default_rng(seed or 0))

    return RefutedReport(title, evidence, notes, seed, cause, partial(reproduced, subject, problem, cases))


def assert_gradient(
    fn: Callable[..., Any],
    against: Recurrence | Callable[..., Any],
    *,
    inputs: Inputs = None,
    rng: int | np.random.Generator | None = None,
    reduction: Reduction = "mean",
    feedback: str | None = None,
    wrt: Sequence[str] | None = None,
) -> Report:
    """As ``check_gradient``; raises unless the verdict is ``"verified"``.

    Raises
    ------
    CheckFailedError
        With the whole report as its message.
    """
    report = check_gradient(
        fn, against, inputs=inputs, rng=rng, reduction=reduction, feedback=feedback, wrt=wrt
    )
    if report.verdict != "verified":
        raise CheckFailedError(report)
    return report


def _with_slopes(
    evidence: tuple[Evidence, ...], fn: Adapted, problem: Problem, rng: np.random.Generator
) -> tuple[Evidence, ...]:
    """Taylor slopes as a second witness where there is no complex step."""
    return (*evidence, taylor_evidence(fn, problem, rng))


def _named(fn: Any) -> str:
    return getattr(fn, "__qualname__", None) or type(fn).__name__


def _titled(against: Any) -> str:
    if isinstance(against, Recurrence):
        mode = f", feedback={against.mode!r}" if against.feedback else ""
        return f"the recurrence {against.name}{mode}"
    return f"the loss {_named(against)}"
