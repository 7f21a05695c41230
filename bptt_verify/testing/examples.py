"""One set of inputs of a recurrence, by the few numbers that it is made from, and how these are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st

from bptt_verify.check import Array, Case
from bptt_verify.errors import UsageError
from bptt_verify.language import Recurrence, outward
from bptt_verify.verify.cases import Regime, least_sizes, recurrence_cases

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
    """

    T: int
    B: int
    sizes: Mapping[str, int]
    gain: float = 1.0
    weights: Weights = "mean"
    seed: int = 0

    @property
    def title(self) -> str:
        """The sizes, for messages."""
        return ", ".join([f"T={self.T}", f"B={self.B}", *(f"{w}={n}" for w, n in self.sizes.items())])

    def case(self, rec: Recurrence) -> Case:
        """The arrays as the checks want them."""
        regime = Regime("drawn", self.T, self.B, self.gain, 1e3 if self.weights == "large" else 1.0)
        rng = np.random.default_rng(self.seed)
        (drawn,) = recurrence_cases(rec, rng, (regime,), self.sizes)
        arrays = dict(drawn.arrays)
        if self.weights == "mean":
            arrays["weights"] = np.full((self.T, self.B), 1 / (self.T * self.B))
        return Case(self.title, arrays)

    def arrays(self, rec: Recurrence) -> dict[str, Array]:
        """The arrays as a caller knows them: by declared name, with initial states and ``weights``."""
        return outward(self.case(rec).arrays)


@st.composite
def drawn_examples(
    draw: Callable[..., Any], rec: Recurrence, max_steps: int, max_batch: int, max_size: int
) -> Example:
    """Examples; they shrink to the smallest T, then B, then sizes, then to ordinary numbers."""
    steps, batch = draw(st.integers(1, max_steps)), draw(st.integers(1, max_batch))
    sizes = {w: draw(st.integers(n, max(n, max_size))) for w, n in least_sizes(rec).items()}
    gain, weights = draw(st.sampled_from(GAINS)), draw(st.sampled_from(("mean", "uneven", "large")))
    return Example(steps, batch, sizes, gain, weights, draw(st.integers(0, 2**32 - 1)))


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
