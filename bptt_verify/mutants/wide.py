"""One mistake made in several equations alike: all sums, all gates, whatever is carried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations

from bptt_verify.mutants.factors import divided
from bptt_verify.mutants.mutant import (
    Mutant,
    backward,
    in_order,
    reading_otherwise,
    rewritten,
    states,
    with_equations,
)
from bptt_verify.mutants.results import gates
from bptt_verify.mutants.slips import functions, without_factor
from bptt_verify.program import (
    TIME,
    Array,
    Carry,
    Contract,
    Equation,
    Pointwise,
    Program,
    Ref,
    spelled,
    symbol,
)
from bptt_verify.program.functions import derivative
from bptt_verify.program.names import free_name

Change = Callable[[Ref], Ref]


def _is_sum(e: Equation) -> bool:
    return isinstance(e, Contract) and TIME not in e.labels


def _is_product(e: Equation) -> bool:
    return isinstance(e, Contract) and TIME in e.labels


def every_step_off(program: Program) -> Iterator[Mutant]:
    """Every sum over time pairs the adjoint with the new state where the previous one belongs."""
    for name in states(program):

        def moved(r: Ref, name: str = name) -> Ref:
            return replace(r, shift=0) if r.name == name and r.shift < 0 else r

        changed = reading_otherwise(program, moved, _is_sum)
        if len(changed) > 1:
            text = f"every gradient pairs δ_t with {name}_t instead of {name}_{{t-1}}"
            yield Mutant(f"{name}_t in every sum", text, with_equations(program, *changed))


def other_state(program: Program) -> Iterator[Mutant]:
    """A sum reads another state; or what was computed of a state is computed of the previous one."""
    carried = states(program)
    for name in carried:
        for other in (v for v in carried if v != name and program.labels(v) == program.labels(name)):
            for e in reading_otherwise(program, _other(name, other), _is_sum):
                text = f"{e.name} pairs δ_t with {other} instead of {name}"
                yield Mutant(f"{other} for {name} in {e.name}", text, with_equations(program, e))
    for f, out in functions(program):
        argument = f.operands[0]
        if argument.name in carried and not argument.shift:
            old = replace(argument, shift=-1)
            value = f.expr.xreplace({symbol(argument): symbol(old)})
            changed: list[Equation] = []
            for e in backward(program):
                if isinstance(e, Pointwise) and e.expr.has(symbol(out)):
                    changed.append(rewritten(e, e.expr.xreplace({symbol(out): value}), (*e.operands, old)))
            if changed:
                text = (
                    f"the backward pass computes {f.name} from {spelled(old)} instead of {spelled(argument)}"
                )
                yield Mutant(f"{f.name} of {spelled(old)}", text, with_equations(program, *changed))


def exchanged_adjoints(program: Program) -> Iterator[Mutant]:
    """Two adjoints change places wherever they are used: of two gates, or of two states that are carried."""
    known = program.equation
    pairs = [(f"{a}_bar", f"{b}_bar") for group in gates(program) for a, b in combinations(group, 2)]
    for a, b in pairs:
        if a in known and b in known:
            wrong = in_order(with_equations(program, *reading_otherwise(program, _exchange(a, b))))
            text = f"{a} and {b} change places wherever they are used: another order of the gates"
            if wrong is not None:
                yield Mutant(f"{a} for {b}", text, wrong)
    late = [c.value for c in program.carries if c.shift > 0]
    for a, b in combinations(late, 2):
        if program.labels(a) == program.labels(b):
            changed = reading_otherwise(program, _exchange(a, b, carried=True))
            wrong = with_equations(program, *changed)
            text = f"the carried adjoints {a} and {b} change places from one step to the next"
            yield Mutant(f"{a} for {b} carried", text, wrong)
            ends = {c.value: c.end for c in program.carries}
            places = {ends[a]: ends[b], ends[b]: ends[a]}
            results = tuple((k, places.get(v, v)) for k, v in program.results)
            text += ", and so do the gradients of the initial states"
            yield Mutant(f"{a} for {b} carried to the start", text, replace(wrong, results=results))


def _exchange(a: str, b: str, carried: bool = False) -> Change:
    places = {a: b, b: a}
    return lambda r: replace(r, name=places[r.name]) if r.name in places and bool(r.shift) == carried else r


def earlier_everywhere(program: Program) -> Iterator[Mutant]:
    """An adjoint is used everywhere as it was before it was multiplied, by the slope or a gate."""
    sources = {e.name: e for e in backward(program) if isinstance(e, Pointwise)}
    before = {name: found for name, e in sources.items() if (found := _before(e, sources)) is not None}
    for name, other in before.items():
        changed = reading_otherwise(program, _instead({name: other}))
        if len(changed) > 1:
            text = f"{other} is used wherever {name} belongs: what multiplies it is left out (slope or gate)"
            yield Mutant(f"{other} for {name}", text, with_equations(program, *changed))
    changed = reading_otherwise(program, _instead(before), _is_product)
    if len(changed) > 1:
        text = "what is carried back leaves out the slopes: it uses the adjoints before they are multiplied"
        yield Mutant("no slopes in what is carried", text, with_equations(program, *changed))


def carried_without_slopes(program: Program) -> Iterator[Mutant]:
    """The products that carry back, and to the inputs, leave out the slopes of all functions."""
    slopes = {out: derivative(f.expr, symbol(f.operands[0]), symbol(out)) for f, out in functions(program)}
    bare: dict[str, Pointwise] = {}
    for e in backward(program):
        if isinstance(e, Pointwise):
            expr = e.expr
            for out in e.operands:
                rest = divided(expr, slopes[out]) if out in slopes else None
                expr = expr if rest is None else rest
            if expr != e.expr:
                bare[e.name] = replace(rewritten(e, expr, e.operands), name=f"{e.name}_bare")
    places = {name: e.name for name, e in bare.items()}
    changed = {e.name: e for e in reading_otherwise(program, _instead(places), _is_product)}
    if len(bare) > 1 and changed:
        equations = [x for e in program.equations for x in (changed.get(e.name, e), bare.get(e.name)) if x]
        text = "what is carried back leaves out the slopes of the functions, in every product"
        yield Mutant("no slopes in any product", text, replace(program, equations=tuple(equations)))


def _before(e: Pointwise, sources: dict[str, Pointwise]) -> str | None:
    """The adjoint that an equation multiplies as a whole."""
    found = [r for r in e.operands if r.name in sources and not r.shift and r.labels == e.labels]
    return found[0].name if len(found) == 1 and e.expr.is_Mul else None


def _instead(places: dict[str, str]) -> Change:
    return lambda r: replace(r, name=places[r.name]) if r.name in places and not r.shift else r


def lost_parameter(program: Program) -> Iterator[Mutant]:
    """A parameter that multiplies elementwise is missing in the whole backward pass."""
    for p in (a.name for a in program.arrays if a.role == "param"):
        changed = [
            rewritten(e, without_factor(e.expr, symbol(r)), e.operands)
            for e in backward(program)
            if isinstance(e, Pointwise)
            for r in e.operands
            if r.name == p
        ]
        if len(changed) > 1:
            text = f"the factor {p} is missing in the whole backward pass"
            yield Mutant(f"no factor {p}", text, with_equations(program, *changed))


def one_value_kept(program: Program) -> Iterator[Mutant]:
    """A value of the forward pass is kept once, not for each step: the backward pass finds the last one."""
    late = {e.name for e in backward(program)}
    ends = {c.value: c.end for c in program.carries}
    used = {r.name for e in backward(program) for r in e.operands if r.name in program.equation}
    for name in sorted(used - late):
        labels = program.labels(name)
        if labels[:1] != (TIME,):
            continue
        start = next((c.boundary for c in program.carries if c.value == name and c.shift < 0), None)
        copied = free_name(f"{name}_copied", set(program.names()))
        end = ends.get(name) or f"{copied}_last"
        last = Ref(end, labels[1:])

        changed = reading_otherwise(program, _other(name, copied))
        arrays, carries = list(program.arrays), list(program.carries)
        if name not in ends:
            zero = f"{copied}_zero"
            arrays.append(Array(zero, "zero", labels[1:]))
            carries.append(Carry(name, zero, -1, end))
        if start is not None:
            carries.append(Carry(copied, start, -1, f"{copied}_end"))
        wrong = with_equations(program, *changed)
        text = f"{name} is one array that every step overwrites: the backward pass finds the last one only"
        yield Mutant(
            f"{name} kept once",
            text,
            replace(
                wrong,
                arrays=tuple(arrays),
                carries=tuple(carries),
                equations=(*wrong.equations, Pointwise(copied, labels, symbol(last), (last,))),
            ),
        )


def other_input(program: Program) -> Iterator[Mutant]:
    """The backward pass takes the input where the target belongs; or a neighbouring step's input."""
    series = [a for a in program.arrays if a.role in ("input", "target")]
    for a in series:
        for b in series:
            if a.name != b.name and a.labels == b.labels and a.role == "target":
                changed = reading_otherwise(program, _other(a.name, b.name))
                if changed:
                    text = f"the backward pass takes {b.name} where {a.name} belongs"
                    yield Mutant(f"{b.name} for {a.name}", text, with_equations(program, *changed))
    taken = set(program.names())
    for a in (s for s in series if s.role == "input"):
        for shift, zero in ((-1, "before"), (1, "after")):
            beyond = free_name(f"{a.name}_{zero}", taken)

            def moved(r: Ref, name: str = a.name, shift: int = shift) -> Ref:
                return replace(r, shift=shift) if r.name == name else r

            changed = reading_otherwise(program, moved, _is_sum)
            if changed:
                wrong = with_equations(program, *changed)
                other = spelled(Ref(a.name, a.labels, shift))
                text = f"the gradients pair δ_t with {other} instead of {a.name}_t"
                yield Mutant(
                    f"{a.name} one step {zero}",
                    text,
                    replace(
                        wrong,
                        arrays=(*wrong.arrays, Array(beyond, "zero", a.labels[1:])),
                        carries=(*wrong.carries, Carry(a.name, beyond, shift, f"{beyond}_end")),
                    ),
                )


def _other(name: str, other: str) -> Change:
    return lambda r: replace(r, name=other) if r.name == name else r
