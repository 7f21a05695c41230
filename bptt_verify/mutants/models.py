"""Other models than the one that is meant: forward passes that people write by mistake.

Loss and gradient of such a function may belong together and still be wrong, because they are those of another
model. As in ``catalogue``, a rule knows nothing of a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.mutants.mutant import rewritten, states, with_equations, without
from bptt_verify.mutants.results import alike, gates
from bptt_verify.program import BATCH, TIME, Contract, Equation, Pointwise, Program, Ref, spelled, symbol
from bptt_verify.program.functions import relu, sigmoid
from bptt_verify.program.surgery import reading

Arrays = Mapping[str, Any]
MOST_GATES = 4  # all orders of more gates than these would be too many


@dataclass(frozen=True)
class Model:
    """Another model.

    Attributes
    ----------
    name : str
        The kind of mistake and its place.
    description : str
        What the function does, as the end of a sentence that begins with "the function".
    program : Program
        Its forward pass.
    given : callable
        What it takes the arrays for.
    returned : callable
        What it returns of the gradients with respect to those.
    """

    name: str
    description: str
    program: Program
    given: Callable[[Arrays], Arrays] = dict
    returned: Callable[[Arrays], Arrays] = dict


def models(program: Program) -> Iterator[Model]:
    """Every known other model of this forward program; those that differ in their arrays only come first."""
    for rule in (
        other_weights, other_series, no_initial, no_term, other_function, no_factor, complement,
        turned_weight, older_state, first_state, gate_bias, exchanged_weights,
    ):  # fmt: skip
        yield from rule(program)


def other_weights(program: Program) -> Iterator[Model]:
    """The terms of the loss are weighted otherwise."""
    changes: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
        ("weights ignored", "takes the mean over time and batch, whatever the weights are", _mean),
        ("weights normalised", "divides the weights by their sum", lambda w: w / w.sum()),
        ("last loss only", "counts the loss of the last step only", _only_last),
        ("mean of the last loss", "counts the loss of the last step only, as a mean over the batch",
         lambda w: _only_last(_mean(w) * len(w))),
        ("no first loss", "leaves out the loss of step 1", lambda w: _but(w, 0)),
        ("no last loss", "leaves out the loss of the last step", lambda w: _but(w, -1)),
        ("first sequence only", "counts the first sequence of the batch only", _first_sequence),
    )  # fmt: skip
    for name, text, change in changes:
        yield Model(name, text, program, _with_changed("weights", change))


def _mean(weights: Any) -> Any:
    return np.full(weights.shape, 1 / weights.size)


def _only_last(weights: Any) -> Any:
    return np.concatenate([np.zeros_like(weights[:-1]), weights[-1:]])


def _but(weights: Any, step: int) -> Any:
    kept = np.array(weights)
    kept[step] = 0
    return kept


def _first_sequence(weights: Any) -> Any:
    return np.concatenate([weights[:, :1], np.zeros_like(weights[:, 1:])], axis=1)


def other_series(program: Program) -> Iterator[Model]:
    """The series run backwards, or one step off."""
    inputs, targets = ([a.name for a in program.arrays if a.role == r] for r in ("input", "target"))
    series = tuple(a.name for a in program.arrays if a.labels[:2] == (TIME, BATCH))

    def turned(names: tuple[str, ...]) -> Callable[[Arrays], Arrays]:
        return lambda a: {k: np.flip(v, 0) if k in names and k in a else v for k, v in a.items()}

    def moved(names: list[str], by: int) -> Callable[[Arrays], Arrays]:
        return lambda a: {k: np.roll(v, by, 0) if k in names and k in a else v for k, v in a.items()}

    yield Model(
        "time for batch",
        "takes batch for time and time for batch: its arrays are (B, T, …), and bptt_verify.adapt(fn, "
        "layout='batch') turns them",
        program,
        _for_each_other(program, series),
        _for_each_other(program, series),
    )
    yield Model(
        "time reversed", "runs from the last step to the first", program, turned(series), turned(series)
    )
    if inputs:
        only = turned(tuple(inputs))
        yield Model(
            "inputs reversed", "reads the inputs from the last step to the first", program, only, only
        )
    for names, word in ((inputs, "inputs"), (targets, "targets")):
        for by, which in ((1, "before (and at step 1 the last)"), (-1, "after (and at the last the first)")):
            if names:
                text = f"reads the {word} of the step {which}"
                yield Model(f"{word} {by:+d}", text, program, moved(names, by), moved(names, -by))


def _for_each_other(program: Program, series: tuple[str, ...]) -> Callable[[Arrays], Arrays]:
    """Time and batch exchanged in the series; what starts a sequence is zero, since it has no such batch."""
    initial = {a.name for a in program.arrays if a.role == "initial"}

    def change(a: Arrays) -> Arrays:
        steps = next((np.shape(a[k])[0] for k in series if k in a), 1)
        turned = {k: np.swapaxes(v, 0, 1) if k in series else v for k, v in a.items()}
        return {k: np.zeros((steps, *np.shape(v)[1:])) if k in initial else v for k, v in turned.items()}

    return change


def other_returns(program: Program) -> Iterator[Model]:
    """The right model, but the gradient of an input is returned in another order of the steps."""
    for name in (a.name for a in program.arrays if a.role == "input" and not a.index):
        for word, change in (
            ("in reversed time order", lambda g: np.flip(g, 0)),
            ("one step late (at step 1 that of the last)", lambda g: np.roll(g, 1, 0)),
            ("one step early (at the last that of step 1)", lambda g: np.roll(g, -1, 0)),
        ):
            yield Model(f"d{name} {word}", f"has the gradient of {name} {word}", program, dict,
                        _with_changed(name, change))  # fmt: skip


def _with_changed(name: str, change: Callable[[Any], Any]) -> Callable[[Arrays], Arrays]:
    return lambda g: {k: change(v) if k == name else v for k, v in g.items()}


def no_initial(program: Program) -> Iterator[Model]:
    """An initial state is taken for zero."""
    initial = [a.name for a in program.arrays if a.role == "initial"]
    for n in initial:
        first = _with_changed(n, lambda v: np.broadcast_to(v[:1], v.shape))
        text = f"starts every sequence of the batch from the first row of {n}"
        yield Model(f"first row of {n}", text, program, first, _without([n]))
    for chosen in [*([n] for n in initial), *([initial] if len(initial) > 1 else [])]:
        gone = _zeroed(chosen)
        text = f"ignores {' and '.join(chosen)}: it starts from zero"
        yield Model(f"no {', '.join(chosen)}", text, program, gone, gone)


def _without(names: list[str]) -> Callable[[Arrays], Arrays]:
    return lambda g: {k: v for k, v in g.items() if k not in names}


def _zeroed(names: list[str]) -> Callable[[Arrays], Arrays]:
    return lambda a: {k: np.zeros_like(v) if k in names else v for k, v in a.items()}


def _sums(program: Program) -> Iterator[Pointwise]:
    yield from (e for e in program.equations if isinstance(e, Pointwise) and TIME in e.labels)


def no_term(program: Program) -> Iterator[Model]:
    """One term of a sum is forgotten: a bias, or the recurrent product."""
    for e in _sums(program):
        terms = sp.Add.make_args(e.expr)
        for term in terms if len(terms) > 1 else ():
            named = [spelled(r) for r in e.operands if term.has(symbol(r))]
            text = f"forgets the term with {' and '.join(named)} in {e.name}"
            changed = rewritten(e, e.expr - term, e.operands)
            yield Model(f"no {', '.join(named)} in {e.name}", text, with_equations(program, changed))


FUNCTIONS: tuple[Any, ...] = (sp.tanh, sigmoid, relu)


def other_function(program: Program) -> Iterator[Model]:
    """Another elementwise function, or none, at one place or wherever it stands."""
    for old in FUNCTIONS:
        places = [e for e in _sums(program) if e.expr.has(old)]
        for new in (*(f for f in FUNCTIONS if f is not old), None):
            chosen = [[e] for e in places] + ([places] if len(places) > 1 else [])
            for group in chosen:
                changed = [_refunctioned(e, old, new) for e in group]
                where = " and ".join(e.name for e in group)
                word = new.__name__ if new is not None else "no function"
                text = f"applies {word} in {where}, where {old.__name__} belongs"
                yield Model(f"{word} for {old.__name__} in {where}", text, with_equations(program, *changed))


def _refunctioned(e: Pointwise, old: Any, new: Any) -> Pointwise:
    return rewritten(e, e.expr.replace(old, new if new is not None else lambda u: u), e.operands)


def no_factor(program: Program) -> Iterator[Model]:
    """A gate is not applied."""
    for e in _sums(program):
        for r in e.operands:
            factors = [t for t in sp.Add.make_args(e.expr) if symbol(r) in sp.Mul.make_args(t)]
            if any(t != symbol(r) for t in factors):
                text = f"does not multiply by {spelled(r)} in {e.name}"
                changed = without(e, symbol(r), sp.Integer(1))
                yield Model(f"no factor {spelled(r)} in {e.name}", text, with_equations(program, changed))


def complement(program: Program) -> Iterator[Model]:
    """A gate and one minus the gate change places."""
    for e in _sums(program):
        for r in e.operands:
            s = symbol(r)
            if e.expr.has(1 - s):
                text = f"has {spelled(r)} and 1 - {spelled(r)} the wrong way round in {e.name}"
                changed = rewritten(e, e.expr.xreplace({s: 1 - s}), e.operands)
                yield Model(f"complement of {spelled(r)} in {e.name}", text, with_equations(program, changed))


def turned_weight(program: Program) -> Iterator[Model]:
    """A square matrix is multiplied from the other side."""
    for e in program.equations:
        for k, r in enumerate(e.operands):
            labels = [x.rstrip("'") for x in r.labels]
            declared = program.array.get(r.name)
            square = len(labels) == 2 and labels[0] == labels[1]
            if isinstance(e, Contract) and declared and declared.role == "param" and square:
                turned = replace(r, labels=r.labels[::-1])
                operands = tuple(turned if j == k else o for j, o in enumerate(e.operands))
                changed = with_equations(program, replace(e, operands=operands))
                name = f"{r.name} transposed in {e.name}"
                yield Model(name, f"uses the transpose of {r.name} in {e.name}", changed)


def older_state(program: Program) -> Iterator[Model]:
    """The state of the step before is read where the new one belongs."""
    carried = states(program)
    for e in program.equations:
        for r in e.operands:
            if r.name in carried and not r.shift:
                old = replace(r, shift=-1)
                changed: Equation = reading(e, {o: old if o == r else o for o in e.operands})
                text = f"reads {spelled(old)} where {spelled(r)} belongs, in {e.name}"
                yield Model(
                    f"{spelled(old)} for {spelled(r)} in {e.name}", text, with_equations(program, changed)
                )


def first_state(program: Program) -> Iterator[Model]:
    """The initial state is read at every step, in place of the previous one."""
    for name, start in states(program).items():
        first, kept = Ref(start, program.labels(start)), f"{start}_kept"
        copied = Pointwise(kept, program.labels(name), symbol(first), (first,))

        def read(r: Ref, name: str = name, kept: str = kept) -> Ref:
            return replace(r, name=kept, shift=0) if r.name == name and r.shift < 0 else r

        changed = [reading(e, {r: read(r) for r in e.operands}) for e in program.equations]
        text = f"reads {start} at every step, where the previous {name} belongs"
        other = replace(program, equations=(copied, *changed))
        yield Model(f"{start} at every step", text, other, returned=_without([start]))


def gate_bias(program: Program) -> Iterator[Model]:
    """A one is added to what a gate is applied to: the forget bias of some libraries."""
    gated = {r.name for e in _sums(program) if e.expr.func is sigmoid for r in e.operands}
    for e in _sums(program):
        if e.name in gated:
            changed = rewritten(e, e.expr + 1, e.operands)
            yield Model(
                f"1 added to {e.name}", f"adds 1 to {e.name}, a bias", with_equations(program, changed)
            )


def exchanged_weights(program: Program) -> Iterator[Model]:
    """The parameters of gates in another order, or two parameters of one shape for each other."""
    for group in gates(program):
        names = list(group)
        for a, b in combinations(names, 2):
            places = dict(zip((*group[a], *group[b]), (*group[b], *group[a]), strict=True))
            text = f"has two gates in the wrong order: the parameters of {a} and of {b} change places"
            yield _renamed(program, f"gates of {a} and {b}", text, places)
        for order in permutations(names) if 2 < len(names) <= MOST_GATES else ():
            if sum(a != b for a, b in zip(names, order, strict=True)) > 2:
                text = f"has its gates in another order: {', '.join(order)} for {', '.join(names)}"
                pairs = [
                    p for a, b in zip(names, order, strict=True) for p in zip(group[a], group[b], strict=True)
                ]
                yield _renamed(program, f"gates as {', '.join(order)}", text, dict(pairs))
    for same in alike(program):
        for a, b in combinations(same, 2):
            yield _renamed(program, f"{a} for {b}", f"uses {a} and {b} for each other", {a: b, b: a})


def _renamed(program: Program, name: str, text: str, places: Mapping[str, str]) -> Model:
    """The model that reads another parameter under each of these names."""
    back = {v: k for k, v in places.items()}
    return Model(
        name, text, program,
        lambda a: {k: a[places.get(k, k)] for k in a},
        lambda g: {k: g[back.get(k, k)] for k in g if back.get(k, k) in g},
    )  # fmt: skip
