"""A share of a cotangent: what one equation sends back to one of the values that it reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import sympy as sp

from bptt_verify.derivation.equations import Operands, relabel, relabel_expression
from bptt_verify.program import BATCH, TIME, Ref, symbol


@dataclass(frozen=True)
class Share:
    """Pointwise, or (``expr is None``) a contraction.

    Attributes
    ----------
    labels : tuple of str
    operands : dict of symbol to Ref
    expr : sympy.Expr or None
    source : str
        The value whose equation sends it.
    """

    labels: tuple[str, ...]
    operands: Operands
    expr: sp.Expr | None
    source: str = ""

    @staticmethod
    def of(ref: Ref, source: str = "") -> Share:
        """An array as it stands."""
        return Share(ref.labels, {symbol(ref): ref}, symbol(ref), source)

    def relabelled(self, labels: tuple[str, ...]) -> Share:
        """The same under other labels."""
        if self.labels == labels:
            return self
        change = _complete(dict(zip(self.labels, labels, strict=True)), self, labels)
        if self.expr is None:
            refs = [relabel(r, change) for r in self.operands.values()]
            return replace(self, labels=labels, operands={symbol(r): r for r in refs})
        expr, operands = relabel_expression(self.expr, self.operands, change)
        return replace(self, labels=labels, operands=operands, expr=expr)


def _complete(change: dict[str, str], share: Share, labels: tuple[str, ...]) -> dict[str, str]:
    """Also rename summed labels that would collide with the new ones."""
    used = {*labels, TIME, BATCH}
    for x in _all_labels(share.operands.values()):
        if x not in change and x not in (TIME, BATCH):
            new = x
            while new in used:
                new += "'"
            change[x] = new
            used.add(new)
    return change


def _all_labels(refs: Iterable[Ref]) -> list[str]:
    return list(dict.fromkeys(x for r in refs for x in r.labels))
