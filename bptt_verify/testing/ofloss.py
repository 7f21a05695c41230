"""The gradient of a plain loss function as what is tested against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from bptt_verify.check import Case, Problem
from bptt_verify.errors import UsageError
from bptt_verify.testing.examples import Inputs
from bptt_verify.verdict import Evidence
from bptt_verify.verify.adapters import Adapted, adapted
from bptt_verify.verify.plaincauses import plain_cause
from bptt_verify.verify.plainlosses import PlainLoss, loss_problem
from bptt_verify.verify.problems import drawn

SEEDS = st.integers(0, 2**32 - 1)
SAMPLES = 3  # draws on which it is found out whether the loss is analytic
OTHERS = 1000  # seeds among which a smaller failing example is looked for
NUMBERS = 10**6  # drawn for that at most, where an example is large
ALIKE = 3  # examples judged of the same shapes


@dataclass(frozen=True)
class OfLoss:
    """The gradient of a plain loss function.

    Attributes
    ----------
    loss : callable
    inputs : callable, or SearchStrategy
    wrt : sequence of str, optional
        As of ``check_gradient``.
    """

    loss: Callable[..., Any]
    inputs: Any
    wrt: Sequence[str] | None = None

    @property
    def title(self) -> str:
        """What it is."""
        return f"the loss {getattr(self.loss, '__qualname__', None) or type(self.loss).__name__}"

    @property
    def key(self) -> str:
        """Where it is from."""
        return str(getattr(self.loss, "__module__", ""))

    @property
    def strategy(self) -> SearchStrategy[Any]:
        """Inputs: seeds of a generator, or what the user's strategy draws."""
        if isinstance(self.inputs, SearchStrategy):
            return self.inputs.map(_checked)
        return SEEDS.map(self._drawn)

    def _drawn(self, seed: int) -> Inputs:
        return _checked(drawn(self.inputs, np.random.default_rng(seed)), seed)

    def adapted(self, fn: Callable[..., Any]) -> Adapted:
        """The function with the arrays that it takes."""
        made = adapted(fn, None)
        if not isinstance(self.inputs, SearchStrategy):
            loss_problem(fn, self.loss, self.inputs, self.wrt)
        return made

    def case(self, example: Inputs) -> Case:
        """The arrays of an example."""
        return Case(example.title, example.given)

    def problem(self, fn: Adapted, cases: Sequence[Case]) -> Problem:
        """What is expected there; nothing where the loss fails."""
        reference = PlainLoss(self.loss, cases[0].arrays)
        if len(cases) == 1 and reference.failure(cases[0].arrays):
            return Problem(f"the gradient of {reference.name}", (), (), reference, lambda rng: cases)
        rng = np.random.default_rng(0)
        made = [loss_problem(fn.function, self.loss, c.arrays, self.wrt) for c in cases]
        checked = [replace(k, name=c.name) for c, p in zip(cases, made, strict=True) for k in p.draw(rng)]
        return replace(made[0], draw=lambda rng: checked)

    def samples(self) -> list[Case]:
        """The first draws."""
        if isinstance(self.inputs, SearchStrategy):
            return []
        cases = [self.case(self._drawn(seed)) for seed in range(SAMPLES)]
        return [c for c in cases if not PlainLoss(self.loss, c.arrays).failure(c.arrays)]

    def cause(self, fn: Adapted, example: Inputs) -> str | None:
        """Which mistake of the numbers gives them, where there is one."""
        problem, rng = self.problem(fn, [self.case(example)]), np.random.default_rng(0)
        return plain_cause(fn, problem, list(problem.draw(rng)), rng)

    def notes(self, fn: Adapted) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def smaller(self, example: Inputs) -> Iterator[Inputs]:
        """What other seeds draw, where that is less: Hypothesis knows the seed only."""
        if isinstance(self.inputs, SearchStrategy):
            return
        smaller: dict[str, list[Inputs]] = {}
        for seed in range(min(OTHERS, NUMBERS // max(1, example.size))):
            other = self._drawn(seed)
            alike = smaller.setdefault(other.title, [])
            if other.size < example.size and len(alike) < ALIKE:
                alike.append(other)
        yield from sorted(chain(*smaller.values()), key=lambda o: o.size)

    def evidence(self, fn: Callable[..., Any], examples: Sequence[Inputs]) -> tuple[Evidence, ...]:
        """Nothing more."""
        return ()


def _checked(given: Any, seed: int = 0) -> Inputs:
    if not isinstance(given, Mapping) or not given:
        raise UsageError(f"inputs={given!r:.60} was drawn; expected a non-empty dict of arrays.")
    return Inputs(given, seed)
