"""Many gradient functions against one reference, whose numbers are computed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from bptt_verify.check import noise
from bptt_verify.check.comparison import Bench, Point, conditioning, expect, gaps_and_allowed, noise_slack
from bptt_verify.check.gradient import choose_methods
from bptt_verify.check.problem import Case, GradientFunction, Problem


def caught(
    candidates: Mapping[str, GradientFunction],
    problem: Problem,
    cases: Iterable[Case],
    rng: np.random.Generator,
) -> dict[str, str]:
    """Which candidates have a wrong gradient, and where it shows first.

    The comparison is that of ``judge_gradient``, element by element and with its tolerance; what is left
    out is the search for where a mistake starts.

    Parameters
    ----------
    candidates : mapping of str to gradient function
    problem : Problem
    cases : iterable of Case
    rng : numpy.random.Generator

    Returns
    -------
    dict of str to str
        For each candidate that is wrong, the block and the case.
    """
    drawn = list(cases)
    methods, _ = choose_methods(problem, drawn, rng)
    found: dict[str, str] = {}
    for case in drawn:
        points = {
            name: Point(case.name, case.arrays, {k: np.asarray(v) for k, v in fn(case.arrays)[1].items()})
            for name, fn in candidates.items()
            if name not in found
        }
        for block in problem.blocks:
            for name in _wrong(points, Bench(_none, problem, noise.DOUBLE, methods, rng), block):
                found.setdefault(name, f"{block} on {case.name}")
                del points[name]
    return found


def _wrong(points: Mapping[str, Point], bench: Bench, block: str) -> list[str]:
    """The names of those points whose gradient of one block is beyond the tolerance."""
    if not points:
        return []
    arrays = next(iter(points.values())).arrays
    wanted, method = expect(bench, arrays, block)
    moved = conditioning(bench, arrays, block, method)
    names = []
    for name, point in points.items():
        slack = noise_slack(bench, point, block, wanted.scale, moved)
        _, gaps, allowed = gaps_and_allowed(wanted, point.grads[block], slack)
        if np.any(gaps > allowed):
            names.append(name)
    return names


def _none(arrays: object) -> tuple[float, dict[str, object]]:
    raise RuntimeError("screening calls the candidates itself")
