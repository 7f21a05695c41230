"""The terms of the proof kernel: SymPy sums and products over ordered, non-commuting letters.

A letter stands for a family of matrices, one for each step: ``J(t)``. Its shape is two size words, so
``J`` is n × n for every n; a scalar has no shape and commutes. Addition and multiplication are SymPy's;
what SymPy lacks is here: sums and *ordered* products with symbolic limits, transposes, traces, norms.

Meaning of the two binders, for all integers: a sum runs over ``low ≤ k ≤ high`` and is 0 if there is no
such k; an ordered product has the factors ``body(high) … body(low)``, newest on the left, and is 1 if
there are none. ``body^m`` is written as the ordered product of m equal factors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import sympy as sp
from sympy.core.symbol import Str

from bptt_verify.errors import ProofError

Shape = tuple[str, ...]  # (rows, columns) as size words, or () for a scalar


def index(name: str) -> sp.Symbol:
    """An integer variable, such as the step ``t`` or the number of steps ``T``."""
    return sp.Symbol(name, integer=True)


@dataclass(frozen=True)
class Letter:
    """A family of matrices, or of scalars.

    Attributes
    ----------
    name : str
    rows, columns : str
        Size words, ``"1"`` for one; both empty for a scalar.
    nonnegative : bool
        For a scalar: its values are at least 0.
    """

    name: str
    rows: str = ""
    columns: str = ""
    nonnegative: bool = False

    def __post_init__(self) -> None:
        words = (self.name, self.rows, self.columns)
        if (
            not all(isinstance(w, str) for w in words)
            or not self.name
            or bool(self.rows) != bool(self.columns)
        ):
            raise ProofError(
                f"Letter: {words}; expected a name, and size words for rows and columns or neither."
            )
        if self.nonnegative and self.rows:
            raise ProofError(f"Letter: {self.name} is a matrix; only a scalar can be nonnegative.")

    def resized(self, word: str, new: str) -> Letter:
        """With another size word."""
        rows, columns = (new if w == word else w for w in (self.rows, self.columns))
        return Letter(self.name, rows, columns, self.nonnegative)

    def __call__(self, *at: Any) -> Entry:
        """The member of the family at the given indices."""
        flag = "nonnegative" if self.nonnegative else ""
        return Entry(Str(self.name), Str(self.rows), Str(self.columns), Str(flag), *map(position, at))


def position(at: Any) -> sp.Expr:
    """An index expression in normal form; refused unless its symbols are integers."""
    expr = sp.expand(sp.sympify(at, strict=True))
    if not expr.is_integer:
        raise ProofError(f"index: {at!s:.80}; expected an integer expression of indices made by index(...).")
    return expr


class _Term(sp.Expr):  # type: ignore[misc]
    """A node that SymPy leaves as it is."""

    def _eval_is_commutative(self) -> bool:
        return shape(self) == ()

    def _sympystr(self, _printer: object) -> str:
        return self._text()

    def _text(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.args))})"


class Entry(_Term):
    """One member of a letter's family: ``J(t)``. Made by calling a Letter."""

    @property
    def letter(self) -> Letter:
        """The family it belongs to."""
        name, rows, columns, flag = (s.name for s in self.args[:4])
        return Letter(name, rows, columns, flag == "nonnegative")

    @property
    def at(self) -> tuple[sp.Expr, ...]:
        """Its indices."""
        return tuple(self.args[4:])

    def _text(self) -> str:
        return f"{self.letter.name}({', '.join(map(str, self.at))})" if self.at else str(self.letter.name)


class _Binder(_Term):
    """A node that binds an index: ``body`` for each value of ``bound`` from ``low`` to ``high``."""

    def __new__(cls, body: Any, bound: sp.Symbol, low: Any, high: Any) -> _Binder:
        low, high = position(low), position(high)
        if not isinstance(bound, sp.Symbol) or not bound.is_integer:
            raise ProofError(f"{cls.__name__}: bound={bound!s}; expected an index made by index(...).")
        if bound in low.free_symbols | high.free_symbols:
            raise ProofError(f"{cls.__name__}: the limits {low}, {high} use the bound index {bound}.")
        return sp.Expr.__new__(cls, sp.sympify(body, strict=True), bound, low, high)

    body = property(lambda self: self.args[0])
    bound = property(lambda self: self.args[1])
    low = property(lambda self: self.args[2])
    high = property(lambda self: self.args[3])

    def _text(self) -> str:
        return f"{type(self).__name__}({self.body}, {self.bound} = {self.low} … {self.high})"

    @property
    def range(self) -> tuple[sp.Expr, sp.Expr]:
        """What holds of the bound index inside: both are at least 0."""
        return (self.bound - self.low, self.high - self.bound)


class Total(_Binder):
    """The sum of ``body`` for ``bound`` from ``low`` to ``high``."""


