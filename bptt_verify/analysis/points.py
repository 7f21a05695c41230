"""Where formulas are looked at: small sizes, and random fractions or small integers for the arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

from bptt_verify.analysis.arithmetic import Arithmetic, Exact, InexactError, Real
from bptt_verify.analysis.meaning import Cell
from bptt_verify.analysis.worlds import Point, World
from bptt_verify.program import Array, size_of

Place = tuple[int, str]  # T, and how the sizes are chosen
EXACT: tuple[Place, ...] = (
    (3, "distinct"), (2, "distinct"), (1, "distinct"), (4, "states"), (1, "ones"), (2, "ones"), (3, "ones"),
    (4, "ones"), (5, "ones"),
)  # fmt: skip
REAL: tuple[Place, ...] = ((3, "distinct"), (4, "states"), (2, "ones"))
DRAWS = 4


def sizes_of(cell: Cell, how: str) -> dict[str, int]:
    """A length for every size word: all 1, 2 for the states, all 2, or all different."""
    states = list(dict.fromkeys(w for sizes in cell.rec.carried.values() for w in sizes))
    words = dict.fromkeys(size_of(x) for a in cell.program.arrays for x in a.labels)
    others = [w for w in words if w not in (*states, "T", "B") and not w.isdigit()]
    if how == "distinct":
        return {w: k for k, w in enumerate((*states, *others), start=2)}
    rest = 2 if how == "twos" else 1
    return {w: 1 if how == "ones" else 2 for w in states} | {w: rest for w in others}


def shape(array: Array, steps: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The shape of a declared array, class arrays without their last axis."""
    labels = array.labels[:-1] if array.index else array.labels
    lengths = {"T": steps, "B": 1, **sizes}
    return tuple(lengths[size_of(x)] for x in labels)


def given(cell: Cell) -> list[Array]:
    """The arrays that make a point."""
    return [a for a in cell.program.arrays if a.role in ("param", "input", "target", "initial")]


def point(cell: Cell, place: Place, draw: Any) -> Point:
    """A point; ``draw(array, shape)`` gives the entries."""
    steps, how = place
    sizes = sizes_of(cell, how)
    arrays = {}
    for k, a in enumerate(given(cell)):
        dims = shape(a, steps, sizes)
        if a.index:
            count = sizes[size_of(a.labels[-1])]
            arrays[a.name] = (np.arange(int(np.prod(dims, dtype=int))).reshape(dims) * (k + 1) + k) % count
        else:
            arrays[a.name] = draw(a, dims)
    return Point(steps, sizes, arrays)


def fractions_from(random: Random, denominator: int, largest: int, positive: bool = False) -> Any:
    """A draw of non-zero fractions with one denominator."""
    pool = [k for k in range(-largest, largest + 1) if k > 0 or (k < 0 and not positive)]

    def draw(array: Array, dims: tuple[int, ...]) -> Any:
        values = np.empty(dims, dtype=object)
        for index in np.ndindex(dims):
            values[index] = Fraction(random.choice(pool), denominator)
        return values

    return draw


@dataclass
class Worlds:
    """The worlds in which claims about one recurrence are compared, made when they are asked for.

    Attributes
    ----------
    cell : Cell
    reduction : {"mean", "sum"}
    seed : int
    still : bool
        Whether the initial state is 0.
    """

    cell: Cell
    reduction: str
    seed: int
    still: bool = False
    made: dict[tuple[str, Place], World | None] = field(default_factory=dict)

    def exact(self, least: int = 1) -> Iterator[World]:
        """Worlds of fractions, the most telling one first."""
        return self._several("exact", _raised(EXACT, least))

    def real(self, least: int = 1) -> Iterator[World]:
        """Worlds of 50 digits."""
        return self._several("real", _raised(REAL, least))

    def _several(self, kind: str, places: list[Place]) -> Iterator[World]:
        for place in places:
            if (kind, place) not in self.made:
                self.made[kind, place] = self._made(kind, place)
            world = self.made[kind, place]
            if world is not None:
                yield world

    def _made(self, kind: str, place: Place) -> World | None:
        for k in range(DRAWS):
            random = Random(f"{self.seed} {place} {k}")
            positive = k >= DRAWS // 2
            draw = fractions_from(random, 1 if kind == "exact" else 8, 9, positive)
            arithmetic: Arithmetic = Exact(random.getrandbits(60)) if kind == "exact" else Real()
            at = point(self.cell, place, draw)
            if self.still:
                zero = {f"{s}0": at.arrays[f"{s}0"] * 0 for s in self.cell.rec.carried}
                at = replace(at, arrays={**at.arrays, **zero})
            try:
                return usable(World(self.cell, at, arithmetic, self.reduction))
            except InexactError:
                return None
            except (ArithmeticError, TypeError, ValueError):  # a root or logarithm of a negative number
                continue
        return None


def usable(world: World) -> World:
    """The world, if its loss is a finite real number.

    Raises
    ------
    ValueError
        If it is not: a root or a logarithm of a negative number.
    """
    loss = world.number(("loss",)).item()
    if loss.imag != 0 or abs(loss) != abs(loss) or (not world.arithmetic.exact and abs(loss) > 10**300):
        raise ValueError("no finite real loss")
    return world


def _raised(places: tuple[Place, ...], least: int) -> list[Place]:
    """The same places with at least so many steps."""
    return list(dict.fromkeys((max(steps, least), how) for steps, how in places))
