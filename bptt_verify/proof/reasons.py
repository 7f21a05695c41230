"""Why one line of a proof follows from the one before, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sympy as sp

from bptt_verify.proof.kernel import (
    Ordered,
    Statement,
    Theorem,
    Total,
    Transpose,
    assume,
    combine,
    discharge,
    empty_product,
    implies,
    instantiate,
    resize,
    rewrite,
    ring,
    rotate_trace,
    shape,
    specialise,
    substitute,
    symmetric,
    trace_of_multiple,
    trace_of_numbers,
    trace_of_sum,
    trace_of_transpose,
    transitive,
    transposition,
    unfold,
    weaken,
)
from bptt_verify.proof.kernel.theorems import same

Names = Mapping[Theorem, str]

INSTANCES = (specialise, resize, instantiate, weaken, discharge)


def reason(theorem: Theorem, names: Names, known: tuple[Statement, ...] = ()) -> str:
    """Why one line follows from the one before, in plain words."""
    if theorem in names:
        return f"by {names[theorem]}"
    match theorem.rule:
        case rule if rule is symmetric:
            return _backwards(theorem.arguments[0], names, known)
        case rule if rule in INSTANCES:
            return reason(theorem.arguments[0], names, known)
        case rule if rule is assume:
            hypotheses = [k for k in known if same(k, theorem.arguments[0])]
            return "induction hypothesis" if hypotheses else "by assumption"
        case rule if rule is unfold:
            return _defined(theorem)
        case rule if rule is transposition:
            return _transposed(theorem.arguments[0].args[0])
        case rule if rule is empty_product and shape(theorem.arguments[0].body) == ():
            return "the power 0 is 1"
        case rule if rule is transitive:
            texts = [text for part in theorem.arguments for text in reason(part, names, known).split("; ")]
            return "; ".join(dict.fromkeys(texts))
        case rule if rule is rewrite:
            return reason(theorem.arguments[1], names, known)
        case rule if rule is combine:
            texts = [combine.reason, *_sources(theorem, names, known)]  # type: ignore[attr-defined]
            return "; ".join(dict.fromkeys(texts))
    return str(theorem.rule.reason)  # type: ignore[attr-defined]


def premises(combined: Theorem) -> list[tuple[sp.Expr, list[Theorem]]]:
    """Each factor, and the theorems it is multiplied with, as they were before they were written out."""
    return [(sp.sympify(f), list(map(_core, theorems))) for f, *theorems in combined.arguments[2]]


def _core(theorem: Theorem) -> Theorem:
    """Without the algebra before and after it, in a chain."""
    while theorem.rule is transitive:
        first, last = theorem.arguments
        if _is_algebra(first) == _is_algebra(last):
            break
        theorem = last if _is_algebra(first) else first
    return theorem


def _is_algebra(theorem: Theorem) -> bool:
    return set(reason(theorem, {}).split("; ")) <= _ALGEBRA


def _sources(combined: Theorem, names: Names, known: tuple[Statement, ...]) -> Iterator[str]:
    for _, theorems in premises(combined):
        yield from (reason(theorem, names, known) for theorem in theorems)


_TRACES = (trace_of_multiple, trace_of_numbers, trace_of_sum, trace_of_transpose)
_ALGEBRA = {
    "transpose of a sum",
    "transpose of a product",
    *(str(getattr(r, "reason", "")) for r in (ring, rotate_trace, *_TRACES)),
}

_DEFINED = {
    "∂h/∂w": ("h_0 does not depend on w", "chain rule of one step"),
    "∂h/∂h_0": ("h_0 differentiated by itself", "chain rule of one step"),
    "λ": ("the last step", "recursion of the adjoint"),
    "c": ("the direct part of the last step", "the direct part: both losses that read this state"),
    "λ^ξ": ("the last step", "recursion of the gated adjoint"),
    "μ": ("the end of the chunk", "recursion of the chunk's adjoint"),
    "z": ("it starts at 0", "one step with its gate"),
    "z^s": ("it starts at 0", "one step with the shared gate"),
    "dh/dw": ("h_0 does not depend on w", "chain rule, with what is fed written out"),
    "du/dw": ("what is fed, written out",) * 2,
    "do/dw": ("chain rule of one step",) * 2,
    "λ^u": ("what it does in all later steps",) * 2,
    "dh'/dw": ("h_0 does not depend on w", "chain rule of one step"),
    "λ'": ("the last step", "recursion of the adjoint"),
    "(dh/dw)_det": ("h_0 does not depend on w", "chain rule of one step, what is fed held constant"),
    "(do/dw)_det": ("chain rule of one step, what is fed held constant",) * 2,
    "λ^det": ("the last step", "recursion of the detached adjoint"),
    "Z": ("h_0 differentiated by itself", "one step with its gate"),
}


def _defined(theorem: Theorem) -> str:
    """The definition of a letter in words: of its first case, or of the recursion."""
    definition, at, given = theorem.arguments
    values = {definition.at: sp.sympify(at)}
    first = definition.cases[0]
    starts = all(implies(given, substitute(g, values)) for g in first.given)
    return _DEFINED.get(definition.letter.name, ("by definition",) * 2)[0 if starts else 1]


def _transposed(inner: sp.Expr) -> str:
    match inner:
        case sp.S.Zero:
            return "the transpose of 0 is 0"
        case sp.Add() | Total():
            return "transpose of a sum"
        case Ordered():
            return "transpose of a power"
        case sp.Mul():
            return "transpose of a product"
        case Transpose():
            return "transposed twice"
    return "transpose of the identity"


_BACKWARDS = {
    "split off the last term of the sum": "put the last term back under the sum",
    "split off the first term of the sum": "put the first term back under the sum",
    "peel the newest factor off the product": "put the newest factor back into the product",
    "peel the oldest factor off the product": "put the oldest factor back into the product",
    "a product of one factor": "one factor is a product",
    "the sum of a sum": "two sums with the same limits are one",
    "take the factor out of the sum": "put the factor under the sum",
    "an empty product is the identity": "the identity is an empty product",
    "the power 0 is 1": "the power 0 is 1",
    "an empty sum is 0": "0 is an empty sum",
}


def _backwards(inner: Theorem, names: Names, known: tuple[Statement, ...]) -> str:
    text = reason(inner, names, known)
    return "; ".join(_BACKWARDS.get(part, part) for part in reversed(text.split("; ")))
