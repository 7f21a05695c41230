"""Rules about equality: ring laws, chains, substitution of equals, instances, names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.kernel.binding import equal, free, is_random, replaced_letter, resized, substitute
from bptt_verify.proof.kernel.conditions import implies
from bptt_verify.proof.kernel.definitions import Definition
from bptt_verify.proof.kernel.indices import is_index, position
from bptt_verify.proof.kernel.polynomials import polynomial
from bptt_verify.proof.kernel.positions import Context, replaced
from bptt_verify.proof.kernel.signs import nonnegative
from bptt_verify.proof.kernel.terms import Letter, Mean, common_shape, shape
from bptt_verify.proof.kernel.theorems import Conclusion, Statement, Theorem, equation, rule, statement


def merged(*premises: Theorem) -> tuple[frozenset[Statement], frozenset[Definition]]:
    """Assumptions and definitions of all premises together."""
    assumptions = frozenset().union(*(p.assumptions for p in premises))
    return assumptions, frozenset().union(*(p.definitions for p in premises))


def particular(assumptions: Iterable[Statement], definitions: Iterable[Definition]) -> frozenset[sp.Symbol]:
    """Indices about one particular value of which something is assumed or defined."""
    return frozenset().union(*(a.free for a in assumptions), *(d.free for d in definitions))


def conclusion(s: Statement, *premises: Theorem) -> Conclusion:
    """A conclusion under all that its premises rest on."""
    return Conclusion(s, *merged(*premises))


@rule("distributivity and the other laws of a ring")
def ring(left: sp.Expr, right: sp.Expr, given: tuple[sp.Expr, ...] = ()) -> Conclusion:
    """``left = right`` if both have one normal form in the ring of non-commuting polynomials.

    Raises
    ------
    ProofError
        If the normal forms differ.
    """
    shape(left), shape(right)
    if polynomial(left) != polynomial(right):
        raise ProofError(f"ring: {left!s:.200} and {right!s:.200} have different normal forms.")
    return Conclusion(equation(left, right, *given))


@rule("by the same equation, read backwards")
def symmetric(theorem: Theorem) -> Conclusion:
    """From ``a = b`` to ``b = a``."""
    s = theorem.statement
    if s.relation != "=":
        raise ProofError(f"symmetric: {s.left} {s.relation} {s.right}; expected an equation.")
    return conclusion(equation(s.right, s.left, *s.given), theorem)


@rule("in a chain")
def transitive(first: Theorem, second: Theorem) -> Conclusion:
    """From ``a = b`` and ``b = c`` to ``a = c``; one ≤ among them gives ≤.

    Raises
    ------
    ProofError
        If the middle terms differ.
    """
    a, b = first.statement, second.statement
    if not equal(a.right, b.left):
        raise ProofError(f"transitive: {a.right!s:.200} is not {b.left!s:.200}.")
    relation = a.relation if b.relation == "=" else b.relation
    return conclusion(statement(a.left, relation, b.right, *a.given, *b.given), first, second)


@rule("substitution of equals")
def rewrite(term: sp.Expr, theorem: Theorem, given: tuple[sp.Expr, ...]) -> Conclusion:
    """``term = term'``: the theorem's left side is replaced by its right side wherever it occurs.

    It may occur under a sum or an ordered product, as some neighbouring factors of a product, or as some
    terms of a sum. There the theorem's conditions must follow from what is given and from the limits
    around the place. A ≤ is used only where a larger value cannot make the whole smaller.

    Raises
    ------
    ProofError
        If the left side does not occur at a place where the theorem may be used, or the theorem rests on
        an assumption or a definition about one particular value of an index that is bound at that place.
    """
    s = theorem.statement
    fixed = particular(theorem.assumptions, theorem.definitions)

    def usable(context: Context) -> bool:
        if s.relation == "≤" and not context.increasing:
            return False
        if fixed & context.bound:
            return False
        return all(implies((*given, *context.given), c) for c in s.given)

    new, places = replaced(term, s.left, s.right, usable, frozenset().union(*map(free, given)))
    if not places:
        raise ProofError(f"rewrite: {s.left!s:.200} occurs nowhere usable in {term!s:.300}.")
    return conclusion(statement(term, s.relation, new, *given), theorem)


@rule("instance")
def instantiate(theorem: Theorem, values: tuple[tuple[sp.Symbol, Any], ...]) -> Conclusion:
    """Put expressions in the place of free indices, everywhere at once.

    Raises
    ------
    ProofError
        If a bound index of an assumption would capture one.
    """
    change = {k: position(v) for k, v in values}
    if not all(map(is_index, change)):
        raise ProofError(f"instantiate: {values}; expected pairs of an index and an expression.")
    new = theorem.statement.at(change)
    assumptions = frozenset(a.at(change) for a in theorem.assumptions)
    avoid = frozenset(change).union(*map(free, change.values()))
    definitions = frozenset(
        d.mapped(lambda x: substitute(x, change), avoid) if d.free & change.keys() else d
        for d in theorem.definitions
    )
    return Conclusion(statement(new.left, new.relation, new.right, *new.given), assumptions, definitions)


@rule("with this letter")
def specialise(theorem: Theorem, letter: Letter, at: sp.Symbol, body: sp.Expr) -> Conclusion:
    """Put ``body``, as a function of ``at``, for a letter that was arbitrary.

    Where no mean occurs, a theorem holds for each outcome alone, and the value of a random body is a value
    as any other. Where one does, a letter that is not random has one value for all outcomes, and so must
    the body; and an independent letter is independent of all others. A derived letter that has no
    definition is any function of the outcome, as every body is.

    Raises
    ------
    ProofError
        If the letter is defined, the body has other free indices, another shape or (for a letter that
        stands for nonnegative numbers) possibly a negative value; or if the theorem speaks of a mean, and
        the letter is independent, or the body is random and the letter is not.
    """
    if letter.random != "derived" and (letter.random or is_random(body)) and speaks_of_means(theorem):
        raise ProofError(f"specialise: {body} cannot stand for {letter.name} in a theorem about means.")
    if any(d.letter == letter for d in theorem.definitions):
        raise ProofError(f"specialise: {letter.name} is defined, not arbitrary.")
    if not is_index(at) or not free(body) <= {at}:
        raise ProofError(f"specialise: {body} has free indices other than {at}; they could be captured.")
    of = shape(letter(at))
    if common_shape(body, letter(at)) != of or (letter.nonnegative and not nonnegative(body)):
        raise ProofError(f"specialise: {body} cannot stand for {letter}.")

    def change(x: sp.Expr) -> sp.Expr:
        return replaced_letter(x, letter, at, body)

    s = theorem.statement.mapped(change)
    assumptions = frozenset(a.mapped(change) for a in theorem.assumptions)
    definitions = frozenset(d.mapped(change, frozenset()) for d in theorem.definitions)
    return Conclusion(statement(s.left, s.relation, s.right, *s.given), assumptions, definitions)


def speaks_of_means(theorem: Theorem) -> bool:
    """Whether a mean occurs in what the theorem says, assumes or defines."""
    sides = [x for s in (theorem.statement, *theorem.assumptions) for x in (s.left, s.right)]
    bodies = [case.body for d in theorem.definitions for case in d.cases]
    return any(x.has(Mean) for x in (*sides, *bodies))


@rule("with this size")
def resize(theorem: Theorem, word: str, new: str) -> Conclusion:
    """Another size word, or ``"1"``, for a size that was arbitrary.

    Raises
    ------
    ProofError
        If the word is ``"1"``, which is no arbitrary size.
    """
    if word in ("", "1") or not new or not isinstance(new, str):
        raise ProofError(f"resize: word={word!r}, new={new!r}; expected an arbitrary size and another word.")

    def change(x: sp.Expr) -> sp.Expr:
        return resized(x, word, new)

    s = theorem.statement.mapped(change)
    assumptions = frozenset(a.mapped(change) for a in theorem.assumptions)
    definitions = frozenset(d.resized(word, new) for d in theorem.definitions)
    return Conclusion(statement(s.left, s.relation, s.right, *s.given), assumptions, definitions)


@rule("under more conditions")
def weaken(theorem: Theorem, given: tuple[sp.Expr, ...]) -> Conclusion:
    """The same under other conditions, from which the theorem's own follow.

    Raises
    ------
    ProofError
        If they do not follow.
    """
    s = theorem.statement
    missing = [c for c in s.given if not implies(given, c)]
    if missing:
        raise ProofError(f"weaken: {missing[0]} ≥ 0 does not follow from {given}.")
    return conclusion(statement(s.left, s.relation, s.right, *given), theorem)


@rule("by definition")
def unfold(definition: Definition, at: Any, given: tuple[sp.Expr, ...]) -> Conclusion:
    """``letter(at) = body`` by the case of the definition whose conditions are given.

    Raises
    ------
    ProofError
        If the conditions of no case follow from what is given.
    """
    values = {definition.at: position(at)}
    for case in definition.cases:
        if all(implies(given, substitute(c, values)) for c in case.given):
            left = definition.letter(at)
            return Conclusion(
                equation(left, substitute(case.body, values), *given),
                definitions=frozenset({definition}),
            )
    raise ProofError(f"unfold: no case of {definition.letter.name} applies to {at} under {given}.")
