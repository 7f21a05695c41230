"""Mistakes of the recursion: a path that is not followed back, or followed wrongly at its ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import sympy as sp

from bptt_verify.mutants.mutant import (
    Mutant,
    backward,
    rewritten,
    states,
    text_of,
    with_equations,
    with_result,
    without,
)
from bptt_verify.program import (
    TIME,
    Array,
    Carry,
    Contract,
    Equation,
    Pointwise,
    Program,
    Ref,
    formula,
    symbol,
)

MOST_TERMS = 5  # of sums whose parts are left out in every combination


def detached_state(program: Program) -> Iterator[Mutant]:
    """λ_{t+1} is not carried back: for each state, and for all states at once."""
    late = {c.value for c in program.carries if c.shift > 0}
    fed = {c.value for c in program.carries if c.fed}  # the rule missing_feedback
    hits: dict[str, list[Pointwise]] = {}
    for e in program.equations:
        if isinstance(e, Pointwise):
            for r in e.operands:
                if r.name in late and r.shift > 0:
                    hits.setdefault(r.name, []).append(without(e, symbol(r), sp.Integer(0)))
    for name, changed in hits.items():
        if name in fed:
            continue
        state = name.removesuffix("_prev_bar")
        text = f"the adjoint of {state} is not carried back from step t+1 to step t (missing d{state}_next)"
        yield Mutant(f"no carried adjoint: {state}", text, with_equations(program, *changed))
    if len(hits) > 1:
        whole = program
        for e in program.equations:
            for r in e.operands:
                if isinstance(e, Pointwise) and r.name in late and r.shift > 0:
                    current = whole.equation[e.name]
                    assert isinstance(current, Pointwise)
                    whole = with_equations(whole, without(current, symbol(r), sp.Integer(0)))
        yield Mutant(
            "no carried adjoint at all",
            "no adjoint is carried back: the gradient equals Window(1), the state is detached",
            whole,
        )


def dropped_term(program: Program) -> Iterator[Mutant]:
    """One term of a sum of cotangents is forgotten."""
    late = {c.value for c in program.carries if c.shift > 0}
    for e in backward(program):
        if not isinstance(e, Pointwise) or not e.expr.is_Add:
            continue
        for k, term in enumerate(sp.Add.make_args(e.expr)):
            carried = any(r.name in late and r.shift > 0 and term.has(symbol(r)) for r in e.operands)
            if not carried and _is_path(e, term):
                rest = sp.Add(*(t for j, t in enumerate(sp.Add.make_args(e.expr)) if j != k))
                text = f"the path through {text_of(e, term)} is forgotten in {formula(e)}"
                yield Mutant(
                    f"dropped term {k + 1} of {e.name}",
                    text,
                    with_equations(program, rewritten(e, rest, e.operands)),
                )


def dropped_terms(program: Program) -> Iterator[Mutant]:
    """Some terms of a sum of cotangents are forgotten, two or more: all but one, say."""
    for e in backward(program):
        terms = sp.Add.make_args(e.expr) if isinstance(e, Pointwise) else ()
        if not isinstance(e, Pointwise) or not 2 < len(terms) <= MOST_TERMS:
            continue
        for count in range(2, len(terms)):
            for gone in combinations(terms, count):
                rest = e.expr - sp.Add(*gone)
                texts = " and ".join(text_of(e, t) for t in gone)
                left = f"only {text_of(e, rest)} is followed" if count == len(terms) - 1 else ""
                text = left or f"the paths through {texts} are forgotten"
                yield Mutant(
                    f"dropped terms of {e.name}: {texts}",
                    f"{text} in {formula(e)}",
                    with_equations(program, rewritten(e, rest, e.operands)),
                )


def _is_path(e: Pointwise, term: sp.Expr) -> bool:
    """Whether the term carries a cotangent (rather than being half of a slope)."""
    return any("_bar" in r.name and term.has(symbol(r)) for r in e.operands)


def no_initial_state(program: Program) -> Iterator[Mutant]:
    """The gradient of an initial state is left at zero, or doubled."""
    for public, name in program.results:
        declared = program.array.get(public)
        if declared is not None and declared.role == "initial":
            labels = program.labels(name)
            ref = Ref(name, labels)
            zero = Pointwise(f"{name}_zero", labels, sp.Integer(0), ())
            yield Mutant(
                f"no d{public}",
                f"the gradient of {public} is missing (zero)",
                with_result(program, public, zero),
            )
            double = Pointwise(f"{name}_double", labels, 2 * symbol(ref), (ref,))
            yield Mutant(
                f"doubled d{public}",
                f"the gradient of {public} is counted twice",
                with_result(program, public, double),
            )


def ignored_initial_state(program: Program) -> Iterator[Mutant]:
    """A weight gradient leaves out the first step's previous state, as though it were zero."""
    carried_states = states(program)
    for e in backward(program):
        if not isinstance(e, Contract) or TIME in e.labels:
            continue
        for k, r in enumerate(e.operands):
            if r.name in carried_states and r.shift < 0 and len(e.operands) == 2:
                first = Ref(carried_states[r.name], r.labels[1:])
                other = e.operands[1 - k]
                if TIME not in other.labels:
                    continue
                wrong = _minus_first_step(program, e, first, other)
                text = f"{e.name} leaves out the first step, as though {carried_states[r.name]} were zero"
                yield Mutant(f"no {carried_states[r.name]} in {e.name}", text, wrong)


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
