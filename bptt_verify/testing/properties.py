"""``gradient_test``: a property test of a gradient function in one line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal, Protocol

import hypothesis
from hypothesis import HealthCheck, Phase, errors

from bptt_verify.errors import CheckFailedError, UsageError
from bptt_verify.language import Recurrence, with_feedback
from bptt_verify.testing.examples import MAX_BATCH, MAX_SIZE, MAX_STEPS, Example, check_recurrence, count
from bptt_verify.testing.failures import GradientTestFailedError
from bptt_verify.testing.judging import Judge, verdict_of
from bptt_verify.testing.strategies import examples
from bptt_verify.verdict import Evidence, Report
from bptt_verify.verify.problems import Reduction

UNTOLD = 0.5  # more undecided examples than this part leave the whole undecided


class GradientTest(Protocol):
    """What ``gradient_test`` makes: a function without arguments, whatever class it stands in.

    Attributes
    ----------
    bptt : Property
        The property that it tests.
    """

    bptt: Property
    __name__: str

    def __call__(self, *instance: object) -> None:
        """Run the test; raises CheckFailedError unless the function is right."""


def gradient_test(
    rec: Recurrence,
    *,
    feedback: str | None = None,
    reduction: Reduction = "mean",
    max_examples: int | None = None,
    max_steps: int = MAX_STEPS,
    max_batch: int = MAX_BATCH,
    max_size: int = MAX_SIZE,
    settings: hypothesis.settings | None = None,
) -> Callable[[Callable[..., Any]], GradientTest]:
    """Make a Hypothesis property test of a gradient function.

    ``test_mine = gradient_test(rec)(mine)``, or as a decorator of the function itself; for pytest, unittest,
    or to be called. Sizes, T, B, regime and weights are drawn; each example is judged by the rules of
    ``check_gradient``; a failing one is shrunk to the smallest T, then B, then sizes, and reported with the
    place, the likely cause, and a script that reproduces it.

    Parameters
    ----------
    rec : Recurrence
    feedback : {"free", "teacher", "scheduled"}, optional
        What a Feedback of the recurrence is fed.
    reduction : {"mean", "sum"}
        The weights of the loss terms that a function without the argument ``weights`` uses.
    max_examples : int, optional
        As of the Hypothesis profile, if left out.
    max_steps, max_batch, max_size : int
        The largest T, B, and length of any other axis.
    settings : hypothesis.settings, optional
        Otherwise the current profile, without a deadline. A decorator ``@settings`` has no effect.

    Returns
    -------
    callable
        ``fn(**arrays) -> (loss, grads)`` to the test. The function is there as ``.bptt.fn``.

    Raises
    ------
    UsageError
        If an argument is not as described, or the function does not take the parameters.
    """
    rec = with_feedback(check_recurrence(rec), feedback)
    if not isinstance(reduction, str):
        raise UsageError(f"reduction={reduction!r:.60}; expected 'mean' or 'sum', since T and B are drawn.")
    if max_examples is not None:
        count("max_examples", max_examples)
    strategy = examples(rec, max_steps=max_steps, max_batch=max_batch, max_size=max_size)

    def made(fn: Callable[..., Any]) -> GradientTest:
        tested = Property(fn, rec, reduction, strategy, settings, max_examples)

        def test(*instance: object) -> None:
            __tracebackhide__ = True
            tested.run()

        test.__name__, test.__qualname__ = tested.name.rpartition(".")[2], tested.name
        test.__module__, test.__doc__ = getattr(fn, "__module__", __name__), inspect.getdoc(fn)
        test.bptt = tested  # type: ignore[attr-defined]
        return test  # type: ignore[return-value]

    return made


class Property:
    """One function, one recurrence, and what is drawn.

    Attributes
    ----------
    fn : callable
    name : str
    max_examples, seed : int or None
        None leaves them to the Hypothesis profile; see ``configure``.
    report : Report or None
        Of the last run.
    """

    def __init__(
        self, fn: Callable[..., Any], rec: Recurrence, reduction: Reduction,
        strategy: Any, settings: hypothesis.settings | None, max_examples: int | None,
    ) -> None:  # fmt: skip
        self.fn, self.rec, self.reduction, self.strategy = fn, rec, reduction, strategy
        self.settings, self.max_examples = settings, max_examples
        self.seed: int | None = None
        self.limit = max_examples
        self._module = getattr(fn, "__module__", None)
        self.name = str(getattr(fn, "__qualname__", None) or type(fn).__name__)
        self.report: Report | None = None
        self.failed: Example | None = None
        self.told = self.untold = 0
        self.why = ""
        self.judge = Judge(fn, rec, reduction)

    @cached_property
    def subject(self) -> str:
        """What is tested against what."""
        mode = f", feedback={self.rec.mode!r}" if self.rec.feedback else ""
        return f"{self.name} against the recurrence {self.rec.name}{mode}"

    @property
    def counted(self) -> str:
        """What was found in the last run: the smallest failing example, or how many were judged."""
        if self.failed is not None:
            return f"smallest: {self.failed.title}"
        return f"{self.told + self.untold} examples" + (f", {self.untold} undecided" if self.untold else "")

    def configure(self, seed: int | None, max_examples: int | None) -> None:
        """Take the options of a run; a number of examples that the test names stays."""
        self.seed = seed
        self.limit = self.max_examples if self.max_examples is not None else max_examples

    def run(self) -> Report:
        """Draw examples and judge each.

        Raises
        ------
        GradientTestFailedError
            With the smallest example that was found.
        CheckFailedError
            If too many examples could not be judged.
        """
        __tracebackhide__ = True
        self.told, self.untold, self.report, self.failed, failed = 0, 0, None, None, None
        try:
            self._hypothesis_test()()
        except GradientTestFailedError as failure:
            failed = failure
        except errors.Flaky as flaky:  # wrong once and right again: the wrong one counts
            failed = next((f for f in (flaky.__cause__, flaky.__context__, *getattr(flaky, "exceptions", ()))
                           if isinstance(f, GradientTestFailedError)), None)  # fmt: skip
            if failed is None:
                raise
        if failed is not None:
            self.report, self.failed = failed.report, failed.example
            raise failed.with_traceback(None) from None
        self.report = self._summed()
        if self.report.verdict != "verified":
            raise CheckFailedError(self.report)
        return self.report

    def _hypothesis_test(self) -> Callable[[], None]:
        def test(example: Example) -> None:
            evidence = self.judge.judge(example)
            verdict = verdict_of(evidence)
            hypothesis.event(verdict)
            if verdict == "refuted":
                raise GradientTestFailedError(self, example, evidence)
            self._count(evidence, verdict == "verified")

        test.__name__ = re.sub(r"\W", "_", self.name)
        # Hypothesis finds earlier failures by source and signature; all such tests would have one in common.
        test.__annotations__["example"] = Literal[f"{self._module}: {self.subject} {self.rec.digest}"]
        parent = self.settings or hypothesis.settings()
        quiet = {*parent.suppress_health_check, HealthCheck.too_slow, HealthCheck.nested_given}
        limit = {} if self.limit is None else {"max_examples": self.limit}
        phases = tuple(p for p in parent.phases if p is not Phase.explain)  # it would explain the library
        options: Any = {"deadline": None, "print_blob": False, "phases": phases}
        options |= {"suppress_health_check": tuple(quiet), **limit}
        made: Any = hypothesis.settings(parent, **options)(hypothesis.given(example=self.strategy)(test))
        return made if self.seed is None else hypothesis.seed(self.seed)(made)  # type: ignore[no-any-return]

    def _count(self, evidence: tuple[Evidence, ...], told: bool) -> None:
        self.told += told
        self.untold += not told
        if not told:
            self.why = next(e.summary for e in evidence if e.verdict != "verified")

    def _summed(self) -> Report:
        count = self.told + self.untold
        enough = self.told > 0 and self.untold <= UNTOLD * count
        summary = f"{self.told} of {count} drawn examples agree" + (
            f"; {self.untold} undecided, such as: {self.why}" if self.untold else ""
        )
        evidence = Evidence("drawn examples", "tested", "verified" if enough else "inconclusive", summary)
        return Report(self.subject, (evidence,))
