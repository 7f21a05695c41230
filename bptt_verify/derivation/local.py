"""Local derivatives of one step: ``J_t = ∂h_t/∂h_{t-1}`` and the immediate partials ``A_t = ∂h_t/∂w``.

They are tangents along all unit directions at once: the direction gets labels of its own, and the
unit direction is an identity array. A sum over one of its labels just renames the other operand.
"""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from bptt_verify.derivation.equations import Names, Operands, pointwise, relabel
from bptt_verify.program import (
    BATCH,
    TIME,
    Array,
    Contract,
    Equation,
    Peak,
    Pointwise,
    Program,
    Ref,
    size_of,
    symbol,
)
from bptt_verify.program.functions import derivative
from bptt_verify.program.surgery import prune

Labels = tuple[str, ...]


def jacobian(program: Program) -> Program:
    """Local Jacobians of every new state.

    Returns
    -------
    Program
        Result ``"d<state>/d<other>"`` with labels (T, B, state sizes, other sizes), for every other:
        a previous state, a parameter, a real input.
    """
    states = {c.boundary.removesuffix("0"): c.value for c in program.carries}
    whole, results = program, []
    others = [(s, v, -1) for s, v in states.items()]
    others += [(a.name, a.name, 0) for a in program.arrays if a.role in ("param", "input") and not a.index]
    for other, name, shift in others:
        run = _Direction(whole, program.equations, name, shift, other)
        run.run()
        results += [(f"d{s}/d{other}", run.result(v)) for s, v in states.items()]
        whole = run.program()
    named = f"{program.name}_jacobian"
    return prune(replace(whole, name=named, results=tuple(results)))


class _Direction:
    """The tangents of one step along every unit direction of one array."""

    def __init__(
        self, whole: Program, equations: tuple[Equation, ...], name: str, shift: int, other: str
    ) -> None:
        self.whole, self.steps, self.name, self.shift, self.other = whole, equations, name, shift, other
        self.names = Names(whole)
        self.arrays = {a.name: a for a in whole.arrays}
        self.new: list[Equation] = []
        self.dot: dict[str, str] = {}
        self.sizes = tuple(size_of(x) for x in whole.labels(name) if x not in (TIME, BATCH))

    def run(self) -> None:
        """Write the tangents of all equations that depend on the array."""
        for e in self.steps:
            if not isinstance(e, Peak) and any(self._moves(r) for r in e.operands):
                self.dot[e.name] = self.names.unique(f"{e.name}_d_{self.other}")
                self._pointwise(e) if isinstance(e, Pointwise) else self._contract(e)

    def program(self) -> Program:
        """The program with what was written so far."""
        arrays = tuple(self.arrays.values())
        return replace(self.whole, arrays=arrays, equations=(*self.whole.equations, *self.new))

    def result(self, value: str) -> str:
        """The Jacobian of a value, zero where it does not depend on the direction."""
        if value not in self.dot:
            labels = self.whole.labels(value)
            self.dot[value] = self.names.unique(f"{value}_d_{self.other}")
            full = (*labels, *self._direction(labels))
            self.new.append(Pointwise(self.dot[value], full, sp.Integer(0), ()))
        return self.dot[value]

    def _moves(self, r: Ref) -> bool:
        return (r.name == self.name and r.shift == self.shift) or (r.name in self.dot and r.shift == 0)

    def _direction(self, used: Labels) -> Labels:
        """Labels of the direction, free in an equation that uses ``used``."""
        taken, labels = set(used), []
        for word in self.sizes:
            while word in taken:
                word += "'"
            taken.add(word)
            labels.append(word)
        return tuple(labels)

    def _identities(self, r: Ref, direction: Labels) -> list[Ref]:
        own = [x for x in r.labels if x not in (TIME, BATCH)]
        refs = []
        for a, b in zip(own, direction, strict=True):
            refs.append(Ref(self._identity(size_of(a)), (a, b)))
        return refs

    def _identity(self, word: str) -> str:
        """The name of the identity of a size; makes the array if needed."""
        labels = (word, word + "'")
        known = (a.name for a in self.arrays.values() if a.role == "identity" and a.labels == labels)
        name = next(known, None) or self.names.unique(f"identity_{word}")
        self.arrays[name] = Array(name, "identity", labels)
        return name

    def _seeds(self, r: Ref, direction: Labels) -> list[Ref]:
        """The tangent of one operand: a product of identities, or an earlier tangent."""
        if r.name in self.dot and r.shift == 0:
            return [Ref(self.dot[r.name], (*r.labels, *direction))]
        return self._identities(r, direction)

    def _pointwise(self, e: Pointwise) -> None:
        own = Ref(e.name, e.labels)
        direction = self._direction(e.labels)
        known: Operands = {symbol(own): own}
        terms = []
        for r in e.operands:
            known[symbol(r)] = r
            if self._moves(r):
                seeds = self._seeds(r, direction)
                known.update({symbol(s): s for s in seeds})
                slope = derivative(e.expr, symbol(r), symbol(own))
                terms.append(sp.Mul(slope, *map(symbol, seeds)))
        self.new.append(pointwise(self.dot[e.name], (*e.labels, *direction), sp.Add(*terms), known))

    def _contract(self, e: Equation) -> None:
        used = tuple(x for r in e.operands for x in r.labels)
        direction = self._direction((*e.labels, *used))
        labels = (*e.labels, *direction)
        parts: list[tuple[Ref, ...]] = []
        for i, r in enumerate(e.operands):
            if self._moves(r):
                others = [o for j, o in enumerate(e.operands) if j != i]
                parts.append(self._simplified([*self._seeds(r, direction), *others], set(labels)))
        refs = []
        for operands in parts:
            last = len(parts) == 1
            name = self.dot[e.name] if last else self.names.unique(f"{self.dot[e.name]}_part")
            refs.append(Ref(name, labels))
            self.new.append(_product(name, labels, operands))
        if len(refs) > 1:
            total = sp.Add(*map(symbol, refs))
            self.new.append(pointwise(self.dot[e.name], labels, total, {symbol(r): r for r in refs}))

    def _simplified(self, operands: list[Ref], kept: set[str]) -> tuple[Ref, ...]:
        """Use up each identity that has a summed label by renaming that label elsewhere."""
        identities = {a.name for a in self.arrays.values() if a.role == "identity"}
        while True:
            spent = next(
                (r for r in operands if r.name in identities and not kept.issuperset(r.labels)), None
            )
            if spent is None:
                return tuple(operands)
            a, b = spent.labels
            change = {a: b} if a not in kept else {b: a}
            operands = [relabel(o, change) for o in operands if o is not spent]


def _product(name: str, labels: Labels, operands: tuple[Ref, ...]) -> Equation:
    if {x for r in operands for x in r.labels} <= set(labels):  # nothing left to sum
        return pointwise(name, labels, sp.Mul(*map(symbol, operands)), {symbol(r): r for r in operands})
    return Contract(name, labels, operands)
