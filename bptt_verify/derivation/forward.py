"""Forward differentiation: directional derivatives along a given direction (T1, forward mode)."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from bptt_verify.derivation.equations import Names, Operands, pointwise
from bptt_verify.derivation.reverse import DIFFERENTIABLE
from bptt_verify.program import (
    Array,
    Carry,
    Contract,
    Equation,
    Pack,
    Peak,
    Pointwise,
    Program,
    Ref,
    Select,
    symbol,
)
from bptt_verify.program.functions import derivative
from bptt_verify.program.surgery import prune


def tangent(program: Program) -> Program:
    """The tangent of every result, from the tangents ``<name>_dot`` of the differentiable arrays.

    Returns
    -------
    Program
        Results under the same public names as those of ``program``.
    """
    return _Forward(program).run()


class _Forward:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.names = Names(program)
        self.arrays = list(program.arrays)
        self.equations: list[Equation] = list(program.equations)
        self.dot: dict[str, str] = {}

    def run(self) -> Program:
        for a in self.program.arrays:
            if a.role in DIFFERENTIABLE and not a.index:
                self.dot[a.name] = self.names.unique(f"{a.name}_dot")
                self.arrays.append(Array(self.dot[a.name], "tangent", a.labels))
        for c in self.program.carries:
            self.dot[c.value] = self.names.unique(f"{c.value}_dot")
        for e in self.program.equations:
            self._differentiate(e)
        carries = tuple(
            Carry(self.dot[c.value], self.dot[c.boundary], c.shift, self.names.unique(f"{c.end}_dot"))
            for c in self.program.carries
        )
        results = tuple((public, self._result(name)) for public, name in self.program.results)
        return prune(
            replace(
                self.program,
                name=f"{self.program.name}_tangent",
                arrays=tuple(self.arrays),
                equations=tuple(self.equations),
                carries=(*self.program.carries, *carries),
                results=results,
            )
        )

    def _result(self, name: str) -> str:
        if name not in self.dot:
            self.dot[name] = self.names.unique(f"{name}_dot")
            self.equations.append(Pointwise(self.dot[name], self.program.labels(name), sp.Integer(0), ()))
        return self.dot[name]

    def _dotted(self, r: Ref) -> Ref | None:
        return replace(r, name=self.dot[r.name]) if r.name in self.dot else None

    def _differentiate(self, e: Equation) -> None:
        if isinstance(e, Peak) or (
            e.name not in self.dot and not any(r.name in self.dot for r in e.operands)
        ):
            return
        name = self.dot.get(e.name) or self.names.unique(f"{e.name}_dot")
        self.dot[e.name] = name
        match e:
            case Pointwise():
                self._pointwise(e, name)
            case Contract():
                self._contract(e, name)
            case Pack():
                self.equations.append(
                    replace(e, name=name, operands=tuple(map(self._zero_or_dot, e.operands)))
                )
            case Select(operands=(source,)):
                self.equations.append(replace(e, name=name, operands=(self._zero_or_dot(source),)))

    def _zero_or_dot(self, r: Ref) -> Ref:
        dotted = self._dotted(r)
        if dotted is None:
            self._result(r.name)
            dotted = self._dotted(r)
        assert dotted is not None
        return dotted

    def _pointwise(self, e: Pointwise, name: str) -> None:
        own = Ref(e.name, e.labels)
        known: Operands = {}
        terms = []
        for r in e.operands:
            dotted = self._dotted(r)
            known[symbol(r)] = r
            if dotted is not None:
                known[symbol(dotted)] = dotted
                terms.append(derivative(e.expr, symbol(r), symbol(own)) * symbol(dotted))
        known[symbol(own)] = own
        self.equations.append(pointwise(name, e.labels, sp.Add(*terms), known))

    def _contract(self, e: Contract, name: str) -> None:
        parts = []
        for i, r in enumerate(e.operands):
            dotted = self._dotted(r)
            if dotted is not None:
                parts.append(tuple(dotted if j == i else o for j, o in enumerate(e.operands)))
        if len(parts) == 1:
            self.equations.append(Contract(name, e.labels, parts[0]))
            return
        refs = []
        for i, operands in enumerate(parts):
            refs.append(Ref(self.names.unique(f"{name}_{i + 1}"), e.labels))
            self.equations.append(Contract(refs[-1].name, e.labels, operands))
        total = sp.Add(*map(symbol, refs))
        self.equations.append(pointwise(name, e.labels, total, {symbol(r): r for r in refs}))
