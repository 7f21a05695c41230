"""What a claim consists of, and how to look at its theorems with integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_lowercase

import numpy as np
import sympy as sp

from bptt_verify.proof.claims import examples
from bptt_verify.proof.evaluation import Draw, Model, Value, evaluated, integers, row_sum
from bptt_verify.proof.kernel import Theorem, instantiate, replay, speaks_of_means

MOST = 6  # the largest number of steps at which a theorem is evaluated
MOST_OF_MEANS = 4  # the same where means are added up over the outcomes of all gates

Chosen = Callable[[np.random.Generator], examples.Values]

_MADE_AGAIN: dict[Theorem, Theorem] = {}  # by `Part.check`; claims share premises


@dataclass(frozen=True)
class Part:
    """One theorem of a claim.

    Attributes
    ----------
    label : str
        How other proofs cite it: ``"T2c"``.
    words : str
        What it says.
    prove : callable
        Proves it, once; later calls return the same Theorem.
    chosen : callable or None
        For the exact evaluation: letters that cannot be arbitrary, since the theorem assumes something.
    fixed : mapping
        For the exact evaluation: indices that are fixed, for the same reason.
    norm : callable
        For the exact evaluation: the norm of matrices.
    """

    label: str
    words: str
    prove: Callable[[], Theorem]
    chosen: Chosen | None = None
    fixed: tuple[tuple[sp.Symbol, int], ...] = ()
    norm: Callable[[Value], Value] = row_sum

    @property
    def theorem(self) -> Theorem:
        """The theorem itself."""
        return self.prove()

    @property
    def proved(self) -> bool:
        """Whether the theorem may have been made before; one that was not is cited in no proof."""
        asked = getattr(self.prove, "cache_info", None)
        return asked is None or asked().currsize > 0

    @property
    def most(self) -> int:
        """The largest number of steps at which it is evaluated."""
        return MOST_OF_MEANS if speaks_of_means(self.theorem) else MOST

    def check(self, seed: int = 0) -> int:
        """Make the theorem again by its rules, and evaluate it exactly with random integer matrices.

        What was made again by an earlier check, as premises that theorems share, is not made a third time.

        Returns
        -------
        int
            At how many choices of its indices (up to ``most``) it was evaluated.

        Raises
        ------
        ProofError
            If the rules do not lead to it, or it is false at one of them.
        """
        theorem = replay(self.theorem, _MADE_AGAIN)
        rng = np.random.default_rng(seed)
        draw = integers(rng)
        draw = _with(self.chosen(rng), draw) if self.chosen else draw
        model = Model(examples.SIZES, draw, tuple(theorem.definitions), self.norm)
        return evaluated(instantiate(theorem, self.fixed) if self.fixed else theorem, model, self.most)


def _with(chosen: examples.Values, draw: Draw) -> Draw:
    def both(letter, at, shape):  # type: ignore[no-untyped-def]
        return chosen[letter.name](at) if letter.name in chosen else draw(letter, at, shape)

    return both


@dataclass(frozen=True)
class GeneralClaim:
    """A claim of the specification, for every recurrence.

    Attributes
    ----------
    id : str
    title : str
    parts : tuple of Part
    """

    id: str
    title: str
    parts: tuple[Part, ...]

    @property
    def most(self) -> int:
        """The largest number of steps at which all its theorems are evaluated."""
        return min(p.most for p in self.parts)

    def part(self, name: str) -> Part:
        """The part that a function of this name proves."""
        return next(p for p in self.parts if p.prove.__name__ == name)


def claim(number: str, title: str, *parts: tuple[object, ...]) -> GeneralClaim:
    """A claim with its parts labelled in order; each is what a Part is made of but its label."""
    letters = (*ascii_lowercase, *(f"a{x}" for x in ascii_lowercase)) if len(parts) > 1 else ("",)
    return GeneralClaim(
        number,
        title,
        tuple(Part(number + a, *p) for a, p in zip(letters, parts, strict=False)),  # type: ignore[arg-type]
    )
