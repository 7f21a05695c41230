"""Assumptions and induction over the steps."""

from __future__ import annotations

from typing import Any

import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.kernel.binding import fresh
from bptt_verify.proof.kernel.conditions import implies
from bptt_verify.proof.kernel.equality import merged, particular
from bptt_verify.proof.kernel.indices import index, is_index, position
from bptt_verify.proof.kernel.theorems import Conclusion, Statement, Theorem, rule, same, statement


@rule("by assumption")
def assume(assumption: Statement) -> Conclusion:
    """The assumption itself, for any value of its indices; the theorem says what it assumes."""
    s = statement(assumption.left, assumption.relation, assumption.right, *assumption.given)
    return Conclusion(s, frozenset({assumption}))


def hypothesis(claim: Statement, over: sp.Symbol, start: Any, onward: int = 1) -> Statement:
    """The induction hypothesis: the claim for every step from the start to the one before ``over``."""
    start = position(start)
    u = fresh(index("u"), claim.free | start.free_symbols | {over})
    earlier = claim.at({over: u})
    bounds = (onward * (u - start), onward * (over - u) - 1)
    return statement(earlier.left, earlier.relation, earlier.right, *earlier.given, *bounds, every=(u,))


@rule("an assumption that has been proved")
def discharge(theorem: Theorem, assumption: Statement, proof: Theorem) -> Conclusion:
    """The theorem without an assumption that another theorem proves.

    Raises
    ------
    ProofError
        If the theorem does not make the assumption, or the proof is of something else, needs further
        conditions, or rests on assumptions about particular values of the assumption's indices.
    """
    if assumption not in theorem.assumptions:
        raise ProofError(f"discharge: the theorem does not assume {assumption}.")
    _expect_claim("discharge: the proof", proof, assumption, assumption.given)
    _, definitions = merged(theorem, proof)
    if particular(proof.assumptions, proof.definitions) & set(assumption.every):
        raise ProofError(f"discharge: the proof is about particular values of {assumption.every}.")
    rest = (theorem.assumptions - {assumption}) | proof.assumptions
    return Conclusion(theorem.statement, rest, definitions)


@rule("by induction")
def induction(
    claim: Statement, over: sp.Symbol, start: Any, onward: int, base: Theorem, step: Theorem
) -> Conclusion:
    """The claim for every step from the start on, upwards (onward = 1) or downwards (-1).

    Parameters
    ----------
    claim : Statement
        About the index ``over``.
    start : int or sympy.Expr
    base : Theorem
        The claim at the start.
    step : Theorem
        The claim under the condition that ``over`` is beyond the start; it may assume the
        ``hypothesis``, which speaks of the steps before ``over`` only.

    Raises
    ------
    ProofError
        If the base or the step proves something else, needs a condition that is not given, or rests on
        another assumption about ``over``.
    """
    start = position(start)
    if not is_index(over) or onward not in (1, -1) or over in start.free_symbols or claim.every:
        raise ProofError(f"induction: over={over}, start={start}, onward={onward}; see its docstring.")
    first = claim.at({over: start})
    beyond = (*claim.given, onward * (over - start) - 1)
    _expect_claim("induction: the base", base, first, first.given)
    _expect_claim("induction: the step", step, claim, beyond)
    earlier = hypothesis(claim, over, start, onward)
    rest = frozenset(a for a in step.assumptions if not same(a, earlier))
    _, definitions = merged(base, step)
    assumptions = rest | base.assumptions
    if over in particular(assumptions, definitions):
        raise ProofError(f"induction: an assumption or definition is about the particular index {over}.")
    given = (*claim.given, onward * (over - start))
    return Conclusion(statement(claim.left, claim.relation, claim.right, *given), assumptions, definitions)


def _expect_claim(part: str, theorem: Theorem, claim: Statement, given: tuple[sp.Expr, ...]) -> None:
    s = theorem.statement
    weaker = claim.relation if s.relation == "=" else s.relation  # what is equal is also at most
    proved, wanted = (s.left, weaker, s.right), (claim.left, claim.relation, claim.right)
    if not same(Statement((), *proved), Statement((), *wanted)):
        raise ProofError(
            f"{part} proves {s.left!s:.160} {s.relation} {s.right!s:.160}; "
            f"expected {claim.left!s:.160} {claim.relation} {claim.right!s:.160}."
        )
    missing = [c for c in s.given if not implies(given, c)]
    if missing:
        raise ProofError(f"{part} needs {missing[0]} ≥ 0, which is not given.")
