"""``campaign``: a gradient function on many drawn problems, on as many machines as an executor has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from bptt_verify.errors import UsageError
from bptt_verify.estimators import Estimator
from bptt_verify.language import Recurrence
from bptt_verify.verdict import Verdict
from bptt_verify.verify.examples import Result, Task, inputs_of
from bptt_verify.verify.problems import Reduction
from bptt_verify.verify.resultfiles import ResultFile
from bptt_verify.verify.tasks import header_of, task_of
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
    task: Task | None = field(default=None, compare=False, repr=False)

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
        """``"refuted"`` if one example is; ``"verified"`` if half or more are and nothing failed.

        Of a truncation at least one must also tell it from its neighbours.
        """
        if self.counts.get("refuted"):
            return "refuted"
        told = [r for r in self.results if r.verdict == "verified"]
        seen = not self.failures and not all(r.blind for r in told)
        return "verified" if seen and 2 * len(told) >= len(self.results) else "inconclusive"

    def inputs(self, example: int) -> dict[str, Any]:
        """The arrays of one example, for ``check_gradient(fn, rec, inputs=…)``; with ``keep`` if random."""
        if self.task is None:
            raise UsageError("inputs: this Campaign was made by hand; expected one that campaign returned.")
        return inputs_of(self.task, example)[1]

    def __str__(self) -> str:
        listed = ", ".join(f"{n} {v}" for v, n in sorted(self.counts.items(), key=lambda c: -c[1]))
        lines = [f"{self.verdict.upper()}: {self.subject} on {len(self.results)} examples: {listed}"]
        lines += [f"  {r.verdict}: {r}" for r in self.failures[:SHOWN]]
        if len(self.failures) > SHOWN:
            lines.append(f"  … and {len(self.failures) - SHOWN} more")
        if self.failures:
            k = self.failures[0].example
            lines.append(f"  one alone: examples=[{k}], seed={self.seed}; its arrays: .inputs({k})")
        blind = sum(r.blind for r in self.results)
        if blind:
            lines.append(f"  note: {blind} do not tell the truncation from its neighbours")
        if self.retried:
            lines.append(f"  note: {self.retried} were run again one by one, since a worker died")
        if self.resumed:
            lines.append(f"  note: {self.resumed} were found in the file, and not run again")
        return "\n".join([*lines, f"  repeat with seed={self.seed}"])


def campaign(
    subject: Recurrence | Callable[..., Any],
    against: Recurrence | Callable[..., Any] | None = None,
    *,
    inputs: Callable[[np.random.Generator], Any] | None = None,
    estimator: Estimator | None = None,
    examples: int | Iterable[int] = 100,
    seed: int = 0,
    executor: Executor | None = None,
    path: str | PathLike[str] | None = None,
    reduction: Reduction = "mean",
    feedback: str | None = None,
    wrt: Sequence[str] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Campaign:
    """Check a gradient function on many drawn problems, each by itself.

    Parameters
    ----------
    subject : callable, or Recurrence
        ``fn(**arrays) -> (loss, grads)``; or a recurrence, whose generated kernel is checked.
    against : Recurrence, or callable
        The equations, where ``subject`` is a function; or any ``loss(**arrays)``, with ``inputs``.
    inputs : callable
        For a loss function: a function of a numpy Generator that returns a dict of arrays.
    estimator : Full, Window, Chunks or Randomized, optional
        What the gradient of a recurrence should be: truncated, judged as by ``check_truncated``; or random,
        where the function takes ``xi`` or ``keep``: each example then has gates, and is judged at these.
    examples : int, or iterable of int
        How many examples, or the numbers of some.
    seed : int
        With the number of an example it decides its sizes, its regime and its arrays.
    executor : concurrent.futures.Executor, optional
        Where they run; here, one after the other, if left out. A pool of processes needs a function that can
        be pickled, and so does a loss with its inputs. The executor is not shut down.
    path : path, optional
        A file to which results are appended (a line of JSON each); what is there is not run again.
    reduction, feedback, wrt
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
    task = task_of(subject, against, inputs, estimator, seed, reduction, feedback, wrt)
    numbers = _numbers(examples)
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise UsageError(f"executor={executor!r:.60}; expected a concurrent.futures.Executor.")
    file = None if path is None else ResultFile(Path(path), header_of(task))
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
    return Campaign(task.title, task.seed, ordered, retried, resumed, task)


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
