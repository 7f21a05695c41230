"""Three mistakes in the gradient of ``char_rnn.py``; each of the functions runs, and trains a little."""

from __future__ import annotations

import char_rnn
import numpy as np


def missing_dh_next(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0):
    """The gradient from later steps is computed but never added: no credit flows through time."""

    def backward(y, xs, hs, ps, W_hx, W_hh, b_h, W_qh, b_q):
        dW_hx, dW_hh, db_h = np.zeros_like(W_hx), np.zeros_like(W_hh), np.zeros_like(b_h)
        dW_qh, db_q = np.zeros_like(W_qh), np.zeros_like(b_q)
        for t in reversed(range(len(y))):
            do = np.copy(ps[t])
            do[y[t]] -= 1
            dW_qh += do @ hs[t].T
            db_q += do.ravel()
            dh = W_qh.T @ do  # should be: + dh_next
            da = (1 - hs[t] ** 2) * dh
            dW_hx += da @ xs[t].T
            dW_hh += da @ hs[t - 1].T
            db_h += da.ravel()
            dh_next = W_hh.T @ da
        return {"W_hx": dW_hx, "W_hh": dW_hh, "b_h": db_h, "W_qh": dW_qh, "b_q": db_q, "h0": dh_next.ravel()}

    return char_rnn.over_batch(backward, x, y, W_hx, W_hh, b_h, W_qh, b_q, h0)


def h_t_for_h_prev(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0):
    """The recurrent weights are paired with the state they made, not with the one they saw."""

    def backward(y, xs, hs, ps, W_hx, W_hh, b_h, W_qh, b_q):
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
            dW_hh += da @ hs[t].T  # should be: hs[t - 1]
            db_h += da.ravel()
            dh_next = W_hh.T @ da
        return {"W_hx": dW_hx, "W_hh": dW_hh, "b_h": db_h, "W_qh": dW_qh, "b_q": db_q, "h0": dh_next.ravel()}

    return char_rnn.over_batch(backward, x, y, W_hx, W_hh, b_h, W_qh, b_q, h0)


def clipped_before_returning(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0):
    """Clipped inside: what is returned is an update rule's business, not the gradient of the loss."""
    loss, grads = char_rnn.loss_and_grad(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0)
    return loss, {name: np.clip(grad, -5, 5) for name, grad in grads.items()}
