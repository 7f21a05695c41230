"""One example judged by the rules of ``check_gradient``, and quickly where everything agrees.

All elements of all blocks are computed by one evaluation of the program at as many complex steps. Where they
agree more closely than any tolerance of the check can be, the check would find them right. Everything else is
handed to its own comparison, block by block, with a tolerance measured there and a confirmation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bptt_verify.check import Array, Arrays, Problem, contract, location, noise
from bptt_verify.check.comparison import EVERY_ELEMENT, RELATIVE, Bench, Method, Outcome, Point, compare
from bptt_verify.check.contract import Visit
from bptt_verify.check.gradient import choose_methods
from bptt_verify.check.losses import loss_evidence
from bptt_verify.check.problem import magnitude, many_losses, real_loss, unit
from bptt_verify.check.reference import SMALL_STEP, UNDERFLOW
from bptt_verify.testing.against import Against
from bptt_verify.verdict import Evidence, Finding, Verdict, combine


class Judge:
    """Judges one function at one example after the other.

    Parameters
    ----------
    fn : callable
        The function under test.
    against : Against
        What it should give.

    Raises
    ------
    UsageError
        If the function does not take what it must.
    """

    def __init__(self, fn: Callable[..., Any], against: Against) -> None:
        self.against = against
        self.fn = against.adapted(fn)
        self._known: dict[str, Method] = {}

    def methods(self, problem: Problem) -> Mapping[str, Method]:
        """How each block is compared: by complex step wherever the loss is analytic.

        That is found out on ordinary inputs. Where nothing but a strategy of inputs is known it is found
        out at each example, until there is one that tells.
        """
        if not set(problem.blocks) <= set(self._known):
            samples = self.against.samples()
            found = _chosen(self.against.problem(self.fn, samples) if samples else problem)
            if not samples and "finite differences" in found.values():
                return found
            self._known |= found
        return self._known

    @np.errstate(all="ignore")
    def judge(self, example: Any, located: bool = False) -> tuple[Evidence, ...]:
        """What is found at one example: the first wrong block, or all of them, the first with its place."""
        rng = np.random.default_rng(example.seed)
        problem = self.against.problem(self.fn, [self.against.case(example)])
        (case,) = problem.draw(rng)
        problem = replace(problem, draw=lambda _: [case])
        if not np.isfinite(real_loss(problem.loss, case.arrays)):
            return (_evidence("gradient", "inconclusive", _undefined(problem, case.arrays)),)
        visit = contract.visit(self.fn, problem, case, rng)
        found = contract.contract_evidence([visit])
        if found.verdict == "refuted":
            return (found,)
        precision = noise.working_precision(list(visit.returned))
        bench = Bench(self.fn, problem, precision, self.methods(problem), rng)
        doubtful = _doubtful(bench, visit)
        if not doubtful and _loss_agrees(problem, visit):
            return (found, _evidence("complex step", "verified", f"{len(visit.grads)} blocks agree"))
        outcomes = list(_compared(bench, visit, doubtful, located))
        wrong = any(o.state == "wrong" for o in outcomes)
        loss = (loss_evidence(bench, [visit], wrong),) if problem.provides_loss else ()
        return (found, *loss, _gradient_evidence(bench, visit, outcomes, located))


def _undefined(problem: Problem, arrays: Arrays) -> str:
    """Why there is no number; a loss that may fail has a method that says how."""
    reason = getattr(problem.loss, "failure", lambda arrays: None)(arrays)
    return f"the reference loss fails with {reason}" if reason else "the reference loss is not finite"


def _chosen(problem: Problem) -> dict[str, Method]:
    rng = np.random.default_rng(0)
    return choose_methods(problem, list(problem.draw(rng)), rng)[0]


def _compared(bench: Bench, visit: Visit, blocks: Iterable[str], all_of_them: bool) -> Iterator[Outcome]:
    """Block after block, to the first that is wrong."""
    for block in blocks:
        outcome = compare(bench, Point(visit.case.name, visit.case.arrays, visit.grads), block)
        yield outcome
        if outcome.state == "wrong" and not all_of_them:
            return


def _doubtful(bench: Bench, visit: Visit) -> list[str]:
    """The blocks that are not so close to their reference that no comparison would call them wrong."""
    arrays = visit.case.arrays
    small = [b for b, g in visit.grads.items() if g.size <= EVERY_ELEMENT]
    exact = [b for b in small if bench.methods[b] == "complex step"]
    expected = _gradients(bench.problem, arrays, exact)
    near = set()
    for block, reference in expected.items():
        scale = magnitude(reference)
        allowed = RELATIVE * scale + noise.floor(scale, 0.0, arrays, bench.precision)
        if np.all(np.abs(visit.grads[block] - reference) <= allowed):  # not where either is NaN
            near.add(block)
    return [b for b in visit.grads if b not in near]


def _gradients(problem: Problem, arrays: Arrays, blocks: list[str]) -> dict[str, Array]:
    """The gradients by one complex step for each element, all at once; NaN where the steps underflow."""
    still = {k: np.asarray(a, complex) if noise.is_real(a) else a for k, a in arrays.items()}
    points = []
    for block in blocks:
        shape, step = np.shape(arrays[block]), SMALL_STEP * unit(arrays, block)
        turned = 1j * step * np.eye(int(np.prod(shape))).reshape(-1, *shape)
        points += [{**still, block: still[block] + d} for d in turned]
    changes = np.imag(many_losses(problem.loss, points))
    found, start = {}, 0
    for block in blocks:
        array = arrays[block]
        mine = changes[start : start + array.size]
        start += array.size
        lost = np.max(np.abs(mine), initial=0.0) < UNDERFLOW and np.any(mine)
        slopes = mine / (SMALL_STEP * unit(arrays, block)) if not lost else np.full(array.size, np.nan)
        found[block] = slopes.reshape(array.shape)
    return found


def _loss_agrees(problem: Problem, visit: Visit) -> bool:
    if visit.loss is None:
        return not problem.provides_loss
    expected = real_loss(problem.loss, visit.case.arrays)
    return bool(abs(visit.loss - expected) <= RELATIVE * abs(expected))


def _gradient_evidence(bench: Bench, visit: Visit, outcomes: list[Outcome], located: bool) -> Evidence:
    wrong = [o for o in outcomes if o.state == "wrong"]
    findings = tuple(map(_finding, wrong))
    if located and wrong:
        findings = (location.finding(bench, wrong[:1]), *findings[1:])
    open_ = [o for o in outcomes if o.state == "undecided" and o.block in bench.problem.required]
    if findings:
        return _evidence("gradient", "refuted", f"{len(findings)} blocks are wrong", findings)
    if open_:
        return _evidence("gradient", "inconclusive", f"{open_[0].block}: {open_[0].why}")
    return _evidence("gradient", "verified", f"{len(visit.grads)} blocks agree")


def _finding(o: Outcome) -> Finding:
    at = "" if o.index is None else f" at {list(o.index)}"
    what = (
        f"dL/d{o.block} is wrong{at}: found {o.found:.6g}, expected {o.expected:.6g} (case {o.point.name!r})"
    )
    return Finding(what, o.block, o.index, None, o.found, o.expected, o.error, o.point.name)


def _evidence(name: str, verdict: Verdict, summary: str, findings: tuple[Finding, ...] = ()) -> Evidence:
    return Evidence(name, "tested", verdict, summary, findings)


def verdict_of(evidence: tuple[Evidence, ...]) -> Verdict:
    """The verdict of one example."""
    return combine(e.verdict for e in evidence)
