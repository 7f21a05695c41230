"""One example of a campaign: a drawn problem, and the verdict on it. This is what a worker does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from bptt_verify.codegen import generate
from bptt_verify.errors import UsageError
from bptt_verify.language import Recurrence, outward
from bptt_verify.verify.cases import Regime, least_sizes, recurrence_cases
from bptt_verify.verify.checks import check_gradient
from bptt_verify.verify.problems import Reduction

STEPS = (1, 2, 3, 4, 5, 6, 8, 12, 20)
GAINS = (0.15, 0.5, 1.0, 1.0, 1.7, 3.0)
LARGEST = 6  # of the sizes
LOUD = 0.15  # share of the examples with targets and weights that are large

Outcome = Literal["verified", "refuted", "inconclusive", "error", "crashed"]


@dataclass(frozen=True)
class Task:
    """What all examples of a campaign have in common; ``fn`` is None for the generated kernel."""

    fn: Callable[..., Any] | None
    rec: Recurrence
    reduction: Reduction
    seed: int


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
        T, B, and the sizes of the recurrence.
    findings : tuple of str
    diagnosis : str or None
    """

    example: int
    verdict: Outcome
    sizes: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    diagnosis: str | None = None

    def as_data(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "findings": list(self.findings)}

    def __str__(self) -> str:
        sizes = ", ".join(f"{k}={v}" for k, v in self.sizes.items())
        said = self.findings[0] if self.findings else "no finding"
        cause = f"; likely cause: {self.diagnosis}" if self.diagnosis else ""
        return f"example {self.example} ({sizes}): {said}{cause}"


def problem_of(rec: Recurrence, seed: int, example: int) -> tuple[dict[str, int], dict[str, Any]]:
    """The sizes and the arrays of one example: the same for the same seed, wherever it runs."""
    rng = np.random.default_rng([seed, example])
    sizes = {w: int(rng.integers(least, LARGEST + 1)) for w, least in sorted(least_sizes(rec).items())}
    steps, batch = int(rng.choice(STEPS)), int(rng.integers(1, 5))
    loud = rng.uniform() < LOUD
    regime = Regime("drawn", steps, batch, float(rng.choice(GAINS)), 1e3 if loud else 1.0)
    case = next(iter(recurrence_cases(rec, rng, (regime,), sizes)))
    return {"T": steps, "B": batch, **sizes}, outward(case.arrays)


def examined(task: Task, example: int) -> Result:
    """Draw one example and check the function on it.

    Raises
    ------
    UsageError
        If the function cannot be checked at all.
    """
    sizes, arrays = problem_of(task.rec, task.seed, example)
    rng = int(np.random.SeedSequence([task.seed, example]).generate_state(1)[0])
    fn = generate(task.rec).loss_and_grad if task.fn is None else task.fn
    try:
        report = check_gradient(fn, task.rec, inputs=arrays, rng=rng, reduction=task.reduction)
    except UsageError:
        raise
    except Exception as error:  # one example must not end the others; it is reported
        return Result(example, "error", sizes, (f"{type(error).__name__}: {error}",))
    return Result(example, report.verdict, sizes, tuple(f.what for f in report.findings), report.diagnosis)
