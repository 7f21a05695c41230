"""``gradient_test``: a property test of a gradient function in one line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal, Protocol

import hypothesis
from hypothesis import HealthCheck, Phase, errors

from bptt_verify.errors import CheckFailedError
from bptt_verify.estimators import Estimator
from bptt_verify.language import Recurrence
from bptt_verify.testing.against import Against, against_of
from bptt_verify.testing.examples import count
from bptt_verify.testing.failures import GradientTestFailedError
from bptt_verify.testing.judging import Judge, verdict_of
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
    against: Recurrence | Callable[..., Any],
    *,
    inputs: Any = None,
    estimator: Estimator | None = None,
    feedback: str | None = None,
    reduction: Reduction = "mean",
    wrt: Sequence[str] | None = None,
    max_examples: int | None = None,
    max_steps: int | None = None,
    max_batch: int | None = None,
    max_size: int | None = None,
    settings: hypothesis.settings | None = None,
) -> Callable[[Callable[..., Any]], GradientTest]:
    """Make a Hypothesis property test of a gradient function.

    ``test_mine = gradient_test(rec)(mine)``, or as a decorator of the function itself; for pytest, unittest,
    or to be called. Sizes, T, B, regime and weights are drawn; each example is judged by the rules of
    ``check_gradient``; a failing one is shrunk to the smallest T, then B, then sizes, and reported with the
    place, the likely cause, and a script that reproduces it.

    Parameters
    ----------
    against : Recurrence, or callable
        The equations; or any ``loss(**arrays)`` of real arrays, then with ``inputs``.
    inputs : callable, or SearchStrategy
        For a loss function: a function of a numpy Generator that returns a dict of arrays, whose sizes may
        vary, or a Hypothesis strategy of such dicts. Hypothesis shrinks what its strategy drew; of a function
        the least that other seeds draw is looked for.
    estimator : Full, Window, Chunks or Randomized, optional
        What the gradient of a recurrence should be: truncated, judged by the rules of ``check_truncated``; or
        random, where the function takes ``xi`` or ``keep``: then gates are drawn, and each outcome is judged
        against the gated recursion.
    feedback : {"free", "teacher", "scheduled"}, optional
        What a Feedback of the recurrence is fed.
    reduction : {"mean", "sum"}
        The weights of the loss terms that a function without the argument ``weights`` uses.
    wrt : sequence of str, optional
        As of ``check_gradient``: with a loss function, the arrays whose gradient is expected.
    max_examples : int, optional
        As of the Hypothesis profile, if left out.
    max_steps, max_batch, max_size : int, optional
        The largest T (16, or twice the reach of a truncation and 2), B (3), and length of any other axis (4).
    settings : hypothesis.settings, optional
        Otherwise the current profile, without a deadline. A decorator ``@settings`` has no effect.

    Returns
    -------
    callable
        ``fn(**arrays) -> (loss, grads)`` to the test. The function is there as ``.bptt.fn``.

    Raises
    ------
    UsageError
        If an argument is not as described, the function does not take the parameters, or a random gradient
        takes no gates.
    """
    limits = {"max_steps": max_steps, "max_batch": max_batch, "max_size": max_size}
    what = against_of(against, inputs, estimator, feedback, reduction, limits, wrt)
    if max_examples is not None:
        count("max_examples", max_examples)

    def made(fn: Callable[..., Any]) -> GradientTest:
        tested = Property(fn, what, settings, max_examples)

        def test(*instance: object) -> None:
            __tracebackhide__ = True
            tested.run()

        test.__name__, test.__qualname__ = tested.name.rpartition(".")[2], tested.name
        test.__module__, test.__doc__ = getattr(fn, "__module__", __name__), inspect.getdoc(fn)
        test.bptt = tested  # type: ignore[attr-defined]
        return test  # type: ignore[return-value]

    return made


class Refuted(Exception):
    """What Hypothesis sees of a failing example: as little as possible, since it prints it more than once."""

    def __init__(self, example: Any, evidence: tuple[Evidence, ...]) -> None:
        super().__init__()
        self.example, self.evidence = example, evidence


class Property:
    """One function, what it is tested against, and what is drawn.

    Attributes
    ----------
    fn : callable
    against : Against
    name : str
    max_examples, seed : int or None
        None leaves them to the Hypothesis profile; see ``configure``.
    report : Report or None
        Of the last run.
    """

    def __init__(
        self, fn: Callable[..., Any], against: Against,
        settings: hypothesis.settings | None, max_examples: int | None,
    ) -> None:  # fmt: skip
        self.fn, self.against = fn, against
        self.settings, self.max_examples = settings, max_examples
        self.seed: int | None = None
        self.limit = max_examples
        self._module = getattr(fn, "__module__", None)
        self.name = str(getattr(fn, "__qualname__", None) or type(fn).__name__)
        self.report: Report | None = None
        self.failed: Any = None
        self.agreed: list[Any] = []
        self.untold = 0
        self.why = ""
        self.judge = Judge(fn, against)

    @cached_property
    def subject(self) -> str:
        """What is tested against what."""
        return f"{self.name} against {self.against.title}"

    @property
    def counted(self) -> str:
        """What was found in the last run: the smallest failing example, or how many were judged."""
        if self.failed is not None:
            return f"smallest: {self.failed.title}"
        undecided = f", {self.untold} undecided" if self.untold else ""
        return f"{self.told + self.untold} examples{undecided}"

    @property
    def told(self) -> int:
        """How many examples agreed."""
        return len(self.agreed)

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
        self.agreed, self.untold, self.report, self.failed = [], 0, None, None
        found = self._searched()
        if found is not None:
            failed = GradientTestFailedError(self, found.example, found.evidence)
            failed.__notes__ = getattr(found, "__notes__", [])
            self.report, self.failed = failed.report, failed.example
            raise failed
        self.report = self._summed()
        if self.report.verdict != "verified":
            raise CheckFailedError(self.report)
        return self.report

    def _searched(self) -> Refuted | None:
        """The smallest failing example that is found."""
        try:
            self._hypothesis_test()()
        except Refuted as found:
            return self._smaller(found)
        except errors.Flaky as flaky:  # wrong once and right again: the wrong one counts
            raised = (flaky.__cause__, flaky.__context__, *getattr(flaky, "exceptions", ()))
            wrong = next((f for f in raised if isinstance(f, Refuted)), None)
            if wrong is None:
                raise
            return wrong
        return None

    def _smaller(self, found: Refuted) -> Refuted:
        for example in self.against.smaller(found.example):
            evidence = self.judge.judge(example)
            if verdict_of(evidence) == "refuted":
                return Refuted(example, evidence)
        return found

    def _hypothesis_test(self) -> Callable[[], None]:
        def test(example: Any) -> None:
            evidence = self.judge.judge(example)
            verdict = verdict_of(evidence)
            hypothesis.event(verdict)
            if verdict == "refuted":
                raise Refuted(example, evidence)
            self._count(example, evidence, verdict == "verified")

        test.__name__ = re.sub(r"\W", "_", self.name)
        # Hypothesis finds earlier failures by source and signature; all such tests would have one in common.
        test.__annotations__["example"] = Literal[f"{self._module}: {self.subject} {self.against.key}"]
        parent = self.settings or hypothesis.settings()
        quiet = {*parent.suppress_health_check, HealthCheck.too_slow, HealthCheck.nested_given}
        limit = {} if self.limit is None else {"max_examples": self.limit}
        phases = tuple(p for p in parent.phases if p is not Phase.explain)  # it would explain the library
        options: Any = {"deadline": None, "print_blob": False, "phases": phases}
        options |= {"suppress_health_check": tuple(quiet), **limit}
        given = hypothesis.given(example=self.against.strategy)(test)
        made: Any = hypothesis.settings(parent, **options)(given)
        return made if self.seed is None else hypothesis.seed(self.seed)(made)  # type: ignore[no-any-return]

    def _count(self, example: Any, evidence: tuple[Evidence, ...], told: bool) -> None:
        if told:
            self.agreed.append(example)
        else:
            self.untold += 1
            self.why = next(e.summary for e in evidence if e.verdict != "verified")

    def _summed(self) -> Report:
        total = self.told + self.untold
        enough = self.told > 0 and self.untold <= UNTOLD * total
        summary = f"{self.told} of {total} drawn examples agree" + (
            f"; {self.untold} undecided, such as: {self.why}" if self.untold else ""
        )
        drawn = Evidence("drawn examples", "tested", "verified" if enough else "inconclusive", summary)
        more = self.against.evidence(self.fn, self.agreed)
        return Report(self.subject, (drawn, *more), None, self.against.notes(self.judge.fn))
