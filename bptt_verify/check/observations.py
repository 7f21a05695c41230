"""Cheap exact observations on wrong results: a factor, a sign, a transpose, all zeros, a name, a shape."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

import numpy as np

from bptt_verify.check.problem import Array, Arrays

MATCH = 1e-6  # relative; loose enough for numbers that carry rounding


def sizes(arrays: Arrays, steps: int | None) -> dict[str, int]:
    """Known sizes by name: T, and B read off the time-major arrays."""
    if steps is None:
        return {}
    known = {"T": steps}
    timed = [np.shape(a) for a in arrays.values() if np.ndim(a) >= 2 and np.shape(a)[0] == steps]
    deep = [s[1] for s in timed if len(s) >= 3] or [s[1] for s in timed if len(s) == 2]
    return {**known, "B": deep[0]} if deep else known


def _names(known: dict[str, int]) -> dict[str, float]:
    t, b = known.get("T"), known.get("B")
    named: dict[str, float] = {}
    if t:
        named |= {"T": t, "1/T": 1 / t}
    if b:
        named |= {"B": b, "1/B": 1 / b}
    if t and b:
        named |= {"T*B": t * b, "1/(T*B)": 1 / (t * b), "T/B": t / b, "B/T": b / t}
    return named


def factor(found: Array, expected: Array) -> float | None:
    """The constant c with found = c * expected in every element, if there is one other than 1."""
    if expected.size < 2 or not np.all(np.isfinite(found)):
        return None
    largest = int(np.argmax(np.abs(expected)))
    if not expected[largest]:
        return None
    c = float(found[largest] / expected[largest])
    gap = float(np.max(np.abs(found - c * expected)))
    fits = gap <= MATCH * abs(c) * abs(float(expected[largest]))
    return c if fits and c and abs(c - 1) > MATCH else None


def observe(found: Array, expected: Array, shape: tuple[int, ...], known: dict[str, int]) -> str:
    """What strikes the eye, as a clause; empty if nothing does.

    Parameters
    ----------
    found, expected : ndarray
        Compared elements, flat; the whole block if they are as many as `shape` says.
    shape : tuple of int
        Shape of the block.
    known : dict of str to int
        From `sizes`.
    """
    if found.size and np.all(found == 0):
        return "all elements are zero"
    c = factor(found, expected)
    if c is not None:
        return _factor_words(c, known)
    whole = found.size == int(np.prod(shape))
    if whole and len(shape) == 2 and shape[0] == shape[1] and np.all(np.isfinite(found)):
        turned = expected.reshape(shape).T.ravel()
        if np.max(np.abs(found - turned)) <= MATCH * np.max(np.abs(expected)):
            return "it is the transpose of the right gradient"
    return ""


def _factor_words(c: float, known: dict[str, int]) -> str:
    if abs(c + 1) < MATCH:
        return "every element has the wrong sign"
    same = [name for name, value in _names(known).items() if value != 1 and abs(c - value) <= MATCH * value]
    words = f" (= {' or '.join(same)})" if same else ""
    return f"every element is {c:.6g}{words} times the right one"


def nearest(block: str, keys: Iterable[str]) -> str | None:
    """The key that probably means a block: ``dW_hh``, ``grad_W_hh``, ``W_hh.grad``, ``w_hh`` or ``W_hj``."""
    by_core = {_core(k): k for k in keys}
    core = _core(block)
    if core in by_core:
        return by_core[core]
    close = get_close_matches(core, [c for c in by_core if len(c) > 1], 1, 0.6)
    return by_core[close[0]] if close else None


def _core(name: str) -> str:
    """A name without what is written around it to say that it is a gradient."""
    bare = re.sub(r"^(dL_?/?d_?|dLd|d_|d(?=[A-Z])|grad(ient)?s?[_.]?|g_)|[._]?grad(ient)?$|_bar$", "", name)
    return re.sub(r"[^0-9a-zA-Z]", "", bare or name).lower()


def shape_hint(found: tuple[int, ...], wanted: tuple[int, ...], known: Mapping[str, int]) -> str:
    """What a wrong shape looks like, as the end of a sentence; empty if like nothing known.

    ``known`` holds T and B where they are known.
    """
    if len(found) >= 2 and found == wanted[::-1]:
        return ": it is transposed"
    extra = len(found) - len(wanted)
    if extra > 0 and found[extra:] == wanted:
        axes = found[:extra]
        t, b = known.get("T"), known.get("B")
        what = {(t, b): "time and batch", (t,): "time", (b,): "batch"}.get(axes, "leading")
        return f": the {what} {'axis is' if extra == 1 else 'axes are'} not summed over"
    if int(np.prod(found)) == int(np.prod(wanted)):
        return ": the same number of elements in another shape"
    return ""
