"""Rules about norms: of a product, of a multiple, of a sum, of the identity; and of absolute values."""

from __future__ import annotations

import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.kernel.signs import nonnegative
from bptt_verify.proof.kernel.sums import Conditions, _expect
from bptt_verify.proof.kernel.terms import Norm, Total, factors, shape
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


@rule("the norm of a multiple")
def norm_of_multiple(norm: Norm, given: Conditions) -> Conclusion:
    """``‖s X‖ = |s| ‖X‖`` for all commuting factors s together."""
    _expect("norm_of_multiple", norm, Norm)
    scalar, ordered = factors(norm.args[0])
    if scalar == 1 or not ordered:
        raise ProofError(f"norm_of_multiple: {norm.args[0]!s:.160} is no multiple of a matrix.")
    return Conclusion(equation(norm, Norm(scalar) * Norm(sp.Mul(*ordered)), *given))


@rule("the absolute value of what cannot be negative")
def absolute(norm: Norm, given: Conditions) -> Conclusion:
    """``|s| = s`` for a scalar that cannot be negative by its form."""
    _expect("absolute", norm, Norm)
    if not nonnegative(norm.args[0]):
        raise ProofError(f"absolute: {norm.args[0]!s:.160} is a matrix, or may be negative by its form.")
    return Conclusion(equation(norm, norm.args[0], *given))


@rule("a number is at most its absolute value")
def at_most_absolute(term: sp.Expr, given: Conditions) -> Conclusion:
    """``s ≤ |s|`` for a scalar."""
    if shape(term) not in (None, ()):
        raise ProofError(f"at_most_absolute: {term!s:.160} is a matrix; expected a number.")
    return Conclusion(statement(term, "≤", Norm(term), *given))
