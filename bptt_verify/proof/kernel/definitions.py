"""Definitions by recursion over the steps, and why they cannot contradict anything.

A definition is a few cases, each a condition on the index and a body. It is accepted only if such a
family exists, whatever the other letters are: the cases exclude each other, a body refers to the defined
letter only closer to where the recursion starts, and definitions do not go round in circles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations

import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.kernel.conditions import implies, impossible
from bptt_verify.proof.kernel.terms import (
    Letter,
    common_shape,
    entries,
    free,
    fresh,
    position,
    resized,
    shape,
    substitute,
)


@dataclass(frozen=True)
class Case:
    """``letter(at) = body`` wherever all conditions are at least 0."""

    given: tuple[sp.Expr, ...]
    body: sp.Expr


@dataclass(frozen=True)
class Definition:
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
        step before, or has another shape.
    """

    letter: Letter
    at: sp.Symbol
    cases: tuple[Case, ...]
    onward: int = 1
    limit: sp.Expr = sp.S.Zero

    def __post_init__(self) -> None:
        if not isinstance(self.letter, Letter) or not isinstance(self.cases, tuple):
            raise ProofError(f"definition: letter={self.letter!r}, cases={self.cases!r:.60}; see Definition.")
        if self.onward not in (1, -1) or self.at in free(self.limit):
            raise ProofError(f"definition of {self.letter.name}: onward={self.onward}, limit={self.limit}.")
        if self.letter.nonnegative:
            raise ProofError(f"definition of {self.letter.name}: the letter is assumed to be nonnegative.")
        own = shape(self.letter(self.at))
        for case in self.cases:
            if common_shape(case.body, self.letter(self.at)) != own:
                raise ProofError(
                    f"definition of {self.letter.name}: {case.body} has shape {shape(case.body)}."
                )
            self._check_recursion(case)
        for a, b in combinations(self.cases, 2):
            if not impossible((*a.given, *b.given)):
                raise ProofError(
                    f"definition of {self.letter.name}: two cases overlap: {a.given}, {b.given}."
                )

    def _check_recursion(self, case: Case) -> None:
        for entry, around in entries(case.body, self.free | {self.at}):
            if entry.letter != self.letter:
                continue
            where = (*case.given, *around)
            steps = self.onward * (self.at - entry.at[0]) - 1, self.onward * (entry.at[0] - self.limit)
            if not all(implies(where, s) for s in steps):
                raise ProofError(
                    f"definition of {self.letter.name}: the body for {self.at} refers to {entry}; expected "
                    f"an index from {self.limit} on, {'before' if self.onward == 1 else 'after'} {self.at}."
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
            Case(
                tuple(position(change(substitute(g, names))) for g in c.given),
                change(substitute(c.body, names)),
            )
            for c in self.cases
        )
        return Definition(self.letter, own, cases, self.onward, position(change(self.limit)))

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
