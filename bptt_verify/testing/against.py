"""What a function is tested against: the one interface, and what the arguments of ``gradient_test`` mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from hypothesis.strategies import SearchStrategy

from bptt_verify.check import Case, Problem
from bptt_verify.errors import UsageError
from bptt_verify.estimators import Full, Randomized
from bptt_verify.language import Recurrence, with_feedback
from bptt_verify.testing.examples import MAX_STEPS, Limits, count
from bptt_verify.testing.ofloss import OfLoss
from bptt_verify.testing.ofrecurrence import OfOutcomes, OfRecurrence
from bptt_verify.verdict import Evidence
from bptt_verify.verify.arguments import refuse_wrt
from bptt_verify.verify.longcases import reach
from bptt_verify.verify.tasks import estimator_of, refuse_inputs, refuse_with_loss


class Against(Protocol):
    """What is drawn, how a function is called, and what it should give.

    Attributes
    ----------
    title : str
        After "fn against".
    key : str
        Tells it from others of the same title.
    strategy : SearchStrategy
        Of examples.
    """

    @property
    def title(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def strategy(self) -> SearchStrategy[Any]: ...

    def adapted(self, fn: Callable[..., Any]) -> Any:
        """The function as the checks call it.

        Raises
        ------
        UsageError
            If it does not take what it must.
        """

    def case(self, example: Any) -> Case:
        """The arrays of an example."""

    def problem(self, fn: Any, cases: Sequence[Case]) -> Problem:
        """What is expected there."""

    def samples(self) -> list[Case]:
        """Ordinary inputs; none where nothing but a strategy is known."""

    def cause(self, fn: Any, example: Any) -> str | None:
        """Which known mistake gives the numbers of a wrong function."""

    def notes(self, fn: Any) -> tuple[str, ...]:
        """What the function was not sent."""

    def smaller(self, example: Any) -> Iterator[Any]:
        """Examples that Hypothesis cannot know to be smaller, the smallest first."""

    def evidence(self, fn: Callable[..., Any], examples: Sequence[Any]) -> tuple[Evidence, ...]:
        """What all examples together must show besides."""


def against_of(
    against: Any, inputs: Any, estimator: Any, feedback: str | None, reduction: Any,
    limits: Mapping[str, int | None], wrt: Sequence[str] | None = None,
) -> Against:  # fmt: skip
    """What the arguments of ``gradient_test`` mean.

    Raises
    ------
    UsageError
        If they do not fit together.
    """
    given = {k: count(k, v) for k, v in limits.items() if v is not None}
    if not isinstance(reduction, str):
        raise UsageError(f"reduction={reduction!r:.60}; expected 'mean' or 'sum', since T and B are drawn.")
    if isinstance(against, Recurrence):
        refuse_wrt(wrt)
        rec = with_feedback(against, feedback)
        return _of_recurrence(rec, inputs, estimator, reduction, given)
    refuse_with_loss(against, reduction, estimator=estimator, feedback=feedback, **given)
    if not callable(inputs) and not isinstance(inputs, SearchStrategy):
        raise UsageError(
            f"inputs={inputs!r:.60}; expected a function of a numpy Generator that returns a dict of arrays, "
            "or a Hypothesis strategy of such dicts, since a loss function does not say what it takes."
        )
    return OfLoss(against, inputs, wrt)


def _of_recurrence(
    rec: Recurrence, inputs: Any, estimator: Any, reduction: str, given: Mapping[str, int]
) -> Against:
    refuse_inputs(inputs)
    estimator = estimator_of(estimator)
    back = 0 if isinstance(estimator, Full | Randomized) else reach(estimator)
    steps = given.get("max_steps", max(MAX_STEPS, 2 * back + 2))
    if steps <= back:
        raise UsageError(
            f"max_steps={steps} with estimator={estimator}: nothing would be truncated; expected at least "
            f"{back + 1}, better {2 * back + 2}."
        )
    batch, size = given.get("max_batch", Limits.batch), given.get("max_size", Limits.size)
    limits = Limits(steps, batch, size)
    if isinstance(estimator, Randomized):
        return OfOutcomes(OfRecurrence(rec, limits, reduction), estimator)
    return OfRecurrence(rec, limits, reduction, estimator)
