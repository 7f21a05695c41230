"""``prove``: every theorem made again, evaluated exactly, and the cells of its proofs file run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bptt_verify.cli import pages, tables
from bptt_verify.cli.outcome import Outcome, Place, Row
from bptt_verify.errors import ProofError, UsageError
from bptt_verify.proof import CLAIMS, GeneralClaim, Theorem, replay
from bptt_verify.verdict import Evidence, Finding, Knowledge, Verdict, combine


def proved(names: Sequence[str]) -> Outcome:
    """Prove claims, all of them if none is named.

    Raises
    ------
    UsageError
        If there is no such claim, or its file is missing.
    """
    for name in names:
        if name not in CLAIMS:
            raise UsageError(f"claim={name!r}: no proof of it is here; expected some of {', '.join(CLAIMS)}.")
    files = {CLAIMS[name]: pages.page(name) for name in dict.fromkeys(names or CLAIMS)}
    rows: list[Row] = []
    with tables.progress(len(files)) as step:
        for claim, file in files.items():
            with step(f"{claim.id} {claim.title}"):
                rows += looks(claim, file)
    verdict = combine(row.evidence.verdict for row in rows if row.evidence)
    return Outcome("prove", " ".join(claim.id for claim in files), verdict, tuple(rows))


def looks(claim: GeneralClaim, file: Path) -> Iterator[Row]:
    """The three ways of looking at a claim; what is not proved is not evaluated."""
    title = f"{claim.id} {claim.title}"
    proof = timed(partial(theorems, claim))
    yield Row(proof, title=title, place=Place(file))
    if proof.verdict == "verified":
        yield Row(timed(partial(evaluations, claim)), title=title, place=Place(file))
    else:
        yield Row(None, title=title, reason="not run: what is not proved is not evaluated")
    ran = timed(partial(cells, file))
    yield Row(ran, title=title, place=Place(file, int(ran.numbers.get("line", 1))))


def timed(look: Callable[[], Evidence]) -> Evidence:
    """The evidence, with the seconds it took among its numbers."""
    start = time.perf_counter()
    evidence = look()
    seconds = round(time.perf_counter() - start, 3)
    return replace(evidence, numbers={**evidence.numbers, "seconds": seconds})


def theorems(claim: GeneralClaim) -> Evidence:
    """Every theorem is made again, from nothing, by the rules of the kernel."""
    findings, used, done = [], set[Theorem](), dict[Theorem, Theorem]()
    for part in claim.parts:
        try:
            replay(part.theorem, done)
            used |= applied(part.theorem)
        except ProofError as error:
            findings.append(Finding(f"{part.label} is not proved: {error}"))
    made, rules = len(claim.parts) - len(findings), len({t.rule for t in used})
    summary = f"{made} theorems, {len(used)} steps, {rules} rules"
    numbers = {"theorems": made, "steps": len(used), "rules": rules}
    return _evidence("theorems", "proved", summary, findings, numbers)


def applied(theorem: Theorem) -> set[Theorem]:
    """What a theorem rests on, itself included: one for each application of a rule."""
    found, todo = set[Theorem](), [theorem]
    while todo:
        t = todo.pop()
        if t not in found:
            found.add(t)
            todo += [a for a in t.arguments if isinstance(a, Theorem)]
    return found


def evaluations(claim: GeneralClaim) -> Evidence:
    """Both sides of every theorem are computed exactly, with random integer matrices."""
    findings, count = [], 0
    for part in claim.parts:
        try:
            count += part.check()
        except ProofError as error:
            findings.append(Finding(f"{part.label} is false: {error}"))
    summary = f"{count} evaluations, T ≤ {claim.most}"
    return _evidence("exact evaluation", "checked", summary, findings, {"evaluations": count})


def cells(file: Path) -> Evidence:
    """The cells of the proofs file run, in a process of their own."""
    failure = pages.run(file)
    if failure is None:
        count = len(pages.blocks(file.read_text(encoding="utf-8")))
        return _evidence("cells", "tested", f"{file.name}: {count} cells ran", [], {"cells": count})
    summary = f"{file.name}, line {failure.line}: {failure.error}"
    finding = Finding(f"{file}, line {failure.line}: {failure.error}\n{failure.output}")
    evidence = _evidence("cells", "tested", summary, [finding], {"line": failure.line})
    return replace(evidence, verdict="inconclusive", findings=()) if failure.killed else evidence


def _evidence(
    name: str, how: Knowledge, summary: str, findings: list[Finding], numbers: Mapping[str, float]
) -> Evidence:
    verdict: Verdict = "refuted" if findings else "verified"
    return Evidence(name, how, verdict, summary, tuple(findings), numbers)
