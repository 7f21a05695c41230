"""The claims for one recurrence: its own J_t, A_t and c_t in the place of the letters of the theorems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import sympy as sp

from bptt_verify.derivation import wording
from bptt_verify.derivation.changes import Changes
from bptt_verify.derivation.claims import Claim, Claims, Known
from bptt_verify.derivation.feeds import Feeds
from bptt_verify.derivation.lines import Entry, Reader, entry
from bptt_verify.derivation.matching import SUPREMA, function_and_matrix, readout_matrix
from bptt_verify.derivation.smallcase import jacobian_entries, written_out
from bptt_verify.derivation.theorems import (
    claimed,
    definitions,
    expression,
    formula,
    proof_steps,
    theorem_blocks,
)
from bptt_verify.derivation.truncations import Truncations
from bptt_verify.program import Program, Ref
from bptt_verify.program.surgery import states_of
from bptt_verify.proof import CLAIMS, GeneralClaim, Theorem
from bptt_verify.proof.claims.magnitude import GAMMA
from bptt_verify.proof.kernel import specialise
from bptt_verify.render import Block, Display, Formula, Line, Prose, Steps


@dataclass(frozen=True)
class Instance:
    """One recurrence's programs, and its claims.

    Attributes
    ----------
    program, adjoint, tangent, local : Program
    """

    program: Program
    adjoint: Program
    tangent: Program
    local: Program

    @cached_property
    def reader(self) -> Reader:
        """Writes the lines."""
        return Reader(self.program)

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """The blocks of the local derivatives."""
        return {key: entry(self.local, key, self.program) for key, _ in self.local.results}

    def claims(self) -> Claims:
        """T1 to T12."""
        truncations, changes = Truncations(self.program), Changes(self.program)
        feeds = Feeds(self.program, decoupled=not self.jacobian())
        return Claims(
            {
                "T1": self.unrolled,
                "T2": self.adjoint_form,
                "T3": self.linear,
                "T4": self.magnitude,
                "T5": truncations.window,
                "T6": truncations.chunks,
                "T7": truncations.randomized,
                "T8": changes.clip,
                "T9": changes.change,
                "T10": changes.bound,
                "T11": feeds.forcing,
                "T12": feeds.exposure,
            }
        )

    # ── T1 ───────────────────────────────────────────────────────────────────────────────────────

    def jacobian(self) -> list[Line]:
        """J_t, block by block."""
        states = states_of(self.program)
        return self._entries([f"d{s}/d{r}" for s in states for r in states])

    def partials(self) -> list[Line]:
        """A_t, for every parameter and real input that the state reads."""
        states = states_of(self.program)
        keys = [k for k, _ in self.local.results if k[1:].split("/d")[1] not in states]
        return self._entries(keys)

    def _entries(self, keys: list[str]) -> list[Line]:
        lines, reason = [], "the coefficient of the change of {}"
        for key in keys:
            e = self.entries[key]
            if not e.zero:
                first, *rest = e.formulas(self.reader.letters)
                lines += [Line(first, reason.format(key.split("/d")[1])), *(Line(f, "where") for f in rest)]
        return lines

    def read_by_state(self) -> tuple[str, ...]:
        """The parameters with A_t ≠ 0."""
        states = states_of(self.program)
        names = [a.name for a in self.program.arrays if a.role == "param"]
        return tuple(n for n in names if not all(self.entries[f"d{s}/d{n}"].zero for s in states))

    def unrolled(self) -> Claim:
        """T1."""
        general = CLAIMS["T1"]
        closed = general.part("unrolled")
        sums = tuple(_renamed(formula(closed.theorem.statement), n) for n in self.read_by_state())
        jacobian, partials = self.jacobian(), self.partials()
        blocks: tuple[Block, ...] = (
            Prose.of(wording.READING),
            *definitions(closed.theorem),
            Prose.of("Written out, it is the closed form"),
            *claimed(closed.theorem),
            *_proofs(general, closed.theorem),
            Prose.of(f"For this recurrence w is any of {', '.join(self.read_by_state())}{self._stacked()}."),
            Steps("The same, parameter by parameter", _display([Line(x) for x in sums])),
            Steps("The case T = 3", self._small_unrolled()),
        )
        known = (
            Known("the sum over ordered products", "proved", wording.BY_RULES),
            Known("the Jacobian and the immediate partials of this recurrence", "checked", wording.BY_RUNG_3),
        )
        parts = {
            "jacobian": tuple(x.formula for x in jacobian),
            "partials": tuple(x.formula for x in partials),
            "sums": sums,
        }
        statement = "∂h_t/∂w = A_t + Σ_{i=1}^{t-1} (J_t J_{t-1} … J_{i+1}) A_i, newest factor on the left"
        return Claim("T1", general, True, statement, parts, known, blocks)

    def _stacked(self) -> str:
        names = list(states_of(self.program))
        return f", and h stands for {' and '.join(names)} stacked" if len(names) > 1 else ""

    def _small_unrolled(self) -> tuple[Block, ...]:
        closed = CLAIMS["T1"].part("unrolled").theorem
        entries = list(jacobian_entries(self.local, self.program, self.reader.letters))
        two = (Prose.of("The entries of J for sizes of two:"), *_display(list(map(Line, entries))))
        return (*_display([written_out(closed, t=t) for t in (1, 2, 3)]), *(two if entries else ()))

    # ── T2 ───────────────────────────────────────────────────────────────────────────────────────

    def gradients(self) -> list[Line]:
        """The gradient of every parameter, input and initial state."""
        return [self.reader.gradient(self.adjoint, k) for k, _ in self.adjoint.results if k != "loss"]

    def recursion(self) -> list[Line]:
        """The cotangents of the values within a step, from what follows the last one."""
        read = {r.name for e in self.adjoint.equations for r in e.operands}
        gradients = [v for k, v in self.adjoint.results if k != "loss" and v not in read]
        ends = self.reader.ends(self.adjoint)
        return [*(Line(x, "nothing follows the last step") for x in ends), *self._reverse(gradients)]

    def _reverse(self, gradients: list[str]) -> list[Line]:
        return list(self.reader.reverse(self.adjoint, gradients))

    def adjoint_form(self) -> Claim:
        """T2."""
        general = CLAIMS["T2"]
        direct, recursion, gradients = list(self.reader.direct()), self.recursion(), self.gradients()
        closed = general.part("closed_form").theorem
        right = expression(general.part("loss_gradient").theorem.statement.right)
        headline = Formula(f"dL/dw = {right.text}", rf"\frac{{dL}}{{dw}} = {right.latex}")
        small = [written_out(closed, T=3, t=t) for t in (3, 2, 1)]
        small.append(written_out(general.part("gradient").theorem, T=3))
        blocks: tuple[Block, ...] = (
            Prose.of(wording.ADJOINT),
            *definitions(closed),
            Prose.of("With it the gradient of a parameter is"),
            *_display([Line(headline, "T2f")]),
            Prose.of("and the adjoint has the closed form"),
            *claimed(closed),
            *_proofs(general, general.part("gradient").theorem),
            Prose.of(wording.DIRECT, *self._not_the_cells_own_c()),
            *_display(direct),
            Prose.of(wording.BARS, *self._where_lambda_is(), " From the last step to the first:"),
            *_display(recursion),
            Prose.of("The gradients, each with the theorem that it is an instance of:"),
            *_display(gradients),
            Steps("The case T = 3", _display(small)),
        )
        known = (
            Known("the recursion, its closed form, the exchange of the two sums", "proved", wording.BY_RULES),
            Known("that these equations are that recursion", "checked", wording.BY_RUNG_1),
            Known("the numbers of a generated kernel", "tested", wording.BY_RUNGS),
        )
        parts = {
            name: tuple(x.formula for x in lines)
            for name, lines in (("direct", direct), ("recursion", recursion), ("gradients", gradients))
        }
        statement = (
            "λ_t = c_t + J_{t+1}ᵀ λ_{t+1} = Σ_{s=t}^{T} (J_s … J_{t+1})ᵀ c_s and "
            "dL/dw = Σ_t ∂⁺L_t/∂w + Σ_i λ_iᵀ A_i"
        )
        return Claim("T2", general, True, statement, parts, known, blocks)

    def _where_lambda_is(self) -> tuple[str | Formula, ...]:
        """Which of the cotangents is the adjoint of each state."""
        words: list[str | Formula] = [
            " The adjoint λ of the theorem stacks, for each state, its direct part and "
        ]
        words.append("what the next step sends back: ")
        for k, f in enumerate(self.reader.adjoints(self.adjoint)):
            words += [", " if k else "", f]
        return (*words, ".")

    def _not_the_cells_own_c(self) -> tuple[str, ...]:
        own = {"c", "A", "J"} & set(self.program.names()) | {"c"} & set(states_of(self.program))
        if not own:
            return ()
        return (f" (The letter {' and '.join(sorted(own))} of the theorems is not the cell's own.)",)

    # ── T3 ───────────────────────────────────────────────────────────────────────────────────────

    def linear(self) -> Claim:
        """T3."""
        general = CLAIMS["T3"]
        matrix = self._constant()
        statement = (
            "λ_t = Σ_{i=t}^{T} (W_hhᵀ)^{T-i} W_qhᵀ ∂L/∂o_{T+t-i}, if every J_t is W_hh and o_t = W_qh h_t"
        )
        known = (Known("the powers of the recurrent matrix", "proved", wording.BY_RULES),)
        if matrix is None:
            why = "The Jacobian changes from step to step here, so that no powers of one matrix appear."
            return Claim("T3", general, False, statement, {}, known, (Prose.of(why),))
        readout = readout_matrix(self.program)
        by_lag = _named(formula(general.part("constant_jacobian").theorem.statement), "W_hh", matrix)
        shown = [Line(by_lag, "T3h")]
        if readout is not None:
            powers = formula(general.part("powers").theorem.statement)
            shown.append(Line(_named(_named(powers, "W_hh", matrix), "W_qh", readout), "T3c"))
        blocks: tuple[Block, ...] = (
            Prose.of("Every Jacobian is the same matrix here, and the ordered products are its powers:"),
            *_display(shown),
            Prose.of(wording.GENERAL_NAMES),
            *_proofs(general),
            Prose.of(wording.NO_POWERS),
        )
        parts = {"powers": tuple(x.formula for x in shown)}
        return Claim("T3", general, True, statement, parts, known, blocks)

    def _match(self) -> tuple[str, str] | None:
        states = states_of(self.program)
        return (
            function_and_matrix(self.program, self.entries["d{0}/d{0}".format(*states)]) if states else None
        )

    def _constant(self) -> str | None:
        """The name of the matrix that is J_t at every step."""
        match = self._match()
        return match[1] if match and match[0] == "" else None

    # ── T4 ───────────────────────────────────────────────────────────────────────────────────────

    def magnitude(self) -> Claim:
        """T4."""
        general = CLAIMS["T4"]
        match = self._match()
        bound: tuple[Formula, ...] = ()
        if match is not None:
            bound = (_own_bound(general, *match),)
        constant = match is not None and not match[0]
        own = "" if constant else " The norms of this recurrence's own Jacobians depend on the states;"
        blocks: tuple[Block, ...] = (
            *theorem_blocks(general.parts[0]),
            Prose.of(wording.GROWTH),
            *_proofs(general),
            *((Prose.of(_bound_words(match)), *_display([Line(b) for b in bound])) if bound else ()),
            Prose.of(f"{wording.MEASURE}{own} {wording.LAGS}"),
        )
        known = [Known("the bound and the eigenvector statement", "proved", wording.BY_RULES)]
        if match is not None:
            most = (
                f"; that the derivative of {match[0]} is at most {SUPREMA[match[0]]} is calculus"
                if match[0]
                else ""
            )
            how = wording.BY_RULES + most
            known.append(Known("the bound for this recurrence", "proved", how))
        statement = "‖J_t … J_{i+1}‖ ≤ ρ^{t-i} if every ‖J_k‖ ≤ ρ; (W_hhᵀ)^m v = μ^m v if W_hhᵀ v = μ v"
        return Claim("T4", general, True, statement, {"bound": bound}, tuple(known), blocks)


def _proofs(general: GeneralClaim, shown: Theorem | None = None) -> tuple[Block, ...]:
    """The proofs of all parts; definitions that have been shown are not repeated."""
    return tuple(proof_steps(p, shown.definitions if shown else ()) for p in general.parts)


def _own_bound(general: GeneralClaim, function: str, matrix: str) -> Formula:
    """T4c with the supremum of the slope as γ."""
    theorem = general.part("elementwise_bound").theorem
    gamma = SUPREMA[function] if function else sp.Integer(1)
    own = specialise(theorem, GAMMA, _any_index(theorem), gamma)
    return _named(formula(own.statement), "W_hh", matrix)


def _calculus(function: str) -> str:
    return f"; that the derivative of {function} is at most {SUPREMA[function]} is taken from calculus"


def _bound_words(match: tuple[str, str] | None) -> str:
    if match is None or not match[0]:
        return (
            f"Here the Jacobian is {match[1] if match else 'constant'} at every step, D is the identity, and"
        )
    return f"Here J = D {match[1]} with D the diagonal matrix of the derivatives of {match[0]} at step t, and"


def _any_index(theorem: Theorem) -> sp.Symbol:
    """Any index of the theorem: what is put for a constant letter does not depend on it."""
    return sorted(theorem.statement.free, key=str)[0]


def _display(lines: list[Line]) -> tuple[Block, ...]:
    return (Display(tuple(lines)),) if lines else ()


def _renamed(f: Formula, parameter: str) -> Formula:
    """The theorem's w under the parameter's own name."""
    latex = Formula.of(lambda n: n.ref(Ref(parameter, ()))).latex
    return Formula(
        f.text.replace("∂w", f"∂{parameter}"), f.latex.replace(r"\partial w", rf"\partial {latex}")
    )


def _named(f: Formula, general: str, own: str) -> Formula:
    """A matrix of the theorem under the author's name."""
    old, new = (Formula.of(lambda n, x=x: n.ref(Ref(x, ()))).latex for x in (general, own))  # type: ignore[misc]
    return Formula(f.text.replace(general, own), f.latex.replace(old, new))
