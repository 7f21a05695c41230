"""A claim for one recurrence, and how each part of it is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bptt_verify.proof import GeneralClaim, Theorem
from bptt_verify.render import Block, Formula, Prose, Table
from bptt_verify.verdict import Knowledge


@dataclass(frozen=True)
class Known:
    """How one part of a claim is known.

    Attributes
    ----------
    what : str
    word : {"proved", "checked", "tested"}
    how : str
        For which T and sizes, by what.
    """

    what: str
    word: Knowledge
    how: str


@dataclass(frozen=True)
class Claim:
    """A claim instantiated for one recurrence.

    Attributes
    ----------
    id : str
        Such as ``"T2"``.
    general : GeneralClaim
        The theorems for every recurrence; ``general.parts[0].theorem`` is the first.
    applies : bool
        Whether the recurrence is of the kind that the claim speaks of.
    statement : str
    parts : mapping of str to tuple of Formula
        What the claim is for this recurrence. T1: ``"jacobian"`` (J_t), ``"partials"`` (A_t), ``"sums"``;
        T2: ``"direct"`` (c_t), ``"recursion"``, ``"gradients"``; T3: ``"powers"``; T4: ``"bound"``.
    known : tuple of Known
        How each part is known.
    blocks : tuple of Block
        All of it, to read.
    """

    id: str
    general: GeneralClaim
    applies: bool
    statement: str
    parts: Mapping[str, tuple[Formula, ...]]
    known: tuple[Known, ...]
    blocks: tuple[Block, ...]

    @property
    def theorems(self) -> tuple[Theorem, ...]:
        """The general theorems."""
        return tuple(p.theorem for p in self.general.parts)

    @property
    def formulas(self) -> tuple[Formula, ...]:
        """The formulas of this recurrence."""
        return tuple(f for part in self.parts.values() for f in part)


class Claims(Mapping[str, Claim]):
    """Claims by their names, each made when it is first asked for.

    Parameters
    ----------
    makers : mapping of str to callable
        What makes each claim.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Claim]]) -> None:
        self._makers, self._made = dict(makers), dict[str, Claim]()

    def __getitem__(self, name: str) -> Claim:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def __repr__(self) -> str:
        return f"Claims({', '.join(self)})"


def known_table(claims: Mapping[str, Claim]) -> Table:
    """How every part of every claim is known."""
    rows = [
        (Prose.of(c.id), Prose.of(k.what), Prose.of(k.word), Prose.of(k.how))
        for c in claims.values()
        if c.applies
        for k in c.known
    ]
    return Table(("claim", "what", "how it is known", "for what, and by what"), tuple(rows))
