"""Two gates at a time, at many steps: gates that are not independent of each other show there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, islice

import numpy as np

from bptt_verify.check import Array, Arrays, Case, Problem, complex_gradient, working_precision
from bptt_verify.check.contract import call, copies, provided
from bptt_verify.check.enumeration import outcomes
from bptt_verify.verdict import Evidence, Finding
from bptt_verify.verify.channels import Gated

OPEN = 0.5  # the probability of each of the two gates; all others are open
AGREE, AGREE_SINGLE = 1e-7, 1e-3  # relative to the mean size of a block's entries over the outcomes
PAIRS = 450  # looked at, at four calls each: all of them up to 30 gates, and all neighbours up to 451
NAME = "two gates at a time"


def pairs_evidence(fn: Gated, problem: Problem, case: Case, rng: np.random.Generator) -> Evidence:
    """The mean over the four outcomes of two gates, for the pairs of gates of one long case.

    A mean that is right for every schedule is right for schedules in which all other gates are open. That
    settles every dependence between two gates that were looked at; one between three or more is seen in fewer
    steps only. Of many gates some pairs are looked at: neighbours first, then others in random order.
    """
    steps, batch = case.arrays["weights"].shape
    size = steps * (batch if fn.law.per_sequence else 1)
    targets = {b: complex_gradient(problem.loss, case.arrays, b) for b in problem.required}
    count = size * (size - 1) // 2
    looked = min(PAIRS, count)
    for number, (one, other) in enumerate(islice(_ordered(size, rng), looked), 1):
        pi = np.ones(size)
        pi[[one, other]] = OPEN
        pi = pi.reshape((steps, batch) if fn.law.per_sequence else (steps,))
        for block, error in _errors(fn, problem, case.arrays, pi, targets):
            at = " and ".join(str(k // (size // steps) + 1) for k in (one, other))
            what = (
                f"with the gates of steps {at} random and all others open (T={steps}), the mean of "
                f"dL/d{block} is off by {error:.2g} of its size: these gates are not independent, or "
                "weighted wrongly"
            )
            finding = Finding(what, block, error=error, case=case.name)
            return Evidence(NAME, "tested", "refuted", f"pair {number} at T = {steps}", (finding,))
    words = (
        f"the mean over the outcomes of {looked} of {count} pairs of gates at T = {steps}, all others open"
    )
    return Evidence(NAME, "tested", "verified" if looked >= size - 1 else "inconclusive", words)


def _ordered(size: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Neighbours first, then all other pairs in random order."""
    pairs = list(combinations(range(size), 2))
    order = rng.permutation(len(pairs))
    yield from sorted((pairs[k] for k in order), key=lambda p: p[1] - p[0] > 1)


def _errors(
    fn: Gated, problem: Problem, arrays: Arrays, pi: Array, targets: Arrays
) -> Iterator[tuple[str, float]]:
    """Blocks whose mean is not the gradient, and by how much."""
    mean = {b: np.zeros(np.shape(t)) for b, t in targets.items()}
    size = {b: np.abs(t) for b, t in targets.items()}
    single = False
    for chance, keep in outcomes(pi):
        found = call(lambda given, k=keep: fn(given, k, pi), copies(arrays))  # type: ignore[misc]
        grads = provided(problem, arrays, found)
        single = single or working_precision(list(grads.values())).eps > 1e-10
        for b in mean.keys() & grads.keys():
            mean[b] += chance * grads[b]
            size[b] = size[b] + chance * np.abs(grads[b])
    for b, target in targets.items():
        scale = float(size[b].max(initial=0.0))
        error = float(np.abs(mean[b] - target).max(initial=0.0)) / (scale or 1.0)
        if not error <= (AGREE_SINGLE if single else AGREE):
            yield b, error
