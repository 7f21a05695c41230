"""Contractions as NumPy: a matrix product where the labels allow it, otherwise ``einsum``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Labels = tuple[str, ...]
SizeText = Callable[[str], str]


@dataclass(frozen=True)
class Operand:
    """An array as it is read: its code and its labels."""

    code: str
    labels: Labels


@dataclass(frozen=True)
class Product:
    """``np.dot(left, right)``, whose result has the given shape before it is reshaped to the labels."""

    left: str
    right: str
    shape: tuple[str, ...]
    reshaped: bool


def matrix_product(a: Operand, b: Operand, out: Labels, size: SizeText) -> Product | None:
    """The two operands as matrices, or None where the labels do not group into one product."""
    kept_a = tuple(x for x in a.labels if x in out)
    kept_b = tuple(x for x in b.labels if x in out)
    summed = tuple(x for x in a.labels if x not in out)
    if set(kept_a) & set(kept_b) or set(summed) != {x for x in b.labels if x not in out} or not summed:
        return None
    if kept_a + kept_b != out:
        return matrix_product(b, a, out, size) if kept_b + kept_a == out and kept_a + kept_b != out else None
    summed_b = tuple(x for x in b.labels if x not in out)
    if summed != summed_b:
        return None
    left = _matrix(a, kept_a, summed, size)
    right = _matrix(b, summed, kept_b, size)
    if left is None or right is None:
        return None
    shape = tuple(_joined(g, size) for g in (kept_a, kept_b) if g)
    return Product(left, right, shape, len(kept_a) > 1 or len(kept_b) > 1)


def _joined(group: Labels, size: SizeText) -> str:
    return " * ".join(size(x) for x in group)


def _matrix(operand: Operand, rows: Labels, columns: Labels, size: SizeText) -> str | None:
    """The operand's code as a matrix (rows, columns), or a vector where one group is empty."""
    if operand.labels == rows + columns:
        return _reshaped(operand, rows, columns, size)
    if operand.labels == columns + rows:
        return f"{_reshaped(operand, columns, rows, size)}.T"
    return None


def _reshaped(operand: Operand, first: Labels, second: Labels, size: SizeText) -> str:
    if len(first) <= 1 and len(second) <= 1:
        return operand.code
    groups = [g for g in (first, second) if g]
    return f"{operand.code}.reshape({', '.join(_joined(g, size) for g in groups)})"


def einsum(operands: list[Operand], out: Labels) -> str:
    """The contraction as ``np.einsum``."""
    letters: dict[str, str] = {}
    for x in (*(x for o in operands for x in o.labels), *out):
        if x not in letters:
            plain = x.rstrip("'")[0].lower()
            free = plain if plain.isalpha() and plain not in letters.values() else None
            letters[x] = free or next(c for c in "ijklmnpqrsuvwxyz" if c not in letters.values())
    spell = ["".join(letters[x] for x in labels) for labels in (*(o.labels for o in operands), out)]
    return f'np.einsum("{",".join(spell[:-1])}->{spell[-1]}", {", ".join(o.code for o in operands)})'
