"""One form for terms: a sum of (nested) sums of products, with the letters written out that are known.

Transposes are pushed inwards, and neighbouring Jacobians are gathered into one ordered product. Every step
is a rule of the kernel; nothing here is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.calculation import Calculation, Given
from bptt_verify.proof.claims.letters import J, i, product, s, t
from bptt_verify.proof.claims.windows import joined
from bptt_verify.proof.kernel import (
    Entry,
    Ordered,
    Theorem,
    Total,
    Transpose,
    distribute,
    empty_product,
    empty_sum,
    equal,
    factors,
    free,
    instantiate,
    one_factor,
    one_term,
    peel_newest,
    peel_oldest,
    power,
    reindex,
    ring,
    specialise,
    sum_of_sums,
    sum_of_zeros,
    symmetric,
    transposition,
)

MOST_STEPS = 200
Rule = Callable[[sp.Expr, Given], Theorem]


@dataclass(frozen=True)
class Knowledge:
    """What a search may use.

    Attributes
    ----------
    closed : tuple of Theorem
        Each says ``letter(t) = closed form``.
    """

    closed: tuple[Theorem, ...]


def normal(calculation: Calculation, knowledge: Knowledge) -> Calculation:
    """Bring the calculation's term to the form.

    Raises
    ------
    TimeoutError
        If it takes too many steps.
    """
    rules = _rules(knowledge)
    for _ in range(MOST_STEPS):
        if not any(_applied(calculation, rule) for rule in rules):
            return calculation
    raise TimeoutError


def _rules(knowledge: Knowledge) -> list[Rule]:
    return [
        *(_closed(theorem) for theorem in knowledge.closed),
        _transposed,
        _expanded,
        _only(sp.Mul, distribute),
        _only(Total, empty_sum),
        _only(Total, one_term),
        _only(Total, sum_of_sums),
        _only(Total, sum_of_zeros),
        _only(Ordered, empty_product),
        _single,
        _only(Ordered, _power_of_one),
        _from_one,
        _neighbours,
    ]


def _applied(calculation: Calculation, rule: Rule) -> bool:
    for part, context in _outside(calculation.term):
        try:
            theorem = rule(part, (*calculation.given, *context))
            if not equal(theorem.statement.left, theorem.statement.right):
                calculation.rewrite(theorem)
                return True
        except ProofError:
            continue
    return False


def _outside(term: sp.Expr, context: Given = ()) -> Iterator[tuple[sp.Expr, Given]]:
    """The parts of a term that are not factors of an ordered product."""
    yield term, context
    if isinstance(term, Total):
        yield from _outside(term.body, (*context, *term.range))
    elif not isinstance(term, Entry | Ordered):
        for a in term.args:
            yield from _outside(a, context)


def _only(kind: type, rule: Callable[[sp.Expr, Given], Theorem]) -> Rule:
    def apply(part: sp.Expr, given: Given) -> Theorem:
        if not isinstance(part, kind):
            raise ProofError("search: another term.")
        return rule(part, given)

    return apply


def _closed(theorem: Theorem) -> Rule:
    left = theorem.statement.left

    def apply(part: sp.Expr, given: Given) -> Theorem:
        if not isinstance(part, Entry) or part.letter != left.letter:
            raise ProofError("search: another letter.")
        return instantiate(theorem, ((left.at[0], part.at[0]),))

    return apply


def _transposed(part: sp.Expr, given: Given) -> Theorem:
    if not isinstance(part, Transpose) or isinstance(part.args[0], Entry):
        raise ProofError("search: no transpose.")
    inner = part.args[0]
    if isinstance(inner, Ordered) and inner.bound in free(inner.body):
        raise ProofError("search: stays as it is.")
    return transposition(part, given)


def _expanded(part: sp.Expr, given: Given) -> Theorem:
    if not isinstance(part, sp.Mul | sp.Add | sp.Pow):
        raise ProofError("search: nothing to expand.")
    return ring(part, sp.expand(part), given)


def _single(part: sp.Expr, given: Given) -> Theorem:
    """One Jacobian, as an ordered product of one factor."""
    _need(isinstance(part, Entry) and part.letter == J)
    return symmetric(one_factor(product(part.at[0], part.at[0]), given))


def _from_one(part: sp.Expr, given: Given) -> Theorem:
    """A power with its factors counted from 1."""
    if not isinstance(part, Ordered) or part.bound in free(part.body) or part.low == 1:
        raise ProofError("search: no power.")
    return reindex(part, part.bound, part.bound + part.low - 1, given)


def _power_of_one(part: Ordered, given: Given) -> Theorem:
    _need(part.bound not in free(part.body))
    return one_factor(part, given)


def _neighbours(part: sp.Expr, given: Given) -> Theorem:
    """Two neighbouring ordered products that run together, as one."""
    if isinstance(part, sp.Pow) and part.exp == 2 and isinstance(part.base, Ordered):
        return _join_powers(part.base, part.base, given)
    if not isinstance(part, sp.Mul):
        raise ProofError("search: no product.")
    _, ordered = factors(part)
    for a, b in pairwise(ordered):
        for join in (_join, _join_transposed, _join_powers, _onto_power, _power_onto):
            try:
                return join(a, b, given)
            except ProofError:
                continue
    raise ProofError("search: no neighbours.")


def _need(condition: bool) -> None:
    if not condition:
        raise ProofError("search: does not fit.")


def _join(a: sp.Expr, b: sp.Expr, given: Given) -> Theorem:
    _need(isinstance(a, Ordered) and isinstance(b, Ordered))
    _need(a.bound in free(a.body) and sp.expand(a.low - b.high - 1) == 0)
    theorem = instantiate(joined(), ((t, a.high), (s, b.high), (i, b.low)))
    _need(equal(theorem.statement.left, a * b))
    return theorem


def _join_transposed(a: sp.Expr, b: sp.Expr, given: Given) -> Theorem:
    _need(isinstance(a, Transpose) and isinstance(b, Transpose))
    whole = _join(b.args[0], a.args[0], given)
    turned = Calculation(a * b, *whole.statement.given).back(
        transposition(Transpose(b.args[0] * a.args[0]), ())
    )
    return turned.use(whole).theorem


def _join_powers(a: sp.Expr, b: sp.Expr, given: Given) -> Theorem:
    _need(isinstance(a, Ordered) and isinstance(b, Ordered) and a.bound not in free(a.body))
    _need(a.body == b.body and a.low == b.low == 1)
    whole = instantiate(
        specialise(joined(), J, t, a.body), ((t, a.high + b.high), (s, b.high), (i, sp.S.One))
    )
    moved = reindex(a, a.bound, a.bound - b.high, ())
    start = Calculation(a * b, *whole.statement.given)
    return start.rewrite(moved).use(whole).theorem


def _onto_power(a: sp.Expr, b: sp.Expr, given: Given) -> Theorem:
    """``W W^m = W^{m+1}``."""
    _need(isinstance(b, Ordered) and equal(a, b.body) and b.low == 1)
    return symmetric(peel_newest(power(a, b.high + 1), given))


def _power_onto(a: sp.Expr, b: sp.Expr, given: Given) -> Theorem:
    """``W^m W = W^{m+1}``."""
    _need(isinstance(a, Ordered) and equal(b, a.body) and a.low == 1)
    whole = peel_oldest(power(b, a.high + 1), given)
    moved = reindex(a, a.bound, a.bound - 1, ())
    return Calculation(a * b, *given).rewrite(moved).back(whole).theorem
