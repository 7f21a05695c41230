"""The value of a formula's tree in a world, under a convention."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from bptt_verify.analysis import matrices
from bptt_verify.analysis.conventions import Convention
from bptt_verify.analysis.matrices import Identity, MisfitError, Value, is_matrix
from bptt_verify.analysis.quantities import applied, quantity
from bptt_verify.analysis.slopes import derivative_value
from bptt_verify.analysis.worlds import UndefinedError, World
from bptt_verify.errors import FormulaError
from bptt_verify.notation.tree import (
    Add,
    Arrangement,
    Call,
    Derivative,
    Hadamard,
    Letter,
    Number,
    OrderedProduct,
    Outer,
    Power,
    Product,
    Quotient,
    Sum,
    Transpose,
    Tree,
)
from bptt_verify.notation.walking import free_letters

WORK = 30_000  # nodes visited for one value
TERMS = 1_000  # of one sum
BITS = 50_000  # of one exact number
ELEMENTWISE = "two vectors side by side are multiplied elementwise"


class Evaluation:
    """Computes trees in one world.

    Parameters
    ----------
    world : World
    convention : Convention
    directions : mapping of tree to int
        -1 for the Σ and ∏ signs whose range is written downwards.

    Attributes
    ----------
    notes : set of str
        What had to be assumed while computing.
    beyond : bool
        Whether an adjoint after the last step was read at a free letter's step; it is 0.
    """

    def __init__(self, world: World, convention: Convention, directions: Mapping[Tree, int]) -> None:
        self.world, self.convention, self.directions = world, convention, directions
        self.notes: set[str] = set()
        self.beyond = False
        self.work = 0
        self.steps: dict[str, int] = {}
        self.bound: list[str] = []

    def __call__(self, tree: Tree, steps: Mapping[str, int]) -> Value:
        """The value with free index letters at given steps.

        Raises
        ------
        MisfitError
            If sizes do not fit.
        UndefinedError
            If something is read that does not exist.
        FormulaError
            If it takes too much work, or has no meaning.
        """
        self.steps, self.bound, self.work = dict(steps), [], 0
        return self.value(tree)

    def value(self, tree: Tree) -> Value:
        """The value of a subtree at the present steps."""
        self.spend(1)
        match tree:
            case Number(value=value):
                return self.world.arithmetic.number(value)
            case Letter():
                return self._entry(self._guarded(self._letter, tree, (tree.index,)), tree)
            case Derivative():
                return self._guarded(self._derivative, tree, (tree.top.index, tree.bottom.index))
            case Add(terms=terms):
                return _folded(matrices.add, [self.value(t) for t in terms])
            case Product(factors=factors):
                return _folded(self.times, [self.value(f) for f in factors])
            case Hadamard(factors=factors):
                return _folded(matrices.hadamard, [self.value(f) for f in factors])
            case Outer(left=left, right=right):
                return self._outer(self.value(left), self.value(right))
            case Quotient():
                return matrices.hadamard(self.value(tree.top), self._reciprocal(tree.bottom))
            case Power():
                return self._power(tree)
            case Transpose():
                return self._transpose(tree)
            case Sum():
                return self._sum(tree)
            case OrderedProduct():
                return self._ordered(tree)
            case Call():
                return self._call(tree)
            case Arrangement():
                raise TypeError("an arrangement must be chosen before it is computed")

    def spend(self, work: int) -> None:
        """Count work."""
        self.work += work
        if self.work > WORK:
            raise FormulaError("formula: too much work at T = 5; expected fewer nested sums and powers.")

    def times(self, a: Value, b: Value) -> Value:
        """A product of neighbours."""
        product, elementwise = matrices.times(a, b)
        if elementwise:
            self.notes.add(ELEMENTWISE)
        return product

    def _outer(self, a: Value, b: Value) -> Value:
        """``a bᵀ`` of vectors; Kronecker's product with the identity, as large as the parameter has rows."""
        if not isinstance(a, Identity) and not isinstance(b, Identity):
            return matrices.outer(a, b)
        sizes = self.world.cell.sizes(self.world.cell.param) if self.world.cell.param else ()
        if len(sizes) != 2:
            raise MisfitError("a product ⊗ with the identity")
        rows = self.world.point.sizes[sizes[0]]
        sides = [matrices.diagonal_of(rows, v.scale) if isinstance(v, Identity) else v for v in (a, b)]
        return np.asarray(np.kron(*sides), dtype=object)

    # ---- steps ----

    def index(self, tree: Tree | None) -> int:
        """A step or limit as an integer."""
        number = self._step(tree)
        if number.denominator != 1:
            raise MisfitError(f"a step of {number}")
        return int(number)

    def _step(self, tree: Tree | None) -> Fraction:
        match tree:
            case Number(value=value):
                return value
            case Letter(name=name):
                if tree.role == "size":
                    return Fraction(self.world.point.sizes[name])
                return Fraction(self.world.steps if tree.role == "count" else self.steps[name])
            case Add(terms=terms):
                return sum((self._step(t) for t in terms), Fraction(0))
            case Product(factors=factors):
                return Fraction(_folded(lambda a, b: a * b, [self._step(f) for f in factors]))
        raise MisfitError("a step that is no integer")

    def _guarded(self, compute: Callable[[Any], Value], tree: Any, indices: tuple[Tree | None, ...]) -> Value:
        """A value, with the knowledge whether the formula or the choice of a free letter is to blame."""
        letters = set().union(*(free_letters(i) for i in indices if i is not None))
        bound = letters & set(self.bound)
        free = bool(letters) and not bound
        last = [self.index(i) for i in indices if i is not None]
        if any(self.steps[x] > self.world.steps for x in bound):
            raise UndefinedError(f"a sum or product runs to step {max(self.steps[x] for x in bound)}")
        try:
            found = compute(tree)
        except UndefinedError as error:
            error.required = not free
            raise
        if free and last and max(last) > self.world.steps:
            self.beyond = True
        return found

    # ---- names ----

    def _entry(self, value: Value, tree: Letter) -> Value:
        """One entry of a vector, if the text names one."""
        if tree.component is None:
            return value
        entries = np.ravel(value)
        k = self.index(tree.component)
        if not 1 <= k <= len(entries):
            raise UndefinedError(f"{tree.name} has no entry {k}")
        return entries[k - 1]

    def _letter(self, tree: Letter) -> Value:
        if tree.role == "index":
            return self.world.arithmetic.number(self.steps[tree.name])
        t = 0 if tree.index is None else self.index(tree.index)
        return quantity(self.world, tree, t, self.convention)

    def _derivative(self, tree: Derivative) -> Value:
        s = None if tree.top.index is None else self.index(tree.top.index)
        t = None if tree.bottom.index is None else self.index(tree.bottom.index)
        k, j = (None if x.component is None else self.index(x.component) for x in (tree.top, tree.bottom))
        return derivative_value(self.world, tree, (s, t), (k, j), self.convention)

    # ---- operations ----

    def _reciprocal(self, tree: Tree) -> Any:
        """One over a number, or over every entry of a vector."""
        value = self.value(tree)
        if isinstance(value, Identity) or (is_matrix(value) and min(value.shape) > 1):
            raise MisfitError(f"a division by {matrices.shape_text(value)}")
        if any(entry == 0 for entry in np.ravel(value)):
            raise UndefinedError("a division by 0")
        return self.world.arithmetic.number(1) / value

    def _power(self, tree: Power) -> Value:
        exponent = self.index(tree.exponent)
        base = self.value(tree.base)
        self.spend(abs(exponent))
        if exponent < 0 and not isinstance(base, Identity) and any(e == 0 for e in np.ravel(base)):
            raise UndefinedError("a negative power of 0")
        result = matrices.power(base, exponent)
        entries: Any = [] if isinstance(result, Identity) else np.ravel(result)
        if any(isinstance(e, Fraction) and e.numerator.bit_length() > BITS for e in entries):
            raise FormulaError("formula: a power too large to compute; expected a smaller one.")
        return result

    def _transpose(self, tree: Transpose) -> Value:
        body = self.value(tree.body)
        if tree.letter and self.convention.letter == "power":
            return matrices.power(body, self.world.steps)
        return matrices.transposed(body)

    def _range(self, tree: Sum | OrderedProduct, first: Tree, last: Tree) -> list[int]:
        low, high = self.index(first), self.index(last)
        steps = range(low, high - 1, -1) if self.directions.get(tree, 1) < 0 else range(low, high + 1)
        if len(steps) > TERMS:
            raise FormulaError(f"formula: a sum of {len(steps)} terms; expected at most {TERMS}.")
        return list(steps)

    def _over(self, tree: Sum | OrderedProduct, steps: list[int]) -> list[Value]:
        outer = self.steps.get(tree.variable)
        self.bound.append(tree.variable)
        values = []
        for k in steps:
            self.steps[tree.variable] = k
            values.append(self.value(tree.body))
        self.bound.pop()
        self.steps.pop(tree.variable, None)
        if outer is not None:
            self.steps[tree.variable] = outer
        return values

    def _sum(self, tree: Sum) -> Value:
        zero = Identity(self.world.arithmetic.number(0))
        return _folded(matrices.add, [zero, *self._over(tree, self._range(tree, tree.low, tree.high))])

    def _ordered(self, tree: OrderedProduct) -> Value:
        values = self._over(tree, self._range(tree, tree.first, tree.last))
        open_ = not tree.written and self.directions.get(tree, 1) > 0
        if open_ and self.convention.order == "left":
            values.reverse()
        return _folded(self.times, [Identity(self.world.arithmetic.number(1)), *values])

    def _call(self, tree: Call) -> Value:
        values = [self.value(a) for a in tree.arguments]
        if tree.function == "diag":
            return matrices.diagonal(values[0])
        if tree.function == "dot":
            return self.times(_row(values[0]), matrices.transposed(_row(values[1])))
        return applied(self.world, tree.function, tree.primes, values[0])


def _folded(combine: Callable[[Any, Any], Any], values: list[Any]) -> Any:
    result = values[0]
    for v in values[1:]:
        result = combine(result, v)
    return result


def _row(value: Value) -> Value:
    return np.ravel(value).reshape(1, -1) if is_matrix(value) else value
