"""Part of rung 1: whether a backward step is the recursion of T2 for given J_t, A_t and c_t.

The theorem says what follows for every T; here one step is looked at, exactly: what it sends back must be
``∂L_t/∂h_{t-1} + J_tᵀ λ_t``, and its gradients ``∂L_t/∂w + λ_tᵀ A_t``, with ``λ_t = ∂L_t/∂h_t`` plus what
the next step sends back, which is given and arbitrary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.oracle.numeric import failed
from bptt_verify.oracle.points import Sizes, classes, given, index_text, shape, sized, sizes_text
from bptt_verify.program import Program, evaluate
from bptt_verify.program.functions import FUNCTIONS
from bptt_verify.verdict import Evidence, Finding

NAME = "one step of the recursion"
POINTS = 3
_DIGITS = 9  # where a root is not rational

Arrays = dict[str, Any]


@dataclass(frozen=True)
class CutStep:
    """A Program of one step, and the names of its arrays for ``"h"`` and for ``"h@-1"``, by state."""

    program: Program
    given: Mapping[str, str]


def recursion_evidence(
    forward: Program, step: CutStep, loss: CutStep, jacobian: Program, sizes: Mapping[str, int]
) -> Evidence:
    """Compare a backward step with T2, in rational arithmetic with opaque functions.

    Parameters
    ----------
    forward : Program
        Its carries are the states.
    step : CutStep
        The backward step: given what the next step sends back, by state; results under ``"h@-1"`` and
        under the names of parameters and inputs.
    loss : CutStep
        The derivatives of the step's loss with every state held fixed; results as those of ``step``, and
        under ``"h"``.
    jacobian : Program
        Results ``"d<state>/d<other>"``.
    sizes : mapping of str to int
        T and B are taken as 1.

    Returns
    -------
    Evidence
        ``"checked"`` if all numbers stayed rational, ``"tested"`` (to 9 digits) if a root needed decimals.
    """
    sizes = {**sizes, "T": 1, "B": 1}
    try:
        comparisons = [_Point(seed, forward, step, loss, jacobian, sizes) for seed in range(POINTS)]
        findings = tuple(f for c in comparisons for f in c.findings())
    except Exception as error:  # whatever a malformed program raises: nothing is known then
        return failed(NAME, sizes, error)
    exact = all(c.exact for c in comparisons)
    kind = "exactly, in rational numbers with opaque functions," if exact else f"to {_DIGITS} digits"
    summary = f"{comparisons[0].compared} entries {kind} at {POINTS} random points, {sizes_text(sizes)}"
    verdict = "refuted" if findings else "verified"
    return Evidence(NAME, "checked" if exact else "tested", verdict, summary, findings)  # type: ignore[arg-type]


class _Point:
    """Both sides at one random point."""

    def __init__(
        self,
        seed: int,
        forward: Program,
        step: CutStep,
        loss: CutStep,
        jacobian: Program,
        sizes: Sizes,
    ) -> None:
        self.random, self.sizes, self.exact, self.compared = Random(seed), sizes, True, 0
        self.table: dict[Any, Fraction] = {}
        self.drawn: Arrays = {}
        self.states = {c.boundary.removesuffix("0"): c.value for c in forward.carries}
        self.step = self._values(step.program, step.given)
        initial = {f"{s}0": self.drawn[f"{s}@-1"][0] for s in self.states}
        new = self._values(forward, {}, initial)
        own = {name: new[self.states[s]] for s, name in loss.given.items() if "@" not in s}
        self.loss = self._values(loss.program, loss.given, own)
        self.jacobian = self._values(jacobian, {}, initial)
        self.results = {k: self.step[v] for k, v in step.program.results}
        self.direct = {k: self.loss[v] for k, v in loss.program.results}
        self.local = {k: self.jacobian[v] for k, v in jacobian.results}

    def _values(self, program: Program, keys: Mapping[str, str], own: Arrays | None = None) -> Arrays:
        """Every value; arrays with the same key (or the same name) are the same numbers in all programs."""
        key = {name: k for k, name in keys.items()}
        arrays = {}
        for a in given(program):
            if own and a.name in own:
                arrays[a.name] = own[a.name]
            elif a.index:
                arrays[a.name] = classes(a, self.sizes)
            else:
                arrays[a.name] = self._array(key.get(a.name, a.name), shape(a.labels, self.sizes))
        functions = {kind: np.frompyfunc(self._opaque(kind), 1, 1) for kind in FUNCTIONS}
        return evaluate(sized(program, self.sizes), arrays, functions=functions, number=self._number)

    def _array(self, key: str, dims: tuple[int, ...]) -> Any:
        if key not in self.drawn:
            entries = np.empty(dims, dtype=object)
            for at in np.ndindex(dims):
                entries[at] = self._fraction()
            self.drawn[key] = entries
        return self.drawn[key]

    def _fraction(self) -> Fraction:
        return Fraction(self.random.randint(1, 60), self.random.randint(1, 60))

    def _opaque(self, kind: Any) -> Any:
        return lambda u: self.table.setdefault((kind, u), self._fraction())

    @staticmethod
    def _number(c: sp.Expr) -> Any:
        return Fraction(int(c.p), int(c.q)) if c.is_Rational else float(c)

    def findings(self) -> Iterator[Finding]:
        """Where the two sides differ."""
        adjoint = {s: self.direct[s] + self.drawn[s] for s in self.states}
        for key, found in self.results.items():
            other = key.removesuffix("@-1")
            expected = self.direct[key]
            for s in self.states:
                block = self.local[f"d{s}/d{other}"]
                expected = expected + self._product(adjoint[s], block, np.shape(expected))
            yield from self._differences(key, found, expected)

    @staticmethod
    def _product(adjoint: Any, block: Any, dims: tuple[int, ...]) -> Any:
        """``λᵀ`` times a block of derivatives, in the shape of the gradient."""
        rows = adjoint.size
        return (adjoint.reshape(1, rows) @ np.asarray(block, dtype=object).reshape(rows, -1)).reshape(dims)

    def _differences(self, key: str, found: Any, expected: Any) -> Iterator[Finding]:
        found, expected = np.asarray(found, dtype=object), np.asarray(expected, dtype=object)
        for at in np.ndindex(expected.shape):
            self.compared += 1
            a, b = found[at], expected[at]
            rational = all(isinstance(v, int | np.integer | Fraction) for v in (a, b))
            self.exact = self.exact and rational
            if (a != b) if rational else abs(a - b) > 10.0**-_DIGITS * max(abs(a), abs(b), 1):
                text = f"{index_text(key, at)}: the step has {float(a):.6g}, T2 says {float(b):.6g}"
                yield Finding(text, block=other_name(key), index=at, found=float(a), expected=float(b))


def other_name(key: str) -> str:
    """The block of a key: ``"h@-1"`` is the initial state's."""
    return f"{key.removesuffix('@-1')}0" if key.endswith("@-1") else key
