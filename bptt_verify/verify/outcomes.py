"""One outcome of the gates of a random gradient: what the gated recursion gives there is what is expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from bptt_verify.check import Array, Arrays, Case, Problem, judge_gradient
from bptt_verify.check.contract import call, copies, gradients
from bptt_verify.derivation import gated_adjoint
from bptt_verify.errors import UsageError
from bptt_verify.estimators import Randomized
from bptt_verify.language import Recurrence
from bptt_verify.program import Program, evaluate
from bptt_verify.program.evaluation import NUMPY, Functions
from bptt_verify.verdict import Report, combine
from bptt_verify.verify.adapters import adapted
from bptt_verify.verify.arguments import known_arrays, not_sent, seeded
from bptt_verify.verify.channels import Gated, argument_names, as_pair, channel_of
from bptt_verify.verify.gatefaults import Observation, gate_diagnosis
from bptt_verify.verify.losses import RecurrenceLoss
from bptt_verify.verify.problems import Reduction, recurrence_problem
from bptt_verify.verify.schedules import Law, law_of

KEEP = "keep"  # what the gates are called among the arrays of a case: 0 or 1, integers
BLUR = 2  # units in the last place by which a rough function is off
OTHER = "judged gate by gate against the gated recursion; another unbiased estimator: check_unbiased"


class AtGates:
    """A user's function of gates, as a gradient function of arrays among which the gates are.

    Parameters
    ----------
    gated : Gated
    rec : Recurrence
    """

    def __init__(self, gated: Gated, rec: Recurrence) -> None:
        self.gated, self.rec = gated, rec
        self._provides: bool | None = None

    @cached_property
    def program(self) -> Program:
        """The gated recursion."""
        return gated_adjoint(self.rec.program)

    def takes(self, name: str) -> bool:
        """Whether an array of this name is sent."""
        return self.gated.adapted.takes(name)

    def chances(self, arrays: Arrays) -> Array:
        """The probability of each gate, of the shape of the gates."""
        steps, batch = arrays["weights"].shape
        return self.gated.law.gates(self.gated.law.probabilities(steps), batch)

    def keep(self, arrays: Arrays) -> Array:
        """The gates among the arrays: (T,), or (T, B) where there is one a sequence."""
        return arrays[KEEP].astype(float).reshape(self.chances(arrays).shape)

    def __call__(self, arrays: Arrays) -> Any:
        """Call the function at the gates among the arrays."""
        given = {k: v for k, v in arrays.items() if k != KEEP}
        return as_pair(self.gated(given, self.keep(arrays), self.chances(arrays)))

    def provides_loss(self, arrays: Arrays) -> bool:
        """Whether it returns more than gradients; one that fails is quoted later."""
        if self._provides is None:
            loss = call(self, copies(arrays)).loss
            self._provides = not (loss.dtype.kind == "f" and loss.ndim == 0 and np.isnan(loss))
        return self._provides

    def observation(self, problem: Problem, arrays: Arrays) -> Observation:
        """What it returns there."""
        steps, batch = arrays["weights"].shape
        keep, pi = (by_sequence(a, steps, batch) for a in (self.keep(arrays), self.chances(arrays)))
        given = {k: v for k, v in arrays.items() if k != KEEP}
        return Observation(given, keep, pi, gradients(self, problem, arrays))


def by_sequence(gates: Array, steps: int, batch: int) -> Array:
    """Gates (T,) or (T, B) as (T, B)."""
    return np.broadcast_to(np.asarray(gates, float).T, (batch, steps)).T


class OutcomeLoss:
    """The loss, whose derivatives by complex steps are those of the gated recursion at the gates.

    Parameters
    ----------
    fn : AtGates
        Knows the recursion, and the probabilities.
    functions : dict, optional
        Other elementwise functions.
    """

    def __init__(self, fn: AtGates, functions: Functions = NUMPY) -> None:
        self.fn, self.functions = fn, functions
        self.loss = RecurrenceLoss(fn.rec, functions)

    def __call__(self, arrays: Arrays) -> Any:
        """The loss."""
        return self.many([arrays])[0]

    def many(self, points: Sequence[Arrays]) -> list[Any]:
        """The losses; where only complex parts differ the gradient is computed once."""
        reals = [{k: np.real(v) for k, v in p.items()} for p in points]
        keys = [b"".join(np.ascontiguousarray(v).tobytes() for v in r.values()) for r in reals]
        if self.functions is not NUMPY:  # each evaluation is another one
            keys = [str(k).encode() for k in range(len(points))]
        distinct = list(dict(zip(keys, reals, strict=True)).values())
        place = {key: k for k, key in enumerate(dict.fromkeys(keys))}
        losses, grads = self.loss.many(distinct), self._gradients(distinct)
        found = []
        for key, point in zip(keys, points, strict=True):
            k = place[key]
            complex_ = [b for b in grads if np.iscomplexobj(point[b])]
            moved = [np.sum(grads[b][..., k] * np.imag(point[b])) for b in complex_]
            found.append(losses[k] + 1j * sum(moved) if moved else losses[k])
        return found

    def _gradients(self, points: Sequence[Arrays]) -> dict[str, Array]:
        """The gradients at many points, stacked along one more axis."""
        stacked = {k: np.stack([p[k] for p in points], axis=-1) for k in points[0] if k != KEEP}
        exact = self.functions is NUMPY
        shared = {k: points[0][k] for k, v in stacked.items() if exact and np.all(v == v[..., :1])}
        steps, batch = points[0]["weights"].shape
        gates = by_sequence(self.fn.keep(points[0]) / self.fn.chances(points[0]), steps, batch)
        program = self.fn.program
        name = next(a.name for a in program.arrays if a.role == "gates")
        values = evaluate(program, {**stacked, **shared, name: gates}, functions=self.functions)
        made = {k: np.asarray(values[v]) for k, v in program.results if k != "loss"}
        shapes = {k: np.shape(points[0][k]) for k in made}
        whole = {k: v if v.ndim > len(shapes[k]) else v[..., None] for k, v in made.items()}
        return {k: np.broadcast_to(v, (*shapes[k], len(points))) for k, v in whole.items()}

    def rough(self, eps: float, rng: np.random.Generator) -> OutcomeLoss:
        """The same, where every elementwise function is off by a few eps, and so the slopes made of it."""

        def blurred(function: Callable[..., Any]) -> Callable[..., Any]:
            def value(*u: Any) -> Any:
                exact = np.asarray(function(*u))
                return exact * (1 + rng.uniform(-BLUR * eps, BLUR * eps, size=exact.shape))

            return value

        return OutcomeLoss(self.fn, {kind: blurred(f) for kind, f in self.functions.items()})


def at_gates(fn: Callable[..., Any], rec: Recurrence, estimator: Randomized) -> AtGates:
    """A function of gates that can be judged at each of their outcomes.

    Raises
    ------
    UsageError
        If it takes no gates, or all of them are always open.
    """
    channel = channel_of(fn, None)
    if channel == "rng":
        raise UsageError(
            f"fn={getattr(fn, '__qualname__', fn)!r}: it takes only rng, so that its gates cannot be set; "
            "expected an argument xi (gates 0 or 1/π) or keep (0 or 1). What draws by itself is for "
            "check_unbiased."
        )
    law = law_of(estimator, False)
    if np.all(law.probabilities(law.steps or 2) == 1):
        raise UsageError(
            f"estimator={estimator}: every gate is open; expected probabilities below 1, or Full()."
        )
    wrapped = adapted(fn, {**known_arrays(rec), channel: None, "pi": None})
    return AtGates(Gated(wrapped, channel, law, "pi" in argument_names(fn)[0]), rec)


def outcome_problem(fn: AtGates, reduction: Reduction, cases: Sequence[Case]) -> Problem:
    """The Problem of a random gradient at given gates, which are the array ``KEEP`` of each case."""
    problem = recurrence_problem(fn.rec, fn.gated.adapted, None, reduction, cases=lambda r, g: cases)
    loss, cut = OutcomeLoss(fn), problem.shorten

    def shorten(arrays: Arrays, steps: int) -> Arrays:
        short = cut(arrays, steps) if cut is not None else arrays
        return {**short, KEEP: arrays[KEEP][:steps]}

    return replace(
        problem, loss=loss, rough=loss.rough, complex_only=True,
        provides_loss=all(fn.provides_loss(c.arrays) for c in cases[:1]),
        subject=f"the gradient of {fn.rec.name} at given gates",
        shorten=None if cut is None or fn.gated.law.steps is not None else shorten,
    )  # fmt: skip


def keep_drawn(law: Law, steps: int, batch: int, rng: np.random.Generator) -> Array:
    """Gates 0 or 1 for a case."""
    pi = law.gates(law.probabilities(steps), batch)
    return np.asarray(rng.random(pi.shape) < pi, dtype=int)


def outcome_cause(fn: AtGates, problem: Problem, cases: Iterable[Arrays]) -> str | None:
    """Which known mistake gives the numbers at the gates of some cases."""
    return gate_diagnosis(fn.rec, [o for o in (fn.observation(problem, a) for a in cases) if o.grads])


def check_outcome(
    fn: Callable[..., Any],
    rec: Recurrence,
    estimator: Randomized,
    inputs: Arrays,
    *,
    rng: int | np.random.Generator | None = None,
    reduction: Reduction = "mean",
) -> Report:
    """Check a random gradient at one outcome of its gates against the gated recursion (claim T7).

    Parameters
    ----------
    fn : callable
        ``fn(**arrays, xi=…) -> (loss, grads)``, or with ``keep=``, as for ``check_unbiased``.
    rec : Recurrence
    estimator : Randomized
        Its probabilities.
    inputs : dict of arrays
        As for ``check_gradient``, and ``keep``, (T,) or (T, B): 1 where a gate is open, else 0.
    rng, reduction
        As for ``check_gradient``.

    Returns
    -------
    Report

    Raises
    ------
    UsageError
        If the function takes no gates, or the inputs have none that fit.
    """
    seed, generator = seeded(rng)
    wrapped = at_gates(fn, rec, estimator)
    given = {k: v for k, v in inputs.items() if k != KEEP}
    plain = recurrence_problem(rec, wrapped.gated.adapted, given, reduction)
    (case,) = plain.draw(generator)
    arrays = {**case.arrays, KEEP: _gates(inputs, wrapped.chances(case.arrays))}
    problem = outcome_problem(wrapped, reduction, [Case("the given inputs and gates", arrays)])
    evidence, notes = judge_gradient(wrapped, replace(problem, at_step=None), generator)
    cause = None
    if combine(e.verdict for e in evidence) == "refuted":
        cause = outcome_cause(wrapped, problem, [arrays])
    name = getattr(fn, "__qualname__", None) or type(fn).__name__
    sent = not_sent(rec, wrapped.gated.adapted, reduction)
    subject = f"{name} against {estimator} of the recurrence {rec.name}"
    return Report(subject, evidence, cause, (*sent, OTHER, *notes), seed)


def _gates(inputs: Arrays, chances: Array) -> Array:
    """The user's gates as integers."""
    found = np.asarray(inputs.get(KEEP, np.nan))
    if found.shape != chances.shape or not np.isin(found, (0, 1)).all():
        shown = f"has shape {found.shape}" if KEEP in inputs else "is missing"
        raise UsageError(
            f"inputs: {KEEP} {shown}; expected an array {chances.shape} of 1 for an open gate and 0 "
            "for a closed one."
        )
    return found.astype(int)
