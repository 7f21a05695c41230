"""Exact values of terms: every letter a matrix of integers, every index a number.

This is a look at a theorem that shares nothing with its proof but the meaning of the terms: sums are
added up, ordered products multiplied out, definitions computed step by step, and means added up over all
values of the independent random numbers that enter them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from math import isqrt
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.kernel import (
    Definition,
    Entry,
    Letter,
    Mean,
    Norm,
    Ordered,
    Statement,
    Theorem,
    Total,
    Trace,
    Transpose,
    shape,
)

Value = Any  # an int or a fraction, or a matrix of them (an array of dtype object)
Law = tuple[tuple[Value, Fraction], ...]  # the values of an independent random number, with probabilities
Indices = Mapping[sp.Symbol, int]
Draw = Callable[[Letter, tuple[int, ...], tuple[int, ...]], Value]


def row_sum(a: Value) -> Value:
    """The largest row sum of a matrix: sub-multiplicative, 1 for the identity, and an exact integer."""
    return np.abs(a).sum(axis=1).max()


def euclidean(a: Value) -> Value:
    """The Euclidean norm of a column, where it is a fraction.

    Raises
    ------
    ProofError
        If it is not.
    """
    square = Fraction((a * a).sum())
    root = Fraction(isqrt(square.numerator), isqrt(square.denominator))
    if root * root != square or np.shape(a)[1:] != (1,):
        raise ProofError(f"euclidean: the square is {square}; expected a column whose norm is a fraction.")
    return root


@dataclass
class Model:
    """Sizes for the size words, and a matrix of integers for every member of every letter's family.

    Attributes
    ----------
    sizes : mapping of str to int
    draw : callable
        ``draw(letter, at, shape)`` gives the matrix of a letter that is not defined; of an independent
        random one, its Law.
    definitions : tuple of Definition
    norm : callable
        Of a matrix.
    rng : numpy.random.Generator
        For the outcome at which a statement about random letters is evaluated.
    """

    sizes: Mapping[str, int]
    draw: Draw
    definitions: tuple[Definition, ...] = ()
    norm: Callable[[Value], Value] = row_sum
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    drawn: dict[tuple[Any, ...], Value] = field(default_factory=dict)
    outcome: dict[tuple[Any, ...], Value] = field(default_factory=dict)
    averaging: bool = False

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
        return self._gate(key) if letter.random == "independent" else self.drawn[key]

    def _gate(self, key: tuple[Any, ...]) -> Value:
        """The value of an independent random number: of this outcome, or of the one being averaged over."""
        if key not in self.outcome:
            if self.averaging:
                raise _UndecidedError(key)
            law: Law = self.drawn[key]
            self.outcome[key] = law[self.rng.integers(len(law))][0]
        return self.outcome[key]

    def _mean(self, term: sp.Expr, here: Indices, outside: Indices) -> Value:
        before = self.outcome, self.averaging
        self.averaging = True
        try:
            return self._averaged(term, here, outside, {})
        finally:
            self.outcome, self.averaging = before

    def _averaged(
        self, term: sp.Expr, here: Indices, outside: Indices, decided: dict[tuple[Any, ...], Value]
    ) -> Value:
        """The mean where some independent numbers are decided: over the values of the next one."""
        self.outcome = decided
        try:
            return self._value(term, here, outside)
        except _UndecidedError as undecided:
            key = undecided.args[0]
        parts = [
            _multiply(chance, self._averaged(term, here, outside, {**decided, key: value}))
            for value, chance in self.drawn[key]
        ]
        return _folded(parts, _add, 0)

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
                return self._norm(of(term.args[0]))
            case Mean():
                return self._mean(term.args[0], here, outside)
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

    def _norm(self, value: Value) -> Value:
        return self.norm(value) if np.ndim(value) else abs(value)

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


class _UndecidedError(Exception):
    """An independent random number has no value yet, in the outcome that is averaged over."""


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


PROBABILITIES = (Fraction(1, 2), Fraction(1, 3), Fraction(2, 3))


def gate_law(pi: Fraction, weight: Fraction | None = None) -> Law:
    """0 with probability 1 - π, and otherwise the weight: 1/π, if none is given."""
    return (0, 1 - pi), (1 / pi if weight is None else weight, pi)


def integers(rng: np.random.Generator, most: int = 2) -> Draw:
    """Draw matrices of integers between -most and most; nonnegative where the letter is.

    An independent random number is 1/π with a probability π of 1/2, 1/3 or 2/3, and 0 otherwise.
    """

    def draw(letter: Letter, at: tuple[int, ...], shape: tuple[int, ...]) -> Value:
        if letter.random == "independent":
            return gate_law(PROBABILITIES[rng.integers(len(PROBABILITIES))])
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
