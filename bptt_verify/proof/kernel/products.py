"""Rules about ordered products, powers and transposes."""

from __future__ import annotations

import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.kernel.binding import substitute
from bptt_verify.proof.kernel.conditions import at_least
from bptt_verify.proof.kernel.indices import position
from bptt_verify.proof.kernel.sums import Conditions, _expect, _need
from bptt_verify.proof.kernel.terms import Ordered, Total, Transpose, factors, shape
from bptt_verify.proof.kernel.theorems import Conclusion, equation, rule


@rule("an empty product is the identity")
def empty_product(product: Ordered, given: Conditions) -> Conclusion:
    """``f(high) … f(low) = 1`` where ``high < low``."""
    _expect("empty_product", product, Ordered)
    _need("empty_product", given, at_least(product.low - 1, product.high))
    return Conclusion(equation(product, sp.S.One, *given))


@rule("a product of one factor")
def one_factor(product: Ordered, given: Conditions) -> Conclusion:
    """The ordered product from m to m is its one factor."""
    _expect("one_factor", product, Ordered)
    if position(product.high - product.low) != 0:
        raise ProofError(f"one_factor: the limits {product.low} and {product.high} differ.")
    return Conclusion(equation(product, substitute(product.body, {product.bound: product.low}), *given))


@rule("peel the newest factor off the product")
def peel_newest(product: Ordered, given: Conditions) -> Conclusion:
    """``f(high) … f(low) = f(high) (f(high-1) … f(low))`` where ``low ≤ high``."""
    _expect("peel_newest", product, Ordered)
    _need("peel_newest", given, at_least(product.high, product.low))
    rest = Ordered(product.body, product.bound, product.low, product.high - 1)
    return Conclusion(
        equation(product, substitute(product.body, {product.bound: product.high}) * rest, *given)
    )


@rule("peel the oldest factor off the product")
def peel_oldest(product: Ordered, given: Conditions) -> Conclusion:
    """``f(high) … f(low) = (f(high) … f(low+1)) f(low)`` where ``low ≤ high``."""
    _expect("peel_oldest", product, Ordered)
    _need("peel_oldest", given, at_least(product.high, product.low))
    rest = Ordered(product.body, product.bound, product.low + 1, product.high)
    return Conclusion(
        equation(product, rest * substitute(product.body, {product.bound: product.low}), *given)
    )


@rule("transposition")
def transposition(term: Transpose, given: Conditions) -> Conclusion:
    """``(XY)ᵀ = YᵀXᵀ``, ``(X+Y)ᵀ = Xᵀ+Yᵀ``, ``(Xᵀ)ᵀ = X``; for a number, and under a sum, alike.

    An ordered product is turned round: ``(f(high) … f(low))ᵀ = f(low)ᵀ … f(high)ᵀ``, which is the ordered
    product of ``f(low+high-k)ᵀ``.
    """
    _expect("transposition", term, Transpose)
    return Conclusion(equation(term, _transposed(term.args[0]), *given))


def _transposed(inner: sp.Expr) -> sp.Expr:
    match inner:
        case _ if shape(inner) in (None, ()):
            return inner
        case Transpose():
            return inner.args[0]
        case sp.Add():
            return sp.Add(*map(_turned, inner.args))
        case Total():
            return Total(_turned(inner.body), inner.bound, inner.low, inner.high)
        case Ordered():
            mirrored = substitute(inner.body, {inner.bound: inner.low + inner.high - inner.bound})
            return Ordered(_turned(mirrored), inner.bound, inner.low, inner.high)
    scalar, ordered = factors(inner)
    if len(ordered) < 2 and scalar == 1:
        raise ProofError(f"transposition: {inner!s:.80} is a single letter.")
    return sp.Mul(scalar, *map(_turned, reversed(ordered)))


def _turned(term: sp.Expr) -> sp.Expr:
    """The transpose; of a transpose or of a scalar, what it is the transpose of."""
    if shape(term) in (None, ()):
        return term
    return term.args[0] if isinstance(term, Transpose) else Transpose(term)
