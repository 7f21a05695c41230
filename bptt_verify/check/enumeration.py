"""The mean of a random gradient over all outcomes of its gates: a gradient function like any other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt_verify.check import noise
from bptt_verify.check.problem import Array, Arrays

GatedFunction = Callable[[Arrays, Array, Array], tuple[Any, Mapping[str, Any]]]
LOSS_ROUNDING = 1e5  # in units of eps: losses of two outcomes further apart than this are different


def outcomes(pi: Array) -> Iterator[tuple[float, Array]]:
    """Every outcome of independent gates that can happen, with its probability.

    Parameters
    ----------
    pi : array
        The probability of each gate to be open, above 0 and at most 1.

    Yields
    ------
    probability : float
    keep : array of float
        0 or 1 for every gate, of the shape of ``pi``; a gate with probability 1 is always open.
    """
    random = np.flatnonzero(pi < 1)
    chances = pi.reshape(-1)[random]
    for bits in itertools.product((0.0, 1.0), repeat=len(random)):
        keep = np.ones(pi.size)
        keep[random] = bits
        yield float(np.prod(np.where(np.array(bits) == 1, chances, 1 - chances))), keep.reshape(pi.shape)


@dataclass
class Mean:
    """The mean of a function of gates over all their outcomes.

    Attributes
    ----------
    fn : callable
        ``fn(arrays, keep, pi) -> (loss, grads)``.
    law : callable
        The probabilities of the gates at some arrays.
    uneven : str
        Two losses, if the loss was seen to depend on the gates.
    varies : bool
        Whether any gradient was seen to depend on the gates.
    calls : int
    """

    fn: GatedFunction
    law: Callable[[Arrays], Array]
    uneven: str = ""
    varies: bool = False
    calls: int = 0

    def __call__(self, arrays: Arrays) -> tuple[Any, dict[str, Array]]:
        """Loss and mean gradients, in the precision in which the function computes them."""
        pi = self.law(arrays)
        loss: Any = None
        first: dict[str, Array] = {}
        last: dict[str, Array] = {}
        sums: dict[str, Array] = {}
        for probability, keep in outcomes(pi):
            found, last = self._called(arrays, keep, pi)
            if not first:
                loss, first, sums = found, last, {k: np.zeros(g.shape) for k, g in last.items()}
            self._compare(loss, found, first, last, keep)
            for k, g in last.items():
                sums[k] += probability * g.astype(float)
        single = noise.working_precision(last.values()) is noise.SINGLE
        return loss, {k: v.astype(np.float32 if single else last[k].dtype) for k, v in sums.items()}

    def _called(self, arrays: Arrays, keep: Array, pi: Array) -> tuple[Any, dict[str, Array]]:
        self.calls += 1
        try:
            loss, grads = self.fn(arrays, keep, pi)
            return np.array(loss), {k: np.array(g) for k, g in grads.items()}
        except Exception as error:  # the function is foreign; the caller quotes whatever it raises
            error.args = (f"{error} (open gates: {_shown(keep)})",)
            raise

    def _compare(self, loss: Array, found: Array, first: Arrays, last: Arrays, keep: Array) -> None:
        if {k: g.shape for k, g in last.items()} != {k: g.shape for k, g in first.items()}:
            raise ValueError(f"the keys or shapes of the gradients depend on the gates ({_shown(keep)} open)")
        self.varies = self.varies or any(not np.array_equal(g, last[k]) for k, g in first.items())
        if loss.shape == found.shape == () and not self.uneven and loss.dtype.kind == "f":
            slack = LOSS_ROUNDING * noise.precision_of(found.dtype.type).eps * abs(loss)
            if abs(loss - found) > slack:
                self.uneven = f"{found:.6g} with {_shown(keep)} open, {loss:.6g} with all closed"


def _shown(keep: Array) -> str:
    """Which gates are open, counted from 1."""
    return ", ".join("/".join(str(int(k) + 1) for k in at) for at in np.argwhere(keep)) or "none"
