"""The gradient of a recurrence as what is tested against: whole, truncated, or at outcomes of its gates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis.strategies import SearchStrategy

from bptt_verify.check import Case, Problem
from bptt_verify.estimators import Full, Randomized
from bptt_verify.language import Recurrence
from bptt_verify.oracle import Truncation
from bptt_verify.testing.examples import Example, Limits, drawn_examples
from bptt_verify.verdict import Evidence
from bptt_verify.verify.arguments import meant, not_sent
from bptt_verify.verify.cases import fixed_in, least_sizes
from bptt_verify.verify.causes import gradient_cause, truncation_cause
from bptt_verify.verify.diagnosis import diagnosis
from bptt_verify.verify.longcases import reach
from bptt_verify.verify.outcomes import (
    KEEP,
    OTHER,
    AtGates,
    at_gates,
    keep_drawn,
    outcome_cause,
    outcome_problem,
)
from bptt_verify.verify.problems import recurrence_problem
from bptt_verify.verify.schedules import law_of
from bptt_verify.verify.truncation import check_truncated

FULL = Full()
FEW = 8  # parameters up to which pairs of mistakes are looked through: there are about as many squared
REACHES = 3  # examples that are asked whether they tell a truncation from its neighbours
TELLING = ((2, 1, 1.0), (5, 3, 1.0), (9, 2, 1.7), (4, 2, 1.0))  # T, B and gain of the inputs of a diagnosis


@dataclass(frozen=True)
class OfRecurrence:
    """The gradient of a recurrence, whole or truncated.

    Attributes
    ----------
    rec : Recurrence
    limits : Limits
    reduction : str
    estimator : Full, Window or Chunks
    """

    rec: Recurrence
    limits: Limits
    reduction: str
    estimator: Truncation = FULL

    @property
    def title(self) -> str:
        """What it is."""
        mode = f", feedback={self.rec.mode!r}" if self.rec.feedback else ""
        whole = "" if isinstance(self.estimator, Full) else f"{self.estimator} of "
        return f"{whole}the recurrence {self.rec.name}{mode}"

    @property
    def key(self) -> str:
        """The equations."""
        return str(self.rec.digest)

    @property
    def strategy(self) -> SearchStrategy[Any]:
        """Examples."""
        return drawn_examples(self.rec, self.limits)

    def adapted(self, fn: Callable[..., Any]) -> Any:
        """The function with the arrays that it takes."""
        made = meant(fn, self.rec, self.reduction)
        self.problem(made, [])
        return made

    def case(self, example: Example) -> Case:
        """The arrays of an example."""
        return example.case(self.rec)

    def problem(self, fn: Any, cases: Sequence[Case]) -> Problem:
        """What is expected there."""
        estimator = None if isinstance(self.estimator, Full) else self.estimator
        return recurrence_problem(self.rec, fn, None, self.reduction, estimator, cases=lambda rec, rng: cases)

    def examples(self) -> list[Example]:
        """Ordinary inputs, of distinct sizes, around the reach of a truncation."""
        sizes = {w: n + 1 + k % 3 for k, (w, n) in enumerate(least_sizes(self.rec).items())}
        sizes = fixed_in(self.rec, sizes)
        more = () if isinstance(self.estimator, Full) else ((reach(self.estimator) + 3, 2, 1.0),)
        lengths = [(fixed_in(self.rec, {"T": T, "B": B}), gain) for T, B, gain in (*TELLING, *more)]
        at = dict.fromkeys((where["T"], where["B"], gain) for where, gain in lengths)
        return [Example(T, B, sizes, gain, seed=T) for T, B, gain in at]

    def samples(self) -> list[Case]:
        """The arrays of these."""
        return [e.case(self.rec) for e in self.examples()]

    def cause(self, fn: Any, example: Example) -> str | None:
        """Which known mistake gives the numbers: on telling inputs and the example, or on that alone."""
        cases = [*self.samples(), self.case(example)]
        problem, rng = self.problem(fn, cases), np.random.default_rng(0)
        arrays = [c.arrays for c in problem.draw(rng)]
        if not isinstance(self.estimator, Full):
            return truncation_cause(self.rec, fn, problem, arrays, self.estimator, rng)
        few = len(self.rec.params) <= FEW
        return gradient_cause(self.rec, fn, problem, arrays, few) or diagnosis(self.rec, fn, arrays[-1:])

    def notes(self, fn: Any) -> tuple[str, ...]:
        """What the function was not sent."""
        return not_sent(self.rec, fn, self.reduction)

    def smaller(self, example: Example) -> Iterator[Example]:
        """None: Hypothesis knows."""
        yield from ()

    def evidence(self, fn: Callable[..., Any], examples: Sequence[Example]) -> tuple[Evidence, ...]:
        """Whether some example tells a truncation from its neighbours, as ``check_truncated`` does."""
        if isinstance(self.estimator, Full):
            return ()
        found: tuple[Evidence, ...] = ()
        enough = 2 * reach(self.estimator) + 2
        for e in sorted(examples, key=lambda e: (e.gain < 1, -min(e.T, enough), e.T))[:REACHES]:
            given = {k: v for k, v in e.arrays(self.rec).items() if k != "weights"}
            report = check_truncated(
                fn, self.rec, self.estimator, inputs=given, rng=e.seed, reduction=self.reduction
            )
            found = tuple(e for e in report.evidence if e.name == "reach")
            if all(e.verdict == "verified" for e in found):
                break
        return found


@dataclass(frozen=True)
class OfOutcomes:
    """The gradient of the gated recursion at each outcome of the gates.

    Attributes
    ----------
    whole : OfRecurrence
        The same without gates.
    estimator : Randomized
    """

    whole: OfRecurrence
    estimator: Randomized

    @property
    def title(self) -> str:
        """What it is."""
        return f"{self.estimator} of {self.whole.title}"

    @property
    def key(self) -> str:
        """The equations."""
        return self.whole.key

    @property
    def strategy(self) -> SearchStrategy[Any]:
        """Examples with gates."""
        law = law_of(self.estimator, False)
        return drawn_examples(self.whole.rec, replace(self.whole.limits, only=law.steps), law)

    def adapted(self, fn: Callable[..., Any]) -> AtGates:
        """The function, whose gates are among the arrays."""
        made = at_gates(fn, self.whole.rec, self.estimator)
        self.problem(made, [])
        return made

    def case(self, example: Example) -> Case:
        """The arrays of an example."""
        return example.case(self.whole.rec)

    def problem(self, fn: AtGates, cases: Sequence[Case]) -> Problem:
        """What is expected there."""
        return outcome_problem(fn, self.whole.reduction, cases)

    def samples(self) -> list[Case]:
        """Ordinary inputs, and gates drawn by their law."""
        rng, law = np.random.default_rng(0), law_of(self.estimator, False)
        made = []
        for e in self.whole.examples():
            case = replace(e, T=law.steps or e.T).case(self.whole.rec)
            steps, batch = case.arrays["weights"].shape
            made.append(Case(case.name, {**case.arrays, KEEP: keep_drawn(law, steps, batch, rng)}))
        return made

    def cause(self, fn: AtGates, example: Example) -> str | None:
        """Which known mistake gives the numbers at the gates of telling inputs."""
        cases = self.samples() + ([self.case(example)] if example.T > 1 else [])
        problem = self.problem(fn, cases)
        return outcome_cause(fn, problem, [c.arrays for c in problem.draw(np.random.default_rng(0))])

    def notes(self, fn: AtGates) -> tuple[str, ...]:
        """What the function was not sent, and what was not asked."""
        return (*not_sent(self.whole.rec, fn.gated.adapted, self.whole.reduction), OTHER)

    def smaller(self, example: Example) -> Iterator[Example]:
        """None: Hypothesis knows."""
        yield from ()

    def evidence(self, fn: Callable[..., Any], examples: Sequence[Example]) -> tuple[Evidence, ...]:
        """Nothing more."""
        return ()
