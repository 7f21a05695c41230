"""The rungs: each looks at the kernel in another way.

Rungs 2, 4, 6, 7 and 8 take nothing from the derivation. Rung 3 checks the derived local Jacobians, rung 5
compares two derived programs, and rung 10 makes its wrong gradients from the derived one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from bptt_verify.analysis import lipschitz_bound
from bptt_verify.certification.references import REFERENCES, unrolled
from bptt_verify.check import (
    Arrays,
    Case,
    Problem,
    caught,
    difference_evidence,
    duality_evidence,
    judge_gradient,
    taylor_evidence,
)
from bptt_verify.codegen import Kernel
from bptt_verify.derivation import adjoint_step, jacobian, step_loss
from bptt_verify.errors import ProofError
from bptt_verify.language import run
from bptt_verify.mutants import Mutant, mutants
from bptt_verify.oracle import (
    CutStep,
    digits_evidence,
    exact_evidence,
    jacobian_evidence,
    recursion_evidence,
)
from bptt_verify.program import Program, evaluate
from bptt_verify.proof import CLAIMS, GeneralClaim
from bptt_verify.proof.claims.parts import MOST
from bptt_verify.verdict import Evidence, Finding, Verdict
from bptt_verify.verify import recurrence_cases, recurrence_problem
from bptt_verify.verify.adapters import Adapted

RADIUS = 0.1  # of the ball on which the change of the loss is bounded
POINTS = 20  # of that ball at which the gradient is compared with the bound
FORWARD_TOLERANCE = 1e-12  # relative to the largest entry; both sides make the same few operations
SAME = 1e-13  # a mutant whose gradients differ by less everywhere changes no number
EXACT_SECONDS = 10.0


@dataclass(frozen=True)
class Subject:
    """A kernel, the seed, and the inputs that all rungs share."""

    kernel: Kernel
    seed: int

    def rng(self, rung: int) -> np.random.Generator:
        """A generator of its own for each rung, so that one rung's draws do not move another's."""
        return np.random.default_rng([self.seed, rung])

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """Telling inputs."""
        return tuple(recurrence_cases(self.kernel.recurrence, self.rng(0)))

    @cached_property
    def problem(self) -> Problem:
        """The recurrence's loss as the reference, on the shared inputs."""
        problem = recurrence_problem(self.kernel.recurrence, Adapted(self.kernel.loss_and_grad, None))
        return replace(problem, draw=lambda rng: self.cases)

    def gradient(self, arrays: Arrays) -> tuple[Any, Mapping[str, Any]]:
        """The kernel's loss and gradient."""
        return self.kernel.loss_and_grad(**arrays)

    def sizes(self, steps: int, batch: int, most: int) -> dict[str, int]:
        """Small sizes for the exact rungs: 2 for the states' sizes, at most ``most`` for the others."""
        rec = self.kernel.recurrence
        states = {w for words in rec.carried.values() for w in words}
        classes = {rec.declarations[n].sizes[0] for n in rec.onehot}
        words = dict.fromkeys(w for d in rec.declarations.values() for w in d.sizes)
        return {"T": steps, "B": batch} | {w: 2 if w in states | classes else most for w in words}


def proved(subject: Subject) -> tuple[Evidence, ...]:
    """Rung 1: the theorems, made again by their rules; and one step of the recursion as an instance."""
    forward = subject.kernel.programs.recurrence
    step, loss = (
        CutStep(one.program, {key: a.name for key, a in one.given.items()})
        for one in (adjoint_step(forward), step_loss(forward))
    )
    sizes = subject.sizes(1, 1, 2)
    instance = recursion_evidence(forward, step, loss, jacobian(forward), sizes)
    return *(_theorem(CLAIMS[name]) for name in ("T1", "T2")), instance


def _theorem(claim: GeneralClaim) -> Evidence:
    """A claim's theorems, replayed from nothing and evaluated with matrices of integers."""
    name = f"{claim.id} {claim.title}"
    try:
        looked = sum(part.check() for part in claim.parts)
    except ProofError as error:
        return Evidence(name, "proved", "refuted", "the proof fails", (Finding(str(error)),))
    summary = (
        f"for every T and all sizes: {len(claim.parts)} theorems made again by the rules of the proof kernel"
    )
    summary += f", and true at {looked} choices of their indices (T ≤ {MOST}) with random integer matrices"
    return Evidence(name, "proved", "verified", summary, (), {"theorems": float(len(claim.parts))})


