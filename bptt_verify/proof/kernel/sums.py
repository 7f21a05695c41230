"""Rules about sums with symbolic limits."""

from __future__ import annotations

from typing import Any

import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.kernel.binding import free, rename, substitute
from bptt_verify.proof.kernel.conditions import at_least, implies
from bptt_verify.proof.kernel.indices import position
from bptt_verify.proof.kernel.terms import Ordered, Total, factors
from bptt_verify.proof.kernel.theorems import Conclusion, equation, rule

Conditions = tuple[sp.Expr, ...]


def _need(rule_name: str, given: Conditions, *goals: sp.Expr) -> None:
    for goal in goals:
        if not implies(given, goal):
            raise ProofError(f"{rule_name}: {goal} ≥ 0 does not follow from {given}.")


def _expect(rule_name: str, term: Any, kind: Any) -> None:
    if not isinstance(term, kind):
        raise ProofError(f"{rule_name}: {term!s:.80} has another form than the rule speaks of.")


@rule("an empty sum is 0")
def empty_sum(total: Total, given: Conditions) -> Conclusion:
    """``Σ_{k=low}^{high} f = 0`` where ``high < low``."""
    _expect("empty_sum", total, Total)
    _need("empty_sum", given, at_least(total.low - 1, total.high))
    return Conclusion(equation(total, sp.S.Zero, *given))


@rule("a sum of one term")
def one_term(total: Total, given: Conditions) -> Conclusion:
    """``Σ_{k=m}^{m} f(k) = f(m)``."""
    _expect("one_term", total, Total)
    if position(total.high - total.low) != 0:
        raise ProofError(f"one_term: the limits {total.low} and {total.high} differ.")
    return Conclusion(equation(total, substitute(total.body, {total.bound: total.low}), *given))


@rule("split the sum")
def split_sum(total: Total, after: Any, given: Conditions) -> Conclusion:
    """``Σ_{low}^{high} = Σ_{low}^{after} + Σ_{after+1}^{high}`` where ``low - 1 ≤ after ≤ high``."""
    _expect("split_sum", total, Total)
    after = position(after)
    _need("split_sum", given, at_least(after, total.low - 1), at_least(total.high, after))
    first = Total(total.body, total.bound, total.low, after)
    return Conclusion(equation(total, first + Total(total.body, total.bound, after + 1, total.high), *given))


@rule("split off the last term of the sum")
def last_term(total: Total, given: Conditions) -> Conclusion:
    """``Σ_{low}^{high} f = Σ_{low}^{high-1} f + f(high)`` where ``low ≤ high``."""
    _expect("last_term", total, Total)
    _need("last_term", given, at_least(total.high, total.low))
    rest = Total(total.body, total.bound, total.low, total.high - 1)
    return Conclusion(equation(total, rest + substitute(total.body, {total.bound: total.high}), *given))


@rule("split off the first term of the sum")
def first_term(total: Total, given: Conditions) -> Conclusion:
    """``Σ_{low}^{high} f = f(low) + Σ_{low+1}^{high} f`` where ``low ≤ high``."""
    _expect("first_term", total, Total)
    _need("first_term", given, at_least(total.high, total.low))
    rest = Total(total.body, total.bound, total.low + 1, total.high)
    return Conclusion(equation(total, substitute(total.body, {total.bound: total.low}) + rest, *given))


@rule("the sum of a sum")
def sum_of_sums(total: Total, given: Conditions) -> Conclusion:
    """``Σ (f + g) = Σ f + Σ g``."""
    _expect("sum_of_sums", total, Total)
    _expect("sum_of_sums", total.body, sp.Add)
    parts = [Total(f, total.bound, total.low, total.high) for f in total.body.args]
    return Conclusion(equation(total, sp.Add(*parts), *given))


