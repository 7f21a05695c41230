"""The claims T5 to T7 for one recurrence: its own adjoint recursion with gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from bptt_verify.derivation import wording
from bptt_verify.derivation.claims import Claim, Known
from bptt_verify.derivation.lines import Reader
from bptt_verify.derivation.reverse import gated_adjoint
from bptt_verify.derivation.theorems import theorems_shown
from bptt_verify.program import Program
from bptt_verify.proof import CLAIMS
from bptt_verify.render import Block, Display, Letter, Line, Prose


@dataclass(frozen=True)
class Truncations:
    """One recurrence, its gradient truncated.

    Attributes
    ----------
    program : Program
        The recurrence.
    """

    program: Program

    @cached_property
    def gated(self) -> Program:
        """Forward equations, and the reverse ones with gates."""
        return gated_adjoint(self.program)

    @cached_property
    def reader(self) -> Reader:
        """Writes the lines."""
        gates = next(a.name for a in self.gated.arrays if a.role == "gates")
        return Reader(self.program, {gates: Letter("ξ", r"\xi")})

    def window(self) -> Claim:
        """T5."""
        statement = (
            "ĝ^τ = Σ_t ∂⁺L_t/∂w + Σ_t c_tᵀ Σ_{i=max(1,t-τ+1)}^{t} (J_t … J_{i+1}) A_i; its error is the rest"
        )
        known = (
            Known("that the error is exactly the tail, and the bound on it", "proved", wording.BY_RULES),
            Known("the numbers of a generated kernel", "tested", wording.BY_TRUNCATED),
        )
        blocks = (Prose.of(wording.WINDOW), *theorems_shown(CLAIMS["T5"], "gradient_error"))
        return Claim("T5", CLAIMS["T5"], True, statement, {}, known, blocks)

    def chunks(self) -> Claim:
        """T6."""
        recursion, gradients = self.recursion(), self.gradients()
        statement = (
            "λ_t = c_t + ξ_{t+1} J_{t+1}ᵀ λ_{t+1}, with ξ_t = 0 at the first steps of chunks 2, 3, … for "
            "Chunks(k, k); explicit parts are not gated"
        )
        known = (
            Known("that a closed gate keeps no term that passes it", "proved", wording.BY_RULES),
            Known("that these equations are that recursion", "tested", wording.BY_TRUNCATED),
        )
        blocks: tuple[Block, ...] = (
            Prose.of(wording.GATES),
            *theorems_shown(CLAIMS["T6"], "gated_gradient", "chunk"),
            Prose.of(wording.GATED),
            *_display(recursion),
            *_display(gradients),
        )
        parts = {
            "recursion": tuple(x.formula for x in recursion),
            "gradients": tuple(x.formula for x in gradients),
        }
        return Claim("T6", CLAIMS["T6"], True, statement, parts, known, blocks)

    def randomized(self) -> Claim:
        """T7."""
        statement = (
            "E Σ_i λ_iᵀ A_i is the full gradient, if the gates are independent with P(ξ_t = 1/π_t) = π_t, "
            "otherwise 0; ∂L/∂h_0 has the gate ξ_1"
        )
        known = (
            Known("that the mean is the gradient, and the variance", "proved", wording.BY_RULES),
            Known("the numbers of a generated kernel", "tested", wording.BY_UNBIASED),
        )
        blocks = (
            Prose.of(wording.RANDOM),
            *theorems_shown(CLAIMS["T7"], "backward_gradient"),
            Prose.of(wording.VARIANCE),
        )
        return Claim("T7", CLAIMS["T7"], True, statement, {}, known, blocks)

    def recursion(self) -> list[Line]:
        """The cotangents of the values within a step, with gates, from what follows the last one."""
        read = {r.name for e in self.gated.equations for r in e.operands}
        gradients = [v for k, v in self.gated.results if k != "loss" and v not in read]
        ends = (Line(x, "nothing follows the last step") for x in self.reader.ends(self.gated))
        return [*ends, *self.reader.reverse(self.gated, gradients)]

    def gradients(self) -> list[Line]:
        """The gradients of the initial states, where the first gate stands."""
        initial = [a.name for a in self.program.arrays if a.role == "initial"]
        return [
            replace(self.reader.gradient(self.gated, n), reason="T6f: what step 1 sends back")
            for n in initial
        ]


def _display(lines: Sequence[Line]) -> tuple[Block, ...]:
    return (Display(tuple(lines)),) if lines else ()
