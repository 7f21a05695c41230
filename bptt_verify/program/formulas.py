"""Equations as a person writes them, in a notation: plain text here, LaTeX in ``render``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sympy as sp

from bptt_verify.program.nodes import (
    BATCH,
    TIME,
    Contract,
    Equation,
    Labels,
    Pack,
    Peak,
    Pointwise,
    Ref,
    Select,
    symbol,
)
from bptt_verify.program.spelling import Style, decimal, spell

_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
Replaced = Mapping[str, str]  # names whose own formula is written in their place


@dataclass(frozen=True)
class Notation:
    """How formulas look.

    Attributes
    ----------
    ref : callable
        An array at a step: ``h_{t-1}``.
    call, number, power, root, fraction, over
        As in ``Style``.
    transpose : str
    sigma : callable
        The sign of a sum over the given indices, with its space.
    hadamard, juxtapose : str
        Between two arrays that are multiplied elementwise; between other factors.
    """

    ref: Callable[[Ref], str]
    call: Callable[[str, list[str]], str]
    number: Callable[[sp.Expr], str]
    power: Callable[[str, str], str]
    root: Callable[[str], str]
    fraction: Callable[[str, str], str] | None
    over: str
    transpose: str
    sigma: Callable[[str], str]
    hadamard: str
    juxtapose: str


def spelled(ref: Ref) -> str:
    """A Ref in plain text: ``h_{t-1}``, ``W_hh``."""
    if TIME not in ref.labels:
        return ref.name
    return ref.name + {0: "_t", -1: "_{t-1}", 1: "_{t+1}"}[ref.shift]


def _power(base: str, exponent: str) -> str:
    plain = exponent.lstrip("-").isdigit()
    return base + exponent.translate(_SUPERSCRIPT) if plain else f"{base}^({exponent})"


TEXT = Notation(
    ref=spelled,
    call=lambda f, args: f"{f}({', '.join(args)})",
    number=lambda n: f"{float(n):.12g}" if decimal(n) else str(n),
    power=_power,
    root=lambda u: f"√({u})",
    fraction=None,
    over="/",
    transpose="ᵀ",
    sigma=lambda over: f"Σ_{over} " if len(over) == 1 else f"Σ_{{{over}}} ",
    hadamard=" ⊙ ",
    juxtapose=" ",
)


def formula(e: Equation, notation: Notation = TEXT, replaced: Replaced | None = None) -> str:
    """One equation, for example ``h_bar_t = W_hhᵀ a_bar_{t+1}``.

    Parameters
    ----------
    e : Equation
    notation : Notation
    replaced : mapping, optional
        For some operands (by name), the text to write in their place.
    """
    return f"{notation.ref(Ref(e.name, e.labels))} = {right_side(e, notation, replaced or {})}"


def right_side(e: Equation, notation: Notation, replaced: Replaced) -> str:
    """What the equation computes."""
    match e:
        case Contract():
            return _contraction(e, notation)
        case Pointwise():
            return _pointwise(e, notation, replaced)
        case Peak():
            return f"max {notation.ref(e.operands[0])}"
        case Pack():
            return f"({', '.join(map(notation.ref, e.operands))})"
        case Select():
            span = e.low if e.high == e.low + 1 else f"{e.low}:{e.high}"
            return f"{notation.ref(e.operands[0])}[{span}]"


def _pointwise(e: Pointwise, notation: Notation, replaced: Replaced) -> str:
    own = _sizes(e.labels)
    turned = own[::-1] if len(own) == 2 else None
    names: dict[sp.Expr, str] = {}
    for r in e.operands:
        text = notation.ref(r) + (notation.transpose if _sizes(r.labels) == turned else "")
        if r.name in replaced and not r.shift:
            text = replaced[r.name] if _only_summed(e.expr, symbol(r)) else f"({replaced[r.name]})"
        names[symbol(r)] = text
    arrays = {symbol(r) for r in e.operands if _sizes(r.labels)}

    def times(left: sp.Expr, right: sp.Expr) -> str:
        both = left.free_symbols & arrays and right.free_symbols & arrays
        return notation.hadamard if both else notation.juxtapose

    style = Style(
        name=lambda s: names.get(s, s.name.strip("|")),
        call=notation.call,
        times=times,
        number=notation.number,
        over=notation.over,
        fraction=notation.fraction,
        power=notation.power,
        root=notation.root,
        choice=_choice,
    )
    return spell(e.expr, style, {symbol(r): i for i, r in enumerate(e.operands)})


def _only_summed(expr: sp.Expr, s: sp.Symbol) -> bool:
    """Whether a symbol stands alone or as a term of a sum, so that a product may be written for it."""
    return not any(s in part.args and not part.is_Add for part in sp.preorder_traversal(expr))


def _choice(expr: sp.Piecewise, write: Callable[[sp.Expr], str]) -> str:
    *branches, (last, _) = expr.args
    return (
        "{"
        + ", ".join([*(f"{write(u)} if {_truth(c, write)}" for u, c in branches), f"else {write(last)}"])
        + "}"
    )


def _truth(c: sp.Basic, write: Callable[[sp.Expr], str]) -> str:
    if isinstance(c, sp.And | sp.Or):
        return (" and " if isinstance(c, sp.And) else " or ").join(sorted(_truth(a, write) for a in c.args))
    if isinstance(c, sp.Not):
        return f"not {_truth(c.args[0], write)}"
    return f"{write(c.lhs)} {c.rel_op} {write(c.rhs)}"


def _sizes(labels: Labels) -> Labels:
    return tuple(x for x in labels if x not in (TIME, BATCH))


def _contraction(e: Contract, notation: Notation) -> str:
    summed = {x for r in e.operands for x in r.labels} - set(e.labels)
    over = ",".join(letter for x, letter in ((TIME, "t"), (BATCH, "b")) if x in summed)
    front = notation.sigma(over) if over else ""
    return front + (_matrix(e, notation) or _indices(e, summed, notation))


def _matrix(e: Contract, notation: Notation) -> str | None:
    """The sizes part as a matrix expression, or None where it has none."""
    out, turn = _sizes(e.labels), notation.transpose
    if len(e.operands) == 1:
        return notation.ref(e.operands[0]) if _sizes(e.operands[0].labels) == out else None
    a, b = sorted(e.operands, key=lambda r: -len(_sizes(r.labels)))
    i, j = _sizes(a.labels), _sizes(b.labels)
    left, right = notation.ref(a), notation.ref(b)
    if len(i) == 2 and len(j) == 1 and len(out) == 1 and j[0] in i and out[0] in i and out[0] != j[0]:
        return f"{left}{'' if i == (out[0], j[0]) else turn} {right}"
    if len(i) == len(j) == 1 and len(out) == 2 and {i[0], j[0]} == set(out):
        return f"{left} {right}{turn}" if (i[0], j[0]) == out else f"{right} {left}{turn}"
    if len(i) == len(j) == 1 and out == () and i == j:
        return f"{left}{turn} {right}"
    return None


def _indices(e: Contract, summed: set[str], notation: Notation) -> str:
    sizes = sorted(_sizes(tuple(summed)))
    front = notation.sigma(",".join(sizes)) if sizes else ""
    return front + " ".join(indexed(r, notation) for r in e.operands)


def indexed(r: Ref, notation: Notation = TEXT) -> str:
    """An array with its indices: ``W_hh[n,n']``."""
    sizes = _sizes(r.labels)
    return f"{notation.ref(r)}[{','.join(sizes)}]" if sizes else notation.ref(r)
