"""Bounds of the norms of every value of a Program as SymPy expressions, whatever the steps and the numbers.

A value is bounded for all steps at once. In a loop over time the bounds of what a step computes are affine
in the norms of what it reads of its neighbour: N_t ≤ c_t + G N_{t±1}, with a nonnegative matrix G of
gains, one row and column for each carried value. Unrolled, and summed over t,

    N_t ≤ G^t N_0 + Σ_k G^k max c        Σ_t N_t ≤ Σ_k G^k Σ_t c_t   and   ≤ Σ_t Σ_{k<t} G^k max c,

geometric sums in closed form where a value depends on itself alone, sums of powers of G where several depend
on each other. A carried value that stays in an interval is bounded by that instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.derivation.facts import facts_of, normalizer
from bptt_verify.derivation.normloops import Loop
from bptt_verify.derivation.norms import (
    ANY,
    ZERO,
    Norm,
    Operands,
    Range,
    exact,
    hull,
    larger,
    pointwise_norm,
    product,
    range_of,
    smaller,
    with_range,
)
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
    components,
    size_of,
    size_symbol,
    symbol,
)

LEAD = (TIME, BATCH)
RADIUS = sp.Symbol("r", nonnegative=True)
LONG = 40  # parts of an expression that is given a name
CORNERS = 5  # operands of an equation that is a convex combination


def length_symbol(word: str) -> sp.Symbol:
    """The symbol of a size, or of T or B."""
    return sp.Symbol(word, integer=True, positive=True)


def norm_symbol(name: str, kind: str = "") -> sp.Symbol:
    """The symbol of a norm of an array: Euclidean, "2" spectral, "∞" largest entry, "1" sum over T and B."""
    return sp.Symbol(f"‖{name}‖{dict(zip('2∞1', '₂∞₁', strict=True)).get(kind, '')}", nonnegative=True)


def _long(expr: sp.Expr) -> bool:
    """Whether an expression has more parts than are easily read."""
    waiting, seen = [expr], 0
    while waiting and seen <= LONG:
        waiting += waiting.pop().args
        seen += 1
    return seen > LONG


class NormPass:
    """The pass over one Program.

    Attributes
    ----------
    norms : dict of str to Norm
        By the name of the value, filled by ``run``.
    reasons : list of str
        Names of equations whose bound is infinite though those of their operands are not, in order.
    definitions : dict of symbol to expression
        Longer bounds are named; each definition uses the symbols of norms and earlier definitions.
    """

    def __init__(self, program: Program) -> None:
        self.program, self.facts = program, facts_of(program)
        self.steps, self.batch = length_symbol(TIME), length_symbol(BATCH)
        self.cells = self.steps * self.batch
        self.norms: dict[str, Norm] = {a.name: _given(a) for a in program.arrays}
        self.reasons: list[str] = []
        self.definitions: dict[sp.Symbol, sp.Expr] = {}
        self._symbols: dict[sp.Expr, sp.Symbol] = {}

    def run(self) -> dict[str, Norm]:
        """Bounds of every value."""
        for part in components(self.program):
            if part.direction:
                Loop(self, part.equations).run()
            else:
                for e in part.equations:
                    self.add(e, {r: self.read(r) for r in e.operands})
        return self.norms

    def read(self, r: Ref) -> Norm:
        """The bounds of an operand; with a shift also those of the boundary."""
        found = self.norms[r.name]
        if not r.shift:
            return found
        edge = self.norms[self.program.carry[r.name].boundary]
        total = None if found.total is None else found.total + product(self.batch, edge.norm)
        return Norm(larger(edge.norm, found.norm), total, {}, hull(edge.range, found.range))

    def add(self, e: Equation, operands: Mapping[Ref, Norm]) -> Norm:
        """The bounds of what an equation computes."""
        found = self.bound(e, operands)
        finite = [n.norm != sp.oo for n in operands.values()]
        if found.norm == sp.oo and all(finite) and e.name not in self.reasons:
            self.reasons.append(e.name)
        self.norms[e.name] = found
        return found

    def bound(self, e: Equation, operands: Mapping[Ref, Norm]) -> Norm:
        """The same, not kept."""
        count = self.count([x for x in e.labels if x not in LEAD])
        match e:
            case Pointwise():
                found = self._pointwise(e, operands, count)
            case Contract():
                found = self._contract(e, [operands[r] for r in e.operands])
            case Peak():
                (read,) = operands.values()
                found = Norm(read.norm, read.total, read.gains, read.range)
            case _:
                raise TypeError(f"{type(e).__name__}: no rule")
        low, high = found.range
        fact = self.facts.get(e.name, (-np.inf, np.inf))
        low, high = (
            (low if fact[0] == -np.inf else exact(fact[0])),
            (high if fact[1] == np.inf else exact(fact[1])),
        )
        return with_range(self.short(e.name, found), (low, high), count)

    def short(self, name: str, found: Norm) -> Norm:
        """The same with a name for what is long."""
        return replace(
            found,
            norm=self.named(f"N({name})", found.norm),
            total=None if found.total is None else self.named(f"S({name})", found.total),
            gains={s: self.named(f"G({name},{s})", g) for s, g in found.gains.items()},
        )

    def named(self, name: str, expr: sp.Expr) -> sp.Expr:
        """The expression, or a symbol that is defined by it."""
        if _long(expr) and expr not in self._symbols:
            taken = sum(str(s).split("#")[0] == name for s in self.definitions)
            own = sp.Symbol(f"{name}#{taken + 1}" if taken else name, nonnegative=True)
            self.definitions[own] = expr
            self._symbols[expr] = own
        return self._symbols.get(expr, expr)

    def count(self, labels: Any) -> sp.Expr:
        """The number of entries under some labels."""
        return sp.Mul(*(length_symbol(size_of(x)) for x in labels))

    def _pointwise(self, e: Pointwise, operands: Mapping[Ref, Norm], count: sp.Expr) -> Norm:
        norms, ranges, repeated = {}, {}, set()
        for r in e.operands:
            missing = self.count([x for x in e.labels if x not in r.labels and x not in LEAD])
            repeated |= {symbol(r)} if missing != 1 else set()
            norms[symbol(r)] = operands[r].times(sp.sqrt(missing))
            ranges[symbol(r)] = operands[r].range
        for s in e.expr.free_symbols - set(norms):  # sizes
            word = next(w for w in self._words() if size_symbol(w) == s)
            norms[s] = Norm(product(sp.sqrt(count), length_symbol(word)))
            ranges[s] = (length_symbol(word), length_symbol(word))
        if self._is_share(e):
            return Norm(sp.Integer(1), None, {}, (ZERO, sp.Integer(1)))
        totals = {symbol(r): n.total for r, n in operands.items()}
        expr = self._shares(e, norms, ranges)
        found = pointwise_norm(expr, Operands(norms, ranges, repeated, totals, count, self.cells))
        own = {s: r for s, r in ranges.items() if e.expr.has(s)}
        return replace(found, range=range_of(e.expr, own))

    def _words(self) -> set[str]:
        return {size_of(x) for a in self.program.arrays for x in a.labels}

    def _is_share(self, e: Pointwise) -> bool:
        return self.facts.get(e.name) == (0.0, 1.0)

    def _shares(self, e: Pointwise, norms: dict[sp.Symbol, Norm], ranges: dict[sp.Symbol, Range]) -> sp.Expr:
        """The expression with one symbol for exp(u - p) / Σ exp(u - p), which has norm at most 1."""
        expr = e.expr
        for total in e.operands:
            inner = normalizer(self.program, self.program.equation.get(total.name))
            for r in e.operands:
                if inner is not None and r.name == inner.name and r.shift == total.shift:
                    share = sp.Dummy("share", nonnegative=True)
                    norms[share], ranges[share] = Norm(sp.Integer(1)), (ZERO, sp.Integer(1))
                    expr = _dividing(expr, symbol(r), symbol(total), share)
        return expr

    def _contract(self, e: Contract, operands: list[Norm]) -> Norm:
        summed = any(x in LEAD for r in e.operands for x in r.labels if x not in e.labels)
        if len(operands) == 1:
            (found,), (ref,) = operands, e.operands
            gone = self.count([x for x in ref.labels if x not in e.labels and x not in LEAD])
            whole = found.times(sp.sqrt(gone))
            entries = _scaled(found.range, gone)
            if summed:
                return Norm(whole.summed(self.cells))
            return Norm(whole.norm, whole.total, whole.gains, entries)
        a, b = (self._factor(e, i, operands) for i in (0, 1))
        if summed:
            return Norm(smaller(*self._sums(a, b)))
        squares = e.operands[0] == e.operands[1]
        return replace(self._times(a, b), range=(ZERO, sp.oo) if squares else ANY)

    def _factor(self, e: Contract, i: int, operands: list[Norm]) -> Norm:
        """An operand of a product; a matrix by its spectral norm."""
        own, other = e.operands[i], e.operands[1 - i]
        rest = [x for x in own.labels if x not in LEAD]
        alone = self.count([x for x in rest if x not in other.labels and x not in e.labels])
        rows = [x for x in rest if x not in other.labels]
        columns = [x for x in rest if x in other.labels and x not in e.labels]
        found = operands[i]
        if found.matrix is not None and len(rest) == 2 and len(rows) == len(columns) == 1 and alone == 1:
            if any(x not in rest and x not in LEAD for x in other.labels) and self._larger_matrix(other):
                return found  # two matrices: the other one by its spectral norm
            return replace(found, norm=found.matrix)
        return found.times(sp.sqrt(alone))

    def _larger_matrix(self, other: Ref) -> bool:
        return self.norms.get(other.name, Norm(ZERO)).matrix is not None

    def _times(self, a: Norm, b: Norm) -> Norm:
        if a.gains and b.gains:
            return Norm(sp.oo)
        if b.gains or (b.total is not None and not a.gains):
            a, b = b, a
        return replace(a.times(b.norm), range=ANY)

    def _sums(self, a: Norm, b: Norm) -> tuple[sp.Expr, sp.Expr]:
        """Two bounds of a sum over T and B of products."""
        if a.total is None and b.total is None:
            return (product(self.cells, a.norm, b.norm),) * 2
        return (
            sp.oo if a.total is None else product(a.total, b.norm),
            sp.oo if b.total is None else product(a.norm, b.total),
        )


def _scaled(interval: Range, count: sp.Expr) -> Range:
    return tuple(end if end.is_infinite else product(count, end) for end in interval)


def _dividing(expr: sp.Expr, inner: sp.Symbol, total: sp.Symbol, share: sp.Symbol) -> sp.Expr:
    """Each product of both, the second to a negative power, with their quotient in place of one of each."""

    def swapped(term: sp.Expr) -> sp.Expr:
        powers = term.as_powers_dict()
        if powers.get(inner, 0) >= 1 and powers.get(total, 0) <= -1:
            return term / inner * total * share
        return term

    return sp.Add(*map(swapped, sp.Add.make_args(expr)))


def _given(a: Array) -> Norm:
    """A declared array: parameters anywhere on the ball, all others as they are."""
    norm, entries = norm_symbol(a.name), norm_symbol(a.name, "∞")
    match a.role:
        case "param":
            whole = entries + RADIUS
            matrix = norm_symbol(a.name, "2") + RADIUS if len(a.labels) == 2 else None
            return Norm(norm + RADIUS, None, {}, (-whole, whole), matrix)
        case "weights":
            return Norm(entries, norm_symbol(a.name, "1"), {}, (-entries, entries))
        case "zero":
            return Norm(ZERO, ZERO, {}, (ZERO, ZERO))
    if a.index:
        return Norm(sp.Integer(1), None, {}, (ZERO, sp.Integer(1)))
    return Norm(norm, None, {}, (-entries, entries))
