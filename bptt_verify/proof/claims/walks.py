"""Letters for the exact evaluation of T10: points of a ball, walks along a line, loops with gains."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np

from bptt_verify.proof.claims.examples import Values
from bptt_verify.proof.evaluation import Value, row_sum

PIECES = 4  # of a segment
CURVED = 3  # of the objective a/2 xᵀx


def _column(*numbers: Value) -> Value:
    return np.array([[x] for x in numbers], dtype=object)


def line(rng: np.random.Generator) -> Values:
    """Points on a line with rational norms, and the objective ``a/2 xᵀx``: half way is where g_t is."""
    x = cache(lambda at: _column(3, 4) * int(rng.integers(-5, 6)))
    return {
        "x": x,
        "F": lambda at: Fraction(CURVED, 2) * (x(at) ** 2).sum(),
        "g": lambda at: Fraction(CURVED, 2) * (x((at[0] - 1,)) + x(at)),
        "K": lambda at: CURVED * 25,
    }


def pieces(rng: np.random.Generator) -> Values:
    """A segment in four pieces, and the objective ``K |x|`` of the first number of x."""
    cuts = np.sort(rng.integers(0, 9, size=PIECES - 1))
    sizes = [Fraction(int(k), 8) for k in np.diff([0, *cuts, 8])]
    k, d, start = int(rng.integers(1, 4)), _column(*map(int, rng.integers(-9, 10, size=2))), _column(3, 1)

    def share(at: tuple[int, ...]) -> Fraction:
        return sizes[(at[0] - 1) % PIECES]

    @cache
    def path(t: int) -> Value:
        return path(t - 1) - share((t,)) * d if t > 0 else start

    return {
        "a": share,
        "d": lambda at: d,
        "x": lambda at: path(at[0]),
        "F": lambda at: k * abs(path(at[0])[0, 0]),
        "K": lambda at: k,
    }


def in_ball(rng: np.random.Generator) -> Values:
    """Points x and y of the ball around w, and two numbers of sum 1."""
    radius, w = int(rng.integers(1, 6)), _column(*map(int, rng.integers(-3, 4, size=2)))
    point = cache(lambda name, at: w + _column(*map(int, rng.integers(-radius, radius + 1, size=2))))
    part = Fraction(int(rng.integers(0, 9)), 8)
    return {
        "r": lambda at: radius,
        "w": lambda at: w,
        "x": lambda at: point("x", at),
        "y": lambda at: point("y", at),
        "a": lambda at: part,
        "b": lambda at: 1 - part,
    }


def blocks(rng: np.random.Generator) -> Values:
    """Blocks of norms 3, 4, 0 and 0, in some order: together 5; bounds of them that are larger."""
    norms, more = rng.permutation([3, 4, 0, 0]), Fraction(int(rng.integers(4, 9)), 4)

    def block(at: tuple[int, ...]) -> Value:
        return _column(0, int(norms[at[0] % 4]))

    return {
        "g": block,
        "N": lambda at: 5,
        "r": lambda at: 5 * more,
        "K": lambda at: more * row_sum(block(at)) if at else 5 * more,
    }


# ── loops ─────────────────────────────────────────────────────────────────────────────────────────


def _below(rng: np.random.Generator, most: Value) -> Value:
    return most * Fraction(int(rng.integers(0, 5)), 4)


def driven(rng: np.random.Generator) -> Values:
    """Numbers that are at most ρ times the one before and something."""
    rho = Fraction(int(rng.integers(0, 9)), 4)
    c = cache(lambda at: int(rng.integers(0, 4)))

    @cache
    def number(t: int) -> Value:
        return _below(rng, rho * number(t - 1) + c((t,))) if t > 0 else 3

    return {"ρ": lambda at: rho, "c": c, "N": lambda at: number(at[0])}


def scalar(rng: np.random.Generator) -> Values:
    """The same with one c for all steps."""
    rho, c = Fraction(int(rng.integers(0, 9)), 4), int(rng.integers(0, 4))

    @cache
    def number(t: int) -> Value:
        return _below(rng, rho * number(t - 1) + c) if t > 0 else 3

    return {"ρ": lambda at: rho, "c": lambda at: c, "N": lambda at: number(at[0])}


def convex(rng: np.random.Generator) -> Values:
    """Convex combinations of the number before and of M."""
    limit, a = 3, cache(lambda at: Fraction(int(rng.integers(0, 5)), 4))

    @cache
    def number(t: int) -> Value:
        return _below(rng, a((t,)) * number(t - 1) + limit * (1 - a((t,)))) if t > 0 else limit

    return {
        "M": lambda at: limit,
        "a": a,
        "b": lambda at: limit * (1 - a(at)),
        "N": lambda at: number(at[0]),
    }


def gains(rng: np.random.Generator) -> Values:
    """Two states, and the first row of the powers of their gains."""
    matrix = rng.integers(0, 3, size=(9, 9)).astype(object)
    c = cache(lambda at: int(rng.integers(0, 3)))

    @cache
    def number(j: int, t: int) -> Value:
        if t <= 0:
            return j % 3
        return _below(rng, sum(matrix[j, i] * number(i, t - 1) for i in (1, 2)) + c((j,)))

    @cache
    def row(k: int, i: int) -> Value:
        return int(i == 1) if k == 0 else sum(row(k - 1, j) * matrix[j, i] for j in (1, 2))

    return {
        "G": lambda at: matrix[at],
        "e": lambda at: row(*at),
        "c": c,
        "N": lambda at: number(*at),
    }
