"""Reverse differentiation of a computation as it happens: every number remembers what it was made of.

This is how the truth about a recurrence is found, apart from the library's symbolic derivation: the
forward program is evaluated on these numbers, and every derivative is one sweep back.
"""

from __future__ import annotations

import heapq
from collections.abc import Set
from fractions import Fraction
from itertools import count
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.analysis.arithmetic import Arithmetic

_orders = count()


class Node:
    """A number, and the numbers it was computed from with the slopes by them."""

    __slots__ = ("arithmetic", "order", "parents", "value")
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, arithmetic: Arithmetic, value: Any, parents: tuple[tuple[Node, Any], ...] = ()
    ) -> None:
        self.arithmetic, self.value, self.parents = arithmetic, value, parents
        self.order = next(_orders)

    def __add__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented  # NumPy then adds to every entry
        if isinstance(other, Node):
            return Node(self.arithmetic, self.value + other.value, ((self, 1), (other, 1)))
        return Node(self.arithmetic, self.value + _plain(other), ((self, 1),))

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        if isinstance(other, Node):
            parents = ((self, other.value), (other, self.value))
            return Node(self.arithmetic, self.value * other.value, parents)
        other = _plain(other)
        return Node(self.arithmetic, self.value * other, ((self, other),))

    __radd__, __rmul__ = __add__, __mul__

    def __pow__(self, power: Any) -> Any:
        if isinstance(power, np.ndarray):
            return NotImplemented
        a = self.arithmetic
        exponent = _fraction(power)
        if exponent.denominator == 1:
            k = int(exponent)
            return Node(a, self.value**k, ((self, k * self.value ** (k - 1)),))
        value = a.power(self.value, exponent)
        return Node(a, value, ((self, a.number(exponent) * value / self.value),))

    def apply(self, kind: Any) -> Node:
        """An elementwise function of this number."""
        value = self.arithmetic.apply(kind, self.value)
        return Node(self.arithmetic, value, ((self, self.arithmetic.slope(kind, self.value, value)),))

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > value_of(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= value_of(other))

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < value_of(other))

    def __le__(self, other: Any) -> bool:
        return bool(self.value <= value_of(other))

    def __eq__(self, other: object) -> bool:
        return bool(self.value == value_of(other))


def value_of(entry: Any) -> Any:
    """The number of an entry, a node or a plain one."""
    return entry.value if isinstance(entry, Node) else _plain(entry)


def _plain(number: Any) -> Any:
    return number.item() if isinstance(number, np.generic) else number


def _fraction(power: Any) -> Fraction:
    if isinstance(power, sp.Rational):
        return Fraction(int(power.p), int(power.q))
    return Fraction(str(_plain(power))) if not isinstance(power, Fraction) else power


def sweep(top: Any, blocked: Set[int] = frozenset()) -> dict[int, Any]:
    """The derivative of ``top`` by every number it came from, by their order.

    Parameters
    ----------
    top : Node or number
    blocked : set of int
        Numbers (by order) that are held fixed: what they came from is not followed.
    """
    if not isinstance(top, Node):
        return {}
    slopes: dict[int, Any] = {top.order: 1}
    waiting = [(-top.order, top)]
    seen = {top.order}
    while waiting:
        _, node = heapq.heappop(waiting)
        if node.order in blocked and node is not top:
            continue
        own = slopes[node.order]
        for parent, slope in node.parents:
            if parent.order not in seen:
                seen.add(parent.order)
                slopes[parent.order] = own * slope
                heapq.heappush(waiting, (-parent.order, parent))
            else:
                slopes[parent.order] = slopes[parent.order] + own * slope
    return slopes
