"""Which misprint a wrong formula has: the one change after which it is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from bptt_verify.analysis.claims import Claim, compared, work_of
from bptt_verify.analysis.conventions import Convention
from bptt_verify.analysis.edits import Edit, Place
from bptt_verify.analysis.interpretations import Interpretation
from bptt_verify.analysis.meaning import Cell
from bptt_verify.analysis.points import Worlds
from bptt_verify.analysis.replacements import RULES
from bptt_verify.errors import FormulaError
from bptt_verify.notation.tree import Call
from bptt_verify.notation.vocabulary import FUNCTIONS
from bptt_verify.notation.walking import walk

MOST = 1_500  # changes that are tried
WORK = 400_000  # nodes visited for those of one interpretation, roughly


@dataclass(frozen=True)
class Misprint:
    """The change that makes a formula right.

    Attributes
    ----------
    name : str
        Such as ``"missing transpose"``.
    sentence : str
        What to write instead.
    """

    name: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.name}: {self.sentence}"


def misprint(wrong: Sequence[Interpretation], worlds: Worlds) -> Misprint | None:
    """The first change after which one of the interpretations is right.

    Parameters
    ----------
    wrong : sequence of Interpretation
        Of one claim, the most sensible one first; a few are enough.
    worlds : Worlds
    """
    foreign = any(
        isinstance(t, Call) and t.function in FUNCTIONS and t.function not in worlds.cell.functions
        for said in wrong
        for _, t in walk(said.claim.right)
    )
    exact = not foreign and next(worlds.exact(), None) is not None
    still = replace(worlds, still=True, made={})
    if any(holds(said.claim, said.convention, still, exact) for said in wrong):
        return Misprint("initial state", "it is right only if the initial state is 0")
    for said in wrong:
        for edit in islice(_edits(said.claim, worlds.cell), _affordable(said, worlds, exact)):
            try:
                if holds(replace(said.claim, right=edit.tree), said.convention, worlds, exact):
                    return Misprint(edit.name, edit.sentence)
            except FormulaError:  # a change that takes too much work
                continue
    return None


def _affordable(said: Interpretation, worlds: Worlds, exact: bool) -> int:
    """How many changes may be tried: fewer if one evaluation takes long."""
    world = next(worlds.exact(said.claim.least_steps) if exact else worlds.real(said.claim.least_steps))
    return min(MOST, WORK // max(1, work_of(said.claim, world, said.convention)))


def _edits(claim: Claim, cell: Cell) -> Iterator[Edit]:
    for rule in RULES:
        yield from rule(Place(claim.right, cell, frozenset(claim.letters)))


def holds(claim: Claim, convention: Convention, worlds: Worlds, exact: bool) -> bool:
    """Whether a claim holds in every world."""
    seen = False
    found = worlds.exact(claim.least_steps) if exact else worlds.real(claim.least_steps)
    for world in sorted(found, key=lambda w: (sum(w.point.sizes.values()), abs(w.steps - 3))):
        kind = compared(claim, world, convention).kind
        if kind not in ("equal", "nothing"):
            return False
        seen = seen or kind == "equal"
    return seen
