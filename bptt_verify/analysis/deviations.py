"""How far every value of a Program can move when its parameters move by at most r, in numbers.

Every value v is followed through the Program: its value v⁰ at the given arrays, an interval for each
entry, and for each step and sequence a bound of the Euclidean norms of v - v⁰ and of v (``balls``).
Parameters move by at most r each, inputs do not move. Applied to the adjoint Program, the results bound how
the gradient changes on the ball.

In a loop over time all steps are bounded at once, from a guess of what the loop carries (``loops``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt_verify.analysis.balls import Ball, joined, moved
from bptt_verify.analysis.loops import Loop
from bptt_verify.analysis.rules import Rules
from bptt_verify.program import Program, Ref, components, evaluate, size_of

Array = np.ndarray[Any, Any]


def deviations(
    program: Program, arrays: Mapping[str, Array], radius: float
) -> tuple[dict[str, Ball], set[str]]:
    """What is known of every value where every parameter moves by at most ``radius``.

    Parameters
    ----------
    program : Program
        Without packs.
    arrays : dict of str to array
    radius : float

    Returns
    -------
    balls : dict of str to Ball
        By the name of each array and each equation.
    broken : set of str
        The equations that have a jump somewhere on the ball.
    """
    values = evaluate(program, arrays)
    sizes, balls = dict[str, int](), dict[str, Ball]()
    params = [a.name for a in program.arrays if a.role == "param"]
    for a in program.arrays:
        value = np.asarray(values[a.name], float)
        sizes.update(zip(map(size_of, a.labels), value.shape, strict=True))
        place = params.index(a.name) + 1 if a.name in params else 0
        balls[a.name] = moved(value, a.labels, radius if place else 0.0, len(params) + 1, place)
    rules = Rules(program, sizes, len(params) + 1)
    with np.errstate(all="ignore"):
        for part in components(program):
            if part.direction:
                balls.update(Loop(program, rules, values, balls, part).run())
            else:
                for e in part.equations:
                    operands = [(_read(program, balls, r), r.labels) for r in e.operands]
                    balls[e.name] = rules.ball(e, operands, values[e.name])
    return balls, rules.broken


def _read(program: Program, balls: Mapping[str, Ball], r: Ref) -> Ball:
    if not r.shift:
        return balls[r.name]
    return joined(balls[program.carry[r.name].boundary], balls[r.name], r.shift)
