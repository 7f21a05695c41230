"""Letters for the exact evaluation of T11 and T12: masks, and derivatives that are 0 or alike."""

from __future__ import annotations

from functools import cache

import numpy as np

from bptt_verify.proof.claims.examples import SIZES, Values
from bptt_verify.proof.evaluation import Value

STEP = 2  # the one step that reads something


def _drawn(rng: np.random.Generator, rows: str, columns: str) -> Value:
    return rng.integers(-2, 3, size=tuple(SIZES.get(x, 1) for x in (rows, columns))).astype(object)


def _mask(rng: np.random.Generator, value: int) -> Values:
    """This value from step 2 on, and anything before."""
    return {"m": lambda at: value if at[0] >= 2 else 7}


def _zero(rows: str, columns: str) -> Value:
    return np.zeros(tuple(SIZES.get(x, 1) for x in (rows, columns)), dtype=object)


def teacher(rng: np.random.Generator) -> Values:
    """Every step from the second on is fed its target."""
    return _mask(rng, 1)


def decoupled(rng: np.random.Generator) -> Values:
    """And reads the state before not at all; h_0 may be read."""
    first = _drawn(rng, "n", "n")
    return {**teacher(rng), "H": lambda at: _zero("n", "n") if at[0] >= 2 else first}


def free(rng: np.random.Generator) -> Values:
    """Every step from the second on is fed the own output."""
    return _mask(rng, 0)


def by_state(rng: np.random.Generator) -> Values:
    """A value that does not read what was fed."""
    return {"S": lambda at: _zero("q", "q")}


def unread(rng: np.random.Generator) -> Values:
    """And losses that do not read it either."""
    return {**by_state(rng), "b": lambda at: _zero("q", "1")}


def free_unread(rng: np.random.Generator) -> Values:
    """Free running, of such a recurrence."""
    return {**free(rng), **unread(rng)}


def same_mask(rng: np.random.Generator) -> Values:
    """Two masks that differ in the first step alone."""
    m = cache(lambda at: int(rng.integers(-2, 3)))
    return {"m": m, "m'": lambda at: m(at) if at[0] >= 2 else 7}


def _read_at(rng: np.random.Generator, step: int, a: Value, b: Value) -> Values:
    return {
        "A": lambda at: a if at == (step,) else 0 * a,
        "B": lambda at: b if at == (step,) else 0 * b,
    }


def one_step(rng: np.random.Generator) -> Values:
    """A parameter that step 2 alone reads."""
    return _read_at(rng, STEP, _drawn(rng, "n", "p"), _drawn(rng, "q", "p"))


def initial_state(rng: np.random.Generator) -> Values:
    """h_0, which step 1 reads."""
    h = cache(lambda at: _drawn(rng, "n", "n"))
    return {**_read_at(rng, 1, h((1,)), _zero("q", "n")), "H": h}


def first_fed(rng: np.random.Generator) -> Values:
    """u_1, which step 1 reads."""
    f, s = cache(lambda at: _drawn(rng, "n", "q")), cache(lambda at: _drawn(rng, "q", "q"))
    return {**_read_at(rng, 1, f((1,)), s((1,))), "F": f, "S": s}


def no_exposure(rng: np.random.Generator) -> Values:
    """Free running along the trajectory of teacher forcing."""
    shapes = {"A": ("n", "p"), "H": ("n", "n"), "c": ("n", "1"), "∂⁺L/∂w": ("1", "p")}
    one = {x: cache(lambda at, of=of: _drawn(rng, *of)) for x, of in shapes.items()}
    other = {x.replace("L", "L'") if "/" in x else f"{x}'": value for x, value in one.items()}
    return {**free(rng), **one, **other}
