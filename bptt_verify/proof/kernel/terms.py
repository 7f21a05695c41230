"""The terms of the proof kernel: SymPy sums and products over ordered, non-commuting letters.

A letter stands for a family of matrices, one for each step: ``J(t)``. Its shape is two size words, so
``J`` is n × n for every n ≥ 1; a scalar has no shape and commutes. Addition and multiplication are
SymPy's; what SymPy lacks is here: sums and *ordered* products with symbolic limits, transposes, traces,
norms, means.

Letters may be random. There is one probability space; a member of a random family has a value for every
outcome, finitely many different ones, and all others have one value. What a theorem says or assumes is
for every outcome. ``Mean`` of a term is its expected value, which is not random.

Meaning of the two binders, for all integers: a sum runs over ``low ≤ k ≤ high`` and is 0 if there is no
such k; an ordered product has the factors ``body(high) … body(low)``, newest on the left, and is 1 if
there are none. ``body^m`` is written as the ordered product of m equal factors.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple, Self

import sympy as sp
from sympy.core.symbol import Str

from bptt_verify.errors import ProofError
from bptt_verify.proof.kernel.indices import RESERVED, index, is_index, position

if "Letter" in globals():
    raise ProofError("terms: reloading would give the terms that exist a second meaning. Start Python again.")

Shape = tuple[str, ...]  # (rows, columns) as size words, or () for a scalar
RANDOM = ("", "independent", "derived")
NUMBERS = {type(n) for n in (sp.S.Zero, sp.S.One, sp.S.NegativeOne, sp.S.Half)} | {sp.Integer, sp.Rational}


class _Letter(NamedTuple):
    name: str
    rows: str
    columns: str
    nonnegative: bool
    random: str


class Letter(_Letter):
    """A family of matrices, or of scalars.

    Attributes
    ----------
    name : str
    rows, columns : str
        Size words, ``"1"`` for one; both empty for a scalar.
    nonnegative : bool
        For a scalar: its values are at least 0.
    random : {"", "independent", "derived"}
        ``"independent"``: scalars of any law; all members of all such families are independent of each
        other (``ξ(1)`` and ``ξ(2)``; ``ξ()`` is one number). ``"derived"``: any functions of the outcome;
        where it has a definition, those that the definition says, and not random where no case applies.
    """

    __slots__ = ()

    def __new__(
        cls, name: str, rows: str = "", columns: str = "", nonnegative: bool = False, random: str = ""
    ) -> Letter:
        words = (name, rows, columns)
        if not all(type(w) is str for w in words) or not name or bool(rows) != bool(columns):
            raise ProofError(
                f"Letter: {words}; expected a name, and size words for rows and columns or neither."
            )
        if nonnegative and rows:
            raise ProofError(f"Letter: {name} is a matrix; only a scalar can be nonnegative.")
        if type(random) is not str or random not in RANDOM or (random == "independent" and rows):
            raise ProofError(
                f"Letter: {name}, random={random!r:.80}; expected one of {RANDOM}; no matrix is independent."
            )
        return super().__new__(cls, name, rows, columns, bool(nonnegative), random)

    def resized(self, word: str, new: str) -> Letter:
        """With another size word."""
        rows, columns = (new if w == word else w for w in (self.rows, self.columns))
        return Letter(self.name, rows, columns, self.nonnegative, self.random)

    def __call__(self, *at: Any) -> Entry:
        """The member of the family at the given indices."""
        flags = " ".join(["nonnegative"] * self.nonnegative + [self.random] * bool(self.random))
        return Entry(Str(self.name), Str(self.rows), Str(self.columns), Str(flags), *map(position, at))


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
        name, rows, columns, flags = (s.name for s in self.args[:4])
        nonnegative = "nonnegative" in flags.split()
        return Letter(name, rows, columns, nonnegative, flags.replace("nonnegative", "").strip())

    @property
    def at(self) -> tuple[sp.Expr, ...]:
        """Its indices."""
        return tuple(self.args[4:])

    def _text(self) -> str:
        return f"{self.letter.name}({', '.join(map(str, self.at))})" if self.at else str(self.letter.name)


class Binder(_Term):
    """A node that binds an index: ``body`` for each value of ``bound`` from ``low`` to ``high``."""

    def __new__(cls, body: Any, bound: sp.Symbol, low: Any, high: Any) -> Self:
        low, high = position(low), position(high)
        if not is_index(bound):
            raise ProofError(f"{cls.__name__}: bound={bound!s:.80}; expected an index made by index(...).")
        if bound in low.free_symbols | high.free_symbols:
            raise ProofError(f"{cls.__name__}: the limits {low}, {high} use the bound index {bound}.")
        made: Self = sp.Expr.__new__(cls, expression(body), bound, low, high)
        return made

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


class Total(Binder):
    """The sum of ``body`` for ``bound`` from ``low`` to ``high``."""


class Ordered(Binder):
    """The ordered product ``body(high) … body(low)``, the newest factor on the left."""


class _Unary(_Term):
    def __new__(cls, of: Any) -> Self:
        made: Self = sp.Expr.__new__(cls, expression(of))
        return made


class Transpose(_Unary):
    """The transpose of a matrix."""


class Norm(_Unary):
    """The spectral norm (or any sub-multiplicative one in which the identity has norm 1)."""


class Trace(_Unary):
    """The trace of a square matrix."""


class Mean(_Unary):
    """The expected value, of a matrix entry by entry."""


def expression(value: object) -> sp.Expr:
    """A number or a term as a SymPy expression.

    Raises
    ------
    ProofError
        If it is something else, such as text.
    """
    try:
        return sp.sympify(value, strict=True)
    except sp.SympifyError as error:
        raise ProofError(f"term: {value!r:.80}; expected a number or a term of the proof kernel.") from error


def remade(term: Any) -> sp.Expr:
    """The same term made again, by nothing but the constructors that the kernel knows.

    An object that only behaves like a term, or was changed after it was made, does not get into a theorem.

    Raises
    ------
    ProofError
        If there is a node of another type in it (subclasses too), or an index with a reserved name.
    """
    kind = type(term)
    if is_index(term) and not term.name.startswith(RESERVED):
        return index(term.name)
    if kind in NUMBERS:
        return sp.Rational(term.p, term.q)
    if kind is Entry:
        return term.letter(*map(remade, term.at))
    if kind in (sp.Add, sp.Mul, Total, Ordered, Transpose, Norm, Trace, Mean):
        return kind(*map(remade, term.args))
    if kind is sp.Pow and (exponent := remade(term.exp)).is_Integer and exponent > 0:
        return sp.Pow(remade(term.base), exponent)
    raise ProofError(f"term: {term!s:.80} is a {kind.__name__}; expected a term of the proof kernel.")


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
        case Total():
            return shape(term.body)
        case Mean():
            return shape(term.args[0])
        case Ordered():
            return _square(term, shape(term.body))
        case Transpose():
            inner = shape(term.args[0])
            return inner[::-1] if inner else inner
        case Norm():
            shape(term.args[0])
            return ()
        case Trace():
            if not _square(term, shape(term.args[0])) and term.args[0] != 0:
                raise ProofError(
                    f"shape: {term!s:.80} is of a number: multiples of the identity of no known size."
                )
            return ()
        case sp.Add():
            return common_shape(*term.args)
        case sp.Mul():
            return _product(term)
        case sp.Pow() if term.exp.is_Integer and term.exp > 0:
            return _square(term, shape(term.base))
    raise ProofError(f"shape: {term!s:.80} is a {type(term).__name__}; expected a term of the proof kernel.")


def _square(term: sp.Expr, inner: Shape | None) -> Shape | None:
    if inner and inner[0] != inner[1]:
        raise ProofError(f"shape: {term!s:.80} is of a matrix that is {_by(inner)}, not square.")
    return inner


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
    return term == 0 or (isinstance(term, Total | Mean) and _zero(term.args[0]))


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
