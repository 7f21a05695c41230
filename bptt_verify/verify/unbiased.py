"""``check_unbiased`` and its twin ``assert_unbiased``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bptt_verify.check.budgets import Goal
from bptt_verify.errors import CheckFailedError, UsageError
from bptt_verify.estimators import Randomized
from bptt_verify.language import Recurrence
from bptt_verify.verdict import Evidence, Report
from bptt_verify.verify.adapters import adapted
from bptt_verify.verify.arguments import known_arrays, not_sent, seeded
from bptt_verify.verify.channels import Gated, argument_names, channel_of
from bptt_verify.verify.enumerated import exact_evidence
from bptt_verify.verify.problems import Inputs, Reduction
from bptt_verify.verify.sampled import sampling_evidence
from bptt_verify.verify.samples import recurrence_samples, target_samples
from bptt_verify.verify.schedules import Law, Pi, law_of

Declared = Mapping[str, Any] | None
UNNAMED = "fn names none of xi, keep and rng and was sent xi; through= chooses another"
LAW = "the law of the gates and their independence are not judged; through='rng' does that"


def check_unbiased(
    fn: Callable[..., Any],
    against: Recurrence | Mapping[str, Any],
    *,
    pi: Pi = None,
    per_sequence: bool = False,
    through: str | None = None,
    inputs: Inputs = None,
    rng: int | np.random.Generator | None = None,
    reduction: Reduction = "mean",
    false_alarm: float = 1e-6,
    smallest_bias: float = 0.05,
    power: float = 0.9,
    samples: int = 100_000,
    variance: Declared = None,
    bound: Declared = None,
) -> Report:
    """Check that the mean of a random gradient is the gradient.

    A function that takes its gates is judged exactly: it is run on all their outcomes. One that only takes a
    generator is sampled, by a sequential test with declared error rates.

    Parameters
    ----------
    fn : callable
        ``fn(**arrays, …) -> (loss, grads)``, or just grads, with one of the arguments ``xi`` (gates 0 or
        1/π_t, float, (T,)), ``keep`` (gates 0 or 1; it applies 1/π itself) and ``rng`` (a numpy Generator).
        It is sent only the arrays it takes, and ``pi`` if it names that: a number if ``pi`` is one, or (T,).
        Against a dict, ``fn(rng)``, or ``fn(**inputs, rng=…)``.
    against : Recurrence, or dict of arrays
        The equations; or what the means of the grads should be, for a function that takes a generator.
    pi : number, sequence of T, function T -> sequence, Geometric, or Randomized, optional
        The probabilities of the gates; required for ``keep`` unless the function takes ``pi``. Left out,
        telling ones are chosen, different at every step.
    per_sequence : bool
        One gate a step and sequence, (T, B).
    through : {"xi", "keep", "rng"}, optional
        By default the first of them that the function names; ``"xi"`` where it names none but takes any.
    inputs, rng, reduction
        As in ``check_gradient``. A function that takes a generator is sampled at one set of inputs.
    false_alarm : float
        Probability of refuting a right function by sampling, all blocks together.
    smallest_bias, power : float
        A bias of at least this norm, relative to that of its block (of the largest block where the target is
        zero), is missed by a verified report with probability at most 1 - power.
    samples : int
        Calls that may be made for sampling.
    variance : dict, optional
        By block: the variance of its elements, or a number, their sum. Without it, the second moment is
        estimated from the first samples, under an assumption that the report states.
    bound : dict, optional
        By block: what no element is ever further away from its target than.

    Returns
    -------
    Report

    Raises
    ------
    UsageError
        If an argument is not as described.
    """
    goal = _goal(false_alarm, smallest_bias, power, samples)
    seed, generator = seeded(rng)
    if not callable(fn):
        raise UsageError(f"fn={fn!r:.60}; expected a function fn(**arrays, xi=…) -> (loss, grads).")
    law = law_of(pi, per_sequence)
    name = getattr(fn, "__qualname__", None) or type(fn).__name__
    _check_used(against, pi, per_sequence, variance, bound)
    if isinstance(against, Mapping):
        evidence, notes = sampling_evidence(
            target_samples(fn, against, through, inputs, generator), goal, variance, bound, generator
        )
        return Report(f"the mean of {name} against a target", evidence, None, notes, seed)
    if not isinstance(against, Recurrence):
        raise UsageError(f"against={against!r:.60}; expected a Recurrence, or a dict of target arrays.")
    subject = f"the mean of {name} against the gradient of {against.name}"
    channel = channel_of(fn, through)
    wrapped = adapted(fn, {**known_arrays(against), channel: None, "pi": None})
    sent = not_sent(against, wrapped, reduction)
    if channel == "rng":
        law = _own_law(fn, law)
        samples_of = recurrence_samples(against, wrapped, law, inputs, reduction, generator)
        evidence, notes = sampling_evidence(samples_of, goal, variance, bound, generator)
        return Report(subject, evidence, None, (*sent, *notes), seed)
    for what, declared in (("variance", variance), ("bound", bound)):
        if declared is not None:
            raise UsageError(
                f"{what}: nothing is sampled through {channel!r}; expected through='rng' with it."
            )
    gated = _gated(fn, wrapped, channel, law)
    evidence, notes, cause = exact_evidence(against, gated, inputs, reduction, generator)
    unnamed = () if through or channel in argument_names(fn)[0] else (UNNAMED,)
    if unnamed:
        _refuse_unknown(name, evidence[0])
    return Report(subject, evidence, cause, (*sent, *unnamed, *notes, LAW), seed)


def assert_unbiased(
    fn: Callable[..., Any], against: Recurrence | Mapping[str, Any], **options: Any
) -> Report:
    """As ``check_unbiased``, with the same options; raises unless the verdict is ``"verified"``.

    Raises
    ------
    CheckFailedError
        With the whole report as its message.
    """
    report = check_unbiased(fn, against, **options)
    if report.verdict != "verified":
        raise CheckFailedError(report)
    return report


def _check_used(against: Any, pi: Any, per_sequence: Any, variance: Declared, bound: Declared) -> None:
    """Nothing that is given is ignored."""
    if isinstance(against, Mapping) and (pi is not None or per_sequence):
        given = f"pi={pi!r:.40}" if pi is not None else f"per_sequence={per_sequence}"
        raise UsageError(
            f"{given}: against a dict of targets the function draws by itself; expected neither."
        )
    both = sorted({*(variance or ())} & {*(bound or ())}) if variance and bound else []
    if both:
        raise UsageError(
            f"variance, bound: both are given for {both[0]!r}; expected one of them for a block."
        )


def _refuse_unknown(name: str, contract: Evidence) -> None:
    """A function that takes anything by its signature may still refuse xi."""
    failed = [f.what for f in contract.findings if " failed with " in f.what and "'xi'" in f.what]
    if failed:
        raise UsageError(
            f"fn={name!r}: how it gets its randomness cannot be told from its arguments, and it refuses xi: "
            f"{failed[0]}. Pass through='keep' or through='rng', or a function that names its argument."
        )


def _own_law(fn: Any, law: Law) -> Law:
    """That of a kernel, where none is given: its probabilities may fit one T only."""
    estimator = getattr(getattr(fn, "__self__", None), "estimator", None)
    return law_of(estimator, False) if isinstance(estimator, Randomized) and not law.given else law


def _gated(fn: Any, wrapped: Any, channel: Any, law: Law) -> Gated:
    named, _ = argument_names(fn)
    if channel == "keep" and "pi" not in named and not law.given:
        raise UsageError(
            "pi=None; expected the probabilities of the gates, since fn takes keep and applies 1/π itself. "
            "Pass pi, or let fn take it as an argument."
        )
    if law.given and all(np.all(law.probabilities(law.steps or t) == 1) for t in (1, 2, 5)):
        raise UsageError("pi: every probability is 1, so that no gate ever closes; expected some below 1.")
    return Gated(wrapped, channel, law, "pi" in named)


def _goal(false_alarm: Any, smallest_bias: Any, power: Any, samples: Any) -> Goal:
    for name, value in (("false_alarm", false_alarm), ("power", power)):
        if not _is_number(value) or not 0 < value < 1:
            raise UsageError(f"{name}={value!r:.60}; expected a probability above 0 and below 1.")
    if not _is_number(smallest_bias) or not 0 < smallest_bias < np.inf:
        raise UsageError(f"smallest_bias={smallest_bias!r:.60}; expected a number above 0, such as 0.05.")
    if isinstance(samples, bool) or not isinstance(samples, int | np.integer) or samples < 1:
        raise UsageError(f"samples={samples!r:.60}; expected a whole number, at least 1.")
    return Goal(float(false_alarm), float(smallest_bias), float(power), int(samples))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.floating) and not isinstance(value, bool)
