"""T9: how much one step can change an objective, and what follows for many steps.

Step t goes from x_{t-1} to x_t, and F_t is the objective at x_t.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.clip import THETA, at_most_norm, at_most_threshold, clip, g, norm, s
from bptt_verify.proof.claims.columns import added, equals, inner, k, length, t
from bptt_verify.proof.claims.letters import T, earlier
from bptt_verify.proof.kernel import (
    Case,
    Definition,
    Letter,
    Norm,
    Theorem,
    Total,
    absolute,
    assume,
    at_least,
    at_most_absolute,
    combine,
    empty_sum,
    equation,
    index,
    induction,
    instantiate,
    last_term,
    norm_of_multiple,
    ring,
    specialise,
    statement,
    symmetric,
    take_out,
)

i, j = index("i"), index("j")
F, x = Letter("F"), Letter("x", "n", "1")
K, ETA, BETA = (Letter(name, nonnegative=True) for name in ("K", "η", "β"))
RATE, DELTA = Letter("η'", nonnegative=True), Letter("Δ")
INVERSE = Letter("v", nonnegative=True)

LATER = at_least(t, 1)
LIPSCHITZ = statement(Norm(F(i) - F(j)), "≤", K() * Norm(x(i) - x(j)), every=(i, j))
RAW = Definition(x, t, (Case((LATER,), x(t - 1) - ETA() * g(t)),))
CLIPPED = Definition(x, t, (Case((LATER,), x(t - 1) - ETA() * clip(t)),))
MOVED = x(k) - x(k - 1)
SMOOTH = statement(
    F(k),
    "≤",
    F(k - 1) + inner(g(k), MOVED) + BETA() * inner(MOVED, MOVED) / 2,
    at_least(k, 1),
    every=(k,),
)
SHORT = statement(BETA() * ETA(), "≤", 2)
CHANGE = Norm(F(t - 1) - F(t))


@cache
def raw() -> Theorem:
    """``|F(x) - F(x - η g)| ≤ K η ‖g‖``."""
    change = instantiate(assume(LIPSCHITZ), ((i, t - 1), (j, t)))
    bound = Calculation(CHANGE, LATER).rewrite(change).unfold(RAW, t)
    moved = x(t - 1) - (x(t - 1) - ETA() * g(t))
    return bound.rewrite(ring(moved, ETA() * g(t))).by(norm_of_multiple).by(absolute).theorem


@cache
def clipped_norm() -> Theorem:
    """``|F(x) - F(x - η clip(g))| ≤ K η ‖clip(g)‖``."""
    return specialise(raw(), g, k, clip(k))


@cache
def clipped_raw() -> Theorem:
    """``… ≤ K η ‖g‖``."""
    return Calculation(CHANGE, LATER).rewrite(clipped_norm()).rewrite(at_most_norm()).theorem


@cache
def clipped() -> Theorem:
    """``… ≤ K η θ``."""
    return Calculation(CHANGE, LATER).rewrite(clipped_norm()).rewrite(at_most_threshold()).theorem


@cache
def as_rate() -> Theorem:
    """``… ≤ K (η s) ‖g‖``: the guarantee of a raw step with the learning rate ``η s``."""
    return Calculation(CHANGE, LATER).rewrite(clipped_norm()).rewrite(norm()).theorem


@cache
def equivalent_rate() -> Theorem:
    """``η' = η s`` is the only rate with ``K η' ‖g‖ = K η ‖clip(g)‖``."""
    size = Norm(g(t))
    alike = assume(equation(K() * RATE() * size, K() * ETA() * Norm(clip(t))))
    positive = assume(equation(INVERSE() * K() * size, 1))
    return equals(
        RATE(),
        ETA() * s(t),
        (INVERSE(), alike),
        (ETA() * s(t) - RATE(), positive),
        (INVERSE() * K() * ETA(), norm()),
    )


@cache
def many_steps() -> Theorem:
    """``F_0 - F_T ≤ Σ_{k=1}^{T} K η θ`` after T clipped steps."""
    one = K() * ETA() * THETA()
    total = Total(one, k, 1, T)
    claim = statement(F(0) - F(T), "≤", total, at_least(T, 0))
    known, u = earlier(claim, T, 0)
    beyond = (at_least(T, 1),)
    last = Calculation(F(T - 1) - F(T), *beyond).by(at_most_absolute)
    last.use(clipped(), {t: T})
    before = instantiate(known, ((u, T - 1),))
    step = combine(
        F(0) - F(T),
        total,
        ((sp.S.One, before), (sp.S.One, last.theorem), (sp.S.NegativeOne, last_term(total, beyond))),
    )
    start = claim.at({T: sp.S.Zero})
    base = symmetric(Calculation(start.right).by(empty_sum).theorem)
    return induction(claim, T, 0, 1, base, step)


@cache
def least_steps() -> Theorem:
    """``Δ v ≤ Σ_{k=1}^{T} 1``, the number of steps, if ``v K η θ = 1`` and ``Δ ≤ F_0 - F_T``."""
    one, number = K() * ETA() * THETA(), Total(sp.S.One, k, 1, T)
    better = assume(statement(DELTA(), "≤", F(0) - F(T)))
    positive = assume(equation(INVERSE() * one, 1))
    bound = Calculation(F(0) - F(T), at_least(T, 0)).rewrite(many_steps())
    bound.by(take_out, one, sp.S.One, sp.S.One)
    return added(
        DELTA() * INVERSE(),
        number,
        (INVERSE(), better),
        (INVERSE(), bound.theorem),
        (number, positive),
    )


def _smooth() -> Calculation:
    """``F_t ≤ F_{t-1} + gᵀ(-η s g) + β/2 (-η s g)ᵀ(-η s g)``."""
    bound = Calculation(F(t), LATER).rewrite(instantiate(assume(SMOOTH), ((k, t),)))
    return bound.unfold(CLIPPED, t)


@cache
def descent() -> Theorem:
    """``F_t ≤ F_{t-1} - η m ‖g‖ + β η² m²/2`` with ``m = ‖clip(g)‖``."""
    m, size, curved = Norm(clip(t)), Norm(g(t)), BETA() * ETA() ** 2 / 2
    bound = _smooth()
    exact = equals(
        bound.term,
        F(t - 1) - ETA() * m * size + curved * m**2,
        (ETA() * s(t) - curved * s(t) ** 2, length(g, t)),
        (ETA() * size - curved * (m + s(t) * size), norm()),
    )
    return bound.rewrite(exact).theorem


@cache
def simpler_descent() -> Theorem:
    """``F_t ≤ F_{t-1} - η (1 - β η/2) m ‖g‖`` with ``m = ‖clip(g)‖``."""
    m, size = Norm(clip(t)), Norm(g(t))
    bound = Calculation(F(t), LATER).rewrite(descent())
    right = F(t - 1) - ETA() * (1 - BETA() * ETA() / 2) * m * size
    return bound.rewrite(added(bound.term, right, (BETA() * ETA() ** 2 * m / 2, at_most_norm()))).theorem


@cache
def decrease() -> Theorem:
    """``F_t ≤ F_{t-1}`` if ``β η ≤ 2``."""
    m, size = Norm(clip(t)), Norm(g(t))
    bound = Calculation(F(t), LATER).rewrite(simpler_descent())
    return bound.rewrite(added(bound.term, F(t - 1), (ETA() * m * size / 2, assume(SHORT)))).theorem
