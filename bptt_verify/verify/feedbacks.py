"""Which model of output feedback a function's numbers belong to: what it feeds, and which path it follows.

A world is what may be fed (another forward pass), a path is what may be followed back through it. A wrong
function is compared with every world and, in each, with every path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from bptt_verify.check import Arrays
from bptt_verify.derivation import adjoint, detached
from bptt_verify.errors import RecurrenceError
from bptt_verify.language import MASK_NEXT, Recurrence, teacher, unapplied, with_feedback
from bptt_verify.mutants.feedback import LEAK, MISSING, fed_instead
from bptt_verify.mutants.models import Model
from bptt_verify.program import BATCH, TIME, Equation, Pointwise, Program, Ref, symbol
from bptt_verify.program.names import free_name
from bptt_verify.program.surgery import reading, states_of
from bptt_verify.verify.diagnosis import Call, fits
from bptt_verify.verify.wrongmodels import gradient_fits, is_single, loss, same_loss

RUNS = {
    "free": "runs freely, feeding its own output at every step (feedback='free')",
    "teacher": "is teacher-forced, fed the target of the step before at every step (feedback='teacher')",
    "scheduled": "is fed targets by the mask (feedback='scheduled')",
}


def feedback_named(rec: Recurrence, calls: Sequence[Call]) -> str | None:
    """The world and the path that give a function's loss and gradient in every case, in words.

    None where they are the right ones, or none gives them.

    Parameters
    ----------
    rec : Recurrence
        With a Feedback, in the mode that is meant.
    calls : sequence of Call
        Calls at inputs on which the function is wrong, or may be.
    """
    if not rec.feedback:
        return None
    right, *others = worlds(rec)
    if _loss_fits(right, calls):
        return _path_named(rec, right, others, calls)
    for world in others:
        if _loss_fits(world, calls):
            path = _followed(rec, world, calls)
            return f"the function {world.description}; feedback={rec.mode!r} was asked for. {path}"
    return None


def worlds(rec: Recurrence) -> Iterator[Model]:
    """The right world, then the wrong ones."""
    yield Model(rec.mode, RUNS[rec.mode], rec.program)
    for mode in ("free", "teacher"):
        other = _in(rec, mode)
        if other is not None and mode != rec.mode:
            yield Model(mode, RUNS[mode], other.program)
    forced = _in(rec, "teacher")
    if forced is not None:
        yield leaking(forced)
        yield leaking_later(forced)
    if rec.mode == "scheduled":
        yield leaking_later(rec)
    plain = unapplied(rec)
    if plain is not None:
        yield Model(
            "output itself",
            "feeds the output itself, without the function of it that the Feedback is fed",
            plain,
        )
    if rec.mode == "scheduled":
        for name, text, given in (
            ("mask turned", "feeds the output where the mask is 1, and the target where it is 0", _turned),
            ("mask late", "reads the mask one step late: the row of the step before", _late),
            ("mask early", "reads the mask one step early: the row of the step after", _early),
            ("one coin", "reads the first row of the mask at every step: one coin for all steps", _one_coin),
            (
                "second coin",
                "reads the mask of step 2, the first that counts, at every step: one coin for all steps",
                _second_coin,
            ),
        ):
            yield Model(name, text, rec.program, given)
    zero = {n: 0.0 for n in rec.initial if n.removesuffix("0") in rec.feedback}
    if zero:
        listed = ", ".join(zero)
        yield Model(
            f"no {listed}",
            f"feeds zero at the first step and ignores {listed}",
            rec.program,
            lambda a: {**a, **{n: np.zeros_like(a[n]) for n in zero}},
        )


def leaking(forced: Recurrence) -> Model:
    """Teacher forcing with the target of the same step."""
    program, words = forced.program, []
    for u in forced.feedback:
        y = teacher(u, forced.declarations)
        program = fed_instead(program, states_of(forced.program)[u], Ref(y, (), 0))
        words.append(LEAK.format(u=u, y=y))
    return Model("leaked target", " and ".join(words), program)


def leaking_later(fed: Recurrence) -> Model:
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
    return Model(
        "leaked target later",
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


def _one_coin(arrays: Arrays) -> Arrays:
    return {**arrays, MASK_NEXT: np.broadcast_to(arrays[MASK_NEXT][-1:], arrays[MASK_NEXT].shape)}


def _second_coin(arrays: Arrays) -> Arrays:
    return {**arrays, MASK_NEXT: np.broadcast_to(arrays[MASK_NEXT][:1], arrays[MASK_NEXT].shape)}


def _late(arrays: Arrays) -> Arrays:
    return {**arrays, MASK_NEXT: np.roll(arrays[MASK_NEXT], 1, axis=0)}


def _early(arrays: Arrays) -> Arrays:
    return {**arrays, MASK_NEXT: np.roll(arrays[MASK_NEXT], -1, axis=0)}


def _loss_fits(world: Model, calls: Sequence[Call]) -> bool:
    return all(same_loss(c.loss, loss(world.program, world.given(c.arrays)), is_single(c)) for c in calls)


def _path_named(rec: Recurrence, right: Model, others: Sequence[Model], calls: Sequence[Call]) -> str | None:
    """The loss is right: which path, or which other world, the gradient is that of."""
    if fits(adjoint(rec.program), calls):
        return None
    if fits(detached(adjoint(rec.program)), calls):
        return f"{MISSING} [no feedback path]"
    if fits(following(rec), calls):
        return f"{FOLLOWED} [a feedback path too many]"
    for world in others:
        if gradient_fits(adjoint(world.program), world, calls):
            return f"the loss is right, but the gradient belongs to a function that {world.description}"
    return None


FOLLOWED = (
    "the gradient follows the feedback path where a target is fed: a target does not depend on the "
    "parameters, so nothing goes back through it (that path belongs to the free-running loss)"
)


def _followed(rec: Recurrence, world: Model, calls: Sequence[Call]) -> str:
    """What the gradient of a wrong world is besides."""
    if gradient_fits(adjoint(world.program), world, calls):
        return "Loss and gradient are right for that"
    if gradient_fits(detached(adjoint(world.program)), world, calls):
        return f"Besides, {MISSING}"
    if fits(adjoint(rec.program), calls):
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
