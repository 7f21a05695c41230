"""Looking for a proof that two terms are equal: both are brought to one form, rule by rule.

Nothing here is trusted: what is found is a Theorem of the kernel, and what is not found says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.calculation import Calculation, Given
from bptt_verify.proof.claims.adjoint_form import closed_form
from bptt_verify.proof.claims.unrolled import initial_state, unrolled_at_any_step
from bptt_verify.proof.forms import Knowledge, normal
from bptt_verify.proof.kernel import (
    Theorem,
    Total,
    equal,
    exchange,
    factors,
    first_term,
    last_term,
    reindex,
    ring,
    substitute,
    symmetric,
    transitive,
)

MOST_TERMS = 4  # that are split off at one end of a sum


def general() -> Knowledge:
    """The closed forms of T1 and T2."""
    return Knowledge((unrolled_at_any_step(), initial_state(), closed_form()))


def found(left: sp.Expr, right: sp.Expr, given: Given, knowledge: Knowledge) -> Theorem | None:
    """A proof of ``left = right``, or None if none was found.

    Parameters
    ----------
    left, right : sympy.Expr
    given : tuple of sympy.Expr
        Conditions on the free indices.
    knowledge : Knowledge
    """
    try:
        one, other = (normal(Calculation(side, *given), knowledge) for side in (left, right))
        _align(one, other, knowledge)
        other.to(one.term)
        proof = other.theorem if not one.links else transitive(other.theorem, symmetric(one.theorem))
        return symmetric(proof)
    except (ProofError, TimeoutError):
        return None


# ── the same form with other limits ───────────────────────────────────────────────────────────────


def _align(one: Calculation, other: Calculation, knowledge: Knowledge) -> None:
    """Re-index, exchange and split the sums of both sides until they have the same limits."""
    for wanted in _sums(one.term):
        for part in _sums(other.term):
            if _aligned(wanted, part, one, other):
                break
    normal(one, knowledge)
    normal(other, knowledge)


def _sums(term: sp.Expr) -> list[sp.Expr]:
    return [x for x in sp.Add.make_args(term) if x.has(Total)]


def _aligned(wanted: sp.Expr, part: sp.Expr, one: Calculation, other: Calculation) -> bool:
    (scalar, sums), (other_scalar, other_sums) = factors(wanted), factors(part)
    if len(sums) != 1 or len(other_sums) != 1 or scalar != other_scalar:
        return False
    target, total = sums[0], other_sums[0]
    if not (isinstance(target, Total) and isinstance(total, Total)):
        return False
    for theorem in _candidates(target, total, other.given):
        new = theorem.statement.right
        if isinstance(new, Total) and equal(new.body, substitute(target.body, {target.bound: new.bound})):
            if not equal(total, new):
                other.rewrite(theorem)
            _shorten(new, target, other)
            _shorten(target, new, one)
            return True
    return False


def _candidates(target: Total, total: Total, given: Given) -> Iterator[Theorem]:
    """The sum itself, under another index, with its two sums exchanged, with another inner sum."""
    yield from _reindexed(target, total, given)
    if not (isinstance(target.body, Total) and isinstance(total.body, Total)):
        return
    yield from _with_inner(target, Calculation(total, *given))
    inner = total.body.bound
    limits = tuple(substitute(x, {target.bound: inner}) for x in (target.body.low, target.body.high))
    for theorem in _tried(lambda: exchange(total, (target.low, target.high), limits, given)):
        yield theorem
        yield from _with_inner(target, Calculation(total, *given).rewrite(theorem))


def _reindexed(target: Total, total: Total, given: Given) -> Iterator[Theorem]:
    bound = total.bound
    yield ring(total, total, given)
    for c in (total.low - target.low, total.high - target.high):
        yield from _tried(lambda c=c: reindex(total, bound, bound + c, given))  # type: ignore[misc]
    for c in (total.low + target.high, total.high + target.low):
        yield from _tried(lambda c=c: reindex(total, bound, c - bound, given))  # type: ignore[misc]


def _with_inner(target: Total, calculation: Calculation) -> Iterator[Theorem]:
    """The inner sum under another index."""
    total = calculation.term
    wanted = substitute(target.body, {target.bound: total.bound})
    for theorem in _reindexed(wanted, total.body, (*calculation.given, *total.range)):
        yield from _tried(lambda t=theorem: _continued(calculation, t))  # type: ignore[misc]


def _continued(calculation: Calculation, theorem: Theorem) -> Theorem:
    new = Calculation(calculation.term, *calculation.given)
    new.links = list(calculation.links)
    return new.rewrite(theorem).theorem


def _tried(rule: Callable[[], Theorem]) -> Iterator[Theorem]:
    try:
        yield rule()
    except ProofError:
        return


def _shorten(total: Total, target: Total, calculation: Calculation) -> None:
    """Split off the terms that the target does not have, a few at either end."""
    for _ in range(2 * MOST_TERMS):
        above, below = sp.expand(total.high - target.high), sp.expand(target.low - total.low)
        if above.is_Integer and 0 < above <= MOST_TERMS:
            theorem = last_term(total, calculation.given)
        elif below.is_Integer and 0 < below <= MOST_TERMS:
            theorem = first_term(total, calculation.given)
        else:
            return
        calculation.rewrite(theorem)
        total = next(x for x in sp.Add.make_args(theorem.statement.right) if isinstance(x, Total))
