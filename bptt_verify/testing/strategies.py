"""Hypothesis strategies: inputs of a recurrence, gates and schedules of a random gradient, recurrences.

``st.from_type`` knows the types of recurrences and estimators too, once this module is imported.
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from bptt_verify.check import Array
from bptt_verify.errors import UsageError
from bptt_verify.estimators import Chunks, Geometric, Randomized, Schedule, Window, exact_probabilities
from bptt_verify.language import Recurrence, with_feedback
from bptt_verify.testing.examples import (
    MAX_BATCH,
    MAX_SIZE,
    MAX_STEPS,
    Example,
    Limits,
    check_recurrence,
    count,
    drawn_examples,
    drawn_gates,
)
from bptt_verify.testing.writer import RandomRecurrence, drawn_recurrences

SIMPLE = (1.0, 0.5, 0.25, 0.75, 0.1)
LEAST = 0.05  # no drawn probability is smaller


def examples(
    rec: Recurrence,
    *,
    feedback: str | None = None,
    max_steps: int = MAX_STEPS,
    max_batch: int = MAX_BATCH,
    max_size: int = MAX_SIZE,
) -> SearchStrategy[Example]:
    """Inputs of a recurrence as plain numbers: T, B, sizes, a regime, a seed; ``.arrays(rec)`` makes them.

    Parameters are those of ``problems``. An Example has a short ``repr``, which a failing test prints.
    """
    rec = with_feedback(check_recurrence(rec), feedback)
    limits = Limits(count("max_steps", max_steps), count("max_batch", max_batch), count("max_size", max_size))
    return drawn_examples(rec, limits)


def problems(
    rec: Recurrence,
    *,
    feedback: str | None = None,
    max_steps: int = MAX_STEPS,
    max_batch: int = MAX_BATCH,
    max_size: int = MAX_SIZE,
) -> SearchStrategy[dict[str, Array]]:
    """Arrays for a recurrence, as ``loss_and_grad(**arrays)`` takes them.

    Parameters
    ----------
    rec : Recurrence
    feedback : {"free", "teacher", "scheduled"}, optional
        What a Feedback is fed; ``"scheduled"`` adds the array ``mask``.
    max_steps, max_batch, max_size : int
        The largest T, B, and length of any other axis.

    Returns
    -------
    SearchStrategy
        Of dicts by declared name, with initial states and ``weights``, float64. Examples shrink to the
        smallest T, then B, then sizes.

    Raises
    ------
    UsageError
        If an argument is not as described.
    """
    moded = with_feedback(check_recurrence(rec), feedback)
    drawn = examples(moded, max_steps=max_steps, max_batch=max_batch, max_size=max_size)
    return drawn.map(lambda e: e.arrays(moded))


def gates(T: int, pi: Schedule, *, batch: int | None = None) -> SearchStrategy[Array]:
    """Gates ξ of a random gradient: 0 or 1/π_t, drawn as data, so that they shrink to closed gates.

    Parameters
    ----------
    T : int
    pi : number, sequence of T numbers, or Geometric
        The probabilities, as ``Randomized`` takes them. Where one is 1 the gate is open.
    batch : int, optional
        One gate a step and sequence.

    Returns
    -------
    SearchStrategy
        Of arrays (T,), or (T, batch).
    """
    chances = np.array([float(p) for p in exact_probabilities(Randomized(pi), count("T", T))])
    if batch is not None:
        chances = np.repeat(chances[:, None], count("batch", batch), axis=1)

    def made(keep: tuple[int, ...]) -> Array:
        return np.asarray(np.reshape(keep, chances.shape) / chances)

    return drawn_gates(chances).map(made)


def schedules(T: int) -> SearchStrategy[Schedule]:
    """Schedules of T steps for ``Randomized``: one number, one a step, or a Geometric; they shrink to 1."""
    length = count("T", T)
    chance = st.one_of(st.sampled_from(SIMPLE), st.floats(LEAST, 1.0))
    geometric = st.builds(Geometric, first=chance, ratio=st.floats(0.5, 1.5), minimum=chance)
    return st.one_of(chance, st.tuples(*[chance] * length), geometric)


def recurrences(*, feedback: bool = False) -> SearchStrategy[RandomRecurrence]:
    """Random small recurrences: an input x, a target y, up to three states, a loss.

    Parameters
    ----------
    feedback : bool
        Whether they have a Feedback u.

    Returns
    -------
    SearchStrategy
        Of recurrences whose ``repr`` is their text.
    """
    if not isinstance(feedback, bool):
        raise UsageError(f"recurrences: feedback={feedback!r:.40}; expected True or False.")
    return drawn_recurrences(feedback)


def register() -> None:
    """Tell ``st.from_type`` of recurrences and estimators."""
    lengths = st.integers(1, MAX_STEPS)
    st.register_type_strategy(Recurrence, recurrences())
    st.register_type_strategy(Window, st.builds(Window, lengths))
    st.register_type_strategy(Chunks, st.builds(lambda k, more: Chunks(k, k + more), lengths, lengths))
    st.register_type_strategy(Randomized, st.builds(Randomized, st.sampled_from(SIMPLE)))


register()
