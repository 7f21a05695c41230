"""More changes that undo a misprint: missing and superfluous factors and terms, wrong letters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bptt_verify.analysis.edits import FAR, NEAR, Edit, Place, Rule, instead
from bptt_verify.analysis.meaning import Cell
from bptt_verify.notation.printing import written
from bptt_verify.notation.tree import (
    Add,
    Call,
    Derivative,
    Hadamard,
    Letter,
    OrderedProduct,
    Path,
    Power,
    Product,
    Transpose,
    Tree,
    add,
    moved,
    negative,
    number,
    product,
)
from bptt_verify.notation.walking import free_letters

T_NOW = Letter("t", "index")


def slopes(p: Place) -> Iterator[Edit]:
    """A missing slope of the cell's elementwise function."""
    if p.cell.activation is None:
        return
    function, argument = p.cell.activation
    for path, part in p.walk():
        if not _takes_factor(p, path, part):
            continue
        for index in p.steps():
            if free_letters(index) <= p.scope(path):
                slope = Call("diag", (Call(function, (Letter(argument, "value", index),), 1),))
                yield instead("missing slope", p, path, product([slope, part]))
                yield instead("missing slope", p, path, product([part, slope]))


def _takes_factor(p: Place, path: Path, part: Tree) -> bool:
    if p.inside(path, Derivative, Letter):
        return False
    if isinstance(part, Letter):
        return part.role in ("param", "theory") or (part.role == "value" and not path)
    return isinstance(part, Derivative | Transpose | OrderedProduct | Power)


def gate_slopes(p: Place) -> Iterator[Edit]:
    """A missing part of the slope of a gate: v, 1 - v, v (1 - v), 1 - v²."""
    for path, part in p.walk():
        vector = isinstance(part, Derivative) and part.top.role in ("loss", "term", "ell")
        if not (vector or isinstance(part, Hadamard)) or p.in_step(path):
            continue
        for slope in _gate_parts(p, path):
            yield instead("missing slope", p, path, Hadamard((part, slope)))


def _gate_parts(p: Place, path: Path) -> Iterator[Tree]:
    for name, kind in p.cell.kinds.items():
        for index in p.steps():
            if not free_letters(index) <= p.scope(path):
                continue
            v = Letter(name, "value", index)
            if kind == "sigmoid":
                rest = add([number(1), negative(v)])
                yield from (rest, v, Hadamard((v, rest)))
            if kind == "tanh":
                yield add([number(1), negative(Power(v, number(2)))])


def gates(p: Place) -> Iterator[Edit]:
    """A gate in place of one minus it, or the other way round; a function left out."""
    for path, part in p.walk():
        gate = isinstance(part, Letter) and part.role == "value" and p.cell.kinds.get(part.name) == "sigmoid"
        if p.inside(path, Derivative, Letter) or p.in_step(path):
            continue
        if gate:
            yield instead("wrong letter", p, path, add([number(1), negative(part)]))
        if isinstance(part, Add) and len(part.terms) == 2 and part.terms[0] == number(1):
            yield instead("wrong letter", p, path, negative(part.terms[1]))
        if isinstance(part, Letter) and part.role == "value":
            for function in p.cell.functions:
                yield instead("missing function", p, path, Call(function, (part,)))


def factors(p: Place) -> Iterator[Edit]:
    """A superfluous factor."""
    for path, part in p.walk():
        if isinstance(part, Product | Hadamard) and not p.in_step(path):
            for k in range(len(part.factors)):
                rest = (*part.factors[:k], *part.factors[k + 1 :])
                new = product(rest) if isinstance(part, Product) or len(rest) == 1 else Hadamard(rest)
                yield instead("extra factor", p, path, new)


def terms(p: Place) -> Iterator[Edit]:
    """A term with the wrong sign, a superfluous one, a missing one."""
    for path, part in p.walk():
        if isinstance(part, Add) and not p.in_step(path):
            for k, term in enumerate(part.terms):
                turned = (*part.terms[:k], negative(term), *part.terms[k + 1 :])
                yield instead("wrong sign", p, path, Add(turned))
            for k in range(len(part.terms)):
                yield instead("extra term", p, path, add((*part.terms[:k], *part.terms[k + 1 :])))
    for term in _missing(p):
        yield Edit("missing term", f"with the term `{written(term)}` added it is right", add([p.tree, term]))


def biases(p: Place) -> Iterator[Edit]:
    """A missing bias."""
    vectors = [n for n, sizes in p.cell.rec.params.items() if len(sizes) == 1]
    for path, part in p.walk():
        if isinstance(part, Product) and not p.in_step(path) and not p.inside(path, Add):
            for name in vectors:
                yield instead("missing term", p, path, add([part, Letter(name, "param")]))


def _missing(p: Place) -> Iterator[Tree]:
    """The terms of T1 and T2."""
    if "t" not in p.letters:
        return
    later = moved(T_NOW, 1)
    adjoint, jacobian = Letter("lambda", "theory", later), Letter("J", "theory", later)
    if p.cell.param:
        yield Letter("A", "theory", T_NOW)
    yield from (Letter("c", "theory", T_NOW), Transpose(Letter("c", "theory", T_NOW)))
    yield from (product([Transpose(jacobian), adjoint]), product([Transpose(adjoint), jacobian]))
    if p.cell.param and len(p.cell.rec.states) == 1:
        (state,) = p.cell.rec.states
        before = Derivative(Letter(state, "value", moved(T_NOW, -1)), Letter(p.cell.param, "param"))
        yield product([Letter("J", "theory", T_NOW), before])


def names(p: Place) -> Iterator[Edit]:
    """A letter in place of another one; a total derivative in place of an immediate one."""
    for path, part in p.walk():
        if isinstance(part, Derivative) and part.top.role == "value" and not part.direct:
            yield instead("counted twice", p, path, replace(part, direct=True))
        if isinstance(part, Derivative) and part.top.role == part.bottom.role == "value":
            yield instead("derivative upside down", p, path, replace(part, top=part.bottom, bottom=part.top))
        if isinstance(part, Call) and not part.primes and part.function not in ("diag", "dot", "softmax"):
            yield instead("missing prime", p, path, replace(part, primes=1))
        if isinstance(part, Letter):
            for new in _other_letters(part, p.cell):
                yield instead("wrong letter", p, path, new)


def _other_letters(part: Letter, cell: Cell) -> Iterator[Letter]:
    if part.role == "theory":
        others = {
            "lambda": ("c", "delta") if cell.activation else ("c",),
            "c": ("lambda",),
            "delta": ("lambda",),
        }
        yield from (replace(part, name=n) for n in others.get(part.name, ()))
    elif part.role == "value":
        yield from _other_values(part, cell)
    elif part.role == "param":
        yield from (replace(part, name=n) for n in cell.rec.params if n != part.name)
    elif part.role in ("ell", "term"):
        yield Letter("L", "loss", None, part.at)


def _other_values(part: Letter, cell: Cell) -> Iterator[Letter]:
    v = cell.vocabulary
    if part.name == cell.output and cell.link != "identity":
        yield replace(part, name="ŷ", role="prediction")
    for by in (0, 1, -1):
        index = moved(part.index, by) if by else part.index
        for name in (*v.states, *v.inputs, *v.values, *v.targets):
            if name != part.name:
                yield replace(part, name=name, index=index)


RULES: tuple[Rule, ...] = (*NEAR, slopes, gate_slopes, terms, names, gates, biases, *FAR, factors)
