"""Time of jordan's kernel teacher-forced, which has no time loop, against running free; see README.md."""

from __future__ import annotations

import argparse

from bench_kernels import core_type, medians  # sets the number of threads; before NumPy is imported

import numpy as np  # isort: skip

import bptt_verify as bv

SIZES = ((1, 2, 8, 1), (8, 16, 32, 4), (32, 64, 128, 32), (64, 128, 256, 128))  # B, d, n, q
STEPS = (10, 100, 1000)
MODES = ("teacher", "free", "scheduled")


def draw(rec, T, B, d, n, q):
    """Arrays for the kernel of any mode, at a scale where nothing saturates; a mask of coins."""
    rng = np.random.default_rng(0)
    size = {"T": T, "B": B, "d": d, "n": n, "q": q}
    shapes = {name: [size[word] for word in words] for name, words in rec.params.items()}
    shapes |= {"x": (T, B, d), "y": (T, B, q), "u0": (B, q)}
    shapes |= {f"{state}0": (B, n) for state in rec.states}
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    for name, words in rec.params.items():
        arrays[name] /= np.sqrt(size[words[-1]])
    return arrays, rng.integers(2, size=(T, B)).astype(float)


def calls(rec, *sizes):
    """``loss_and_grad`` of every mode on the same arrays."""
    arrays, mask = draw(rec, *sizes)
    given = {mode: arrays | ({"mask": mask} if mode == "scheduled" else {}) for mode in MODES}
    kernels = {mode: bv.generate(rec, feedback=mode) for mode in MODES}
    return {mode: (lambda k=kernels[mode], a=given[mode]: k.loss_and_grad(**a)) for mode in MODES}


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    print(f"core type: {core_type()}")
    print(f"{'cell':15} {'(B, d, n, q)':>20} {'T':>5} {'teacher':>11} {'free':>8} {'scheduled':>10}")
    for rec in (bv.cells.jordan, bv.cells.elman_feedback):
        for sizes in SIZES:
            for T in STEPS:
                took = medians(calls(rec, T, *sizes), rounds)
                base = took["teacher"]
                others = f"{took['free'] / base:7.2f}× {took['scheduled'] / base:9.2f}×"
                print(f"{rec.name:15} {sizes!s:>20} {T:5d} {base * 1e3:8.3f} ms {others}", flush=True)


if __name__ == "__main__":
    main()
