"""The syntax tree of a formula: frozen data whose letters already have their roles.

A letter's index is a tree too, made of numbers, index letters and T. Positions in the text (``at``)
are for messages and do not count in comparisons.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal

Role = Literal[
    "param",  # the same at every step; with an index, the copy of it that this step uses
    "value",  # one per step: a state, an input, a target, an intermediate value
    "theory",  # lambda, delta, J, A, c, D, omega
    "alias",  # w, W, theta: the parameter that is asked about
    "loss",  # the total loss
    "term",  # the loss of one step, L_t: weighted or not, as the author may mean
    "ell",  # the loss of one step without its weight
    "cell",  # f: the whole new state as a function of the previous one
    "output",  # g: the output as a function of the state
    "prediction",  # what the loss compares with the target: ŷ
    "index",
    "count",  # T
    "size",  # how many entries a vector has
    "identity",
]
Layout = Literal["open", "column", "row"]  # what the text says of the layout of a derivative


def _position() -> Any:
    return field(default=-1, compare=False, repr=False)


@dataclass(frozen=True)
class Number:
    """A rational number."""

    value: Fraction
    at: int = _position()


@dataclass(frozen=True)
class Letter:
    """A name; ``index`` is its step, ``component`` one entry (from 1), None if there is none."""

    name: str
    role: Role
    index: Tree | None = None
    at: int = _position()
    component: Tree | None = None


@dataclass(frozen=True)
class Add:
    """A sum of written terms."""

    terms: tuple[Tree, ...]
    at: int = _position()


@dataclass(frozen=True)
class Product:
    """An ordered matrix product of written factors; numbers among them scale it."""

    factors: tuple[Tree, ...]
    at: int = _position()


@dataclass(frozen=True)
class Hadamard:
    """An elementwise product."""

    factors: tuple[Tree, ...]
    at: int = _position()


@dataclass(frozen=True)
class Outer:
    """``left ⊗ right``: left rightᵀ for vectors."""

    left: Tree
    right: Tree
    at: int = _position()


@dataclass(frozen=True)
class Quotient:
    """A fraction by a number."""

    top: Tree
    bottom: Tree
    at: int = _position()


@dataclass(frozen=True)
class Power:
    """A power: of a matrix by repeated product, of a vector elementwise."""

    base: Tree
    exponent: Tree
    at: int = _position()


@dataclass(frozen=True)
class Transpose:
    """A transpose; ``letter`` where it was written with the letter T, which also is the last step."""

    body: Tree
    letter: bool = False
    at: int = _position()


@dataclass(frozen=True)
class Sum:
    """``Σ_{variable=low}^{high} body``."""

    variable: str
    low: Tree
    high: Tree
    body: Tree
    at: int = _position()


@dataclass(frozen=True)
class OrderedProduct:
    """``∏_{variable=first}^{last} body``.

    ``written`` where the factors were written out (``J_t … J_1``), so that their order is known: the first
    is the leftmost; ``step`` is then +1 or -1, or 0 where only the ends are written. A ∏ sign with an
    ascending range leaves the order open.
    """

    variable: str
    first: Tree
    last: Tree
    body: Tree
    written: bool = False
    step: int = 0
    at: int = _position()


@dataclass(frozen=True)
class Call:
    """A function: elementwise (``primes`` counts its derivative), diag, softmax, dot."""

    function: str
    arguments: tuple[Tree, ...]
    primes: int = 0
    at: int = _position()


@dataclass(frozen=True)
class Derivative:
    """The derivative of ``top`` by ``bottom``.

    ``direct``: what comes before (the previous state) is held fixed. ``layout``: ∇ is a column, a
    transposed letter below the line a row; otherwise the text leaves it open.
    """

    top: Letter
    bottom: Letter
    direct: bool = False
    layout: Layout = "open"
    at: int = _position()


@dataclass(frozen=True)
class Arrangement:
    """``prod(a, b, …)``: a product after transposing and swapping as the sizes ask for."""

    factors: tuple[Tree, ...]
    at: int = _position()


Tree = (
    Number
    | Letter
    | Add
    | Product
    | Hadamard
    | Outer
    | Quotient
    | Power
    | Transpose
    | Sum
    | OrderedProduct
    | Call
    | Derivative
    | Arrangement
)
Path = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Condition:
    """``low ≤ variable ≤ high``, said of a whole equation."""

    variable: str
    low: Tree
    high: Tree


@dataclass(frozen=True)
class Equation:
    """``side = side = …``; a single side is a claim without a left side."""

    sides: tuple[Tree, ...]
    conditions: tuple[Condition, ...] = ()
    at: int = _position()


def number(value: int) -> Number:
    """An integer as a tree."""
    return Number(Fraction(value))


def product(factors: list[Tree] | tuple[Tree, ...]) -> Tree:
    """The product of some trees: flat, and a lone factor as it is."""
    flat: list[Tree] = []
    for f in factors:
        flat += f.factors if isinstance(f, Product) else [f]
    return flat[0] if len(flat) == 1 else Product(tuple(flat), flat[0].at if flat else -1)


def add(terms: list[Tree] | tuple[Tree, ...]) -> Tree:
    """The sum of some trees; a lone term as it is."""
    flat: list[Tree] = []
    for t in terms:
        flat += t.terms if isinstance(t, Add) else [t]
    return flat[0] if len(flat) == 1 else Add(tuple(flat), flat[0].at if flat else -1)


def moved(index: Tree | None, by: int) -> Tree:
    """A step plus a constant, without leaving t-1+1."""
    if isinstance(index, Number):
        return Number(index.value + by)
    if isinstance(index, Add) and isinstance(index.terms[-1], Number):
        last = Number(index.terms[-1].value + by)
        return add(index.terms[:-1]) if last.value == 0 else Add((*index.terms[:-1], last))
    return add([index, number(by)]) if index is not None and by else index or number(by)


def negative(tree: Tree) -> Tree:
    """Minus a tree."""
    if isinstance(tree, Number):
        return replace(tree, value=-tree.value)
    if isinstance(tree, Product) and tree.factors[0] == Number(Fraction(-1)):
        return product(tree.factors[1:])
    return product([Number(Fraction(-1), tree.at), tree])
