"""T8: where the clip has no derivative, and what clipping parts one by one leaves of the whole."""

from __future__ import annotations

from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.clip import THETA, g
from bptt_verify.proof.claims.columns import added, k, t
from bptt_verify.proof.kernel import (
    Letter,
    Norm,
    Theorem,
    Total,
    absolute,
    assume,
    both_ways,
    combine,
    equation,
    index,
    norm_of_multiple,
    root,
    statement,
    symmetric,
    take_out,
    transitive,
)

P = index("P")
r, s = Letter("r", nonnegative=True), Letter("s", nonnegative=True)
INVERSE = Letter("v", nonnegative=True)
c = Letter("c", "n", "1")  # what one part is clipped to
WHOLE, ROOT = Letter("N", nonnegative=True), Letter("q", nonnegative=True)

AT_THRESHOLD = equation(Norm(g(t)), THETA())
POSITIVE = equation(INVERSE() * THETA(), 1)
AT_MOST_ONE = statement(s(), "≤", 1)
WITHIN = statement(s() * Norm(r() * g(t)), "≤", THETA())
EITHER = equation((1 - s()) * (THETA() - s() * Norm(r() * g(t))), 0)
INSIDE, OUTSIDE = statement(r(), "≤", 1), statement(1, "≤", r())


def _norm_there() -> Theorem:
    """``‖r g‖ = r θ``."""
    norm = Calculation(Norm(r() * g(t))).by(norm_of_multiple).by(absolute)
    return norm.rewrite(assume(AT_THRESHOLD)).theorem


def _there(premise: Theorem) -> Theorem:
    """The premise with ``r θ`` for ``‖r g‖``."""
    return transitive(symmetric(Calculation(premise.statement.left).rewrite(_norm_there()).theorem), premise)


def _vanishes(term: sp.Expr, *summands: tuple[object, ...]) -> tuple[Theorem, Theorem]:
    """``term ≤ 0`` and ``-term ≤ 0``, if its square is at most 0."""
    none = added(term**2, 0, *summands)
    return root(none, term, sp.S.Zero), root(none, -term, sp.S.Zero)


@cache
def inside() -> Theorem:
    """``s r g = r g`` for r ≤ 1, where ``‖g‖ = θ``: there s is 1."""
    rest = 1 - s()
    below, above = _vanishes(
        rest,
        (s(), assume(INSIDE), assume(AT_MOST_ONE)),
        (INVERSE(), _there(assume(EITHER))),
        (-rest * (1 - s() * r()), assume(POSITIVE)),
    )
    one = both_ways(added(s(), 1, (1, above)), added(1, s(), (1, below)))
    return Calculation(s() * r() * g(t)).rewrite(one).theorem


@cache
def outside() -> Theorem:
    """``s r g = g`` for r ≥ 1, where ``‖g‖ = θ``: there s is 1/r."""
    size = s() * r()
    rest = 1 - size
    below, above = _vanishes(
        rest,
        (s() * INVERSE(), assume(OUTSIDE), _there(assume(WITHIN))),
        (INVERSE(), _there(assume(EITHER))),
        (rest * (s() * (r() - 1) - (1 - s())), assume(POSITIVE)),
    )
    one = both_ways(added(size, 1, (1, above)), added(1, size, (1, below)))
    return Calculation(s() * r() * g(t)).rewrite(one).theorem


@cache
def parts_squared() -> Theorem:
    """``Σ ‖c_k‖² ≤ θ² Σ 1`` over P parts, each with ``‖c_k‖ ≤ θ``."""
    each = assume(statement(Norm(c(k)), "≤", THETA(), every=(k,)))
    square = combine(Norm(c(k)) ** 2, THETA() ** 2, ((Norm(c(k)) + THETA(), each),))
    bound = Calculation(Total(Norm(c(k)) ** 2, k, 1, P)).rewrite(square)
    return bound.by(take_out, THETA() ** 2, sp.S.One, sp.S.One).theorem


@cache
def parts() -> Theorem:
    """``N ≤ q θ`` if ``N² = Σ ‖c_k‖²`` over P parts, each with ``‖c_k‖ ≤ θ``, and ``q² = Σ 1``."""
    whole = assume(equation(WHOLE() ** 2, Total(Norm(c(k)) ** 2, k, 1, P)))
    number = assume(equation(ROOT() ** 2, Total(sp.S.One, k, 1, P)))
    squares = Calculation(WHOLE() ** 2).rewrite(whole).rewrite(parts_squared()).back(number)
    return root(squares.theorem, WHOLE(), ROOT() * THETA())
