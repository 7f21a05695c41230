"""Where a Program is looked at: concrete sizes, the gradient blocks, and points to evaluate at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.errors import UsageError
from bptt_verify.program import BATCH, TIME, Array, Equation, Pointwise, Program, size_of, size_symbol

Sizes = Mapping[str, int]
Point = dict[str, Any]

# Kinds of SymPy expression whose branch is decided by the numbers at a point.
KINKS = (sp.Max, sp.Min, sp.Piecewise, sp.Heaviside)

DIGITS = 40  # to which two exact sides have to agree
DECIMAL_DIGITS = 12

_TRIES = 6


def check_sizes(program: Program, sizes: Sizes) -> None:
    """Refuse sizes that leave a word of the program open, or that are not positive integers.

    Raises
    ------
    UsageError
    """
    words = [TIME, BATCH, *(size_of(x) for a in program.arrays for x in a.labels)]
    wanted = list(dict.fromkeys(w for w in words if not w.isdigit()))
    bad = [w for w in wanted if not isinstance(sizes.get(w), int | np.integer) or sizes[w] < 1]
    if bad:
        raise UsageError(
            f"{program.name}: sizes={dict(sizes)}; expected a positive integer for each of {wanted}. "
            f"Give one for {', '.join(bad)}."
        )


def sized(program: Program, sizes: Sizes) -> Program:
    """The program with every number in an expression exact: sizes become integers, decimals fractions."""
    return _exchanged(program, {size_symbol(w): sp.Integer(int(n)) for w, n in sizes.items()})


def rational(program: Program) -> Program:
    """The program with decimal constants read as fractions, to 15 digits; sizes stay symbols."""
    return _exchanged(program, {})


def _exchanged(program: Program, numbers: dict[sp.Expr, sp.Expr]) -> Program:
    def equation(e: Equation) -> Equation:
        if not isinstance(e, Pointwise):
            return e
        decimals = {c: sp.Rational(str(c.n(15))) for c in e.expr.atoms(sp.Float)}
        return replace(e, expr=e.expr.xreplace({**numbers, **decimals}))

    return replace(program, equations=tuple(equation(e) for e in program.equations))


def digits_of(*programs: Program) -> int:
    """To how many digits two exact sides have to agree: fewer if decimal constants have been rounded."""
    expressions = (e.expr for p in programs for e in p.equations if isinstance(e, Pointwise))
    return DECIMAL_DIGITS if any(e.has(sp.Float) for e in expressions) else DIGITS


def shape(labels: tuple[str, ...], sizes: Sizes) -> tuple[int, ...]:
    """The lengths of labelled axes."""
    words = map(size_of, labels)
    return tuple(int(w) if w.isdigit() else int(sizes[w]) for w in words)


def blocks(program: Program) -> dict[str, Array]:
    """The arrays that have a gradient: parameters, real inputs, initial states."""
    roles = ("param", "input", "initial")
    return {a.name: a for a in program.arrays if a.role in roles and not a.index}


def has_kinks(program: Program) -> bool:
    """Whether some expression has branches that depend on the point."""
    return any(isinstance(e, Pointwise) and e.expr.has(*KINKS) for e in program.equations)


def given(program: Program) -> list[Array]:
    """The arrays that a caller must supply (identities are supplied by the evaluation)."""
    return [a for a in program.arrays if a.role != "identity"]


def points(program: Program, sizes: Sizes, rng: np.random.Generator) -> Iterator[Point]:
    """Random float64 points; the later ones are positive, for logarithms and roots of plain numbers."""
    for k in range(_TRIES):
        yield {a.name: _draw(a, sizes, rng, positive=k >= _TRIES // 2) for a in given(program)}


def _draw(a: Array, sizes: Sizes, rng: np.random.Generator, positive: bool) -> Any:
    if a.index:
        return classes(a, sizes)
    dims = shape(a.labels, sizes)
    if a.role == "mask":
        return rng.integers(0, 2, dims).astype(float)
    return rng.uniform(0.25, 1.25, dims) if positive else rng.normal(size=dims)


def classes(a: Array, sizes: Sizes) -> Any:
    """Class numbers that cycle through all classes."""
    *front, last = shape(a.labels, sizes)
    return (np.arange(int(np.prod(front, dtype=int))) % last).reshape(front)


def sizes_text(sizes: Sizes) -> str:
    """``T=2, B=1, n=2``."""
    return ", ".join(f"{w}={n}" for w, n in sizes.items())


def index_text(block: str, index: tuple[int, ...]) -> str:
    """``W_hh[0, 1]``."""
    return f"{block}[{', '.join(map(str, index))}]" if index else block
