"""What is wrong with the numbers of a gradient of a plain loss, of which nothing else is known."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from bptt_verify.check import Arrays, Case, Problem, complex_gradient
from bptt_verify.check.gradient import choose_methods
from bptt_verify.verify.adapters import Adapted
from bptt_verify.verify.diagnosis import called, close
from bptt_verify.verify.wrongnumbers import changes

ELEMENTS = 4000  # of all blocks; a complex step is made for each


def plain_cause(fn: Adapted, problem: Problem, cases: Sequence[Case], rng: np.random.Generator) -> str | None:
    """In words, one change of the right gradient, or two of different blocks, that give a function's numbers.

    None where no known change does, or complex steps do not give the right gradient.
    """
    small = [c.arrays for c in cases if sum(np.size(c.arrays[b]) for b in problem.blocks) <= ELEMENTS]
    pairs = [(arrays, found) for arrays in small if (found := called(fn, arrays)) is not None]
    blocks = [b for b in problem.blocks if all(b in found for _, found in pairs)]
    methods, _ = choose_methods(problem, cases, rng, blocks)
    if not pairs or any(m != "complex step" for m in methods.values()):
        return None
    truths = [{b: complex_gradient(problem.loss, arrays, b) for b in blocks} for arrays, _ in pairs]
    seen = [(found, truth) for (_, found), truth in zip(pairs, truths, strict=True)]
    wrong = {b for found, truth in seen for b in blocks if not close(found[b], truth[b])}
    told: dict[str, str] = {}
    for _, text, change in changes({b: pairs[0][0][b] for b in blocks}):
        parts = [change(dict(truth)) for _, truth in seen]
        fits = {b for b in parts[0] if all(close(f[b], p[b]) for (f, _), p in zip(seen, parts, strict=True))}
        if wrong <= fits == set(parts[0]):
            return text
        told |= {b: text for b in fits & wrong if fits == set(parts[0]) and b not in told}
    texts = dict.fromkeys(told.values())
    if set(told) == wrong and len(texts) == 2:
        return "two mistakes: " + "; and ".join(texts)
    return _length_named([arrays for arrays, _ in pairs], seen, sorted(wrong))


def _length_named(
    given: Sequence[Arrays], seen: Sequence[tuple[Arrays, Arrays]], wrong: Sequence[str]
) -> str | None:
    """Whether the wrong blocks are off by the length of an axis, or by that of two: a mean for a sum."""
    axes = [(name, k) for name, a in given[0].items() for k in range(np.ndim(a))]
    for some in (*((axis,) for axis in axes), *combinations(axes, 2)):
        lengths = [float(np.prod([np.shape(a[name])[k] for name, k in some])) for a in given]
        for word, power in (("times", 1), ("divided by", -1)):
            pairs = list(zip(seen, lengths, strict=True))
            fits = all(close(f[b], t[b] * n**power) for (f, t), n in pairs for b in wrong)
            if fits and set(lengths) != {1.0}:
                of = " and of ".join(f"axis {k} of {name}" for name, k in some)
                named = f"the gradient of {', '.join(wrong)} is the right one {word} the length of {of}"
                return f"{named}: a sum for a mean, or the reverse"
    return None
