"""Truncated gradients by forward evaluation alone: T5 and T6 without a backward pass.

A complex step carries a derivative in the imaginary parts. Truncation is then something that is done to a
state going forward: the state at which the reach of a loss term begins is held fixed, that is, replaced by
its real part, and the steps from there on are run again. The loss of every step is read off the states so
made, and explicit parts, which pass through no state, are there whatever is held fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bptt_verify.estimators import Chunks, Full, Window, kept
from bptt_verify.program import TIME, Program, evaluate
from bptt_verify.program.evaluation import NUMPY, Functions
from bptt_verify.program.surgery import opened_loss, previous, prune, states_of

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]
Truncation = Full | Window | Chunks


class TruncatedLoss:
    """The loss of a recurrence, whose derivatives by complex steps are those of an estimator.

    Parameters
    ----------
    program : Program
        The forward one.
    estimator : Full, Window or Chunks
    """

    def __init__(self, program: Program, estimator: Truncation) -> None:
        self.program, self.estimator = program, estimator
        self.result = dict(program.results)["loss"]
        self.forward = StateRuns(program)
        self.opened, self.given = opened_loss(program)

    def __call__(self, arrays: Arrays, functions: Functions = NUMPY) -> Any:
        """The loss; an array may have a stack axis, as in ``evaluate``."""
        if not any(np.iscomplexobj(a) for a in arrays.values()):
            return evaluate(self.program, arrays, functions=functions)[self.result]
        first = self.first(len(arrays["weights"]))
        return self.of_states(arrays, self.forward.truncated(arrays, first, functions), functions)

    def of_states(self, arrays: Arrays, after: Arrays, functions: Functions = NUMPY) -> Any:
        """The loss of given states (T, B, sizes)."""
        given = {**after, **{previous(s): _led(arrays[f"{s}0"], a) for s, a in after.items()}}
        known = {**arrays, **{a.name: given[key] for key, a in self.given.items()}}
        values = evaluate(self.opened, _declared(self.opened, known), functions=functions)
        return values[dict(self.opened.results)["loss"]]

    def first(self, steps: int) -> Array:
        """The number of the state at which the reach of each step begins; 0 is the initial state."""
        return np.asarray(kept(self.estimator, steps).argmax(axis=1))

    def entries(self, arrays: Arrays) -> int:
        """How many numbers one point of a stack adds to the largest array."""
        first = self.first(len(arrays["weights"]))
        starts = np.unique(first[first > 0])
        length = max([first.size, *(_length(first, s) * len(starts) for s in starts)])
        return length * sum(int(np.size(arrays[f"{s}0"])) for s in self.forward.states)


class StateRuns:
    """Runs of the states of a recurrence, from the initial state or again from later ones."""

    def __init__(self, program: Program) -> None:
        self.states = states_of(program)
        self.program = prune(replace(program, results=tuple(self.states.items())))

    def whole(self, arrays: Arrays, functions: Functions = NUMPY) -> dict[str, Array]:
        """The states after every step, (T, B, sizes), by name."""
        values = evaluate(self.program, _declared(self.program, arrays), functions=functions)
        return {s: values[v] for s, v in self.states.items()}

    def truncated(self, arrays: Arrays, first: Array, functions: Functions = NUMPY) -> dict[str, Array]:
        """The states, each run from state ``first[t - 1]``, held fixed unless it is the initial one."""
        after = self.whole(arrays, functions)
        starts = np.unique(first[first > 0])
        if not len(starts):
            return after
        again = self.again(arrays, after, starts, max(_length(first, s) for s in starts), functions)
        t = np.flatnonzero(first)
        places = t - first[t], np.searchsorted(starts, first[t])
        made = {}
        for s, a in after.items():
            made[s] = a.astype(np.result_type(a, again[s]))
            made[s][t] = again[s][places]
        return made

    def again(
        self, arrays: Arrays, after: Arrays, starts: Array, length: int, functions: Functions = NUMPY
    ) -> dict[str, Array]:
        """The states (length, starts, B, sizes) when the run begins anew at some of them, held fixed.

        A run that would go beyond T repeats the last step.
        """
        steps = len(arrays["weights"])
        rows = np.minimum(starts[None, :] + np.arange(length)[:, None], steps - 1)
        known = {a.name: arrays[a.name] for a in self.program.arrays if a.name in arrays}
        for a in self.program.arrays:
            if TIME in a.labels and a.name in known:
                known[a.name] = _merged(known[a.name][rows], 1)
        known |= {f"{s}0": _merged(np.real(a[starts - 1]), 0) for s, a in after.items()}
        values = evaluate(self.program, known, functions=functions)
        shape = (length, len(starts), -1)
        return {s: _split(values[v], shape) for s, v in self.states.items()}


def _length(first: Array, start: int) -> int:
    """How many steps must be run from a state, so that all that reach back to it are there."""
    return int(np.flatnonzero(first == start)[-1]) + 1 - int(start)


def _declared(program: Program, arrays: Arrays) -> dict[str, Array]:
    return {a.name: arrays[a.name] for a in program.arrays if a.name in arrays}


def _led(initial: Array, after: Array) -> Array:
    """The states before each step, from those after it."""
    if initial.ndim < after.ndim - 1:
        initial = np.repeat(initial[..., None], after.shape[-1], axis=-1)
    if after.ndim <= initial.ndim:
        after = np.repeat(after[..., None], initial.shape[-1], axis=-1)
    return np.concatenate((initial[None], after[:-1]))


def _merged(a: Array, axis: int) -> Array:
    """Two axes (starts, B) as one."""
    return a.reshape(*a.shape[:axis], a.shape[axis] * a.shape[axis + 1], *a.shape[axis + 2 :])


def _split(a: Array, shape: tuple[int, int, int]) -> Array:
    return a.reshape(shape[0], shape[1], a.shape[1] // shape[1], *a.shape[2:])
