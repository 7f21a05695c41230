"""``check_formula`` and its twin ``assert_formula``: a line of mathematics, judged."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from bptt_verify.analysis.claims import Claim
from bptt_verify.analysis.counterexamples import Counterexample, counterexample
from bptt_verify.analysis.interpretations import Interpretation, interpretations
from bptt_verify.analysis.judgement import Judgement, judged
from bptt_verify.analysis.misprints import Misprint, misprint
from bptt_verify.analysis.points import Worlds
from bptt_verify.analysis.proving import proof_of, said_by
from bptt_verify.analysis.subjects import Unsaid, claims_of
from bptt_verify.errors import CheckFailedError, UsageError
from bptt_verify.language import Recurrence
from bptt_verify.notation.printing import written
from bptt_verify.notation.tree import Derivative, Letter
from bptt_verify.notation.walking import walk
from bptt_verify.verdict import Evidence, Finding, Report

DEFAULT = Unsaid("W_hh")
LAST_HOLDS = "with λ_{T+1} = 0 (and all adjoints after the last step) it holds at t = T too"
LAST_FAILS = "checked for steps before the last: it reads an adjoint after the last step"


@dataclass(frozen=True)
class FormulaReport(Report):
    """The result of checking a formula; a ``Report`` with what a formula adds.

    Attributes
    ----------
    counterexample : Counterexample or None
        If it is refuted, the smallest one found.
    misprint : Misprint or None
        If it is refuted, the one change after which it is right, with the name of the mistake.
    reading : str
        The formula as it was read, with every bracket and limit, and what was assumed.
    """

    counterexample: Counterexample | None = None
    misprint: Misprint | None = None
    reading: str = ""

    def __str__(self) -> str:
        lines = super().__str__().splitlines()
        read = [f"  read as: {line}" for line in self.reading.splitlines()]
        shown = str(self.counterexample).splitlines() if self.counterexample else []
        example = (
            [f"  smallest counterexample: {shown[0]}", *(f"  {line}" for line in shown[1:])] if shown else []
        )
        return "\n".join([lines[0], *read, *example, *lines[1:]])


def check_formula(
    text: str,
    rec: Recurrence,
    of: str | None = DEFAULT,
    *,
    reduction: str = "mean",
    rng: int | np.random.Generator | None = None,
) -> FormulaReport:
    """Judge a formula about the gradient of a recurrence.

    The text is parsed by a whitelist and never run. Each side of an equation is compared with the left
    side (or with what ``of`` names), whose value comes from differentiating the forward program as it is
    evaluated, apart from the library's derivation.

    Parameters
    ----------
    text : str
        LaTeX or Python-like: ``"Sum(dL/dh[t] * h[t-1].T, (t, 1, T))"``, or an equation, or a chain of them.
    rec : Recurrence
    of : str or None
        What a text without a left side is about: a parameter, an initial state ``"h0"`` or an input (the
        gradient of the loss), a state or value ``"h"`` (``∂L/∂h_t`` for every t), or ``"dh/dW_hh"``. It also
        is the parameter that w, θ and ``A_t`` are about. Given together with a left side, both must agree.
    reduction : {"mean", "sum"}
        Whether ``L = (1/T) Σ_t ℓ_t`` or ``L = Σ_t ℓ_t``.
    rng : int or numpy.random.Generator, optional
        Seed of the random numbers; 0 if left out, so that the same text always gives the same report.

    Returns
    -------
    FormulaReport
        ``.verdict`` is ``"verified"``, ``"refuted"`` or ``"inconclusive"``; evidence is ``"checked"`` where
        exact numbers decide (with elementwise functions opaque) and ``"tested"`` where 50 digits do.

    Raises
    ------
    FormulaError
        If the text cannot be read; with the position and a caret.
    UsageError
        If another argument is not as described.
    UnsupportedError
        If a state of the recurrence is a matrix.
    """
    _check_arguments(text, rec, of, reduction)
    seed = _seed(rng)
    claims, cell = claims_of(text, rec, of)
    worlds = Worlds(cell, reduction, seed)
    parts = [_Part(name, c, judged(interpretations(c, cell), worlds)) for name, c in claims]
    wrong = next((p for p in parts if p.judgement.verdict == "refuted"), None)
    shown = _counterexample(wrong, seed) if wrong else None
    cause = misprint(wrong.judgement.sensible, worlds) if wrong else None
    evidence = [e for p in parts for e in _evidence(p, of, shown if p is wrong else None)]
    notes = dict.fromkeys(n for p in parts for n in _notes(p.judgement))
    return FormulaReport(
        f"formula for {rec.name}, L = {'1/T ' * (reduction == 'mean')}Σ_t ℓ_t",
        tuple(evidence),
        str(cause) if cause else None,
        tuple(notes),
        counterexample=shown,
        misprint=cause,
        reading=_reading(parts),
    )


def assert_formula(
    text: str,
    rec: Recurrence,
    of: str | None = DEFAULT,
    *,
    reduction: str = "mean",
    rng: int | np.random.Generator | None = None,
) -> FormulaReport:
    """As ``check_formula``; raises unless the verdict is ``"verified"``.

    Raises
    ------
    CheckFailedError
        With the whole report as its message.
    """
    report = check_formula(text, rec, of, reduction=reduction, rng=rng)
    if report.verdict != "verified":
        raise CheckFailedError(report)
    return report


@dataclass(frozen=True)
class _Part:
    """One side of an equation, and what was found."""

    name: str
    readings: list[Claim]
    judgement: Judgement


# ---- arguments ----


def _check_arguments(text: Any, rec: Any, of: Any, reduction: Any) -> None:
    if not isinstance(text, str):
        raise UsageError(f"check_formula: text={text!r:.60}; expected a formula as a string.")
    if not isinstance(rec, Recurrence):
        raise UsageError(f"check_formula: rec={rec!r:.60}; expected a Recurrence, made by @recurrence.")
    if of is not None and not isinstance(of, str):
        raise UsageError(f"check_formula: of={of!r:.60}; expected a name such as 'W_hh', or None.")
    if reduction not in ("mean", "sum"):
        raise UsageError(f"check_formula: reduction={reduction!r:.60}; expected 'mean' or 'sum'.")


def _seed(rng: Any) -> int:
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**60))
    if rng is None:
        return 0
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer) or rng < 0:
        raise UsageError(f"check_formula: rng={rng!r:.60}; expected a seed or a numpy.random.Generator.")
    return int(rng)


# ---- the report ----


def proved(said: Interpretation) -> Evidence | None:
    """Evidence that the formula holds for every T and all sizes, where the proof kernel finds a proof."""
    sides = (said.claim.left, said.claim.right)
    if any(isinstance(t, Letter) and t.component for side in sides for _, t in walk(side)):
        return None  # theorems speak of whole vectors
    theorem = proof_of(said)
    if theorem is None:
        return None
    summary = f"for every T and all sizes, by the rules of the proof kernel: {said_by(theorem)}"
    return Evidence("proof", "proved", "verified", summary)


def _evidence(part: _Part, of: str | None, example: Counterexample | None) -> list[Evidence]:
    j = part.judgement
    if j.verdict == "verified":
        proof = proved(j.said)
        exact = "equal, with exact numbers" if j.how == "checked" else "equal to 50 digits"
        found = Evidence(part.name, j.how, "verified", f"{exact}, at random points with {j.places}")
        return [found] if proof is None else [proof, found]
    if j.verdict == "inconclusive":
        return [Evidence(part.name, j.how, "inconclusive", "there is no step at which both sides exist")]
    findings = (_finding(part, example),)
    return [Evidence(part.name, j.how, "refuted", f"different at a random point with {j.places}", findings)]


def _finding(part: _Part, example: Counterexample | None) -> Finding:
    left = part.judgement.said.claim.left
    block = left.bottom.name if isinstance(left, Derivative) else None
    if example is None:
        return Finding(f"{part.name}: not equal to {written(left)}", block)
    if example.claimed is None or example.right is None:
        return Finding(f"{written(left)}: {example.reason}", block, step=example.step)
    what = f"{written(left)}: the formula gives {example.claimed_text}, right is {example.right_text}"
    return Finding(
        what,
        block,
        example.index,
        example.step,
        float(example.claimed),
        float(example.right),
        case=f"T={example.T}",
    )


def _counterexample(part: _Part, seed: int) -> Counterexample | None:
    j = part.judgement
    if j.world is None:
        return None
    rational = j.how == "checked"
    return counterexample(j.said, j.world, j.said.claim.least_steps, rational, Random(seed))


def _notes(j: Judgement) -> tuple[str, ...]:
    if j.verdict != "verified":
        return ()
    last = () if j.last is None else (LAST_HOLDS if j.last else LAST_FAILS,)
    return (*j.said.said, *j.notes, *last)


def _reading(parts: list[_Part]) -> str:
    lines = []
    for p in parts:
        claim = p.judgement.said.claim
        lines.append(f"{written(claim.left)} = {written(claim.right)}")
        letters = ", ".join(claim.letters)
        lines[-1] += f"   for every {letters}" if letters else ""
    return "\n".join(lines)
