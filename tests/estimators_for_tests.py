"""Randomized truncated gradients written by hand in NumPy, in several styles."""

import numpy as np

ELMAN = ("W_hx", "W_hh", "b_h", "W_qh", "b_q")


def elman_run(arrays):
    """Loss, states h_0 … h_T and weighted errors of an Elman network."""
    x, y, W_hx, W_hh = (arrays[k] for k in ("x", "y", "W_hx", "W_hh"))
    h = [arrays["h0"]]
    for t in range(len(x)):
        h.append(np.tanh(x[t] @ W_hx.T + h[t] @ W_hh.T + arrays["b_h"]))
    error = np.array(h[1:]) @ arrays["W_qh"].T + arrays["b_q"] - y
    weights = arrays["weights"][:, :, None]
    return 0.5 * np.sum(weights * error**2), h, weights * error


def elman(arrays, gate, whole=None):
    """One pass backwards; ``gate(t)`` multiplies what step t, from 0, sends to the step before it.

    With ``whole`` the whole adjoint of step t is multiplied instead.
    """
    loss, h, do = elman_run(arrays)
    grads = {k: np.zeros_like(arrays[k]) for k in ELMAN}
    carried = np.zeros_like(h[0])
    for t in reversed(range(len(do))):
        dh = do[t] @ arrays["W_qh"] + carried
        da = (dh if whole is None else whole(t) * dh) * (1 - h[t + 1] ** 2)
        _accumulate(grads, arrays["x"][t], h[t], h[t + 1], da, do[t])
        carried = da @ arrays["W_hh"] * (gate(t) if whole is None else 1)
    return loss, grads | {"h0": carried}


def elman_terms(arrays, weight):
    """The double sum; ``weight(t, i)`` multiplies the term of loss t and step i < t, i = -1 for h0.

    Lag by lag: all losses go one step further back at once.
    """
    loss, h, do = elman_run(arrays)
    h, T = np.array(h), len(do)
    slope = 1 - h[1:] ** 2
    grads = {"W_qh": _summed(do, h[1:]), "b_q": do.sum(axis=(0, 1))}
    grads |= {k: np.zeros_like(arrays[k]) for k in ELMAN if k not in grads}
    start = np.zeros_like(h[0])
    da = do @ arrays["W_qh"] * slope  # of loss i + lag at step i
    for lag in range(T):
        if lag:
            da = da[1:] @ arrays["W_hh"] * slope[: T - lag]
        counted = np.array([weight(i + lag, i) if lag else 1.0 for i in range(T - lag)])[:, None, None] * da
        grads["W_hx"] += _summed(counted, arrays["x"][: T - lag])
        grads["W_hh"] += _summed(counted, h[: T - lag])
        grads["b_h"] += counted.sum(axis=(0, 1))
        start += weight(lag, -1) * (da[0] @ arrays["W_hh"])
    return loss, grads | {"h0": start}


def _summed(left, right):
    """Sum over steps and sequences of outer products."""
    return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])


def _accumulate(grads, x, before, after, da, do):
    grads["W_hx"] += da.T @ x
    grads["W_hh"] += da.T @ before
    grads["b_h"] += da.sum(axis=0)
    grads["W_qh"] += do.T @ after
    grads["b_q"] += do.sum(axis=0)


def linear_forward(arrays, xi):
    """Forward mode, z_t = A_t + ξ_t J_t z_{t-1}, for a linear network with one gate a step."""
    x, y, W_hx, W_hh, W_qh, h = (arrays[k] for k in ("x", "y", "W_hx", "W_hh", "W_qh", "h0"))
    n, B = len(W_hh), x.shape[1]
    eye = np.eye(n)
    z = {
        "W_hx": np.zeros((B, n, n, x.shape[2])),
        "W_hh": np.zeros((B, n, n, n)),
        "h0": np.tile(eye, (B, 1, 1)),
    }
    grads = {k: np.zeros_like(arrays[k]) for k in ("W_hx", "W_hh", "W_qh", "h0")}
    loss = 0.0
    for t in range(len(x)):
        z = {k: xi[t] * np.einsum("ij,bj...->bi...", W_hh, v) for k, v in z.items()}
        z["W_hx"] = z["W_hx"] + np.einsum("ij,bd->bijd", eye, x[t])
        z["W_hh"] = z["W_hh"] + np.einsum("ij,bd->bijd", eye, h)
        h = x[t] @ W_hx.T + h @ W_hh.T
        error = h @ W_qh.T - y[t]
        do = arrays["weights"][t][:, None] * error
        loss += 0.5 * np.sum(do * error)
        grads["W_qh"] += do.T @ h
        c = do @ W_qh
        grads["h0"] += np.einsum("bi,bij->bj", c, z["h0"])
        for k in ("W_hx", "W_hh"):
            grads[k] += np.einsum("bi,bijd->jd", c, z[k])
    return loss, grads


def lstm(arrays, gate):
    """One pass backwards through an LSTM; ``gate(t)`` multiplies both carried states."""
    a = arrays
    x, y = a["x"], a["y"]
    h, c, saved = a["h0"], a["c0"], []
    for t in range(len(x)):
        pre = {k: x[t] @ a[f"W_{k}x"].T + h @ a[f"W_{k}h"].T + a[f"b_{k}"] for k in "ifgo"}
        i, f, o = (1 / (1 + np.exp(-pre[k])) for k in "ifo")
        g = np.tanh(pre["g"])
        new = f * c + i * g
        saved.append((h, c, i, f, g, o, new))
        h, c = o * np.tanh(new), new
    grads = {k: np.zeros_like(v) for k, v in a.items() if k[:2] in ("W_", "b_")}
    loss, dh, dc = 0.0, np.zeros_like(a["h0"]), np.zeros_like(a["c0"])
    for t in reversed(range(len(x))):
        h, c, i, f, g, o, new = saved[t]
        squashed = np.tanh(new)
        error = (o * squashed) @ a["W_qh"].T + a["b_q"] - y[t]
        do_t = a["weights"][t][:, None] * error
        loss += 0.5 * np.sum(do_t * error)
        grads["W_qh"] += do_t.T @ (o * squashed)
        grads["b_q"] += do_t.sum(axis=0)
        dh = dh + do_t @ a["W_qh"]
        dc = dc + dh * o * (1 - squashed**2)
        slopes = {
            "i": dc * g * i * (1 - i),
            "f": dc * c * f * (1 - f),
            "g": dc * i * (1 - g**2),
            "o": dh * squashed * o * (1 - o),
        }
        dh, dc = np.zeros_like(dh), gate(t) * dc * f
        for k, d in slopes.items():
            grads[f"W_{k}x"] += d.T @ x[t]
            grads[f"W_{k}h"] += d.T @ h
            grads[f"b_{k}"] += d.sum(axis=0)
            dh = dh + gate(t) * (d @ a[f"W_{k}h"])
    return loss, grads | {"h0": dh, "c0": dc}
