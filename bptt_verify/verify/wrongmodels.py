"""Which other model a function computes, or which other model its gradient belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from bptt_verify.cells import CATALOGUE
from bptt_verify.check import Arrays
from bptt_verify.derivation import adjoint
from bptt_verify.language import Recurrence
from bptt_verify.mutants import mutants
from bptt_verify.mutants.models import Model, models, other_returns
from bptt_verify.program import Program, evaluate
from bptt_verify.verify.diagnosis import Call, agree, factors, gradients

AGREE, AGREE_SINGLE = 1e-8, 1e-5  # of losses, relative


def model_named(rec: Recurrence, calls: Sequence[Call]) -> str | None:
    """The other model whose loss a function computes, and what its gradient is then.

    Parameters
    ----------
    rec : Recurrence
    calls : sequence of Call
        Calls of the function.

    Returns
    -------
    str or None
        None where the loss is that of no model that is known.
    """
    of_calls = [factors(rec.program, c) for c in calls]
    for model in others(rec):
        losses = [loss(model.program, model.given(c.arrays)) for c in calls]
        times = _factor_between(calls, losses, of_calls)
        if times is not None:
            return (
                f"the function computes another model: it {model.description}. {_rest(model, calls, times)}"
            )
    return None


def has_right_loss(rec: Recurrence, calls: Sequence[Call]) -> bool:
    """Whether a function computes the loss of the recurrence, up to a factor."""
    of_calls = [factors(rec.program, c) for c in calls]
    return _factor_between(calls, [loss(rec.program, c.arrays) for c in calls], of_calls) is not None


def gradient_of_another(rec: Recurrence, calls: Sequence[Call]) -> str | None:
    """The other model that the gradient belongs to, where the loss is right."""
    for model in chain(other_returns(rec.program), others(rec)):
        if gradient_fits(adjoint(model.program), model, calls):
            return f"the gradient is the right one of another model, which {model.description} [{model.name}]"
    return None


def others(rec: Recurrence) -> Iterator[Model]:
    """Known other models of a recurrence; also cells of the catalogue that take the same arrays."""
    yield from models(rec.program)
    for name, cell in CATALOGUE.items():
        same = cell.declarations == rec.declarations and cell.mode == rec.mode
        if same and cell.program != rec.program:
            yield Model(name, f"is bptt_verify.cells.{name}", cell.program)


def loss(program: Program, arrays: Arrays) -> float:
    """The loss of a program."""
    with np.errstate(all="ignore"):
        return float(evaluate(program, arrays)[dict(program.results)["loss"]])


def same_loss(found: float, expected: float, single: bool) -> bool:
    """Whether two losses are equal to rounding."""
    return bool(abs(found - expected) <= (AGREE_SINGLE if single else AGREE) * max(abs(expected), 1e-300))


def is_single(call: Call) -> bool:
    """Whether the function computes in float32."""
    return any(g.dtype == np.float32 for g in call.grads.values())


def _factor_between(
    calls: Sequence[Call], expected: Sequence[float], of_calls: Sequence[Mapping[str, float]]
) -> str | None:
    """The factor, by name, that every loss is off by: "" for none, None if there is no such factor."""
    seen = list(zip(calls, expected, of_calls, strict=True))
    for name in of_calls[0]:
        if all(same_loss(c.loss, e * of[name], is_single(c)) for c, e, of in seen):
            return name
    return None


def gradient_fits(program: Program, model: Model, calls: Sequence[Call], times: str = "") -> bool:
    """Whether an adjoint program, at what a model takes the arrays for, gives the numbers of every call."""
    return all(agree(c.grads, _scaled(program, model, c, times)) for c in calls)


def _scaled(program: Program, model: Model, call: Call, times: str) -> dict[str, Any]:
    found = model.returned(gradients(program, model.given(call.arrays)))
    return {k: v * factors(program, call)[times] for k, v in found.items()}


def _rest(model: Model, calls: Sequence[Call], times: str) -> str:
    """What the gradient of another model is: the right one of that, or wrong for that too."""
    scaled = f", both {times} times as large" if times else ""
    right = adjoint(model.program)
    if gradient_fits(right, model, calls, times):
        return f"Loss and gradient are right for that{scaled} [{model.name}]"
    for m in mutants(right):
        if gradient_fits(m.program, model, calls, times):
            return f"Besides, {m.description}{scaled} [{model.name}; {m.name}]"
    return f"The gradient is not right for that either{scaled} [{model.name}]"
