"""The smallest problem at which a claim is wrong, in numbers that can be checked by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

from bptt_verify.analysis.arithmetic import Arithmetic, Exact, Real
from bptt_verify.analysis.claims import Outcome, compared
from bptt_verify.analysis.closed import Closed, Written
from bptt_verify.analysis.conventions import SCALARS
from bptt_verify.analysis.interpretations import Interpretation
from bptt_verify.analysis.matrices import alike
from bptt_verify.analysis.points import Place, given, point, usable
from bptt_verify.analysis.slopes import name_of
from bptt_verify.analysis.values import Evaluation
from bptt_verify.analysis.worlds import Point, World
from bptt_verify.notation.tree import Derivative, Letter
from bptt_verify.program import Array

MOST_STEPS = 4
TRIES = 4  # random small integers at each size
SIZES = ("ones", "states", "twos", "distinct")
LONGEST = 90  # characters of a closed form that is shown


@dataclass(frozen=True, eq=False)
class Counterexample:
    """Small numbers at which the formula is wrong.

    Attributes
    ----------
    T : int
    sizes : mapping of str to int
        A length for every size word.
    arrays : mapping of str to integer array
        By declared name, in the shapes of the call convention, with a batch of one.
    steps : mapping of str to int
        The steps chosen for the formula's free letters.
    index : tuple of int
        The entry, counted from 0, in the array that the gradient is taken by; empty for a number.
    claimed, right : Fraction, float or None
        What the formula gives, and what is true; None where the formula gives nothing.
    claimed_text, right_text : str
        The same to read: a fraction, or a decimal with its closed form.
    reason : str
        Why the formula gives nothing, if it does not.
    """

    T: int
    sizes: Mapping[str, int]
    arrays: Mapping[str, Any]
    steps: Mapping[str, int]
    index: tuple[int, ...]
    claimed: Fraction | float | None
    right: Fraction | float | None
    claimed_text: str
    right_text: str
    reason: str = ""

    @property
    def step(self) -> int | None:
        """The step t, if the formula is about one."""
        return self.steps.get("t", next(iter(self.steps.values()), None))

    def __str__(self) -> str:
        sizes = ", ".join(f"{w}={k}" for w, k in self.sizes.items())
        lines = [f"T = {self.T}, {sizes}"]
        lines += [f"  {name} = {_listed(values)}" for name, values in self.arrays.items()]
        at = [f"{letter} = {k}" for letter, k in self.steps.items()]
        at += [f"entry {list(self.index)}"] if self.index and any(self.index) else []
        where = f"at {', '.join(at)}: " if at else ""
        if self.reason:
            lines.append(f"  {where}{self.reason}")
        else:
            lines.append(f"  {where}the formula gives {self.claimed_text}, right is {self.right_text}")
        return "\n".join(lines)


def _listed(values: Any) -> str:
    """An array without its axis for the batch."""
    inner = values
    if values.ndim >= 2 and values.shape[1] == 1 and values.ndim != 2:
        inner = values[:, 0]
    return str(inner.tolist()).replace(" ", "")


def counterexample(
    said: Interpretation, like: World, least: int, rational: bool, random: Random
) -> Counterexample | None:
    """The smallest counterexample found, by T, then by sizes, then by entries.

    Parameters
    ----------
    said : Interpretation
        The claim that is wrong.
    like : World
        One world at which it is; gives the recurrence and the weights.
    least : int
        The least T at which the claim says something.
    rational : bool
        Whether fractions are exact for it; otherwise 50 digits are used.
    random : Random
    """
    search = _Search(said, like, rational)
    places = [(t, how) for t in range(least, max(MOST_STEPS, least + 1) + 1) for how in SIZES]
    without_value: tuple[Point, Outcome] | None = None
    for place in places:
        for first in _candidates(search, place, random):
            found = search.outcome(first)
            if found is not None and found.kind == "differs":
                return search.shown(*search.shrunk(first, found))
            if found is not None:  # sizes that do not fit, whatever the numbers are
                without_value = without_value or (first, found)
                break
    return search.shown(*search.shrunk(*without_value)) if without_value else None


def _candidates(search: _Search, place: Place, random: Random) -> Iterator[Point]:
    """All ones, then a few draws of small integers."""
    cell = search.like.cell
    yield point(cell, place, lambda a, dims: _filled(dims, lambda: 1))
    for _ in range(TRIES):
        yield point(cell, place, lambda a, dims: _filled(dims, lambda: random.choice((-1, 1, 2, 3))))


def _filled(dims: tuple[int, ...], draw: Any) -> Any:
    values = np.empty(dims, dtype=object)
    for index in np.ndindex(dims):
        values[index] = Fraction(draw())
    return values


class _Search:
    def __init__(self, said: Interpretation, like: World, rational: bool) -> None:
        self.said, self.like, self.rational = said, like, rational

    def world(self, at: Point, arithmetic: Arithmetic) -> World:
        return World(self.like.cell, at, arithmetic, self.like.reduction)

    def outcome(self, at: Point) -> Outcome | None:
        """What is wrong at a point, or None."""
        try:
            world = usable(self.world(at, Exact(0) if self.rational else Real()))
            found = compared(self.said.claim, world, self.said.convention)
        except (ArithmeticError, TypeError, ValueError):
            return None
        return found if found.kind not in ("equal", "nothing") else None

    def shrunk(self, at: Point, found: Outcome) -> tuple[Point, Outcome]:
        """The same counterexample with entries replaced by 0 or 1 where it stays one."""
        for array in given(self.like.cell):
            if array.index:
                continue
            for index in np.ndindex(at.arrays[array.name].shape):
                at, found = self._simpler(at, found, array, index)
        return at, found

    def _simpler(
        self, at: Point, found: Outcome, array: Array, index: tuple[int, ...]
    ) -> tuple[Point, Outcome]:
        old = at.arrays[array.name][index]
        for value in (0, 1):
            if value == old:
                break
            arrays = {**at.arrays, array.name: at.arrays[array.name].copy()}
            arrays[array.name][index] = Fraction(value)
            candidate = Point(at.steps, at.sizes, arrays)
            outcome = self.outcome(candidate)
            if outcome is not None and outcome.kind == found.kind:
                return candidate, outcome
        return at, found

    def shown(self, at: Point, found: Outcome) -> Counterexample:
        """The counterexample with its numbers as text."""
        arrays = {n: np.array(v.tolist(), dtype=int).reshape(v.shape) for n, v in at.arrays.items()}
        claimed, right = self._numbers(found)
        texts = (_text(claimed), _text(right))
        if not self.rational and found.kind == "differs":
            closed = self._closed(at, found)
            texts = (_both(texts[0], closed[0]), _both(texts[1], closed[1]))
        where = (at.steps, dict(at.sizes), arrays, dict(found.steps), self._own_index(at, found.index))
        return Counterexample(*where, claimed, right, texts[0], texts[1], found.reason)

    def _own_index(self, at: Point, index: tuple[int, ...]) -> tuple[int, ...]:
        """The place in the array that a gradient is taken by, however the formula lays it out."""
        left, chosen = self.said.claim.left, self.said.convention.parameter
        if isinstance(left, Letter):
            return index[:1]
        if not isinstance(left, Derivative) or left.top.role not in SCALARS or not index:
            return index
        dims = tuple(at.sizes[w] for w in self.like.cell.sizes(name_of(self.like, left.bottom)))
        if len(dims) < 2:
            return (max(index),) if dims else ()
        if chosen in ("row", "column"):
            return tuple(int(k) for k in np.unravel_index(max(index), dims))
        return index[::-1] if chosen == "transposed" else index

    def _numbers(self, found: Outcome) -> tuple[Any, Any]:
        if found.kind != "differs":
            return None, None
        kind = Fraction if self.rational else float
        return kind(found.claimed), kind(found.right)

    def _closed(self, at: Point, found: Outcome) -> tuple[str, str]:
        """Both sides in terms of functions at integers, or nothing where that is long."""
        claim = self.said.claim
        try:
            evaluation = Evaluation(self.world(at, Closed()), self.said.convention, claim.directions)
            truth = evaluation(claim.left, found.steps)
            sides = [alike(evaluation(claim.right, found.steps), truth), alike(truth, truth)]
            texts = [str(Written.of(s[found.index or (0, 0)])) for s in sides if s is not None]
        except Exception:  # a closed form is an extra: without one the decimal is shown
            return "", ""
        return (texts[0], texts[1]) if len(texts) == 2 else ("", "")


def _text(number: Any) -> str:
    return f"{number:.6g}" if isinstance(number, float) else str(number)


def _both(decimal: str, closed: str) -> str:
    plain = closed.lstrip("-").replace("/", "").isdigit()
    if plain:
        return closed
    return f"{closed} ≈ {decimal}" if closed and closed != decimal and len(closed) <= LONGEST else decimal
