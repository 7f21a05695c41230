"""Gate fusion: matrix products that read the same array become one product on stacked parameters.

In:  a forward Program without packs.
Out: an equal Program in which contractions of one moving operand with parameters of one shape are one
contraction on a Pack of those parameters, and pointwise equations that do the same to neighbouring
slots are one equation. Done before differentiation, the stacked gradient and the stacked transposed
product come for free.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Sequence
from dataclasses import replace

import sympy as sp

from bptt_verify.derivation.equations import Names
from bptt_verify.program import (
    TIME,
    Contract,
    Equation,
    Pack,
    Pointwise,
    Program,
    Ref,
    Select,
    symbol,
)
from bptt_verify.program.surgery import prune

_DEPTH = 2  # how far below a product its use is compared: the sum it enters, the function of that


def fuse(program: Program) -> Program:
    """Stack gates that read the same array."""
    program = _fuse_products(program)
    while True:
        fused = _fuse_pointwise(program)
        if fused is program:
            return _ordered(prune(program))
        program = fused


def joined(names: list[str]) -> str:
    """A name for a pack: the members' names with their common beginning and end written once."""
    head = _common(names)
    tails = [n[len(head) :][::-1] for n in names]
    tail = _common(tails)[::-1]
    middles = [n[len(head) : len(n) - len(tail)] for n in names]
    if not all(middles):
        head, tail, middles = "", "", names
    short = head + "".join(middles) + tail
    return (
        short
        if all(len(m) == 1 for m in middles) and not keyword.iskeyword(short)
        else head + "_".join(middles) + tail
    )


def _common(names: list[str]) -> str:
    """The longest beginning that all names share."""
    shared = 0
    while all(len(n) > shared and n[shared] == names[0][shared] for n in names):
        shared += 1
    return names[0][:shared]


def _fuse_products(program: Program) -> Program:
    groups: dict[object, list[Contract]] = {}
    for e in program.equations:
        key = _product_key(program, e)
        if key is not None and isinstance(e, Contract):
            groups.setdefault(key, []).append(e)
    names, place = Names(program), {e.name: i for i, e in enumerate(program.equations)}
    for group in groups.values():
        if len(group) > 1 and len({_parts(program, e)[0].name for e in group}) == len(group):
            program = _stack(program, sorted(group, key=_similar_first(program, group, place)), names)
    return program


def _parts(program: Program, e: Contract) -> tuple[Ref, Ref]:
    """(parameter, moving operand)."""
    a, b = e.operands
    return (a, b) if a.name in program.array and program.array[a.name].role == "param" else (b, a)


def _product_key(program: Program, e: Equation) -> object:
    """What products must share to be stacked; None for anything else."""
    if not isinstance(e, Contract) or len(e.operands) != 2 or TIME not in e.labels:
        return None
    w, v = _parts(program, e)
    is_param = w.name in program.array and program.array[w.name].role == "param"
    if not is_param or len(w.labels) != 2 or TIME not in v.labels or len(e.labels) != 3:
        return None
    return (v, w.labels, e.labels)


def _similar_first(
    program: Program, group: list[Contract], place: dict[str, int]
) -> Callable[[Contract], tuple[int, int]]:
    """Members that are used alike stand next to each other, in order of first appearance."""
    first: dict[object, int] = {}
    marks = {e.name: _use(program, e.name, _DEPTH) for e in group}
    for e in group:
        first.setdefault(marks[e.name], place[e.name])
    return lambda e: (first[marks[e.name]], place[e.name])


def _use(program: Program, name: str, depth: int) -> tuple[object, ...]:
    """How a value is used, as a comparable shape without names."""
    if depth == 0:
        return ()
    shapes = []
    for e in program.equations:
        for k, r in enumerate(e.operands):
            if r.name == name:
                shape = _shape(e) if isinstance(e, Pointwise) else ()
                shapes.append(
                    (type(e).__name__, k, str(shape), _use(program, e.name, depth - 1) if depth > 1 else ())
                )
    return tuple(sorted(shapes, key=str))


def _shape(e: Pointwise) -> sp.Expr:
    """The expression with its operands numbered."""
    return e.expr.xreplace({symbol(r): sp.Symbol(f"u{i}", real=True) for i, r in enumerate(e.operands)})


def _stack(program: Program, group: list[Contract], names: Names) -> Program:
    params = [_parts(program, e)[0] for e in group]
    moving = _parts(program, group[0])[1]
    slots = str(len(group))
    pack = Pack(
        names.unique(joined([p.name for p in params])), (slots, *params[0].labels), tuple(params), axis=0
    )
    rows = [x for x in params[0].labels if x in group[0].labels]
    labels = (*group[0].labels[:-1], slots, *rows)
    product = Contract(
        names.unique(joined([e.name for e in group])), labels, (Ref(pack.name, pack.labels), moving)
    )
    return _replaced(program, group, [pack, product], Ref(product.name, labels), axis=2)


