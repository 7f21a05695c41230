"""What reproduces a refuted report: the smallest inputs that were found, and a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bptt_verify.check import Arrays, Case, Problem, judge_gradient
from bptt_verify.language import Recurrence, outward
from bptt_verify.verdict import combine
from bptt_verify.verify.adapters import Adapted
from bptt_verify.verify.diagnosis import returned
from bptt_verify.verify.problems import Inputs, Reduction
from bptt_verify.verify.refuted import Reproduction
from bptt_verify.verify.scripts import Name, as_literals, is_short, place_of, place_of_reference, script
from bptt_verify.verify.shrinking import smallest_failing


@dataclass(frozen=True)
class Subject:
    """What was checked, as the caller gave it.

    Attributes
    ----------
    fn : callable
    sent : Adapted
        The same, as it is called.
    against : Recurrence or callable
    inputs : as of ``check_gradient``
    reduction : as of ``check_gradient``
    seed : int or None
    wrt : as of ``check_gradient``
    """

    fn: Any
    sent: Adapted
    against: Any
    inputs: Inputs
    reduction: Reduction
    seed: int | None
    wrt: Sequence[str] | None = None


def reproduced(subject: Subject, problem: Problem, cases: Sequence[Case]) -> Reproduction:
    """The smallest inputs that were found, and a script; None where the caller must have the script.

    Against a recurrence inputs are drawn anew and shrunk. Inputs of the caller's stay as they are; of those
    that a function draws, the smallest on which the gradient is wrong are taken.
    """
    options, reference = _options(subject), place_of_reference(subject.against)
    given = {"inputs": Name("arrays"), **options}
    if subject.inputs is None and isinstance(subject.against, Recurrence):
        fails = any(returned(subject.sent, c.arrays) is None for c in cases)
        found = smallest_failing(subject.against, subject.sent, subject.reduction, subject.seed or 0, fails)
        if found is not None and is_short(found.arrays):
            return found.title, script(subject.fn, reference, as_literals(found.arrays), given)
        return None, script(subject.fn, reference, [], options)
    case = _smallest(subject.sent, problem, cases)
    if case is not None and is_short(case.arrays):
        arrays = outward({k: v for k, v in case.arrays.items() if subject.sent.takes(k)})
        return f"{case.name} ({_shapes(arrays)})", script(subject.fn, reference, as_literals(arrays), given)
    if callable(subject.inputs):
        lines, called = place_of(subject.inputs, "draw")
        return None, script(subject.fn, reference, lines, {"inputs": Name(called), **options})
    return None, None


def _options(subject: Subject) -> dict[str, Any]:
    against, reduction = subject.against, subject.reduction
    return {
        "wrt": None if subject.wrt is None else tuple(subject.wrt),
        "rng": subject.seed,
        "reduction": reduction if isinstance(reduction, str) and reduction != "mean" else None,
        "feedback": against.mode if isinstance(against, Recurrence) and against.feedback else None,
    }


def _smallest(fn: Adapted, problem: Problem, cases: Sequence[Case]) -> Case | None:
    """The smallest of the cases on which the function is refuted by itself."""
    for case in sorted(cases, key=lambda c: sum(np.size(a) for a in c.arrays.values())):
        evidence, _ = judge_gradient(fn, _with_only(problem, case), np.random.default_rng(0))
        if combine(e.verdict for e in evidence) == "refuted":
            return case
    return None


def _with_only(problem: Problem, case: Case) -> Problem:
    return replace(problem, draw=lambda rng: [case])


def _shapes(arrays: Arrays) -> str:
    return ", ".join(f"{k} {np.shape(v)}" for k, v in arrays.items())
