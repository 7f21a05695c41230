"""The claims T8 to T10 for one recurrence: which arrays a clip counts, and its own Lipschitz bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import sympy as sp

from bptt_verify.derivation import wording
from bptt_verify.derivation.claims import Claim, Known
from bptt_verify.derivation.normform import NormForm, letters_of_norms, needed, norm_form
from bptt_verify.derivation.theorems import theorems_shown
from bptt_verify.program import Program, Ref
from bptt_verify.proof import CLAIMS
from bptt_verify.render import Block, Display, Formula, Line, Prose, Steps


@dataclass(frozen=True)
class Changes:
    """One recurrence, and how far a step changes its loss.

    Attributes
    ----------
    program : Program
        The recurrence.
    """

    program: Program

    @cached_property
    def params(self) -> tuple[str, ...]:
        """The names of the parameters."""
        return tuple(a.name for a in self.program.arrays if a.role == "param")

    @cached_property
    def form(self) -> NormForm:
        """The norms form of the bound."""
        return norm_form(self.program)

    def clip(self) -> Claim:
        """T8."""
        norm = Formula(
            f"‖g‖² = {' + '.join(f'‖∂L/∂{p}‖²' for p in self.params) or '0'}",
            rf"\lVert g \rVert^2 = {' + '.join(map(_square, self.params)) or '0'}",
        )
        statement = "clip_θ(g) = min(1, θ/‖g‖) g is the projection of g onto the ball of radius θ"
        known = (
            Known("norm, projection, that clips come no further apart", "proved", wording.BY_RULES),
            Known("the numbers of a generated clip", "tested", wording.BY_CLIP),
        )
        blocks = (
            Prose.of(wording.CLIP),
            Display((Line(norm, "over all parameters together"),)),
            *theorems_shown(CLAIMS["T8"], "at_most_threshold", "nearest"),
        )
        return Claim("T8", CLAIMS["T8"], True, statement, {"norm": (norm,)}, known, blocks)

    def change(self) -> Claim:
        """T9."""
        statement = "|F(w) - F(w - η clip_θ(g))| ≤ K η min(‖g‖, θ), if |F(x) - F(y)| ≤ K ‖x - y‖"
        known = (
            Known("the bound, given K", "proved", wording.BY_RULES),
            Known("the change of this loss along a step", "tested", wording.BY_UPDATE),
        )
        blocks = (Prose.of(wording.CHANGE), *theorems_shown(CLAIMS["T9"], "clipped_norm", "clipped"))
        return Claim("T9", CLAIMS["T9"], True, statement, {}, known, blocks)

    def bound(self) -> Claim:
        """T10."""
        whole, parameters, definitions = self._formulas()
        infinite = self.form.whole == sp.oo
        statement = f"|F(x) - F(y)| ≤ K ‖x - y‖ on the ball of radius r; by norms, {whole.text}"
        known = (
            Known("how bounds compose: products, sums over the steps, gains", "proved", wording.BY_RULES),
            Known("that this bound holds", "tested", wording.BY_SEARCH),
        )
        blocks: tuple[Block, ...] = (
            Prose.of(wording.BOUND),
            *theorems_shown(CLAIMS["T10"], "gradient", "among"),
            Prose.of(wording.OWN_BOUND),
            *([Prose.of(f"{wording.UNBOUNDED} {self._reason()}")] if infinite else []),
            Display((Line(whole), *map(Line, parameters))),
            *([Steps("where", (Display(tuple(map(Line, definitions))),))] if definitions else []),
        )
        parts = {"bound": (whole,), "parameters": parameters, "definitions": definitions}
        return Claim("T10", CLAIMS["T10"], True, statement, parts, known, blocks)

    def _reason(self) -> str:
        broken = self.form.broken or [f"{t}." for t, e in self.form.equations.items() if e == sp.oo]
        return str(broken[0])

    def _formulas(self) -> tuple[Formula, tuple[Formula, ...], tuple[Formula, ...]]:
        """K, each K_p, and the definitions that these use."""
        form = self.form
        used = needed(form.parameters.values(), form.definitions)
        letters = letters_of_norms([form.whole, *form.parameters.values(), *used.values()], used)
        total = sp.oo if form.whole == sp.oo else sp.sqrt(sp.Add(*(_own(p) ** 2 for p in form.parameters)))
        own = {_own(p): rf"K_{{\mathrm{{{_escaped(p)}}}}}" for p in form.parameters}
        whole = _line("K", "≤" if total != sp.oo else "=", total, {**letters, **own}, "K")
        parameters = tuple(_line(f"K_{p}", "=", e, letters, own[_own(p)]) for p, e in form.parameters.items())
        return whole, parameters, tuple(_line(str(s), "=", e, letters, letters[s]) for s, e in used.items())


def _own(parameter: str) -> sp.Symbol:
    return sp.Symbol(f"K_{parameter}", nonnegative=True)


def _escaped(name: str) -> str:
    return name.replace("_", r"\_")


def _square(parameter: str) -> str:
    name = Formula.of(lambda n: n.ref(Ref(parameter, ()))).latex
    return rf"\left\lVert \frac{{\partial L}}{{\partial {name}}} \right\rVert^2"


def _line(name: str, relation: str, expr: sp.Expr, letters: Mapping[sp.Symbol, str], latex: str) -> Formula:
    sign = {"≤": r"\le", "=": "="}[relation]
    text = f"{name} {relation} {sp.sstr(expr).replace('**', '^').replace('oo', '∞')}"
    return Formula(text, f"{latex} {sign} {sp.latex(expr, symbol_names=dict(letters))}")
