"""Wrong gradients of a plain loss function: only the numbers can be wrong, since nothing else is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from bptt_verify.check import Array, Arrays, Problem, complex_gradient
from bptt_verify.check.gradient import choose_methods
from bptt_verify.check.problem import real_loss
from bptt_verify.errors import UsageError
from bptt_verify.verify.adapters import adapted
from bptt_verify.verify.mistakes import Known, Mistake, Remembered, Returned
from bptt_verify.verify.plainlosses import loss_problem

Grads = dict[str, Array]
Change = Callable[[Grads], Grads]
FACTORS = {"doubled": 2.0, "halved": 0.5, "negated": -1.0}


def of_loss(
    loss: Callable[..., Any], inputs: Any, gradient: Callable[..., Any] | None, rng: np.random.Generator
) -> Known:
    """The mistakes that show in the numbers of a gradient alone.

    Raises
    ------
    UsageError
        If there are no inputs, or neither a gradient nor a loss that complex steps can go through.
    """
    problem = loss_problem(gradient or loss, loss, inputs)
    telling = [c.arrays for c in problem.draw(rng)]
    right = _given(gradient) if gradient is not None else _by_complex_steps(problem, rng)
    remembered = Remembered(right)
    given = remembered(telling[0])[1]
    first = {b: telling[0][b] for b in problem.blocks if b in given}
    wrong = tuple(
        Mistake(name, text, partial(_changed, remembered, change)) for name, text, change in changes(first)
    )
    name = getattr(loss, "__qualname__", None) or type(loss).__name__
    return Known(f"the loss {name}", _ready, remembered, wrong, telling)


def _ready(arrays: Mapping[str, Any]) -> Arrays:
    given = {k: np.asarray(v) for k, v in arrays.items()}
    return {k: v.astype(float) if v.dtype.kind == "f" else v for k, v in given.items()}


def _by_complex_steps(problem: Problem, rng: np.random.Generator) -> Callable[[Arrays], Returned]:
    methods, _ = choose_methods(problem, list(problem.draw(rng)), rng)
    rough = [b for b, method in methods.items() if method != "complex step"]
    if rough:
        raise UsageError(
            f"gradient=None, and the loss is not analytic in {', '.join(rough)}; expected a loss that "
            "complex arrays go through, or gradient=fn, a gradient function that is right."
        )

    def right(arrays: Arrays) -> Returned:
        grads = {b: complex_gradient(problem.loss, arrays, b) for b in problem.blocks}
        return real_loss(problem.loss, arrays), grads

    return right


def _given(gradient: Callable[..., Any]) -> Callable[[Arrays], Returned]:
    sent = adapted(gradient, None)

    def right(arrays: Arrays) -> Returned:
        loss, grads = sent({k: np.array(v) for k, v in arrays.items()})
        return loss, {k: np.asarray(v) for k, v in grads.items()}

    return right


def _changed(right: Remembered, change: Change, arrays: Arrays) -> Returned:
    loss, grads = right(arrays)
    return loss, {**grads, **change(dict(grads))}


def changes(blocks: Arrays) -> Iterator[tuple[str, str, Change]]:
    """Wrong numbers: names, descriptions, and what they do to the gradients of these blocks."""
    for word, factor in FACTORS.items():
        yield word, f"the whole gradient is {word}", partial(_times, list(blocks), factor)
    for b, a in blocks.items():
        yield f"{b} is zero", f"the gradient of {b} is zero", partial(_times, [b], 0.0)
        if len(blocks) > 1:
            for word, factor in FACTORS.items():
                yield f"{b} {word}", f"the gradient of {b} is {word}", partial(_times, [b], factor)
        yield from _changes_within(b, a)
    for (b, one), (c, two) in combinations(blocks.items(), 2):
        if one.shape == two.shape:
            yield f"{b} for {c}", f"the gradients of {b} and {c} change places", partial(_exchanged, b, c)


def _changes_within(b: str, a: Array) -> Iterator[tuple[str, str, Change]]:
    if a.ndim == 2 and a.shape[0] == a.shape[1] > 1:
        yield f"{b} transposed", f"the gradient of {b} is transposed", partial(_transposed, b)
    if a.size > 1:
        text = f"one element of the gradient of {b} is doubled: the one in the middle"
        yield f"one element of {b}", text, partial(_at_one, b)
    if a.ndim > 2 and len(a) > 1:
        for word, step in (("first", 0), ("last", -1)):
            text = f"only the {word} step (along the first axis) of the gradient of {b} is there"
            yield f"{word} step of {b} only", text, partial(_one_step, b, step)


def _times(blocks: Sequence[str], factor: float, grads: Grads) -> Grads:
    return {b: grads[b] * factor for b in blocks}


def _exchanged(b: str, c: str, grads: Grads) -> Grads:
    return {b: grads[c], c: grads[b]}


def _transposed(b: str, grads: Grads) -> Grads:
    return {b: grads[b].T if len(set(grads[b].shape)) == 1 else grads[b]}


def _at_one(b: str, grads: Grads) -> Grads:
    wrong = np.array(grads[b])
    wrong.reshape(-1)[wrong.size // 2] *= 2
    return {b: wrong}


def _one_step(b: str, step: int, grads: Grads) -> Grads:
    wrong = np.zeros_like(grads[b])
    wrong[step] = grads[b][step]
    return {b: wrong}
