"""The right gradient of something, and the wrong ones that are known: what ``power`` tries a test on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bptt_verify.check import Array, Arrays
from bptt_verify.derivation import adjoint
from bptt_verify.language import Recurrence
from bptt_verify.mutants import mutants
from bptt_verify.program import Program, evaluate
from bptt_verify.verify.adapters import Adapted
from bptt_verify.verify.problems import recurrence_problem

Returned = tuple[Any, dict[str, Array]]  # a loss, and gradients by name
Gradient = Callable[[Arrays], Returned]
REMEMBERED = 32  # points of which the right numbers are kept: a test calls all functions at the same ones


@dataclass(frozen=True)
class Mistake:
    """One wrong gradient.

    Attributes
    ----------
    name, description : str
        The mistake and its place; what the author of such code did.
    gradient : callable
        The wrong loss and gradients at some arrays.
    """

    name: str
    description: str
    gradient: Gradient


@dataclass(frozen=True)
class Known:
    """The right gradient, and the wrong ones.

    Attributes
    ----------
    name : str
    ready : callable
        The arrays of a call, checked, and with what was left out.
    right : callable
    wrong : sequence of Mistake
    telling : sequence of arrays
        Inputs on which mistakes show.
    """

    name: str
    ready: Callable[[Mapping[str, Any]], Arrays]
    right: Gradient
    wrong: Sequence[Mistake]
    telling: Sequence[Arrays]


class Remembered:
    """A function of arrays that keeps its last results."""

    def __init__(self, function: Callable[[Arrays], Any], most: int = REMEMBERED) -> None:
        self.function, self.most = function, most
        self.known: dict[bytes, Any] = {}

    def __call__(self, arrays: Arrays) -> Any:
        """The result, which must not be changed."""
        key = b"".join(np.ascontiguousarray(v).tobytes() for v in arrays.values())
        if key not in self.known:
            while len(self.known) >= self.most:
                del self.known[next(iter(self.known))]
            self.known[key] = self.function(arrays)
        return self.known[key]


def completed(rec: Recurrence, arrays: Mapping[str, Any]) -> Arrays:
    """The arrays of a call, checked; with zero states and the weights of a mean where they are left out."""
    stands_for = Adapted(completed, frozenset(arrays))
    return next(iter(recurrence_problem(rec, stands_for, arrays).draw(np.random.default_rng(0)))).arrays


def evaluated(program: Program, arrays: Arrays) -> Returned:
    """The loss and the gradients of an adjoint program."""
    with np.errstate(all="ignore"):
        values = evaluate(program, arrays)
    results = {k: values[v] for k, v in program.results}
    return results.pop("loss"), results


def of_recurrence(rec: Recurrence, telling: Sequence[Arrays]) -> Known:
    """Every known mistake at every place of a recurrence."""
    right = adjoint(rec.program)
    wrong = tuple(Mistake(m.name, m.description, partial(evaluated, m.program)) for m in mutants(right))
    return Known(rec.name, partial(completed, rec), Remembered(partial(evaluated, right)), wrong, telling)
