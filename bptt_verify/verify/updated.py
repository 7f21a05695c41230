"""``check_clipped_update`` and its twin ``assert_clipped_update``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from bptt_verify.check.cliprules import rule_of
from bptt_verify.check.clips import CONVENTIONS
from bptt_verify.check.clipsteps import judge_update
from bptt_verify.codegen import Kernel, generate
from bptt_verify.errors import CheckFailedError, UsageError
from bptt_verify.language import Recurrence
from bptt_verify.verdict import Evidence, Finding, Report
from bptt_verify.verify.arguments import seeded
from bptt_verify.verify.attacks import Attack, Outcome, Point, bound_at, moved_outcomes, outcomes
from bptt_verify.verify.bounded import bound_value
from bptt_verify.verify.cases import Regime, recurrence_cases
from bptt_verify.verify.clipped import positive
from bptt_verify.verify.problems import DRAWS, Inputs, drawn

REGIMES = (
    Regime("batch", 5, 3, 1.0),
    Regime("vanishing", 8, 2, 0.15),
    Regime("growing", 6, 2, 1.7),
    Regime("one step", 1, 1, 1.0),
)


def check_clipped_update(
    fn: Callable[..., Any],
    rec: Recurrence,
    *,
    step_size: float,
    threshold: float,
    inputs: Inputs = None,
    rng: int | np.random.Generator | None = None,
    bound: Any = None,
    convention: str | None = None,
) -> Report:
    """Check a step w ← w - η clip_θ(g), and that the loss changes by no more than it may (claim T9).

    Parameters
    ----------
    fn : callable
        ``fn(params, grads, step_size=, threshold=)``, two dicts of arrays and two numbers. It returns the new
        parameters, or changes them in place. As a kernel's, ``grads`` holds more than the parameters; the
        other entries do not count.
    rec : Recurrence
        Its loss is what changes, and its parameters are updated.
    step_size, threshold : float
        η and θ; others are tried too.
    inputs : dict of arrays, or function of a Generator returning one, optional
        Where the change of the loss is looked at; drawn if left out.
    rng : int or Generator, optional
        Seed of everything random; fresh if left out, and printed in the report.
    bound : float, or object with ``value``, optional
        A Lipschitz constant of the loss at the given inputs, within ηθ around their parameters. Left out, it
        is ``lipschitz_bound(rec, η θ, …)`` at every set of inputs.
    convention : {"exact", "torch", "per_parameter", "per_element"}, optional
        As for ``check_clip``.

    Returns
    -------
    Report
        The evidence ``bound`` says how near K η min(‖g‖, θ) the change of the loss came, along gradients
        that are the recurrence's own, random, or turned by an adversary, who also moves the parameters:
        within the ball on which K holds, and, where the inputs are drawn here, further, to where the change
        grows in relation to the bound there. It is *tested*.

    Raises
    ------
    UsageError
        If an argument is not as described.
    ArrayError
        If the inputs do not fit the recurrence.
    """
    if not isinstance(rec, Recurrence):
        raise UsageError(f"rec={rec!r:.60}; expected a Recurrence.")
    eta, theta = positive(step_size, "step_size"), positive(threshold, "threshold")
    _check_arguments(fn, convention, inputs, bound, eta * theta)
    seed, generator = seeded(rng)

    def step(params: Any, grads: Any, size: float, limit: float) -> Any:
        return fn(params, grads, step_size=size, threshold=limit)

    kernel = generate(rec)
    points = list(_points(kernel, inputs, generator))
    shapes = {p: points[0].arrays[p].shape for p in rec.params}
    evidence, words, notes, rule = judge_update(step, shapes, eta, theta, convention, generator)
    looked = Attack(step, kernel, eta, theta, rule or rule_of(convention or "exact"))
    evidence += (_bound_evidence(looked, points, bound, inputs is None, generator),)
    refuted = any(e.verdict == "refuted" for e in evidence)
    name = getattr(fn, "__qualname__", None) or type(fn).__name__
    subject = f"the clipped update {name} on {rec.name} with η={eta:g}, θ={theta:g}"
    return Report(subject, evidence, words if refuted else None, notes, seed)


def assert_clipped_update(
    fn: Callable[..., Any],
    rec: Recurrence,
    *,
    step_size: float,
    threshold: float,
    inputs: Inputs = None,
    rng: int | np.random.Generator | None = None,
    bound: Any = None,
    convention: str | None = None,
) -> Report:
    """As ``check_clipped_update``; raises unless the verdict is ``"verified"``.

    Raises
    ------
    CheckFailedError
        With the whole report as its message.
    """
    report = check_clipped_update(
        fn, rec, step_size=step_size, threshold=threshold, inputs=inputs, rng=rng, bound=bound,
        convention=convention,
    )  # fmt: skip
    if report.verdict != "verified":
        raise CheckFailedError(report)
    return report


def _check_arguments(fn: Any, convention: str | None, inputs: Inputs, bound: Any, reach: float) -> None:
    form = "fn(params, grads, step_size=, threshold=)"
    if not callable(fn):
        raise UsageError(f"fn={fn!r:.60}; expected a function {form}.")
    try:
        inspect.signature(fn).bind({}, {}, step_size=1.0, threshold=1.0)
    except TypeError as error:
        name = getattr(fn, "__name__", fn)
        raise UsageError(f"fn={name!r:.60}: {error}; expected a function {form}.") from error
    except ValueError:  # a built-in without a signature
        pass
    if convention is not None and convention not in CONVENTIONS:
        known = ", ".join(map(repr, CONVENTIONS))
        raise UsageError(f"convention={convention!r:.60}; expected None or one of {known}.")
    if bound is None:
        return
    bound_value(bound)
    if inputs is None:
        raise UsageError("inputs=None with a bound; expected the inputs at which it holds.")
    radius = getattr(bound, "radius", np.inf)
    if not radius >= reach * (1 - 1e-12):
        raise UsageError(
            f"bound.radius={radius:.6g}; expected at least η θ = {reach:.6g}, the length of a step."
        )


def _points(kernel: Kernel, inputs: Inputs, rng: np.random.Generator) -> Iterator[Point]:
    if inputs is None:
        for case in recurrence_cases(kernel.recurrence, rng, REGIMES):
            yield Point(case.name, kernel.prepared("check_clipped_update", case.arrays))
        return
    given = [drawn(inputs, rng) for _ in range(DRAWS)] if callable(inputs) else [inputs]
    for k, arrays in enumerate(given):
        if not isinstance(arrays, Mapping):
            raise UsageError(
                f"inputs={arrays!r:.60}; expected a dict of arrays, or a function of a Generator."
            )
        yield Point(f"inputs {k + 1}", kernel.prepared("check_clipped_update", arrays))


def _bound_evidence(
    attack: Attack, points: list[Point], bound: Any, drawn_here: bool, rng: np.random.Generator
) -> Evidence:
    """Steps along many gradients at every point, and how much the loss changed."""
    found, unbounded = list[Outcome](), 0
    for point in points:
        limit = bound_at(attack, point) if bound is None else bound_value(bound)
        if not np.isfinite(limit):
            unbounded += 1
            continue
        here = list(outcomes(attack, point, limit, rng))
        best = max((o.change / o.allowed for o in here if o.allowed > 0), default=0.0)
        found += here
        if drawn_here and best:
            found += moved_outcomes(attack, point, best, rng)
    missing = f"; no finite bound at {unbounded} of {len(points)} points" if unbounded else ""
    ratios = [o.change / o.allowed for o in found if o.allowed > 0]
    if not ratios:
        return Evidence("bound", "tested", "inconclusive", f"no step could be judged{missing}")
    broken = [o for o in found if o.broken]
    numbers = {
        "tightness": max(ratios),
        "median tightness": float(np.median(ratios)),
        "steps": float(len(found)),
    }
    summary = (
        f"|F(x) - F(x - η clip(g))| is at most {max(ratios):.3g} of K η ‖clip(g)‖ in {len(found)} steps "
        f"(median {np.median(ratios):.3g}) along own, random and adversarial gradients, from given and moved "
        f"parameters{missing}"
    )
    findings = tuple(_finding(o) for o in broken[:3])
    return Evidence("bound", "tested", "refuted" if broken else "verified", summary, findings, numbers)


def _finding(o: Outcome) -> Finding:
    what = f"{o.name}: the loss changes by {o.change:.9g}; expected at most K η ‖clip(g)‖ = {o.allowed:.9g}"
    return Finding(what, found=o.change, expected=o.allowed, case=o.name)
