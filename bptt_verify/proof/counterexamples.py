"""Integers for which a statement is false."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt_verify.proof.evaluation import Indices, Model, Value, cases, integers
from bptt_verify.proof.kernel import Definition, Letter, Statement, entries


@dataclass(frozen=True)
class Counterexample:
    """Integers for which a statement is false.

    Attributes
    ----------
    indices : dict of str to int
    sizes : dict of str to int
    letters : dict of str to matrix
        Every member of a family that the two sides need, such as ``"J(2)"``.
    left, right : int or matrix
        The two sides.
    """

    indices: dict[str, int]
    sizes: dict[str, int]
    letters: dict[str, Value]
    left: Value
    right: Value

    def __str__(self) -> str:
        def plain(v: Value) -> str:
            if isinstance(v, tuple):
                return " or ".join(f"{value} (probability {chance})" for value, chance in v)
            return str(_fractions(v) if np.ndim(v) else v)

        at = ", ".join(f"{k} = {v}" for k, v in self.indices.items())
        given = ", ".join(f"{k} = {plain(v)}" for k, v in self.letters.items())
        return f"at {at}, with {given}: left {plain(self.left)}, right {plain(self.right)}"


def counterexample(
    s: Statement,
    definitions: tuple[Definition, ...] = (),
    *,
    most: int = 5,
    size: int = 2,
    tries: int = 20,
    draw: Callable[[np.random.Generator, int], Any] = integers,
) -> Counterexample | None:
    """The smallest integers found for which a statement is false: least indices, sizes, then entries.

    Returns
    -------
    Counterexample or None
        None if all that was tried satisfies the statement, which proves nothing.
    """
    words = sorted({w for e in _letters(s, definitions) for w in (e.rows, e.columns) if w not in ("", "1")})
    parameters = frozenset().union(*(d.free for d in definitions))
    every = cases(s, most, parameters)
    for indices in sorted(every, key=lambda v: (max(v.values(), default=0), sum(v.values()))):
        for n in range(1, size + 1):
            for attempt in range(tries):
                sizes = dict.fromkeys(words, n)
                rng = np.random.default_rng([attempt, n])
                model = Model(sizes, draw(rng, 1 + attempt // 10), definitions)
                if not model.holds(s, indices):
                    return _found(s, model, indices)
    return None


def _fractions(matrix: Value) -> str:
    """A matrix with its fractions as ``1/2``."""
    rows = (", ".join(map(str, row)) for row in matrix.tolist())
    return f"[{', '.join(f'[{row}]' for row in rows)}]"


def _letters(s: Statement, definitions: tuple[Definition, ...]) -> set[Letter]:
    terms = [s.left, s.right, *(c.body for d in definitions for c in d.cases)]
    return {e.letter for term in terms for e, _ in entries(term)}


def _found(s: Statement, model: Model, indices: Indices) -> Counterexample:
    left, right = model.value(s.left, indices), model.value(s.right, indices)
    letters = {
        f"{k.name}({','.join(map(str, at))})" if at else k.name: model.outcome.get((k, at), v)
        for (k, at), v in model.drawn.items()
    }
    names = {str(k): v for k, v in indices.items()}
    return Counterexample(names, dict(model.sizes), letters, left, right)
