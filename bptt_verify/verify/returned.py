"""What somebody's gradient function returns, as a loss and gradients by its own names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from bptt_verify.errors import UnsupportedError, UsageError

Returned = Literal["dict", "tuple", "flat", "torch", "jax"]


def plain(value: Any) -> Any:
    """A number, array or tensor as NumPy has it."""
    tensor = value.detach().cpu() if hasattr(value, "detach") else value
    return np.asarray(tensor)


def gradients_by_name(
    returned: Any, kind: Returned, order: Sequence[str | None], sent: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The loss and the gradients, under the names of the function.

    Raises
    ------
    UsageError
        If what was returned is not of that kind.
    """
    if not isinstance(returned, tuple | list) or len(returned) < 2:
        raise UsageError(f"adapt: the function returned a {type(returned).__name__}; expected (loss, …).")
    loss, *rest = returned
    if kind == "tuple":
        return loss, _of_tuple(rest, order)
    if len(rest) != 1:
        raise UsageError(
            f"adapt: the function returned {len(returned)} things; expected (loss, gradients) with "
            f"gradients={kind!r}. For (loss, array, array, …) use gradients='tuple'."
        )
    if kind == "flat":
        return loss, _of_vector(plain(rest[0]), [n for n in order if n is not None], sent)
    if not isinstance(rest[0], Mapping):
        raise UsageError(f"adapt: the gradients are a {type(rest[0]).__name__}; expected a mapping.")
    return loss, dict(rest[0])


def _of_tuple(rest: Sequence[Any], order: Sequence[str | None]) -> dict[str, Any]:
    nested = len(rest) == 1 and isinstance(rest[0], tuple | list)
    found = list(rest[0] if nested else rest)
    if len(found) != len(order):
        raise UsageError(
            f"adapt: {len(found)} gradients were returned; expected the {len(order)} of order="
            f"{tuple(order)}. Write None for what is no gradient."
        )
    return {n: g for n, g in zip(order, found, strict=True) if n is not None}


def _of_vector(vector: Any, order: Sequence[str], sent: Mapping[str, Any]) -> dict[str, Any]:
    missing = [n for n in order if n not in sent]
    if missing:
        raise UsageError(f"adapt: order: {missing[0]!r} was not sent; expected among {', '.join(sent)}.")
    shapes = [np.shape(sent[n]) for n in order]
    counts = [int(np.prod(s)) for s in shapes]
    if vector.shape != (sum(counts),):
        raise UsageError(f"adapt: the gradient has shape {vector.shape}; expected ({sum(counts)},).")
    parts = np.split(vector, np.cumsum(counts)[:-1])
    return {n: p.reshape(s) for n, p, s in zip(order, parts, shapes, strict=True)}


def differentiated(
    framework: str, loss: Callable[..., Any], sent: Mapping[str, Any], order: Sequence[str | None]
) -> tuple[Any, dict[str, Any]]:
    """The loss of a function of tensors, and its gradients by the framework's own differentiation."""
    reals = [n for n in sent if np.asarray(sent[n]).dtype.kind == "f"]
    wanted = [n for n in order if n is not None and n in reals] if order else reals
    return (_by_torch if framework == "torch" else _by_jax)(loss, sent, wanted)


def _by_torch(loss: Any, sent: Mapping[str, Any], wanted: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    torch = framework_named("torch")
    tensors = {k: torch.tensor(v, requires_grad=k in wanted) for k, v in sent.items()}
    value = loss(**tensors)
    if not isinstance(value, torch.Tensor) or value.ndim:
        raise UsageError("adapt: gradients='torch'; expected a function that returns the loss, a 0-d tensor.")
    grads = torch.autograd.grad(value, [tensors[k] for k in wanted], allow_unused=True)
    return value, {k: np.zeros_like(sent[k]) if g is None else g for k, g in zip(wanted, grads, strict=True)}


def _by_jax(loss: Any, sent: Mapping[str, Any], wanted: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    jax = framework_named("jax")
    fixed = {k: v for k, v in sent.items() if k not in wanted}
    return jax.value_and_grad(lambda varied: loss(**fixed, **varied))({k: sent[k] for k in wanted})  # type: ignore[no-any-return]


def framework_named(name: str) -> Any:
    """The module of a framework that this library does not need by itself.

    Raises
    ------
    UnsupportedError
        If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        what = f"{name} is not installed ({error}); expected it, as it is needed here."
        raise UnsupportedError(f"{what} Install it with: pip install {name}") from error
