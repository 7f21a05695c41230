"""Which terms of a gradient sum are counted, and how often: the estimators, and what is mistaken for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, product
from typing import Any

import numpy as np

from bptt_verify.estimators import Chunks, Full, Window, kept
from bptt_verify.oracle import Truncation
from bptt_verify.verify.diagnosis import FACTORS

Array = np.ndarray[Any, Any]

MOST = 2000  # pairs (k1, k2) that are tried, the nearest first
SMALL = 12  # lengths of chunks, and reaches, up to which every mistake is tried


@dataclass(frozen=True)
class Counts:
    """How often the parts of a gradient are counted.

    Attributes
    ----------
    explicit : array (T,)
        The explicit part of each step's loss.
    reaching : array (T, T)
        ``[t - 1, s]``: what loss term t reaches back to state s, held fixed (s = 0: the initial state).
    """

    explicit: Array
    reaching: Array


@dataclass(frozen=True)
class Pattern:
    """A way to count, for any T and B, in words that follow "it".

    Attributes
    ----------
    words : str
    counts : callable
        ``counts(T, B)``.
    truncates : bool
        False for a factor, or zero: that is no way to truncate, and other explanations are looked for first.
    estimator : Window, Chunks, Full or None
        The estimator that counts so, where there is one.
    """

    words: str
    counts: Callable[[int, int], Counts]
    truncates: bool = True
    estimator: Truncation | None = None


def claimed(estimator: Truncation) -> Pattern:
    """The pattern of an estimator."""
    words = f"equals {estimator}" + (": nothing is truncated" if isinstance(estimator, Full) else "")
    return Pattern(words, partial(_of_estimator, estimator), estimator=estimator)


def _of_estimator(estimator: Truncation, steps: int, batch: int) -> Counts:
    return _back_to(kept(estimator, steps).argmax(axis=1))


def patterns(estimator: Truncation, longest: int) -> Iterator[Pattern]:
    """Every known pattern, the estimators first; ``longest`` is the largest T looked at."""
    yield from map(claimed, _estimators(estimator, longest))
    yield Pattern("is zero", partial(_constant, 0.0), truncates=False)
    yield Pattern("passes through no state: it has its explicit parts only", partial(_constant, 1.0))
    yield Pattern("has no explicit parts", partial(_implicit, estimator))
    yield from _of_the_ends(estimator)
    yield from _scaled(estimator, longest)
    for k1, k2 in _pairs(estimator, longest):
        yield from _of_pair(Run(k1, k2))


def _estimators(estimator: Truncation, longest: int) -> Iterator[Truncation]:
    yield Full()
    yield from (Window(t) for t in range(1, longest))
    yield from (Chunks(k, k) for k in range(2, longest))
    near = (getattr(estimator, "k1", 1), getattr(estimator, "k2", getattr(estimator, "tau", 1)))
    pairs = [(a, b) for a in range(2, longest) for b in range(a + 1, longest + a)]
    pairs.sort(key=lambda p: abs(p[0] - near[0]) + abs(p[1] - near[1]))
    yield from (Chunks(*p) for p in islice(pairs, MOST))


def _pairs(estimator: Truncation, longest: int) -> list[tuple[int, int]]:
    """Chunks (k1, k2) with which mistakes are tried: those of the estimator first."""
    few = range(1, min(longest, SMALL) + 1)
    own = {Window: (1, getattr(estimator, "tau", 1)), Full: (1, 1)}.get(type(estimator))
    first = own or (getattr(estimator, "k1", 1), getattr(estimator, "k2", 1))
    return list(dict.fromkeys((first, *((k, k) for k in few), *product(few, few))))


@dataclass(frozen=True)
class Run:
    """Runs back over k2 steps, every k1 steps; mistakes may have k2 below k1."""

    k1: int
    k2: int

    def __str__(self) -> str:
        return str(Chunks(self.k1, self.k2)) if self.k2 >= self.k1 else f"chunks of {self.k1} steps"

    def ends(self, steps: int) -> Array:
        """The end of each step's chunk, not cut at T."""
        return np.asarray(self.k1 * -(-np.arange(1, steps + 1) // self.k1))


def _of_pair(run: Run) -> Iterator[Pattern]:
    """Mistakes with one pair (k1, k2)."""
    k1, k2 = run.k1, run.k2
    if k2 < k1:
        short = (
            f"runs back {k2} of each {k1} steps, so that the losses at the start of a chunk have no gradient"
        )
        yield Pattern(short, partial(_ending, run, _as_it_is))
        return
    if k1 > 1:
        yield Pattern(
            f"equals {run} with the chunks counted from the end", partial(_ending, run, _from_the_end)
        )
        cut = f"equals {run}, but the last chunk runs back from T, although it is not complete"
        yield Pattern(cut, partial(_ending, run, _cut))
    for shift in range(1, k1):
        moved = f"equals {run} with the chunk boundaries shifted: the first chunk has {shift} of {k1} steps"
        yield Pattern(moved, partial(_ending, run, partial(_shifted, shift)))
    yield from _counted_wrongly(run)


def _of_the_ends(estimator: Truncation) -> Iterator[Pattern]:
    """Mistakes at the ends of a whole sequence."""
    for place, word in ((0, "first"), (-1, "last")):
        for whole, what in ((True, ""), (False, ", but for the explicit parts of the others")):
            only = f"counts the loss of the {word} step only{what}"
            yield Pattern(only, partial(_with_end, estimator, place, (0.0, 1.0), whole))
        without = f"leaves out the loss of the {word} step"
        yield Pattern(without, partial(_with_end, estimator, place, (1.0, 0.0), True))
        twice = f"counts the loss of the {word} step twice"
        for whole, what in ((True, ""), (False, ", but for its explicit part")):
            factors = (1.0, 2.0)
            yield Pattern(f"{twice}{what}", partial(_with_end, estimator, place, factors, whole))
    if isinstance(estimator, Full):
        early = "runs back to step 2 only: the backward loop ends one step early"
        yield Pattern(early, lambda steps, batch: _back_to(np.ones(steps, int)))


def _with_end(
    estimator: Truncation, place: int, factors: tuple[float, float], whole: bool, steps: int, batch: int
) -> Counts:
    """Terms times the first factor; those of the loss at one end times the second."""
    others, end = factors
    times = np.full(steps, others)
    times[place] = end
    counts = _times(_of_estimator(estimator, steps, batch), times)
    return counts if whole else Counts(np.ones(steps), counts.reaching)


def _as_it_is(run: Run, t: Array) -> Array:
    return run.ends(len(t))


def _from_the_end(run: Run, t: Array) -> Array:
    return np.asarray(len(t) - run.k1 * ((len(t) - t) // run.k1))


def _cut(run: Run, t: Array) -> Array:
    return np.minimum(run.ends(len(t)), len(t))


def _shifted(shift: int, run: Run, t: Array) -> Array:
    return np.asarray(shift + run.k1 * -(-(t - shift) // run.k1))


def _ending(run: Run, end: Callable[[Run, Array], Array], steps: int, batch: int) -> Counts:
    """Each loss term once, where the chunk of t ends at ``end(run, t)``."""
    return _back_to(np.maximum(0, end(run, np.arange(1, steps + 1)) - run.k2))


def _counted_wrongly(run: Run) -> Iterator[Pattern]:
    """Loss terms that are counted twice, or not at all."""
    explicit = ((True, ""), (False, ", but for their explicit parts"))
    again = f"counts losses more than once: each run back of {run} counts those of all its {run.k2} steps"
    if run.k2 > run.k1:
        for (whole, what), cut in product(explicit, (False, True)):
            last = " (the last one ends at T)" if cut else ""
            yield Pattern(again + what + last, partial(_overlapping, run, cut, whole))
        more = run.k2 - run.k1
        for whole, what in explicit:
            ahead = f"counts losses twice: each chunk of {run.k1} steps goes on for {more} more{what}"
            yield Pattern(ahead, partial(_going_on, run, whole))
    if run.k1 > 1:
        for whole, what in explicit:
            for word, which in (("last", _in_last), ("first", _in_first)):
                only = f"holds the losses of the {word} chunk of {run} only: gradients are not added up{what}"
                yield Pattern(only, partial(_of_some, run, which, whole))
            yield Pattern(
                f"drops the losses of the last chunk of {run} where it is not complete{what}",
                partial(_of_some, run, _complete, whole),
            )
            yield Pattern(
                f"counts only the losses of the last step of each chunk of {run}{what}",
                partial(_of_some, run, _last, whole),
            )


def _overlapping(run: Run, cut: bool, whole: bool, steps: int, batch: int) -> Counts:
    explicit, reaching = np.zeros(steps), np.zeros((steps, steps))
    ends = np.minimum(run.ends(steps), steps) if cut else run.ends(steps)
    for end in np.unique(ends):
        first = max(0, end - run.k2)
        explicit[first : min(end, steps)] += 1
        reaching[first : min(end, steps), first] += 1
    return Counts(explicit if whole else np.ones(steps), reaching)


def _going_on(run: Run, whole: bool, steps: int, batch: int) -> Counts:
    """Chunks that begin every k1 steps and have k2."""
    explicit, reaching = np.zeros(steps), np.zeros((steps, steps))
    for first in range(0, steps, run.k1):
        explicit[first : first + run.k2] += 1
        reaching[first : first + run.k2, first] += 1
    return Counts(explicit if whole else np.ones(steps), reaching)


def _in_last(run: Run, t: Array) -> Array:
    return np.asarray(run.ends(len(t)) == run.ends(len(t))[-1])


def _in_first(run: Run, t: Array) -> Array:
    return np.asarray(t <= run.k1)


def _complete(run: Run, t: Array) -> Array:
    return np.asarray(t <= len(t) - len(t) % run.k1)


def _last(run: Run, t: Array) -> Array:
    return np.asarray(t == _cut(run, t))


def _of_some(run: Run, which: Callable[[Run, Array], Array], whole: bool, steps: int, batch: int) -> Counts:
    """The loss terms of some steps only."""
    some = which(run, np.arange(1, steps + 1)).astype(float)
    counts = _times(_ending(run, _as_it_is, steps, batch), some)
    return counts if whole else Counts(np.ones(steps), counts.reaching)


def _scaled(estimator: Truncation, longest: int) -> Iterator[Pattern]:
    """Right terms with another factor."""
    for word, factor in FACTORS.items():
        yield Pattern(
            f"is {word} times {estimator}", partial(_multiplied, estimator, factor), truncates=False
        )
    for k in dict.fromkeys((getattr(estimator, "k1", 1), *range(1, longest))):
        for one in dict.fromkeys((estimator, Chunks(k, k))):
            mean = f"equals {one} with the mean over each chunk of {k} steps instead of over T"
            yield Pattern(f"{mean}: times T/{k}", partial(_averaged, one, k, False))
            last = f"{mean}: times T/{k}, and in the last chunk T over its own length"
            yield Pattern(last, partial(_averaged, one, k, True))


def _multiplied(estimator: Truncation, factor: Callable[[int, int], float], steps: int, batch: int) -> Counts:
    return _times(_of_estimator(estimator, steps, batch), np.full(steps, factor(steps, batch)))


def _averaged(estimator: Truncation, k: int, own: bool, steps: int, batch: int) -> Counts:
    start = k * (np.arange(steps) // k)
    length = np.minimum(start + k, steps) - start if own else np.full(steps, k)
    return _times(_of_estimator(estimator, steps, batch), steps / length)


def _implicit(estimator: Truncation, steps: int, batch: int) -> Counts:
    return Counts(np.zeros(steps), _of_estimator(estimator, steps, batch).reaching)


def _constant(explicit: float, steps: int, batch: int) -> Counts:
    return Counts(np.full(steps, explicit), np.zeros((steps, steps)))


def _times(counts: Counts, factors: Array) -> Counts:
    return Counts(counts.explicit * factors, counts.reaching * factors[:, None])


def _back_to(first: Array) -> Counts:
    """Each loss term once, back to its own state; one that would lie ahead has no term."""
    steps = len(first)
    reaching = np.zeros((steps, steps))
    rows = np.flatnonzero(first < np.arange(1, steps + 1))
    reaching[rows, first[rows]] = 1.0
    return Counts(np.ones(steps), reaching)