def exact(subject: Subject) -> tuple[Evidence, ...]:
    """Rung 2: SymPy's ``diff`` of the unrolled loss, and the same at 40 digits for the float kernel."""
    programs = subject.kernel.programs
    forward = programs.recurrence
    symbolic = exact_evidence(forward, programs.loss_and_grad, subject.sizes(2, 1, 1), seconds=EXACT_SECONDS)
    sizes = subject.sizes(3, 2, 2)
    digits = digits_evidence(forward, lambda a: subject.gradient(a)[1], sizes, subject.rng(2))
    return symbolic, digits


def jacobians(subject: Subject) -> tuple[Evidence, ...]:
    """Rung 3: J_t and A_t against SymPy's index notation with symbolic sizes."""
    forward = subject.kernel.programs.recurrence
    return (jacobian_evidence(forward, jacobian(forward), subject.sizes(1, 1, 2), subject.rng(3)),)


def forward(subject: Subject) -> tuple[Evidence, ...]:
    """Rung 4: the forward kernel against the author's function, and against a hand-written cell."""
    rec = subject.kernel.recurrence
    evidence = [_forward("author's function, step by step", subject, lambda a: run(rec, a))]
    if _in_catalogue(subject):
        evidence.append(_forward("hand-written cell", subject, lambda a: unrolled(rec, a)))
    return tuple(evidence)


def _in_catalogue(subject: Subject) -> bool:
    rec = subject.kernel.recurrence
    return rec.name in REFERENCES and rec.function.__module__.startswith("bptt_verify.cells")


def _forward(name: str, subject: Subject, reference: Any) -> Evidence:
    worst, findings, looked = 0.0, [], 0
    for case in subject.cases:
        with np.errstate(all="ignore"):
            trace = subject.kernel.forward(**case.arrays)
            loss, outputs, states = reference(case.arrays)
        pairs = {"loss": (trace.loss, loss), "outputs": (trace.outputs, outputs)}
        pairs |= {s: (trace.states[s], states[s]) for s in states}
        for what, (found, expected) in pairs.items():
            if expected is None or not np.all(np.isfinite(expected)):
                continue
            looked += 1
            scale = float(np.abs(expected).max(initial=0.0)) or 1.0
            error = float(np.abs(found - expected).max(initial=0.0)) / scale
            worst = max(worst, error)
            if not error <= FORWARD_TOLERANCE:
                text = f"the kernel's {what} differ from those of the {name} on case {case.name!r}"
                text += f" (relative error {error:.2g})"
                findings.append(Finding(text, block=what, error=error, case=case.name))
    verdict: Verdict = "refuted" if findings else "verified" if looked else "inconclusive"
    summary = f"loss, outputs and states in {len(subject.cases)} cases; worst error {worst:.1e}"
    summary += f" (tolerance {FORWARD_TOLERANCE:g})"
    return Evidence(
        name, "tested", verdict, summary, tuple(findings), {"worst": worst, "compared": float(looked)}
    )


def duality(subject: Subject) -> tuple[Evidence, ...]:
    """Rung 5: ⟨c, J v⟩ = ⟨Jᵀ c, v⟩ for the generated forward-mode and reverse-mode functions."""
    kernel = subject.kernel
    blocks = subject.problem.blocks

    def jvp(arrays: Arrays, tangents: Arrays) -> dict[str, Any]:
        _, outputs, states = kernel.jvp(arrays, tangents)
        last = {s: v[-1] for s, v in states.items()}
        return last if outputs is None else {"output": outputs, **last}

    def loss_jvp(arrays: Arrays, tangents: Arrays) -> dict[str, Any]:
        return {"loss": kernel.jvp(arrays, tangents)[0]}

    def loss_vjp(arrays: Arrays, cotangents: Arrays) -> dict[str, Any]:
        return {k: cotangents["loss"] * v for k, v in kernel.loss_and_grad(**arrays)[1].items()}

    rng = subject.rng(5)
    results = duality_evidence(jvp, kernel.vjp, subject.cases, blocks, rng)
    loss = duality_evidence(loss_jvp, loss_vjp, subject.cases, blocks, rng)
    return replace(results, name="outputs and final states"), replace(loss, name="loss")