@rule("a sum of zeros is 0")
def sum_of_zeros(total: Total, given: Conditions) -> Conclusion:
    """``Σ 0 = 0``."""
    _expect("sum_of_zeros", total, Total)
    if total.body != 0:
        raise ProofError(f"sum_of_zeros: the body is {total.body!s:.80}, not 0.")
    return Conclusion(equation(total, sp.S.Zero, *given))


@rule("distribute over the sum")
def distribute(product: sp.Expr, given: Conditions) -> Conclusion:
    """``a (Σ f) b = Σ (a f b)`` for the first sum among the factors; no index of a, b is captured."""
    scalar, ordered = factors(product)
    pool = [*sp.Mul.make_args(scalar), *ordered]
    at = next((i for i, f in enumerate(pool) if isinstance(f, Total)), None)
    if at is None or len([f for f in pool if f != 1]) < 2:
        raise ProofError(f"distribute: {product!s:.80} is no product with a sum as a factor.")
    others = frozenset().union(*(free(f) for i, f in enumerate(pool) if i != at))
    total = rename(pool[at], others)
    body = sp.Mul(*pool[:at], total.body, *pool[at + 1 :])
    return Conclusion(equation(product, Total(body, total.bound, total.low, total.high), *given))


@rule("take the factor out of the sum")
def take_out(total: Total, before: sp.Expr, inside: sp.Expr, after: sp.Expr, given: Conditions) -> Conclusion:
    """``Σ (a f b) = a (Σ f) b`` where a and b do not depend on the bound index."""
    _expect("take_out", total, Total)
    if total.bound in free(before) | free(after):
        raise ProofError(f"take_out: {before} or {after} depends on the bound index {total.bound}.")
    if factors(total.body) != factors(before * inside * after):
        raise ProofError(f"take_out: {total.body} is not {before} · {inside} · {after}.")
    inner = Total(inside, total.bound, total.low, total.high)
    return Conclusion(equation(total, before * inner * after, *given))


@rule("re-index")
def reindex(term: Total | Ordered, new: sp.Symbol, old: Any, given: Conditions) -> Conclusion:
    """Another bound index: ``old``, the former index in terms of ``new``, is new + c or c - new.

    The factors of an ordered product may only be shifted: turning the order round would change it.

    Raises
    ------
    ProofError
        If the expression has another form, or the new index is in use.
    """
    _expect("reindex", term, Total | Ordered)
    old = position(old)
    shift, turn = position(old - new), position(old + new)
    if new in (free(term.body) - {term.bound}) | free(term.low) | free(term.high):
        raise ProofError(f"reindex: {new} is in use in {term!s:.120}.")
    if new not in free(shift):
        low, high = term.low - shift, term.high - shift
    elif new not in free(turn) and isinstance(term, Total):
        low, high = turn - term.high, turn - term.low
    else:
        raise ProofError(f"reindex: {term.bound} = {old}; expected {new} + c (or c - {new} in a sum).")
    return Conclusion(
        equation(term, term.func(substitute(term.body, {term.bound: old}), new, low, high), *given)
    )


@rule("exchange the two sums")
def exchange(total: Total, outer: tuple[Any, Any], inner: tuple[Any, Any], given: Conditions) -> Conclusion:
    """``Σ_t Σ_i f = Σ_i Σ_t f`` with the new limits of i (outer) and of t (inner).

    Raises
    ------
    ProofError
        If the old and the new limits do not describe the same pairs (t, i): each new limit must follow
        from the old ones and each old one from the new.
    """
    _expect("exchange", total, Total)
    taken = frozenset().union(*map(free, given), *map(free, map(position, outer)), free(total))
    first = rename(total, taken)
    _expect("exchange", first.body, Total)
    second = rename(first.body, taken | {first.bound})
    moved = tuple(substitute(position(x), {total.body.bound: second.bound}) for x in inner)
    new = Total(Total(second.body, first.bound, *moved), second.bound, *outer)
    before, after = (*first.range, *second.range), (*new.range, *new.body.range)
    _need("exchange", (*given, *before), *after)
    _need("exchange", (*given, *after), *before)
    return Conclusion(equation(total, new, *given))
