"""Mistakes in one factor: a transpose, a step, a slope, a scale, an order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import sympy as sp

from bptt_verify.mutants.mutant import Mutant, backward, rewritten, states, with_equations
from bptt_verify.program import (
    BATCH,
    TIME,
    Contract,
    Pack,
    Pointwise,
    Program,
    Ref,
    size_symbol,
    spelled,
    symbol,
)
from bptt_verify.program.functions import FUNCTIONS


def missing_transpose(program: Program) -> Iterator[Mutant]:
    """A square matrix is used as it stands where its transpose belongs."""
    for e in backward(program):
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
                    with_equations(program, replace(e, operands=operands)),
                )


def _is_weight(program: Program, name: str) -> bool:
    """Whether this is a parameter, or a stack of parameters."""
    if name in program.array:
        return program.array[name].role == "param"
    e = program.equation.get(name)
    return isinstance(e, Pack) and all(_is_weight(program, r.name) for r in e.operands)


def wrong_step(program: Program) -> Iterator[Mutant]:
    """A gradient pairs the adjoint with the new state where the previous one belongs, or the reverse."""
    carried_states = states(program)
    for e in backward(program):
        for k, r in enumerate(e.operands):
            if r.name not in carried_states or r.shift > 0:
                continue
            moved = replace(r, shift=-1 - r.shift)
            if isinstance(e, Contract) and TIME not in e.labels:
                operands = tuple(moved if j == k else o for j, o in enumerate(e.operands))
                text = f"{e.name} pairs δ_t with {spelled(moved)} instead of {spelled(r)}"
                yield Mutant(
                    f"{spelled(moved)} for {spelled(r)} in {e.name}",
                    text,
                    with_equations(program, replace(e, operands=operands)),
                )
            elif isinstance(e, Pointwise):
                yield _swapped(program, e, r, moved)


def _swapped(program: Program, e: Pointwise, r: Ref, moved: Ref) -> Mutant:
    expr = e.expr.xreplace({symbol(r): symbol(moved)})
    operands = tuple(dict.fromkeys(moved if o == r else o for o in e.operands))
    slope = e.expr.has(1 - symbol(r) ** 2) or e.expr.has(1 - symbol(r))
    what = "takes the slope at another step: it uses" if slope else "uses"
    text = f"{e.name} {what} {spelled(moved)} instead of {spelled(r)}"
    return Mutant(
        f"{spelled(moved)} for {spelled(r)} in {e.name}",
        text,
        with_equations(program, replace(e, expr=expr, operands=operands)),
    )


def wrong_slope(program: Program) -> Iterator[Mutant]:
    """The slope of a function is left out, or taken at the argument as though it were the output."""
    late = {e.name for e in backward(program)}
    for f in program.equations:
        if not isinstance(f, Pointwise) or f.expr.func not in FUNCTIONS or f.name in late:
            continue
        word = f.expr.func.__name__
        source = f.operands[0]
        dropped, moved = [], []
        for e in program.equations:
            if e.name not in late or not isinstance(e, Pointwise):
                continue
            out = next((r for r in e.operands if r.name == f.name and not r.shift), None)
            if out is None:
                continue
            slopes = (1 - symbol(out) ** 2, symbol(out) * (1 - symbol(out)))
            for slope in slopes:
                bare = divided(e.expr, slope)
                if bare is not None:
                    dropped.append(rewritten(e, bare, e.operands))
                    inner = slope.xreplace({symbol(out): symbol(source)})
                    moved.append(rewritten(e, bare * inner, (*e.operands, source)))
        if dropped:
            yield Mutant(
                f"no slope of {word} for {f.name}",
                f"the slope of {word} is missing for {f.name}",
                with_equations(program, *dropped),
            )
            text = (
                f"the slope of {word} for {f.name} is taken at its argument {source.name}, not at its output"
            )
            yield Mutant(f"slope of {word} at {source.name}", text, with_equations(program, *moved))


def divided(expr: sp.Expr, slope: sp.Expr) -> sp.Expr | None:
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


def wrong_scale(program: Program) -> Iterator[Mutant]:
    """The whole gradient is off by a factor that belongs to the mean, or to the square."""
    steps, batch = size_symbol(TIME), size_symbol(BATCH)
    factors = {
        "times T": (steps, "the gradient is the right one times T: the mean over time is missing"),
        "times B": (batch, "the gradient is the right one times B: the mean over the batch is missing"),
        "times T B": (
            steps * batch,
            "the gradient is the right one times T B: the mean is missing "
            "(if a sum is meant, say reduction='sum')",
        ),
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


def gate_order(program: Program) -> Iterator[Mutant]:
    """Two gates of a stacked gradient change places."""
    for e in backward(program):
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
                f"gate order in {e.name}", text, with_equations(program, replace(e, operands=tuple(operands)))
            )
