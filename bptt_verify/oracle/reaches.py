"""The terms of a gradient sum by forward evaluation: how much each loss term reaches back to each state.

Complex steps along every element of some arrays are carried forward from each state, held fixed, to each
later step, and summed with the derivatives c_t of the loss, which are complex steps in given states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt_verify.estimators import Full
from bptt_verify.oracle.truncated import TruncatedLoss
from bptt_verify.program import Program

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]

STEP = 1e-100  # of the complex steps
ENTRIES = 1 << 20  # numbers in one array at once


@dataclass(frozen=True)
class GradientParts:
    """A gradient, taken apart.

    Attributes
    ----------
    places : dict of str to slice
        Where the elements of each block are among all N.
    explicit : array (T, N)
        Row t - 1 is ∂L_t/∂w, with every state held fixed.
    reaching : array (T, T, N)
        ``[t - 1, s]`` is what the loss reading h_t adds when state s is held fixed: the terms of
        i = s + 1 … t. For s = 0 the initial state is free; entries with s ≥ t are zero.
    """

    places: Mapping[str, slice]
    explicit: Array
    reaching: Array


def gradient_parts(program: Program, arrays: Arrays, blocks: Sequence[str]) -> GradientParts:
    """Take the gradient of some arrays apart, at these arrays.

    Parameters
    ----------
    program : Program
        The forward one.
    arrays : mapping of str to array
    blocks : sequence of str
        Parameters, real inputs, initial states.
    """
    loss = TruncatedLoss(program, Full())
    sizes = [np.size(arrays[b]) for b in blocks]
    ends = np.cumsum([0, *sizes])
    places = {b: slice(int(ends[k]), int(ends[k + 1])) for k, b in enumerate(blocks)}
    after = loss.forward.whole(arrays)
    c = _cotangents(loss, arrays, after)
    steps, total = len(arrays["weights"]), int(ends[-1])
    explicit, reaching = np.zeros((steps, total)), np.zeros((steps, steps, total))
    most = max(1, ENTRIES // (steps**2 * sum(a[0].size for a in after.values())))
    for low in range(0, total, most):
        columns = np.arange(low, min(low + most, total))
        moved = _moved(arrays, places, columns)
        explicit[:, columns] = [_slopes(loss.of_states(one, after), columns) for one in _alone(moved)]
        reaching[:, :, columns] = _reaching(loss, moved, c, columns)
    return GradientParts(places, explicit, reaching)


def _moved(arrays: Arrays, places: Mapping[str, slice], columns: Array) -> dict[str, Array]:
    """The arrays with one complex step in each entry of the stack."""
    moved = dict(arrays)
    for block, place in places.items():
        a = np.asarray(arrays[block])
        stacked = np.repeat(a.reshape(-1, 1).astype(complex), len(columns), axis=1)
        own = np.flatnonzero((columns >= place.start) & (columns < place.stop))
        stacked[columns[own] - place.start, own] += 1j * STEP
        moved[block] = stacked.reshape(*a.shape, len(columns))
    return moved


def _alone(arrays: Arrays) -> Iterator[dict[str, Array]]:
    """The same arrays where only one step's loss counts, step by step."""
    for t in range(len(arrays["weights"])):
        weights = np.zeros_like(arrays["weights"])
        weights[t] = arrays["weights"][t]
        yield {**arrays, "weights": weights}


def _slopes(values: Any, columns: Array) -> Array:
    return np.broadcast_to(np.imag(values) / STEP, (len(columns),))


def _cotangents(loss: TruncatedLoss, arrays: Arrays, after: Arrays) -> dict[str, Array]:
    """c_t by state, (T, B, sizes), by complex steps in the given states."""
    total = sum(a.size for a in after.values())
    most = max(1, ENTRIES // total)
    rows = []
    for low in range(0, total, most):
        columns = np.arange(low, min(low + most, total))
        rows.append(_slopes(loss.of_states(arrays, _moved(after, _places(after), columns)), columns))
    c = np.concatenate(rows)
    return {s: c[place].reshape(after[s].shape) for s, place in _places(after).items()}


def _places(arrays: Arrays) -> dict[str, slice]:
    ends = np.cumsum([0, *(a.size for a in arrays.values())])
    return {k: slice(int(ends[i]), int(ends[i + 1])) for i, k in enumerate(arrays)}


def _reaching(loss: TruncatedLoss, moved: Arrays, c: Arrays, columns: Array) -> Array:
    steps = len(moved["weights"])
    out = np.zeros((steps, steps, len(columns)))
    after = loss.forward.whole(moved)
    for s, a in after.items():
        out[:, 0] += _along(c[s], _stacked(a, c[s], columns))
    if steps > 1:
        again = loss.forward.again(moved, after, np.arange(1, steps), steps - 1)
        for s, a in again.items():
            runs = _stacked(a, np.broadcast_to(c[s][0], a.shape[:2] + c[s].shape[1:]), columns)
            for start in range(1, steps):
                out[start:, start] += _along(c[s][start:], runs[: steps - start, start - 1])
    return out


def _stacked(a: Array, like: Array, columns: Array) -> Array:
    """Derivatives with the axis of the stack, also where nothing depends on it."""
    slopes = np.imag(a) / STEP
    return slopes if a.ndim > like.ndim else np.zeros((*a.shape, len(columns)))


def _along(c: Array, tangent: Array) -> Array:
    """Σ c · tangent over all axes but time and the stack's."""
    flat = tangent.reshape(len(c), -1, tangent.shape[-1])
    return np.asarray(np.einsum("tk,tkn->tn", c.reshape(len(c), -1), flat))
