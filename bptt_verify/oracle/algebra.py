"""Equality of expressions in opaque functions, decided in two domains.

*Polynomials*: both sides are written out over generators (a symbol, an opaque application, the inverse
of a sum, a root, each named by the normal form of its arguments). Equal normal forms are equal
expressions, whatever the functions are.

*Residues*: both sides are computed modulo the prime 2^127 - 1 at random letters, opaque applications
being random functions of their argument. Inverses and square roots are real ones there, so that
rational identities hold; a nonzero difference of degree D vanishes with probability at most D/2^127.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from fractions import Fraction
from functools import reduce
from random import Random
from typing import Any

import sympy as sp

from bptt_verify.errors import UnsupportedError
from bptt_verify.oracle.opaque import KIND
from bptt_verify.program.functions import FUNCTIONS

PRIME = 2**127 - 1  # = 3 mod 4: a root is a power, and -1 has none

Polynomial = dict[tuple[int, ...], int | Fraction]
Residue = tuple[int, int]


class OutOfTimeError(Exception):
    """The normal form is too large, or the time is up."""


class UnluckyError(Exception):
    """A random point at which an inverse or a root does not exist; another one will do."""


class Walk:
    """Carry expressions over into a domain, each shared part once.

    Parameters
    ----------
    domain : Polynomials or Residues
    definitions : mapping of letter to expression
        Letters that stand for something.
    """

    def __init__(self, domain: Any, definitions: Mapping[sp.Expr, sp.Expr]) -> None:
        self.domain, self.definitions = domain, definitions
        self.memo: dict[sp.Expr, Any] = {}

    def __call__(self, expr: sp.Expr) -> Any:
        """The value of ``expr`` in the domain."""
        if expr not in self.memo:
            self.memo[expr] = None  # stays so if it is given up, which then is not tried again
            self.memo[expr] = self._compute(expr)
        if self.memo[expr] is None:
            raise OutOfTimeError
        return self.memo[expr]

    def _compute(self, expr: sp.Expr) -> Any:
        domain = self.domain
        if expr in self.definitions:
            return self(self.definitions[expr])
        if expr.is_Rational:
            return domain.number(int(expr.p), int(expr.q))
        if expr.is_Symbol or isinstance(expr, sp.NumberSymbol):  # π, e: no relation is known
            return domain.letter(expr)
        if expr.is_Add:
            return domain.add([self(a) for a in expr.args])
        if expr.is_Mul:
            return reduce(domain.mul, [self(a) for a in expr.args])
        if expr.is_Pow:
            return self._power(*expr.args)
        kind = KIND.get(expr.func, expr.func)
        if kind in FUNCTIONS:
            return domain.apply(kind, [self(a) for a in expr.args])
        raise UnsupportedError(f"{expr.func.__name__}: no exact meaning; expected functions of the table.")

    def _power(self, base: sp.Expr, power: sp.Expr) -> Any:
        domain = self.domain
        if not power.is_Rational:
            return domain.apply(sp.Pow, [self(base), self(power)])
        whole, part = divmod(int(power.p), int(power.q))
        value = domain.power(self(base), whole)
        if not part:
            return value
        return domain.mul(value, domain.power(domain.root(self(base), int(power.q)), part))


class Polynomials:
    """Sparse polynomials: a monomial is the sorted tuple of its generators, with repetition.

    Parameters
    ----------
    deadline : float
        On the clock of ``time.monotonic``.
    work : int
        How many products of monomials may be made in all; a count, so that what is decided does not
        depend on the machine. One product of polynomials may use a twentieth.
    """

    def __init__(self, deadline: float, work: int = 500_000) -> None:
        self.deadline, self.work, self.most = deadline, work, work // 20
        self.generators: dict[Any, int] = {}

    def _generator(self, *key: Any) -> Polynomial:
        return {(self.generators.setdefault(key, len(self.generators)),): 1}

    def number(self, p: int, q: int) -> Polynomial:
        """A rational constant."""
        return {(): p if q == 1 else Fraction(p, q)} if p else {}

    def letter(self, expr: sp.Expr) -> Polynomial:
        """A symbol, or a constant like π."""
        return self._generator("letter", expr)

    def add(self, parts: list[Polynomial]) -> Polynomial:
        """The sum."""
        total: Polynomial = {}
        for part in parts:
            for word, c in part.items():
                total[word] = total.get(word, 0) + c
        return {word: c for word, c in total.items() if c}

    def mul(self, a: Polynomial, b: Polynomial) -> Polynomial:
        """The product, written out."""
        effort = len(a) * len(b)
        if effort > min(self.most, self.work) or time.monotonic() > self.deadline:
            raise OutOfTimeError
        self.work -= effort
        total: Polynomial = {}
        for u, c in a.items():
            for v, d in b.items():
                word = tuple(sorted(u + v))
                total[word] = total.get(word, 0) + c * d
        return {word: c for word, c in total.items() if c}

    def power(self, a: Polynomial, k: int) -> Polynomial:
        """A whole power; a negative one is a power of the generator of the inverse."""
        base = a if k >= 0 else self._inverse(a)
        return reduce(self.mul, [base] * abs(k), self.number(1, 1))

    def _inverse(self, a: Polynomial) -> Polynomial:
        if not a:
            raise ZeroDivisionError("the inverse of zero")
        lead = a[max(a)]
        monic = frozenset((word, Fraction(c) / lead) for word, c in a.items())
        factor = 1 / Fraction(lead)
        return {word: c * factor for word, c in self._generator("inverse", monic).items()}

    def root(self, a: Polynomial, q: int) -> Polynomial:
        """The generator of a q-th root."""
        return self._generator("root", q, frozenset(a.items()))

    def apply(self, function: Any, arguments: list[Polynomial]) -> Polynomial:
        """The generator of an opaque application."""
        return self._generator(function, *(frozenset(a.items()) for a in arguments))


class Residues:
    """Numbers ``x + y i`` modulo ``PRIME``; letters and opaque functions are random, drawn from ``seed``.

    With ``i`` every number of the prime field has a square root; only roots of roots may lack one.
    """

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)
        self.table: dict[Any, int] = {}

    def _drawn(self, *key: Any) -> Residue:
        return self.table.setdefault(key, self.random.randrange(1, PRIME)), 0

    def number(self, p: int, q: int) -> Residue:
        """A rational constant."""
        return p * pow(q, -1, PRIME) % PRIME, 0

    def letter(self, expr: sp.Expr) -> Residue:
        """A random residue for a symbol, or for a constant like π."""
        return self._drawn("letter", expr)

    def add(self, parts: list[Residue]) -> Residue:
        """The sum."""
        return sum(x for x, _ in parts) % PRIME, sum(y for _, y in parts) % PRIME

    def mul(self, a: Residue, b: Residue) -> Residue:
        """The product."""
        (x, y), (u, v) = a, b
        return (x * u - y * v) % PRIME, (x * v + y * u) % PRIME

    def power(self, a: Residue, k: int) -> Residue:
        """A whole power."""
        base = a if k >= 0 else self._inverse(a)
        return reduce(self.mul, [base] * abs(k), (1, 0))

    def _inverse(self, a: Residue) -> Residue:
        x, y = a
        if not x and not y:
            raise UnluckyError
        return self.mul((x, -y), (pow(x * x + y * y, -1, PRIME), 0))

    def root(self, a: Residue, q: int) -> Residue:
        """A square root; other roots are random functions."""
        x, y = a
        if q != 2:
            return self._drawn("root", q, a)
        if not y:
            root = prime_root(x)
            return (root, 0) if root is not None else (0, prime_root(-x) or 0)
        return self._complex_root(x, y)

    def _complex_root(self, x: int, y: int) -> Residue:
        length = prime_root(x * x + y * y)
        if length is None:
            raise UnluckyError
        half = (PRIME + 1) // 2
        real = prime_root((x + length) * half) or prime_root((x - length) * half) or 1
        return real, y * pow(2 * real, -1, PRIME) % PRIME

    def apply(self, function: Any, arguments: list[Residue]) -> Residue:
        """A random function of the arguments."""
        return self._drawn(function, *arguments)


def prime_root(a: int) -> int | None:
    """A square root modulo ``PRIME``, if there is one."""
    root = pow(a, (PRIME + 1) // 4, PRIME)
    return root if (root * root - a) % PRIME == 0 else None
