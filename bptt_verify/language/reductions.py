"""Reductions over all entries of a value. On NumPy arrays they compute."""

from __future__ import annotations

from typing import Any

import numpy as np

from bptt_verify.errors import SizeError
from bptt_verify.language.elementwise import exp
from bptt_verify.language.tracing import describe, here
from bptt_verify.language.values import Value, elementwise
from bptt_verify.program import size_symbol


def sum(v: Any, *, hint: str = "") -> Any:
    """The sum of all entries, a scalar."""
    if not isinstance(v, Value):
        return np.sum(v)
    return v if not v.sizes else Value("sum", (v,), (), hint=hint)


def mean(v: Any) -> Any:
    """The mean of all entries, a scalar."""
    if not isinstance(v, Value):
        return np.mean(v)
    count = 1
    for word in v.sizes:
        count = count * size_symbol(word)
    return elementwise("average", lambda s: s / count, sum(v), hint="mean") if v.sizes else v


def dot(u: Any, v: Any, *, hint: str = "") -> Any:
    """The inner product of two vectors of one size, a scalar."""
    if not isinstance(u, Value) and not isinstance(v, Value):
        return np.asarray(u) @ np.asarray(v)
    for a in (u, v):
        if not isinstance(a, Value) or len(a.sizes) != 1:
            raise SizeError(f"{here()}: dot({describe(u)}, {describe(v)}); expected two vectors.")
    if u.sizes != v.sizes:
        raise SizeError(f"{here()}: dot({describe(u)}, {describe(v)}); expected vectors of the same size.")
    return Value("matmul", (u, v), (), hint=hint)


def shifted(v: Any) -> Any:
    """``v - max(v)``: what softmax and log-sum-exp, invariant to a shift, exponentiate without overflow."""
    if not isinstance(v, Value):
        return v - np.real(v).max()
    if len(v.sizes) != 1:
        raise SizeError(f"{here()}: softmax of {describe(v)}; expected a vector.")
    return elementwise(
        "subtract", lambda a, b: a - b, v, Value("peak", (v,), (), hint="peak"), hint="shifted"
    )


def softmax(v: Any) -> Any:
    """``exp(v) / Σ exp(v)`` of a vector, without overflow."""
    e = exp(shifted(v))
    return e / sum(e, hint="total")
