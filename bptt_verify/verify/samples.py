"""What is sampled on the statistical channel, and what its mean should be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt_verify.check import Array, complex_gradient, difference_gradient
from bptt_verify.check.contract import copies
from bptt_verify.check.reference import analytic
from bptt_verify.errors import UsageError
from bptt_verify.language import Recurrence
from bptt_verify.verify.adapters import Adapted, as_array
from bptt_verify.verify.cases import Regime, recurrence_cases
from bptt_verify.verify.channels import argument_names, as_pair
from bptt_verify.verify.problems import Inputs, Reduction, drawn, recurrence_problem
from bptt_verify.verify.schedules import Law

REGIME = Regime("batch", 4, 2, 1.0)


@dataclass(frozen=True)
class Samples:
    """What is sampled, and what its mean should be.

    Attributes
    ----------
    call : callable
        ``call(rng) -> (loss, grads)``, at fixed inputs.
    targets : dict of str to array
    required : tuple of str
        Blocks that must be there.
    loss : float, or None
        What the loss should be, where that is known.
    where : str
        The inputs, for messages.
    notes : tuple of str
    """

    call: Callable[[np.random.Generator], Any]
    targets: dict[str, Array]
    required: tuple[str, ...]
    loss: float | None
    where: str
    notes: tuple[str, ...] = ()


def recurrence_samples(
    rec: Recurrence,
    fn: Adapted,
    law: Law,
    inputs: Inputs,
    reduction: Reduction,
    rng: np.random.Generator,
) -> Samples:
    """Samples of a function against the gradient of a recurrence, at the first inputs drawn."""
    regime = Regime("batch", law.steps or REGIME.steps, REGIME.batch, REGIME.gain)
    problem = recurrence_problem(
        rec, fn, inputs, reduction, cases=lambda r, g: recurrence_cases(r, g, (regime,))
    )
    case = next(iter(problem.draw(rng)))
    votes = analytic(problem.loss, case.arrays, problem.blocks, rng)
    targets, notes = {}, []
    for block in problem.blocks:
        if votes[block] != "no":
            targets[block] = complex_gradient(problem.loss, case.arrays, block)
            continue
        values, _, trusted = difference_gradient(problem.loss, case.arrays, block, rng)
        if trusted.all():
            targets[block] = values
        else:
            notes.append(f"dL/d{block} is not judged: finite differences do not converge")
    steps = case.arrays["weights"].shape[0]
    sent: dict[str, Any] = {}
    if "pi" in argument_names(fn.function)[0]:
        sent = {"pi": law.probabilities(steps) if law.form is None else law.form}

    def sample(generator: np.random.Generator) -> Any:
        given: dict[str, Any] = {**copies(case.arrays), **sent, "rng": generator}
        return as_pair(fn(given))

    return Samples(
        sample, targets, tuple(rec.params), float(np.real(problem.loss(case.arrays))), case.name, tuple(notes)
    )


def target_samples(
    fn: Any, against: Mapping[str, Any], through: str | None, inputs: Inputs, rng: np.random.Generator
) -> Samples:
    """Samples of ``fn(rng)``, or of ``fn(**inputs, rng=…)``, against given arrays.

    Raises
    ------
    UsageError
        If the targets are no arrays of finite numbers, or the function does not take a generator.
    """
    if through not in (None, "rng"):
        raise UsageError(f"through={through!r:.60}; expected 'rng', since a dict of targets has no gates.")
    if not against:
        raise UsageError("against={}; expected a target array for each block.")
    targets = {k: as_array(v, k) for k, v in against.items()}
    bad = [k for k, v in targets.items() if not np.all(np.isfinite(v)) or v.size == 0]
    if bad:
        raise UsageError(f"against: {bad[0]} is empty or not finite; expected an array of finite numbers.")
    given = drawn(inputs, rng) if callable(inputs) else inputs or {}
    if not isinstance(given, Mapping):
        raise UsageError(f"inputs={given!r:.60}; expected a dict of what fn takes besides rng.")
    named, others = argument_names(fn)
    by_name = "rng" in named or (others and bool(given))
    if given and not by_name:
        raise UsageError("inputs: fn takes no argument 'rng'; expected fn(**inputs, rng=…).")

    def sample(generator: np.random.Generator) -> Any:
        held = {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in given.items()}
        return as_pair(fn(**held, rng=generator) if by_name else fn(generator))

    return Samples(sample, targets, tuple(targets), None, "the given target")
