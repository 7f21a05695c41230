"""What the arguments of a campaign mean, and by what its results are known again."""

from __future__ import annotations

import hashlib
import inspect
from typing import Any

import numpy as np

from bptt_verify.errors import UsageError
from bptt_verify.estimators import KINDS, Estimator, Full, Randomized
from bptt_verify.language import Recurrence, with_feedback
from bptt_verify.program import digest
from bptt_verify.verify.adapters import adapted
from bptt_verify.verify.arguments import known_arrays, refuse_wrt
from bptt_verify.verify.examples import FULL, Task, name_of
from bptt_verify.verify.outcomes import at_gates
from bptt_verify.verify.plainlosses import loss_problem
from bptt_verify.verify.problems import Reduction, recurrence_problem


def task_of(
    subject: Any,
    against: Any,
    inputs: Any,
    estimator: Any,
    seed: Any,
    reduction: Reduction,
    feedback: Any,
    wrt: Any = None,
) -> Task:
    """The task, once everything fits together.

    Raises
    ------
    UsageError
        If it does not.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise UsageError(f"seed={seed!r:.40}; expected a non-negative integer.")
    if isinstance(subject, Recurrence):
        if against is not None:
            raise UsageError("against= with a recurrence as subject; expected a function, or no against=.")
        subject, against = None, subject
    if isinstance(against, Recurrence):
        refuse_wrt(wrt)
        return _of_recurrence(subject, against, inputs, estimator, int(seed), reduction, feedback)
    refuse_with_loss(against, reduction, estimator=estimator, feedback=feedback)
    if not callable(inputs):
        raise UsageError(
            f"inputs={inputs!r:.60}; expected a function of a numpy Generator that returns a dict of arrays, "
            "since a loss function does not say what it takes."
        )
    adapted(subject, None)
    loss_problem(subject, against, inputs, wrt)
    return Task(subject, against, "mean", int(seed), inputs=inputs, wrt=None if wrt is None else tuple(wrt))


def refuse_with_loss(against: Any, reduction: Any, **others: Any) -> None:
    """What is no loss function is an error, and so is what only a recurrence can be asked for.

    Raises
    ------
    UsageError
    """
    if not callable(against):
        raise UsageError(f"against={against!r:.60}; expected a Recurrence, or a loss function.")
    if not isinstance(reduction, str) or reduction != "mean":
        others["reduction"] = reduction
    for name, value in others.items():
        if value is not None:
            raise UsageError(f"{name}={value!r:.60} with a loss function; expected a Recurrence with it.")


def refuse_inputs(inputs: Any) -> None:
    """Those of a recurrence are drawn.

    Raises
    ------
    UsageError
        If there are some.
    """
    if inputs is not None:
        raise UsageError("inputs= with a recurrence; expected none, since its inputs are drawn.")


def estimator_of(estimator: Any) -> Estimator:
    """A user's estimator; ``Full()`` for none.

    Raises
    ------
    UsageError
        If it is something else.
    """
    if estimator is not None and not isinstance(estimator, KINDS):
        raise UsageError(
            f"estimator={estimator!r:.60}; expected an instance: Full(), Window(tau), Chunks(k1, k2) or "
            "Randomized(pi)."
        )
    return FULL if estimator is None else estimator


def _of_recurrence(
    fn: Any, rec: Recurrence, inputs: Any, estimator: Any, seed: int, reduction: Reduction, feedback: Any
) -> Task:
    refuse_inputs(inputs)
    estimator = estimator_of(estimator)
    rec = with_feedback(rec, feedback)
    if fn is not None:
        random = isinstance(estimator, Randomized)
        sent = at_gates(fn, rec, estimator).gated.adapted if random else adapted(fn, known_arrays(rec))
        recurrence_problem(rec, sent, None, reduction)  # is it fit to be checked?
    return Task(fn, rec, reduction, seed, estimator)


def header_of(task: Task) -> dict[str, Any]:
    """What makes results comparable: the equations, the function's source, the seed, the weights."""
    named = {"subject": task.title if task.fn is None else name_of(task.fn), "function": _source(task.fn)}
    if not isinstance(task.against, Recurrence):
        of = {"loss": name_of(task.against), "source": _source(task.against), "inputs": _source(task.inputs)}
        return {**named, **of, "seed": task.seed, **({"wrt": list(task.wrt)} if task.wrt else {})}
    weights = task.reduction if isinstance(task.reduction, str) else np.asarray(task.reduction).tolist()
    truncated = {} if isinstance(task.estimator, Full) else {"estimator": str(task.estimator)}
    program = digest(task.against.program)
    sizes = {"sizes": dict(task.against.fixed)} if task.against.fixed else {}
    return {**named, "recurrence": program, "seed": task.seed, "reduction": weights, **truncated, **sizes}


def _source(fn: Any) -> str | None:
    """A hash of the function's source, where there is one: a changed function is another campaign."""
    own = inspect.unwrap(getattr(fn, "__func__", getattr(fn, "fn", fn))) if fn is not None else None
    try:
        return None if own is None else hashlib.sha256(inspect.getsource(own).encode()).hexdigest()
    except (OSError, TypeError):
        return None
