"""Calculations: chains of rewriting steps, each made by a rule of the kernel.

Nothing here is trusted. A Calculation looks for the place where a rule applies and lets the kernel make
the theorem; what it cannot find or the kernel refuses, it raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.kernel import (
    Definition,
    Entry,
    Ordered,
    Theorem,
    Total,
    instantiate,
    rewrite,
    ring,
    symmetric,
    transitive,
    unfold,
)

Given = tuple[sp.Expr, ...]
Rule = Callable[..., Theorem]


class Calculation:
    """A chain ``start = … = term``, or with ≤ among the links.

    Parameters
    ----------
    start : sympy.Expr
    *given : sympy.Expr
        Conditions, each at least 0, under which the whole chain holds.
    """

    def __init__(self, start: sp.Expr, *given: sp.Expr) -> None:
        self.term, self.given = start, given
        self.links: list[Theorem] = []

    def rewrite(self, theorem: Theorem) -> Calculation:
        """Replace the theorem's left side by its right side."""
        return self._add(rewrite(self.term, theorem, self.given))

    def use(self, theorem: Theorem, values: dict[sp.Symbol, Any] | None = None) -> Calculation:
        """Rewrite with an instance of a theorem."""
        return self.rewrite(instantiate(theorem, tuple(values.items())) if values else theorem)

    def back(self, theorem: Theorem) -> Calculation:
        """Replace the theorem's right side by its left side."""
        return self.rewrite(symmetric(theorem))

    def by(self, rule: Rule, *arguments: Any, where: Callable[[sp.Expr], bool] | None = None) -> Calculation:
        """Apply a rule at the first place, from outside in, where it applies."""
        reasons = []
        for part, context in places(self.term):
            if where is not None and not where(part):
                continue
            try:
                theorem = rule(part, *arguments, (*self.given, *context))
                return self.rewrite(theorem)
            except ProofError as e:
                reasons.append(str(e))
        telling = [r for r in reasons if "another form" not in r] or reasons
        raise ProofError(f"calculation: the rule applies nowhere in {self.term!s:.300}: {telling[-1:]}.")

    def unfold(self, definition: Definition, at: Any = None) -> Calculation:
        """Replace a defined letter by its definition, at the first place or at the given index."""

        def rule(part: sp.Expr, given: Given) -> Theorem:
            if not isinstance(part, Entry) or part.letter != definition.letter:
                raise ProofError("unfold: another term.")
            if at is not None and part.at[0] != sp.sympify(at):
                raise ProofError("unfold: another index.")
            return unfold(definition, part.at[0], given)

        return self.by(rule)

    def to(self, term: sp.Expr) -> Calculation:
        """The same by the laws of a ring."""
        return self._add(ring(self.term, term, self.given))

    @property
    def theorem(self) -> Theorem:
        """The whole chain as one theorem."""
        if not self.links:
            raise ProofError("calculation: no step was made.")
        whole = self.links[0]
        for link in self.links[1:]:
            whole = transitive(whole, link)
        return whole

    def _add(self, link: Theorem) -> Calculation:
        self.links.append(link)
        self.term = link.statement.right
        return self


def places(term: sp.Expr, context: Given = ()) -> Iterator[tuple[sp.Expr, Given]]:
    """All parts of a term, from outside in, with what is known of the indices bound around them."""
    yield term, context
    if isinstance(term, Total | Ordered):
        yield from places(term.body, (*context, *term.range))
    elif not isinstance(term, Entry):
        for a in term.args:
            yield from places(a, context)
