"""Where a wrong gradient starts to be wrong: which step's loss term, which length, which cases."""

from __future__ import annotations

import numpy as np

from bptt_verify.check import contract
from bptt_verify.check.comparison import Bench, Outcome, Point, compare
from bptt_verify.check.kinks import OTHER
from bptt_verify.check.observations import observe, sizes
from bptt_verify.check.problem import Arrays, real_loss
from bptt_verify.verdict import Finding

MOST_STEPS = 24  # steps looked through one by one
SHORT = 8  # lengths looked through one by one; beyond, by bisection


def step_count(bench: Bench, arrays: Arrays) -> int | None:
    """T of these arrays, where the problem has steps."""
    return bench.problem.steps(arrays) if bench.problem.steps else None


def point_at(bench: Bench, name: str, arrays: Arrays, step: int | None = None) -> Point:
    """Call the function at these arrays."""
    return Point(name, arrays, contract.gradients(bench.fn, bench.problem, arrays), step)


def step_point(bench: Bench, name: str, arrays: Arrays, step: int) -> Point | None:
    """The same arrays where only the loss term of one step counts."""
    if bench.problem.at_step is None:
        return None
    alone = bench.problem.at_step(arrays, step)
    if not np.isfinite(real_loss(bench.problem.loss, alone)):  # a mean over weights that are all zero, say
        return None
    return point_at(bench, f"{name}, loss of step {step} alone", alone, step)


def _is_wrong(bench: Bench, point: Point, block: str) -> bool:
    return block in point.grads and compare(bench, point, block).state == "wrong"


def first_step(bench: Bench, arrays: Arrays, block: str) -> int | None:
    """The first step whose own contribution is wrong."""
    count = step_count(bench, arrays)
    for t in range(1, min(count or 0, MOST_STEPS) + 1):
        point = step_point(bench, "", arrays, t)
        if point is not None and _is_wrong(bench, point, block):
            return t
    return None


def first_length(bench: Bench, arrays: Arrays, block: str) -> int | None:
    """The smallest T at which the block is wrong; above eight, a wrong T whose T - 1 is right."""
    count, shorten = step_count(bench, arrays), bench.problem.shorten
    if shorten is None or not count:
        return None

    def wrong(t: int) -> bool:
        return _is_wrong(bench, point_at(bench, "", shorten(arrays, t)), block)

    for t in range(1, min(count, SHORT) + 1):
        if wrong(t):
            return t
    low, high = SHORT, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if wrong(middle) else (middle, high)
    return high if count > SHORT else None


def _length_words(length: int | None) -> str:
    if length is None or length == 1:
        return "; wrong from T=1 on" if length else ""
    if length > SHORT:
        return f"; right for T={length - 1}, wrong for T={length}"
    right = "T=1" if length == 2 else f"T=1 to {length - 1}"
    return f"; right for {right}, wrong from T={length} on"


def _step_words(bench: Bench, step: int | None, steps: int | None) -> str:
    if bench.problem.at_step is None or not steps or steps > MOST_STEPS:
        return ""
    if step is None:
        return "; each step's loss term alone has the right gradient, so their weights or sum are wrong"
    if step == 1:
        return "; already the loss term of step 1 alone has a wrong gradient"
    return f"; the loss term of step {step} is the first whose own gradient is wrong"


def _number_words(worst: Outcome) -> str:
    digits = 6 if worst.error > 1e-4 else 13
    numbers = f"found {worst.found:.{digits}g}, expected {worst.expected:.{digits}g}"
    if worst.index is None:
        return f"along a random direction: {numbers}"
    return f"at [{', '.join(map(str, worst.index))}]: {numbers}"


def _case_words(outcomes: list[Outcome]) -> str:
    whole = [o for o in outcomes if o.point.step is None]
    right = [o.point.name for o in whole if o.state == "right"]
    wrong = [o.point.name for o in whole if o.state == "wrong"]
    if not right or not wrong:
        return ""
    sided = any(r + OTHER in wrong or r.removesuffix(OTHER) in wrong for r in right)
    said = "; right on one side of the kink only" if sided else ""
    shown = ", ".join(repr(n) for n in right[:4]) + (", …" if len(right) > 4 else "")
    return f"; right on {shown} and wrong on {len(wrong)} of {len(whole)} cases{said}"


def finding(bench: Bench, outcomes: list[Outcome]) -> Finding:
    """The finding for one block, from all its outcomes; at least one is wrong."""
    worst = next(o for o in outcomes if o.state == "wrong")
    arrays, block = worst.point.arrays, worst.block
    steps = step_count(bench, arrays)
    length = step = None
    words = ""
    if worst.point.step is None:
        length = first_length(bench, arrays, block)
        step = first_step(bench, arrays, block) if bench.problem.at_step else None
        words = _length_words(length) + _step_words(bench, step, steps)
    else:
        full = next((o.point.arrays for o in outcomes if o.point.name == _base(worst.point.name)), None)
        step = first_step(bench, full, block) if full is not None else None
        words = "; it is hidden in the sum over steps"
    shape = worst.point.grads[block].shape
    seen = observe(worst.found_values, worst.expected_values, shape, sizes(arrays, steps))
    text = (
        f"dL/d{block} is wrong {_number_words(worst)} (relative error {worst.error:.2g}) "
        f"on case {worst.point.name!r}{f'; {seen}' if seen else ''}{words}{_case_words(outcomes)}"
    )
    at = step or worst.point.step or length
    return Finding(text, block, worst.index, at, worst.found, worst.expected, worst.error, worst.point.name)


def _base(name: str) -> str:
    return name.rsplit(", loss of step ", 1)[0]
