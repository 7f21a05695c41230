"""The known mistakes, as transformations of an adjoint Program.

Each rule looks for the places where people make one mistake and yields one wrong Program per place.
A rule knows nothing of a cell; whether a mutant changes any number is found out by running it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import sympy as sp

from bptt_verify.program import (
    BATCH,
    TIME,
    Array,
    Carry,
    Contract,
    Equation,
    Pack,
    Pointwise,
    Program,
    Ref,
    size_symbol,
    spelled,
    symbol,
)
from bptt_verify.program.functions import FUNCTIONS


@dataclass(frozen=True)
class Mutant:
    """One wrong gradient.

    Attributes
    ----------
    name : str
        The kind of mistake and its place.
    description : str
        What the author of such code did, as a sentence for the author.
    program : Program
        The wrong adjoint; same arrays and results as the right one.
    """

    name: str
    description: str
    program: Program


Rule = Callable[[Program], Iterator[Mutant]]


def mutants(adjoint: Program) -> tuple[Mutant, ...]:
    """Every known mistake at every place of this adjoint program where it can be made."""
    return tuple(m for rule in RULES for m in rule(adjoint))


def _with(program: Program, *changed: Equation) -> Program:
    new = {e.name: e for e in changed}
    return replace(program, equations=tuple(new.get(e.name, e) for e in program.equations))


def _reverse(program: Program) -> list[Equation]:
    """The equations of the backward pass: those that depend on the weights or come after."""
    seeds = {a.name for a in program.arrays if a.role in ("weights", "zero", "cotangent")}
    loss = dict(program.results).get("loss")
    found: list[Equation] = []
    for e in program.equations:
        if e.name != loss and any(r.name in seeds for r in e.operands):
            seeds.add(e.name)
            found.append(e)
    return found


def _states(program: Program) -> dict[str, str]:
    """Forward carried value -> the name of its initial state."""
    return {c.value: c.boundary for c in program.carries if c.shift < 0}


def _without(e: Pointwise, gone: sp.Symbol, value: sp.Expr) -> Pointwise:
    expr = e.expr.xreplace({gone: value})
    return replace(e, expr=expr, operands=tuple(r for r in e.operands if expr.has(symbol(r))))


def detached_state(program: Program) -> Iterator[Mutant]:
    """λ_{t+1} is not carried back: for each state, and for all states at once."""
    late = {c.value for c in program.carries if c.shift > 0}
    hits: dict[str, list[Pointwise]] = {}
    for e in program.equations:
        if isinstance(e, Pointwise):
            for r in e.operands:
                if r.name in late and r.shift > 0:
                    hits.setdefault(r.name, []).append(_without(e, symbol(r), sp.Integer(0)))
    for name, changed in hits.items():
        state = name.removesuffix("_prev_bar")
        text = f"the adjoint of {state} is not carried back from step t+1 to step t (missing d{state}_next)"
        yield Mutant(f"no carried adjoint: {state}", text, _with(program, *changed))
    if len(hits) > 1:
        whole = program
        for e in program.equations:
            for r in e.operands:
                if isinstance(e, Pointwise) and r.name in late and r.shift > 0:
                    current = whole.equation[e.name]
                    assert isinstance(current, Pointwise)
                    whole = _with(whole, _without(current, symbol(r), sp.Integer(0)))
        yield Mutant(
            "no carried adjoint at all",
            "no adjoint is carried back: the gradient equals Window(1), the state is detached",
            whole,
        )


def missing_transpose(program: Program) -> Iterator[Mutant]:
    """A square matrix is used as it stands where its transpose belongs."""
    for e in _reverse(program):
        if not isinstance(e, Contract):
            continue
        for k, r in enumerate(e.operands):
            sizes = [x.rstrip("'") for x in r.labels]
            if _is_weight(program, r.name) and len(sizes) > 1 and sizes[-1] == sizes[-2]:
                turned = replace(r, labels=(*r.labels[:-2], r.labels[-1], r.labels[-2]))
                operands = tuple(turned if j == k else o for j, o in enumerate(e.operands))
                text = f"{r.name} is used where its transpose belongs, in {e.name}"
                yield Mutant(
                    f"missing transpose: {r.name} in {e.name}",
                    text,
                    _with(program, replace(e, operands=operands)),
                )


def _is_weight(program: Program, name: str) -> bool:
    """Whether this is a parameter, or a stack of parameters."""
    if name in program.array:
        return program.array[name].role == "param"
    e = program.equation.get(name)
    return isinstance(e, Pack) and all(_is_weight(program, r.name) for r in e.operands)


def wrong_step(program: Program) -> Iterator[Mutant]:
    """A gradient pairs the adjoint with the new state where the previous one belongs, or the reverse."""
    states = _states(program)
    for e in _reverse(program):
        for k, r in enumerate(e.operands):
            if r.name not in states:
                continue
            moved = replace(r, shift=-1 - r.shift)
            if isinstance(e, Contract) and TIME not in e.labels:
                operands = tuple(moved if j == k else o for j, o in enumerate(e.operands))
                text = f"{e.name} pairs δ_t with {spelled(moved)} instead of {spelled(r)}"
                yield Mutant(
                    f"{spelled(moved)} for {spelled(r)} in {e.name}",
                    text,
                    _with(program, replace(e, operands=operands)),
                )
            elif isinstance(e, Pointwise) and r.shift < 0:
                yield _swapped(program, e, r, moved)


def _swapped(program: Program, e: Pointwise, r: Ref, moved: Ref) -> Mutant:
    expr = e.expr.xreplace({symbol(r): symbol(moved)})
    operands = tuple(dict.fromkeys(moved if o == r else o for o in e.operands))
    text = f"{e.name} uses {spelled(moved)} instead of {spelled(r)}"
    return Mutant(
        f"{spelled(moved)} for {spelled(r)} in {e.name}",
        text,
        _with(program, replace(e, expr=expr, operands=operands)),
    )


def wrong_slope(program: Program) -> Iterator[Mutant]:
    """The slope of a function is left out, or taken at the argument as though it were the output."""
    backward = {e.name for e in _reverse(program)}
    for f in program.equations:
        if not isinstance(f, Pointwise) or f.expr.func not in FUNCTIONS or f.name in backward:
            continue
        word = f.expr.func.__name__
        source = f.operands[0]
        dropped, moved = [], []
        for e in program.equations:
            if e.name not in backward or not isinstance(e, Pointwise):
                continue
            out = next((r for r in e.operands if r.name == f.name and not r.shift), None)
            if out is None:
                continue
            slopes = (1 - symbol(out) ** 2, symbol(out) * (1 - symbol(out)))
            for slope in slopes:
                bare = _divided(e.expr, slope)
                if bare is not None:
                    dropped.append(_pointwise(e, bare, e.operands))
                    inner = slope.xreplace({symbol(out): symbol(source)})
                    moved.append(_pointwise(e, bare * inner, (*e.operands, source)))
        if dropped:
            yield Mutant(
                f"no slope of {word} for {f.name}",
                f"the slope of {word} is missing for {f.name}",
                _with(program, *dropped),
            )
            text = (
                f"the slope of {word} for {f.name} is taken at its argument {source.name}, not at its output"
            )
            yield Mutant(f"slope of {word} at {source.name}", text, _with(program, *moved))


def _divided(expr: sp.Expr, slope: sp.Expr) -> sp.Expr | None:
    """``expr`` with one factor ``slope`` removed from each term that has it; None where none has it."""
    terms, hit = [], False
    for term in sp.Add.make_args(expr):
        factors = list(sp.Mul.make_args(term))
        wanted = list(sp.Mul.make_args(slope))
        if all(w in factors for w in wanted):
            hit = True
            for w in wanted:
                factors.remove(w)
            term = sp.Mul(*factors)
        terms.append(term)
    return sp.Add(*terms) if hit else None


def _pointwise(e: Pointwise, expr: sp.Expr, operands: tuple[Ref, ...]) -> Pointwise:
    return replace(e, expr=expr, operands=tuple(dict.fromkeys(r for r in operands if expr.has(symbol(r)))))


def dropped_term(program: Program) -> Iterator[Mutant]:
    """One term of a sum of cotangents is forgotten."""
    late = {c.value for c in program.carries if c.shift > 0}
    for e in _reverse(program):
        if not isinstance(e, Pointwise) or not e.expr.is_Add:
            continue
        for k, term in enumerate(sp.Add.make_args(e.expr)):
            carried = any(r.name in late and r.shift > 0 and term.has(symbol(r)) for r in e.operands)
            if not carried and _is_path(e, term):
                rest = sp.Add(*(t for j, t in enumerate(sp.Add.make_args(e.expr)) if j != k))
                text = f"one of the paths that {e.name} sums is forgotten (term {k + 1})"
                yield Mutant(
                    f"dropped term {k + 1} of {e.name}", text, _with(program, _pointwise(e, rest, e.operands))
                )


def _is_path(e: Pointwise, term: sp.Expr) -> bool:
    """Whether the term carries a cotangent (rather than being half of a slope)."""
    return any("_bar" in r.name and term.has(symbol(r)) for r in e.operands)


def wrong_scale(program: Program) -> Iterator[Mutant]:
    """The whole gradient is off by a factor that belongs to the mean, or to the square."""
    steps, batch = size_symbol(TIME), size_symbol(BATCH)
    factors = {
        "times T": (steps, "the gradient is the right one times T: the mean over time is missing"),
        "times B": (batch, "the gradient is the right one times B: the mean over the batch is missing"),
        "times T B": (steps * batch, "the gradient is the right one times T B: the mean is missing"),
        "over T": (1 / steps, "the gradient is the right one over T: the mean over time is taken twice"),
        "over B": (1 / batch, "the gradient is the right one over B: the mean over the batch is taken twice"),
        "doubled": (
            sp.Integer(2),
            "the gradient is twice the right one: the ½ of the squared error is missing",
        ),
        "halved": (sp.Rational(1, 2), "the gradient is half the right one"),
        "negated": (sp.Integer(-1), "the gradient is negated"),
    }
    gradients = [(k, v) for k, v in program.results if k != "loss"]
    for name, (factor, text) in factors.items():
        yield Mutant(name, text, _scaled(program, gradients, factor))


def _scaled(program: Program, gradients: list[tuple[str, str]], factor: sp.Expr) -> Program:
    new, results = [], [r for r in program.results if r[0] == "loss"]
    for public, name in gradients:
        labels = program.labels(name)
        ref = Ref(name, labels)
        new.append(Pointwise(f"{name}_scaled", labels, factor * symbol(ref), (ref,)))
        results.append((public, new[-1].name))
    return replace(program, equations=(*program.equations, *new), results=tuple(results))


def no_initial_state(program: Program) -> Iterator[Mutant]:
    """The gradient of an initial state is left at zero, or doubled."""
    for public, name in program.results:
        declared = program.array.get(public)
        if declared is not None and declared.role == "initial":
            labels = program.labels(name)
            ref = Ref(name, labels)
            zero = Pointwise(f"{name}_zero", labels, sp.Integer(0), ())
            yield Mutant(
                f"no d{public}", f"the gradient of {public} is missing (zero)", _result(program, public, zero)
            )
            double = Pointwise(f"{name}_double", labels, 2 * symbol(ref), (ref,))
            yield Mutant(
                f"doubled d{public}",
                f"the gradient of {public} is counted twice",
                _result(program, public, double),
            )


def _result(program: Program, public: str, e: Equation) -> Program:
    results = tuple((k, e.name if k == public else v) for k, v in program.results)
    return replace(program, equations=(*program.equations, e), results=results)


def ignored_initial_state(program: Program) -> Iterator[Mutant]:
    """A weight gradient leaves out the first step's previous state, as though it were zero."""
    states = _states(program)
    for e in _reverse(program):
        if not isinstance(e, Contract) or TIME in e.labels:
            continue
        for k, r in enumerate(e.operands):
            if r.name in states and r.shift < 0 and len(e.operands) == 2:
                first = Ref(states[r.name], r.labels[1:])
                other = e.operands[1 - k]
                if TIME not in other.labels:
                    continue
                wrong = _minus_first_step(program, e, first, other)
                text = f"{e.name} leaves out the first step, as though {states[r.name]} were zero"
                yield Mutant(f"no {states[r.name]} in {e.name}", text, wrong)


