"""Where a term occurs in another one, and what is known there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import sympy as sp

from bptt_verify.proof.kernel.binding import equal, free, rename
from bptt_verify.proof.kernel.signs import nonnegative
from bptt_verify.proof.kernel.terms import Entry, Ordered, Total, factors


@dataclass(frozen=True)
class Context:
    """What is known at a place inside a term.

    Attributes
    ----------
    given : tuple of sympy.Expr
        What the limits around the place say of the bound indices; each is at least 0.
    bound : frozenset of sympy.Symbol
        The indices bound around the place.
    increasing : bool
        A larger value here cannot make the whole smaller.
    """

    given: tuple[sp.Expr, ...] = ()
    bound: frozenset[sp.Symbol] = frozenset()
    increasing: bool = True


Usable = Callable[[Context], bool]


def replaced(
    term: sp.Expr, old: sp.Expr, new: sp.Expr, usable: Usable, avoid: frozenset[sp.Symbol]
) -> tuple[sp.Expr, int]:
    """``new`` for ``old`` wherever it occurs and may be replaced; and at how many places.

    Bound indices of the term are first made different from each other and from ``avoid``, the indices
    that are free around it, so that what is known of the one is never taken for the other.
    """
    walk = _Walk(old, new, usable, avoid | free(term))
    return walk.through(term, Context()), walk.places


class _Walk:
    def __init__(self, old: sp.Expr, new: sp.Expr, usable: Usable, avoid: frozenset[sp.Symbol]) -> None:
        self.old, self.new, self.usable, self.avoid, self.places = old, new, usable, avoid, 0

    def through(self, term: sp.Expr, context: Context) -> sp.Expr:
        if equal(term, self.old) and self.usable(context):
            self.places += 1
            return self.new
        rest = self._some_terms(term, context) if term.is_Add else self._some_factors(term, context)
        if rest is not None:
            self.places += 1
            return rest
        if isinstance(term, Entry) or not term.args:
            return term
        if isinstance(term, Total | Ordered):
            term = rename(term, self.avoid | context.bound)
            inside = Context(
                (*context.given, *term.range),
                context.bound | {term.bound},
                context.increasing and isinstance(term, Total),
            )
            return term.func(self.through(term.body, inside), term.bound, term.low, term.high)
        return term.func(*(self.through(a, _beside(term, i, context)) for i, a in enumerate(term.args)))

    def _some_factors(self, term: sp.Expr, context: Context) -> sp.Expr | None:
        """Neighbouring factors of a product."""
        if not (term.is_Mul and self.old.is_Mul and self.usable(_inside(term, context))):
            return None
        scalar, ordered = factors(term)
        commuting, wanted = factors(self.old)
        left = _without(sp.Mul.make_args(scalar), [f for f in sp.Mul.make_args(commuting) if f != 1])
        if left is None:
            return None
        for i in range(len(ordered) - len(wanted) + 1):
            if all(equal(a, b) for a, b in zip(ordered[i:], wanted, strict=False)):
                return sp.Mul(*left, *ordered[:i], self.new, *ordered[i + len(wanted) :])
        return None

    def _some_terms(self, term: sp.Add, context: Context) -> sp.Expr | None:
        """Some terms of a sum."""
        if not (self.old.is_Add and self.usable(context)):
            return None
        left = _without(term.args, self.old.args)
        return None if left is None else sp.Add(*left, self.new)


def _inside(term: sp.Mul, context: Context) -> Context:
    """For some factors of a product: the rest of it may change the sign."""
    return replace(context, increasing=context.increasing and all(map(nonnegative, term.args)))


def _beside(term: sp.Expr, i: int, context: Context) -> Context:
    """For the argument number i: a product grows with it if the others are not negative."""
    if isinstance(term, sp.Add):
        return context
    others = term.args[:i] + term.args[i + 1 :]
    kept = isinstance(term, sp.Mul) and all(map(nonnegative, others))
    return replace(context, increasing=context.increasing and kept)


def _without(terms: Iterable[sp.Expr], some: Iterable[sp.Expr]) -> list[sp.Expr] | None:
    """The terms but some of them; None if those are not all there."""
    terms = list(terms)
    for s in some:
        at = next((i for i, t in enumerate(terms) if equal(t, s)), None)
        if at is None:
            return None
        del terms[at]
    return terms
