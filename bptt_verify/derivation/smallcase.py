"""A theorem written out for three steps, and a local Jacobian for sizes of two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import sympy as sp

from bptt_verify.derivation.lines import entry
from bptt_verify.program import BATCH, TIME, Program
from bptt_verify.program.surgery import states_of
from bptt_verify.proof import Statement, Theorem
from bptt_verify.proof.explanation import shown
from bptt_verify.proof.kernel import Entry, Ordered, Total, Transpose, index, substitute
from bptt_verify.render import Formula, Letter, Line

SIZE = 2


def written_out(theorem: Theorem, **values: int) -> Line:
    """The theorem at these values of its indices, every sum and product written out: ``T=3, t=1``."""
    at = {index(k): sp.Integer(v) for k, v in values.items()}
    s = theorem.statement
    left, right = (expanded(substitute(side, at)) for side in (s.left, s.right))
    return _line(Statement((), left, s.relation, right))


def expanded(term: sp.Expr) -> sp.Expr:
    """Sums with numbers as limits as sums of terms, ordered products as products."""
    if isinstance(term, Total | Ordered):
        bodies = [
            expanded(substitute(term.body, {term.bound: sp.Integer(k)}))
            for k in range(int(term.low), int(term.high) + 1)
        ]
        return sp.Add(*bodies) if isinstance(term, Total) else sp.Mul(*reversed(bodies))
    if isinstance(term, Entry) or not term.args:
        return term
    parts = list(map(expanded, term.args))
    if isinstance(term, Transpose) and parts[0].is_Number:  # the identity is its own transpose
        return parts[0]
    return term.func(*parts)


def jacobian_entries(local: Program, forward: Program, letters: Mapping[str, Letter]) -> Iterator[Formula]:
    """Every entry of J_t for sizes of two, where it needs no sum."""
    states = states_of(forward)
    for above, below in product(states, states):
        block = entry(local, f"d{above}/d{below}", forward)
        rows, columns = (_numbers(forward, states[s]) for s in (above, below))
        entries = [block.numbered(r, c, letters) for r, c in product(rows, columns)]
        if not block.zero and len(entries) <= SIZE**2:
            yield from (e for e in entries if e is not None)


def _numbers(program: Program, value: str) -> list[tuple[str, ...]]:
    axes = [x for x in program.labels(value) if x not in (TIME, BATCH)]
    return [tuple(map(str, at)) for at in product(range(1, SIZE + 1), repeat=len(axes))]


def _line(s: Statement) -> Line:
    w = shown(s)
    return Line(Formula(w.text, w.latex))
