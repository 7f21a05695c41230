"""One set of inputs, by the few numbers that it is made from, and how these are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st

from bptt_verify.check import Array, Case
from bptt_verify.errors import UsageError
from bptt_verify.language import Recurrence, outward
from bptt_verify.verify.cases import Regime, fixed_in, least_sizes, recurrence_cases
from bptt_verify.verify.outcomes import KEEP
from bptt_verify.verify.schedules import Law

MAX_STEPS, MAX_BATCH, MAX_SIZE = 16, 3, 4
GAINS = (1.0, 0.15, 3.0, 1.7)  # ordinary, vanishing, saturated, growing
Weights = Literal["mean", "uneven", "large"]


@dataclass(frozen=True)
class Example:
    """Inputs of a recurrence: sizes to be shrunk, and a seed.

    Attributes
    ----------
    T, B : int
        Steps and sequences.
    sizes : dict of str to int
        The length of each size word.
    gain : float
        How large the matrices are: 1 is ordinary, less vanishes, more saturates or grows.
    weights : {"mean", "uneven", "large"}
        The weights of the loss terms: all 1/(T B); between 0.2 and 1; up to 1000, signed, and some zero,
        with targets as large.
    seed : int
        Of everything else.
    keep : tuple of int, optional
        The gates of a random gradient, T of them or T B: 1 where one is open.
    """

    T: int
    B: int
    sizes: Mapping[str, int]
    gain: float = 1.0
    weights: Weights = "mean"
    seed: int = 0
    keep: tuple[int, ...] | None = None

    @property
    def title(self) -> str:
        """The sizes, for messages."""
        sizes = [f"T={self.T}", f"B={self.B}", *(f"{w}={n}" for w, n in self.sizes.items())]
        gates = [] if self.keep is None else [f"keep={''.join(map(str, self.keep))}"]
        return ", ".join(sizes + gates)

    def case(self, rec: Recurrence) -> Case:
        """The arrays as the checks want them."""
        regime = Regime("drawn", self.T, self.B, self.gain, 1e3 if self.weights == "large" else 1.0)
        rng = np.random.default_rng(self.seed)
        (drawn,) = recurrence_cases(rec, rng, (regime,), self.sizes)
        arrays = dict(drawn.arrays)
        if self.weights == "mean":
            arrays["weights"] = np.full((self.T, self.B), 1 / (self.T * self.B))
        if self.keep is not None:
            whole = len(self.keep) == self.T
            arrays[KEEP] = np.array(self.keep).reshape((self.T,) if whole else (self.T, self.B))
        return Case(self.title, arrays)

    def arrays(self, rec: Recurrence) -> dict[str, Array]:
        """The arrays as a caller knows them: by declared name, with initial states, ``weights``, ``keep``."""
        return outward(self.case(rec).arrays)


@dataclass(frozen=True)
class Inputs:
    """Inputs of a plain loss function.

    Attributes
    ----------
    given : dict of str to array
    seed : int
        Of the generator that they were drawn with, where they were.
    """

    given: Mapping[str, Any]
    seed: int = 0

    @property
    def title(self) -> str:
        """The shapes, for messages."""
        return ", ".join(f"{k}: {np.shape(v)}" for k, v in self.given.items())

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return sum(int(np.size(v)) for v in self.given.values())

    def __repr__(self) -> str:
        return f"inputs of seed {self.seed} ({self.title})" if self.seed else f"inputs ({self.title})"


@dataclass(frozen=True)
class Limits:
    """The largest T, B, and length of any other axis; and T where there is only one.

    Attributes
    ----------
    steps, batch, size : int
    only : int, optional
    """

    steps: int = MAX_STEPS
    batch: int = MAX_BATCH
    size: int = MAX_SIZE
    only: int | None = None


@st.composite
def drawn_examples(
    draw: Callable[..., Any], rec: Recurrence, limits: Limits, law: Law | None = None
) -> Example:
    """Examples; they shrink to the smallest T, then B, then sizes, then to ordinary numbers.

    With the law of some gates these are drawn too, whatever their probabilities; they shrink to closed ones.
    """
    steps = draw(st.integers(1, limits.steps)) if limits.only is None else limits.only
    batch = draw(st.integers(1, limits.batch))
    sizes = {w: draw(st.integers(n, max(n, limits.size))) for w, n in least_sizes(rec).items()}
    steps, batch = fixed_in(rec, {"T": steps, "B": batch}).values()
    sizes = fixed_in(rec, sizes)
    gain, weights = draw(st.sampled_from(GAINS)), draw(st.sampled_from(("mean", "uneven", "large")))
    seed = draw(st.integers(0, 2**32 - 1))
    keep = None if law is None else draw(drawn_gates(law.gates(law.probabilities(steps), batch)))
    return Example(steps, batch, sizes, gain, weights, seed, keep)


def drawn_gates(chances: Array) -> st.SearchStrategy[tuple[int, ...]]:
    """Gates 0 or 1 for these probabilities, in one row: always 1 where one is 1."""
    return st.tuples(*(st.just(1) if p == 1 else st.integers(0, 1) for p in chances.flat))


def count(name: str, value: Any) -> int:
    """A user's count, at least 1.

    Raises
    ------
    UsageError
        If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise UsageError(f"{name}={value!r:.60}; expected a whole number, at least 1.")
    return int(value)


def check_recurrence(rec: Any) -> Recurrence:
    """A user's recurrence.

    Raises
    ------
    UsageError
        If it is something else.
    """
    if not isinstance(rec, Recurrence):
        raise UsageError(f"rec={rec!r:.60}; expected a Recurrence, made by @bptt_verify.recurrence.")
    return rec
