"""``lipschitz_bound``: a local Lipschitz constant of the loss of a recurrence (T10).

On the ball ‖w - w⁰‖ ≤ r, which is convex, the loss F is Lipschitz with K = sup ‖∇F‖. The gradient is what
the adjoint Program computes (T2), so that a bound of the norms of all its values bounds ∇F, equation by
equation. Two passes do that. The *norms* form knows no more than norms of parameters, inputs, targets and
initial states, and gives an expression (``normpass``). The *data* form follows the trajectory and the
adjoints at w⁰ and how far radius r can move each of them (``deviations``): ‖∂F/∂w_p‖ is at most
‖∂F/∂w_p (w⁰)‖ + what it can move. K² = Σ_p K_p² in both, with K_p a bound on the whole ball, on which no
block moves by more than r.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from numbers import Real
from typing import Any, Literal

import numpy as np
import sympy as sp

from bptt_verify.analysis.balls import Ball
from bptt_verify.analysis.deviations import deviations
from bptt_verify.analysis.given import kernel_of, prepared
from bptt_verify.analysis.normvalues import Values, expanded, form_reasons, form_values, norm_values
from bptt_verify.codegen import Kernel
from bptt_verify.derivation import adjoint
from bptt_verify.derivation.normform import NormForm, described, letters_of_norms, needed, norm_form
from bptt_verify.errors import UsageError
from bptt_verify.language import Recurrence
from bptt_verify.program import Program, formula

Array = np.ndarray[Any, Any]
ROUNDING = 1 + 1e-9


@dataclass(frozen=True, eq=False)
class Bound:
    """A local Lipschitz constant: |F(x) - F(y)| ≤ ``value`` ‖x - y‖ on the ball. ``str`` prints a table.

    Attributes
    ----------
    name : str
        Of the recurrence.
    radius : float
        Of the ball around the given parameters, in the Euclidean norm of all of them together.
    value : float
        The smaller one of ``norm_value`` and ``data_value``; inf if neither is finite.
    kind : "norms" or "data"
        The form that gave it.
    per_parameter : dict of str to float
        Bounds of ‖∂F/∂w_p‖ on the ball by the same form.
    norm_value, data_value : float
        The bounds of the two forms.
    norm_parameters, data_parameters : dict of str to float
        The same by parameter.
    form : NormForm
        The norms form, for any arrays.
    norms : dict of symbol to float
        The values at the given arrays: ‖a‖ is the Euclidean norm (the largest of all steps and sequences),
        ‖a‖₂ the spectral norm, ‖a‖∞ the largest absolute entry, ‖a‖₁ the sum of all absolute weights.
    reasons : tuple of str
        Why a form has no finite bound.
    """

    name: str
    radius: float
    value: float
    kind: Literal["norms", "data"]
    per_parameter: dict[str, float]
    norm_value: float
    data_value: float
    norm_parameters: dict[str, float]
    data_parameters: dict[str, float]
    form: NormForm
    norms: Values
    reasons: tuple[str, ...]

    @property
    def compact(self) -> sp.Expr:
        """The norms form in T, r, sizes, norms and the symbols of ``definitions``."""
        return self.form.whole

    @property
    def compact_parameters(self) -> dict[str, sp.Expr]:
        """The same of each parameter."""
        return self.form.parameters

    @cached_property
    def definitions(self) -> dict[sp.Symbol, sp.Expr]:
        """What these symbols stand for, each in norms and in earlier ones."""
        return needed([self.compact, *self.compact_parameters.values()], self.form.definitions)

    @cached_property
    def expression(self) -> sp.Expr:
        """The norms form in T, r, sizes and norms alone."""
        return expanded(self.compact, self.definitions)

    @property
    def latex(self) -> str:
        """The norms form as LaTeX: K, then each definition that it uses."""
        letters = letters_of_norms([self.compact, *self.definitions.values()], self.definitions)
        lines = [rf"K &\le {sp.latex(self.compact, symbol_names=letters)}"]
        lines += [
            rf"{letters[s]} &= {sp.latex(e, symbol_names=letters)}" for s, e in self.definitions.items()
        ]
        return r"\begin{aligned}" + " \\\\\n".join(lines) + r"\end{aligned}"

    def __call__(self, norms: Mapping[str | sp.Symbol, Any] | None = None, **more: Any) -> Any:
        """The norms form for other norms, numbers or arrays that broadcast.

        Parameters
        ----------
        norms : dict of str or symbol to number or array
            By the names of the symbols; those that are left out are as at the given arrays.
        **more
            The same, for names that are identifiers: ``bound(T=100, r=0.1)``.

        Raises
        ------
        UsageError
            If a name is not one of the symbols.
        """
        return _evaluated(self, {**(norms or {}), **more})

    def __str__(self) -> str:
        return "\n".join(_table(self))


def lipschitz_bound(rec: Recurrence, radius: float, /, **arrays: Any) -> Bound:
    """A Lipschitz constant of the loss on the ball ‖w - w⁰‖ ≤ radius around the given parameters (T10).

    Inputs, targets, initial states and loss weights stay as given; all parameters together move by at most
    ``radius`` in the Euclidean norm. For one step of length η along a gradient clipped to norm θ, r = ηθ
    suffices.

    Parameters
    ----------
    rec : Recurrence
    radius : float
        At least 0.
    **arrays
        As for ``Kernel.loss_and_grad``, real.

    Returns
    -------
    Bound

    Raises
    ------
    UsageError
        If ``rec`` is not a Recurrence, or ``radius`` not a finite number of at least 0.
    ArrayError
        If an array is missing, unknown, complex, or has a wrong shape or dtype.
    """
    kernel = _kernel(rec) if isinstance(rec, Recurrence) else kernel_of(rec, "lipschitz_bound")
    size = _radius(radius)
    given = prepared(kernel, "lipschitz_bound", arrays)
    form = norm_form(rec.program)
    norms = norm_values(rec.program, given, size)
    by_norm, by_data = _by_norm(form, norms), _data(rec.program, given, size)
    totals = {k: _together(v.values()) for k, v in (("norms", by_norm), ("data", by_data[0]))}
    kind: Literal["norms", "data"] = "data" if totals["data"] <= totals["norms"] else "norms"
    return Bound(
        name=rec.name,
        radius=size,
        value=totals[kind],
        kind=kind,
        per_parameter=by_norm if kind == "norms" else by_data[0],
        norm_value=totals["norms"],
        data_value=totals["data"],
        norm_parameters=by_norm,
        data_parameters=by_data[0],
        form=form,
        norms=norms,
        reasons=(*form_reasons(form, norms), *by_data[1]),
    )


def _radius(radius: Any) -> float:
    number = isinstance(radius, Real) and not isinstance(radius, bool)
    if not number or not 0 <= float(radius) < float("inf"):
        raise UsageError(
            f"lipschitz_bound: radius={radius!r:.60}; expected a finite number, at least 0. "
            "For a step η along a gradient clipped to θ take η θ."
        )
    return float(radius)


def _together(values: Any) -> float:
    found = [float(v) for v in values]
    return float(np.hypot.reduce(found)) * ROUNDING if found else 0.0


_adjoint = lru_cache(maxsize=64)(adjoint)


@lru_cache(maxsize=64)
def _kernel(rec: Recurrence) -> Kernel:
    return kernel_of(rec, "lipschitz_bound")


def _by_norm(form: NormForm, norms: Mapping[sp.Symbol, float]) -> dict[str, float]:
    """The norms form: bounds by parameter."""
    return {p: v * ROUNDING for p, v in form_values(form, norms).items()}


def _data(program: Program, arrays: Mapping[str, Array], radius: float) -> tuple[dict[str, float], list[str]]:
    """The data form: bounds by parameter, and why they are infinite."""
    whole = _adjoint(program)
    balls, jumping = deviations(whole, arrays, radius)
    results = dict(whole.results)
    params = [a.name for a in program.arrays if a.role == "param"]
    bounds = {p: _finite(balls[results[p]]) for p in params}
    broken = [f"may jump on the ball, by data: {formula(e)}" for e in program.equations if e.name in jumping]
    if broken:
        return dict.fromkeys(params, float("inf")), broken
    infinite = [e for e in whole.equations if not np.isfinite(balls[e.name].norm).all()]
    named = [f"no finite bound by data: {described(e)}" for e in infinite[:1]]
    return bounds, named if float("inf") in bounds.values() else []


def _finite(ball: Ball) -> float:
    found = float(ball.norm) * ROUNDING
    return float("inf") if np.isnan(found) else found


def _evaluated(bound: Bound, changes: Mapping[Any, Any]) -> Any:
    symbols = {str(s): s for s in bound.norms}
    unknown = [k for k in changes if str(k) not in symbols]
    if unknown:
        raise UsageError(f"Bound: {unknown[0]}; expected names among {', '.join(symbols)}.")

    def at(*values: Any) -> float:
        own = {symbols[str(k)]: float(v) for k, v in zip(changes, values, strict=True)}
        return _together(_by_norm(bound.form, {**bound.norms, **own}).values())

    if all(np.ndim(v) == 0 for v in changes.values()):
        return at(*changes.values())
    return np.vectorize(at, otypes=[float])(*changes.values())


def _table(bound: Bound) -> list[str]:
    width = max(map(len, (*bound.per_parameter, "parameter")))
    rows = [
        f"{p:>{width}} {bound.norm_parameters[p]:11.3e} {bound.data_parameters[p]:11.3e}"
        for p in bound.per_parameter
    ]
    return [
        f"{bound.name}: |F(x) - F(y)| ≤ {bound.value:.4g} ‖x - y‖ on the ball of radius {bound.radius:g}, "
        f"by {bound.kind}",
        f"{'parameter':>{width}}    by norms     by data",
        *rows,
        f"{'together':>{width}} {bound.norm_value:11.3e} {bound.data_value:11.3e}",
        *bound.reasons,
    ]
