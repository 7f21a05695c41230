"""T10: from a bound of the gradient on a ball to a bound of the change of the objective.

The points are x_0, x_1, …, the objective there is F_t. Parameters are blocks p_1, …, p_P; w is the centre of
the ball, r its radius.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.change import CHANGE, LATER, F, K, x
from bptt_verify.proof.claims.clip import g
from bptt_verify.proof.claims.columns import a, b, inner, k, lagrange, length, t, u
from bptt_verify.proof.claims.letters import T, earlier
from bptt_verify.proof.kernel import (
    Letter,
    Norm,
    Theorem,
    Total,
    absolute,
    assume,
    at_least,
    between,
    combine,
    empty_sum,
    equation,
    index,
    induction,
    instantiate,
    last_term,
    norm_of_multiple,
    norm_of_number,
    not_negative,
    ring,
    root,
    specialise,
    split_sum,
    statement,
    submultiplicative,
    symmetric,
    take_out,
    transitive,
    triangle,
)

P, m = index("P"), index("m")
NUMBER, MATRIX = Letter("a"), Letter("X", "n", "n")
y, w, d = (Letter(name, "n", "1") for name in "ywd")
SHARE, OTHER = Letter("a", nonnegative=True), Letter("b", nonnegative=True)
RADIUS, SIZE = Letter("r", nonnegative=True), Letter("N", nonnegative=True)
EACH = Letter("K", nonnegative=True)
LEFT, LEFT_0 = Letter("A", "n", "p"), Letter("A⁰", "n", "p")
RIGHT, RIGHT_0 = Letter("B", "p", "q"), Letter("B⁰", "p", "q")

BETWEEN = x(k - 1) - x(k)
MEAN_VALUE = equation(F(k - 1) - F(k), inner(g(k), BETWEEN), at_least(k, 1), every=(k,))
STEEP = statement(Norm(g(k)), "≤", K(), every=(k,))
SHORT_STEPS = statement(Norm(F(k - 1) - F(k)), "≤", K() * Norm(BETWEEN), at_least(k, 1), every=(k,))
ON_A_LINE = equation(BETWEEN, SHARE(k) * d(), at_least(k, 1), every=(k,))
WHOLE = equation(Total(SHARE(k), k, 1, T), 1)
REST = equation(1 - SHARE(), OTHER())
BLOCKS = equation(SIZE() ** 2, Total(Norm(g(k)) ** 2, k, 1, P))


@cache
def absolute_square() -> Theorem:
    """``|a|² = a²``: both are the norm of ``a² 1``, taken in one step and in two."""
    once = norm_of_multiple(Norm(NUMBER(k) * MATRIX(k)), ())
    twice = Calculation(Norm(NUMBER(k) ** 2 * MATRIX(k)))
    twice.rewrite(specialise(once, MATRIX, k, NUMBER(k) * MATRIX(k))).rewrite(once)
    straight = Calculation(Norm(NUMBER(k) ** 2 * MATRIX(k))).by(norm_of_multiple).by(absolute)
    both = transitive(symmetric(twice.theorem), straight.theorem)
    of_one = specialise(both, MATRIX, k, sp.S.One)
    one = norm_of_number(Norm(sp.S.One), ())
    left, right = (Calculation(side).rewrite(one) for side in (of_one.statement.left, of_one.statement.right))
    found = transitive(transitive(symmetric(left.theorem), of_one), right.theorem)
    return instantiate(found, ((k, t),))


@cache
def mean_value() -> Theorem:
    """``|F_{t-1} - F_t| ≤ K ‖x_{t-1} - x_t‖`` by the gradient g_t at a point between, if ``‖g_t‖ ≤ K``."""
    moved = x(t - 1) - x(t)
    products = specialise(specialise(lagrange(), a, t, g(t)), b, u, x(u - 1) - x(u))
    products = instantiate(products, ((u, t),))
    known = instantiate(assume(MEAN_VALUE), ((k, t),))
    long = instantiate(assume(equation(Norm(BETWEEN) ** 2, inner(BETWEEN, BETWEEN), every=(k,))), ((k, t),))
    square = specialise(absolute_square(), NUMBER, t, F(t - 1) - F(t))
    squares = Calculation(CHANGE**2, LATER).rewrite(square).rewrite(known).rewrite(products)
    squares.back(length(g, t)).back(long)
    bound = root(squares.theorem, CHANGE, Norm(g(t)) * Norm(moved))
    return Calculation(CHANGE, LATER).rewrite(bound).use(assume(STEEP), {k: t}).theorem


@cache
def piece_by_piece() -> Theorem:
    """``|F_0 - F_T| ≤ Σ_{k=1}^{T} K a_k ‖d‖`` if it holds on each of T pieces ``x_{k-1} - x_k = a_k d``."""
    one, change = K() * SHARE(k) * Norm(d()), Norm(F(0) - F(T))
    claim = statement(change, "≤", Total(one, k, 1, T), at_least(T, 0))
    start = claim.at({T: sp.S.Zero})
    base = Calculation(start.left).by(norm_of_number).back(empty_sum(start.right, ()))
    known, v = earlier(claim, T, 0)
    beyond = at_least(T, 1)
    piece = Calculation(Norm(F(T - 1) - F(T)), beyond).use(assume(SHORT_STEPS), {k: T})
    piece.use(assume(ON_A_LINE), {k: T}).by(norm_of_multiple).by(absolute)
    step = Calculation(change, beyond).rewrite(apart(F(0) - F(T - 1), F(T - 1) - F(T), T))
    step.use(known, {v: T - 1}).rewrite(piece.theorem).back(last_term(Total(one, k, 1, T), (beyond,)))
    return induction(claim, T, 0, 1, base.theorem, step.theorem)


@cache
def pieces() -> Theorem:
    """``|F_0 - F_T| ≤ K ‖d‖`` if the pieces are all of the segment: ``Σ a_k = 1``."""
    bound = Calculation(Norm(F(0) - F(T)), at_least(T, 0)).rewrite(piece_by_piece())
    return bound.by(take_out, K() * Norm(d()), SHARE(k), sp.S.One).rewrite(assume(WHOLE)).theorem


def apart(first: sp.Expr, second: sp.Expr, at: sp.Symbol, rows: str = "", columns: str = "") -> Theorem:
    """``‖X + Y‖ ≤ ‖X‖ + ‖Y‖``, also where X + Y is a shorter sum; ``at`` is the only index in both."""
    one, other = Letter("X", rows, columns), Letter("Y", rows, columns)
    general = triangle(Norm(one(at) + other(at)), ())
    return specialise(specialise(general, one, at, first), other, at, second)


@cache
def within() -> Theorem:
    """``‖y_t + a (x_t - y_t) - w‖ ≤ r`` for a ≤ 1, b = 1 - a: a segment between two points of the ball."""
    one, two, rest = x(t) - w(), y(t) - w(), assume(REST)
    point = Norm(y(t) + SHARE() * (x(t) - y(t)) - w())
    mixed = ring(point.args[0], SHARE() * one + (1 - SHARE()) * two)
    bound = Calculation(point).rewrite(mixed).rewrite(_mixed_norm(one, two)).rewrite(rest).by(absolute)
    bound.rewrite(_in_ball(x)).rewrite(_in_ball(y)).back(rest)
    return bound.to(RADIUS()).theorem


def _mixed_norm(one: sp.Expr, two: sp.Expr) -> Theorem:
    """``‖a X + (1 - a) Y‖ ≤ a ‖X‖ + |1 - a| ‖Y‖``."""
    both = SHARE() * one + (1 - SHARE()) * two
    bound = Calculation(Norm(both)).by(triangle)
    return bound.by(norm_of_multiple).by(norm_of_multiple).by(absolute).theorem


def _in_ball(point: Letter) -> Theorem:
    return instantiate(assume(statement(Norm(point(k) - w()), "≤", RADIUS(), every=(k,))), ((k, t),))


@cache
def block_in_ball() -> Theorem:
    """``‖g_m‖ ≤ r`` for each of the P parts of a whole with ``‖g‖² = Σ ‖g_k‖²`` and ``‖g‖ ≤ r``."""
    inside = between(1, m, P)
    squares = Total(Norm(g(k)) ** 2, k, 1, P)
    others = Total(Norm(g(k)) ** 2, k, 1, m - 1) + Total(Norm(g(k)) ** 2, k, m + 1, P)
    split = Calculation(squares, *inside).by(split_sum, m).by(last_term).to(Norm(g(m)) ** 2 + others)
    small = assume(statement(SIZE(), "≤", RADIUS()))
    square = combine(
        Norm(g(m)) ** 2,
        RADIUS() ** 2,
        (
            (RADIUS() + SIZE(), small),
            (sp.S.NegativeOne, assume(BLOCKS)),
            (sp.S.NegativeOne, split.theorem),
            (sp.S.One, not_negative(others, ())),
        ),
    )
    return root(square, Norm(g(m)), RADIUS())


@cache
def enlarged() -> Theorem:
    """``‖x_t‖ ≤ ‖w‖ + r`` in the ball around w."""
    return Calculation(Norm(x(t))).rewrite(apart(w(), x(t) - w(), t, "n", "1")).rewrite(_in_ball(x)).theorem


@cache
def blocks() -> Theorem:
    """``‖g‖ ≤ K`` if ``‖g‖² = Σ ‖g_k‖²`` over P blocks, each with ``‖g_k‖ ≤ K_k``, and ``K² = Σ K_k²``."""
    each = assume(statement(Norm(g(k)), "≤", EACH(k), every=(k,)))
    square = combine(Norm(g(k)) ** 2, EACH(k) ** 2, ((Norm(g(k)) + EACH(k), each),))
    together = assume(equation(K() ** 2, Total(EACH(k) ** 2, k, 1, P)))
    squares = Calculation(SIZE() ** 2).rewrite(assume(BLOCKS)).rewrite(square).back(together)
    return root(squares.theorem, SIZE(), K())


@cache
def of_products() -> Theorem:
    """``‖A B - A⁰ B⁰‖ ≤ ‖A⁰‖ ‖B - B⁰‖ + ‖A - A⁰‖ ‖B‖``: how far a product moves."""
    first, second = LEFT_0() * (RIGHT() - RIGHT_0()), (LEFT() - LEFT_0()) * RIGHT()
    moved = Norm(LEFT() * RIGHT() - LEFT_0() * RIGHT_0())
    bound = Calculation(moved).rewrite(ring(moved.args[0], first + second))
    bound.by(triangle).rewrite(submultiplicative(Norm(first), ()))
    return bound.rewrite(submultiplicative(Norm(second), ())).theorem
