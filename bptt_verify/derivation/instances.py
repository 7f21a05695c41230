"""The claims for one recurrence: its own J_t, A_t and c_t in the place of the letters of the theorems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import sympy as sp

from bptt_verify.derivation.lines import Entry, Reader, entry
from bptt_verify.derivation.onestep import states_of
from bptt_verify.derivation.smallcase import jacobian_entries, written_out
from bptt_verify.derivation.theorems import formula, proof_steps, theorem_blocks
from bptt_verify.program import Pointwise, Program, Ref, symbol
from bptt_verify.program.functions import derivative
from bptt_verify.proof import CLAIMS, GeneralClaim, Theorem
from bptt_verify.proof.claims.magnitude import GAMMA
from bptt_verify.proof.kernel import specialise
from bptt_verify.render import Block, Display, Formula, Line, Prose, Steps, Table
from bptt_verify.verdict import Knowledge

SUPREMA: Mapping[str, sp.Expr] = {
    "tanh": sp.Integer(1),
    "sigmoid": sp.Rational(1, 4),
    "relu": sp.Integer(1),
    "softplus": sp.Integer(1),
    "sin": sp.Integer(1),
    "cos": sp.Integer(1),
    "atan": sp.Integer(1),
}
"""The largest size of the slope of an elementwise function."""


@dataclass(frozen=True)
class Known:
    """How one part of a claim is known.

    Attributes
    ----------
    what : str
    word : {"proved", "checked", "tested"}
    how : str
        For which T and sizes, by what.
    """

    what: str
    word: Knowledge
    how: str


@dataclass(frozen=True)
class Claim:
    """A claim instantiated for one recurrence.

    Attributes
    ----------
    id : str
        Such as ``"T2"``.
    general : GeneralClaim
        The theorems for every recurrence; ``general.parts[0].theorem`` is the first.
    applies : bool
        Whether the recurrence is of the kind that the claim speaks of.
    statement : str
    parts : mapping of str to tuple of Formula
        What the claim is for this recurrence. T1: ``"jacobian"`` (J_t), ``"partials"`` (A_t), ``"sums"``;
        T2: ``"direct"`` (c_t), ``"recursion"``, ``"gradients"``; T3: ``"powers"``; T4: ``"bound"``.
    known : tuple of Known
        How each part is known.
    blocks : tuple of Block
        All of it, to read.
    """

    id: str
    general: GeneralClaim
    applies: bool
    statement: str
    parts: Mapping[str, tuple[Formula, ...]]
    known: tuple[Known, ...]
    blocks: tuple[Block, ...]

    @property
    def theorems(self) -> tuple[Theorem, ...]:
        """The general theorems."""
        return tuple(p.theorem for p in self.general.parts)

    @property
    def formulas(self) -> tuple[Formula, ...]:
        """The formulas of this recurrence."""
        return tuple(f for part in self.parts.values() for f in part)


BY_RULES = "for every T and all sizes, by the rules of the proof kernel"
BY_RUNG_3 = "by certify, rung 3: exactly, against SymPy's index notation, at the sizes its certificate lists"
BY_RUNG_1 = "by certify, rung 1: one step exactly, at the sizes its certificate lists; T2 does the rest"
BY_RUNGS = "by certify, rungs 5 to 8: numerically, at the listed points, with stated tolerances"


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

    @property
    def reader(self) -> Reader:
        """Writes the lines."""
        return Reader(self.program)

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """The blocks of the local derivatives."""
        known = set(self.program.equation)
        return {key: entry(self.local, key, known) for key, _ in self.local.results}

    def claims(self) -> dict[str, Claim]:
        """T1 to T4."""
        return {c.id: c for c in (self.unrolled(), self.adjoint_form(), self.linear(), self.magnitude())}

    # ── T1 ───────────────────────────────────────────────────────────────────────────────────────

    def jacobian(self) -> list[Line]:
        """J_t, block by block."""
        states = states_of(self.program)
        return self._entries([f"d{s}/d{r}" for s in states for r in states], "the factor of the change of {}")

    def partials(self) -> list[Line]:
        """A_t, for every parameter and real input that the state reads."""
        states = states_of(self.program)
        keys = [k for k, _ in self.local.results if k[1:].split("/d")[1] not in states]
        return self._entries(keys, "the factor of the change of {}")

    def _entries(self, keys: list[str], reason: str) -> list[Line]:
        lines = []
        for key in keys:
            e = self.entries[key]
            if not e.zero:
                first, *rest = e.formulas()
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
            *theorem_blocks(closed),
            *_proofs(general, closed.theorem),
            Prose.of(self._stacked(), "for the parameters that the state reads:"),
            *_display([Line(s, "by T1a, with the parameter's own part of A") for s in sums]),
            Steps("The case T = 3", self._small_unrolled()),
        )
        known = (
            Known("the sum over ordered products", "proved", BY_RULES),
            Known("the Jacobian and the immediate partials of this recurrence", "checked", BY_RUNG_3),
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
        if len(names) == 1:
            return "For this recurrence, with the J and A above, "
        return f"For this recurrence, with the J and A above and {' and '.join(names)} stacked as one state, "

    def _small_unrolled(self) -> tuple[Block, ...]:
        closed = CLAIMS["T1"].part("unrolled").theorem
        entries = list(jacobian_entries(self.local, set(self.program.equation)))
        two = (Prose.of("The entries of J for sizes of two:"), *_display(list(map(Line, entries))))
        return (*_display([written_out(closed, t=t) for t in (1, 2, 3)]), *(two if entries else ()))

    # ── T2 ───────────────────────────────────────────────────────────────────────────────────────

    def gradients(self) -> list[Line]:
        """The gradient of every parameter, input and initial state."""
        return [self.reader.gradient(self.adjoint, k) for k, _ in self.adjoint.results if k != "loss"]

    def recursion(self) -> list[Line]:
        """The cotangents of the values within a step."""
        gradients = [v for k, v in self.adjoint.results if k != "loss"]
        return list(self.reader.reverse(self.adjoint, gradients))

    def adjoint_form(self) -> Claim:
        """T2."""
        general = CLAIMS["T2"]
        direct, recursion, gradients = list(self.reader.direct()), self.recursion(), self.gradients()
        whole = general.part("loss_gradient")
        small = [written_out(general.part("closed_form").theorem, T=3, t=t) for t in (3, 2, 1)]
        small.append(written_out(general.part("gradient").theorem, T=3))
        blocks: tuple[Block, ...] = (
            *theorem_blocks(general.part("closed_form")),
            *_proofs(general, general.part("gradient").theorem),
            Prose.of("What the loss of step t says of the states directly, every state held fixed:"),
            *_display(direct),
            Prose.of(
                Formula("c_t = (∂L_t/∂h_t + ∂L_{t+1}/∂h_t)ᵀ", "c_t = (∂L_t/∂h_t + ∂L_{t+1}/∂h_t)^{\\top}"),
                " collects them. The recursion is carried out by the equations below, one per value of the "
                "step, from the last to the first; a value with a bar is the derivative of the loss by the "
                "value, as a column. The adjoint of a state is its direct part and what the next step sends "
                "back.",
            ),
            *_display(recursion),
            Prose.of("The gradient follows by ", formula(whole.theorem.statement), " (T2f):"),
            *_display(gradients),
            Steps("The case T = 3", _display(small)),
        )
        known = (
            Known("the recursion, its closed form, the exchange of the two sums", "proved", BY_RULES),
            Known("that these equations are that recursion", "checked", BY_RUNG_1),
            Known("the numbers of a generated kernel", "tested", BY_RUNGS),
        )
        parts = {
            name: tuple(x.formula for x in lines)
            for name, lines in (("direct", direct), ("recursion", recursion), ("gradients", gradients))
        }
        statement = (
            "λ_t = c_t + J_{t+1}ᵀ λ_{t+1} = Σ_{s=t}^{T} (J_s … J_{t+1})ᵀ c_s and "
            "∂L/∂w = Σ_t ∂L_t/∂w + Σ_i λ_iᵀ A_i"
        )
        return Claim("T2", general, True, statement, parts, known, blocks)

    # ── T3 ───────────────────────────────────────────────────────────────────────────────────────

    def linear(self) -> Claim:
        """T3."""
        general = CLAIMS["T3"]
        matrix = self.constant_jacobian()
        powers = general.part("powers")
        statement = "λ_t = Σ_{i=t}^{T} (W_hhᵀ)^{T-i} W_qhᵀ ∂L/∂o_{T+t-i}, if every J_t is W_hh"
        known = (Known("the powers of the recurrent matrix", "proved", BY_RULES),)
        if matrix is None:
            why = "J_t changes from step to step here, so no powers of one matrix appear."
            return Claim("T3", general, False, statement, {}, known, (Prose.of(why),))
        shown = _named(formula(powers.theorem.statement), matrix)
        blocks: tuple[Block, ...] = (
            Prose.of("Every J is the same matrix here, and the ordered products are its powers:"),
            *_display([Line(shown, "by T3c")]),
            *_proofs(general),
            Prose.of("Powers of a matrix are expensive and overflow; the recursion of T2 needs none."),
        )
        return Claim("T3", general, True, statement, {"powers": (shown,)}, known, blocks)

    def constant_jacobian(self) -> str | None:
        """The name of the matrix that is J_t at every step."""
        match = self._slope_and_matrix()
        return match[1] if match and match[0] == "" else None

    def _slope_and_matrix(self) -> tuple[str, str] | None:
        """``("tanh", "W_hh")`` if J_t is the slope of a function times a matrix; ``""`` for no function."""
        states = states_of(self.program)
        if len(states) != 1:
            return None
        ((state, value),) = states.items()
        block = self.entries[f"d{state}/d{state}"]
        if block.steps or not isinstance(block.value, Pointwise):
            return None
        e, matrices = block.value, [r for r in block.value.operands if self._parameter(r)]
        if len(matrices) != 1 or matrices[0].labels != e.labels[-2:] or len(e.labels) != 4:
            return None
        factor = e.expr / symbol(matrices[0])
        if factor == 1:
            return "", matrices[0].name
        step = self.program.equation[value]
        if factor.has(symbol(matrices[0])) or not isinstance(step, Pointwise) or len(step.operands) != 1:
            return None
        own = symbol(Ref(value, step.labels))
        slope = derivative(step.expr, symbol(step.operands[0]), own)
        name = str(step.expr.func.__name__)
        return (name, matrices[0].name) if slope == factor and name in SUPREMA else None

    def _parameter(self, r: Ref) -> bool:
        return any(a.name == r.name and a.role == "param" for a in self.program.arrays)

    # ── T4 ───────────────────────────────────────────────────────────────────────────────────────

    def magnitude(self) -> Claim:
        """T4."""
        general = CLAIMS["T4"]
        match = self._slope_and_matrix()
        bound: tuple[Formula, ...] = ()
        if match is not None:
            bound = (_own_bound(general, *match),)
        own = Prose.of(
            "The norms of this recurrence's own J depend on the states; lag_profile measures every term of "
            "the sum, and the largest norm, on given arrays."
        )
        blocks: tuple[Block, ...] = (
            *theorem_blocks(general.parts[0]),
            *_proofs(general),
            *((Prose.of(_bound_words(match)), *_display([Line(b) for b in bound])) if bound else ()),
            own,
        )
        known = [Known("the bound and the eigenvector statement", "proved", BY_RULES)]
        if match is not None and match[0]:
            text = f"that the slope of {match[0]} is at most {SUPREMA[match[0]]} is taken from calculus"
            known.append(Known("the bound for this recurrence", "proved", f"{BY_RULES}; {text}"))
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
    return _named(formula(own.statement), matrix)


def _bound_words(match: tuple[str, str] | None) -> str:
    if match is None or not match[0]:
        return "For this recurrence, with D the identity:"
    return f"For this recurrence, with D the diagonal matrix of the slopes of {match[0]} at step t:"


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


def _named(f: Formula, matrix: str) -> Formula:
    """The theorem's W_hh under the matrix's own name."""
    latex = Formula.of(lambda n: n.ref(Ref(matrix, ()))).latex
    return Formula(f.text.replace("W_hh", matrix), f.latex.replace("W_{hh}", latex))


def known_table(claims: Mapping[str, Claim]) -> Table:
    """How every part of every claim is known."""
    rows = [
        (Prose.of(c.id), Prose.of(k.what), Prose.of(k.word), Prose.of(k.how))
        for c in claims.values()
        if c.applies
        for k in c.known
    ]
    return Table(("claim", "what", "how it is known", "for what, and by what"), tuple(rows))
