"""Exact values of terms: every letter a matrix of integers, every index a number.

This is a look at a theorem that shares nothing with its proof but the meaning of the terms: sums are
added up, ordered products multiplied out, definitions computed step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.kernel import (
    Definition,
    Entry,
    Letter,
    Norm,
    Ordered,
    Statement,
    Theorem,
    Total,
    Trace,
    Transpose,
    entries,
    shape,
)

Value = Any  # an int, or a matrix of ints (an array of dtype object)
Indices = Mapping[sp.Symbol, int]
Draw = Callable[[Letter, tuple[int, ...], tuple[int, ...]], Value]


@dataclass
class Model:
    """Sizes for the size words, and a matrix of integers for every member of every letter's family.

    Attributes
    ----------
    sizes : mapping of str to int
    draw : callable
        ``draw(letter, at, shape)`` gives the matrix of a letter that is not defined.
    definitions : tuple of Definition
    """

    sizes: Mapping[str, int]
    draw: Draw
    definitions: tuple[Definition, ...] = ()
    drawn: dict[tuple[Any, ...], Value] = field(default_factory=dict)

    def entry(self, letter: Letter, at: tuple[int, ...], indices: Indices) -> Value:
        """One member of a family: by definition if a case of one applies, drawn otherwise."""
        for d in self.definitions:
            if d.letter == letter and len(at) == 1:
                own = {**indices, d.at: at[0]}
                case = next((c for c in d.cases if all(number(g, own) >= 0 for g in c.given)), None)
                if case is not None:
                    return self._value(case.body, own, indices)
        key = (letter, at)
        if key not in self.drawn:
            of = tuple(self.sizes.get(w, 1) for w in (letter.rows, letter.columns) if w)
            self.drawn[key] = self.draw(letter, at, of)
        return self.drawn[key]

    def value(self, term: sp.Expr, indices: Indices) -> Value:
        """The value of a term. A number stands for that multiple of the identity."""
        return self._value(term, indices, indices)

    def _value(self, term: sp.Expr, here: Indices, outside: Indices) -> Value:
        """The same inside a term: ``here`` has its bound indices too, which definitions do not see."""

        def of(part: sp.Expr, indices: Indices = here) -> Value:
            return self._value(part, indices, outside)

        match term:
            case Entry():
                return self.entry(term.letter, tuple(number(a, here) for a in term.at), outside)
            case Total():
                return _folded([of(term.body, inner) for inner in _range(term, here)], _add, 0)
            case Ordered():
                parts = [of(term.body, inner) for inner in _range(term, here)]
                return _folded(parts[::-1], _multiply, 1)
            case Transpose():
                return np.transpose(of(term.args[0]))
            case Norm():
                return _norm(of(term.args[0]))
            case Trace():
                return self._trace(term.args[0], of(term.args[0]))
            case sp.Add():
                return _folded([of(a) for a in term.args], _add, 0)
            case sp.Mul():
                return _folded([of(a) for a in term.args], _multiply, 1)
            case sp.Pow():
                return _folded([of(term.base)] * int(term.exp), _multiply, 1)
            case sp.Rational():
                return int(term) if term.q == 1 else Fraction(term.p, term.q)
        raise ProofError(f"value: {term!s:.80} is a {type(term).__name__}; expected a term of the kernel.")

    def _trace(self, of: sp.Expr, value: Value) -> Value:
        """A number, such as the value of an empty product, stands for a multiple of the identity."""
        if np.ndim(value):
            return np.trace(value)
        rows = (shape(of) or ("",))[0]
        return value * self.sizes.get(rows, 1)

    def holds(self, s: Statement, indices: Indices) -> bool:
        """Whether a statement is true for these indices."""
        left, right = self.value(s.left, indices), self.value(s.right, indices)
        if s.relation == "≤":
            return bool(left <= right)
        return bool(np.all(_add(left, _multiply(-1, right)) == 0))


def number(expr: sp.Expr, indices: Indices) -> int:
    """The value of an index expression."""
    return int(expr.xreplace({k: sp.Integer(v) for k, v in indices.items()}))


def _range(term: Total | Ordered, indices: Indices) -> Iterator[Indices]:
    for i in range(number(term.low, indices), number(term.high, indices) + 1):
        yield {**indices, term.bound: i}


def _folded(parts: list[Value], join: Callable[[Value, Value], Value], start: int) -> Value:
    total: Value = start
    for p in parts:
        total = join(total, p)
    return total


def _add(a: Value, b: Value) -> Value:
    if np.ndim(a) == np.ndim(b):
        return a + b
    matrix, number = (a, b) if np.ndim(a) else (b, a)
    return matrix if number == 0 else matrix + number * np.identity(len(matrix), dtype=object)


def _multiply(a: Value, b: Value) -> Value:
    if (np.ndim(a) == 0 and a == 0) or (np.ndim(b) == 0 and b == 0):
        return 0  # of whatever shape
    return a @ b if np.ndim(a) and np.ndim(b) else a * b


def _norm(a: Value) -> Value:
    """The largest row sum: sub-multiplicative, 1 for the identity, and an exact integer."""
    return np.abs(a).sum(axis=1).max() if np.ndim(a) else abs(a)


def integers(rng: np.random.Generator, most: int = 2) -> Draw:
    """Draw matrices of integers between -most and most; nonnegative where the letter is."""

    def draw(letter: Letter, at: tuple[int, ...], shape: tuple[int, ...]) -> Value:
        low = 0 if letter.nonnegative else -most
        drawn = rng.integers(low, most + 1, size=shape)
        return drawn.astype(object) if shape else int(drawn)

    return draw


def cases(
    s: Statement, most: int, besides: Iterable[sp.Symbol] = (), least: int = 0
) -> Iterator[dict[sp.Symbol, int]]:
    """All values of the free indices from ``least`` to ``most`` that satisfy the conditions."""
    names = sorted(s.free.union(besides), key=str)
    for values in product(range(least, most + 1), repeat=len(names)):
        indices = dict(zip(names, values, strict=True))
        if all(number(g, indices) >= 0 for g in s.given):
            yield indices


def evaluated(theorem: Theorem, model: Model, most: int = 6, least: int = 0) -> int:
    """Evaluate a theorem exactly at every choice of its indices from ``least`` to ``most``.

    Returns
    -------
    int
        The number of choices.

    Raises
    ------
    ProofError
        If it is false for one of them, or the model does not satisfy its assumptions.
    """
    count = 0
    rests_on = [x.free for x in theorem.assumptions] + [x.free for x in theorem.definitions]
    for indices in cases(theorem.statement, most, frozenset().union(*rests_on), least):
        for a in theorem.assumptions:
            _check_assumption(a, model, indices, range(least, most + 1))
        if not model.holds(theorem.statement, indices):
            raise ProofError(f"evaluated: {theorem!r:.300} is false at {indices}.")
        count += 1
    return count


def _check_assumption(a: Statement, model: Model, indices: Indices, span: range) -> None:
    for values in product(span, repeat=len(a.every)):
        own = {**indices, **dict(zip(a.every, values, strict=True))}
        if all(number(g, own) >= 0 for g in a.given) and not model.holds(a, own):
            raise ProofError(f"evaluated: the model does not satisfy the assumption {a} at {own}.")


@dataclass(frozen=True)
class Counterexample:
    """Integers for which a statement is false.

    Attributes
    ----------
    indices : dict of str to int
    sizes : dict of str to int
    letters : dict of str to matrix
        Every member of a family that the two sides need, such as ``"J(2)"``.
    left, right : int or matrix
        The two sides.
    """

    indices: dict[str, int]
    sizes: dict[str, int]
    letters: dict[str, Value]
    left: Value
    right: Value

    def __str__(self) -> str:
        def plain(v: Value) -> str:
            return str(v.tolist() if np.ndim(v) else v)

        at = ", ".join(f"{k} = {v}" for k, v in self.indices.items())
        given = ", ".join(f"{k} = {plain(v)}" for k, v in self.letters.items())
        return f"at {at}, with {given}: left {plain(self.left)}, right {plain(self.right)}"


def counterexample(
    s: Statement,
    definitions: tuple[Definition, ...] = (),
    *,
    most: int = 5,
    size: int = 2,
    tries: int = 20,
    draw: Callable[[np.random.Generator, int], Any] = integers,
) -> Counterexample | None:
    """The smallest integers found for which a statement is false: least indices, sizes, then entries.

    Returns
    -------
    Counterexample or None
        None if all that was tried satisfies the statement, which proves nothing.
    """
    words = sorted({w for e in _letters(s, definitions) for w in (e.rows, e.columns) if w not in ("", "1")})
    parameters = frozenset().union(*(d.free for d in definitions))
    every = cases(s, most, parameters)
    for indices in sorted(every, key=lambda v: (max(v.values(), default=0), sum(v.values()))):
        for n in range(1, size + 1):
            for attempt in range(tries):
                sizes = dict.fromkeys(words, n)
                rng = np.random.default_rng([attempt, n])
                model = Model(sizes, draw(rng, 1 + attempt // 10), definitions)
                if not model.holds(s, indices):
                    return _found(s, model, indices)
    return None


def _letters(s: Statement, definitions: tuple[Definition, ...]) -> set[Letter]:
    terms = [s.left, s.right, *(c.body for d in definitions for c in d.cases)]
    return {e.letter for term in terms for e, _ in entries(term)}


def _found(s: Statement, model: Model, indices: Indices) -> Counterexample:
    left, right = model.value(s.left, indices), model.value(s.right, indices)
    letters = {
        f"{k.name}({','.join(map(str, at))})" if at else k.name: v for (k, at), v in model.drawn.items()
    }
    names = {str(k): v for k, v in indices.items()}
    return Counterexample(names, dict(model.sizes), letters, left, right)
