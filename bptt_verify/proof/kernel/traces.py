"""Rules about traces; ``tr(xᵀy)`` is the inner product of two columns."""

from __future__ import annotations

import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.kernel.sums import Conditions, _expect
from bptt_verify.proof.kernel.terms import Total, Trace, Transpose, factors, shape
from bptt_verify.proof.kernel.theorems import Conclusion, equation, rule


@rule("cyclic property of the trace")
def rotate_trace(term: Trace, first: int, given: Conditions) -> Conclusion:
    """``tr(XY) = tr(YX)``: the first ``first`` factors go to the end."""
    _expect("rotate_trace", term, Trace)
    scalar, ordered = factors(term.args[0])
    if not isinstance(first, int) or not 0 < first < len(ordered):
        raise ProofError(f"rotate_trace: first={first} of {len(ordered)} factors.")
    return Conclusion(equation(term, Trace(scalar * sp.Mul(*ordered[first:], *ordered[:first])), *given))


@rule("the trace of a sum")
def trace_of_sum(term: Trace, given: Conditions) -> Conclusion:
    """``tr(Σ f) = Σ tr(f)``, and ``tr(X + Y) = tr(X) + tr(Y)``."""
    _expect("trace_of_sum", term, Trace)
    inner = term.args[0]
    if isinstance(inner, Total):
        return Conclusion(
            equation(term, Total(Trace(inner.body), inner.bound, inner.low, inner.high), *given)
        )
    _expect("trace_of_sum", inner, sp.Add)
    return Conclusion(equation(term, sp.Add(*map(Trace, inner.args)), *given))


@rule("take a number out of the trace")
def trace_of_multiple(term: Trace, given: Conditions) -> Conclusion:
    """``tr(s X) = s tr(X)`` for all commuting factors s."""
    _expect("trace_of_multiple", term, Trace)
    scalar, ordered = factors(term.args[0])
    if scalar == 1 or not ordered:
        raise ProofError(f"trace_of_multiple: {term.args[0]!s:.160} is no multiple of a matrix.")
    return Conclusion(equation(term, scalar * Trace(sp.Mul(*ordered)), *given))


@rule("a matrix and its transpose have one trace")
def trace_of_transpose(term: Trace, given: Conditions) -> Conclusion:
    """``tr(X) = tr(Xᵀ)``."""
    _expect("trace_of_transpose", term, Trace)
    return Conclusion(equation(term, Trace(Transpose(term.args[0])), *given))


@rule("the trace of a product of numbers")
def trace_of_numbers(term: Trace, first: int, given: Conditions) -> Conclusion:
    """``tr(XY) = tr(X) tr(Y)`` where X, the first ``first`` factors, and Y, the others, are 1 × 1."""
    _expect("trace_of_numbers", term, Trace)
    scalar, ordered = factors(term.args[0])
    if not isinstance(first, int) or not 0 < first < len(ordered) or scalar != 1:
        raise ProofError(f"trace_of_numbers: first={first} of {len(ordered)} factors.")
    x, y = sp.Mul(*ordered[:first]), sp.Mul(*ordered[first:])
    if {shape(x), shape(y)} != {("1", "1")}:
        raise ProofError(f"trace_of_numbers: {x!s:.80} and {y!s:.80}; expected two of 1 × 1.")
    return Conclusion(equation(term, Trace(x) * Trace(y), *given))
