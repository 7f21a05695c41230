"""Derivatives of an unrolled expression whose function applications are letters of their own.

SymPy differentiates each shallow expression; the chain rule joins them, forwards, each letter once.
"""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from bptt_verify.oracle.opaque import KIND, slope


class Derivatives:
    """Derivatives by one symbol at a time.

    Parameters
    ----------
    definitions : mapping of letter to opaque application or plain expression
        Either may contain other letters.
    """

    def __init__(self, definitions: Mapping[sp.Expr, sp.Expr]) -> None:
        self.definitions = definitions
        self.slopes: dict[sp.Expr, sp.Expr] = {}
        self.partials: dict[sp.Expr, dict[sp.Expr, sp.Expr]] = {}

    def by(self, expr: sp.Expr, x: sp.Symbol) -> sp.Expr:
        """``d expr / d x`` through all letters."""
        return self._total(expr, x, {})

    def _total(self, expr: sp.Expr, x: sp.Symbol, known: dict[sp.Expr, sp.Expr]) -> sp.Expr:
        terms = []
        for v, partial in self._partials(expr).items():
            if v == x:
                terms.append(partial)
            elif v in self.definitions:
                terms.append(partial * self._letter(v, x, known))
        return sp.Add(*terms)

    def _letter(self, letter: sp.Expr, x: sp.Symbol, known: dict[sp.Expr, sp.Expr]) -> sp.Expr:
        if letter not in known:
            known[letter] = self._slope(letter) * self._total(self._inside(letter), x, known)
        return known[letter]

    def _inside(self, letter: sp.Expr) -> sp.Expr:
        meaning = self.definitions[letter]
        return meaning.args[0] if meaning.func in KIND else meaning

    def _slope(self, letter: sp.Expr) -> sp.Expr:
        if letter not in self.slopes:
            kind = KIND.get(self.definitions[letter].func)
            self.slopes[letter] = slope(kind, self._inside(letter), letter) if kind else sp.Integer(1)
        return self.slopes[letter]

    def _partials(self, expr: sp.Expr) -> dict[sp.Expr, sp.Expr]:
        if expr not in self.partials:
            variables = sorted(expr.free_symbols, key=lambda s: s.name)
            self.partials[expr] = {v: sp.diff(expr, v) for v in variables}
        return self.partials[expr]
