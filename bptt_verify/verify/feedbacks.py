"""Which model of output feedback a function's numbers belong to: what it feeds, and which path it follows.

A world is what may be fed (a forward pass), a path is what may be followed back through it. A wrong function
is compared with every world and, in each, with every path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bptt_verify.check import Arrays
from bptt_verify.derivation import adjoint, detached
from bptt_verify.errors import RecurrenceError
from bptt_verify.language import MASK_NEXT, Recurrence, teacher, unapplied, with_feedback
from bptt_verify.mutants.feedback import LEAK, MISSING, fed_instead
from bptt_verify.program import BATCH, TIME, Equation, Pointwise, Program, Ref, evaluate, symbol
from bptt_verify.program.names import free_name
from bptt_verify.program.surgery import reading, states_of
from bptt_verify.verify.adapters import Adapted
from bptt_verify.verify.diagnosis import agree, returned

AGREE = 1e-8  # of losses, relative
AGREE_SINGLE = 1e-5


@dataclass(frozen=True)
class World:
    """A way to feed.

    Attributes
    ----------
    words : str
        What such a function does, after "the function".
    program : Program
        Its forward pass.
    arrays : callable
        What it takes the arrays for.
    """

    words: str
    program: Program
    arrays: Callable[[Arrays], Arrays] = dict


@dataclass(frozen=True)
class Seen:
    """One call of the function."""

    arrays: Arrays
    loss: float
    grads: Mapping[str, Any]


RUNS = {
    "free": "runs freely, feeding its own output at every step (feedback='free')",
    "teacher": "is teacher-forced, fed the target of the step before at every step (feedback='teacher')",
    "scheduled": "is fed targets by the mask (feedback='scheduled')",
}


def feedback_named(rec: Recurrence, fn: Adapted, cases: Sequence[Arrays]) -> str | None:
    """The world and the path that give a function's loss and gradient in every case, in words.

    None where they are the right ones, or none gives them.

    Parameters
    ----------
    rec : Recurrence
        With a Feedback, in the mode that is meant.
    fn : Adapted
    cases : sequence of arrays
        Inputs on which the function is wrong, or may be.
    """
    seen = _seen(fn, cases) if rec.feedback else []
    if not seen:
        return None
    right, *others = worlds(rec)
    if _loss_fits(right, seen):
        return _path_named(rec, right, others, seen)
    for world in others:
        if _loss_fits(world, seen):
            path = _followed(rec, world, seen)
            return f"the function {world.words}; feedback={rec.mode!r} was asked for. {path}"
    return None


def worlds(rec: Recurrence) -> Iterator[World]:
    """The right world, then the wrong ones."""
    yield World(RUNS[rec.mode], rec.program)
    for mode in ("free", "teacher"):
        other = _in(rec, mode)
        if other is not None and mode != rec.mode:
            yield World(RUNS[mode], other.program)
    forced = _in(rec, "teacher")
    if forced is not None:
        yield leaking(forced)
        yield leaking_later(forced)
    if rec.mode == "scheduled":
        yield leaking_later(rec)
    plain = unapplied(rec)
    if plain is not None:
        yield World("feeds the output itself, without the function of it that the Feedback is fed", plain)
    if rec.mode == "scheduled":
        yield World(
            "feeds the output where the mask is 1, and the target where it is 0", rec.program, _turned
        )
        yield World("reads the mask one step late: the row of the step before", rec.program, _late)
        yield World("reads the mask one step early: the row of the step after", rec.program, _early)
    zero = {n: 0.0 for n in rec.initial if n.removesuffix("0") in rec.feedback}
    if zero:
        listed = ", ".join(zero)
        yield World(
            f"feeds zero at the first step and ignores {listed}",
            rec.program,
            lambda a: {**a, **{n: np.zeros_like(a[n]) for n in zero}},
        )


def leaking(forced: Recurrence) -> World:
    """Teacher forcing with the target of the same step."""
    program, words = forced.program, []
    for u in forced.feedback:
        y = teacher(u, forced.declarations)
        program = fed_instead(program, states_of(forced.program)[u], Ref(y, (), 0))
        words.append(LEAK.format(u=u, y=y))
    return World(" and ".join(words), program)


def leaking_later(fed: Recurrence) -> World:
    """The target of the same step wherever a target is fed, from the second step on; u_1 is right."""
    program, values = fed.program, states_of(fed.program)
    of: dict[str, str] = {}
    words = []
    for u in fed.feedback:
        y = teacher(u, fed.declarations)
        after = free_name(f"{y}_after", {*program.names(), *of})
        of[after] = y

        def read(e: Equation, y: str = y, after: str = after, value: str = values[u]) -> Equation:
            moved = {r: replace(r, name=after) if r.name == y and e.name == value else r for r in e.operands}
            return reading(e, moved)

        program = replace(
            program,
            arrays=(*program.arrays, replace(program.array[y], name=after)),
            equations=tuple(map(read, program.equations)),
        )
        words.append(LEAK.format(u=u, y=y))
    where = ", from the second step on" + (", where the mask is 1" if fed.mode == "scheduled" else "")
    return World(
        " and ".join(words) + where,
        program,
        lambda a: {**a, **{after: np.roll(a[y], -1, axis=0) for after, y in of.items()}},
    )


def _in(rec: Recurrence, mode: str) -> Recurrence | None:
    try:
        return with_feedback(rec, mode)
    except RecurrenceError:  # no target has the sizes of the Feedback
        return None


def _turned(arrays: Arrays) -> Arrays:
    return {**arrays, MASK_NEXT: 1 - arrays[MASK_NEXT]}


def _late(arrays: Arrays) -> Arrays:
    return {**arrays, MASK_NEXT: np.roll(arrays[MASK_NEXT], 1, axis=0)}


def _early(arrays: Arrays) -> Arrays:
    return {**arrays, MASK_NEXT: np.roll(arrays[MASK_NEXT], -1, axis=0)}


def _seen(fn: Adapted, cases: Sequence[Arrays]) -> list[Seen]:
    """The calls that give gradients; a loss that is no number fits no world."""
    calls = ((arrays, returned(fn, arrays)) for arrays in cases)
    return [Seen(arrays, _number(made[0]), made[1]) for arrays, made in calls if made is not None]


def _number(loss: Any) -> float:
    try:
        return float(np.asarray(loss).item())
    except (TypeError, ValueError):
        return np.nan


def _loss_fits(world: World, seen: Sequence[Seen]) -> bool:
    return all(_close(s.loss, _loss(world, s.arrays), s.grads) for s in seen)


def _loss(world: World, arrays: Arrays) -> float:
    with np.errstate(all="ignore"):
        values = evaluate(world.program, world.arrays(arrays))
    return float(values[dict(world.program.results)["loss"]])


def _close(found: float, expected: float, grads: Mapping[str, Any]) -> bool:
    single = any(g.dtype == np.float32 for g in grads.values())
    return bool(abs(found - expected) <= (AGREE_SINGLE if single else AGREE) * max(abs(expected), 1e-300))


def _gradient_fits(program: Program, arrays: Callable[[Arrays], Arrays], seen: Sequence[Seen]) -> bool:
    results = {k: v for k, v in program.results if k != "loss"}
    for s in seen:
        with np.errstate(all="ignore"):
            values = evaluate(program, arrays(s.arrays))
        if not agree(s.grads, {k: values[v] for k, v in results.items()}):
            return False
    return True


def _path_named(rec: Recurrence, right: World, others: Sequence[World], seen: Sequence[Seen]) -> str | None:
    """The loss is right: which path, or which other world, the gradient is that of."""
    if _gradient_fits(adjoint(rec.program), dict, seen):
        return None
    if _gradient_fits(detached(adjoint(rec.program)), dict, seen):
        return f"{MISSING} [no feedback path]"
    if _gradient_fits(following(rec), dict, seen):
        return f"{FOLLOWED} [a feedback path too many]"
    for world in others:
        if _gradient_fits(adjoint(world.program), world.arrays, seen):
            return f"the loss is right, but the gradient belongs to a function that {world.words}"
    return None


FOLLOWED = (
    "the gradient follows the feedback path where a target is fed: a target does not depend on the "
    "parameters, so nothing goes back through it (that path belongs to the free-running loss)"
)


def _followed(rec: Recurrence, world: World, seen: Sequence[Seen]) -> str:
    """What the gradient of a wrong world is besides."""
    if _gradient_fits(adjoint(world.program), world.arrays, seen):
        return "Loss and gradient are right for that"
    if _gradient_fits(detached(adjoint(world.program)), world.arrays, seen):
        return f"Besides, {MISSING}"
    if _gradient_fits(adjoint(rec.program), dict, seen):
        return f"Its gradient is that of feedback={rec.mode!r}, though its loss is not"
    return "Its gradient has another mistake besides"


def following(rec: Recurrence) -> Program:
    """The adjoint that follows the path of the free-running recurrence along the values fed in this mode."""
    free = with_feedback(rec, "free").program
    whole, values = adjoint(free), states_of(free)
    for u in rec.feedback if rec.mode != "free" else ():
        value, labels = values[u], free.labels(values[u])
        target, own = (Ref(name, labels) for name in (teacher(u, rec.declarations), value))
        mask = Ref(MASK_NEXT, (TIME, BATCH))
        fed = free_name(f"{u}_fed", set(whole.names()))
        refs = (mask, target, own) if rec.mode == "scheduled" else (target,)
        m, y, v = map(symbol, (mask, target, own))
        equation = Pointwise(fed, labels, m * y + (1 - m) * v if rec.mode == "scheduled" else y, refs)
        carry = next(c for c in whole.carries if c.value == value and c.shift < 0)
        whole = fed_instead(whole, value, Ref(fed, (), -1))
        whole = replace(
            whole,
            arrays=(*whole.arrays, *(a for a in rec.program.arrays if a.name not in whole.array)),
            equations=(*whole.equations, equation),
            carries=(*(c for c in whole.carries if c is not carry), replace(carry, value=fed)),
        )
    return whole
