"""Rules about norms: of a product, of a sum, of the identity; and inequalities that norms satisfy."""

from __future__ import annotations

import sympy as sp

from bptt_verify.proof.kernel.sums import Conditions, _expect
from bptt_verify.proof.kernel.terms import Norm, Total, factors
from bptt_verify.proof.kernel.theorems import Conclusion, equation, rule, statement


@rule("the norm of a product is at most the product of the norms")
def submultiplicative(norm: Norm, given: Conditions) -> Conclusion:
    """``‖X Y‖ ≤ ‖X‖ ‖Y‖``; a commuting factor s counts as ``‖s‖``, its absolute value."""
    _expect("submultiplicative", norm, Norm)
    scalar, ordered = factors(norm.args[0])
    parts = [f for f in (*sp.Mul.make_args(scalar), *ordered) if f != 1]
    return Conclusion(statement(norm, "≤", sp.Mul(*map(Norm, parts)), *given))


@rule("triangle inequality")
def triangle(norm: Norm, given: Conditions) -> Conclusion:
    """``‖X + Y‖ ≤ ‖X‖ + ‖Y‖`` and ``‖Σ f‖ ≤ Σ ‖f‖``."""
    _expect("triangle", norm, Norm)
    inner = norm.args[0]
    if isinstance(inner, Total):
        return Conclusion(
            statement(norm, "≤", Total(Norm(inner.body), inner.bound, inner.low, inner.high), *given)
        )
    _expect("triangle", inner, sp.Add)
    return Conclusion(statement(norm, "≤", sp.Add(*map(Norm, inner.args)), *given))


@rule("the norm of a number times the identity is its absolute value")
def norm_of_number(norm: Norm, given: Conditions) -> Conclusion:
    """``‖s 1‖ = |s|`` for a rational number s."""
    _expect("norm_of_number", norm, Norm)
    _expect("norm_of_number", norm.args[0], sp.Rational)
    return Conclusion(equation(norm, abs(norm.args[0]), *given))