class Ordered(_Binder):
    """The ordered product ``body(high) … body(low)``, the newest factor on the left."""


class Transpose(_Term):
    """The transpose of a matrix."""

    def __new__(cls, of: Any) -> Transpose:
        return sp.Expr.__new__(cls, sp.sympify(of, strict=True))


class Norm(_Term):
    """The spectral norm (or any sub-multiplicative one in which the identity has norm 1)."""

    def __new__(cls, of: Any) -> Norm:
        return sp.Expr.__new__(cls, sp.sympify(of, strict=True))


class Trace(_Term):
    """The trace of a square matrix."""

    def __new__(cls, of: Any) -> Trace:
        return sp.Expr.__new__(cls, sp.sympify(of, strict=True))


def power(base: sp.Expr, exponent: Any) -> Ordered:
    """``base`` multiplied with itself ``exponent`` times (1 if that is not positive)."""
    bound = next(k for k in map(index, "kjlm") if k not in free(base) | free(sp.sympify(exponent)))
    return Ordered(base, bound, 1, exponent)


def factors(term: sp.Expr) -> tuple[sp.Expr, list[sp.Expr]]:
    """The commuting factor of a product, and its other factors in order."""
    scalar, ordered = sp.S.One, []
    for f in sp.Mul.make_args(term):
        if f.is_Pow and f.exp.is_Integer and f.exp > 0 and not f.base.is_commutative:
            ordered += [f.base] * int(f.exp)
        elif f.is_commutative:
            scalar *= f
        else:
            ordered.append(f)
    return scalar, ordered


# ── shapes ────────────────────────────────────────────────────────────────────────────────────────


def shape(term: sp.Expr) -> Shape | None:
    """The shape of a term; None for a number: 0 fits any shape, 1 is the identity of any size.

    Raises
    ------
    ProofError
        If shapes do not fit together, or the term has a node the kernel does not know.
    """
    match term:
        case sp.Rational():
            return None
        case Entry():
            return tuple(filter(None, (term.letter.rows, term.letter.columns)))
        case Total() | Ordered():
            inner = shape(term.body)
            if isinstance(term, Ordered) and inner and inner[0] != inner[1]:
                raise ProofError(f"shape: the ordered product of {term.body}, which is {_by(inner)}.")
            return inner
        case Transpose():
            inner = shape(term.args[0])
            return inner[::-1] if inner else inner
        case Norm():
            shape(term.args[0])
            return ()
        case Trace():
            inner = shape(term.args[0])
            if inner is None and term.args[0] != 0:
                raise ProofError(
                    f"shape: the trace of {term.args[0]}, a multiple of the identity of no known size."
                )
            if inner and inner[0] != inner[1]:
                raise ProofError(f"shape: the trace of {term.args[0]}, which is {_by(inner)}.")
            return ()
        case sp.Add():
            return common_shape(*term.args)
        case sp.Mul():
            return _product(term)
        case sp.Pow() if term.exp.is_Integer and term.exp > 0:
            inner = shape(term.base)
            if inner and inner[0] != inner[1]:
                raise ProofError(f"shape: a power of {term.base}, which is {_by(inner)}.")
            return inner
    raise ProofError(f"shape: {term!s:.80} is a {type(term).__name__}; expected a term of the proof kernel.")


def common_shape(*terms: sp.Expr) -> Shape | None:
    """The one shape that all terms have; 0 fits any, another number only a square one.

    Raises
    ------
    ProofError
        If there is none.
    """
    shapes = {t: shape(t) for t in terms}
    known = {s for s in shapes.values() if s is not None}
    if len(known) > 1:
        raise ProofError(f"shape: {' and '.join(sorted(map(_by, known)))} are mixed in {terms!s:.120}.")
    one = next(iter(known), None)
    number = any(s is None and not _zero(t) for t, s in shapes.items())
    if number and one and one[0] != one[1]:
        raise ProofError(
            f"shape: a number in {terms!s:.120} stands for a multiple of the identity, not {_by(one)}."
        )
    return one


def _zero(term: sp.Expr) -> bool:
    return term == 0 or (isinstance(term, Total) and _zero(term.body))


def _product(term: sp.Mul) -> Shape | None:
    shapes = [s for s in map(shape, term.args) if s is not None]
    matrices = [s for s in shapes if s]
    for left, right in pairwise(matrices):
        if left[1] != right[0]:
            raise ProofError(f"shape: in {term!s:.80} a factor {_by(left)} stands before one {_by(right)}.")
    if matrices:
        return matrices[0][0], matrices[-1][1]
    return () if shapes else None


def _by(s: Shape) -> str:
    return " × ".join(s) or "scalar"


# ── free indices, substitution, equality up to the names of bound indices ─────────────────────────


def free(term: sp.Basic) -> frozenset[sp.Symbol]:
    """The indices that are not bound."""
    if isinstance(term, _Binder):
        return (free(term.body) - {term.bound}) | free(term.low) | free(term.high)
    if isinstance(term, sp.Symbol):
        return frozenset({term})
    return frozenset().union(*map(free, term.args))


