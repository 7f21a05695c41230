"""The exact channel: a function that takes its gates is run on every outcome of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bptt_verify.check import Array, Arrays, Case, Problem, complex_gradient, judge_gradient
from bptt_verify.check.contract import call, contract_evidence, copies, provided, visit
from bptt_verify.check.enumeration import Mean
from bptt_verify.derivation import gated_adjoint
from bptt_verify.language import Recurrence
from bptt_verify.verdict import Evidence, Finding, combine
from bptt_verify.verify.cases import Regime, recurrence_cases
from bptt_verify.verify.channels import Gated
from bptt_verify.verify.gatefaults import Observation, gate_diagnosis, is_recursion
from bptt_verify.verify.longcases import remembering
from bptt_verify.verify.pairs import pairs_evidence
from bptt_verify.verify.problems import Inputs, Reduction, recurrence_problem
from bptt_verify.verify.schedules import MOST, Law

REGIMES = (
    Regime("one step", 1, 2, 1.0),
    Regime("two steps", 2, 1, 1.0),
    Regime("batch", 3, 3, 1.0),
    Regime("saturated", 4, 2, 3.0),
    Regime("vanishing", 5, 2, 0.15),
    Regime("growing", 6, 2, 1.7),
    Regime("large", 3, 4, 1.0, size=1e3),
)
LONG = (Regime("longer", 12, 2, 1.0), Regime("long", 30, 2, 1.0))
LARGEST = 9  # random gates that a given schedule may have
SHORT = 3  # steps
DRAWS = 4  # outcomes of a case that are looked at one by one
DIAGNOSED = 8  # longer cases add nothing to a diagnosis but time
SEVERAL = 600  # blocks up to this size are compared as a whole

OTHER = (
    "it is another estimator than the gated recursion (T = {}): its mean was computed over all outcomes of "
    "few gates, and of pairs of gates at T = {} (as many as the evidence says, at most 450); "
    "dependence among three or more of many gates is not judged"
)

Found = tuple[tuple[Evidence, ...], tuple[str, ...], str | None]


def exact_evidence(
    rec: Recurrence, fn: Gated, inputs: Inputs, reduction: Reduction, rng: np.random.Generator
) -> Found:
    """Evidence, notes, and the known mistake, for a function whose gates are an argument."""
    problem = recurrence_problem(rec, fn.adapted, inputs, reduction, cases=lambda r, g: _cases(r, g, fn.law))
    cases = list(problem.draw(rng))
    if fn.law.steps is not None:
        problem = replace(problem, shorten=None)
    small = [c for c in (_cut(problem, c, fn.law) for c in cases) if c is not None]
    problem = replace(problem, provides_loss=_provides_loss(fn, (small or cases)[0]))
    evidence: tuple[Evidence, ...] = (_outcome_evidence(fn, problem, small or cases, rng),)
    notes: tuple[str, ...] = ()
    for some in _short_first(small):
        if combine(e.verdict for e in evidence) == "verified":
            found, said = _mean_evidence(fn, problem, some, rng)
            evidence, notes = evidence + found, notes + said
    if combine(e.verdict for e in evidence) == "refuted":
        return evidence, _once(notes), gate_diagnosis(rec, _observations(fn, problem, small or cases, rng))
    large = cases if inputs is not None else _long_cases(rec, fn, reduction, rng)
    more, said = _recursion_evidence(rec, fn, problem, small, large, rng)
    return (*evidence, *more), _once((*notes, *_cut_notes(cases, small), *said)), None


def _once(notes: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(notes))


def _short_first(cases: Sequence[Case]) -> list[list[Case]]:
    """Most mistakes show in few steps, where the mean costs little."""
    short = [c for c in cases if _shape(c.arrays)[0] <= SHORT]
    return [some for some in (short, [c for c in cases if _shape(c.arrays)[0] > SHORT]) if some]


def _cases(rec: Recurrence, rng: np.random.Generator, law: Law) -> Iterator[Case]:
    regimes: tuple[Regime, ...] = REGIMES if law.given else REGIMES + LONG
    if law.steps is not None:
        chosen = REGIMES[1:] if law.steps <= MOST else REGIMES[2:3]
        regimes = tuple(replace(r, steps=law.steps) for r in chosen)
    if law.per_sequence:
        regimes = tuple(replace(r, batch=min(r.batch, max(1, MOST // min(r.steps, 3)))) for r in regimes)
    yield from recurrence_cases(rec, rng, regimes)


def _long_cases(rec: Recurrence, fn: Gated, reduction: Reduction, rng: np.random.Generator) -> list[Case]:
    """More steps than can be enumerated; in the last case early steps still matter at the end."""
    steps = fn.law.steps

    def cases(rec: Recurrence, rng: np.random.Generator) -> Iterator[Case]:
        regimes = LONG[:1] if steps is None else (replace(LONG[0], steps=steps),)
        yield from recurrence_cases(rec, rng, regimes)
        if steps is None:
            yield remembering(rec, rng, LONG[1].steps, 1)

    return list(recurrence_problem(rec, fn.adapted, None, reduction, cases=cases).draw(rng))


def _shape(arrays: Arrays) -> tuple[int, int]:
    """T and B."""
    steps, batch = arrays["weights"].shape
    return int(steps), int(batch)


def _cut(problem: Problem, case: Case, law: Law) -> Case | None:
    """A case with so few gates that all outcomes can be computed; its first steps, where there are more."""
    steps, batch = _shape(case.arrays)
    if np.sum(law.telling(steps, batch) < 1) <= LARGEST:
        return case
    return _first_steps(problem, case, law, MOST)


def _first_steps(problem: Problem, case: Case, law: Law, most: int) -> Case | None:
    steps, batch = _shape(case.arrays)
    fewer = most // (batch if law.per_sequence else 1)
    if problem.shorten is None or not 0 < fewer < steps:
        return None
    name = case.name.removesuffix(f" (T={steps}, B={batch})")
    return Case(f"{name}, first {fewer} steps (T={fewer}, B={batch})", problem.shorten(case.arrays, fewer))


def _cut_notes(cases: Sequence[Case], small: Sequence[Case]) -> tuple[str, ...]:
    if not small:
        return ("there are too many outcomes to compute the mean",)
    longest = max(_shape(c.arrays)[0] for c in small)
    cut = any(_shape(c.arrays)[0] > longest for c in cases)
    return (f"the mean over all outcomes was computed for the first {longest} steps",) if cut else ()


def _provides_loss(fn: Gated, case: Case) -> bool:
    """Whether the function returns more than gradients; a function that fails is asked again later."""
    pi = fn.law.telling(*_shape(case.arrays))
    try:
        loss, _ = fn(copies(case.arrays), np.ones(pi.shape), pi)
    except Exception:  # whatever it raises, the first evidence quotes it
        return True
    return not (isinstance(loss, float) and np.isnan(loss))


def _outcome_evidence(
    fn: Gated, problem: Problem, cases: Sequence[Case], rng: np.random.Generator
) -> Evidence:
    """Single outcomes: what is returned, whether it repeats, and what happens to the inputs."""
    chosen = [cases[k] for k in sorted({0, len(cases) // 2, len(cases) - 1})]
    visits = []
    for case in chosen:
        for pi, keep in _draws(fn.law, case.arrays, rng, 2):
            at = Case(f"{case.name}, one outcome of the gates", case.arrays)
            visits.append(visit(partial(_at_gates, fn, keep, pi), problem, at, rng))
    return contract_evidence(visits)


def _at_gates(fn: Gated, keep: Array, pi: Array, arrays: Arrays) -> Any:
    return fn(arrays, keep, pi)


def _draws(law: Law, arrays: Arrays, rng: np.random.Generator, count: int) -> Iterator[tuple[Array, Array]]:
    """Probabilities and random outcomes of the gates, in which few are closed; the first has all open."""
    steps, batch = _shape(arrays)
    pi = law.gates(law.probabilities(steps), batch)
    for k in range(count):
        yield pi, np.where(rng.random(pi.shape) < (1.0 if k == 0 else np.maximum(pi, 0.5)), 1.0, 0.0)


def _mean_evidence(
    fn: Gated, problem: Problem, cases: Sequence[Case], rng: np.random.Generator
) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
    """The mean over all outcomes, judged as any gradient is."""
    mean = Mean(fn, lambda arrays: fn.law.telling(*_shape(arrays)))
    short = all(_shape(c.arrays)[0] <= SHORT for c in cases)
    at_step = problem.at_step if short else None
    found, notes = judge_gradient(mean, replace(problem, draw=lambda _: cases, at_step=at_step), rng)
    kept = [
        e for e in found if e.verdict != "verified" or (e.name != "contract" and (short or e.name != "loss"))
    ]
    told = [_told(e, mean, problem, cases) for e in kept]
    if mean.uneven:
        words = f"the loss depends on the gates: {mean.uneven}"
        told.append(Evidence("loss at all gates", "tested", "refuted", words, (Finding(words),)))
    if not mean.varies:
        notes += ("no gradient depends on the gates: the whole gradient is computed each time",)
    return tuple(told), notes


def _told(e: Evidence, mean: Mean, problem: Problem, cases: Sequence[Case]) -> Evidence:
    """The evidence of a gradient as that of a mean, with the size of the bias."""
    if e.name in ("loss", "contract"):
        return e if e.name == "loss" else replace(e, name="contract of the mean")
    steps = sorted({_shape(c.arrays)[0] for c in cases})
    listed = ", ".join(map(str, steps))
    return replace(
        e,
        name=f"mean over all outcomes, {e.name}",
        summary=f"{e.summary}; all outcomes of the gates at T = {listed}, {mean.calls} calls",
        findings=tuple(_biased(f, mean, problem, cases) for f in e.findings),
    )


def _biased(f: Finding, mean: Mean, problem: Problem, cases: Sequence[Case]) -> Finding:
    what = f.what.replace(f"dL/d{f.block} is wrong", f"the mean of dL/d{f.block} is biased", 1)
    arrays = next((c.arrays for c in cases if c.name == f.case), None)
    if arrays is None or f.block is None or np.size(arrays[f.block]) > SEVERAL:
        return replace(f, what=what)
    with np.errstate(all="ignore"):
        wanted = complex_gradient(problem.loss, arrays, f.block)
        size = float(np.linalg.norm(mean(arrays)[1][f.block] - wanted) / np.linalg.norm(wanted))
    if not np.isfinite(size):
        return replace(f, what=what)
    return replace(f, what=f"{what}; the bias is {100 * size:.3g} % of the norm of the block")


def _observations(
    fn: Gated, problem: Problem, cases: Sequence[Case], rng: np.random.Generator
) -> list[Observation]:
    """What the function returns at some gates of some cases that are long enough to tell."""
    told = [c for c in cases if 1 < _shape(c.arrays)[0] <= DIAGNOSED] or list(cases)[:1]
    return [o for c in told[:4] for o in _observed(fn, problem, c, rng)]


def _observed(fn: Gated, problem: Problem, case: Case, rng: np.random.Generator) -> Iterator[Observation]:
    steps, batch = _shape(case.arrays)
    for pi, keep in _draws(fn.law, case.arrays, rng, DRAWS):
        result = call(partial(_at_gates, fn, keep, pi), copies(case.arrays))
        kept, chances = (np.broadcast_to(a.T, (batch, steps)).T for a in (keep, pi))
        grads = provided(problem, case.arrays, result)
        if grads:
            yield Observation(case.arrays, kept, chances, grads)


def _recursion_evidence(
    rec: Recurrence,
    fn: Gated,
    problem: Problem,
    small: Sequence[Case],
    large: Sequence[Case],
    rng: np.random.Generator,
) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
    """Whether the function is the gated recursion, whose mean is proved, at more steps than that."""
    program = gated_adjoint(rec.program)
    same = [all(is_recursion(program, o) for o in _observed(fn, problem, c, rng)) for c in large]
    listed = ", ".join(str(_shape(c.arrays)[0]) for c in large)
    if all(same):
        count = DRAWS * len(large)
        words = f"{count} outcomes at T = {listed}: equal to the gated recursion, whose mean is proved (T7)"
        return (Evidence("gated recursion", "tested", "verified", words),), ()
    seen = [o for c in small[2:4] for o in _observed(fn, problem, c, rng)]
    other = bool(small) and not all(is_recursion(program, o) for o in seen)
    if small and not fn.law.given:
        pairs = pairs_evidence(fn, problem, large[-1], rng)
        return (pairs,), (
            OTHER.format(listed if not other else "any number of steps", _shape(large[-1].arrays)[0]),
        )
    if other:
        longest = max(_shape(c.arrays)[0] for c in small)
        return (), (
            f"it is another estimator than the gated recursion; T above {longest} was not judged exactly",
        )
    words = f"not the gated recursion at T = {listed}, and what its mean is there is not known"
    open_ = Evidence("gated recursion", "tested", "inconclusive", words)
    longer = [c for c in (_first_steps(problem, c, fn.law, LARGEST) for c in large) if c is not None]
    if not small or not longer:
        return (open_,), ()
    found, notes = _mean_evidence(fn, replace(problem, shorten=None), longer[:1], rng)
    return (*found, open_), notes
