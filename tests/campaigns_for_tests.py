"""Functions that a process pool can be sent: a right one, a wrong one, and two that kill their process."""

import os
import signal
from pathlib import Path

import numpy as np

import bptt_verify as bv

KERNEL = bv.generate(bv.cells.elman)
WINDOW = bv.generate(bv.cells.elman, estimator=bv.Window(3))
RANDOM = bv.generate(bv.cells.elman, estimator=bv.Randomized(0.5))
FLAG = "BPTT_VERIFY_TEST_FLAG"
HOME = "BPTT_VERIFY_TEST_HOME"


def right(**arrays):
    """The kernel."""
    return KERNEL.loss_and_grad(**arrays)


def wrong_where_long(**arrays):
    """Right for less than twelve steps."""
    loss, grads = KERNEL.loss_and_grad(**arrays)
    return loss, grads | ({"W_hh": 2 * grads["W_hh"]} if len(arrays["x"]) >= 12 else {})


def failing(**arrays):
    """Raises."""
    raise ArithmeticError("no luck")


def killed_once(**arrays):
    """Kills the process that runs it, the first time; never the one in which the test runs."""
    flag = Path(os.environ[FLAG])
    if not flag.exists() and str(os.getpid()) != os.environ[HOME]:
        flag.write_text("killed")
        os.kill(os.getpid(), signal.SIGKILL)
    return KERNEL.loss_and_grad(**arrays)


def killed_where_long(**arrays):
    """Kills the process that runs it wherever there are twenty steps."""
    if len(arrays["x"]) == 20 and str(os.getpid()) != os.environ[HOME]:
        os.kill(os.getpid(), signal.SIGKILL)
    return KERNEL.loss_and_grad(**arrays)


def windowed(**arrays):
    """The gradient of a window."""
    return WINDOW.loss_and_grad(**arrays)


def gated(xi, **arrays):
    """The gated recursion."""
    return RANDOM.loss_and_grad(**arrays, xi=xi)


def gates_unscaled(xi, **arrays):
    """1/π is forgotten."""
    return RANDOM.loss_and_grad(**arrays, xi=(xi > 0).astype(float))


def layer_loss(W, x, y):
    """A loss that is no recurrence."""
    return 0.5 * np.sum((np.tanh(x @ W.T) - y) ** 2)


def layer(W, x, y):
    """Its gradient, by hand."""
    a = np.tanh(x @ W.T)
    e = (a - y) * (1 - a * a)
    return layer_loss(W, x, y), {"W": e.T @ x, "x": e @ W, "y": y - a}


def layer_wrong_where_square(**arrays):
    """One gradient is transposed where that can be."""
    loss, grads = layer(**arrays)
    n, m = arrays["W"].shape
    return loss, grads | ({"W": grads["W"].T.copy()} if n == m > 1 else {})


def picky_loss(W):
    """Fails where the first number is negative."""
    if np.real(W.flat[0]) < 0:
        raise ArithmeticError("negative")
    return 0.5 * np.sum(W**2)


def picky(W):
    """Its gradient."""
    return picky_loss(W), {"W": W.copy()}


def picky_inputs(rng):
    """Mostly positive."""
    return {"W": rng.normal(size=(2, 3)) + 1}


def layer_inputs(rng):
    """Sizes vary."""
    n, m, k = rng.integers(1, 4, 3)
    return {"W": rng.normal(size=(n, m)), "x": rng.normal(size=(k, m)), "y": rng.normal(size=(k, n))}
