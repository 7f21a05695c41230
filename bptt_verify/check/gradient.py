"""The judge: one gradient function against one reference loss, on all the inputs drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set

import numpy as np

from bptt_verify.check import contract, kinks, location, losses, noise, reference
from bptt_verify.check.comparison import Bench, Method, Outcome, Point, compare_all
from bptt_verify.check.contract import Visit
from bptt_verify.check.problem import Case, GradientFunction, Problem, real_loss
from bptt_verify.verdict import Evidence, Verdict

STEPPED_CASES = 3  # cases in which single steps' loss terms are looked at


def judge_gradient(
    fn: GradientFunction, problem: Problem, rng: np.random.Generator
) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
    """Judge a gradient function against a reference loss.

    Parameters
    ----------
    fn : callable
        ``fn(arrays) -> (loss, grads)``, the function under test.
    problem : Problem
        The reference.
    rng : numpy.random.Generator
        Draws the cases, the directions, and the probing perturbations.

    Returns
    -------
    evidence : tuple of Evidence
        ``"contract"``, ``"loss"`` (unless the function provides none), and ``"complex step"``, or ``"finite
        differences"`` for the blocks in which the loss is not analytic.
    notes : tuple of str
        What was not compared, and why.
    """
    drawn = tuple(problem.draw(rng))
    finite = [bool(np.isfinite(real_loss(problem.loss, c.arrays))) for c in drawn]
    cases = [c for c, ok in zip(drawn, finite, strict=True) if ok]
    notes = [_skipped(problem, c) for c, ok in zip(drawn, finite, strict=True) if not ok]
    seen = [kinks.surroundings(problem, c, rng) for c in cases]
    visits = [contract.visit(fn, problem, c, rng) for s in seen for c in (s.case, *s.sides)]
    precision = noise.working_precision([a for v in visits for a in v.returned])
    given = [b for b in problem.blocks if b in problem.required or any(b in v.grads for v in visits)]
    methods, doubts = choose_methods(problem, [c for s in seen for c in s.told], rng, given)
    bench = Bench(fn, problem, precision, methods, rng)
    evidence = [contract.contract_evidence(visits)]
    outcomes = _outcomes(bench, visits, {s.case.name for s in seen if s.sides})
    if problem.provides_loss:
        wrong = any(o.state == "wrong" for o in outcomes)
        evidence.append(losses.loss_evidence(bench, visits, wrong))
    for method in dict.fromkeys(methods.values()):
        blocks = [b for b in methods if methods[b] == method]
        evidence.append(_evidence(bench, method, blocks, outcomes))
    if precision is not noise.DOUBLE:
        notes.append(f"the function computes in {precision.name} and is judged accordingly")
    notes += [
        *kinks.notes(seen),
        *doubts,
        *(n for v in visits for n in v.notes),
        *_sampled(outcomes),
        *_why(outcomes),
    ]
    return tuple(evidence), tuple(dict.fromkeys(notes))


def choose_methods(
    problem: Problem, cases: Sequence[Case], rng: np.random.Generator, blocks: Sequence[str] | None = None
) -> tuple[dict[str, Method], list[str]]:
    """Complex step for the blocks in which the loss is found to be analytic, else finite differences."""
    blocks = problem.blocks if blocks is None else tuple(blocks)
    if problem.complex_only:
        return dict.fromkeys(blocks, "complex step"), []
    votes: dict[str, set[reference.Analytic]] = {b: set() for b in blocks}
    for case in cases:
        for block, vote in reference.analytic(problem.loss, case.arrays, blocks, rng).items():
            votes[block].add(vote)
    some = any("yes" in v and "no" not in v for v in votes.values())
    methods: dict[str, Method] = {}
    notes = []
    for block, seen in votes.items():
        exact = "no" not in seen and ("yes" in seen or some)
        methods[block] = "complex step" if exact else "finite differences"
        if exact and "yes" not in seen:
            notes.append(f"complex steps in {block} could not be confirmed by finite differences in any case")
    if cases and any(m == "finite differences" for m in methods.values()):
        named = ", ".join(b for b, m in methods.items() if m == "finite differences")
        notes.append(f"the reference loss is not analytic in {named}: finite differences are used")
    return methods, notes


def _skipped(problem: Problem, case: Case) -> str:
    """Why a case is not looked at; a loss that may fail has a method that says how."""
    reason = getattr(problem.loss, "failure", lambda arrays: None)(case.arrays)
    what = f"fails there with {reason}" if reason else "is not finite there"
    return f"case {case.name!r} is skipped: the reference loss {what}"


def _outcomes(bench: Bench, visits: Sequence[Visit], left: Set[str]) -> list[Outcome]:
    points = [Point(v.case.name, v.case.arrays, v.grads, left=v.case.name in left) for v in visits]
    whole: list[Outcome] = []
    wrong: set[str] = set()
    for point in points:
        whole += compare_all(bench, point, point.grads, wrong)
        wrong |= {o.block for o in whole if o.state == "wrong"}
    alone = [
        o
        for p in _stepped(bench, [p for p in points if not p.left])
        for o in compare_all(bench, p, [b for b in p.grads if b not in wrong], set())
    ]
    return whole + alone


def _stepped(bench: Bench, points: Sequence[Point]) -> list[Point]:
    """First, middle and last step alone, in up to three cases, the longest among them."""
    if bench.problem.at_step is None:
        return []
    finite = [p for p in points if all(np.all(np.isfinite(g)) for g in p.grads.values())]
    counts = [(location.step_count(bench, p.arrays) or 0, p) for p in finite]
    long = [(t, p) for t, p in counts if t >= 2]
    chosen = sorted(long, key=lambda c: -c[0])[:1] + long[:: max(1, len(long) // STEPPED_CASES)]
    unique = {id(p): (t, p) for t, p in chosen}
    stepped = [
        location.step_point(bench, p.name, p.arrays, k)
        for t, p in list(unique.values())[:STEPPED_CASES]
        for k in sorted({1, (t + 1) // 2, t})
    ]
    return [p for p in stepped if p is not None]


def _evidence(bench: Bench, method: Method, blocks: Sequence[str], outcomes: Sequence[Outcome]) -> Evidence:
    mine = [o for o in outcomes if o.block in blocks]
    wrong = [b for b in blocks if any(o.block == b and o.state == "wrong" for o in mine)]
    findings = tuple(location.finding(bench, [o for o in mine if o.block == b]) for b in wrong)
    right, open_ = (
        Counter(o.block for o in mine if o.state == s and not o.point.left) for s in ("right", "undecided")
    )
    told = {b for b in blocks if right[b] >= max(open_[b], 1)}  # one among many undecided tells nothing
    needed = {b for b in blocks if b in bench.problem.required or any(o.block == b for o in mine)}
    verdict: Verdict = "verified" if needed and needed <= told else "inconclusive"
    judged = [o for o in mine if o.state in ("right", "wrong")]
    worst = max((o.error for o in judged), default=0.0)
    tolerance = max((o.tolerance for o in judged), default=0.0)
    undecided = sum(o.state == "undecided" for o in mine)
    summary = (
        f"{len(judged)} comparisons of {len(told | set(wrong))} blocks; "
        f"worst error {worst:.1e} of a block's scale (largest tolerance {tolerance:.1e})"
        + (f"; {undecided} undecided" if undecided else "")
        if mine
        else "no gradient could be compared"
    )
    numbers = {"comparisons": float(len(judged)), "undecided": float(undecided), "worst_error": worst}
    return Evidence(method, "tested", "refuted" if findings else verdict, summary, findings,
                    {**numbers, "largest_tolerance": tolerance})  # fmt: skip


def _sampled(outcomes: Sequence[Outcome]) -> list[str]:
    """A note that names the blocks of which not every element was compared."""
    part = {o.block for o in outcomes if 0 < len(o.found_values) < np.size(o.point.grads[o.block])}
    named = ", ".join(sorted(part))
    return [f"of {named} a random sample of the elements was compared, and random directions"] if part else []


def _why(outcomes: Sequence[Outcome]) -> list[str]:
    """One note for each reason, with the blocks, the first case and the largest error."""
    grouped: dict[tuple[str, str], list[Outcome]] = {}
    for o in outcomes:
        if o.why:
            state = "undecided" if o.state == "undecided" else "compared"
            grouped.setdefault((state, o.why), []).append(o)
    notes = []
    for (state, why), of in grouped.items():
        blocks = ", ".join(dict.fromkeys(f"dL/d{o.block}" for o in of))
        more = f" and {len(of) - 1} more" if len(of) > 1 else ""
        errors = f"errors up to {max(o.error for o in of):.1g} of a block's scale"
        notes.append(f"{blocks}: {state} on {of[0].point.name!r}{more}: {why} ({errors})")
    return notes
