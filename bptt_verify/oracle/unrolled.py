"""Rung 2: an adjoint Program against SymPy's derivative of the fully unrolled loss."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt_verify.oracle.chain import Derivatives
from bptt_verify.oracle.equality import NOTHING, Decision, decide
from bptt_verify.oracle.located import Symbolic
from bptt_verify.oracle.numeric import block_finding, failed, missing, not_provided
from bptt_verify.oracle.points import (
    DIGITS,
    Point,
    Sizes,
    blocks,
    check_sizes,
    digits_of,
    has_kinks,
    points,
    shape,
    sized,
    sizes_text,
)
from bptt_verify.oracle.quotients import Numbers
from bptt_verify.program import Array, Program
from bptt_verify.verdict import Evidence, Finding, Verdict

NAME = "exact unrolled gradient"

_POINTS = 3  # where numbers alone are compared, if branches or a lack of time ask for it


def exact_evidence(
    forward: Program, adjoint: Program, sizes: Mapping[str, int], *, seconds: float = 10.0
) -> Evidence:
    """Whether an adjoint Program is exactly the derivative of the unrolled loss, at these sizes.

    The loss is unrolled to one SymPy expression of symbols (every entry of every array is one) and
    opaque functions, and differentiated by SymPy. The adjoint is interpreted over the same symbols.
    Both must agree to 40 digits at a random point, and then exactly.

    Parameters
    ----------
    forward : Program
        With the result ``"loss"``.
    adjoint : Program
        Over the same arrays; its results name the gradient of each parameter, real input and initial
        state (and, if given, ``"loss"``).
    sizes : mapping of str to int
        A length for every size word, T and B included.
    seconds : float
        After that time no new derivative or normal form is begun.

    Returns
    -------
    Evidence
        Refuted by a number that is wrong or a parameter without gradient; inconclusive if equality
        cannot be decided, with the number of points at which the two sides agree.

    Raises
    ------
    UsageError
        If a size is missing.
    """
    check_sizes(forward, sizes)
    deadline = time.monotonic() + seconds
    absent = missing(forward, dict(adjoint.results))
    if absent:
        return Evidence(NAME, "checked", "refuted", f"gradients missing at {sizes_text(sizes)}", absent)
    try:
        return _Comparison(forward, adjoint, sizes, deadline).evidence()
    except Exception as error:  # whatever SymPy or a malformed program raises: nothing is known then
        return failed(NAME, sizes, error)


class _Comparison:
    def __init__(self, forward: Program, adjoint: Program, sizes: Sizes, deadline: float) -> None:
        self.forward, self.adjoint = sized(forward, sizes), sized(adjoint, sizes)
        self.sizes, self.deadline = sizes, deadline
        self.results = dict(adjoint.results)
        self.blocks = {n: a for n, a in blocks(forward).items() if n in self.results}
        self.digits = digits_of(forward, adjoint)
        self.kinks = has_kinks(forward) or has_kinks(adjoint)

    def evidence(self) -> Evidence:
        if not self.blocks:
            return self._say("inconclusive", "there is no gradient to compare")
        usable = [p for p in points(self.forward, self.sizes, np.random.default_rng(0)) if self._usable(p)]
        if not usable:
            return self._say("inconclusive", "no random point has a finite real loss")
        findings = self._at(usable[0])
        if findings:
            return self._refuted(findings)
        decision, total = self._decide(usable[0])
        if decision.all_equal and len(decision.polynomial + decision.rational) == total and not self.kinks:
            return self._say("verified", f"{self._counted()} {decision.text()}", decision)
        for k, point in enumerate(usable[1:_POINTS]):
            findings = self._at(point, k + 2)
            if findings:
                return self._refuted(findings)
        return self._by_branch(decision, total, min(len(usable), _POINTS))

    def _by_branch(self, decision: Decision, total: int, seen: int) -> Evidence:
        equal = len(decision.polynomial + decision.rational)
        agree = f"agree to {self.digits} digits at {seen} random points"
        if decision.all_equal and equal == total:
            what = f"{self._counted()} {decision.text()} on the branches at a random point"
            return self._say("verified", f"{what}, and {agree}", decision)
        reason = "different as rational functions of opaque ones" if decision.different else "out of time"
        what = f"{total - equal} of {total} entries are not decided exactly ({reason}); both sides {agree}"
        return self._say("inconclusive", what, decision)

    def _usable(self, point: Point) -> bool:
        return Numbers(point, DIGITS).usable(self.forward)

    def _at(self, point: Point, number: int = 1) -> tuple[Finding, ...]:
        """Both sides as numbers of many digits at one point."""
        numbers = Numbers(point, DIGITS)
        expected = {n: v for n, v in numbers.gradient(self.forward).items() if n in self.blocks}
        values = numbers.values(self.adjoint)
        arrays = self.blocks
        if "loss" in self.results:
            arrays = {"loss": Array("loss", "param", ()), **arrays}
            expected["loss"] = np.array(numbers.loss(self.forward), dtype=object)
        return tuple(
            finding
            for n, a in arrays.items()
            if (
                finding := block_finding(
                    a,
                    np.asarray(values[self.results[n]], dtype=object),
                    expected[n],
                    tolerance=numbers.arithmetic.mpf(10) ** -self.digits,
                    floor=numbers.arithmetic.mpf(10) ** -10,
                    case=f"random point {number}, {sizes_text(self.sizes)}",
                )
            )
        )

    def _decide(self, point: Point) -> tuple[Decision, int]:
        symbolic = Symbolic(point, DIGITS)
        loss = self._loss(symbolic, self.forward)
        values = symbolic.values(self.adjoint)
        pairs = [(self._loss(symbolic, self.adjoint), loss)] if "loss" in self.results else []
        derivatives = Derivatives(symbolic.definitions)
        total = len(pairs) + self._entries()
        for name in self.blocks:
            found = np.asarray(values[self.results[name]], dtype=object)
            for index, x in np.ndenumerate(symbolic.arrays[name]):
                if time.monotonic() < self.deadline:
                    pairs.append((symbolic.located(found[index]).expr, derivatives.by(loss, x.expr)))
        return decide(pairs, symbolic.definitions, self.deadline), total

    def _loss(self, symbolic: Symbolic, program: Program) -> Any:
        value = np.asarray(symbolic.values(program)[dict(program.results)["loss"]], dtype=object)
        return symbolic.located(value.item()).expr

    def _entries(self) -> int:
        return sum(int(np.prod(shape(a.labels, self.sizes), dtype=int)) for a in self.blocks.values())

    def _counted(self) -> str:
        return f"{self._entries()} gradient entries" + " and the loss" * ("loss" in self.results)

    def _refuted(self, findings: tuple[Finding, ...]) -> Evidence:
        what = f"{len(findings)} of {len(self.results)} results are wrong"
        return self._say("refuted", what, findings=findings)

    def _say(
        self, verdict: Verdict, what: str, decision: Decision = NOTHING, findings: tuple[Finding, ...] = ()
    ) -> Evidence:
        numbers = {"entries": float(self._entries()), **decision.numbers()}
        summary = f"{what} at {sizes_text(self.sizes)}{not_provided(self.forward, self.results)}"
        return Evidence(NAME, "checked", verdict, summary, findings, numbers)
