"""Which truncation a gradient does equal, found by comparing its numbers with sums of terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bptt_verify.check import Arrays, Problem, working_precision
from bptt_verify.estimators import Full
from bptt_verify.language import Recurrence
from bptt_verify.oracle import GradientParts, Truncation, gradient_parts
from bptt_verify.verify.adapters import Adapted
from bptt_verify.verify.diagnosis import AGREE_SINGLE, called
from bptt_verify.verify.patterns import Counts, Pattern, claimed, patterns

AGREE = 1e-9  # relative to the largest entry of a block
STEPS = 40  # cases longer than this are looked at only if no shorter one is wrong
INPUTS = 64  # elements of the inputs up to which their gradients are looked at, too

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Seen:
    """The gradients of a function in one case, and the parts of the right one."""

    grads: Mapping[str, Array]
    parts: GradientParts
    batch: int

    @cached_property
    def tolerance(self) -> float:
        """How far a number may be off, relative to the largest of its block."""
        return AGREE_SINGLE if working_precision(self.grads.values()).eps > 1e-10 else AGREE

    @property
    def steps(self) -> int:
        """T."""
        return len(self.parts.explicit)

    def expected(self, counts: Counts) -> Array:
        """All elements of the gradient with its parts counted so."""
        rows = np.nonzero(counts.reaching)
        weights = counts.reaching[rows]
        return np.asarray(counts.explicit @ self.parts.explicit + weights @ self.parts.reaching[rows])

    def agrees(self, expected: Array, block: str) -> bool:
        """Whether the function's gradient of a block is this, to rounding."""
        found, wanted = self.grads[block].ravel(), expected[self.parts.places[block]]
        scale = np.max(np.abs(wanted), initial=0.0)
        return bool(np.max(np.abs(found - wanted), initial=0.0) <= self.tolerance * scale)


def observed(
    rec: Recurrence, fn: Adapted, problem: Problem, cases: Sequence[Arrays], estimator: Truncation
) -> list[Seen]:
    """What the function returns in the short cases; in all where none of these is wrong."""
    known = sorted((a for a in cases if len(a["weights"]) > 1), key=lambda a: len(a["weights"]))
    seen: list[Seen] = []
    for some in (
        [a for a in known if len(a["weights"]) <= STEPS],
        [a for a in known if len(a["weights"]) > STEPS],
    ):
        if not any(differs(s, estimator) for s in seen):
            looked = [_seen(rec, fn, problem, a) for a in some]
            seen += [s for s in looked if s is not None]
    return seen


def differs(seen: Seen, estimator: Truncation) -> list[str]:
    """The blocks that are not those of an estimator."""
    expected = seen.expected(claimed(estimator).counts(seen.steps, seen.batch))
    return [b for b in seen.grads if not seen.agrees(expected, b)]


def _seen(rec: Recurrence, fn: Adapted, problem: Problem, arrays: Arrays) -> Seen | None:
    grads = called(fn, arrays)
    if grads is None:
        return None
    small = [b for b in problem.blocks if b not in rec.inputs or np.size(arrays[b]) <= INPUTS]
    blocks = [b for b in small if b in grads and grads[b].shape == np.shape(arrays[b])]
    with np.errstate(all="ignore"):
        parts = gradient_parts(rec.program, arrays, blocks)
    finite = np.isfinite(parts.explicit).all() and np.isfinite(parts.reaching).all()
    if not blocks or not finite or not all(np.isfinite(grads[b]).all() for b in blocks):
        return None
    return Seen({b: grads[b] for b in blocks}, parts, arrays["weights"].shape[1])


def named_pattern(seen: Sequence[Seen], estimator: Truncation, partly: bool = True) -> str | None:
    """The first known pattern that gives the function's numbers; ``partly``: block by block if it must be."""
    blocks = [b for b in (seen[0].grads if seen else ()) if all(b in s.grads for s in seen)]
    right = _matched(seen, claimed(estimator), blocks)
    wrong = [b for b in blocks if b not in right]
    if not wrong:
        return None
    singly: dict[str, str] = {}
    together = None
    for p in patterns(estimator, max(s.steps for s in seen)):
        found = _matched(seen, p, wrong)
        singly = {**{b: p.words for b in found}, **singly}
        if len(found) == len(wrong) and (partly or p.truncates):
            together = together or p
            if len(_matched(seen, p, right)) == len(right):
                return f"it {p.words}; expected {estimator}{_if_meant(p, estimator)}"
    if together is not None:
        meant = _if_meant(together, estimator)
        return f"{_each(wrong)} {together.words}; expected {estimator}{_rest(right)}{meant}"
    alike: dict[str, list[str]] = {}
    for b, words in singly.items():
        alike.setdefault(words, []).append(b)
    told = [f"{_each(of)} {words}" for words, of in alike.items()]
    if not told or not partly:
        return None
    open_ = [b for b in wrong if b not in singly]
    rest = f"; nothing known fits {_blocks(open_)}" if open_ else _rest(right)
    return f"{'; '.join(told)}; expected {estimator}{rest}"


def _matched(seen: Sequence[Seen], pattern: Pattern, blocks: Sequence[str]) -> list[str]:
    """Those of the blocks that a pattern gives in every case."""
    left = list(blocks)
    for s in seen:
        if not left:
            break
        expected = s.expected(pattern.counts(s.steps, s.batch))
        left = [b for b in left if s.agrees(expected, b)]
    return left


def _if_meant(pattern: Pattern, estimator: Truncation) -> str:
    """What to do with the truncation that stands for a full gradient."""
    other = isinstance(estimator, Full) and pattern.estimator is not None
    return ". If that is meant, use check_truncated" if other else ""


def _each(names: Sequence[str]) -> str:
    return f"each of {_blocks(names)}" if len(names) > 1 else _blocks(names)


def _blocks(names: Sequence[str]) -> str:
    return ", ".join(f"∂L/∂{n}" for n in names)


def _rest(right: Sequence[str]) -> str:
    return f" ({_blocks(right)} {'is' if len(right) == 1 else 'are'} right)" if right else ""
