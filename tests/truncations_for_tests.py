"""Truncated gradients of the Elman cell written by hand, in the styles that people write them in."""

import numpy as np

PARAMS = ("W_hx", "W_hh", "b_h", "W_qh", "b_q")


def forward(a):
    """The states h_0 … h_T, the outputs' errors, and the loss."""
    h = [a["h0"]]
    for x in a["x"]:
        h.append(np.tanh(x @ a["W_hx"].T + h[-1] @ a["W_hh"].T + a["b_h"]))
    error = np.array(h[1:]) @ a["W_qh"].T + a["b_q"] - a["y"]
    weighted = a["weights"][:, :, None] * error
    return h, weighted, 0.5 * np.sum(weighted * error)


def readout(a, h, weighted):
    """The explicit parts, and zeros for the others."""
    grads = {k: np.zeros_like(a[k]) for k in (*PARAMS, "h0", "x")}
    grads["W_qh"] = np.einsum("tbq,tbn->qn", weighted, np.array(h[1:]))
    grads["b_q"] = weighted.sum(axis=(0, 1))
    return grads


def step_back(a, h, grads, t, adjoint):
    """One step of the backward recursion, and its contribution to the gradients; t from 1."""
    da = adjoint * (1 - h[t] ** 2)
    grads["W_hx"] += da.T @ a["x"][t - 1]
    grads["W_hh"] += da.T @ h[t - 1]
    grads["b_h"] += da.sum(axis=0)
    grads["x"][t - 1] += da @ a["W_hx"]
    return da @ a["W_hh"]


def detaching(k):
    """Frameworks: the state is detached where a chunk of k steps begins."""

    def fn(**a):
        h, weighted, loss = forward(a)
        grads = readout(a, h, weighted)
        for start in range(0, len(a["x"]), k):
            adjoint = 0.0
            for t in range(min(start + k, len(a["x"])), start, -1):
                adjoint = step_back(a, h, grads, t, adjoint + weighted[t - 1] @ a["W_qh"])
            if start == 0:
                grads["h0"] = adjoint
        return loss, grads

    return fn


def rerunning(tau):
    """Each loss term runs back on its own, over tau steps."""

    def fn(**a):
        h, weighted, loss = forward(a)
        grads = readout(a, h, weighted)
        for t in range(1, len(a["x"]) + 1):
            adjoint = weighted[t - 1] @ a["W_qh"]
            for i in range(t, max(0, t - tau), -1):
                adjoint = step_back(a, h, grads, i, adjoint)
            if t <= tau:
                grads["h0"] = grads["h0"] + adjoint
        return loss, grads

    return fn


def running_back(k1, k2):
    """Williams and Peng: every k1 steps back over k2 steps, with the losses of the last k1."""

    def fn(**a):
        h, weighted, loss = forward(a)
        grads = readout(a, h, weighted)
        steps = len(a["x"])
        for end in range(k1, steps + k1, k1):
            adjoint = np.zeros_like(a["h0"])
            for t in range(end, max(0, end - k2), -1):
                if t <= steps:
                    own = weighted[t - 1] @ a["W_qh"] if t > end - k1 else 0.0
                    adjoint = step_back(a, h, grads, t, adjoint + own)
            if end <= k2:
                grads["h0"] = grads["h0"] + adjoint
        return loss, grads

    return fn


def counting(weight, explicit=None, initial=None):
    """Any weight of each term: ``weight(t, i, T)``, ``explicit(t, T)``, and ``initial(t, T)`` for h0."""
    initial = initial or (lambda t, steps: weight(t, 1, steps))

    def fn(**a):
        h, weighted, loss = forward(a)
        steps = len(a["x"])
        counts = np.array([explicit(t, steps) if explicit else 1.0 for t in range(1, steps + 1)])
        grads = readout(a, h, weighted * counts[:, None, None])
        for t in range(1, steps + 1):
            adjoint = weighted[t - 1] @ a["W_qh"]
            for i in range(t, 0, -1):
                one = {k: np.zeros_like(g) for k, g in grads.items()}
                adjoint = step_back(a, h, one, i, adjoint)
                for k in grads:
                    grads[k] = grads[k] + weight(t, i, steps) * one[k]
            grads["h0"] = grads["h0"] + initial(t, steps) * adjoint
        return loss, grads

    return fn


def window(tau):
    """The weights of Window(tau)."""
    return lambda t, i, steps: float(t - i < tau)


def chunks(k1, k2):
    """The weights of Chunks(k1, k2)."""
    return lambda t, i, steps: float(i > k1 * -(-t // k1) - k2)
