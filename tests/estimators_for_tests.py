"""Randomized truncated gradients written by hand in NumPy, in several styles, right and wrong."""

import numpy as np

PARAMS = ("W_hx", "W_hh", "b_h", "W_qh", "b_q")


def elman_run(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights):
    """Loss, states and errors of an Elman network."""
    h = [h0]
    for t in range(len(x)):
        h.append(np.tanh(x[t] @ W_hx.T + h[t] @ W_hh.T + b_h))
    error = np.array(h[1:]) @ W_qh.T + b_q - y
    return 0.5 * np.sum(weights * np.sum(error**2, axis=2)), h, error * weights[:, :, None]


def elman_grads(arrays, gate, first=None, whole=None):
    """The gated recursion; ``gate(t)`` for t = 1 … T-1 (from 0) multiplies what step t sends to t - 1.

    ``whole(t)`` multiplies the adjoint of step t itself, ``first`` what step 0 sends to h0.
    """
    x, W_hx, W_hh, W_qh = (arrays[k] for k in ("x", "W_hx", "W_hh", "W_qh"))
    loss, h, do = elman_run(**arrays)
    grads = {k: np.zeros_like(arrays[k]) for k in PARAMS}
    carried = np.zeros_like(arrays["h0"])
    for t in reversed(range(len(x))):
        da = (do[t] @ W_qh + carried) * (1 - h[t + 1] ** 2)
        if whole is not None:
            da = whole(t) * da
        grads["W_qh"] += do[t].T @ h[t + 1]
        grads["b_q"] += do[t].sum(axis=0)
        grads["W_hx"] += da.T @ x[t]
        grads["W_hh"] += da.T @ h[t]
        grads["b_h"] += da.sum(axis=0)
        carried = da @ W_hh
        if whole is None:
            carried = gate(t) * carried if t or first is None else first * carried
    return loss, grads | {"h0": carried}


def named(function, *argument):
    """The function with its random arguments spelled out, as a user would write it."""

    def loss_and_grad(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, weights, xi):
        return function(dict(x=x, y=y, W_hx=W_hx, W_hh=W_hh, b_h=b_h, W_qh=W_qh, b_q=b_q, h0=h0, weights=weights), xi)

    return loss_and_grad
