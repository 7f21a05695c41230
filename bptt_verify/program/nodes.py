"""The nodes of a Program: frozen data, no behaviour beyond small questions about itself.

Every array has *labels*, one per axis. A label is a size word, primed where the same size occurs
twice (``("n", "n'")`` for an n × n matrix); time ``"T"`` and batch ``"B"`` are labels like any other.
A label made of digits is a pack of that many slots. Labels are local to an equation, as in
``einsum``: a Ref says under which labels the axes of an array are read.

There are five kinds of equation. *Contract* (a sum of products) and *Pointwise* (one scalar
expression) carry the mathematics. *Peak* exists because log-sum-exp is only stable with a shift by
the maximum, to which it is invariant. *Pack* and *Select* exist because several gates that read the
same state should be one matrix product; they only say where numbers lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import sympy as sp

TIME, BATCH = "T", "B"

Labels = tuple[str, ...]
Role = Literal[
    "param",
    "input",
    "target",
    "initial",
    "weights",
    "mask",
    "gates",
    "cotangent",
    "tangent",
    "identity",
    "zero",
]


def size_of(label: str) -> str:
    """The size word of a label: ``size_of("n'") == "n"``."""
    return label.rstrip("'")


@dataclass(frozen=True)
class Ref:
    """An array as one equation reads it; ``shift=-1`` is the previous step, ``+1`` the next one."""

    name: str
    labels: Labels
    shift: int = 0


@lru_cache(maxsize=10_000)
def symbol(ref: Ref) -> sp.Symbol:
    """The SymPy symbol that stands for this Ref in a Pointwise expression (never printed as is)."""
    shift = f"@{ref.shift:+d}" if ref.shift else ""
    return sp.Symbol(f"{ref.name}{shift}[{','.join(ref.labels)}]", real=True)


def size_symbol(word: str) -> sp.Symbol:
    """The SymPy symbol of a size, for expressions such as a mean."""
    return sp.Symbol(f"|{word}|", integer=True, positive=True)


@dataclass(frozen=True)
class Contract:
    """``name[labels] = Σ over all other labels of the product of one or two operands``."""

    name: str
    labels: Labels
    operands: tuple[Ref, ...]


@dataclass(frozen=True)
class Pointwise:
    """``name[labels] = expr``, elementwise; an operand without some label is broadcast along it."""

    name: str
    labels: Labels
    expr: sp.Expr
    operands: tuple[Ref, ...]


@dataclass(frozen=True)
class Peak:
    """``name[labels] = max over the operand's other labels``; differentiated as a constant."""

    name: str
    labels: Labels
    operands: tuple[Ref]


@dataclass(frozen=True)
class Pack:
    """Concatenation along the pack label: member k fills ``slots[k]`` slots (1 adds the axis)."""

    name: str
    labels: Labels
    operands: tuple[Ref, ...]
    axis: int

    @property
    def slots(self) -> tuple[int, ...]:
        """How many slots each member fills."""
        return tuple(
            int(size_of(r.labels[self.axis])) if len(r.labels) == len(self.labels) else 1
            for r in self.operands
        )


@dataclass(frozen=True)
class Select:
    """Slots ``low … high-1`` of a pack; a single slot drops the axis."""

    name: str
    labels: Labels
    operands: tuple[Ref]
    axis: int
    low: int
    high: int


Equation = Contract | Pointwise | Peak | Pack | Select


@dataclass(frozen=True)
class Array:
    """An array a Program is given. ``index``: integer classes that stand for one-hot rows."""

    name: str
    role: Role
    labels: Labels
    index: bool = False


@dataclass(frozen=True)
class Carry:
    """A value that is read at a neighbouring step.

    ``shift=-1``: reading ``value`` one step back at t = 1 gives ``boundary``; ``end`` names its value
    at t = T. ``shift=+1``: reading one step ahead at t = T gives ``boundary``; ``end`` is t = 1.
    ``fed``: it is what a Feedback reads (T11), or the cotangent of that.
    """

    value: str
    boundary: str
    shift: int
    end: str
    fed: bool = False


@dataclass(frozen=True)
class Program:
    """Named equations over declared arrays; every name is assigned once.

    Attributes
    ----------
    name : str
    arrays : tuple of Array
        What it is given.
    equations : tuple of Equation
        In an order in which each step can be computed.
    carries : tuple of Carry
        The values read across steps.
    results : tuple of (public name, internal name)
        What it returns.
    """

    name: str
    arrays: tuple[Array, ...]
    equations: tuple[Equation, ...]
    carries: tuple[Carry, ...]
    results: tuple[tuple[str, str], ...]

    @cached_property
    def array(self) -> dict[str, Array]:
        """Declared arrays by name."""
        return {a.name: a for a in self.arrays}

    @cached_property
    def equation(self) -> dict[str, Equation]:
        """Equations by the name they define."""
        return {e.name: e for e in self.equations}

    @cached_property
    def carry(self) -> dict[str, Carry]:
        """Carries by the name of the carried value."""
        return {c.value: c for c in self.carries}

    @cached_property
    def end(self) -> dict[str, Carry]:
        """Carries by the name of their end value."""
        return {c.end: c for c in self.carries}

    def labels(self, name: str) -> Labels:
        """Labels of any array or value, end values included."""
        if name in self.array:
            return self.array[name].labels
        if name in self.equation:
            return self.equation[name].labels
        return self.equation[self.end[name].value].labels[1:]

    def names(self) -> Iterator[str]:
        """Every name in use."""
        yield from self.array
        yield from self.equation
        yield from self.end
