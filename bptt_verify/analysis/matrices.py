"""Matrices whose sizes must fit: arithmetic on plain numbers, multiples of the identity, and 2-D arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Value = Any  # a number, an Identity, or a 2-D object array


class MisfitError(Exception):
    """Sizes that do not fit."""


@dataclass(frozen=True)
class Identity:
    """A multiple of the identity of whatever size is needed; 0 times it is an empty sum."""

    scale: Any


def is_matrix(value: Value) -> bool:
    """Whether a value has a size of its own."""
    return isinstance(value, np.ndarray)


def shape_text(value: Value) -> str:
    """``2×3``, or what has no size."""
    if is_matrix(value):
        return "×".join(map(str, value.shape))
    return "identity" if isinstance(value, Identity) else "scalar"


def add(a: Value, b: Value) -> Value:
    """A sum; a number is added to every entry of a vector, as in ``1 - h²``."""
    if isinstance(a, Identity) and isinstance(b, Identity):
        return Identity(a.scale + b.scale)
    if isinstance(b, Identity):
        a, b = b, a
    if isinstance(a, Identity):
        return _add_identity(a, b)
    if is_matrix(a) and is_matrix(b) and a.shape != b.shape:
        raise MisfitError(f"a sum of {shape_text(a)} and {shape_text(b)}")
    for one, other in ((a, b), (b, a)):
        if is_matrix(one) and not is_matrix(other) and min(one.shape) > 1:
            raise MisfitError(f"a sum of a number and a {shape_text(one)} matrix")
    return a + b


def _add_identity(a: Identity, b: Value) -> Value:
    if a.scale == 0:
        return b
    if not is_matrix(b):
        return a.scale + b
    if b.shape[0] != b.shape[1]:
        raise MisfitError(f"a sum of the identity and {shape_text(b)}")
    return b + diagonal_of(b.shape[0], a.scale)


def diagonal_of(size: int, scale: Any) -> Any:
    """A multiple of the identity as an array."""
    matrix = np.full((size, size), scale * 0, dtype=object)
    for k in range(size):
        matrix[k, k] = scale
    return matrix


def times(a: Value, b: Value) -> tuple[Value, bool]:
    """The matrix product, and whether it had to be read elementwise (two columns side by side)."""
    if isinstance(b, Identity):
        a, b = b, a
    if isinstance(a, Identity):
        return (b * a.scale if is_matrix(b) else scaled(a, _scale(b))), False
    if not is_matrix(a) or not is_matrix(b):
        return a * b, False
    if a.shape[1] == b.shape[0]:
        product = a @ b
        return (product[0, 0] if product.shape == (1, 1) else product), False
    if a.shape == b.shape and min(a.shape) == 1:
        return a * b, True
    raise MisfitError(f"a product of {shape_text(a)} and {shape_text(b)}")


def _scale(a: Value) -> Any:
    return a.scale if isinstance(a, Identity) else a


def scaled(a: Value, number: Any) -> Value:
    """A multiple."""
    return Identity(a.scale * number) if isinstance(a, Identity) else a * number


def hadamard(a: Value, b: Value) -> Value:
    """The elementwise product."""
    if isinstance(a, Identity) or isinstance(b, Identity):
        a, b = (b, a) if isinstance(a, Identity) else (a, b)
        if not is_matrix(a):
            return scaled(b, a) if not isinstance(a, Identity) else Identity(a.scale * b.scale)
        if b.scale != 0 and a.shape[0] != a.shape[1]:
            raise MisfitError(f"an elementwise product of {shape_text(a)} and the identity")
        return a * (diagonal_of(a.shape[0], b.scale) if b.scale != 0 else b.scale)
    if is_matrix(a) and is_matrix(b) and a.shape != b.shape:
        raise MisfitError(f"an elementwise product of {shape_text(a)} and {shape_text(b)}")
    return a * b


def outer(a: Value, b: Value) -> Value:
    """``a bᵀ`` of two vectors, rows or columns."""
    for v in (a, b):
        if isinstance(v, Identity) or (is_matrix(v) and min(v.shape) > 1):
            raise MisfitError(f"an outer product of {shape_text(a)} and {shape_text(b)}")
    return np.outer(np.ravel(a), np.ravel(b)).astype(object)


def transposed(a: Value) -> Value:
    """The transpose."""
    return a.T if is_matrix(a) else a


def diagonal(a: Value) -> Value:
    """The diagonal matrix of a vector."""
    if isinstance(a, Identity) or (is_matrix(a) and min(a.shape) > 1):
        raise MisfitError(f"diag of {shape_text(a)}; a vector is needed")
    entries = np.ravel(a)
    matrix = np.full((len(entries), len(entries)), entries[0] * 0, dtype=object)
    for k, entry in enumerate(entries):
        matrix[k, k] = entry
    return matrix


def power(a: Value, exponent: int) -> Value:
    """A power: repeated product of a square matrix, elementwise of a vector."""
    if isinstance(a, Identity):
        return Identity(a.scale**exponent)
    if is_matrix(a) and a.shape[0] == a.shape[1] and a.shape != (1, 1):
        if exponent < 0:
            raise MisfitError("a negative power of a matrix")
        result: Value = Identity(1)
        for _ in range(exponent):
            result, _elementwise = times(result, a)
        return result
    if is_matrix(a) and min(a.shape) > 1:
        raise MisfitError(f"a power of a {shape_text(a)} matrix")
    return a**exponent


def alike(claim: Value, truth: Value) -> Value | None:
    """The claim as an array of the truth's shape, or None if it has another one."""
    shape = truth.shape if is_matrix(truth) else (1, 1)
    if isinstance(claim, Identity):
        if claim.scale == 0:
            return np.full(shape, claim.scale, dtype=object)
        return diagonal_of(shape[0], claim.scale) if shape[0] == shape[1] else None
    array = claim if is_matrix(claim) else np.full((1, 1), claim, dtype=object)
    return array if array.shape == shape else None
