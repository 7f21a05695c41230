"""The claims T11 and T12 for one recurrence: what it is fed, and what goes back through that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from bptt_verify.derivation import wording
from bptt_verify.derivation.claims import Claim, Known
from bptt_verify.derivation.theorems import theorems_shown
from bptt_verify.program import TIME, Notation, Pointwise, Program, Ref
from bptt_verify.program.surgery import states_of
from bptt_verify.proof import CLAIMS
from bptt_verify.render import Block, Display, Formula, Line, Prose


@dataclass(frozen=True)
class Feeds:
    """One recurrence, and what it feeds back.

    Attributes
    ----------
    program : Program
        The recurrence, in one mode.
    decoupled : bool
        Whether its Jacobian is zero.
    """

    program: Program
    decoupled: bool

    @cached_property
    def fed(self) -> dict[str, str]:
        """The value that each Feedback is fed, by its name."""
        values = {c.value for c in self.program.carries if c.fed}
        return {u: v for u, v in states_of(self.program).items() if v in values}

    @cached_property
    def mode(self) -> str:
        """How it is fed."""
        if any(a.role == "mask" for a in self.program.arrays):
            return "scheduled"
        return "teacher" if self.fed and all(map(self._target, self.fed.values())) else "free"

    def _target(self, value: str) -> str:
        """The target that a fed value is, if it is one."""
        e = self.program.equation[value]
        alone = isinstance(e, Pointwise) and e.expr.is_Symbol
        source = self.program.array.get(e.operands[0].name) if alone else None
        return source.name if source is not None and source.role == "target" else ""

    def lines(self) -> tuple[Line, ...]:
        """``u_t = o_{t-1}`` for each Feedback, and its first value."""
        found: list[Line] = []
        for u, v in self.fed.items():
            source = self._target(v) or v
            found += [
                Line(_equal(Ref(u, (TIME,)), Ref(source, (TIME,), -1)), wording.FED_BY[self.mode]),
                Line(_equal(Ref(f"{u}_1", ()), Ref(f"{u}0", ())), "given"),
            ]
        return tuple(found)

    def forcing(self) -> Claim:
        """T11."""
        if not self.fed:
            return self._not("T11", wording.FED["free"], wording.NOTHING_FED)
        lines = self.lines()
        statement = wording.FED[self.mode]
        if self.mode == "teacher" and self.decoupled:
            statement += "; J_t = 0: dL/dw = Σ_t ∂⁺L_t/∂w + Σ_t c_tᵀ A_t, each step alone"
        shown = {
            "free": ("free_fed", "ordinary_rate"),
            "teacher": ("decoupled_rate", "decoupled_gradient") if self.decoupled else ("teacher_rate",),
            "scheduled": ("fed_rate", "fed_adjoint"),
        }[self.mode]
        blocks: tuple[Block, ...] = (
            Prose.of(wording.FEEDBACK),
            Display(lines),
            Prose.of(wording.FED_WORDS[self.mode]),
            *theorems_shown(CLAIMS["T11"], *shown),
        )
        known = (
            Known("what goes back through what is fed, for any mask", "proved", wording.BY_RULES),
            Known("the numbers of a generated kernel in this mode", "tested", wording.BY_RUNGS),
        )
        parts = {"fed": tuple(x.formula for x in lines)}
        return Claim("T11", CLAIMS["T11"], True, statement, parts, known, blocks)

    def exposure(self) -> Claim:
        """T12."""
        statement = (
            "g_free = g_det + Σ_{s=2}^{T} λᵘ_sᵀ (du_s/dw)_det, and g_free - g_teacher is that sum plus "
            "g_det - g_teacher"
        )
        if not self.fed or self.mode == "teacher":
            why = wording.NO_OUTPUT_FED if self.fed else wording.NOTHING_FED
            return self._not("T12", statement, why)
        shown = "paths" if self.mode == "scheduled" else "free_paths"
        blocks: tuple[Block, ...] = (
            Prose.of(wording.EXPOSURE),
            *theorems_shown(CLAIMS["T12"], shown, "exposure"),
        )
        known = (
            Known("the two parts of the difference", "proved", wording.BY_RULES),
            Known("the numbers of exposure_terms", "tested", wording.BY_EXPOSURE),
        )
        return Claim("T12", CLAIMS["T12"], True, statement, {}, known, blocks)

    def _not(self, number: str, statement: str, why: str) -> Claim:
        """A claim of which this recurrence is no case."""
        return Claim(number, CLAIMS[number], False, statement, {}, (), (Prose.of(why),))


def _equal(left: Ref, right: Ref) -> Formula:
    def write(n: Notation) -> str:
        return f"{n.ref(left)} = {n.ref(right)}"

    return Formula.of(write)
