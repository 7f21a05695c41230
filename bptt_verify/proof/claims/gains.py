"""T10: what a loop over the steps makes of a bound for one step.

N_t is a bound of a norm at step t. For several states that depend on each other, N(j, t) is that of state
j = 1 … m, G(j, l) ≥ 0 how much state u adds to it, and e(k, j) the entry j of the row i of G^k.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.letters import T, c, earlier, i, k, t
from bptt_verify.proof.claims.magnitude import RHO, bound
from bptt_verify.proof.claims.unrolled import G, unrolled_at_any_step
from bptt_verify.proof.claims.windows import R, tau
from bptt_verify.proof.claims.windows import geometric as from_any_power
from bptt_verify.proof.kernel import (
    Letter,
    Norm,
    Theorem,
    Total,
    Transpose,
    assume,
    at_least,
    combine,
    distribute,
    empty_product,
    empty_sum,
    equation,
    exchange,
    first_term,
    index,
    induction,
    instantiate,
    last_term,
    not_negative,
    peel_newest,
    power,
    reindex,
    ring,
    specialise,
    statement,
    submultiplicative,
    sum_of_sums,
    symmetric,
    take_out,
    transitive,
    triangle,
    weaken,
)

j, u, m, s = map(index, "jums")
N, C = Letter("N", nonnegative=True), Letter("c", nonnegative=True)
LIMIT, FACTOR, REST = (Letter(name, nonnegative=True) for name in ("M", "a", "b"))
ALPHA = Letter("α", nonnegative=True)
GAIN, ROW = Letter("G", nonnegative=True), Letter("e", nonnegative=True)
POWERS = Total(power(RHO(), k), k, 0, T - 1)

STEP = statement(N(k), "≤", RHO() * N(k - 1) + C(), at_least(k, 1), every=(k,))
DRIVEN = statement(N(k), "≤", RHO() * N(k - 1) + C(k), at_least(k, 1), every=(k,))


@cache
def next_powers() -> Theorem:
    """``Σ_{k=0}^{t-1} ρ^k = 1 + ρ Σ_{k=0}^{t-2} ρ^k`` for t ≥ 1."""
    beyond = (at_least(t, 1),)
    whole = Total(power(RHO(), k), k, 0, t - 1)
    sums = Calculation(1 + RHO() * Total(power(RHO(), k), k, 0, t - 2), *beyond)
    sums.by(distribute).back(peel_newest(power(RHO(), k + 1), (k,))).by(reindex, j, j - 1)
    sums.back(empty_product(power(RHO(), 0), ())).back(first_term(whole, beyond))
    return symmetric(sums.theorem)


@cache
def repeated() -> Theorem:
    """``N_t ≤ ρ^t N_0 + c Σ_{k=0}^{t-1} ρ^k`` if ``N_k ≤ ρ N_{k-1} + c`` at every step."""
    sums = Total(power(RHO(), k), k, 0, t - 1)
    claim = statement(N(t), "≤", power(RHO(), t) * N(0) + C() * sums, t)
    start = claim.at({t: sp.S.Zero})
    base = Calculation(start.right).by(empty_sum).by(empty_product)
    known, v = earlier(claim, t, 0)
    beyond = (at_least(t, 1),)
    step = Calculation(N(t), *beyond).use(assume(STEP), {k: t}).use(known, {v: t - 1})
    grown, fewer = power(RHO(), t - 1), Total(power(RHO(), k), k, 0, t - 2)
    step.to(RHO() * grown * N(0) + C() * (1 + RHO() * fewer))
    step.back(peel_newest(power(RHO(), t), beyond)).back(next_powers())
    return induction(claim, t, 0, 1, symmetric(base.theorem), step.theorem)


@cache
def in_total() -> Theorem:
    """``Σ_{t=1}^{T} N_t ≤ Σ_{k=0}^{T-1} ρ^k (Σ_{t=1}^{T} c_t + ρ N_0)`` if ``N_k ≤ ρ N_{k-1} + c_k``."""
    every, all_c = Total(N(k), k, 1, T), Total(C(k), k, 1, T)
    claim = statement(every, "≤", POWERS * (all_c + RHO() * N(0)), at_least(T, 0))
    start = claim.at({T: sp.S.Zero})
    none = Calculation(start.right).rewrite(empty_sum(Total(power(RHO(), k), k, 0, -1), ()))
    base = Calculation(start.left).by(empty_sum).back(none.theorem)
    known, v = earlier(claim, T, 0)
    beyond = (at_least(T, 1),)
    step = Calculation(every, *beyond).rewrite(_one_step_of_all()).use(known, {v: T - 1})
    fewer = RHO() * Total(power(RHO(), k), k, 0, T - 2)
    more = combine(
        step.term,
        claim.right,
        (
            (-all_c - RHO() * N(0), instantiate(next_powers(), ((t, T),))),
            (-fewer, last_term(all_c, beyond)),
            (sp.S.One, not_negative(fewer * C(T), ())),
        ),
    )
    return induction(claim, T, 0, 1, base.theorem, step.rewrite(more).theorem)


@cache
def _one_step_of_all() -> Theorem:
    """``Σ_{t=1}^{T} N_t ≤ ρ (N_0 + Σ_{t=1}^{T-1} N_t) + Σ_{t=1}^{T} c_t`` for T ≥ 1."""
    beyond = (at_least(T, 1),)
    before = Total(N(k), k, 0, T - 1)
    sums = Calculation(Total(N(k), k, 1, T), *beyond).rewrite(assume(DRIVEN)).by(sum_of_sums)
    sums.by(take_out, RHO(), N(k - 1), sp.S.One).by(reindex, j, j + 1, where=_reads_before)
    return sums.rewrite(first_term(before, beyond)).theorem


def _reads_before(term: sp.Expr) -> bool:
    return isinstance(term, Total) and term.low == 1 and term.body == N(k - 1)


# ── states in an interval ─────────────────────────────────────────────────────────────────────────


@cache
def stays() -> Theorem:
    """``N_t ≤ M`` if ``N_0 ≤ M``, ``N_k ≤ a_k N_{k-1} + b_k`` and ``a_k M + b_k ≤ M``: as of a GRU."""
    claim = statement(N(t), "≤", LIMIT(), t)
    base = assume(statement(N(0), "≤", LIMIT()))
    known, v = earlier(claim, t, 0)
    mixed = statement(N(k), "≤", FACTOR(k) * N(k - 1) + REST(k), at_least(k, 1), every=(k,))
    convex = statement(FACTOR(k) * LIMIT() + REST(k), "≤", LIMIT(), every=(k,))
    step = Calculation(N(t), at_least(t, 1)).use(assume(mixed), {k: t}).use(known, {v: t - 1})
    return induction(claim, t, 0, 1, base, step.use(assume(convex), {k: t}).theorem)


# ── several states ────────────────────────────────────────────────────────────────────────────────

OWN = statement(N(i, k), "≤", Total(ROW(0, j) * N(j, k), j, 1, m), every=(k,))
NEXT = equation(Total(ROW(k, j) * GAIN(j, u), j, 1, m), ROW(k + 1, u), every=(k, u))
EACH_STEP = statement(
    N(j, k), "≤", Total(GAIN(j, u) * N(u, k - 1), u, 1, m) + C(j), at_least(k, 1), every=(j, k)
)


def _reached(lag: sp.Expr) -> sp.Expr:
    return Total(ROW(lag, j) * N(j, t - lag), j, 1, m)


def _added(lags: sp.Expr) -> sp.Expr:
    return Total(Total(ROW(k, j) * C(j), j, 1, m), k, 0, lags - 1)


@cache
def among() -> Theorem:
    """``N_t ≤ G^s N_{t-s} + Σ_{k=0}^{s-1} G^k c`` in entry i, for s ≤ t, if ``N_k ≤ G N_{k-1} + c``."""
    claim = statement(N(i, t), "≤", _reached(s) + _added(s), s, at_least(t, s))
    start = claim.at({s: sp.S.Zero})
    none = Calculation(start.right).rewrite(empty_sum(_added(sp.S.Zero), ()))
    base = Calculation(N(i, t)).use(assume(OWN), {k: t}).back(none.theorem)
    known, v = earlier(claim, s, 0)
    step = Calculation(N(i, t), at_least(s, 1), at_least(t, s)).use(known, {v: s - 1})
    step.rewrite(_one_step_back()).back(last_term(_added(s), (at_least(s, 1),)))
    return induction(claim, s, 0, 1, base.theorem, step.theorem)


@cache
def _one_step_back() -> Theorem:
    """``G^{s-1} N_{t-s+1} ≤ G^s N_{t-s} + G^{s-1} c`` in entry i, for 1 ≤ s ≤ t."""
    row, inner = ROW(s - 1, j), Total(GAIN(j, u) * N(u, t - s), u, 1, m)
    back = Calculation(_reached(s - 1), at_least(s, 1), at_least(t, s))
    back.use(assume(EACH_STEP), {k: t - s + 1})
    back.rewrite(ring(row * (inner + C(j)), row * inner + row * C(j))).by(sum_of_sums)
    back.by(distribute, where=lambda x: x.is_Mul and x.has(GAIN(j, u))).by(exchange, (1, m), (1, m))
    back.by(take_out, sp.S.One, row * GAIN(j, u), N(u, t - s))
    return back.use(assume(NEXT), {k: s - 1}).theorem


# ── the geometric sum ─────────────────────────────────────────────────────────────────────────────


@cache
def closed() -> Theorem:
    """``(1 - ρ) Σ_{k=0}^{T-1} ρ^k = 1 - ρ^T``: the closed form, where ρ is not 1."""
    whole = instantiate(from_any_power(), ((tau, sp.S.Zero), (t, T)))
    own = specialise(whole, R, k, RHO())
    nothing = Calculation(own.statement.right, at_least(T, 0)).rewrite(empty_product(power(RHO(), 0), ()))
    return weaken(transitive(own, nothing.theorem), (at_least(T, 0),))


@cache
def at_one() -> Theorem:
    """``Σ_{k=0}^{T-1} 1^k = Σ_{k=0}^{T-1} 1``, which is T: the value at ρ = 1."""
    claim = equation(power(sp.S.One, m), 1, m)
    base = Calculation(claim.at({m: sp.S.Zero}).left).by(empty_product)
    known, v = earlier(claim, m, 0)
    step = Calculation(claim.left, at_least(m, 1)).by(peel_newest).use(known, {v: m - 1})
    one = induction(claim, m, 0, 1, base.theorem, step.theorem)
    return Calculation(Total(power(sp.S.One, k), k, 0, T - 1)).use(one, {m: k}).theorem


@cache
def near_one() -> Theorem:
    """``Σ_{k<T} 1 - Σ_{k<T} ρ^k = (1 - ρ) Σ_{k<T} Σ_{j<k} ρ^j``: the limit at ρ = 1."""
    inner = Total(power(RHO(), j), j, 0, k - 1)
    gap = Calculation((1 - RHO()) * Total(inner, k, 0, T - 1)).by(distribute)
    gap.use(closed(), {T: k}).by(sum_of_sums).by(take_out, sp.S.NegativeOne, power(RHO(), k), sp.S.One)
    return symmetric(gap.theorem)


# ── what this says of gradients ───────────────────────────────────────────────────────────────────


@cache
def chain() -> Theorem:
    """``‖∂h_t/∂w‖ ≤ Σ_{i=1}^{t} ‖J_t … J_{i+1}‖ ‖A_i‖``."""
    whole = Calculation(Norm(G(t)), t).use(unrolled_at_any_step()).by(triangle)
    return whole.by(submultiplicative).theorem


@cache
def gradient() -> Theorem:
    """``‖Σ_t c_tᵀ ∂h_t/∂w‖ ≤ Σ_t ‖c_tᵀ‖ Σ_{i=1}^{t} ρ^{t-i} ‖A_i‖`` if every ``‖J_k‖ ≤ ρ``."""
    whole = Calculation(Norm(Total(Transpose(c(t)) * G(t), t, 1, T))).by(triangle).by(submultiplicative)
    return whole.rewrite(chain()).rewrite(bound()).theorem
