"""T8: clipping by the norm of all parameters is the projection onto a ball.

Any member of the family g may be clipped, and any two of them compared. The clip of g_t is s_t g_t, where
s_t is the smaller of 1 and θ/‖g_t‖. That is said by three assumptions about a number s_t ≥ 0: it is at
most either, and it is one of the two.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.columns import (
    a,
    added,
    b,
    cauchy_schwarz,
    equals,
    inner,
    k,
    length,
    square,
    t,
    u,
)
from bptt_verify.proof.kernel import (
    Letter,
    Norm,
    Statement,
    Theorem,
    absolute,
    assume,
    discharge,
    equation,
    index,
    instantiate,
    norm_of_multiple,
    root,
    specialise,
    statement,
)

j = index("j")
g, y = Letter("g", "n", "1"), Letter("y", "n", "1")
s = Letter("s", nonnegative=True)
THETA = Letter("θ", nonnegative=True)
INVERSE = Letter("v", nonnegative=True)

AT_MOST_ONE = statement(s(k), "≤", 1, every=(k,))
WITHIN = statement(s(k) * Norm(g(k)), "≤", THETA(), every=(k,))
EITHER = equation((1 - s(k)) * (THETA() - s(k) * Norm(g(k))), 0, every=(k,))
IN_BALL = statement(Norm(y(j)), "≤", THETA(), every=(j,))


def clip(at: Any) -> sp.Expr:
    """``s_t g_t``."""
    return s(at) * g(at)


def _known(assumption: Statement, at: Any = t) -> Theorem:
    return instantiate(assume(assumption), ((assumption.every[0], sp.sympify(at)),))


def _inverse() -> Theorem:
    return _known(equation(INVERSE(k) * Norm(g(k)), 1, every=(k,)))


@cache
def quotient_within() -> Theorem:
    """``s ‖g‖ ≤ θ`` if ``s ≤ θ v`` and ``v ‖g‖ = 1``."""
    below = _known(statement(s(k), "≤", THETA() * INVERSE(k), every=(k,)))
    return added(s(t) * Norm(g(t)), THETA(), (Norm(g(t)), below), (THETA(), _inverse()))


@cache
def quotient_either() -> Theorem:
    """``(1 - s)(θ - s ‖g‖) = 0`` if ``(1 - s)(θ v - s) = 0`` and ``v ‖g‖ = 1``."""
    product = (1 - s(k)) * (THETA() * INVERSE(k) - s(k))
    one = _known(equation(product, 0, every=(k,)))
    left = (1 - s(t)) * (THETA() - s(t) * Norm(g(t)))
    return equals(left, 0, (Norm(g(t)), one), (-THETA() * (1 - s(t)), _inverse()))


@cache
def of_zero() -> Theorem:
    """``s 0 = 0``: what is clipped to is 0 where g is, whatever s is."""
    return Calculation(clip(t)).rewrite(_known(equation(g(k), 0, every=(k,)))).theorem


@cache
def norm() -> Theorem:
    """``‖s g‖ = s ‖g‖``."""
    return Calculation(Norm(clip(t))).by(norm_of_multiple).by(absolute).theorem


@cache
def at_most_threshold() -> Theorem:
    """``‖s g‖ ≤ θ``."""
    return Calculation(Norm(clip(t))).rewrite(norm()).rewrite(_known(WITHIN)).theorem


@cache
def at_most_norm() -> Theorem:
    """``‖s g‖ ≤ ‖g‖``."""
    return Calculation(Norm(clip(t))).rewrite(norm()).rewrite(_known(AT_MOST_ONE)).theorem


@cache
def one_of_both() -> Theorem:
    """``(‖g‖ - ‖s g‖)(θ - ‖s g‖) = 0``."""
    start = (Norm(g(t)) - Norm(clip(t))) * (THETA() - Norm(clip(t)))
    grouped = Norm(g(t)) * ((1 - s(t)) * (THETA() - s(t) * Norm(g(t))))
    return Calculation(start).rewrite(norm()).to(grouped).rewrite(_known(EITHER)).theorem


@cache
def variational() -> Theorem:
    """``(g - s g)ᵀ(y - s g) ≤ 0`` for every y with ``‖y‖ ≤ θ``."""
    schwarz = specialise(specialise(cauchy_schwarz(), a, k, g(k)), b, k, y(k))
    below_one, n = _known(AT_MOST_ONE), Norm(g(t))
    return added(
        inner(g(t) - clip(t), y(u) - clip(t)),
        0,
        (1, below_one, schwarz),
        (n, below_one, _known(IN_BALL, u)),
        (n, _known(EITHER)),
        (s(t) * (1 - s(t)), length(g, t)),
    )


@cache
def projection() -> Theorem:
    """``(g - s g)ᵀ(g - s g) ≤ (g - y)ᵀ(g - y)`` for every y with ``‖y‖ ≤ θ``."""
    gap, other = g(t) - clip(t), g(t) - y(u)
    apart = square(y(u) - clip(t))
    return added(inner(gap, gap), inner(other, other), (1, apart), (2, variational()))


@cache
def of_two_clips() -> Theorem:
    """``(g_t - s_t g_t)ᵀ(s_u g_u - s_t g_t) ≤ 0``: a clip is itself in the ball."""
    own = specialise(variational(), y, k, clip(k))
    own = discharge(own, statement(Norm(clip(j)), "≤", THETA(), every=(j,)), _threshold_at(j))
    return discharge(
        own, equation(Norm(clip(k)) ** 2, inner(clip(k), clip(k)), every=(k,)), _length_of_clip()
    )


def _threshold_at(at: Any) -> Theorem:
    return instantiate(at_most_threshold(), ((t, at),))


def _length_of_clip() -> Theorem:
    """``‖s g‖² = (s g)ᵀ(s g)``."""
    square_of = Calculation(Norm(clip(k)) ** 2).rewrite(instantiate(norm(), ((t, k),)))
    square_of.rewrite(equals(square_of.term, inner(clip(k), clip(k)), (s(k) ** 2, length(g, k))))
    return square_of.theorem


@cache
def nonexpansive() -> Theorem:
    """``‖s_t g_t - s_u g_u‖² ≤ ‖g_t - g_u‖²``, as inner products."""
    clips, both = clip(t) - clip(u), g(t) - g(u)
    one = of_two_clips()
    other = instantiate(one, ((t, u), (u, t)))
    return added(inner(clips, clips), inner(both, both), (1, square(both - clips)), (2, one), (2, other))


def _rooted(squares: Theorem, left: sp.Expr, right: sp.Expr) -> Theorem:
    """From inner products of two columns with themselves to their Euclidean norms."""
    lengths = (assume(equation(Norm(x) ** 2, inner(x, x))) for x in (left, right))
    first, last = lengths
    calculation = Calculation(Norm(left) ** 2).rewrite(first).rewrite(squares).back(last)
    return root(calculation.theorem, Norm(left), Norm(right))


@cache
def nearest() -> Theorem:
    """``‖g - s g‖ ≤ ‖g - y‖``."""
    return _rooted(projection(), g(t) - clip(t), g(t) - y(u))


@cache
def no_further_apart() -> Theorem:
    """``‖s_t g_t - s_u g_u‖ ≤ ‖g_t - g_u‖``."""
    return _rooted(nonexpansive(), clip(t) - clip(u), g(t) - g(u))
