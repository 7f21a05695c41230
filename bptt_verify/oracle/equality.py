"""Decide which of many pairs of expressions are equal, within a time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from bptt_verify.oracle.algebra import OutOfTimeError, Polynomials, Residues, UnluckyError, Walk

RESIDUE_POINTS = 2  # how many random points all have to agree
_DRAWS = 200  # a root of a root may not exist at a random point

Pair = tuple[sp.Expr, sp.Expr]
Definitions = Mapping[sp.Expr, sp.Expr]


@dataclass(frozen=True)
class Decision:
    """Positions of the pairs, by what is known of them.

    Attributes
    ----------
    polynomial : tuple of int
        Equal as polynomials.
    rational : tuple of int
        Equal at random points modulo a large prime.
    different : tuple of int
        Different as rational functions of opaque functions (the true functions might still agree).
    undecided : tuple of int
    """

    polynomial: tuple[int, ...]
    rational: tuple[int, ...]
    different: tuple[int, ...]
    undecided: tuple[int, ...]

    @property
    def all_equal(self) -> bool:
        """Whether nothing is different or undecided."""
        return not self.different and not self.undecided

    def numbers(self) -> dict[str, float]:
        """How many are equal in which sense."""
        return {"polynomial": float(len(self.polynomial)), "residues": float(len(self.rational))}

    def text(self) -> str:
        """``equal as polynomials``, or what else has been decided and how."""
        residues = f"equal at {RESIDUE_POINTS} random points modulo 2^127 - 1"
        if not self.rational:
            return "equal as polynomials"
        if not self.polynomial:
            return residues
        return f"equal ({len(self.polynomial)} as polynomials, {len(self.rational)} {residues[6:]})"


NOTHING = Decision((), (), (), ())


def decide(pairs: Sequence[Pair], definitions: Definitions, deadline: float) -> Decision:
    """Compare by polynomial normal form; what that leaves open, modulo a large prime.

    Parameters
    ----------
    pairs : sequence of (expression, expression)
    definitions : mapping of letter to expression
    deadline : float
        On the clock of ``time.monotonic``; half of what is left goes to polynomials.
    """
    now = time.monotonic()
    walk = Walk(Polynomials(now + max(0.0, deadline - now) / 2), definitions)
    equal = {k for k, pair in enumerate(pairs) if _same_polynomial(walk, pair)}
    rest = [k for k in range(len(pairs)) if k not in equal]
    rational, different = _residues(pairs, definitions, rest, deadline)
    known = equal | set(rational) | set(different)
    undecided = tuple(k for k in rest if k not in known)
    return Decision(tuple(sorted(equal)), tuple(rational), tuple(different), undecided)


def _same_polynomial(walk: Walk, pair: Pair) -> bool:
    try:
        return bool(walk(pair[0]) == walk(pair[1]))
    except OutOfTimeError:
        return False


def _residues(
    pairs: Sequence[Pair], definitions: Definitions, positions: list[int], deadline: float
) -> tuple[list[int], list[int]]:
    same = list(positions)
    different: list[int] = []
    for point in range(RESIDUE_POINTS if positions else 0):
        agree = _at_one_point(pairs, definitions, same, f"point {point}", deadline)
        if agree is None:
            return [], different
        different += [k for k in same if not agree[k]]
        same = [k for k in same if agree[k]]
    return same, different


def _at_one_point(
    pairs: Sequence[Pair], definitions: Definitions, positions: list[int], seed: str, deadline: float
) -> dict[int, bool] | None:
    for draw in range(_DRAWS):
        walk = Walk(Residues(f"{seed}, draw {draw}"), definitions)
        try:
            return {k: walk(pairs[k][0]) == walk(pairs[k][1]) for k in positions}
        except UnluckyError:
            if time.monotonic() > deadline:
                return None
    return None
