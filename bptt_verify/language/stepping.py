"""Run the author's own function, step by step, on NumPy arrays: the meaning everything must agree with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt_verify.language.declarations import CARRIED
from bptt_verify.language.feedback import MASK_NEXT, inward, own_values, teacher
from bptt_verify.language.recurrences import Recurrence


def run(rec: Recurrence, arrays: Mapping[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """Loss, outputs and states by calling the author's function for every step and sequence.

    Parameters
    ----------
    rec : Recurrence
    arrays : mapping
        Everything by declared name, with what is carried at first, ``<name>0``, and ``weights``;
        time-major. Where the feedback is scheduled, ``mask`` (T, B).

    Returns
    -------
    loss : scalar
    outputs : array (T, B, …), or None
    states : dict of str to array (T, B, …)
        The states, and what is fed back.
    """
    arrays = inward(arrays)
    series = [*rec.inputs, *rec.targets]
    values = {n: _onehot(rec, n, arrays) if n in rec.onehot else np.asarray(arrays[n]) for n in series}
    steps, batch = values[series[0]].shape[:2]
    weights = np.asarray(arrays["weights"])
    loss: Any = 0.0
    outputs: list[list[Any]] = [[] for _ in range(steps)]
    states: dict[str, list[list[Any]]] = {s: [[] for _ in range(steps)] for s in rec.carried}
    params = {p: np.asarray(arrays[p]) for p in rec.params}
    for b in range(batch):
        state = {s: np.asarray(arrays[f"{s}0"])[b] for s in rec.carried}
        for t in range(steps):
            given = {n: v[t, b] for n, v in values.items()}
            step = rec.function(**given, **state, **params)
            fed = own_values(step, rec.declarations)
            scheduled = rec.mode == "scheduled" and arrays[MASK_NEXT][t, b] == 1
            if rec.mode == "teacher" or scheduled:
                fed = {u: given[teacher(u, rec.declarations)] for u in fed}
            state = {s: np.asarray(v) for s, v in {**step.states, **fed}.items()}
            loss = loss + weights[t, b] * step.loss
            outputs[t].append(step.output)
            for s in rec.carried:
                states[s][t].append(state[s])
    has_output = outputs[0][0] is not None
    return loss, np.array(outputs) if has_output else None, {s: np.array(v) for s, v in states.items()}


def _onehot(rec: Recurrence, name: str, arrays: Mapping[str, Any]) -> Any:
    word = rec.declarations[name].sizes[0]
    return np.eye(_size(rec, word, arrays))[np.asarray(arrays[name])]


def _size(rec: Recurrence, word: str, arrays: Mapping[str, Any]) -> int:
    """The length of a size, read off any array that has it."""
    for n, d in rec.declarations.items():
        if word in d.sizes and not d.onehot:
            array = np.asarray(arrays[f"{n}0" if d.role in CARRIED else n])
            return int(array.shape[array.ndim - len(d.sizes) + d.sizes.index(word)])
    raise KeyError(word)
