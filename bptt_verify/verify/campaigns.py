"""``campaign``: a gradient function on many drawn problems, on as many machines as an executor has."""

from __future__ import annotations

import hashlib
import inspect
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from bptt_verify.errors import UsageError
from bptt_verify.language import Recurrence, with_feedback
from bptt_verify.program import digest
from bptt_verify.verdict import Verdict
from bptt_verify.verify.adapters import adapted
from bptt_verify.verify.arguments import known_arrays
from bptt_verify.verify.examples import Result, Task, problem_of
from bptt_verify.verify.problems import Reduction, recurrence_problem
from bptt_verify.verify.resultfiles import ResultFile
from bptt_verify.verify.workforce import run_examples

SHOWN = 8  # failures that are written out


@dataclass(frozen=True)
class Campaign:
    """The results of a campaign; two with the same results are equal, wherever they ran.

    Attributes
    ----------
    subject : str
    seed : int
    results : tuple of Result
        In the order of their numbers.
    retried : int
        How many were run again, since their worker died.
    resumed : int
        How many were found in the file.
    """

    subject: str
    seed: int
    results: tuple[Result, ...]
    retried: int = field(default=0, compare=False)
    resumed: int = field(default=0, compare=False)
    rec: Recurrence | None = field(default=None, compare=False, repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """How many examples have each verdict."""
        return dict(Counter(r.verdict for r in self.results))

    @property
    def failures(self) -> tuple[Result, ...]:
        """The examples that were refuted, or on which the check or its process failed."""
        return tuple(r for r in self.results if r.verdict not in ("verified", "inconclusive"))

    @property
    def verdict(self) -> Verdict:
        """``"refuted"`` if one example is; ``"verified"`` if half or more are and nothing failed."""
        if self.counts.get("refuted"):
            return "refuted"
        told = self.counts.get("verified", 0)
        return "verified" if told and not self.failures and 2 * told >= len(self.results) else "inconclusive"

    def inputs(self, example: int) -> dict[str, Any]:
        """The arrays of one example, for ``check_gradient(fn, rec, inputs=…)``."""
        if self.rec is None:
            raise UsageError("inputs: this Campaign was made by hand; expected one that campaign returned.")
        return problem_of(self.rec, self.seed, example)[1]

    def __str__(self) -> str:
        listed = ", ".join(f"{n} {v}" for v, n in sorted(self.counts.items(), key=lambda c: -c[1]))
        lines = [f"{self.verdict.upper()}: {self.subject} on {len(self.results)} examples: {listed}"]
        lines += [f"  {r.verdict}: {r}" for r in self.failures[:SHOWN]]
        if len(self.failures) > SHOWN:
            lines.append(f"  … and {len(self.failures) - SHOWN} more")
        if self.failures:
            k = self.failures[0].example
            lines.append(f"  one alone: examples=[{k}], seed={self.seed}; its arrays: .inputs({k})")
        if self.retried:
            lines.append(f"  note: {self.retried} were run again one by one, since a worker died")
        if self.resumed:
            lines.append(f"  note: {self.resumed} were found in the file, and not run again")
        return "\n".join([*lines, f"  repeat with seed={self.seed}"])


def campaign(
    subject: Recurrence | Callable[..., Any],
    against: Recurrence | None = None,
    *,
    examples: int | Iterable[int] = 100,
    seed: int = 0,
    executor: Executor | None = None,
    path: str | PathLike[str] | None = None,
    reduction: Reduction = "mean",
    feedback: str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Campaign:
    """Check a gradient function on many drawn problems, each by itself.

    Parameters
    ----------
    subject : callable, or Recurrence
        ``fn(**arrays) -> (loss, grads)``; or a recurrence, whose generated kernel is checked.
    against : Recurrence, optional
        The equations, where ``subject`` is a function.
    examples : int, or iterable of int
        How many examples, or the numbers of some.
    seed : int
        With the number of an example it decides its sizes, its regime and its arrays.
    executor : concurrent.futures.Executor, optional
        Where they run; here, one after the other, if left out. A pool of processes needs a function that can
        be pickled. The executor is not shut down.
    path : path, optional
        A file to which results are appended (a line of JSON each); what is there is not run again.
    reduction, feedback
        As for ``check_gradient``.
    progress : callable, optional
        ``progress(done, total)`` after each example.

    Returns
    -------
    Campaign
        Equal for equal seeds, on every executor.

    Raises
    ------
    UsageError
        If an argument is not as described, the function cannot be sent to the workers, or the file belongs to
        another campaign.
    """
    task = _task(subject, against, seed, reduction, feedback)
    numbers = _numbers(examples)
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise UsageError(f"executor={executor!r:.60}; expected a concurrent.futures.Executor.")
    name = f"the kernel of {task.rec.name}" if task.fn is None else _name(task.fn)
    file = None if path is None else ResultFile(Path(path), _header(task, name))
    results = {} if file is None else {k: r for k, r in file.found.items() if k in set(numbers)}
    resumed = len(results)

    def keep(result: Result) -> None:
        results[result.example] = result
        if file is not None:
            file.add(result)
        if progress is not None:
            progress(len(results), len(numbers))

    try:
        retried = run_examples(task, [k for k in numbers if k not in results], executor, keep)
    finally:
        if file is not None:
            file.close()
    ordered = tuple(results[k] for k in sorted(results))
    about = name if task.fn is None else f"{name} against the recurrence {task.rec.name}"
    return Campaign(about, task.seed, ordered, retried, resumed, task.rec)


def _task(subject: Any, against: Any, seed: int, reduction: Reduction, feedback: str | None) -> Task:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise UsageError(f"seed={seed!r:.40}; expected a non-negative integer.")
    if isinstance(subject, Recurrence):
        if against is not None:
            raise UsageError("against= with a recurrence as subject; expected a function, or no against=.")
        return Task(None, with_feedback(subject, feedback), reduction, int(seed))
    if not isinstance(against, Recurrence):
        raise UsageError(f"against={against!r:.60}; expected a Recurrence.")
    rec = with_feedback(against, feedback)
    recurrence_problem(rec, adapted(subject, known_arrays(rec)), None, reduction)  # is it fit to be checked?
    return Task(subject, rec, reduction, int(seed))


def _numbers(examples: Any) -> list[int]:
    if isinstance(examples, int | np.integer) and not isinstance(examples, bool):
        numbers = list(range(examples))
    elif isinstance(examples, Iterable) and not isinstance(examples, str):
        numbers = list(dict.fromkeys(examples))
    else:
        numbers = []
    if not numbers or not all(isinstance(k, int | np.integer) and k >= 0 for k in numbers):
        raise UsageError(
            f"examples={examples!r:.60}; expected a positive number, or the numbers of examples."
        )
    return [int(k) for k in numbers]


def _name(fn: Any) -> str:
    return getattr(fn, "__qualname__", None) or type(fn).__name__


def _header(task: Task, name: str) -> dict[str, Any]:
    """What makes results comparable: the equations, the function's source, the seed, the weights."""
    weights = task.reduction if isinstance(task.reduction, str) else np.asarray(task.reduction).tolist()
    return {
        "subject": name,
        "recurrence": digest(task.rec.program),
        "function": _source(task.fn),
        "seed": task.seed,
        "reduction": weights,
    }


def _source(fn: Any) -> str | None:
    """A hash of the function's source, where there is one: a changed function is another campaign."""
    own = inspect.unwrap(getattr(fn, "__func__", getattr(fn, "fn", fn))) if fn is not None else None
    try:
        return None if own is None else hashlib.sha256(inspect.getsource(own).encode()).hexdigest()
    except (OSError, TypeError):
        return None
