"""The terms c_tᵀ (J_t … J_{i+1}) A_i of a gradient sum (T1) at given arrays, lag by lag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bptt_verify.derivation import (
    OneStep,
    previous,
    state_jacobians,
    state_products,
    states_of,
    step_loss,
    with_own_parameters,
)
from bptt_verify.program import TIME, Program, evaluate
from bptt_verify.program import Array as Declared

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]

ENTRIES = 1 << 20  # of the terms of one parameter that are in memory at once


def signed_terms(program: Program, arrays: Arrays) -> Iterator[tuple[int, int, dict[str, Array]]]:
    """Every term of the gradient sum, lag by lag, in blocks of steps.

    Yields
    ------
    lag : int
        k = t - i.
    start : int
        The first step i of the block, counted from 0.
    terms : dict of str to array (steps, B, …)
        By parameter: c_tᵀ (J_t … J_{i+1}) A_i for i from ``start`` on and t = i + k.
    """
    before, vectors = cotangents(program, arrays)
    products = state_products(with_own_parameters(program))
    keys = {a.name for a in program.arrays if a.role == "param"} - products.zeros()
    products = products.keeping(keys | set(before))
    steps, batch = arrays["weights"].shape
    largest = max([arrays[k].size for k in keys], default=1)
    block = max(1, ENTRIES // (batch * largest))
    for lag in range(steps):
        earlier: list[dict[str, Array]] = []
        for start in range(0, steps - lag, block):
            rows = slice(start, min(start + block, steps - lag))
            out = results_of(products, arrays, {**before, **vectors}, rows)
            yield lag, start, {k: out[k] for k in keys}
            earlier.append({s: out[previous(s)] for s in vectors})
        # v_iᵀ J_i is the vector of step i - 1 at the next lag; step 1 has no step before it.
        vectors = {s: np.concatenate([part[s] for part in earlier])[1:] for s in vectors}


def lagged(program: Program, arrays: Arrays) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
    """The terms of each lag k = 0 … T - 1, summed over steps and sequences where a parameter is.

    Yields
    ------
    vectors : dict of str to array (T - k, B, …)
        By state: (J_t … J_{i+1})ᵀ c_t for i = 1 … T - k and t = i + k.
    products : dict of str to array
        The results of ``state_products`` for these vectors.
    """
    before, vectors = cotangents(program, arrays)
    products = state_products(program)
    steps = len(arrays["weights"])
    for lag in range(steps):
        out = results_of(products, arrays, {**before, **vectors}, slice(0, steps - lag))
        yield vectors, out
        vectors = {s: out[previous(s)][1:] for s in vectors}


def cotangents(program: Program, arrays: Arrays) -> tuple[dict[str, Array], dict[str, Array]]:
    """The states before each step, by key, and c_t = (∂L_t/∂h_t + ∂L_{t+1}/∂h_t)ᵀ by state."""
    before, after = trajectory(program, arrays)
    keys = {**before, **after}
    direct = results_of(step_loss(program).keeping(keys), arrays, keys)
    c = {s: direct[s].copy() for s in after}
    for s in after:
        c[s][:-1] += direct[previous(s)][1:]
    return before, c


def trajectory(program: Program, arrays: Arrays) -> tuple[dict[str, Array], dict[str, Array]]:
    """The states before each step by ``previous``, and after it by name."""
    values = evaluate(program, arrays)
    after = {s: values[v] for s, v in states_of(program).items()}
    before = {previous(s): np.concatenate((arrays[f"{s}0"][None], a[:-1])) for s, a in after.items()}
    return before, after


def results_of(step: OneStep, arrays: Arrays, given: Arrays, rows: slice | None = None) -> dict[str, Array]:
    """The results of a program of single steps, at some of the steps."""
    known = {**arrays, **{a.name: given[key] for key, a in step.given.items()}}
    rows = rows or slice(0, len(arrays["weights"]))
    shape = (rows.stop - rows.start, arrays["weights"].shape[1])

    def own(a: Declared) -> Array:
        value = known[a.name]
        if a.role == "param" and TIME in a.labels:
            return np.broadcast_to(value, (*shape, *value.shape))
        return value[rows] if TIME in a.labels else value

    values = evaluate(step.program, {a.name: own(a) for a in step.program.arrays if a.name in known})
    return {key: values[name] for key, name in step.program.results}


def measured(program: Program, arrays: Arrays) -> tuple[dict[str, Array], dict[str, Array]]:
    """The sizes of all terms: summed over the batch, and by sequence."""
    steps, batch = arrays["weights"].shape
    terms: dict[str, Array] = {}
    apart: dict[str, Array] = {}
    for lag, start, parts in signed_terms(program, arrays):
        for name in (a.name for a in program.arrays if a.name in parts):
            i = np.arange(start, start + len(parts[name]))
            terms.setdefault(name, np.zeros((steps, steps)))[i + lag, i] = norms(parts[name].sum(axis=1), 1)
            sizes = norms(parts[name], 2).T
            apart.setdefault(name, np.zeros((batch, steps, steps)))[:, i + lag, i] = sizes
    return terms, apart


def stacked_jacobians(program: Program, arrays: Arrays) -> Array:
    """J_t of the stacked states, (T, B, n, n)."""
    before, after = trajectory(program, arrays)
    blocks = results_of(state_jacobians(program), arrays, before)
    size = {s: a[0, 0].size for s, a in after.items()}
    shape = arrays["weights"].shape
    rows = [[blocks[f"d{s}/d{r}"].reshape(*shape, size[s], size[r]) for r in after] for s in after]
    return np.asarray(np.block(rows))


def norms(values: Array, kept: int) -> Array:
    """Euclidean norms over all axes but the first ``kept``; no square overflows or vanishes on the way."""
    flat = np.abs(values.reshape(*values.shape[:kept], -1))
    scale = flat.max(axis=-1, initial=0.0)
    unit = np.where(scale > 0, scale, 1.0)[..., None]
    with np.errstate(invalid="ignore"):  # inf / inf, which is not used
        lengths = scale * np.sqrt(np.sum((flat / unit) ** 2, axis=-1))
    return np.asarray(np.where(np.isfinite(scale), lengths, scale))


def spectral(matrices: Array) -> Array:
    """Spectral norms of matrices (…, n, n); inf where an entry is not finite."""
    found = np.full(matrices.shape[:-2], np.inf)
    finite = np.isfinite(matrices).all(axis=(-2, -1))
    found[finite] = np.linalg.norm(matrices[finite], 2, axis=(-2, -1))
    return found
