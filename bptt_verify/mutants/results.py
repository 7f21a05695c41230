"""Mistakes in what is returned: a gradient under another's name, a transpose, nothing at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations, permutations

import sympy as sp

from bptt_verify.mutants.mutant import Mutant, backward, with_result
from bptt_verify.program import TIME, Array, Carry, Contract, Pointwise, Program, Ref, symbol
from bptt_verify.program.names import free_name


def exchanged_results(program: Program) -> Iterator[Mutant]:
    """Two gradients of one shape change places; or all those of two gates."""
    for group in alike(program):
        for a, b in combinations(group, 2):
            text = f"the gradients of {a} and {b} change places"
            yield Mutant(f"d{a} for d{b}", text, _exchanged(program, {a: b, b: a}))
    for alike_gates in gates(program):
        for (a, first), (b, second) in combinations(alike_gates.items(), 2):
            text = f"two gates change places: the gradients of {', '.join(first)} and of {', '.join(second)}"
            places = dict(zip((*first, *second), (*second, *first), strict=True))
            yield Mutant(f"gradients of {a} and {b}", text, _exchanged(program, places))


def alike(program: Program) -> list[list[str]]:
    """The parameters of one shape each, in the order of their declaration."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for a in program.arrays:
        if a.role == "param":
            groups.setdefault(a.labels, []).append(a.name)
    return list(groups.values())


def gates(program: Program) -> list[dict[str, list[str]]]:
    """Sums over parameters of the same shapes, each with its parameters: the gates of a cell, by name.

    A gate is told by its equation, ``W_ix x + W_ih h + b_i``, of at least two parameters.
    """
    groups: dict[tuple[tuple[str, ...], ...], dict[str, list[str]]] = {}
    for e in program.equations:
        if isinstance(e, Pointwise) and TIME in e.labels:
            reached = [n for r in e.operands for n in _parameters(program, r)]
            shapes = sorted((program.labels(n), n) for n in dict.fromkeys(reached))
            if len(shapes) > 1 and len(shapes) == len(reached):
                key = tuple(labels for labels, _ in shapes)
                groups.setdefault(key, {})[e.name] = [n for _, n in shapes]
    return [g for g in groups.values() if len(g) > 1]


def _parameters(program: Program, r: Ref) -> list[str]:
    """The parameter that a Ref is, or that it is a product with."""
    product = program.equation.get(r.name)
    names = [o.name for o in product.operands] if isinstance(product, Contract) else [r.name]
    return [n for n in names if _is_param(program, n)]


def _exchanged(program: Program, places: Mapping[str, str]) -> Program:
    found = dict(program.results)
    return replace(program, results=tuple((k, found[places.get(k, k)]) for k, _ in program.results))


def copied_result(program: Program) -> Iterator[Mutant]:
    """The gradient of one parameter is returned for another one too."""
    found = dict(program.results)
    for group in alike(program):
        for a, b in permutations(group, 2):
            text = f"the gradient of {a} is returned for {b} too"
            results = tuple((k, found[a] if k == b else v) for k, v in program.results)
            yield Mutant(f"d{a} for d{b} only", text, replace(program, results=results))


def unfinished_initial(program: Program) -> Iterator[Mutant]:
    """The gradient of an initial state is an adjoint of the first step, or of the last, as it stands."""
    initial = {a.name: a for a in program.arrays if a.role == "initial"}
    ends = {c.value: c.end for c in program.carries if c.shift > 0}
    for e in backward(program):
        for public in (n for n, a in initial.items() if e.labels == (TIME, *a.labels)):
            for word, shift in (("first", 1), ("last", -1)):
                if shift > 0 and ends.get(e.name) == dict(program.results).get(public):
                    continue  # that is right
                kept, zero, end = (f"{e.name}_{w}_{word}" for w in ("kept", "zero", "at"))
                whole = Ref(e.name, e.labels)
                wrong = replace(
                    program,
                    equations=(*program.equations, Pointwise(kept, e.labels, symbol(whole), (whole,))),
                    results=tuple((k, end if k == public else v) for k, v in program.results),
                    arrays=(*program.arrays, Array(zero, "zero", e.labels[1:])),
                    carries=(*program.carries, Carry(kept, zero, shift, end)),
                )
                text = f"the gradient of {public} is {e.name} of the {word} step"
                yield Mutant(f"d{public} is {e.name} of the {word} step", text, wrong)


def turned_result(program: Program) -> Iterator[Mutant]:
    """The gradient of a square matrix is returned transposed."""
    for public, name in program.results:
        labels = program.labels(name)
        if _is_param(program, public) and len(labels) == 2 and labels[0] == labels[1].rstrip("'"):
            ref = Ref(name, labels[::-1])
            turned = Pointwise(free_name(f"{name}_turned", set(program.names())), labels, symbol(ref), (ref,))
            text = f"the gradient of {public} is returned transposed"
            yield Mutant(f"d{public} transposed", text, with_result(program, public, turned))


def no_result(program: Program) -> Iterator[Mutant]:
    """The gradient of one parameter is never computed: it stays zero."""
    for public, name in program.results:
        if _is_param(program, public):
            zero = Pointwise(
                free_name(f"{name}_never", set(program.names())), program.labels(name), sp.Integer(0), ()
            )
            text = f"the gradient of {public} is never computed: it stays zero"
            yield Mutant(f"no d{public}", text, with_result(program, public, zero))


def one_sum(program: Program) -> Iterator[Mutant]:
    """The gradient of a vector is one number, its sum, in every element."""
    for public, name in program.results:
        labels = program.labels(name)
        if _is_param(program, public) and len(labels) == 1:
            total = free_name(f"{name}_total", set(program.names()))
            ref = Ref(total, ())
            with_total = replace(
                program, equations=(*program.equations, Contract(total, (), (Ref(name, labels),)))
            )
            filled = Pointwise(f"{total}_filled", labels, symbol(ref), (ref,))
            text = f"the gradient of {public} is summed over its own axis too: one number in every element"
            yield Mutant(f"one sum for d{public}", text, with_result(with_total, public, filled))


def _is_param(program: Program, public: str) -> bool:
    return public in program.array and program.array[public].role == "param"
