"""Definitions by recursion over the steps, and why they cannot contradict anything.

A definition is a few cases, each a condition on the index and a body. It is accepted only if such a
family exists, whatever the other letters are: the cases exclude each other, a body refers to the defined
letter only closer to where the recursion starts, and definitions do not go round in circles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Any, NamedTuple

import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.kernel.binding import entries, free, fresh, is_random, resized, substitute
from bptt_verify.proof.kernel.conditions import implies, impossible
from bptt_verify.proof.kernel.indices import is_index, position
from bptt_verify.proof.kernel.terms import Entry, Letter, common_shape, expression, shape

if "Definition" in globals():
    raise ProofError("definitions: the modules of the kernel cannot be reloaded. Start Python again.")


class Case(NamedTuple):
    """``letter(at) = body`` wherever all conditions are at least 0."""

    given: tuple[sp.Expr, ...]
    body: sp.Expr


class _Definition(NamedTuple):
    letter: Letter
    at: sp.Symbol
    cases: tuple[Case, ...]
    onward: int
    limit: sp.Expr


class Definition(_Definition):
    """``letter(at) = body``, by cases.

    Attributes
    ----------
    letter : Letter
    at : sympy.Symbol
    cases : tuple of Case
    onward : {1, -1}
        1: the recursion goes from earlier to later steps; -1: from later to earlier ones.
    limit : sympy.Expr
        Where it starts: a body does not refer to steps before it (after it, for -1).

    Raises
    ------
    ProofError
        If the cases overlap, or a body refers to the letter elsewhere than between the start and the
        step before, has another shape, or is random and the letter is not derived.
    """

    __slots__ = ()

    def __new__(
        cls, letter: Letter, at: sp.Symbol, cases: tuple[Case, ...], onward: int = 1, limit: Any = sp.S.Zero
    ) -> Definition:
        if type(letter) is not Letter or letter.nonnegative or letter.random == "independent":
            raise ProofError(
                f"definition: letter={letter!r:.80}; expected a Letter, not nonnegative and not independent."
            )
        if not is_index(at) or onward not in (1, -1) or at in free(position(limit)):
            raise ProofError(f"definition of {letter.name}: at={at}, onward={onward}, limit={limit}.")
        if type(cases) is not tuple or any(type(c) is not Case or type(c.given) is not tuple for c in cases):
            raise ProofError(f"definition of {letter.name}: cases={cases!r:.80}; expected a tuple of Case.")
        parts = tuple(Case(tuple(map(position, c.given)), expression(c.body)) for c in cases)
        new = super().__new__(cls, letter, at, parts, onward, position(limit))
        for case in parts:
            new._check_case(case)
        for a, b in combinations(parts, 2):
            if not impossible((*a.given, *b.given)):
                raise ProofError(f"definition of {letter.name}: two cases overlap: {a.given}, {b.given}.")
        return new

    def _check_case(self, case: Case) -> None:
        own = self.letter(self.at)
        if common_shape(case.body, own) != shape(own):
            raise ProofError(f"definition of {self.letter.name}: {case.body} has shape {shape(case.body)}.")
        if is_random(case.body) and not self.letter.random:
            raise ProofError(f"definition of {self.letter.name}: {case.body} is random, the letter is not.")
        for entry, around in entries(case.body, self.free | {self.at}):
            if entry.letter == self.letter:
                self._check_recursion(entry, (*case.given, *around))

    def _check_recursion(self, entry: Entry, where: tuple[sp.Expr, ...]) -> None:
        """The recursion ends: it goes on towards the limit, and not beyond."""
        before = [self.onward * (self.at - u) - 1 for u in entry.at]
        inside = [self.onward * (u - self.limit) for u in entry.at]
        if len(entry.at) != 1 or not all(implies(where, s) for s in (*before, *inside)):
            raise ProofError(
                f"definition of {self.letter.name}: the body for {self.at} refers to {entry}; expected "
                f"one index, from {self.limit} on, {'before' if self.onward == 1 else 'after'} {self.at}."
            )

    @property
    def free(self) -> frozenset[sp.Symbol]:
        """Indices it depends on besides its own."""
        parts = [self.limit, *(c.body for c in self.cases), *(g for c in self.cases for g in c.given)]
        return frozenset().union(*map(free, parts)) - {self.at}

    def mapped(self, change: Callable[[sp.Expr], sp.Expr], avoid: frozenset[sp.Symbol]) -> Definition:
        """With a function applied to every part; its own index is first made none of ``avoid``."""
        own = fresh(self.at, avoid | self.free)
        names = {self.at: own}
        cases = tuple(
            Case(tuple(change(substitute(g, names)) for g in c.given), change(substitute(c.body, names)))
            for c in self.cases
        )
        return Definition(self.letter, own, cases, self.onward, change(self.limit))

    def resized(self, word: str, new: str) -> Definition:
        """With another size word in all shapes."""
        cases = tuple(Case(c.given, resized(c.body, word, new)) for c in self.cases)
        return Definition(self.letter.resized(word, new), self.at, cases, self.onward, self.limit)

    @property
    def uses(self) -> frozenset[Letter]:
        """The other letters in its bodies."""
        return frozenset(e.letter for c in self.cases for e, _ in entries(c.body)) - {self.letter}


def check_definitions(definitions: Iterable[Definition]) -> None:
    """Refuse two definitions of one letter, and circles.

    Raises
    ------
    ProofError
        If there are any.
    """
    uses: dict[str, set[str]] = {}
    for d in definitions:
        if d.letter.name in uses:
            raise ProofError(f"definitions: {d.letter.name} is defined twice, in different ways.")
        uses[d.letter.name] = {letter.name for letter in d.uses}
    while leaves := {k for k, v in uses.items() if not v & uses.keys()}:
        uses = {k: v for k, v in uses.items() if k not in leaves}
    if uses:
        raise ProofError(f"definitions: {', '.join(sorted(uses))} are defined by each other.")
