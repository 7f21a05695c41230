"""Gradient checkers that people use, as ``check(fn) -> bool`` at one set of inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bptt_verify.errors import UsageError
from bptt_verify.verify.returned import framework_named

GradientFunction = Callable[..., tuple[Any, Mapping[str, Any]]]
Checker = Callable[[GradientFunction], bool]
TOLERANCES = {"rtol": 1e-4, "atol": 1e-6, "eps": 1e-6}


def gradient_checker(
    asked: Mapping[str, Any] | str, right: GradientFunction, inputs: Mapping[str, Any]
) -> tuple[str, Checker]:
    """The name of a checker, and the checker.

    Parameters
    ----------
    asked : mapping or str
        Tolerances, or a tool with its arguments; see ``power``.
    right : callable
        The right gradient function; the blocks that it returns are checked, and its loss is differentiated.
    inputs : mapping of str to array

    Raises
    ------
    UsageError
        If no such checker is known, or an argument of it.
    UnsupportedError
        If the tool is not installed.
    """
    asked = {"tool": asked} if isinstance(asked, str) else asked
    if not isinstance(asked, Mapping):
        raise UsageError(f"check={asked!r:.60}; expected a function check(fn), tolerances, or a tool.")
    settings = dict(asked)
    tool = settings.pop("tool", None)
    made = {None: _differences, "scipy": _scipy, "torch": _torch, "jax": _jax}
    if tool not in made:
        raise UsageError(f"check: tool={tool!r:.40}; expected scipy, torch or jax.")
    if tool is None and set(settings) - set(TOLERANCES):
        raise UsageError(f"check={dict(asked)!r:.80}; expected tolerances among {', '.join(TOLERANCES)}.")
    arrays = {k: np.asarray(v) for k, v in inputs.items()}
    blocks = [k for k in right(**arrays)[1] if k in arrays]
    listed = ", ".join(f"{k}={v!r}" for k, v in (TOLERANCES | settings if tool is None else settings).items())
    names = {
        None: "central differences",
        "scipy": "scipy.optimize.check_grad",
        "torch": "torch.autograd.gradcheck",
        "jax": "jax.test_util.check_grads",
    }
    name = names[tool] + (f" with {listed}" if listed else "")
    return name, made[tool](settings, right, arrays, blocks)


def _differences(
    settings: dict[str, Any], right: GradientFunction, arrays: dict[str, Any], blocks: Sequence[str]
) -> Checker:
    """``np.allclose`` against central differences, computed once: a mistake does not move the loss."""
    chosen = TOLERANCES | settings
    eps = chosen["eps"]
    found: dict[str, Any] = {}
    for b in blocks:
        slopes = np.zeros(arrays[b].shape)
        for k in np.ndindex(*arrays[b].shape):
            losses = []
            for sign in (1, -1):
                moved = arrays[b].copy()
                moved[k] += sign * eps
                losses.append(float(right(**{**arrays, b: moved})[0]))
            slopes[k] = (losses[0] - losses[1]) / (2 * eps)
        found[b] = slopes

    def check(fn: GradientFunction) -> bool:
        grads = fn(**arrays)[1]
        return all(np.allclose(grads[b], found[b], chosen["rtol"], chosen["atol"]) for b in blocks)

    return check


def _remembering(right: GradientFunction, blocks: Sequence[str]) -> Callable[[Mapping[str, Any]], float]:
    """The loss, computed once at each point: every mistake is tried at the same ones."""
    seen: dict[bytes, float] = {}

    def loss(arrays: Mapping[str, Any]) -> float:
        key = b"".join(np.asarray(arrays[b]).tobytes() for b in blocks)
        if key not in seen:
            seen[key] = float(right(**arrays)[0])
        return seen[key]

    return loss


def _unflat(vector: Any, arrays: Mapping[str, Any], blocks: Sequence[str]) -> dict[str, Any]:
    parts = np.split(np.asarray(vector), np.cumsum([arrays[b].size for b in blocks])[:-1])
    return {**arrays, **{b: p.reshape(arrays[b].shape) for b, p in zip(blocks, parts, strict=True)}}


def _scipy(
    settings: dict[str, Any], right: GradientFunction, arrays: dict[str, Any], blocks: Sequence[str]
) -> Checker:
    """``check_grad`` on the flat vector of all blocks: a norm, which people compare with a bound."""
    from scipy.optimize import check_grad

    bound = settings.pop("bound", 1e-5)
    start = np.concatenate([arrays[b].ravel() for b in blocks])
    at = _remembering(right, blocks)

    def loss(vector: Any) -> float:
        return at(_unflat(vector, arrays, blocks))

    def check(fn: GradientFunction) -> bool:
        def gradient(vector: Any) -> Any:
            grads = fn(**_unflat(vector, arrays, blocks))[1]
            return np.concatenate([np.ravel(grads[b]) for b in blocks])

        return bool(check_grad(loss, gradient, start, **settings) <= bound)

    return check


def _torch(
    settings: dict[str, Any], right: GradientFunction, arrays: dict[str, Any], blocks: Sequence[str]
) -> Checker:
    """``gradcheck`` of an autograd Function whose backward pass is the gradient function."""
    torch = framework_named("torch")
    base: Any = torch.autograd.Function
    at = _remembering(right, blocks)

    def check(fn: GradientFunction) -> bool:
        def values(tensors: Sequence[Any]) -> dict[str, Any]:
            return {**arrays, **{b: t.detach().numpy() for b, t in zip(blocks, tensors, strict=True)}}

        class Loss(base):  # type: ignore[misc]
            @staticmethod
            def forward(ctx: Any, *tensors: Any) -> Any:
                ctx.save_for_backward(*tensors)
                return torch.tensor(at(values(tensors)), dtype=torch.float64)

            @staticmethod
            def backward(ctx: Any, *seeds: Any) -> Any:
                grads = fn(**values(ctx.saved_tensors))[1]
                return tuple(seeds[0] * torch.from_numpy(np.array(grads[b])) for b in blocks)

        given = [torch.tensor(arrays[b], requires_grad=True) for b in blocks]
        return bool(torch.autograd.gradcheck(Loss.apply, given, raise_exception=False, **settings))

    return check


def _jax(
    settings: dict[str, Any], right: GradientFunction, arrays: dict[str, Any], blocks: Sequence[str]
) -> Checker:
    """``check_grads`` in reverse mode of a function with a gradient of its own, called on the host."""
    jax = framework_named("jax")
    checks = framework_named("jax.test_util")
    at = _remembering(right, blocks)
    settings = {"order": 1, "modes": ["rev"], **settings}

    def check(fn: GradientFunction) -> bool:
        start = {b: jax.numpy.asarray(arrays[b]) for b in blocks}

        def value(varied: Any) -> Any:
            return np.asarray(at({**arrays, **_host(varied)}), dtype=shape.dtype)

        def slopes(varied: Any) -> Any:
            grads = fn(**{**arrays, **_host(varied)})[1]
            return {b: np.asarray(grads[b], dtype=start[b].dtype) for b in blocks}

        shape = jax.ShapeDtypeStruct((), start[blocks[0]].dtype)
        shapes = {b: jax.ShapeDtypeStruct(v.shape, v.dtype) for b, v in start.items()}
        loss = jax.custom_vjp(lambda varied: jax.pure_callback(value, shape, varied))
        loss.defvjp(
            lambda varied: (jax.pure_callback(value, shape, varied), varied),
            lambda varied, seed: (
                {b: seed * g for b, g in jax.pure_callback(slopes, shapes, varied).items()},
            ),
        )
        try:
            checks.check_grads(loss, (start,), **settings)
        except AssertionError:
            return False
        return True

    return check


def _host(varied: Mapping[str, Any]) -> dict[str, Any]:
    return {k: np.asarray(v) for k, v in varied.items()}
