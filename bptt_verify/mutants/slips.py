"""Slips of the pen in one equation of the backward pass. They are many, and each is rare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import sympy as sp

from bptt_verify.mutants.mutant import Mutant, backward, rewritten, states, text_of, with_equations
from bptt_verify.mutants.results import alike
from bptt_verify.program import Contract, Pointwise, Program, Ref, formula, spelled, symbol
from bptt_verify.program.functions import FUNCTIONS, derivative, relu, sigmoid, step
from bptt_verify.program.surgery import reading


def other_slope(program: Program) -> Iterator[Mutant]:
    """The slope of a function is applied twice, is that of another, or lacks a part."""
    for f, out in functions(program):
        for words in _slopes(f, out):
            wrong = _with_other_slope(program, f, out, words)
            if wrong is not None:
                text = f"the slope of {f.expr.func.__name__} for {f.name} is {words}"
                yield Mutant(f"slope for {f.name}: {words}", text, wrong)


def other_slope_everywhere(program: Program) -> Iterator[Mutant]:
    """All functions of one kind have the same wrong slope: a helper function is wrong."""
    kinds: dict[str, list[tuple[Pointwise, Ref]]] = {}
    for f, out in functions(program):
        kinds.setdefault(f.expr.func.__name__, []).append((f, out))
    for kind, same in kinds.items():
        for words in _slopes(*same[0]) if len(same) > 1 else ():
            wrong = program
            for f, out in same:
                wrong = _with_other_slope(wrong, f, out, words) or wrong
            if wrong is not program:
                text = f"the slope of {kind} is {words}, for {', '.join(f.name for f, _ in same)}"
                yield Mutant(f"slope of every {kind}: {words}", text, wrong)


def _slopes(f: Pointwise, out: Ref) -> dict[str, sp.Expr]:
    """Wrong slopes of a function, in words."""
    s, u = symbol(out), symbol(f.operands[0])
    if f.expr.func is sp.tanh:
        others = {
            "that of a sigmoid": s * (1 - s),
            "written without the square": 1 - s,
            "taken at the output, as though that were the argument: 1 - tanh(h)²": 1 - sp.tanh(s) ** 2,
        }
    elif f.expr.func is sigmoid:
        others = {
            "that of tanh": 1 - s**2,
            "without 1 - s": s,
            "1 - s only": 1 - s,
            "taken at the output, as though that were the argument": sigmoid(s) * (1 - sigmoid(s)),
            "the function again, not its derivative": sigmoid(s),
        }
    elif f.expr.func is relu:
        others = {"missing": sp.Integer(1), "that of tanh": 1 - s**2}
        for leak in (sp.Rational(1, 100), sp.Rational(1, 10), sp.Rational(1, 5)):
            others[f"that of a leaky one, {float(leak):g} below zero"] = step(u) + leak * (1 - step(u))
    else:
        return {}
    return {**others, "applied twice": _slope(f, out) ** 2}


def _slope(f: Pointwise, out: Ref) -> sp.Expr:
    return derivative(f.expr, symbol(f.operands[0]), symbol(out))


def _with_other_slope(program: Program, f: Pointwise, out: Ref, words: str) -> Program | None:
    """The program with this slope; None where the right one stands nowhere."""
    changed = _with_slope(program, _slope(f, out), _slopes(f, out)[words], (out, f.operands[0]))
    return with_equations(program, *changed) if changed else None


def functions(program: Program) -> Iterator[tuple[Pointwise, Ref]]:
    """The equations of the forward pass that apply a function, and what they give."""
    late = {e.name for e in backward(program)}
    for e in program.equations:
        if isinstance(e, Pointwise) and e.expr.func in FUNCTIONS and e.name not in late:
            yield e, Ref(e.name, e.labels)


def _with_slope(program: Program, right: sp.Expr, other: sp.Expr, refs: tuple[Ref, ...]) -> list[Pointwise]:
    """The backward equations that have this slope as a factor, with another in its place."""
    wanted = list(sp.Mul.make_args(right))
    changed = []
    for e in backward(program):
        terms, hit = [], False
        for term in sp.Add.make_args(e.expr) if isinstance(e, Pointwise) else ():
            factors = list(sp.Mul.make_args(term))
            if all(w in factors for w in wanted):
                hit = True
                term = term / right * other
            terms.append(term)
        if hit and isinstance(e, Pointwise):
            changed.append(rewritten(e, sp.Add(*terms), (*e.operands, *refs)))
    return changed


def other_weight(program: Program) -> Iterator[Mutant]:
    """A product takes another parameter of the same shape."""
    for e in backward(program):
        for r in e.operands if isinstance(e, Contract) else ():
            for group in alike(program):
                for other in group if r.name in group else ():
                    if other != r.name:
                        taken = replace(r, name=other)
                        changed = reading(e, {o: taken if o == r else o for o in e.operands})
                        text = f"{e.name} uses {other} where {r.name} belongs"
                        yield Mutant(
                            f"{other} for {r.name} in {e.name}", text, with_equations(program, changed)
                        )


def turned_gate(program: Program) -> Iterator[Mutant]:
    """A gate and one minus the gate change places in the whole backward pass."""
    for f, out in functions(program):
        s = symbol(out)
        hits = [e for e in backward(program) if isinstance(e, Pointwise) and e.expr.has(s)]
        if f.expr.func is sigmoid and len(hits) > 1:
            changed = [rewritten(e, e.expr.xreplace({s: 1 - s}), e.operands) for e in hits]
            text = f"{f.name} and 1 - {f.name} are the wrong way round in the whole backward pass"
            yield Mutant(f"1 - {f.name} for {f.name}", text, with_equations(program, *changed))


def slip(program: Program) -> Iterator[Mutant]:
    """In one equation a factor or a term is missing, has the wrong sign, or is one minus itself."""
    for e in backward(program):
        if not isinstance(e, Pointwise):
            continue
        seen: set[sp.Expr] = {e.expr}
        for words, expr, operands in _slips(program, e):
            if expr not in seen and expr != 0:
                seen.add(expr)
                wrong = rewritten(e, expr, operands)
                text = f"{words} in {formula(e)}"
                yield Mutant(f"slip: {words} in {e.name}", text, with_equations(program, wrong))


def _slips(program: Program, e: Pointwise) -> Iterator[tuple[str, sp.Expr, tuple[Ref, ...]]]:
    for r in e.operands:
        if r.name.endswith("_bar"):
            continue
        s = symbol(r)
        yield f"the factor {spelled(r)} is missing", without_factor(e.expr, s), e.operands
        if _is_gate(program, r):
            yield f"1 - {spelled(r)} stands for {spelled(r)}", e.expr.xreplace({s: 1 - s}), e.operands
        argument = _argument(program, r)
        if argument is not None:
            text = f"{spelled(argument)} stands for {spelled(r)}"
            yield text, e.expr.xreplace({s: symbol(argument)}), (*e.operands, argument)
        for other in _like(program, r):
            text = f"{spelled(other)} stands for {spelled(r)}"
            yield text, e.expr.xreplace({s: symbol(other)}), (*e.operands, other)
    for gate in e.expr.atoms(step):
        for r in (*e.operands, *(Ref(v, e.labels, -1) for v in states(program))):
            if symbol(r) != gate.args[0] and len(r.labels) == len(e.labels):
                text = f"the slope is that at {spelled(r)}, not at {text_of(e, gate.args[0])},"
                yield text, e.expr.xreplace({gate: step(symbol(r))}), (*e.operands, r)
    for part in sorted(e.expr.atoms(sp.Add), key=str):
        whole = part == e.expr
        for term in part.args:
            told = text_of(e, term)
            yield f"the term {told} has the wrong sign", e.expr.xreplace({part: part - 2 * term}), e.operands
            yield f"the term {told} is counted twice", e.expr.xreplace({part: part + term}), e.operands
            if not whole:
                yield f"the term {told} is missing", e.expr.xreplace({part: part - term}), e.operands
        if not whole:
            yield f"the factor {text_of(e, part)} is missing", without_factor(e.expr, part), e.operands
    if e.expr.is_Mul:
        yield "the sign is wrong", -e.expr, e.operands
    for r in (r for r in e.operands if not r.name.endswith("_bar")):
        for other in _parts_of(program, r):
            text = f"{spelled(other)} stands for {spelled(r)}"
            yield text, e.expr.xreplace({symbol(r): symbol(other)}), (*e.operands, other)
    for p in _probabilities(program, e):
        yield "the softmax is differentiated again, times p (1 - p),", e.expr * p * (1 - p), e.operands


def _probabilities(program: Program, e: Pointwise) -> Iterator[sp.Expr]:
    """A softmax in an equation: an exponential over its sum."""
    for r in e.operands:
        made = program.equation.get(r.name)
        if isinstance(made, Pointwise) and made.expr.func is sp.exp:
            for total in (t for t in e.operands if e.expr.has(symbol(r) / symbol(t))):
                yield symbol(r) / symbol(total)


def _parts_of(program: Program, r: Ref) -> Iterator[Ref]:
    """The terms of a value that is a sum, and the states beside it."""
    made = program.equation.get(r.name)
    if made is None or r.shift or r.name in states(program):
        return
    if isinstance(made, Pointwise) and made.expr.is_Add:
        whole = [o for o in made.operands if o.labels == made.labels and not o.shift]
        yield from (replace(o, labels=r.labels) for o in whole if symbol(o) in made.expr.args)
    for v in (v for v in states(program) if program.labels(v) == made.labels):
        yield from (replace(r, name=v, shift=shift) for shift in (0, -1))


def _argument(program: Program, r: Ref) -> Ref | None:
    """What a function was applied to, where a value is that of a function."""
    made = program.equation.get(r.name)
    if (
        isinstance(made, Pointwise)
        and made.expr.func in FUNCTIONS
        and len(made.operands) == 1
        and not r.shift
    ):
        return replace(r, name=made.operands[0].name)
    return None


def _is_gate(program: Program, r: Ref) -> bool:
    made = program.equation.get(r.name)
    return isinstance(made, Pointwise) and made.expr.func is sigmoid


def without_factor(expr: sp.Expr, gone: sp.Expr) -> sp.Expr:
    """The expression where one factor, in each product that has it, is 1."""
    terms = []
    for term in sp.Add.make_args(expr):
        factors = list(sp.Mul.make_args(term))
        if gone in factors and len(factors) > 1:
            factors.remove(gone)
        terms.append(sp.Mul(*factors))
    return sp.Add(*terms)


def _like(program: Program, r: Ref) -> Iterator[Ref]:
    """Values that are made by a function, the other gates; or parameters of the same shape."""
    for group in alike(program):
        if r.name in group:
            yield from (replace(r, name=other) for other in group if other != r.name)
    own = program.equation.get(r.name)
    if isinstance(own, Pointwise) and own.expr.func in FUNCTIONS and r.name not in states(program):
        for e in program.equations:
            same = isinstance(e, Pointwise) and e.expr.func in FUNCTIONS and len(e.labels) == len(r.labels)
            if (
                same
                and e.name != r.name
                and [x.rstrip("'") for x in e.labels] == [x.rstrip("'") for x in r.labels]
            ):
                yield Ref(e.name, r.labels)
