"""Mistakes with the axes of time and batch in what is summed, or returned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bptt_verify.language import Recurrence
from bptt_verify.program import Contract, Pointwise, Program, Ref, evaluate, symbol
from bptt_verify.verify.diagnosis import Call, close, gradients


def batch_named(rec: Recurrence, right: Program, calls: Sequence[Call]) -> str | None:
    """What was done in the wrong blocks with the sequences of a batch, or the order of time and batch."""
    pairs = [(c.grads, gradients(right, c.arrays)) for c in calls]
    wrong = sorted({k for f, t in pairs for k in f if k in t and not close(f[k], t[k])})
    return (
        _of_one_sequence(rec, right, calls, wrong)
        or _of_starts(rec, pairs, wrong)
        or _of_sums(right, calls, wrong)
    )


def _of_one_sequence(
    rec: Recurrence, right: Program, calls: Sequence[Call], wrong: Sequence[str]
) -> str | None:
    """Whether parameters have the gradient of one sequence only."""
    if not set(wrong) <= set(rec.params):
        return None
    for word, b in (("first", 0), ("last", -1)):
        if all(_fit(c.grads, gradients(right, _alone(c.arrays, b)), wrong) for c in calls):
            of = f"that of the {word} sequence of the batch only"
            return f"the gradient of {', '.join(wrong)} is {of} [one sequence]"
    return None


def _alone(arrays: Mapping[str, Any], b: int) -> dict[str, Any]:
    weights = np.zeros_like(arrays["weights"])
    weights[:, b] = arrays["weights"][:, b]
    return {**arrays, "weights": weights}


def _fit(found: Mapping[str, Any], expected: Mapping[str, Any], names: Sequence[str]) -> bool:
    return all(close(found[k], expected[k]) for k in names if k in found)


def _of_starts(
    rec: Recurrence, pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], wrong: Sequence[str]
) -> str | None:
    """Whether an initial state's gradient is summed, or averaged, over the batch."""
    if not set(wrong) <= set(rec.initial):
        return None
    for word, change in (("summed", np.sum), ("averaged", np.mean)):
        if all(_fit(f, {k: _spread(change, t[k]) for k in wrong}, wrong) for f, t in pairs):
            named = ", ".join(wrong)
            return f"the gradient of {named} is {word} over the batch; each sequence has its own [batch]"
    return None


def _spread(change: Callable[..., Any], grad: Any) -> Any:
    return np.broadcast_to(change(grad, axis=0, keepdims=True), grad.shape)


SUMS: Mapping[str, Callable[[Any, Any], Any]] = {
    "time and batch are mixed up in the gradient of {}: one of two series is flattened as (B, T)":
        lambda one, two: np.einsum("tba,tbc->ac", one, np.swapaxes(two, 0, 1).reshape(two.shape)),
    "time and batch are mixed up in the gradient of {}: the other of two series is flattened as (B, T)":
        lambda one, two: np.einsum("tba,tbc->ac", np.swapaxes(one, 0, 1).reshape(one.shape), two),
    "both factors of the gradient of {} are summed over the batch before they are multiplied":
        lambda one, two: np.einsum("ta,tc->ac", one.sum(1), two.sum(1)),
    "both factors of the gradient of {} are summed over time before they are multiplied":
        lambda one, two: np.einsum("ba,bc->ac", one.sum(0), two.sum(0)),
}  # fmt: skip


def _of_sums(right: Program, calls: Sequence[Call], wrong: Sequence[str]) -> str | None:
    """Whether the wrong gradients are sums over two series in one of these ways."""
    sums = {k: right.equation.get(v) for k, v in right.results}
    series: dict[str, tuple[Ref, ...]] = {}
    for k in wrong:
        e = sums.get(k)
        if not isinstance(e, Contract) or [len(r.labels) for r in e.operands] != [3, 3]:
            return None
        series[k] = e.operands
    read = {
        (k, i): Pointwise(f"{k}_series_{i}", r.labels, symbol(r), (r,))
        for k, of in series.items()
        for i, r in enumerate(of)
    }
    program = replace(right, equations=(*right.equations, *read.values()))
    left = dict(SUMS)
    for c in calls:
        with np.errstate(all="ignore"):
            values = evaluate(program, c.arrays)
        for words, made in list(left.items()):
            if not all(close(c.grads[k], made(*(values[read[k, i].name] for i in (0, 1)))) for k in wrong):
                del left[words]
    return next((f"{words.format(', '.join(wrong))} [axes]" for words in left), None) if wrong else None