def _replaced(
    program: Program, group: Sequence[Equation], new: list[Equation], whole: Ref, axis: int
) -> Program:
    """Put ``new`` where the first of ``group`` stands; each member becomes its slot."""
    members = {e.name: k for k, e in enumerate(group)}
    equations: list[Equation] = []
    done = False
    for e in program.equations:
        if e.name not in members:
            equations.append(e)
            continue
        if not done:
            equations += new
            done = True
        k = members[e.name]
        equations.append(Select(e.name, e.labels, (whole,), axis, k, k + 1))
    return replace(program, equations=tuple(equations))


def _fuse_pointwise(program: Program) -> Program:
    """Fuse the first set of pointwise equations that treat neighbouring slots alike."""
    groups: dict[object, list[Pointwise]] = {}
    for e in program.equations:
        if isinstance(e, Pointwise) and len(e.labels) == 3 and TIME in e.labels:
            key = _slot_key(program, e)
            if key is not None:
                groups.setdefault(key, []).append(e)
    for group in groups.values():
        run = _neighbours(program, group)
        if len(run) > 1:
            return _widen(program, run)
    return program


def _slot(program: Program, r: Ref) -> Select | None:
    e = program.equation.get(r.name)
    return e if isinstance(e, Select) and e.high == e.low + 1 and not r.shift else None


def _slot_key(program: Program, e: Pointwise) -> object:
    kinds: list[object] = []
    for r in e.operands:
        slot = _slot(program, r)
        is_param = r.name in program.array and program.array[r.name].role == "param" and len(r.labels) == 1
        if slot is not None:
            kinds.append(("slot", slot.operands[0].name))
        else:
            kinds.append(("param", r.labels) if is_param else ("same", r))
    has_slot = any(isinstance(k, tuple) and k[0] == "slot" for k in kinds)
    return (str(_shape(e)), tuple(kinds), e.labels) if has_slot else None


def _neighbours(program: Program, group: list[Pointwise]) -> list[Pointwise]:
    """The longest run of members whose slots are consecutive in every operand."""

    def position(e: Pointwise) -> tuple[int, ...]:
        slots = [_slot(program, r) for r in e.operands]
        return tuple(s.low for s in slots if s is not None)

    group = sorted(group, key=position)
    best: list[Pointwise] = []
    run: list[Pointwise] = []
    for e in group:
        follows = run and all(b == a + 1 for a, b in zip(position(run[-1]), position(e), strict=True))
        run = [*run, e] if follows else [e]
        best = run if len(run) > len(best) else best
    return best


def _widen(program: Program, group: list[Pointwise]) -> Program:
    names = Names(program)
    slots = str(len(group))
    first = group[0]
    labels = (*first.labels[:2], slots, *first.labels[2:])
    new: list[Equation] = []
    change: dict[sp.Symbol, sp.Symbol] = {}
    operands = []
    for k, r in enumerate(first.operands):
        column = [e.operands[k] for e in group]
        wide = _wide(program, column, slots, labels, new, names)
        operands.append(wide)
        change[symbol(r)] = symbol(wide)
    fused = Pointwise(
        names.unique(joined([e.name for e in group])), labels, first.expr.xreplace(change), tuple(operands)
    )
    return _replaced(program, group, [*new, fused], Ref(fused.name, labels), axis=2)


def _wide(
    program: Program,
    column: list[Ref],
    slots: str,
    labels: tuple[str, ...],
    new: list[Equation],
    names: Names,
) -> Ref:
    """One operand of the widened equation: a span of slots, a pack of parameters, or the same array."""
    slot = _slot(program, column[0])
    if slot is not None:
        source = program.equation[slot.operands[0].name]
        if len(source.labels) == len(labels) and source.labels[2] == slots:
            return Ref(source.name, labels)
        span = Select(
            names.unique(f"{joined([r.name for r in column])}_slots"),
            labels,
            slot.operands,
            2,
            slot.low,
            slot.low + len(column),
        )
        new.append(span)
        return Ref(span.name, labels)
    if len({r.name for r in column}) == 1:
        return column[0]
    pack = Pack(
        names.unique(joined([r.name for r in column])), (slots, *column[0].labels), tuple(column), axis=0
    )
    new.append(pack)
    return Ref(pack.name, pack.labels)


def _ordered(program: Program) -> Program:
    """Definitions before uses within a step; otherwise as they stand."""
    done = {a.name for a in program.arrays} | {c.end for c in program.carries}
    waiting, equations = list(program.equations), []
    while waiting:
        ready = next(e for e in waiting if all(r.name in done or r.shift for r in e.operands))
        waiting.remove(ready)
        equations.append(ready)
        done.add(ready.name)
    return replace(program, equations=tuple(equations))
