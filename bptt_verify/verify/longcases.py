"""Inputs on which a truncation shows: lengths around its reach, states that neither forget nor explode."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from bptt_verify.check import Arrays, Case
from bptt_verify.estimators import Chunks, Full, Window
from bptt_verify.language import Recurrence
from bptt_verify.oracle import TruncatedLoss, Truncation
from bptt_verify.verify.cases import REGIMES, Regime, recurrence_cases

ORDINARY = (
    "one step",
    "batch",
    "equal sizes",
    "vanishing",
    "growing",
    "large",
)  # regimes that are drawn as well
LONG, VERY_LONG = 30, 100  # reaches beyond which fewer and shorter cases are drawn
GAINS = (0.9, 1.1, 1.4, 2.0)  # of the matrices of the cases among which the one that remembers is chosen
QUIET, LOUD = 0.3, 3.0  # factors on the inputs, and on the vectors among the parameters
REFINED = ((0.8, 0.9, 1.1, 1.25), (0.95, 0.98, 1.02, 1.05))  # factors on its matrices, tried in turn
STEP = 1e-100


def truncation_cases(estimator: Truncation) -> Callable[[Recurrence, np.random.Generator], Iterator[Case]]:
    """A function ``cases(rec, rng)`` that draws inputs for this estimator."""

    def cases(rec: Recurrence, rng: np.random.Generator) -> Iterator[Case]:
        yield from recurrence_cases(rec, rng, tuple(r for r in REGIMES if r.name in ORDINARY))
        for steps, batch in lengths(estimator):
            yield remembering(rec, rng, steps, batch)

    return cases


def reach(estimator: Truncation) -> int:
    """How many steps a loss term reaches back at most; 1 for Full, which has no such number."""
    match estimator:
        case Window(tau):
            return tau
        case Chunks(_, k2):
            return k2
    return 1


def lengths(estimator: Truncation) -> tuple[tuple[int, int], ...]:
    """T and B of the cases: below, at and beyond the reach, and not a multiple of a chunk."""
    back, own = reach(estimator), getattr(estimator, "k1", 1)
    if isinstance(estimator, Full):
        return ((7, 2), (24, 2), (60, 1))
    found = [(back + 1, 2), (back, 1)]
    if back <= VERY_LONG:
        found += [(max(1, back - 1), 3), (back + own + (own + 1) // 2, 2)]
    if back <= LONG:
        found += [(2 * back + 1, 1), (max(24, 2 * back + own - 1), 2)]
    return tuple(dict.fromkeys(found))


def remembering(rec: Recurrence, rng: np.random.Generator, steps: int, batch: int) -> Case:
    """Of some draws that in which a change of the initial state neither dies out nor grows the least."""
    loss, candidates = TruncatedLoss(rec.program, Full()), []
    for gain in GAINS:
        regime = Regime("remembering", steps, batch, gain)
        for case in recurrence_cases(rec, rng, (regime,)):
            candidates += [case, _quiet(rec, case, QUIET), _quiet(rec, case, LOUD)]
    for factors in REFINED:
        best = min(candidates, key=lambda c: abs(_growth(rec, loss, c.arrays, rng)))
        candidates = [best, _quiet(rec, best, 1.0), *(_amplified(rec, best, f) for f in factors)]
    return min(candidates, key=lambda c: abs(_growth(rec, loss, c.arrays, rng)))


def _amplified(rec: Recurrence, case: Case, factor: float) -> Case:
    """The same case with larger, or smaller, matrices."""
    matrices = {p for p in rec.params if case.arrays[p].ndim > 1}
    return Case(case.name, {k: v * factor if k in matrices else v for k, v in case.arrays.items()})


def _quiet(rec: Recurrence, case: Case, vectors: float) -> Case:
    """The same case with smaller inputs, and other vectors among the parameters."""
    factors = {n: QUIET for n in rec.inputs if n not in rec.onehot}
    factors |= {p: vectors for p in rec.params if case.arrays[p].ndim < 2}
    return Case(case.name, {k: v * factors.get(k, 1) for k, v in case.arrays.items()})


def _growth(rec: Recurrence, loss: TruncatedLoss, arrays: Arrays, rng: np.random.Generator) -> float:
    """The logarithm of how much a small change of the initial states has grown, or shrunk, at the end."""
    directions = {s: rng.normal(size=np.shape(arrays[f"{s}0"])) for s in rec.carried}
    moved = {**arrays, **{f"{s}0": arrays[f"{s}0"] + 1j * STEP * d for s, d in directions.items()}}
    with np.errstate(all="ignore"):
        after = loss.forward.whole(moved)
        size = np.sqrt(sum(np.sum((np.imag(a[-1]) / STEP) ** 2) for a in after.values()))
        grown = float(np.log(size / np.sqrt(sum(np.sum(d**2) for d in directions.values()))))
    return grown if np.isfinite(grown) else np.inf
