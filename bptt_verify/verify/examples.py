"""One example of a campaign: a drawn problem, and the verdict on it. This is what a worker does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from bptt_verify.codegen import generate
from bptt_verify.errors import UsageError
from bptt_verify.estimators import Chunks, Estimator, Full, Randomized, Window
from bptt_verify.language import Recurrence, outward
from bptt_verify.verdict import Report, combine
from bptt_verify.verify.cases import Regime, at_fixed, fixed_in, least_sizes, recurrence_cases
from bptt_verify.verify.checks import check_gradient
from bptt_verify.verify.longcases import reach
from bptt_verify.verify.outcomes import KEEP, check_outcome, keep_drawn
from bptt_verify.verify.plainlosses import PlainLoss
from bptt_verify.verify.problems import Reduction, drawn
from bptt_verify.verify.schedules import law_of
from bptt_verify.verify.truncation import check_truncated

STEPS = (1, 2, 3, 4, 5, 6, 8, 12, 20)
GAINS = (0.15, 0.5, 1.0, 1.0, 1.7, 3.0)
LARGEST = 6  # of the sizes
LOUD = 0.15  # share of the examples with targets and weights that are large

BEYOND = 0.75  # share of the examples of a truncation that are longer by its reach
FULL = Full()

Outcome = Literal["verified", "refuted", "inconclusive", "error", "crashed"]


@dataclass(frozen=True)
class Task:
    """What all examples of a campaign have in common.

    Attributes
    ----------
    fn : callable, or None
        None for the kernel that is generated from the recurrence.
    against : Recurrence, or callable
        A loss function with ``inputs``.
    reduction : str or array
    seed : int
    estimator : Full, Window, Chunks or Randomized
    inputs : callable, optional
    wrt : tuple of str, optional
    """

    fn: Callable[..., Any] | None
    against: Recurrence | Callable[..., Any]
    reduction: Reduction
    seed: int
    estimator: Estimator = FULL
    inputs: Callable[[np.random.Generator], Any] | None = None
    wrt: tuple[str, ...] | None = None

    @property
    def function(self) -> Callable[..., Any]:
        """The function that is checked."""
        if self.fn is None and isinstance(self.against, Recurrence):
            return generate(self.against, estimator=self.estimator).loss_and_grad
        return self.fn  # type: ignore[return-value]

    @property
    def title(self) -> str:
        """What is checked against what."""
        whole = isinstance(self.estimator, Full)
        if not isinstance(self.against, Recurrence):
            return f"{name_of(self.fn)} against the loss {name_of(self.against)}"
        if self.fn is None:
            return f"the kernel of {self.against.name}" + ("" if whole else f" under {self.estimator}")
        what = "" if whole else f"{self.estimator} of "
        return f"{name_of(self.fn)} against {what}the recurrence {self.against.name}"


def name_of(fn: Any) -> str:
    """What a function is called."""
    return getattr(fn, "__qualname__", None) or type(fn).__name__


@dataclass(frozen=True)
class Result:
    """One drawn problem and the verdict on it.

    Attributes
    ----------
    example : int
        Its number; with the seed of the campaign it says everything about the inputs.
    verdict : {"verified", "refuted", "inconclusive", "error", "crashed"}
        ``"error"``: the check itself failed. ``"crashed"``: the process that ran it died, also when it was
        alone.
    sizes : mapping of str to int
        T, B, and the sizes of the recurrence; or how many elements each array of a loss function has.
    findings : tuple of str
    diagnosis : str or None
    blind : bool
        Whether the example does not tell a truncation from its neighbours.
    """

    example: int
    verdict: Outcome
    sizes: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    diagnosis: str | None = None
    blind: bool = False

    def as_data(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "findings": list(self.findings)}

    def __str__(self) -> str:
        sizes = ", ".join(f"{k}={v}" for k, v in self.sizes.items())
        said = self.findings[0] if self.findings else "no finding"
        cause = f"; likely cause: {self.diagnosis}" if self.diagnosis else ""
        return f"example {self.example} ({sizes}): {said}{cause}"


def inputs_of(task: Task, example: int) -> tuple[dict[str, int], dict[str, Any]]:
    """The sizes and the arrays of one example: the same for the same seed, wherever it runs."""
    if isinstance(task.against, Recurrence):
        return problem_of(task.against, task.seed, example, task.estimator)
    arrays = dict(drawn(task.inputs, np.random.default_rng([task.seed, example])))  # type: ignore[arg-type]
    return {k: int(np.size(v)) for k, v in arrays.items()}, arrays


def problem_of(
    rec: Recurrence, seed: int, example: int, estimator: Estimator = FULL
) -> tuple[dict[str, int], dict[str, Any]]:
    """The sizes and the arrays of one example of a recurrence; with ``keep`` for a random gradient."""
    rng = np.random.default_rng([seed, example])
    sizes = {w: int(rng.integers(least, LARGEST + 1)) for w, least in sorted(least_sizes(rec).items())}
    steps, batch = int(rng.choice(STEPS)), int(rng.integers(1, 5))
    loud = rng.uniform() < LOUD
    regime = Regime("drawn", steps, batch, float(rng.choice(GAINS)), 1e3 if loud else 1.0)
    law = law_of(estimator, False) if isinstance(estimator, Randomized) else None
    if isinstance(estimator, Window | Chunks) and rng.uniform() < BEYOND:
        regime = replace(regime, steps=steps + reach(estimator))
    if law is not None and law.steps is not None:
        regime = replace(regime, steps=law.steps)
    regime = at_fixed(rec, regime)
    sizes = fixed_in(rec, sizes)
    case = next(iter(recurrence_cases(rec, rng, (regime,), sizes)))
    arrays = outward(case.arrays)
    if law is not None:
        arrays[KEEP] = keep_drawn(law, regime.steps, regime.batch, rng)
    return {"T": regime.steps, "B": regime.batch, **sizes}, arrays


def examined(task: Task, example: int) -> Result:
    """Draw one example and check the function on it.

    Raises
    ------
    UsageError
        If the function cannot be checked at all.
    """
    sizes, arrays = inputs_of(task, example)
    failed = None if isinstance(task.against, Recurrence) else PlainLoss(task.against, arrays).failure(arrays)
    if failed is not None:
        return Result(example, "inconclusive", sizes, (f"the loss fails with {failed}",))
    rng = int(np.random.SeedSequence([task.seed, example]).generate_state(1)[0])
    try:
        report = _checked(task, arrays, rng)
        cause = report.diagnosis
    except UsageError:
        raise
    except Exception as error:  # one example must not end the others; it is reported
        return Result(example, "error", sizes, (f"{type(error).__name__}: {error}",))
    verdict = combine(e.verdict for e in report.evidence if e.name != "reach")
    blind = any(e.name == "reach" and e.verdict != "verified" for e in report.evidence)
    return Result(example, verdict, sizes, tuple(f.what for f in report.findings), cause, blind)


def _checked(task: Task, arrays: Mapping[str, Any], rng: int) -> Report:
    """The report of the check that fits the estimator."""
    fn, against = task.function, task.against
    match task.estimator:
        case Randomized() as estimator if isinstance(against, Recurrence):
            return check_outcome(fn, against, estimator, arrays, rng=rng, reduction=task.reduction)
        case Window() | Chunks() as estimator if isinstance(against, Recurrence):
            return check_truncated(fn, against, estimator, inputs=arrays, rng=rng, reduction=task.reduction)
    return check_gradient(fn, against, inputs=arrays, rng=rng, reduction=task.reduction, wrt=task.wrt)
