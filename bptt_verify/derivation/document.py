"""``derive``: the derivation of one recurrence's gradient, equation by equation, to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

from bptt_verify.derivation.equations import inline, prune
from bptt_verify.derivation.local import jacobian
from bptt_verify.derivation.reverse import adjoint
from bptt_verify.errors import UsageError
from bptt_verify.language import Recurrence
from bptt_verify.program import BATCH, TIME, Contract, Equation, Notation, Pointwise, Program, Ref
from bptt_verify.program.formulas import formula, indexed, right_side
from bptt_verify.render import Display, Document, Formula, Letter, Line, Prose, Section, letters_of


@dataclass(frozen=True)
class Claim:
    """A claim instantiated for one recurrence.

    Attributes
    ----------
    id : str
        Such as ``"T2"``.
    statement : str
    known : str
        How it is known.
    formulas : tuple of Formula
    """

    id: str
    statement: str
    known: str
    formulas: tuple[Formula, ...]


T1 = "∂h_t/∂w = A_t + Σ_{i<t} (J_t J_{t-1} … J_{i+1}) A_i, newest factor on the left, with these J_t and A_t"
T2 = (
    "λ_t = c_t + J_{t+1}ᵀ λ_{t+1} and ∂L/∂w = Σ_i λ_iᵀ A_i, carried out by these equations, in which "
    "v_bar is the cotangent (∂L/∂v)ᵀ"
)
KNOWN = "checked at small sizes and tested by certify; a machine-checked proof for every T does not exist yet"


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
    def letters(self) -> dict[str, Letter]:
        """The letters for the loss."""
        return letters_of(self.recurrence.program)

    @property
    def steps(self) -> tuple[Formula, ...]:
        """All equations: the step as written, then the reverse pass."""
        return (*self.forward, *self.reverse)

    @cached_property
    def forward(self) -> tuple[Formula, ...]:
        """The step as the author wrote it, and the loss."""
        program = self.recurrence.program
        return tuple(_displayed(program, program.equations, self.letters))

    @cached_property
    def reverse(self) -> tuple[Formula, ...]:
        """The equations of the backward pass, in the order in which a step computes them."""
        known = self.recurrence.program.equation
        own = (e for e in self.adjoint.equations if e.name not in known)
        return tuple(_displayed(self.adjoint, own, self.letters))

    @cached_property
    def jacobian(self) -> dict[str, Formula]:
        """Local derivatives of one step: ``"dh/dh"`` is J_t, ``"dh/dW_hh"`` the part of A_t for W_hh."""
        known = set(self.recurrence.program.equation)
        return {key: _entry(self.local, key, name, known) for key, name in self.local.results}

    def gradient(self, of: str) -> Formula:
        """The gradient of one parameter, input or initial state, in terms of the cotangents in ``steps``.

        Raises
        ------
        UsageError
            If there is no such gradient.
        """
        results = {k: v for k, v in self.adjoint.results if k != "loss"}
        if of not in results:
            raise UsageError(f"gradient: of={of!r}; expected one of {', '.join(results)}.")
        name = results[of]
        if name in self.adjoint.end:
            carried = Ref(self.adjoint.end[name].value, self.adjoint.labels(self.adjoint.end[name].value))
            return Formula.of(lambda n: f"{n.ref(Ref(f'{of}_bar', (BATCH,)))} = {n.ref(carried)}, t = 1")
        return next(_displayed(self.adjoint, [self.adjoint.equation[name]], self.letters))

    @cached_property
    def claims(self) -> dict[str, Claim]:
        """The claims T1 and T2 for this recurrence."""
        local = tuple(self.jacobian.values())
        return {"T1": Claim("T1", T1, KNOWN, local), "T2": Claim("T2", T2, KNOWN, self.reverse)}

    @cached_property
    def document(self) -> Document:
        """The whole derivation as a document."""
        rec = self.recurrence
        gradients = tuple(self.gradient(k) for k, _ in self.adjoint.results if k != "loss")
        return Document(
            f"Backpropagation through time for {rec.name}",
            (
                _section("The step", "As written; the loss of step t is weighted by ω_t.", self.forward),
                _section(
                    "Local derivatives",
                    "J_t is the derivative of the new state by the previous one, A_t the one by the "
                    "parameters with the previous state held fixed; δ is the identity.",
                    tuple(self.jacobian.values()),
                ),
                _section(
                    "The adjoint recursion",
                    f"{self.claims['T2'].statement}.",
                    tuple(f for f in self.reverse if f not in gradients),
                ),
                _section("The gradient", "Each is a sum over time and batch.", gradients),
                _section("How this is known", f"{KNOWN[0].upper()}{KNOWN[1:]}."),
            ),
        )

    def to_text(self) -> str:
        """Plain text."""
        return self.document.to_text()

    def to_latex(self) -> str:
        """A standalone LaTeX article."""
        return self.document.to_latex()

    def to_markdown(self) -> str:
        """Markdown with LaTeX formulas."""
        return self.document.to_markdown()

    def to_html(self) -> str:
        """A standalone HTML page."""
        return self.document.to_html()

    def _repr_html_(self) -> str:
        return self.document._repr_html_()


def derive(rec: Recurrence) -> Derivation:
    """Derive the gradient of a recurrence symbolically.

    The cost does not depend on T or on any size.

    Raises
    ------
    UsageError
        If ``rec`` is not a Recurrence.
    """
    if not isinstance(rec, Recurrence):
        raise UsageError(f"derive: rec={rec!r:.60}; expected a Recurrence, made by @recurrence.")
    return Derivation(rec, adjoint(rec.program), jacobian(rec.program))


def _section(heading: str, sentence: str, formulas: tuple[Formula, ...] = ()) -> Section:
    display = (Display(tuple(map(Line, formulas))),) if formulas else ()
    return Section(heading, (Prose.of(sentence), *display))


def _displayed(
    program: Program, equations: Iterable[Equation], letters: Mapping[str, Letter]
) -> Iterator[Formula]:
    """Formulas in which a product that only one sum reads is written where it is read."""
    products = {e.name: e for e in program.equations if isinstance(e, Contract) and _inlined(program, e)}

    def written(e: Equation, n: Notation) -> str:
        inner = {r.name: right_side(products[r.name], n, {}) for r in e.operands if r.name in products}
        return formula(e, n, inner)

    for e in equations:
        if e.name not in products:
            yield Formula.of(partial(written, e), letters)


def _inlined(program: Program, e: Contract) -> bool:
    readers = [(x, r) for x in program.equations for r in x.operands if r.name == e.name]
    results = {v for _, v in program.results}
    return (
        len(readers) == 1
        and isinstance(readers[0][0], Pointwise)
        and not readers[0][1].shift
        and e.name not in results
    )


def _entry(local: Program, key: str, name: str, known: set[str]) -> Formula:
    """One local derivative in indices, with what leads to it substituted or written behind it."""
    chain = prune(inline(prune(replace(local, results=((key, name),))), known, sums=True))
    values = {c.boundary.removesuffix("0"): c.value for c in local.carries}
    above, below = key[1:].split("/d")
    result = chain.equation[name]
    own = len(local.labels(values[above]))
    upper = Ref(values[above], result.labels[:own])
    axes = result.labels[own:]
    if below in values:
        lower = Ref(values[below], (TIME, BATCH, *axes), -1)
    else:
        lower = Ref(below, (TIME, BATCH, *axes) if TIME in local.labels(below) else axes)
    steps = [e for e in chain.equations if e.name not in known and e is not result]

    def write(n: Notation) -> str:
        with_indices = replace(n, ref=lambda r: _index_name(r, n), hadamard=n.juxtapose)
        first = f"∂{indexed(upper, n)}/∂{indexed(lower, n)} = {right_side(result, with_indices, {})}"
        return ", ".join([first, *(formula(e, with_indices) for e in steps)])

    return Formula.of(write)


def _index_name(r: Ref, n: Notation) -> str:
    """An array with its indices; the identity is Kronecker's δ."""
    if r.name.startswith("identity_"):
        return f"δ[{','.join(r.labels)}]"
    return indexed(r, n)
