"""Cheap exact observations on wrong numbers: a factor, a sign, a transpose, all zeros."""

from __future__ import annotations

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