def complex_step(subject: Subject) -> tuple[Evidence, ...]:
    """Rung 6: every element by complex step of the reference loss."""
    evidence, _ = judge_gradient(subject.gradient, subject.problem, subject.rng(6))
    return evidence


def differences(subject: Subject) -> tuple[Evidence, ...]:
    """Rung 7: finite differences with SciPy's error estimate."""
    return (difference_evidence(subject.gradient, subject.problem, subject.rng(7)),)


def slopes(subject: Subject) -> tuple[Evidence, ...]:
    """Rung 8: Taylor remainders down to the round-off floor."""
    return (taylor_evidence(subject.gradient, subject.problem, subject.rng(8)),)


def mutated(subject: Subject) -> tuple[Evidence, ...]:
    """Rung 10: every known mistake that changes a number is caught."""
    right = subject.kernel.programs.loss_and_grad
    wrong = mutants(right)
    changed: list[Mutant] = []
    same: list[Mutant] = []
    for m in wrong:
        (same if _unchanged(m.program, right, subject.cases) else changed).append(m)
    found = caught(
        {m.name: _evaluated(m.program) for m in changed}, subject.problem, subject.cases, subject.rng(10)
    )
    missed = [m for m in changed if m.name not in found]
    findings = tuple(Finding(f"a wrong gradient passes: {m.description}") for m in missed)
    summary = f"{len(found)} of {len(changed)} wrong gradients caught"
    if same:
        summary += "; equivalent, since they change no number on these inputs: " + ", ".join(
            m.name for m in same
        )
    verdict: Verdict = "refuted" if missed else "verified" if changed else "inconclusive"
    numbers = {"mutants": float(len(wrong)), "caught": float(len(found)), "equivalent": float(len(same))}
    return (Evidence("deliberately wrong gradients", "tested", verdict, summary, findings, numbers),)


def bounded(subject: Subject) -> tuple[Evidence, ...]:
    """Rung 11: a local Lipschitz constant of the loss (T10) at one case; nothing where none is finite."""
    rec, rng = subject.kernel.recurrence, subject.rng(11)
    case = next(c for c in subject.cases if c.name.startswith("batch"))
    bound = lipschitz_bound(rec, RADIUS, **case.arrays)
    if not np.isfinite(bound.value):
        return ()
    params = {p: case.arrays[p] for p in rec.params}
    points = ({**case.arrays, **_moved(params, rng)} for _ in range(POINTS))
    largest = max(_size({p: subject.gradient(a)[1][p] for p in params}) for a in points)
    holds = bool(largest <= bound.value)
    summary = (
        f"|F(x) - F(y)| ≤ {bound.value:.4g} ‖x - y‖ within {RADIUS:g} of the parameters of case "
        f"{case.name!r} ({bound.kind} form); ‖∇F‖ reaches {largest:.4g} at {POINTS} points of that ball"
    )
    findings = () if holds else (Finding(f"the gradient is larger than its bound {bound.value:.6g}"),)
    numbers = {"bound": bound.value, "largest_gradient": largest, "radius": RADIUS}
    verdict: Verdict = "verified" if holds else "refuted"
    return (Evidence("change of the loss", "tested", verdict, summary, findings, numbers),)


def _moved(params: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The parameters moved by a random vector as long as the radius."""
    change = {p: rng.normal(size=np.shape(a)) for p, a in params.items()}
    length = _size(change)
    return {p: a + RADIUS * change[p] / length for p, a in params.items()}


def _size(arrays: Mapping[str, Any]) -> float:
    """The Euclidean norm of all arrays together."""
    return float(np.sqrt(sum(float(np.sum(np.square(a))) for a in arrays.values())))


def _evaluated(program: Program) -> Any:
    def gradient(arrays: Arrays) -> tuple[Any, dict[str, Any]]:
        with np.errstate(all="ignore"):
            values = evaluate(program, arrays)
        results = {k: values[v] for k, v in program.results}
        return results.pop("loss"), results

    return gradient


def _unchanged(program: Program, right: Program, cases: tuple[Case, ...]) -> bool:
    for case in cases:
        _, a = _evaluated(program)(case.arrays)
        _, b = _evaluated(right)(case.arrays)
        for k in b:
            scale = float(np.abs(b[k]).max(initial=0.0))
            if not np.abs(a[k] - b[k]).max(initial=0.0) <= SAME * scale:
                return False
    return True
