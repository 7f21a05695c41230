"""False alarms and misses of the sequential test, measured; see docs/explanation/calibration.md."""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # isort: skip

from bptt_verify.check.budgets import Goal, Target  # isort: skip
from bptt_verify.check.sequential import judge_means  # isort: skip

GOAL = Goal(false_alarm=1e-2, smallest_bias=0.1, power=0.9, samples=20_000)


def normal(rng, d=1):
    """Normal noise, of a covariance drawn once."""
    mean, mix = rng.normal(size=d), 0.5 * rng.normal(size=(d, d))
    variance = np.trace(mix @ mix.T)
    return mean, (lambda n: mean + rng.normal(size=(n, d)) @ mix.T), variance


def lognormal(rng, sigma=1.0):
    """exp of a normal variable."""
    mean = np.exp(sigma**2 / 2)
    draw = lambda n: rng.lognormal(0, sigma, size=(n, 1))  # noqa: E731
    return np.array([mean]), draw, mean**2 * np.expm1(sigma**2)


def student(rng, df=3.0):
    """Student's t, whose fourth moment is infinite for df ≤ 4."""
    draw = lambda n: 1 + rng.standard_t(df, size=(n, 1)) / 2  # noqa: E731
    return np.ones(1), draw, df / (df - 2) / 4


def pareto(rng, a=2.5):
    """Pareto with a finite variance and an infinite fourth moment."""
    mean, variance = a / (a - 1), a / ((a - 1) ** 2 * (a - 2))
    return np.array([mean]), (lambda n: 1 + rng.pareto(a, size=(n, 1))), variance


def jumps(rng, p=0.01):
    """1/p with probability p, and 0 otherwise."""
    return np.ones(1), (lambda n: (rng.random((n, 1)) < p) / p), 1 / p - 1


def jumps_and_noise(rng, p=0.01):
    """The same with normal noise around it."""
    _, draw, variance = jumps(rng, p)
    return np.ones(1), (lambda n: draw(n) + 0.3 * rng.normal(size=(n, 1))), variance + 0.09


def recursion(rng, steps=5, d=1, radius=0.9, pi=0.5):
    """T7: z_t = A_t + ξ_t J_t z_{t-1}, with its exact mean and variance."""
    scale = radius / np.sqrt(d)
    J = np.full((steps, 1, 1), radius) if d == 1 else scale * rng.normal(size=(steps, d, d))
    A = np.ones((steps, 1)) if d == 1 else rng.normal(size=(steps, d))
    mean, second = A[0], np.outer(A[0], A[0])
    for t in range(1, steps):
        moved = J[t] @ mean
        second = (
            np.outer(A[t], A[t]) + np.outer(A[t], moved) + np.outer(moved, A[t]) + J[t] @ second @ J[t].T / pi
        )
        mean = A[t] + moved

    def draw(n):
        z = np.tile(A[0], (n, 1))
        for t in range(1, steps):
            z = A[t] + (rng.random((n, 1)) < pi) / pi * (z @ J[t].T)
        return z

    return mean, draw, float(np.trace(second - np.outer(mean, mean)))


def zero(rng, d=4):
    """Normal noise around zero; the scale is that of another block."""
    return np.zeros(d), (lambda n: 0.7 * rng.normal(size=(n, d))), 0.49 * d


RIGHT = {
    "normal, d = 1": (normal, {}),
    "normal, d = 8": (normal, {"d": 8}),
    "normal around zero, d = 4": (zero, {}),
    "lognormal, σ = 0.5": (lognormal, {"sigma": 0.5}),
    "lognormal, σ = 1": (lognormal, {"sigma": 1.0}),
    "lognormal, σ = 2": (lognormal, {"sigma": 2.0}),
    "Student, 3 degrees": (student, {"df": 3.0}),
    "Student, 2.1 degrees": (student, {"df": 2.1}),
    "Pareto, 2.5": (pareto, {}),
    "jumps, p = 0.1": (jumps, {"p": 0.1}),
    "jumps, p = 0.01": (jumps, {"p": 0.01}),
    "jumps, p = 0.001": (jumps, {"p": 0.001}),
    "jumps, p = 0.01, and noise": (jumps_and_noise, {"p": 0.01}),
    "jumps, p = 0.001, and noise": (jumps_and_noise, {"p": 0.001}),
    "T7, T = 3": (recursion, {"steps": 3}),
    "T7, T = 6": (recursion, {"steps": 6}),
    "T7, T = 20": (recursion, {"steps": 20}),
    "T7, T = 40": (recursion, {"steps": 40}),
    "T7, T = 5, d = 6": (recursion, {"steps": 5, "d": 6}),
    "T7, T = 12, d = 6": (recursion, {"steps": 12, "d": 6}),
}
BEYOND = {
    "jumps, p = 0.0001": (jumps, {"p": 0.0001}),
    "jumps, p = 0.0001, and noise": (jumps_and_noise, {"p": 0.0001}),
}
TOLD = {
    "normal, d = 1": (normal, {}),
    "normal, d = 8": (normal, {"d": 8}),
    "lognormal, σ = 0.5": (lognormal, {"sigma": 0.5}),
    "jumps, p = 0.3": (jumps, {"p": 0.3}),
    "T7, T = 3": (recursion, {"steps": 3, "pi": 0.7}),
    "T7, T = 3, d = 6": (recursion, {"steps": 3, "d": 6, "pi": 0.8}),
}


def judged(kind, options, seed, declared, bias=None):
    """The state of one estimator, whose mean is off by a part ``bias`` of the norm in a random direction."""
    rng = np.random.default_rng(seed)
    mean, draw, variance = kind(rng, **options)
    scale = float(np.linalg.norm(mean)) or 1.0
    shift = rng.normal(size=mean.size)
    shift *= (bias or 0.0) * scale / np.linalg.norm(shift)
    target = Target(mean - shift, scale, variance if declared else None)
    return judge_means(lambda n: {"block": draw(n)}, {"block": target}, GOAL)["block"].state


def table(kinds, count, declared, bias=None, start=0):
    """Print how often each kind is called wrong, left open, and called right; return the wrong ones."""
    total = 0
    for k, (name, (kind, options)) in enumerate(kinds.items()):
        states = [judged(kind, options, (start, k, j), declared, bias) for j in range(count)]
        wrong, open_, right = (states.count(s) for s in ("wrong", "open", "right"))
        total += wrong
        print(f"| {name} | {wrong} | {open_} | {right} |", flush=True)
    print(f"total: {total} wrong of {count * len(kinds)}", flush=True)
    return total


def main():
    """All four tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="estimators of each kind")
    count = parser.parse_args().count
    print(GOAL)
    for declared in (False, True):
        print(f"\nright, variance {'declared' if declared else 'estimated'}: wrong | open | right")
        table(RIGHT, count, declared, start=1 + declared)
        print(f"\nbias exactly {GOAL.smallest_bias}, variance {'declared' if declared else 'estimated'}")
        table(TOLD, count, declared, GOAL.smallest_bias, start=3 + declared)
    print("\nright, but outside of the assumption, variance estimated")
    table(BEYOND, count, False, start=5)
    print("\nthe same, variance declared")
    table(BEYOND, count, True, start=6)


if __name__ == "__main__":
    main()
