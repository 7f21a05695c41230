"""Free and bound indices: substitution without capture, and equality up to the names of bound indices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.kernel.indices import RESERVED, index
from bptt_verify.proof.kernel.terms import Binder, Entry, Letter, Mean, Ordered, expression


def free(term: sp.Basic) -> frozenset[sp.Symbol]:
    """The indices that are not bound."""
    if isinstance(term, Binder):
        return (free(term.body) - {term.bound}) | free(term.low) | free(term.high)
    if isinstance(term, sp.Symbol):
        return frozenset({term})
    return frozenset().union(*map(free, term.at if isinstance(term, Entry) else term.args))


def entries(
    term: sp.Basic, avoid: frozenset[sp.Symbol] = frozenset(), around: tuple[sp.Expr, ...] = ()
) -> Iterator[tuple[Entry, tuple[sp.Expr, ...]]]:
    """Every member of a family in the term, with what the binders around it say of their indices.

    Bound indices are first made different from each other and from ``avoid``.
    """
    if isinstance(term, Entry):
        yield term, around
    elif isinstance(term, Binder):
        term = rename(term, avoid)
        yield from entries(term.body, avoid | {term.bound}, (*around, *term.range))
    else:
        for a in term.args:
            yield from entries(a, avoid, around)


def chances(
    term: sp.Basic, avoid: frozenset[sp.Symbol] = frozenset(), around: tuple[sp.Expr, ...] = ()
) -> Iterator[tuple[Entry, tuple[sp.Expr, ...]]]:
    """The ``entries`` of random letters that are not under a Mean: what the value depends on by chance."""
    if isinstance(term, Mean):
        return
    if isinstance(term, Entry):
        if term.letter.random:
            yield term, around
    elif isinstance(term, Binder):
        term = rename(term, avoid)
        yield from chances(term.body, avoid | {term.bound}, (*around, *term.range))
    else:
        for a in term.args:
            yield from chances(a, avoid, around)


def is_random(term: sp.Basic) -> bool:
    """Whether a random letter occurs in it, other than under a Mean."""
    return any(True for _ in chances(term))


def substitute(term: sp.Expr, values: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
    """Put expressions in the place of free indices; a bound index that would capture one is renamed."""
    values = {k: v for k, v in values.items() if k != v}
    return _substituted(term, values) if values else term


def _substituted(term: sp.Expr, values: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
    if isinstance(term, sp.Symbol):
        return values.get(term, term)
    if isinstance(term, Binder):
        inside = free(term)
        values = {k: v for k, v in values.items() if k in inside}
        if not values:
            return term
        term = rename(term, frozenset().union(*map(free, values.values())))
        body, low, high = (_substituted(x, values) for x in (term.body, term.low, term.high))
        return term.func(body, term.bound, low, high)
    if isinstance(term, Entry):
        at = tuple(_substituted(a, values) for a in term.at)
        return term if at == term.at else term.letter(*at)
    parts = tuple(_substituted(a, values) for a in term.args)
    return term if parts == term.args else term.func(*parts)


def replaced_letter(term: sp.Expr, letter: Letter, at: sp.Symbol, body: sp.Expr) -> sp.Expr:
    """The term with ``body``, a function of ``at``, for every member of the letter's family."""
    if isinstance(term, Entry) and term.letter == letter:
        if len(term.at) > 1 or (not term.at and at in free(body)):
            raise ProofError(f"letter: {term} has {len(term.at)} indices; {body} is a function of one.")
        return substitute(body, {at: term.at[0]}) if term.at else body
    if isinstance(term, Entry) or not term.args:
        return term
    if isinstance(term, Binder):
        inner = replaced_letter(term.body, letter, at, body)
        return term.func(inner, term.bound, term.low, term.high)
    return term.func(*(replaced_letter(a, letter, at, body) for a in term.args))


def resized(term: sp.Expr, word: str, new: str) -> sp.Expr:
    """The term with another size word in the shapes of its letters."""
    if isinstance(term, Entry):
        return term.letter.resized(word, new)(*term.at)
    return term.func(*(resized(a, word, new) for a in term.args)) if term.args else term


def power(base: sp.Expr, exponent: Any) -> Ordered:
    """``base`` multiplied with itself ``exponent`` times (1 if that is not positive)."""
    used = free(base) | free(expression(exponent))
    return Ordered(base, fresh(index("k"), used), 1, exponent)


def rename(term: Binder, avoid: frozenset[sp.Symbol]) -> Binder:
    """The same binder with a bound index that is not one of ``avoid``."""
    if term.bound not in avoid:
        return term
    new = fresh(term.bound, avoid | free(term.body) | free(term.low) | free(term.high))
    renamed: Binder = term.func(substitute(term.body, {term.bound: new}), new, term.low, term.high)
    return renamed


def fresh(wish: sp.Symbol, avoid: frozenset[sp.Symbol]) -> sp.Symbol:
    """An index that is not one of ``avoid``: the wished one, if it can be."""
    if wish not in avoid:
        return wish
    return next(k for k in map(index, _names(wish.name)) if k not in avoid)


def _names(stem: str) -> Iterator[str]:
    yield from (c for c in "ijklsur" if c != stem)
    number = 1
    while True:
        yield f"{stem}{number}"
        number += 1


def canonical(term: sp.Expr, depth: int = 0) -> sp.Expr:
    """The term with its bound indices renamed by nesting depth, so that equal means equal."""
    if isinstance(term, Binder):
        inner = substitute(term.body, {term.bound: standard(depth)})
        return term.func(canonical(inner, depth + 1), standard(depth), term.low, term.high)
    if isinstance(term, Entry) or not term.args:
        return term
    return term.func(*(canonical(a, depth) for a in term.args))


def standard(depth: int) -> sp.Symbol:
    """The bound index at a depth of nesting. No term of a theorem has an index with such a name."""
    return index(f"{RESERVED}{depth}")


def equal(a: sp.Expr, b: sp.Expr) -> bool:
    """Equal up to the names of bound indices.

    Raises
    ------
    ProofError
        If a free index has a name that is reserved for bound ones.
    """
    if any(k.name.startswith(RESERVED) for k in free(a) | free(b)):
        raise ProofError(f"equal: {a!s:.80}, {b!s:.80}; expected no index that starts with {RESERVED!r}.")
    own = (Binder, Entry)  # bringing these to the standard names leaves them what they are
    if isinstance(a, own) and isinstance(b, own) and type(a) is not type(b):
        return False
    return bool(a == b or canonical(a) == canonical(b))
