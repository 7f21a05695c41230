"""Whether a formula is a theorem: its letters as those of the proof kernel, and a search for a proof.

Only what the general theorems speak of can be proved here: J_t, A_t, c_t, λ_t, the sensitivities, and the
matrices of a linear recurrence. Everything else stays checked at small sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

import sympy as sp

from bptt_verify.analysis.interpretations import Interpretation
from bptt_verify.analysis.meaning import Cell
from bptt_verify.derivation import step_loss
from bptt_verify.derivation.matching import linear_matrices
from bptt_verify.errors import ProofError
from bptt_verify.notation.tree import (
    Add,
    Derivative,
    Letter,
    Number,
    OrderedProduct,
    Power,
    Product,
    Quotient,
    Sum,
    Transpose,
    Tree,
)
from bptt_verify.program import Contract, Pointwise
from bptt_verify.program.surgery import states_of
from bptt_verify.proof.claims import linear
from bptt_verify.proof.claims.adjoint_form import LAMBDA
from bptt_verify.proof.claims.letters import A, J, T, c, i, product
from bptt_verify.proof.claims.unrolled import G
from bptt_verify.proof.forms import Knowledge
from bptt_verify.proof.kernel import Ordered, Theorem, Total, at_least, between, index, power
from bptt_verify.proof.kernel import Transpose as Transposed
from bptt_verify.proof.printing import conditions, sentence
from bptt_verify.proof.search import found, general

THEORY = {"J": J, "A": A, "c": c, "lambda": LAMBDA}


class _OutsideError(Exception):
    """The formula speaks of something that the theorems do not."""


def proof_of(said: Interpretation) -> Theorem | None:
    """A theorem that says what the formula says, for every T and all sizes; or None."""
    try:
        words = _Words(said)
        left, right = words.left(), words.term(said.claim.right)
    except (_OutsideError, ProofError):
        return None
    for given in words.domains():
        proof = found(left, right, given, words.knowledge)
        if proof is not None:
            return proof
    return None


@dataclass(frozen=True)
class _Words:
    """Translates trees to terms, for one cell and one convention."""

    said: Interpretation

    @property
    def cell(self) -> Cell:
        return self.said.cell

    @cached_property
    def matrices(self) -> dict[str, sp.Expr]:
        """The letters of a linear recurrence, by the author's names; none if it is not linear."""
        found = linear_matrices(self.cell.program)
        return {} if found is None else {found[0]: linear.W_hh(), found[1]: linear.W_qh()}

    @cached_property
    def knowledge(self) -> Knowledge:
        """What may be used: the powers of a linear recurrence, or T1 and T2 for any."""
        return Knowledge((linear.powers(),)) if self.matrices else general()

    def domains(self) -> Iterator[tuple[sp.Expr, ...]]:
        """For which steps to try: all of them, all but the last, all but the first."""
        names = [index(x) for x in self.said.claim.letters]
        if self.said.claim.conditions:
            return
        if not names:
            yield (at_least(T, 1),)
        elif len(names) == 1:
            yield between(1, names[0], T)
            yield between(1, names[0], T - 1)
            yield between(2, names[0], T)

    # ── terms ────────────────────────────────────────────────────────────────────────────────────

    def left(self) -> sp.Expr:
        """What the formula is about."""
        tree = self.said.claim.left
        if isinstance(tree, Derivative) and tree.top.role == "loss" and tree.bottom.role == "param":
            return self._gradient(tree.bottom.name)
        return self.term(tree)

    def _gradient(self, name: str) -> sp.Expr:
        parameter = self.said.convention.parameter
        if self.matrices:
            whole = self._matrix_gradient(name)
            shape = {"own": whole, "transposed": Transposed(whole)}
        else:
            if _explicit(self.cell, name):
                _outside()
            row = Total(Transposed(LAMBDA(i)) * A(i), i, 1, T)
            shape = {"row": row, "column": Transposed(row)}
        return shape[parameter] if parameter in shape else _outside()

    def _matrix_gradient(self, name: str) -> sp.Expr:
        """T3: the sums of outer products."""
        recurrent, output = self.matrices
        if name == recurrent:
            return Total(LAMBDA(i) * Transposed(linear.h(i - 1)), i, 1, T)
        if name == output:
            return Total(linear.g(i) * Transposed(linear.h(i)), i, 1, T)
        return Total(LAMBDA(i) * Transposed(linear.x(i)), i, 1, T) if name == self._input() else _outside()

    def _input(self) -> str | None:
        """The name of the matrix in front of the input."""
        program, rec = self.cell.program, self.cell.rec
        (value,) = states_of(program).values()
        names = {r.name for r in program.equation[value].operands}
        products = [e.operands for e in program.equations if isinstance(e, Contract) and e.name in names]
        of_input = [refs for refs in products if any(r.name in rec.inputs for r in refs)]
        matrices = [r.name for refs in of_input for r in refs if r.name in rec.params]
        return matrices[0] if len(matrices) == 1 else None

    def term(self, tree: Tree) -> sp.Expr:
        """A tree as a term of the kernel."""
        match tree:
            case Number():
                return sp.Rational(tree.value.numerator, tree.value.denominator)
            case Add():
                return sp.Add(*map(self.term, tree.terms))
            case Product():
                return sp.Mul(*map(self.term, tree.factors))
            case Quotient(bottom=Number()):
                return self.term(tree.top) / self.term(tree.bottom)
            case Transpose() if not (tree.letter and self.said.convention.letter == "power"):
                return Transposed(self.term(tree.body))
            case Power():
                return power(self.term(tree.base), self.position(tree.exponent))
            case Sum():
                low, high = self.position(tree.low), self.position(tree.high)
                return Total(self.term(tree.body), index(tree.variable), low, high)
            case OrderedProduct():
                return self._ordered(tree)
            case Letter():
                return self._letter(tree)
            case Derivative():
                return self._derivative(tree)
        return _outside()

    def _ordered(self, tree: OrderedProduct) -> sp.Expr:
        first, last = self.position(tree.first), self.position(tree.last)
        if tree.written and tree.step == -1:
            first, last = last, first
        elif tree.written or self.said.convention.order != "left":
            return _outside()
        return Ordered(self.term(tree.body), index(tree.variable), first, last)

    def _letter(self, tree: Letter) -> sp.Expr:
        if self.said.convention.layout == "denominator":
            return _outside()
        if tree.role == "theory" and tree.name in THEORY and tree.index is not None:
            if self.matrices and tree.name != "lambda":
                return _outside()
            return THEORY[tree.name](self.position(tree.index))
        if tree.role == "param" and tree.index is None and tree.name in self.matrices:
            return self.matrices[tree.name]
        if self.matrices and tree.role == "value" and tree.index is not None:
            letters = {next(iter(self.cell.rec.states)): linear.h, next(iter(self.cell.rec.inputs)): linear.x}
            if tree.name in letters:
                return letters[tree.name](self.position(tree.index))
        return _outside()

    def _derivative(self, tree: Derivative) -> sp.Expr:
        states = self.cell.rec.states
        top, bottom = tree.top, tree.bottom
        if len(states) != 1 or self.said.convention.layout == "denominator":
            return _outside()
        if top.role == "loss" and bottom.role == "value" and bottom.index is not None:
            return self._cotangent(tree, bottom)
        if top.index is None or self.matrices:
            return _outside()
        at = self.position(top.index)
        if top.role == "term":
            return self._direct(tree, bottom, at)
        if top.role == "cell":
            return self._of_cell(bottom, at)
        if top.role != "value" or top.name not in states:
            return _outside()
        if bottom.role == "param" and bottom.name == self.cell.param and bottom.index is None:
            direct = tree.direct or self.said.convention.partial == "direct"
            return A(at) if direct else G(at)
        if bottom.role == "value" and bottom.name in states and bottom.index is not None:
            below = self.position(bottom.index)
            return J(at) if sp.expand(at - below) == 1 else product(at, below + 1)
        return _outside()

    def _of_cell(self, bottom: Letter, at: sp.Expr) -> sp.Expr:
        """∂f/∂w and ∂f/∂h_{t-1}."""
        if bottom.role == "param" and bottom.name == self.cell.param and bottom.index is None:
            return A(at)
        if bottom.name in self.cell.rec.states and bottom.index is not None:
            return J(at) if sp.expand(at - self.position(bottom.index)) == 1 else _outside()
        return _outside()

    def _direct(self, tree: Derivative, bottom: Letter, at: sp.Expr) -> sp.Expr:
        """∂L_t/∂h_t, which is c_t where no loss reads the state before its own step."""
        one = step_loss(self.cell.program)
        late = all(key in one.zeros() for key in one.given if "@" in key)
        own = bottom.name in self.cell.rec.states and bottom.index is not None
        weighted = self.said.convention.term == "weighted"
        if not (late and own and weighted) or bottom.index is None or self.position(bottom.index) != at:
            return _outside()
        return Transposed(c(at)) if self._row(tree) else c(at)

    def _row(self, tree: Derivative) -> bool:
        open_row = self.said.convention.layout == "numerator" and tree.layout == "open"
        return open_row or tree.layout == "row"

    def _cotangent(self, tree: Derivative, bottom: Letter) -> sp.Expr:
        assert bottom.index is not None
        at = self.position(bottom.index)
        if bottom.name in self.cell.rec.states:
            column = LAMBDA(at)
        elif self.matrices and bottom.name == self.cell.output:
            column = linear.g(at)
        else:
            return _outside()
        return Transposed(column) if self._row(tree) else column

    def position(self, tree: Tree) -> sp.Expr:
        """An index."""
        match tree:
            case Number() if tree.value.denominator == 1:
                return sp.Integer(tree.value.numerator)
            case Letter(role="index"):
                return index(tree.name)
            case Letter(role="count"):
                return T
            case Add():
                return sp.Add(*map(self.position, tree.terms))
            case Product():
                return sp.expand(sp.Mul(*map(self.position, tree.factors)))
        return _outside()


def said_by(theorem: Theorem) -> str:
    """The theorem, and for which steps."""
    s = theorem.statement
    return f"{sentence(s)} for {conditions(s.given)}" if s.given else sentence(s)


def _outside() -> NoReturn:
    raise _OutsideError


def _explicit(cell: Cell, name: str) -> bool:
    """Whether the loss reads a parameter apart from the states, or the states do not read it."""
    one = step_loss(cell.program)
    value = dict(one.program.results)[name]
    e = one.program.equation.get(value)
    return not (isinstance(e, Pointwise) and e.expr == 0)
