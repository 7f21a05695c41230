"""``derive``: the derivation of one recurrence's gradient, line by line, to read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from bptt_verify.derivation import wording
from bptt_verify.derivation.claims import Claims, known_table
from bptt_verify.derivation.forward import tangent
from bptt_verify.derivation.instances import Instance
from bptt_verify.derivation.local import jacobian
from bptt_verify.derivation.reverse import adjoint
from bptt_verify.errors import UsageError
from bptt_verify.language import Recurrence, with_feedback
from bptt_verify.program import Program
from bptt_verify.program.surgery import prune, states_of
from bptt_verify.render import Block, Display, Document, Formula, Line, Prose, Section, Steps

FEW = 8  # lines that are shown without being asked for


@dataclass(frozen=True)
class Derivation:
    """The derivation of a recurrence's gradient.

    Attributes
    ----------
    recurrence : Recurrence
    adjoint : Program
        Forward and reverse equations.
    local : Program
        Local Jacobians and immediate partials.
    """

    recurrence: Recurrence
    adjoint: Program
    local: Program

    @cached_property
    def instance(self) -> Instance:
        """The programs whose lines are shown."""
        program = self.recurrence.program
        return Instance(program, self.adjoint, _state_changes(program), self.local)

    @property
    def steps(self) -> tuple[Formula, ...]:
        """All equations: the step as written, then the reverse pass."""
        reverse = [*self.instance.recursion(), *self.instance.gradients()]
        return tuple(line.formula for line in (*self.instance.reader.forward(), *reverse))

    @cached_property
    def jacobian(self) -> dict[str, Formula]:
        """Local derivatives of one step: ``"dh/dh"`` is J_t, ``"dh/dW_hh"`` the part of A_t for W_hh."""
        return {
            key: _joined(tuple(self.instance.entries[key].formulas(self.instance.reader.letters)))
            for key, _ in self.local.results
        }

    def gradient(self, of: str) -> Formula:
        """The gradient of one parameter, input or initial state, in terms of the cotangents in ``steps``.

        Raises
        ------
        UsageError
            If there is no such gradient.
        """
        known = [k for k, _ in self.adjoint.results if k != "loss"]
        if of not in known:
            raise UsageError(f"gradient: of={of!r}; expected one of {', '.join(known)}.")
        return self.instance.reader.gradient(self.adjoint, of).formula

    @cached_property
    def claims(self) -> Claims:
        """The claims T1 to T12 for this recurrence, by name; each is made when it is first read."""
        return self.instance.claims()

    @cached_property
    def document(self) -> Document:
        """The whole derivation as a document."""
        claims = [Section(f"{c.id} {c.general.title}", c.blocks) for c in self.claims.values()]
        sections = (
            Section("The step", (Prose.of(wording.STEP), Display(tuple(self.instance.reader.forward())))),
            Section("One step, differentiated", tuple(self._one_step())),
            *claims,
            Section("How this is known", (known_table(self.claims),)),
        )
        rec = self.recurrence
        mode = f", feedback={rec.mode}" if rec.feedback else ""
        return Document(f"Backpropagation through time for {rec.name}{mode}", sections)

    def _one_step(self) -> tuple[Block, ...]:
        own = self.instance
        partials = tuple(own.partials())
        shown: list[Block] = [
            Prose.of(wording.CHANGES),
            *_display(tuple(own.reader.tangent(own.tangent))),
            Prose.of(wording.LOCAL),
            *(_display(tuple(own.jacobian())) or (Prose.of("The Jacobian is zero."),)),
        ]
        if partials:
            summary = "The immediate partials A, for every parameter and input"
            shown.append(Steps(summary, (Display(partials),), open=len(partials) <= FEW))
        absent = [n for n in self.recurrence.params if n not in own.read_by_state()]
        if absent:
            shown.append(
                Prose.of(f"The new state does not depend on {', '.join(absent)}: their part of A is zero.")
            )
        return tuple(shown)

    def to_text(self) -> str:
        """Plain text."""
        return self.document.to_text()

    def to_latex(self, fragment: bool = False) -> str:
        """A standalone LaTeX article, or only its sections, to be read into one."""
        return self.document.to_latex(fragment)

    def to_markdown(self) -> str:
        """Markdown with LaTeX formulas."""
        return self.document.to_markdown()

    def to_html(self) -> str:
        """A standalone HTML page."""
        return self.document.to_html()

    def _repr_html_(self) -> str:
        return self.document._repr_html_()


def derive(rec: Recurrence, *, feedback: str | None = None) -> Derivation:
    """Derive the gradient of a recurrence symbolically.

    The cost does not depend on T or on any size.

    Parameters
    ----------
    rec : Recurrence
    feedback : {"free", "teacher", "scheduled"}, optional
        What a Feedback is fed, as for ``generate``.

    Raises
    ------
    UsageError
        If ``rec`` is not a Recurrence.
    """
    if not isinstance(rec, Recurrence):
        raise UsageError(f"derive: rec={rec!r:.60}; expected a Recurrence, made by @recurrence.")
    rec = with_feedback(rec, feedback)
    return Derivation(rec, adjoint(rec.program), jacobian(rec.program))


def _display(lines: tuple[Line, ...]) -> tuple[Block, ...]:
    return (Display(lines),) if lines else ()


def _state_changes(program: Program) -> Program:
    """The tangent equations that the new states need."""
    whole = tangent(program)
    states = set(states_of(program))
    return prune(replace(whole, results=tuple(r for r in whole.results if r[0] in states)))


def _joined(formulas: tuple[Formula, ...]) -> Formula:
    return Formula(", ".join(f.text for f in formulas), ", ".join(f.latex for f in formulas))
