"""One example judged by the rules of ``check_gradient``, and quickly where everything agrees.

All elements of all blocks are computed by one evaluation of the program at as many complex steps. Where they
agree more closely than any tolerance of the check can be, the check would find them right. Everything else is
handed to its own comparison, block by block, with a tolerance measured there and a confirmation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from bptt_verify.check import Array, Arrays, Case, Problem, contract, noise
from bptt_verify.check.comparison import RELATIVE, Bench, Method, Outcome, Point, compare
from bptt_verify.check.contract import Visit
from bptt_verify.check.gradient import choose_methods
from bptt_verify.check.losses import loss_evidence
from bptt_verify.check.problem import magnitude, many_losses, real_loss, unit
from bptt_verify.check.reference import SMALL_STEP, UNDERFLOW
from bptt_verify.language import Recurrence
from bptt_verify.testing.examples import Example
from bptt_verify.verdict import Evidence, Finding, Verdict, combine
from bptt_verify.verify.adapters import adapted
from bptt_verify.verify.arguments import known_arrays
from bptt_verify.verify.cases import least_sizes
from bptt_verify.verify.problems import Reduction, recurrence_problem

SAMPLES = 3  # examples at which it is found out where the loss is analytic


class Judge:
    """Judges one function at one example after the other.

    Parameters
    ----------
    fn : callable
        The function under test.
    rec : Recurrence
    reduction : {"mean", "sum"} or array
        The weights of a function that takes none.

    Raises
    ------
    UsageError
        If the function does not take what it must, or the reduction is none.
    """

    def __init__(self, fn: Callable[..., Any], rec: Recurrence, reduction: Reduction) -> None:
        self.rec, self.reduction = rec, reduction
        self.fn = adapted(fn, known_arrays(rec))
        self.problem_of([])

    def problem_of(self, cases: list[Case]) -> Problem:
        """The problem with these inputs."""
        problem = recurrence_problem(
            self.rec, self.fn, reduction=self.reduction, cases=lambda rec, rng: cases
        )
        drawn = list(problem.draw(np.random.default_rng(0)))
        return replace(problem, draw=lambda rng: drawn, at_step=None)

    @cached_property
    def methods(self) -> Mapping[str, Method]:
        """How each block is compared: by complex step wherever the loss is analytic."""
        rng = np.random.default_rng(0)
        sizes = {w: n + k % 3 for k, (w, n) in enumerate(least_sizes(self.rec).items())}
        cases = [Example(k + 2, 2, sizes, seed=k).case(self.rec) for k in range(SAMPLES)]
        problem = self.problem_of(cases)
        return choose_methods(problem, list(problem.draw(rng)), rng)[0]

    def judge(self, example: Example) -> tuple[Evidence, ...]:
        """What is found at one example."""
        rng = np.random.default_rng(example.seed)
        problem = self.problem_of([example.case(self.rec)])
        (case,) = problem.draw(rng)
        if not np.isfinite(real_loss(problem.loss, case.arrays)):
            return (_evidence("gradient", "inconclusive", "the reference loss is not finite"),)
        visit = contract.visit(self.fn, problem, case, rng)
        found = contract.contract_evidence([visit])
        if found.verdict == "refuted":
            return (found,)
        precision = noise.working_precision(list(visit.returned))
        bench = Bench(self.fn, problem, precision, self.methods, rng)
        doubtful = self._doubtful(bench, visit)
        if not doubtful and _loss_agrees(problem, visit):
            return (found, _evidence("complex step", "verified", f"{len(visit.grads)} blocks agree"))
        outcomes = []
        for block in doubtful:
            outcomes.append(compare(bench, Point(case.name, case.arrays, visit.grads), block))
            if outcomes[-1].state == "wrong":
                break
        wrong = any(o.state == "wrong" for o in outcomes)
        return (found, loss_evidence(bench, [visit], wrong), _gradient_evidence(problem, visit, outcomes))

    def _doubtful(self, bench: Bench, visit: Visit) -> list[str]:
        """The blocks that are not so close to their reference that no comparison would call them wrong."""
        arrays = visit.case.arrays
        exact = [b for b in visit.grads if self.methods[b] == "complex step"]
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


def _gradient_evidence(problem: Problem, visit: Visit, outcomes: list[Outcome]) -> Evidence:
    findings = tuple(_finding(o) for o in outcomes if o.state == "wrong")
    open_ = [o for o in outcomes if o.state == "undecided" and o.block in problem.required]
    if findings:
        return _evidence("gradient", "refuted", f"{len(findings)} blocks are wrong", findings)
    if open_:
        return _evidence("gradient", "inconclusive", f"{open_[0].block}: {open_[0].why}")
    return _evidence("gradient", "verified", f"{len(visit.grads)} blocks agree")


def _finding(o: Outcome) -> Finding:
    at = "" if o.index is None else f" at {list(o.index)}"
    what = f"dL/d{o.block}{at} is {o.found:.6g}, expected {o.expected:.6g} (case {o.point.name!r})"
    return Finding(what, o.block, o.index, None, o.found, o.expected, o.error, o.point.name)


def _evidence(name: str, verdict: Verdict, summary: str, findings: tuple[Finding, ...] = ()) -> Evidence:
    return Evidence(name, "tested", verdict, summary, findings)


def verdict_of(evidence: tuple[Evidence, ...]) -> Verdict:
    """The verdict of one example."""
    return combine(e.verdict for e in evidence)
