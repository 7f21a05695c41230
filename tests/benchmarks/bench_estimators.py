"""Products and time of truncated and randomized gradients against the full one; see README.md."""

from __future__ import annotations

import argparse

from bench_kernels import core_type, draw, medians  # sets the number of threads; before NumPy is imported

import numpy as np  # isort: skip

import bptt_verify as bv

STEPS = 1000
SIZES = {"large": (32, 64, 128), "small": (1, 8, 32)}  # B, d, n
HALF = bv.Randomized(0.5)
OTHERS = (bv.Chunks(20, 20), bv.Chunks(20, 40), bv.Window(8))


def row(name, call, seconds, full, products):
    """One line of the table."""
    print(f"{name:>38} {products:>9} {seconds[call] * 1e3:9.2f} ms {seconds[call] / seconds[full]:6.2f}")


def products_drawn(kernel, arrays, draws=20):
    """Mean and largest number of products over fresh gates."""
    rng = np.random.default_rng(1)
    counts = [kernel.estimate(**arrays, rng=rng).products for _ in range(draws)]
    return np.mean(counts), max(counts)


def table(cell, label, rounds):
    """Every estimator at one size; a loss at every step, and at the last one only."""
    B, d, n = SIZES[label]
    rec = getattr(bv.cells, cell)
    every = draw(cell, STEPS, B, d, n, np.float64)
    last = every | {"weights": np.zeros((STEPS, B))}
    last["weights"][-1] = 1 / B
    full, half = bv.generate(rec), bv.generate(rec, estimator=HALF)
    others = {str(e): bv.generate(rec, estimator=e) for e in OTHERS}
    rng = np.random.default_rng(0)
    calls = {
        "forward": lambda: full.forward(**every),
        "full": lambda: full.loss_and_grad(**every),
        "full, last": lambda: full.loss_and_grad(**last),
        "open": lambda: half.loss_and_grad(**every, xi=np.ones(STEPS)),
        "half": lambda: half.loss_and_grad(**every, rng=rng),
        "half, last": lambda: half.loss_and_grad(**last, rng=rng),
    } | {name: (lambda k=k: k.loss_and_grad(**every)) for name, k in others.items()}
    seconds = medians(calls, rounds)
    print(f"\n{cell}, T = {STEPS}, (B, d, n) = {(B, d, n)}, float64: products, time, ratio to Full()")
    row("forward pass alone", "forward", seconds, "full", 0)
    row("Full()", "full", seconds, "full", STEPS)
    row("gates all open", "open", seconds, "full", STEPS)
    mean, _ = products_drawn(half, every)
    row("Randomized(0.5)", "half", seconds, "full", f"{mean:.1f}")
    for name, k in others.items():
        row(name, name, seconds, "full", k.estimate(**every).products)
    row("Full(), loss at the last step", "full, last", seconds, "full, last", STEPS)
    mean, most = products_drawn(half, last)
    row("Randomized(0.5), loss at the last step", "half, last", seconds, "full, last", f"{mean:.1f} ≤ {most}")


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(f"core type: {core_type()}")
    for cell in ("elman", "lstm"):
        for label in SIZES:
            table(cell, label, rounds)


if __name__ == "__main__":
    main()
