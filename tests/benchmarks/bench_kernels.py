"""Time of a kernel's ``loss_and_grad`` over the bare matrix products of the same shapes; see README.md."""

from __future__ import annotations

import os

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
os.environ |= dict.fromkeys(THREADS, "1")  # before NumPy is imported

import argparse  # noqa: E402
import time  # noqa: E402
from statistics import median  # noqa: E402

import numpy as np  # noqa: E402

import bptt_verify as bv  # noqa: E402

try:
    import torch
except ImportError:
    torch = None

GATES = {"elman": ("h",), "lstm": ("i", "f", "g", "o")}
CASES = [(100, 32, 64, 128, np.float64), (100, 1, 8, 32, np.float64), (128, 64, 128, 256, np.float32)]
READOUT = 32


def draw(cell, T, B, d, n, dtype):
    """Arrays for the kernel, at a scale where nothing saturates."""
    rng = np.random.default_rng(0)
    q = READOUT
    arrays = {"x": rng.normal(size=(T, B, d)), "y": rng.normal(size=(T, B, q)), "h0": rng.normal(size=(B, n))}
    if cell == "lstm":
        arrays["c0"] = rng.normal(size=(B, n))
    for gate in GATES[cell]:
        arrays[f"W_{gate}x"] = rng.normal(size=(n, d)) / np.sqrt(d)
        arrays[f"W_{gate}h"] = rng.normal(size=(n, n)) / np.sqrt(n)
        arrays[f"b_{gate}"] = rng.normal(size=n) / 10
    arrays |= {"W_qh": rng.normal(size=(q, n)) / np.sqrt(n), "b_q": np.zeros(q)}
    return {name: array.astype(dtype) for name, array in arrays.items()}


def bare_products(gates, T, B, d, n, dtype):
    """The matrix products that every implementation must do, gates stacked, into outputs made beforehand."""
    rng = np.random.default_rng(1)
    q, g = READOUT, gates * n

    def array(*shape):
        return rng.normal(size=shape).astype(dtype)

    x, h, da, do = array(T * B, d), array((T + 1) * B, n), array(T * B, g), array(T * B, q)
    W_x, W_h, W_q = array(g, d), array(g, n), array(q, n)
    a, dh, o = np.empty_like(da), np.empty((T * B, n), dtype), np.empty_like(do)
    dx, dW_x, dW_h, dW_q = (np.empty_like(like) for like in (x, W_x, W_h, W_q))
    before, after = h[: T * B], h[B:]
    rows = [slice(t * B, (t + 1) * B) for t in range(T)]
    forward = [(before[r], a[r]) for r in rows]
    backward = [(da[r], dh[r]) for r in reversed(rows)]
    dot, W_xT, W_hT, W_qT, daT, doT = np.dot, W_x.T, W_h.T, W_q.T, da.T, do.T

    def run():
        dot(x, W_xT, out=a)
        for h_t, a_t in forward:
            dot(h_t, W_hT, out=a_t)
        dot(after, W_qT, out=o)
        dot(do, W_q, out=dh)
        dot(doT, after, out=dW_q)
        for da_t, dh_t in backward:
            dot(da_t, W_h, out=dh_t)
        dot(daT, x, out=dW_x)
        dot(daT, before, out=dW_h)
        dot(da, W_x, out=dx)

    return run


def torch_step(cell, arrays):
    """PyTorch's own cell, a linear readout, the same loss; forward and backward, gradient of x included."""
    torch.set_num_threads(1)
    T, B, d = arrays["x"].shape
    q, n = arrays["W_qh"].shape
    dtype = torch.from_numpy(arrays["x"]).dtype
    net = (torch.nn.LSTM if cell == "lstm" else torch.nn.RNN)(d, n, dtype=dtype)
    readout = torch.nn.Linear(n, q, dtype=dtype)
    x, y = torch.from_numpy(arrays["x"]).requires_grad_(), torch.from_numpy(arrays["y"])
    states = [arrays[name] for name in ("h0", "c0") if name in arrays]
    initial = [torch.from_numpy(state)[None].requires_grad_() for state in states]
    start = tuple(initial) if cell == "lstm" else initial[0]
    leaves = [x, *initial, *net.parameters(), *readout.parameters()]

    def run():
        for leaf in leaves:
            leaf.grad = None
        hidden, _ = net(x, start)
        error = readout(hidden) - y
        loss = (error * error).sum() / (2 * T * B)
        loss.backward()

    return run


def medians(candidates, rounds, seconds=0.02):
    """Median time of one call of each, measured in rounds that take turns."""
    repeats = {}
    for name, run in candidates.items():
        run()
        start = time.perf_counter()
        run()
        repeats[name] = max(1, round(seconds / (time.perf_counter() - start)))
    times = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                run()
            times[name].append((time.perf_counter() - start) / repeats[name])
    return {name: median(values) for name, values in times.items()}


def core_type():
    """The kernel OpenBLAS chose for this machine, if it can be known."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown (threadpoolctl is not installed)"
    return ", ".join(sorted({pool.get("architecture", "?") for pool in threadpool_info()}))


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    settings = [f"{name}={os.environ[name]}" for name in os.environ if name.startswith("OPENBLAS_")]
    print(f"core type: {core_type()}; {' '.join(sorted(settings))}")
    print(f"{'cell':6} {'(T, B, d, n)':>20} {'dtype':>8} {'products':>11} {'kernel':>8} {'torch':>8}")
    for cell in GATES:
        for *sizes, dtype in CASES:
            arrays = draw(cell, *sizes, dtype)
            kernel = bv.generate(getattr(bv.cells, cell))
            candidates = {
                "products": bare_products(len(GATES[cell]), *sizes, dtype),
                "kernel": lambda kernel=kernel, arrays=arrays: kernel.loss_and_grad(**arrays),
            }
            if torch is not None:
                candidates["torch"] = torch_step(cell, arrays)
            took = medians(candidates, rounds)
            base = took["products"]
            other = f"{took['torch'] / base:7.2f}×" if torch is not None else "      -"
            print(
                f"{cell:6} {tuple(sizes)!s:>20} {np.dtype(dtype).name:>8} {base * 1e3:8.3f} ms "
                f"{took['kernel'] / base:7.2f}× {other}"
            )


if __name__ == "__main__":
    main()
