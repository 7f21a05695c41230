"""Wrong gradients of a truncation: other terms than it keeps, and ordinary mistakes in its runs back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from bptt_verify.check import Arrays
from bptt_verify.codegen import generate
from bptt_verify.derivation import adjoint
from bptt_verify.errors import UsageError
from bptt_verify.estimators import Chunks, Full, Window
from bptt_verify.language import Recurrence, inward, outward
from bptt_verify.mutants import factors, mutants
from bptt_verify.oracle import GradientParts, Truncation, gradient_parts
from bptt_verify.program import TIME, Program, evaluate
from bptt_verify.program.surgery import states_of
from bptt_verify.verify.longcases import reach
from bptt_verify.verify.mistakes import Known, Mistake, Remembered, Returned, completed, evaluated
from bptt_verify.verify.patterns import Pattern, claimed, patterns
from bptt_verify.verify.pieces import apart
from bptt_verify.verify.truncation import neighbours

LARGEST = 20_000_000  # numbers in the parts of a gradient, beyond which the inputs of a test are too large
BATCH = 3


@dataclass(frozen=True)
class Truncated:
    """A truncated gradient, and other ways to count its terms.

    Attributes
    ----------
    rec : Recurrence
    estimator : Window or Chunks
    parts : callable
        The gradient at some arrays, taken apart.
    right : callable
        Loss and gradients at some arrays.
    """

    rec: Recurrence
    estimator: Truncation
    parts: Remembered
    right: Remembered

    @property
    def lengths(self) -> tuple[int, int]:
        """k1 and k2: runs back over k2 steps, every k1 steps."""
        match self.estimator:
            case Window(tau):
                return 1, tau
            case Chunks(k1, k2):
                return k1, k2
        return 1, 1

    def counted(self, pattern: Pattern, arrays: Arrays) -> Returned:
        """The gradient with its terms counted as a pattern says."""
        loss, grads = self.right(arrays)
        parts: GradientParts = self.parts(arrays)
        steps, batch = arrays["weights"].shape
        one, two = pattern.counts(steps, batch), claimed(self.estimator).counts(steps, batch)
        explicit, reaching = one.explicit - two.explicit, one.reaching - two.reaching
        rows = np.nonzero(reaching)
        change = explicit @ parts.explicit + reaching[rows] @ parts.reaching[rows]
        changed = {
            b: g + change[parts.places[b]].reshape(g.shape) for b, g in grads.items() if b in parts.places
        }
        return loss, {**grads, **changed}

    def mutated(self, program: Program, right: Program, arrays: Arrays) -> Returned:
        """The gradient, with what a mistake changes in each run back."""
        loss, grads = self.right(arrays)
        changed = {b: np.array(g) for b, g in grads.items()}
        for own, place in self.runs(arrays):
            (_, wrong), (_, without) = evaluated(program, own), evaluated(right, own)
            for b, g in changed.items():
                if b in self.rec.inputs:
                    g[place] += wrong[b] - without[b]
                elif b in self.rec.params or place.start == 0:
                    g += wrong[b] - without[b]
        return loss, changed

    def runs(self, arrays: Arrays) -> Iterator[tuple[Arrays, slice]]:
        """The arrays of each run back, from the state in which it begins, and its steps.

        Only the losses of the last k1 steps of a run count. The runs add up to the truncated gradient, where
        no loss reads the state before its step.
        """
        (k1, k2), steps = self.lengths, len(arrays["weights"])
        with np.errstate(all="ignore"):
            values = evaluate(self.rec.program, arrays)
        timed = {a.name for a in self.rec.program.arrays if TIME in a.labels}
        for start in range(0, steps, k1):
            place = slice(max(0, start + k1 - k2), min(start + k1, steps))
            own = {k: a[place] if k in timed else a for k, a in arrays.items()}
            own["weights"] = np.where(np.arange(steps)[place, None] < start, 0.0, own["weights"])
            if place.start:
                states = states_of(self.rec.program).items()
                own |= {f"{s}0": values[v][place.start - 1] for s, v in states}
            yield own, place

    def restarted(self, arrays: Arrays) -> Returned:
        """Loss and gradients of chunks that each begin with a state of zero."""
        length, program = max(self.lengths[0], 2), adjoint(self.rec.program)
        timed = {a.name for a in program.arrays if TIME in a.labels}
        total, grads = 0.0, {b: np.zeros(np.shape(g)) for b, g in self.right(arrays)[1].items()}
        for start in range(0, len(arrays["weights"]), length):
            place = slice(start, start + length)
            own = {k: a[place] if k in timed else a for k, a in arrays.items()}
            own |= {k: np.zeros_like(own[k]) for k in self.rec.initial if start}
            loss, found = evaluated(program, own)
            total += float(loss)
            for b, g in grads.items():
                g[place if b in self.rec.inputs else ...] += (
                    found[b] if b not in self.rec.initial or not start else 0
                )
        return total, grads


def of_truncation(rec: Recurrence, estimator: Truncation, telling: Sequence[Arrays]) -> Known:
    """The wrong truncations that people write, and every known mistake in a right one."""
    kernel = generate(rec, estimator=estimator)

    def right(arrays: Arrays) -> Returned:
        loss, grads = kernel.loss_and_grad(**outward(arrays))
        return loss, dict(inward(grads))

    made = Truncated(rec, estimator, Remembered(partial(_parts, rec), 4), Remembered(right))
    wrong = (*_other_terms(made), *_other_chunks(made), *_other_steps(made))
    return Known(f"{estimator} of {rec.name}", partial(completed, rec), made.right, wrong, telling)


def _parts(rec: Recurrence, arrays: Arrays) -> GradientParts:
    reals = [n for n in rec.inputs if n not in rec.onehot]
    steps = len(arrays["weights"])
    blocks = [*rec.params, *rec.initial]
    count = sum(np.size(arrays[b]) for b in blocks)
    if count * steps**2 > LARGEST:
        raise UsageError(
            f"inputs of the test: T={steps}, with {count} elements of parameters; expected fewer, such as "
            f"T={max(1, int((LARGEST / count) ** 0.5))}, since every term of the gradient is looked at."
        )
    if (count + sum(np.size(arrays[b]) for b in reals)) * steps**2 <= LARGEST:
        blocks += reals
    with np.errstate(all="ignore"):
        return gradient_parts(rec.program, arrays, blocks)


def _other_terms(made: Truncated) -> Iterator[Mistake]:
    """Other ways to count terms; each way once."""
    estimator, (k1, k2) = made.estimator, made.lengths
    steps = 2 * reach(estimator) + k1 + 1
    seen = {_key(claimed(estimator), steps)}
    others = (*neighbours(estimator), Window(k2), Chunks(k2, k2), Chunks(k1, k1), Window(1), Full())
    for p in (*map(claimed, others), *patterns(estimator, 1)):
        key = _key(p, steps)
        if key not in seen:
            seen.add(key)
            yield Mistake(p.words, f"it {p.words}", partial(made.counted, p))


def _key(pattern: Pattern, steps: int) -> bytes:
    counts = pattern.counts(steps, BATCH)
    return bytes(np.concatenate([counts.explicit, counts.reaching.ravel()]).tobytes())


def _other_chunks(made: Truncated) -> Iterator[Mistake]:
    """Chunks that are cut too deep."""
    (k1, k2), program = made.lengths, adjoint(made.rec.program)
    if k1 == k2:
        said = "the state that is carried into a chunk is detached for the loss that reads it too"
        yield Mistake("chunks differentiated apart", said, partial(_apart, made, program, k1))
    zero = "the state is reset to zero at the start of each chunk, not carried on: the loss differs"
    yield Mistake("state reset to zero", zero, made.restarted)


def _apart(made: Truncated, program: Program, length: int, arrays: Arrays) -> Returned:
    loss, grads = made.right(arrays)
    return loss, {**grads, **apart(program, made.rec, arrays, length)}


def _other_steps(made: Truncated) -> Iterator[Mistake]:
    """The mistakes of a full gradient, made in every run back; factors are patterns already."""
    right = adjoint(made.rec.program)
    scales = {m.name for m in factors.wrong_scale(right)}
    for m in mutants(right):
        if m.name not in scales:
            yield Mistake(m.name, m.description, partial(made.mutated, m.program, right))