def _minus_first_step(program: Program, e: Contract, first: Ref, other: Ref) -> Program:
    """``e`` without its first step: the whole sum minus the term of step 1, read as an end value."""
    carry = next((c for c in program.carries if c.value == other.name and c.shift > 0), None)
    if carry is None:
        boundary = f"{other.name}_beyond_mutant"
        carry = Carry(other.name, boundary, 1, f"{other.name}_at_first")
        arrays = (*program.arrays, Array(boundary, "zero", program.labels(other.name)[1:]))
        program = replace(program, arrays=arrays, carries=(*program.carries, carry))
    at_first = Ref(carry.end, other.labels[1:])
    part = Contract(f"{e.name}_first", e.labels, (at_first, first))
    whole = Contract(f"{e.name}_whole", e.labels, e.operands)
    a, b = Ref(whole.name, e.labels), Ref(part.name, e.labels)
    rest = Pointwise(e.name, e.labels, symbol(a) - symbol(b), (a, b))
    equations: list[Equation] = []
    for x in program.equations:
        equations += [whole, part, rest] if x.name == e.name else [x]
    return replace(program, equations=tuple(equations))


def gate_order(program: Program) -> Iterator[Mutant]:
    """Two gates of a stacked gradient change places."""
    for e in _reverse(program):
        if isinstance(e, Pack) and len(set(e.slots)) < len(e.slots):
            a, b = next(
                (i, j)
                for i in range(len(e.slots))
                for j in range(i + 1, len(e.slots))
                if e.slots[i] == e.slots[j]
            )
            operands = list(e.operands)
            operands[a], operands[b] = operands[b], operands[a]
            text = f"the gates {e.operands[a].name} and {e.operands[b].name} change places in {e.name}"
            yield Mutant(
                f"gate order in {e.name}", text, _with(program, replace(e, operands=tuple(operands)))
            )


RULES: tuple[Rule, ...] = (
    detached_state,
    missing_transpose,
    wrong_step,
    wrong_slope,
    dropped_term,
    wrong_scale,
    no_initial_state,
    ignored_initial_state,
    gate_order,
)
