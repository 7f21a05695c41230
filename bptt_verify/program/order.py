"""Which equations need a time loop, and in which order everything can be computed.

Time is a label, so this is classic loop distribution: equations that depend on themselves through a
neighbouring step form a strongly connected component and need a loop, whose direction is the sign of
the shift; every other equation is one statement over all steps at once. Nothing here knows a cell.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bptt_verify.program.nodes import Equation, Program


@dataclass(frozen=True)
class Component:
    """Equations computed together; ``direction`` is 0 (no loop), +1 (t ascending) or -1."""

    equations: tuple[Equation, ...]
    direction: int


@lru_cache(maxsize=256)
def components(program: Program) -> tuple[Component, ...]:
    """Order the program into components, keeping the given order wherever dependences allow.

    Raises
    ------
    ValueError
        If one component reads both the previous and the next step (not a recurrence in time).
    """
    equations = program.equations
    position = {e.name: i for i, e in enumerate(equations)}
    end_of = {c.end: c.value for c in program.carries}
    edges = [
        (position[source], i)
        for i, e in enumerate(equations)
        for r in e.operands
        if (source := end_of.get(r.name, r.name)) in position
    ]
    group = _strong_components(len(equations), edges)
    members: dict[int, list[int]] = {}
    for i, g in enumerate(group):
        members.setdefault(g, []).append(i)
    return tuple(_component([equations[i] for i in members[g]]) for g in _topological(group, members, edges))


def _strong_components(size: int, edges: list[tuple[int, int]]) -> list[int]:
    if not edges:
        return list(range(size))
    rows, columns = np.array(edges).T
    graph = coo_array((np.ones(len(edges)), (rows, columns)), shape=(size, size))
    return [int(g) for g in connected_components(graph, connection="strong")[1]]


def _topological(group: list[int], members: dict[int, list[int]], edges: list[tuple[int, int]]) -> list[int]:
    follows: dict[int, set[int]] = {g: set() for g in members}
    waits = dict.fromkeys(members, 0)
    for a, b in {(group[a], group[b]) for a, b in edges if group[a] != group[b]}:
        follows[a].add(b)
        waits[b] += 1
    ready = [(members[g][0], g) for g, count in waits.items() if count == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        _, g = heapq.heappop(ready)
        order.append(g)
        for b in follows[g]:
            waits[b] -= 1
            if waits[b] == 0:
                heapq.heappush(ready, (members[b][0], b))
    return order


def _component(equations: list[Equation]) -> Component:
    names = {e.name for e in equations}
    shifts = {r.shift for e in equations for r in e.operands if r.name in names and r.shift}
    if len(shifts) > 1:
        raise ValueError(f"equations {sorted(names)} read both the previous and the next step")
    return Component(tuple(equations), -shifts.pop() if shifts else 0)
