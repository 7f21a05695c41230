"""Columns and their inner products ``tr(xᵀy)``: written out, estimated, and what makes a norm Euclidean."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.calculation import Calculation, Rule, places
from bptt_verify.proof.kernel import (
    Letter,
    Norm,
    Statement,
    Theorem,
    Trace,
    Transpose,
    assume,
    both_ways,
    combine,
    equation,
    factors,
    index,
    instantiate,
    not_negative,
    ring,
    root,
    rotate_trace,
    symmetric,
    trace_of_multiple,
    trace_of_numbers,
    trace_of_sum,
    trace_of_transpose,
    transitive,
    transposition,
)

Given = tuple[sp.Expr, ...]

t, u, k = map(index, "tuk")
a, b = Letter("a", "n", "1"), Letter("b", "n", "1")


def inner(x: sp.Expr, y: sp.Expr) -> Trace:
    """``xᵀy`` as a number."""
    return Trace(Transpose(x) * y)


def euclidean(x: Letter) -> Statement:
    """What makes the norm of columns Euclidean: ``‖x_k‖² = x_kᵀ x_k`` for every k."""
    return equation(Norm(x(k)) ** 2, inner(x(k), x(k)), every=(k,))


def length(x: Letter, at: Any) -> Theorem:
    """The same at one index, by assumption."""
    return instantiate(assume(euclidean(x)), ((k, sp.sympify(at)),))


@cache
def expanded(trace: Trace) -> Theorem:
    """An inner product of sums as a sum of inner products, each with its columns in alphabetic order."""
    calculation = Calculation(trace)
    for rule in (transposition, _multiplied, trace_of_sum, trace_of_multiple, _at_front, _two_numbers):
        _exhausted(calculation, rule)
    for part in dict.fromkeys(traces(calculation.term)):
        if _order(part) != part:
            calculation.rewrite(Calculation(part).by(trace_of_transpose).by(transposition).theorem)
    return calculation.to(calculation.term).theorem


def _exhausted(calculation: Calculation, rule: Rule) -> None:
    try:
        while True:
            calculation.by(rule)
    except ProofError:
        pass


def _multiplied(term: sp.Expr, given: Given) -> Theorem:
    """Under a trace: a product of sums as a sum of products."""
    if not isinstance(term, Trace) or (new := sp.expand(term.args[0])) == term.args[0]:
        raise ProofError("multiplied: another form.")
    return Calculation(term, *given).rewrite(ring(term.args[0], new, given)).theorem


def _at_front(term: sp.Expr, given: Given) -> Theorem:
    """``tr(x Y) = tr(Y x)`` for a column x."""
    if not isinstance(term, Trace) or isinstance(factors(term.args[0])[1][0], Transpose):
        raise ProofError("at_front: another form.")
    return rotate_trace(term, 1, given)


def _two_numbers(term: sp.Expr, given: Given) -> Theorem:
    return trace_of_numbers(term, 2, given)


def _order(part: Trace) -> Trace:
    transposed, second = factors(part.args[0])[1]
    return inner(*sorted((transposed.args[0], second), key=str))


def traces(term: sp.Expr) -> Iterator[Trace]:
    """The traces in a term."""
    return (part for part, _ in places(term) if isinstance(part, Trace))


def _written_out(term: sp.Expr, *given: sp.Expr) -> Calculation:
    calculation = Calculation(term, *given)
    for part in dict.fromkeys(traces(term)):
        if (theorem := expanded(part)).statement.right != part:
            calculation.rewrite(theorem)
    return calculation


def _both_sides(premise: Theorem) -> Theorem:
    """The premise with its inner products written out."""
    left, right = (_written_out(side) for side in (premise.statement.left, premise.statement.right))
    whole = transitive(symmetric(left.theorem), premise) if left.links else premise
    return transitive(whole, right.theorem) if right.links else whole


def added(left: Any, right: Any, *summands: Any) -> Theorem:
    """``left ≤ right`` by ``combine``, once all inner products are written out.

    Parameters
    ----------
    left, right : sympy.Expr
    *summands : tuple
        A factor, and theorems that say ``a ≤ b`` or ``a = b``.
    """
    given = [g for _, *premises in summands for p in premises for g in p.statement.given]
    first, last = _written_out(sp.sympify(left), *given), _written_out(sp.sympify(right))
    parts = tuple((sp.sympify(f), *map(_both_sides, premises)) for f, *premises in summands)
    first.rewrite(combine(first.term, last.term, parts))
    for link in reversed(last.links):
        first.rewrite(symmetric(link))
    return first.theorem


def equals(left: Any, right: Any, *summands: Any) -> Theorem:
    """``left = right`` in the same way, twice; each summand has an equation among its theorems."""
    other_way = ((-sp.sympify(f), *premises) for f, *premises in summands)
    return both_ways(added(left, right, *summands), added(right, left, *other_way))


def square(x: sp.Expr) -> Theorem:
    """``0 ≤ xᵀx``."""
    return not_negative(inner(x, x), ())


@cache
def lagrange() -> Theorem:
    """``(aᵀb)² ≤ (aᵀa)(bᵀb)``: half of ``tr(XᵀX)``, for X = a bᵀ - b aᵀ, is what is added."""
    x, y = a(t), b(u)
    square_of = square(x * Transpose(y) - y * Transpose(x))
    return added(inner(x, y) ** 2, inner(x, x) * inner(y, y), (sp.S.Half, square_of))


@cache
def cauchy_schwarz() -> Theorem:
    """``aᵀb ≤ ‖a‖ ‖b‖`` for the Euclidean norm."""
    x, y = a(t), b(u)
    norms = Norm(x) * Norm(y)
    squares = Calculation(inner(x, y) ** 2).rewrite(lagrange())
    squares.back(length(a, t)).back(length(b, u))
    return root(squares.theorem, inner(x, y), norms)
