"""The equations of a derivation as lines to read, each with the reason why it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import sympy as sp

from bptt_verify.derivation.equations import inline
from bptt_verify.derivation.onestep import step_loss
from bptt_verify.program import BATCH, TIME, Contract, Equation, Notation, Pointwise, Program, Ref, symbol
from bptt_verify.program.formulas import indexed, right_side
from bptt_verify.program.surgery import prune, states_of
from bptt_verify.render import Formula, Letter, Line, letters_of

_FREE_LETTERS = "uvszrqpmgk"


@dataclass(frozen=True)
class Reader:
    """Writes the lines of one recurrence's programs.

    Attributes
    ----------
    program : Program
        The recurrence.
    more : mapping of str to Letter
        Letters for arrays that the recurrence itself does not have.
    """

    program: Program
    more: Mapping[str, Letter] = field(default_factory=dict)

    @cached_property
    def letters(self) -> Mapping[str, Letter]:
        """The letters for the loss, and for products that the language had to name."""
        taken, letters = set(self.program.names()), {**letters_of(self.program), **self.more}
        for e in self.program.equations:
            made_up = e.name == "_".join(r.name for r in e.operands)
            if isinstance(e, Contract) and made_up and not _inlined(self.program, e):
                free = next((x for x in _FREE_LETTERS if x not in taken), None)
                if free is not None:  # else it keeps the name that it has
                    taken.add(free)
                    letters[e.name] = Letter(free, free)
        return letters

    def forward(self) -> Iterator[Line]:
        """The step as the author wrote it."""
        yield from map(Line, self._displayed(self.program, self.program.equations))

    def tangent(self, program: Program) -> Iterator[Line]:
        """The changes of all values that the new states depend on."""
        for e, shown in self._new(program):
            yield Line(shown, self._rule(e.name.removesuffix("_dot")))

    def reverse(self, program: Program, gradients: Iterable[str]) -> Iterator[Line]:
        """The cotangents of the values within a step, in the order in which they are computed."""
        skipped = set(gradients)
        for e, shown in self._new(program):
            if e.name not in skipped:
                yield Line(shown, self._cotangent_reason(program, e.name))

    def gradient(self, program: Program, of: str) -> Line:
        """The gradient of a parameter, an input or an initial state."""
        name = dict(program.results)[of]
        if name in program.end:
            value = program.end[name].value
            carried = Ref(value, program.labels(value))
            shown = Formula.of(lambda n: f"{n.ref(Ref(f'{of}_bar', (BATCH,)))} = {_at(n.ref(carried), '1')}")
            return Line(shown, "T2g: what step 1 sends back")
        e = program.equation[name]
        shown = next(self._displayed(program, [e]))
        if TIME in e.labels:
            return Line(shown, f"T2h: {self._through(of, 0)}")
        return Line(shown, f"T2f: {self._through(of, 0)}, summed over time and batch")

    def ends(self, program: Program) -> Iterator[Formula]:
        """What follows the last step: nothing."""
        for c in program.carries:
            if c.shift > 0:
                ref = Ref(c.value, program.labels(c.value))
                yield Formula.of(lambda n, ref=ref: f"{_at(n.ref(ref), 'T+1')} = 0")  # type: ignore[misc]

    def adjoints(self, program: Program) -> Iterator[Formula]:
        """For every state, its part of λ_t: the direct part, and what the next step sends back."""
        zeros = step_loss(self.program).zeros()
        backs = [c.value for c in program.carries if c.shift > 0]
        for (state, value), back in zip(states_of(self.program).items(), backs, strict=True):
            own, ref = Ref(value, (TIME,)), Ref(back, program.labels(back), 1)

            def write(n: Notation, own: Ref = own, ref: Ref = ref, zero: bool = state in zeros) -> str:
                front = "" if zero else f"(∂⁺L_t/∂{n.ref(own)}){n.transpose} + "
                return front + n.ref(ref)

            yield Formula.of(write)

    def direct(self) -> Iterator[Line]:
        """``(∂L_t/∂h_t)ᵀ`` and ``(∂L_t/∂h_{t-1})ᵀ`` for every state: the parts of c_t."""
        step = step_loss(self.program)
        known = {*self.program.equation, *step.program.array}
        results = {v: k for k, v in step.program.results}
        wanted = [v for v, k in results.items() if k in step.given and k not in step.zeros()]
        program = replace(step.program, results=tuple((results[v], v) for v in wanted))
        program = prune(program)
        shown = {e.name: f for e, f in self._new(program, known)}
        for name in [n for n in shown if n not in wanted]:
            yield Line(shown[name], self._through(name.removesuffix("_bar"), 0))
        for key in step.given:
            yield Line(self._direct(key, dict(step.program.results)[key], step.program, key in step.zeros()))

    def _direct(self, key: str, name: str, program: Program, zero: bool) -> Formula:
        state, _, before = key.partition("@")
        ref = Ref(states_of(self.program)[state], (TIME,), -1 if before else 0)

        def write(n: Notation) -> str:
            e = program.equation[name]
            inner = {
                r.name: right_side(x, n, {})
                for r in e.operands
                if isinstance(x := program.equation.get(r.name), Contract) and TIME in x.labels
            }
            right = "0" if zero else right_side(e, n, inner)
            return f"(∂⁺L_t/∂{n.ref(ref)}){n.transpose} = {right}"

        return Formula.of(write, self.letters)

    # ── reasons ──────────────────────────────────────────────────────────────────────────────────

    def _rule(self, value: str) -> str:
        """Why the change of a value is what it is."""
        e = self.program.equation.get(value)
        if isinstance(e, Pointwise):
            function = _function(e)
            return f"derivative of {function}" if function else "product rule"
        return "product rule"

    def _cotangent_reason(self, program: Program, name: str) -> str:
        ends = {c.value: c.end for c in program.carries if c.shift > 0}
        carried = name.removesuffix("_open")
        if carried not in ends:
            return self._through(name.removesuffix("_explicit").removesuffix("_bar"), 0)
        if f"{name}_open" in program.equation.keys() - self._inner(program).keys():
            return "the same times its gate"
        if name.endswith("_explicit"):
            return "what the loss of step t says of the state before it, which has no gate"
        both = f"{carried}_explicit" in ends
        state = ends[carried].removesuffix("_gated").removesuffix("_bar").removesuffix("0")
        through = "through the new states" if both else self._through(state, -1)
        gated = any(r.name in self.more for r in program.equation[name].operands)
        return f"what step t sends back, {'times its gate, ' if gated else ''}{through}"

    def _through(self, value: str, shift: int) -> str:
        """By which of its readers a value acts on the loss."""
        value = states_of(self.program).get(value, value)
        names = [self._letter(e.name) for e in self._readers(value, shift)]
        single = self._readers(value, shift)
        if len(single) == 1 and isinstance(single[0], Pointwise) and (function := _function(single[0])):
            names = [f"{names[0]} (derivative of {function})"]
        if value in states_of(self.program).values() and not shift:
            names.append("the next step")
        return "through " + " and ".join(names) if names else ""

    def _letter(self, name: str) -> str:
        return self.letters[name].text if name in self.letters else name

    def _readers(self, value: str, shift: int) -> list[Equation]:
        """The displayed equations that read a value; what is written inside another counts as that one."""
        found: list[Equation] = []
        for e in self.program.equations:
            if any(r.name == value and r.shift == shift for r in e.operands):
                outer = [e]
                if isinstance(e, Contract) and _inlined(self.program, e):
                    outer = [x for x in self.program.equations if any(r.name == e.name for r in x.operands)]
                found += [x for x in outer if x not in found]
        return found

    # ── formulas ─────────────────────────────────────────────────────────────────────────────────

    def _new(self, program: Program, known: Iterable[str] = ()) -> Iterator[tuple[Equation, Formula]]:
        """The equations that the recurrence itself does not have."""
        old = set(known) or set(self.program.equation)
        inner = self._inner(program)
        shown = [e for e in program.equations if e.name not in old and e.name not in inner]
        yield from zip(shown, self._displayed(program, shown), strict=True)

    def _inner(self, program: Program) -> dict[str, Equation]:
        """What is written where it is read: products that only one equation reads, and their changes."""
        forward = self.program
        own = {e.name for e in forward.equations if isinstance(e, Contract) and _inlined(forward, e)}
        return {
            e.name: e
            for e in program.equations
            if _inlined(program, e) and (isinstance(e, Contract) or e.name.removesuffix("_dot") in own)
        }

    def _displayed(self, program: Program, equations: Iterable[Equation]) -> Iterator[Formula]:
        inner = self._inner(program)

        def right(e: Equation, n: Notation) -> str:
            return right_side(e, n, {r.name: right(inner[r.name], n) for r in e.operands if r.name in inner})

        def written(e: Equation, n: Notation) -> str:
            return f"{n.ref(Ref(e.name, e.labels))} = {right(e, n)}"

        for e in equations:
            if e.name not in inner:
                yield Formula.of(partial(written, e), self.letters)


def _function(e: Pointwise) -> str:
    """The elementwise function of an equation that applies just one."""
    single = e.expr.is_Function and len(e.expr.args) == 1 and e.expr.args[0].is_Symbol
    return str(e.expr.func.__name__) if single else ""


def _is_term(s: sp.Symbol, expr: sp.Expr) -> bool:
    """Whether a symbol is a term of a sum, with a number before it or none."""
    return any((term / s).is_number for term in sp.Add.make_args(expr))


def _inlined(program: Program, e: Equation) -> bool:
    """Whether an equation is a term of the one sum that reads it, and can be written there."""
    readers = [(x, r) for x in program.equations for r in x.operands if r.name == e.name]
    results = {v for _, v in program.results}
    return (
        len(readers) == 1
        and isinstance(readers[0][0], Pointwise)
        and not readers[0][1].shift
        and _is_term(symbol(readers[0][1]), readers[0][0].expr)
        and e.name not in results
    )


# ── local derivatives ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Entry:
    """One block of the local derivatives: an equation in indices, and what it refers to."""

    upper: Ref
    lower: Ref
    value: Equation
    steps: tuple[Equation, ...]

    @property
    def zero(self) -> bool:
        """Whether the block is zero whatever the arrays."""
        return isinstance(self.value, Pointwise) and self.value.expr == 0

    def formulas(self, letters: Mapping[str, Letter]) -> Iterator[Formula]:
        """The entry, then what it refers to."""
        ends = self.upper, self.lower
        yield Formula.of(lambda n: f"{_quotient(*ends, n)} = {_in_indices(self.value, n)}", letters)
        for e in self.steps:
            yield Formula.of(partial(_equation, e), letters)

    def numbered(
        self, upper: tuple[str, ...], lower: tuple[str, ...], letters: Mapping[str, Letter]
    ) -> Formula | None:
        """The formula with numbers for indices; None if it has sums of its own."""
        if self.steps or not isinstance(self.value, Pointwise):
            return None
        change = dict(zip(_sizes(self.upper), upper, strict=True)) | dict(
            zip(_sizes(self.lower), lower, strict=True)
        )
        refs = [replace(r, labels=tuple(change.get(x, x) for x in r.labels)) for r in self.value.operands]
        names = {symbol(a): symbol(b) for a, b in zip(self.value.operands, refs, strict=True)}
        known = {symbol(r): sp.Integer(r.labels[0] == r.labels[1]) for r in refs if _identity(r)}
        expr = self.value.expr.xreplace(names).xreplace(known)
        kept = tuple(r for r in refs if not _identity(r))
        e = Pointwise(self.value.name, (), expr, kept)
        above, below = (
            replace(r, labels=tuple(change.get(x, x) for x in r.labels)) for r in (self.upper, self.lower)
        )
        return Formula.of(lambda n: f"{_quotient(above, below, n)} = {_in_indices(e, n)}", letters)


def entry(local: Program, key: str, forward: Program) -> Entry:
    """The block ``"d<state>/d<other>"``, with what leads to it substituted where that is possible."""
    name, known = dict(local.results)[key], set(forward.equation)
    chain = prune(inline(prune(replace(local, results=((key, name),))), known, sums=True))
    values = states_of(forward)
    above, below = key[1:].split("/d")
    value = chain.equation[name]
    own = len(forward.labels(values[above]))
    axes = value.labels[own:]
    lower = Ref(below, (TIME, BATCH, *axes) if TIME in forward.labels(values.get(below, below)) else axes)
    if below in values:
        lower = Ref(values[below], (TIME, BATCH, *axes), -1)
    steps = tuple(e for e in chain.equations if e.name not in known and e is not value)
    return Entry(Ref(values[above], value.labels[:own]), lower, value, steps)


def _at(text: str, step: str) -> str:
    """A formula in which t+1 or t stands below, at another step."""
    for old in ("{t+1}", "{t}", "t"):
        if f"_{old}" in text:
            return text.replace(f"_{old}", f"_{{{step}}}" if len(step) > 1 else f"_{step}")
    return text.replace(",t}", f",{step}}}")


def _quotient(upper: Ref, lower: Ref, n: Notation) -> str:
    return f"∂⁺{indexed(upper, n)}/∂{indexed(lower, n)}"


def _sizes(r: Ref) -> tuple[str, ...]:
    return tuple(x for x in r.labels if x not in (TIME, BATCH))


def _identity(r: Ref) -> bool:
    return r.name.startswith("identity_")


def _equation(e: Equation, n: Notation) -> str:
    return f"{_index_name(Ref(e.name, e.labels), n)} = {_in_indices(e, n)}"


def _in_indices(e: Equation, n: Notation) -> str:
    """What an equation computes, every array with its indices."""
    if isinstance(e, Contract):
        summed = sorted({x for r in e.operands for x in _sizes(r)} - set(e.labels))
        front = n.sigma(",".join(summed)) if summed else ""
        return front + n.juxtapose.join(_index_name(r, n) for r in e.operands)
    return right_side(e, replace(n, ref=lambda r: _index_name(r, n), hadamard=n.juxtapose), {})


def _index_name(r: Ref, n: Notation) -> str:
    """An array with its indices; the identity is Kronecker's δ."""
    return f"δ[{','.join(r.labels)}]" if _identity(r) else indexed(r, n)
