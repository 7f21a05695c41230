"""What was done to a right gradient, or to an adjoint: a clip, a penalty added to it, half precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bptt_verify.language import Recurrence
from bptt_verify.mutants.limits import THRESHOLDS, clipped_inside
from bptt_verify.program import Program
from bptt_verify.verify.diagnosis import Call, agree, close, fits, gradients, only_where

Gradients = Mapping[str, Any]
COMMON = {float(t) for t in THRESHOLDS}  # one element at such a threshold is enough
LOST = 0.05  # what sums in half precision may lose, relative to a block's largest entry
FEW, BALANCED = 40, 0.4  # numbers, and the share of their sum, from which errors are said to scatter
ROUNDED, SINGLE = 2e-2, 1e-5  # relative errors below which digits may be lost, and those of single precision
SMALLEST = 64 * float(np.finfo(np.float16).smallest_subnormal)


def changed_afterwards(rec: Recurrence, right: Program, calls: Sequence[Call]) -> str | None:
    """What was done to the right gradient, if that is all that is wrong."""
    pairs = [(c, gradients(right, c.arrays)) for c in calls]
    wrong = [(c, truth) for c, truth in pairs if not agree(c.grads, truth)]
    if not wrong:
        return None
    told = [c for c, _ in wrong]
    where = only_where(told, [c for c, _ in pairs if c not in told])
    found, truths = [c.grads for c, _ in wrong], [truth for _, truth in wrong]
    named = zero(found, truths) or turned(found, truths)
    if named is not None:
        return f"{where}: {named}" if where else named
    return clipped(found, truths) or penalised(rec, pairs) or coarse(found, truths)


def zero(found: Sequence[Gradients], truth: Sequence[Gradients]) -> str | None:
    """Whether all that is wrong is zero."""
    pairs = [(k, f[k], t[k]) for f, t in zip(found, truth, strict=True) for k in f if k in t]
    wrong = sorted({k for k, f, t in pairs if not close(f, t)})
    if any(np.any(f) for k, f, _ in pairs if k in wrong):
        return None
    whole = len(wrong) == len({k for k, _, _ in pairs})
    return (
        "the gradient is zero throughout [zero]"
        if whole
        else f"the gradient of {', '.join(wrong)} is zero [zero]"
    )


def turned(found: Sequence[Gradients], truth: Sequence[Gradients]) -> str | None:
    """Whether all that is wrong is transposed: between equal sizes no shape tells."""
    pairs = [(k, f[k], t[k]) for f, t in zip(found, truth, strict=True) for k in f if k in t]
    wrong = [(k, f, t) for k, f, t in pairs if not close(f, t)]
    if not all(f.ndim == 2 and close(f, t.T) for _, f, t in wrong):
        return None
    named = ", ".join(sorted({k for k, _, _ in wrong}))
    return f"the gradient of {named} is transposed where its two sizes are equal [transposed]"


def clipped(found: Sequence[Gradients], truth: Sequence[Gradients]) -> str | None:
    """Whether wrong blocks are clipped element by element, or all by their norm, or each by its own."""
    pairs = list(zip(found, truth, strict=True))
    wrong = {k for f, t in pairs for k in f if k in t and not close(f[k], t[k])}
    threshold = max(float(np.abs(f[k]).max(initial=0.0)) for f in found for k in wrong if k in f)
    beyond = sum(int(np.sum(np.abs(t[k]) > threshold)) for _, t in pairs for k in wrong if k in t)
    if (beyond > 1 or (beyond and threshold in COMMON)) and all(
        agree(f, {k: np.clip(t[k], -threshold, threshold) if k in wrong else t[k] for k in t})
        for f, t in pairs
    ):
        return f"the gradient is clipped to ±{threshold:g} element by element before it is returned [clipped]"
    threshold = max(_norm(f, f) for f in found)
    if all(agree(f, _scaled(t, threshold / _norm(t, f))) for f, t in pairs):
        return f"the gradient is clipped to the global norm {threshold:g} before it is returned [clipped]"
    for k in sorted(wrong):
        threshold = max(_norm(f, [k]) for f in found if k in f)
        if not all(close(f[k], t[k] * min(1.0, threshold / _norm(t, [k]))) for f, t in pairs if k in f):
            return None
    return "each gradient is clipped by its own norm before it is returned [clipped one by one]"


def clipped_inside_named(right: Program, calls: Sequence[Call]) -> str | None:
    """Which adjoint is clipped within the backward loop, by a threshold that is common."""
    fitting = (m for m in clipped_inside(right) if fits(m.program, calls))
    return next((f"{m.description} [{m.name}]" for m in fitting), None)


def coarse(found: Sequence[Gradients], truth: Sequence[Gradients]) -> str | None:
    """Whether the wrong blocks hold nothing but half-precision numbers, near those that are right."""
    pairs = [(f[k], t[k]) for f, t in zip(found, truth, strict=True) for k in f if k in t]
    halves = all(_is_half(f, t) for f, t in pairs if not close(f, t))
    return "the gradient is accumulated in half precision [float16]" if halves else None


def rounded_named(right: Program, calls: Sequence[Call]) -> str | None:
    """Whether all numbers are near the right ones, off by amounts that scatter: lost digits."""
    errors = []
    for c in calls:
        truth = gradients(right, c.arrays)
        for k in (k for k in c.grads if k in truth):
            scale = np.abs(truth[k]).max(initial=0.0)
            if scale > SMALLEST and np.all(np.isfinite(c.grads[k])):
                errors.append(np.ravel((c.grads[k] - truth[k]) / scale * np.sign(truth[k])))
    off = np.concatenate(errors) if errors else np.zeros(0)
    size = np.abs(off).max(initial=0.0)
    if off.size < FEW or not 0 < size < ROUNDED or abs(off.sum()) > BALANCED * np.abs(off).sum():
        return None
    word = "half" if size > SINGLE else "single"
    return f"all numbers are nearly right, and their errors scatter, as in {word} precision [rounding]"


@np.errstate(over="ignore", invalid="ignore")
def _is_half(found: Any, truth: Any) -> bool:
    """Whether these are half-precision numbers; what is too large is inf, and what is too small is coarse."""
    rounded, wanted = found.astype(np.float16), truth.astype(np.float16).astype(float)
    allowed = LOST * np.abs(truth).max(initial=0.0) + SMALLEST
    near = (np.abs(found - wanted) <= allowed) | (found == wanted) | ~np.isfinite(found)
    return bool(np.all(near) and np.array_equal(rounded.astype(found.dtype), found, equal_nan=True))


def _scaled(truth: Gradients, times: float) -> dict[str, Any]:
    return {k: v * min(1.0, times) for k, v in truth.items()}


@np.errstate(over="ignore")
def _norm(values: Gradients, keys: Any) -> float:
    """The norm over the blocks that the function returns."""
    return float(np.sqrt(sum(float(np.sum(np.square(values[k]))) for k in keys if k in values))) or 1.0


def penalised(rec: Recurrence, pairs: Sequence[tuple[Call, Gradients]]) -> str | None:
    """Whether the same multiple of each wrong parameter was added to its gradient: weight decay."""
    wrong = {k for c, t in pairs for k in c.grads if k in t and not close(c.grads[k], t[k])}
    if not wrong <= set(rec.params):
        return None
    call, truth = pairs[0]
    first = sorted(wrong)[0]
    weights = call.arrays[first]
    times = (
        float(np.sum((call.grads[first] - truth[first]) * weights) / np.sum(weights**2))
        if np.any(weights)
        else 0.0
    )
    if times and all(
        agree(c.grads, {k: v + times * c.arrays[k] if k in wrong else v for k, v in t.items()})
        for c, t in pairs
    ):
        listed = ", ".join(sorted(wrong))
        return f"{times:g} times the parameter is added to the gradient of {listed}: weight decay [penalty]"
    return None
