"""Truncation on real data: the bias of a window and the deviation of random gates, against what they cost.

An LSTM is trained for a while on the yearly sunspot numbers up to 1949; then the gradient at these
parameters is truncated, and everything about it is computed exactly, without sampling.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import train

import bptt_verify as bv

WINDOWS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120)
PROBABILITIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
FIGURE = Path("build/examples/truncation.svg")


class Row(NamedTuple):
    """One estimator: products J_tᵀ λ_t a run, and its bias or deviation relative to the gradient's norm."""

    value: float
    products: float
    error: float


class Comparison(NamedTuple):
    """All parameters together, for one set of arrays."""

    steps: int
    windows: list[Row]
    constant: list[Row]
    optimal: list[Row]


def trained(steps=200, hidden=16, years=249, seed=0):
    """Arrays of an LSTM after some steps of training on the first years of the series."""
    _, series = train.read_series()
    data = {"x": series[: years - 1, None, None], "y": series[1:years, None, None]}
    params = train.initial(bv.cells.lstm, {"d": 1, "q": 1, "n": hidden}, np.random.default_rng(seed))
    train.descend(bv.generate(bv.cells.lstm), params, data, steps, step_size=0.5, threshold=1.0)
    return {**data, **params}


def compare(arrays, windows=WINDOWS, probabilities=PROBABILITIES):
    """The bias of each window, and the deviation for each π: constant, and optimal at the same cost."""
    rec, steps = bv.cells.lstm, len(arrays["x"])
    curve = bv.truncation_bias(rec, 1, **arrays).curve
    found = Comparison(steps, [], [], [])
    for tau in (t for t in windows if t < steps):
        kernel = bv.generate(rec, estimator=bv.Window(tau))
        found.windows.append(Row(tau, kernel.estimate(**arrays).products, curve[tau - 1]))
    for pi in probabilities:
        deviation = _expected(bv.generate(rec, estimator=bv.Randomized(pi)), arrays).overall
        found.constant.append(Row(pi, pi * steps, deviation))
        best = bv.optimal_schedule(rec, arrays, pi * steps)
        found.optimal.append(Row(pi, best.products, deviation / np.sqrt(best.gain)))
    return found


def _expected(kernel, arrays):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bv.VarianceWarning)  # the table shows it
        return bv.expectation(kernel, **arrays)


def table(found):
    """The comparison as lines of text; errors are relative to the norm of the full gradient."""
    yield f"lstm on the sunspot series, T = {found.steps}; the full gradient makes {found.steps} products"
    yield "window τ     products  relative bias"
    for row in found.windows:
        yield f"{row.value:8d} {row.products:12.0f} {row.error:14.2e}"
    yield "constant π   products  relative deviation   with the optimal schedule"
    for row, best in zip(found.constant, found.optimal, strict=True):
        yield f"{row.value:10.2f} {row.products:10.1f} {row.error:19.2e} {best.error:27.2e}"


def plot(path, found):
    """Save the figure; return False without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "truncation"  # the same file for the same numbers
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    axes[0].semilogy(*_columns(found.windows, "value"), "C0o-", label="Window(τ): bias")
    axes[0].set(xlabel="τ", ylabel="relative to the norm of the gradient")
    axes[1].semilogy(*_columns(found.constant, "value"), "C1s-", label="constant π: deviation")
    axes[1].semilogy(*_columns(found.optimal, "value"), "C2^-", label="optimal π_t at that cost: deviation")
    axes[1].set(xlabel="π")
    axes[2].loglog(*_columns(found.windows, "products"), "C0o-", label="Window(τ): bias")
    axes[2].loglog(*_columns(found.constant, "products"), "C1s-", label="constant π: deviation")
    axes[2].loglog(*_columns(found.optimal, "products"), "C2^-", label="optimal π_t: deviation")
    axes[2].axvline(found.steps, color="grey", linestyle=":", label="full gradient")
    axes[2].set(xlabel="products $J_t^T$ λ a run")
    for ax in axes:
        ax.legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return True


def _columns(rows, name):
    return [getattr(row, name) for row in rows], [row.error for row in rows]


def main(path=FIGURE):
    """Print the table and save the figure."""
    found = compare(trained())
    print("\n".join(table(found)))
    path.parent.mkdir(parents=True, exist_ok=True)
    print(f"figure: {path}" if plot(path, found) else "no figure: matplotlib is not installed")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
