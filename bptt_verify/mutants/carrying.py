"""Rare mistakes of the backward recursion: what is carried, which way, and where it is added."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import replace

import sympy as sp

from bptt_verify.mutants.mutant import Mutant, backward, reading_otherwise, rewritten, states, with_equations
from bptt_verify.program import TIME, Carry, Contract, Pointwise, Program, Ref, formula, spelled, symbol
from bptt_verify.program.surgery import reading


def earlier_adjoint(program: Program) -> Iterator[Mutant]:
    """A product takes an adjoint before it was multiplied by the slope or the gate."""
    late = {e.name: e for e in backward(program)}
    for e in late.values():
        for r in e.operands if isinstance(e, Contract) else ():
            source = late.get(r.name)
            if not isinstance(source, Pointwise):
                continue
            for before in _factors_among(late, source, r):
                taken = replace(r, name=before.name)
                changed = reading(e, {o: taken if o == r else o for o in e.operands})
                text = (
                    f"{e.name} uses {spelled(before)} where {spelled(r)} belongs: what multiplies it in "
                    f"{formula(source)} is left out there (slope or gate)"
                )
                name = f"{before.name} for {r.name} in {e.name}"
                yield Mutant(name, text, with_equations(program, changed))


def _factors_among(late: Container[str], source: Pointwise, r: Ref) -> Iterator[Ref]:
    """The adjoints of this step that are a factor of every term of an equation."""
    for before in source.operands:
        fits = before.name in late and not before.shift and len(before.labels) == len(r.labels)
        if fits and all(t.has(symbol(before)) for t in sp.Add.make_args(source.expr)):
            yield before


def late_carry(program: Program) -> Iterator[Mutant]:
    """The carried adjoint is added after the slope instead of before it."""
    carried = {c.value for c in program.carries if c.shift > 0}
    sums = {
        e.name: [r for r in e.operands if r.name in carried and r.shift > 0]
        for e in backward(program)
        if isinstance(e, Pointwise) and e.expr.is_Add
    }
    for e in backward(program):
        for r in e.operands if isinstance(e, Pointwise) else ():
            for c in sums.get(r.name, []):
                if r.shift or not isinstance(e, Pointwise):
                    continue
                expr = e.expr.xreplace({symbol(r): symbol(r) - symbol(c)}) + symbol(c)
                changed = rewritten(e, expr, (*e.operands, c))
                text = f"{spelled(c)} is added to {e.name} after the slope, and not to {r.name} before it"
                yield Mutant(f"{c.name} after the slope in {e.name}", text, with_equations(program, changed))
                own = e.expr.xreplace({symbol(r): symbol(c)}) + symbol(r) - symbol(c)
                changed = rewritten(e, own, (*e.operands, c))
                text = (
                    f"only {spelled(c)} is multiplied by the slope in {e.name}, not what the step adds to it"
                )
                yield Mutant(f"slope of {c.name} only in {e.name}", text, with_equations(program, changed))
                yield from _slope_of_another_step(program, e, r, c)


def _slope_of_another_step(program: Program, e: Pointwise, r: Ref, c: Ref) -> Iterator[Mutant]:
    """What is carried meets the slope of the step from which it comes."""
    carried = set(states(program))
    for o in e.operands:
        if o.name in carried and not o.shift:
            later = e.expr.xreplace({symbol(r): symbol(c), symbol(o): symbol(replace(o, shift=1))})
            expr = e.expr.xreplace({symbol(r): symbol(r) - symbol(c)}) + later
            changed = rewritten(e, expr, (*e.operands, c, replace(o, shift=1)))
            text = f"{spelled(c)} is multiplied by the slope of step t+1 in {e.name}, not by that of step t"
            yield Mutant(
                f"{c.name} with the slope of t+1 in {e.name}", text, with_equations(program, changed)
            )


def part_of_a_product(program: Program) -> Iterator[Mutant]:
    """A sum pairs the adjoint with one factor of what the matrix was multiplied by: r h_{t-1} without r."""
    late = {e.name for e in backward(program)}
    for e in backward(program):
        for r in e.operands if isinstance(e, Contract) else ():
            made = program.equation.get(r.name)
            if isinstance(made, Pointwise) and r.name not in late and made.expr.is_Mul:
                for o in made.operands:
                    if len(o.labels) == len(r.labels):
                        taken = replace(o, labels=r.labels)
                        changed = reading(e, {x: taken if x == r else x for x in e.operands})
                        product = formula(made).partition(" = ")[2]
                        text = f"{e.name} pairs δ_t with {spelled(taken)}, not with {product}"
                        yield Mutant(
                            f"{spelled(taken)} for {r.name} in {e.name}",
                            text,
                            with_equations(program, changed),
                        )


def wrong_direction(program: Program) -> Iterator[Mutant]:
    """The backward loop runs forwards, or adds up what it carries."""
    late = [c for c in program.carries if c.shift > 0 and c.value in program.equation]
    if not late:
        return
    names = {c.value for c in late}

    def turned(r: Ref) -> Ref:
        return replace(r, shift=-1) if r.name in names and r.shift > 0 else r

    yield Mutant(
        "backward loop runs forwards",
        "the backward loop runs forwards in time: the adjoint is carried from step t-1 to step t",
        replace(
            program,
            equations=tuple(reading(e, {r: turned(r) for r in e.operands}) for e in program.equations),
            carries=tuple(replace(c, shift=-1) if c in late else c for c in program.carries),
        ),
    )
    for c in late:
        e = program.equation[c.value]
        whole = Ref(f"{e.name}_alone", e.labels)
        again = Ref(e.name, e.labels, 1)
        total = Pointwise(e.name, e.labels, symbol(whole) + symbol(again), (whole, again))
        equations = [
            x
            for old in program.equations
            for x in ((replace(old, name=whole.name), total) if old is e else (old,))
        ]
        text = f"the carried adjoint {e.name} accumulates over the steps (+= where = belongs)"
        yield Mutant(f"{e.name} accumulates", text, replace(program, equations=tuple(equations)))


def overwritten_state(program: Program) -> Iterator[Mutant]:
    """All stored states are one array, so that the backward pass finds the last one everywhere."""
    ends = {c.value: c.end for c in program.carries if c.value in states(program)}
    for value, end in ends.items():

        def last(r: Ref, value: str = value, end: str = end) -> Ref:
            return Ref(end, r.labels[1:]) if r.name == value and r.labels[:1] == (TIME,) else r

        changed = reading_otherwise(program, last)
        if changed:
            text = f"the stored states {value} are one array that is overwritten: all are the last state"
            yield Mutant(f"{value} overwritten", text, with_equations(program, *changed))


def wrapped_index(program: Program) -> Iterator[Mutant]:
    """The previous state of step 1 is the last state, since the index t-1 is -1 there."""
    for c in [c for c in program.carries if c.value in states(program)]:
        labels, copied = program.labels(c.value), f"{c.value}_copied"

        def read(r: Ref, c: Carry = c, copied: str = copied) -> Ref:
            return replace(r, name=copied) if r.name == c.value and r.shift < 0 else r

        changed = reading_otherwise(program, read)
        if changed:
            whole = Ref(c.value, labels)
            wrong = with_equations(program, *changed)
            wrong = replace(
                wrong,
                equations=(*wrong.equations, Pointwise(copied, labels, symbol(whole), (whole,))),
                carries=(*wrong.carries, Carry(copied, c.end, -1, f"{copied}_end")),
            )
            text = f"the last {c.value} stands for {c.boundary} in the backward pass: t-1 is the index -1"
            yield Mutant(f"{c.value} wraps round", text, wrong)


def carried_only(program: Program) -> Iterator[Mutant]:
    """One equation uses what is carried back only, or only what the step itself adds to it."""
    carried = {c.value for c in program.carries if c.shift > 0}
    late = {e.name: e for e in backward(program)}
    for e in late.values():
        if not isinstance(e, Pointwise):
            continue
        for r in (r for r in e.operands if not r.shift):
            source = late.get(r.name)
            sums = isinstance(source, Pointwise) and source.expr.is_Add
            for c in source.operands if source is not None and sums else ():
                if c.name in carried and c.shift > 0:
                    changed = rewritten(e, e.expr.xreplace({symbol(r): symbol(c)}), (*e.operands, c))
                    text = f"{e.name} uses {spelled(c)} alone where {spelled(r)} belongs"
                    yield Mutant(f"{c.name} only in {e.name}", text, with_equations(program, changed))
                    own = e.expr.xreplace({symbol(r): symbol(r) - symbol(c)})
                    changed = rewritten(e, own, (*e.operands, c))
                    text = f"{e.name} leaves out {spelled(c)}, which is in {spelled(r)}"
                    yield Mutant(f"no {c.name} in {e.name}", text, with_equations(program, changed))