def entries(
    term: sp.Basic, avoid: frozenset[sp.Symbol] = frozenset(), around: tuple[sp.Expr, ...] = ()
) -> Iterator[tuple[Entry, tuple[sp.Expr, ...]]]:
    """Every member of a family in the term, with what the binders around it say of their indices.

    Bound indices are first made different from each other and from ``avoid``.
    """
    if isinstance(term, Entry):
        yield term, around
    elif isinstance(term, _Binder):
        term = rename(term, avoid)
        yield from entries(term.body, avoid | {term.bound}, (*around, *term.range))
    else:
        for a in term.args:
            yield from entries(a, avoid, around)


def substitute(term: sp.Expr, values: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
    """Put expressions in the place of free indices; a bound index that would capture one is renamed."""
    values = {k: v for k, v in values.items() if k != v}
    if not values or not free(term) & values.keys():
        return term
    if isinstance(term, sp.Symbol):
        return values[term]
    if isinstance(term, _Binder):
        inner = {k: v for k, v in values.items() if k != term.bound and k in free(term.body)}
        term = rename(term, frozenset().union(*map(free, inner.values())))
        low, high = substitute(term.low, values), substitute(term.high, values)
        return term.func(substitute(term.body, inner), term.bound, low, high)
    if isinstance(term, Entry):
        return term.letter(*(substitute(a, values) for a in term.at))
    return rebuilt(term, [substitute(a, values) for a in term.args])


def replaced_letter(term: sp.Expr, letter: Letter, at: sp.Symbol, body: sp.Expr) -> sp.Expr:
    """The term with ``body``, a function of ``at``, for every member of the letter's family."""
    if isinstance(term, Entry) and term.letter == letter:
        if len(term.at) > 1 or (not term.at and at in free(body)):
            raise ProofError(f"letter: {term} has {len(term.at)} indices; {body} is a function of one.")
        return substitute(body, {at: term.at[0]}) if term.at else body
    if isinstance(term, Entry) or not term.args:
        return term
    if isinstance(term, _Binder):
        inner = replaced_letter(term.body, letter, at, body)
        return term.func(inner, term.bound, term.low, term.high)
    return term.func(*(replaced_letter(a, letter, at, body) for a in term.args))


def resized(term: sp.Expr, word: str, new: str) -> sp.Expr:
    """The term with another size word in the shapes of its letters."""
    if isinstance(term, Entry):
        return term.letter.resized(word, new)(*term.at)
    return term.func(*(resized(a, word, new) for a in term.args)) if term.args else term


def rebuilt(term: sp.Expr, args: list[sp.Expr]) -> sp.Expr:
    """The same node over other arguments; index arithmetic is brought to normal form."""
    new = term.func(*args)
    return sp.expand(new) if isinstance(term, sp.Add | sp.Mul) and not any(entries(new)) else new


def rename(term: _Binder, avoid: frozenset[sp.Symbol]) -> _Binder:
    """The same binder with a bound index that is not one of ``avoid``."""
    if term.bound not in avoid:
        return term
    new = fresh(term.bound, avoid | free(term.body) | free(term.low) | free(term.high))
    return term.func(substitute(term.body, {term.bound: new}), new, term.low, term.high)


def fresh(wish: sp.Symbol, avoid: frozenset[sp.Symbol]) -> sp.Symbol:
    """An index that is not one of ``avoid``: the wished one, if it can be."""
    if wish not in avoid:
        return wish
    return next(k for k in map(index, _names(wish.name)) if k not in avoid)


def _names(stem: str) -> Iterator[str]:
    yield from (c for c in "ijklsur" if c != stem)
    number = 1
    while True:
        yield f"{stem}{number}"
        number += 1


def canonical(term: sp.Expr) -> sp.Expr:
    """The term with its bound indices renamed by nesting depth, so that equal means equal."""
    if any(k.name.startswith(_RESERVED) for k in free(term)):
        raise ProofError(
            f"canonical: an index of {term!s:.80} starts with {_RESERVED!r}; expected another name."
        )
    return _by_depth(term, 0)


_RESERVED = "_"  # the names that canonical itself gives


def _by_depth(term: sp.Expr, depth: int) -> sp.Expr:
    if isinstance(term, _Binder):
        bound = sp.Symbol(f"{_RESERVED}{depth}", integer=True)
        body = _by_depth(substitute(term.body, {term.bound: bound}), depth + 1)
        return term.func(body, bound, term.low, term.high)
    if isinstance(term, Entry) or not term.args:
        return term
    return term.func(*(_by_depth(a, depth) for a in term.args))


def equal(a: sp.Expr, b: sp.Expr) -> bool:
    """Equal up to the names of bound indices."""
    return bool(canonical(a) == canonical(b))
