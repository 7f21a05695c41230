"""Products and sums with dots: ``J_t J_{t-1} ⋯ J_{i+1}``, ``c_1 + c_2 + … + c_T``.

The factors on both sides of the dots must be one pattern at two values of one letter.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any

from bptt_verify.notation.cursor import difference
from bptt_verify.notation.tree import Add, Letter, Number, Product, Tree, add, number

Form = dict[str, Fraction]
INDEX = (Number, Letter, Add, Product)


@dataclass(frozen=True)
class Pattern:
    """``body`` runs from ``first`` to ``last``; ``step`` is +1, -1, or 0 where only the ends are given."""

    first: Tree
    last: Tree
    body: tuple[Tree, ...]
    step: int
    used: int  # how many trees before the dots belong to it
    width: int  # how many trees after the dots belong to it


def pattern(before: list[Tree], after: list[Tree], variable: str) -> Pattern | None:
    """The pattern that the trees around dots follow, or None.

    Parameters
    ----------
    before, after : list of Tree
        What stands on both sides of the dots.
    variable : str
        A letter that is not in use.
    """
    for width in range(1, min(len(before), len(after), 4) + 1):
        final = tuple(after[:width])
        groups = [tuple(before[k - width : k]) for k in range(len(before), width - 1, -width)]
        found = _unified(groups[0], final, variable)
        if found is None:
            continue
        used, step = 1, 0
        while used < len(groups):
            gap = _gap(groups[used], groups[used - 1], variable)
            if gap not in (1, -1) or step not in (0, gap):
                break
            used, step = used + 1, int(gap)
        first, last, body = _unified(groups[used - 1], final, variable) or found
        return Pattern(first, last, body, step, used * width, width)
    return None


def _gap(a: tuple[Tree, ...], b: tuple[Tree, ...], variable: str) -> Fraction | None:
    """By how much the letter moves from one group to the next."""
    found = _unified(a, b, variable)
    if found is None:
        return None
    form = difference(found[1], found[0])
    return form.get("", Fraction(0)) if set(form) <= {""} else None


def _unified(
    a: tuple[Tree, ...], b: tuple[Tree, ...], variable: str
) -> tuple[Tree, Tree, tuple[Tree, ...]] | None:
    """The two values of the letter and the common pattern."""
    work = _Unification(variable)
    try:
        body = tuple(work.common(x, y) for x, y in zip(a, b, strict=True))
    except ValueError:  # they are not alike
        return None
    return (*work.ends, body) if work.ends else None


class _Unification:
    def __init__(self, variable: str) -> None:
        self.variable = variable
        self.ends: tuple[Tree, Tree] | None = None

    def common(self, a: Any, b: Any) -> Any:
        """The pattern of two trees, with the letter where their steps differ."""
        if a == b:
            return a
        if isinstance(a, Letter) and isinstance(b, Letter) and a.role == b.role and a.name == b.name:
            if a.index is None or b.index is None:
                raise ValueError("a step on one side only")
            return replace(a, index=self.step(a.index, b.index))
        if isinstance(a, INDEX) and isinstance(b, INDEX) and _is_index(a) and _is_index(b):
            return self.step(a, b)
        if type(a) is not type(b):
            raise ValueError("different kinds")
        if isinstance(a, tuple):
            if len(a) != len(b):
                raise ValueError("different lengths")
            return tuple(self.common(x, y) for x, y in zip(a, b, strict=True))
        if not hasattr(a, "__dataclass_fields__"):
            raise ValueError("different")
        names = [f.name for f in fields(a) if f.name != "at"]
        return replace(a, **{n: self.common(getattr(a, n), getattr(b, n)) for n in names})

    def step(self, a: Tree, b: Tree) -> Tree:
        """The letter plus a constant, so that both steps come out."""
        if a == b:
            return a
        if self.ends is None:
            self.ends = (a, b)
        shift, other = difference(a, self.ends[0]), difference(b, self.ends[1])
        if shift != other or not set(shift) <= {""}:
            raise ValueError("steps that do not run together")
        letter = Letter(self.variable, "index")
        constant = shift.get("", Fraction(0))
        return add([letter, number(int(constant))]) if constant else letter


def _is_index(tree: Tree) -> bool:
    """Whether a tree is made of numbers and index letters only."""
    match tree:
        case Number():
            return True
        case Letter():
            return tree.role in ("index", "count")
        case Add(terms=inner) | Product(factors=inner):
            return all(map(_is_index, inner))
    return False
