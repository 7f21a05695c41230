"""A character RNN with its gradient written by hand, in the style of the tutorials.

One-hot column vectors, a dict of arrays per step, one loop forward and one loop back. Only the calling
convention is the library's: arrays by declared name, ``x`` and ``y`` of shape (T, B), ``h0`` of shape (B, n).
The loss is the cross entropy summed over time and batch.

``char_rnn_broken.py`` holds three versions with a mistake.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

LICENSE = Path(__file__).resolve().parents[2] / "LICENSE"


def loss_and_grad(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0):
    """Return the summed loss and a dict of its gradients."""
    return over_batch(backward, x, y, W_hx, W_hh, b_h, W_qh, b_q, h0)


def forward(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0):
    """Run one sequence: loss, and what the way back needs."""
    xs, hs, ps = {}, {-1: h0.reshape(-1, 1)}, {}
    loss = 0.0
    for t in range(len(x)):
        xs[t] = np.zeros((W_hx.shape[1], 1))
        xs[t][x[t]] = 1
        hs[t] = np.tanh(W_hx @ xs[t] + W_hh @ hs[t - 1] + b_h.reshape(-1, 1))
        o = W_qh @ hs[t] + b_q.reshape(-1, 1)
        ps[t] = np.exp(o) / np.sum(np.exp(o))
        loss += -np.log(ps[t][y[t], 0])
    return loss, xs, hs, ps


def backward(y, xs, hs, ps, W_hx, W_hh, b_h, W_qh, b_q):
    """Go back through one sequence."""
    dW_hx, dW_hh, db_h = np.zeros_like(W_hx), np.zeros_like(W_hh), np.zeros_like(b_h)
    dW_qh, db_q = np.zeros_like(W_qh), np.zeros_like(b_q)
    dh_next = np.zeros_like(hs[-1])
    for t in reversed(range(len(y))):
        do = np.copy(ps[t])
        do[y[t]] -= 1
        dW_qh += do @ hs[t].T
        db_q += do.ravel()
        dh = W_qh.T @ do + dh_next
        da = (1 - hs[t] ** 2) * dh
        dW_hx += da @ xs[t].T
        dW_hh += da @ hs[t - 1].T
        db_h += da.ravel()
        dh_next = W_hh.T @ da
    return {"W_hx": dW_hx, "W_hh": dW_hh, "b_h": db_h, "W_qh": dW_qh, "b_q": db_q, "h0": dh_next.ravel()}


def over_batch(backward, x, y, W_hx, W_hh, b_h, W_qh, b_q, h0):
    """Sum loss and parameter gradients over the sequences of a batch; stack the gradients of ``h0``."""
    params = W_hx, W_hh, b_h, W_qh, b_q
    loss, grads, dh0 = 0.0, {}, np.zeros_like(h0)
    for b in range(x.shape[1]):
        loss_b, xs, hs, ps = forward(x[:, b], y[:, b], *params, h0[b])
        grads_b = backward(y[:, b], xs, hs, ps, *params)
        loss += loss_b
        dh0[b] = grads_b.pop("h0")
        for name, grad in grads_b.items():
            grads[name] = grads.get(name, 0) + grad
    return loss, grads | {"h0": dh0}


def read_text(path=LICENSE):
    """Return the text as integers (characters in sorted order), and the characters."""
    text = Path(path).read_text(encoding="utf-8")
    chars, ids = np.unique(list(text), return_inverse=True)
    return ids, "".join(chars)


def streams(ids, batch):
    """Cut a text into equal streams side by side: ``x`` (T, B), and ``y``, the character after each."""
    steps = (len(ids) - 1) // batch
    x = ids[: steps * batch].reshape(batch, steps).T
    y = ids[1 : steps * batch + 1].reshape(batch, steps).T
    return x, y


def license_inputs(rng, hidden=8, steps=40, batch=2):
    """Draw parameters and ``h0`` at random; ``x`` and ``y`` are the beginnings of streams of the licence."""
    ids, chars = read_text()
    x, y = streams(ids, batch)
    n, v = hidden, len(chars)
    return {
        "x": x[:steps],
        "y": y[:steps],
        "W_hx": rng.normal(size=(n, v)) / 2,
        "W_hh": rng.normal(size=(n, n)) / np.sqrt(n),
        "b_h": rng.normal(size=n) / 2,
        "W_qh": rng.normal(size=(v, n)),
        "b_q": rng.normal(size=v) / 2,
        "h0": rng.uniform(-1, 1, size=(batch, n)),
    }
