"""Functions that a process pool can be sent: a right one, a wrong one, and two that kill their process."""

import os
import signal
from pathlib import Path

import bptt_verify as bv

KERNEL = bv.generate(bv.cells.elman)
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
