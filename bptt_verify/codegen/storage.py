"""Where each value lies: whole series, series with its boundary, one step's buffer, or part of another.

In:  a Program and its components.
Out: a Store for every name. Nothing is computed here, and no text is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bptt_verify.program import TIME, Component, Equation, Pack, Pointwise, Program, Ref, Select

Kind = Literal["given", "static", "series", "carried", "rolling", "step", "slot"]


@dataclass(frozen=True)
class Store:
    """How a value is kept.

    ``given``: an argument; ``static``: no time axis; ``series``: (T, …); ``carried``: (T+1, …) with the
    boundary; ``rolling``: one step, overwritten by the next; ``step``: one step's scratch;
    ``slot``: slots ``low … high-1`` of the pack ``source``.
    """

    kind: Kind
    source: str = ""
    low: int = 0
    high: int = 0
    axis: int = 0


def layout(program: Program, parts: tuple[Component, ...]) -> dict[str, Store]:
    """A Store for every declared array and every equation."""
    stores = {a.name: Store("given") for a in program.arrays}
    home = {e.name: k for k, part in enumerate(parts) for e in part.equations}
    results = {name for _, name in program.results}
    for part in parts:
        for e in part.equations:
            stores[e.name] = _store(program, part, e, home, results)
    _place_members(program, parts, stores)
    return stores


def _store(program: Program, part: Component, e: Equation, home: dict[str, int], results: set[str]) -> Store:
    if TIME not in e.labels:
        return _selected(e) if isinstance(e, Select) else Store("static")
    inside = part.direction != 0 and all(home[x] == home[e.name] for x in _readers(program, e.name))
    if e.name in program.carry:
        if _only_its_end(program, part, e, results):
            return Store("rolling")
        rolling = inside and e.name not in results and _overwritable(part, e)
        return Store("rolling" if rolling else "carried")
    if isinstance(e, Select):
        return _selected(e)
    return Store("step" if inside and e.name not in results else "series")


def _only_its_end(program: Program, part: Component, e: Equation, results: set[str]) -> bool:
    """Whether no step reads what all could send back: only the first one has to (``Body._first_step``).

    What it is made of must lie there as it is, without a boundary.
    """
    carry = program.carry[e.name]
    alone = carry.shift > 0 and part.direction == 0 and e.name not in results
    plain = all(not r.shift and r.name not in program.carry for r in e.operands)
    return alone and plain and not _readers(program, e.name)


def _readers(program: Program, name: str) -> set[str]:
    """The equations that read a value, directly or through its slots."""
    readers: set[str] = set()
    for x in program.equations:
        if any(r.name == name for r in x.operands):
            readers.add(x.name)
            if isinstance(x, Select):
                readers |= _readers(program, x.name)
    return readers


def _selected(e: Select) -> Store:
    return Store("slot", e.operands[0].name, e.low, e.high, e.axis)


def _overwritable(part: Component, e: Equation) -> bool:
    """Whether every read of the neighbouring step comes before this step's value is written."""
    place = {x.name: i for i, x in enumerate(part.equations)}
    shifted = [place[x.name] for x in part.equations for r in x.operands if r.name == e.name and r.shift]
    return max(shifted, default=-1) < place[e.name]


def _place_members(program: Program, parts: tuple[Component, ...], stores: dict[str, Store]) -> None:
    """A pack's members are computed where the pack keeps them, unless they already have a place."""
    home = {e.name: k for k, part in enumerate(parts) for e in part.equations}
    for e in reversed(program.equations):
        if not isinstance(e, Pack) or TIME not in e.labels:
            continue
        low = 0
        for r, slots in zip(e.operands, e.slots, strict=True):
            same_loop = home.get(r.name) == home[e.name] or stores[e.name].kind == "series"
            if stores[r.name].kind in ("step", "series") and same_loop and not r.shift and _once(e, r):
                stores[r.name] = Store("slot", e.name, low, low + slots, e.axis)
            low += slots


def _once(e: Pack, r: Ref) -> bool:
    return sum(o.name == r.name for o in e.operands) == 1


def takeovers(part: Component, stores: dict[str, Store], safe: dict[str, set[str]]) -> dict[str, str]:
    """Values of one step that may be computed in the buffer of the value that uses them up.

    Parameters
    ----------
    safe : dict
        For each pointwise equation, the operands that are not read after its first write.

    Returns
    -------
    dict
        Name of the value taken over -> name whose storage it uses.
    """
    last: dict[str, str] = {}
    for e in part.equations:
        for r in e.operands:
            last[_root(r.name, stores)] = e.name
    taken: dict[str, str] = {}
    hosts: set[str] = set()
    labels = {e.name: e.labels for e in part.equations}
    for e in reversed(part.equations):
        if not isinstance(e, Pointwise) or stores[e.name].kind == "rolling":
            continue
        for r in e.operands:
            fits = stores[r.name].kind == "step" and r.labels == labels[e.name] == labels.get(r.name)
            if fits and r.name in safe.get(e.name, set()) and last[r.name] == e.name and e.name not in hosts:
                taken[r.name] = e.name
                hosts.add(e.name)
                break
    return taken


def _root(name: str, stores: dict[str, Store]) -> str:
    while stores[name].kind == "slot":
        name = stores[name].source
    return name
