"""Clipping on real data: how much one step changes the loss, and how much it may, with and without a clip.

A small Elman network is trained on the yearly sunspot numbers. At every step the change of the loss is
compared with K η min(‖g‖, θ), where K is a Lipschitz constant of the loss on the ball that the step stays
in (claims T9 and T10).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import train

import bptt_verify as bv

STEP_SIZE, THRESHOLD = 0.2, 0.1
FIGURE = Path("build/examples/clipping.svg")


class Row(NamedTuple):
    """One step of training."""

    loss: float
    norm: float
    change: float
    bound: float


def arrays(hidden=8, years=41, seed=0):
    """The series, and parameters with ‖W_hh‖ < 1; the bound grows with its powers."""
    _, series = train.read_series()
    data = {"x": series[: years - 1, None, None], "y": series[1:years, None, None]}
    params = train.initial(bv.cells.elman, {"d": 1, "q": 1, "n": hidden}, np.random.default_rng(seed))
    return data, {name: 0.3 * a for name, a in params.items()}


def run(steps=25, threshold=THRESHOLD, hidden=8, years=41):
    """Loss, gradient norm, change and bound at every step; without a threshold the step is not clipped."""
    rec = bv.cells.elman
    data, params = arrays(hidden, years)
    kernel, rows = bv.generate(rec), []
    loss, grads = kernel.loss_and_grad(**data, **params)
    for _ in range(steps):
        norm = float(np.sqrt(sum(np.sum(grads[p] ** 2) for p in params)))
        length = STEP_SIZE * min(norm, threshold)
        limit = bv.lipschitz_bound(rec, length, **data, **params).value * length
        params = bv.clipped_update(params, grads, step_size=STEP_SIZE, threshold=threshold)
        before, (loss, grads) = loss, kernel.loss_and_grad(**data, **params)
        rows.append(Row(float(before), norm, abs(float(loss - before)), limit))
    return rows


def table(clipped, raw):
    """Some steps of both runs, as lines of text."""
    yield f"elman on the sunspot series, η = {STEP_SIZE:g}, θ = {THRESHOLD:g}"
    head = "    loss     ‖g‖   change    bound"
    yield f"step | {head}  (clipped) | {head}  (not clipped)"
    for k in sorted({*range(0, len(clipped), 5), len(clipped) - 1}):
        one, other = (" ".join(f"{v:8.2e}" for v in rows[k]) for rows in (clipped, raw))
        yield f"{k + 1:4d} | {one} | {other}"
    for name, rows in (("clipped", clipped), ("not clipped", raw)):
        shares = [r.change / r.bound for r in rows if 0 < r.bound < np.inf]
        most, middle = max(shares), np.median(shares)
        yield f"{name}: the change is at most {most:.2g} of its bound, in the median {middle:.2g}"


def plot(path, clipped, raw):
    """Save the figure; return False without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "clipping"  # the same file for the same numbers
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained", sharey=True)
    for ax, rows, title in ((axes[0], clipped, f"clipped, θ = {THRESHOLD:g}"), (axes[1], raw, "not clipped")):
        ax.semilogy([r.bound for r in rows], "C1-", label="K η min(‖g‖, θ)")
        ax.semilogy([r.change for r in rows], "C0o", markersize=3, label="change of the loss")
        ax.semilogy([r.loss for r in rows], "C2:", label="loss")
        ax.set(xlabel="step", title=title)
    axes[0].legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return True


def main(path=FIGURE):
    """Print the table and save the figure."""
    clipped, raw = run(), run(threshold=np.inf)
    print("\n".join(table(clipped, raw)))
    path.parent.mkdir(parents=True, exist_ok=True)
    print(f"figure: {path}" if plot(path, clipped, raw) else "no figure: matplotlib is not installed")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
