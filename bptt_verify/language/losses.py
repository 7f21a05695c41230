"""Losses of one step, numerically stable, for one sequence; the mean over T and B comes from the weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from bptt_verify.errors import SizeError
from bptt_verify.language.elementwise import exp, log, softplus
from bptt_verify.language.reductions import dot, shifted, sum
from bptt_verify.language.tracing import describe, here
from bptt_verify.language.values import Value


def squared_error(o: Any, y: Any) -> Any:
    """``½ ‖o - y‖²``."""
    _same(o, y, "squared_error")
    error = o - y
    if isinstance(error, Value):
        error.hint = "error"
    is_vector = len(error.sizes) == 1 if isinstance(error, Value) else np.ndim(error) == 1
    return (dot(error, error, hint="square") if is_vector else sum(error**2, hint="square")) / 2


def softmax_cross_entropy(o: Any, y: Any) -> Any:
    """``-Σ_k y_k log softmax(o)_k`` with class probabilities (or a one-hot class) ``y``."""
    _same(o, y, "softmax_cross_entropy")
    z = shifted(o)
    total = log(sum(exp(z), hint="total"))
    mass = 1 if isinstance(y, Value) and y.kind == "leaf" and y.hint == "onehot" else sum(y)
    return mass * total - dot(y, z)


def sigmoid_cross_entropy(o: Any, y: Any) -> Any:
    """``-Σ_k y_k log σ(o_k) + (1 - y_k) log(1 - σ(o_k))`` with targets between 0 and 1."""
    _same(o, y, "sigmoid_cross_entropy")
    return sum(y * softplus(-o) + (1 - y) * softplus(o))


def _same(o: Any, y: Any, name: str) -> None:
    if not isinstance(o, Value) and not isinstance(y, Value):
        return
    if not isinstance(o, Value) or not isinstance(y, Value) or o.sizes != y.sizes:
        raise SizeError(
            f"{here()}: {name}({describe(o)}, {describe(y)}); expected two values of the same size."
        )
