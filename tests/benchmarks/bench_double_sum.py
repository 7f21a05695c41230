"""Cost and instability of the double sum against the recursion; see README.md."""

from __future__ import annotations

import argparse

from bench_kernels import core_type, draw, medians  # sets the number of threads; before NumPy is imported

import numpy as np  # isort: skip

import bptt_verify as bv

STEPS = (8, 16, 32, 64, 128, 256)
FITTED = 32  # exponents are fitted from this T on; below it the time of a call is not that of its products
SIZES = {"elman": (8, 16, 32), "lstm": (8, 16, 16)}  # B, d, n


def kernels(rec):
    """The gradient by recursion, and by the double sum."""
    return {m: bv.generate(rec, method=m).loss_and_grad for m in ("recursion", "double_sum")}


def exponent(steps, seconds):
    """The slope of log time over log T."""
    return np.polyfit(np.log(steps), np.log(seconds), 1)[0]


def cost(name, rounds):
    """Time of both for growing T."""
    B, d, n = SIZES[name]
    print(f"\n{name}, (B, d, n) = {(B, d, n)}, float64; J times vectors against J times matrices")
    print(f"{'T':>5} {'recursion':>12} {'double sum':>12} {'ratio':>7} {'vectors':>8} {'products':>9}")
    functions, seconds = kernels(getattr(bv.cells, name)), {}
    for T in STEPS:
        arrays = draw(name, T, B, d, n, np.float64)
        calls = {m: lambda f=f, a=arrays: f(**a) for m, f in functions.items()}
        took = medians(calls, rounds)
        for m, time in took.items():
            seconds.setdefault(m, []).append(time)
        one, two = took["recursion"], took["double_sum"]
        print(f"{T:5} {one * 1e3:9.3f} ms {two * 1e3:9.3f} ms {two / one:7.1f} {T:8} {T * (T - 1) // 2:9}")
    late = [k for k, T in enumerate(STEPS) if T >= FITTED]
    fits = {m: exponent(np.array(STEPS)[late], np.array(s)[late]) for m, s in seconds.items()}
    print(f"time grows as T^{fits['recursion']:.2f} and T^{fits['double_sum']:.2f} for T ≥ {FITTED}")


def linear_arrays(W_hh, T, B=2, q=3, readout=None):
    """A linear network at rest (x = 0, h_0 = 0): its forward pass is exact, and ∂L/∂x_t = λ_t."""
    rng, n = np.random.default_rng(0), len(W_hh)
    W_qh = rng.normal(size=(q, n)) / np.sqrt(n)
    if readout is not None:
        W_qh[:, ~readout] = 0
    arrays = {"x": np.zeros((T, B, n)), "y": rng.normal(size=(T, B, q)), "W_hx": np.eye(n)}
    arrays |= {"W_hh": W_hh, "W_qh": W_qh}
    return {k: a.astype(np.float32) for k, a in arrays.items()}


def chaotic_arrays(T, gain, masked, B=2, n=64, q=3):
    """A tanh network with random weights of some gain; masked: only the first 10 steps have a loss."""
    rng = np.random.default_rng(0)
    arrays = {"x": rng.normal(size=(T, B, n)) / 4, "y": rng.normal(size=(T, B, q)), "W_hx": np.eye(n)}
    arrays |= {"W_hh": gain * rng.normal(size=(n, n)) / np.sqrt(n), "b_h": np.zeros(n), "b_q": np.zeros(q)}
    arrays |= {"W_qh": rng.normal(size=(q, n)) / np.sqrt(n), "h0": rng.normal(size=(B, n))}
    arrays["weights"] = np.ones((T, B)) * (np.arange(T) < 10)[:, None] if masked else np.ones((T, B))
    return {k: a.astype(np.float32) for k, a in arrays.items()}


def error(found, wanted):
    """Relative error of the first step's ∂L/∂x: the sum of the longest products."""
    found, wanted = found["x"][0], wanted["x"][0]
    if not np.all(np.isfinite(found)):
        return np.inf
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def cases():
    """Recurrent matrices, and networks, by name: a function of T."""
    rng, n = np.random.default_rng(1), 16
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    gaussian = rng.normal(size=(n, n))
    gaussian /= np.abs(np.linalg.eigvals(gaussian)).max()
    jordan = 0.9 * np.eye(n) + 0.9 * np.eye(n, k=1)
    block = np.zeros((n, n))
    block[:-1, :-1], block[-1, -1] = 0.9 * np.linalg.qr(rng.normal(size=(n - 1, n - 1)))[0], 3.0
    calm = np.arange(n) < n - 1
    linear, elman = bv.cells.linear, bv.cells.elman
    return {
        "linear, 0.9 × rotation": (linear, lambda T: linear_arrays(0.9 * Q, T)),
        "linear, 1.1 × rotation": (linear, lambda T: linear_arrays(1.1 * Q, T)),
        "linear, random, spectral radius 1": (linear, lambda T: linear_arrays(gaussian, T)),
        "linear, Jordan block 0.9, coupling 0.9": (linear, lambda T: linear_arrays(jordan, T)),
        "linear, a factor 3 that no c_t excites": (linear, lambda T: linear_arrays(block, T, readout=calm)),
        "elman, gain 0.9": (elman, lambda T: chaotic_arrays(T, 0.9, False)),
        "elman, gain 3 (chaotic), loss masked after t = 10": (elman, lambda T: chaotic_arrays(T, 3.0, True)),
    }


def instability():
    """Relative error of λ_1 in float32 against float64, by recursion and by the double sum."""
    steps = (8, 32, 64, 128, 256, 512)
    print("\nrelative error of ∂L/∂x_1 in float32 against float64 (recursion / double sum); - is inf or NaN")
    print(f"{'T':>52} " + " ".join(f"{T:>15}" for T in steps))
    for name, (rec, arrays_for) in cases().items():
        functions, row = kernels(rec), []
        for T in steps:
            single = arrays_for(T)
            double = {k: a.astype(np.float64) for k, a in single.items()}
            with np.errstate(all="ignore"):
                wanted = functions["recursion"](**double)[1]
                errors = [error(f(**single)[1], wanted) for f in functions.values()]
            row.append(" / ".join(f"{e:.1e}" if np.isfinite(e) else "      -" for e in errors))
        print(f"{name:>52} " + " ".join(f"{text:>15}" for text in row))


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(f"core type: {core_type()}")
    for name in SIZES:
        cost(name, rounds)
    instability()


if __name__ == "__main__":
    main()
