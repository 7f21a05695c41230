"""The norms form of the Lipschitz bound of a recurrence (T10): expressions in norms, for any arrays.

The gradient is what the adjoint Program computes (T2), so that bounds of the norms of all its values
(``normpass``) bound the gradient of every parameter on the ball, K_p, and K² = Σ_p K_p².
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import sympy as sp

from bptt_verify.derivation.jumps import jumps, straddled
from bptt_verify.derivation.normpass import NormPass
from bptt_verify.derivation.norms import numeric
from bptt_verify.derivation.reverse import adjoint
from bptt_verify.program import Equation, Pointwise, Program, formula, symbol


@dataclass(frozen=True, eq=False)
class NormForm:
    """The norms form of a recurrence, for any arrays.

    Attributes
    ----------
    whole : SymPy expression
        K.
    parameters : dict of str to expression
        K_p.
    definitions : dict of symbol to expression
        What the symbols of longer bounds stand for, each in norms and earlier symbols.
    equations : dict of str to expression
        The bound of every equation, by its text and what it needs.
    broken : tuple of str
        Equations that may jump on the ball.
    """

    whole: sp.Expr
    parameters: dict[str, sp.Expr]
    definitions: dict[sp.Symbol, sp.Expr]
    equations: dict[str, sp.Expr]
    broken: tuple[str, ...]


@lru_cache(maxsize=64)
def norm_form(program: Program) -> NormForm:
    """The pass over the adjoint Program, made once."""
    whole = adjoint(program)
    passed = NormPass(whole)
    found = passed.run()
    results = dict(whole.results)
    parameters = {a.name: found[results[a.name]].norm for a in program.arrays if a.role == "param"}
    broken = _broken_by_norm(program, passed)
    if broken:
        parameters = dict.fromkeys(parameters, sp.oo)
    together = (
        sp.oo if sp.oo in parameters.values() else sp.sqrt(sp.Add(*(e**2 for e in parameters.values())))
    )
    equations = {described(e): found[e.name].norm for e in whole.equations}
    used = needed([together, *parameters.values(), *equations.values()], passed.definitions)
    return NormForm(together, parameters, used, equations, tuple(broken))


def _broken_by_norm(program: Program, passed: NormPass) -> list[str]:
    """Equations that may be discontinuous on the ball, as far as norms say."""
    found = []
    for e in program.equations:
        if isinstance(e, Pointwise) and jumps(e.expr):
            known = [symbol(r) for r in e.operands]
            boxes = [numeric(passed.read(r).range) for r in e.operands]
            mask = straddled(e.expr, tuple(known), jumps(e.expr))
            if mask is not None and np.any(mask(boxes)[0]):
                found.append(f"may jump on the ball, by norms: {formula(e)}")
    return found


def described(e: Equation) -> str:
    """The equation, and what its bound needs that may be missing."""
    expr = e.expr if isinstance(e, Pointwise) else sp.S.Zero
    if any(p.exp.could_extract_minus_sign() for p in expr.atoms(sp.Pow)):
        return f"{formula(e)}, because nothing keeps its denominator away from 0"
    if expr.has(sp.log) or any(not p.exp.is_Integer for p in expr.atoms(sp.Pow)):
        return f"{formula(e)}, because its argument may leave the numbers where it has a bounded slope"
    return formula(e)


def needed(exprs: Iterable[sp.Expr], definitions: Mapping[sp.Symbol, sp.Expr]) -> dict[sp.Symbol, sp.Expr]:
    """The definitions that expressions use, in their order."""
    used: set[sp.Symbol] = set()
    waiting = [s for e in exprs for s in e.free_symbols]
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in used:
            used.add(name)
            waiting += definitions[name].free_symbols
    return {s: e for s, e in definitions.items() if s in used}


def letters_of_norms(
    exprs: Iterable[sp.Expr], definitions: Mapping[sp.Symbol, sp.Expr]
) -> dict[sp.Symbol, str]:
    """LaTeX of the symbols of norms and of definitions."""
    found = {}
    for s in sorted({s for e in exprs for s in e.free_symbols} - set(definitions), key=str):
        name, mark = str(s).strip("‖₂∞₁").rstrip("‖"), str(s)[-1]
        sub = {"₂": "_2", "∞": r"_\infty", "₁": "_1"}.get(mark, "")
        plain = name.replace("_", r"\_")
        found[s] = rf"\lVert \mathrm{{{plain}}} \rVert{sub}" if "‖" in str(s) else str(s)
    for k, s in enumerate(definitions, 1):
        found[s] = rf"{str(s)[0]}_{{{k}}}"
    return found
