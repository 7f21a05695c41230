"""A Program as plain text: one formula per equation, and a digest that names the whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

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
    Program,
    Ref,
    Select,
    size_symbol,
    symbol,
)
from bptt_verify.program.spelling import Style, spell

_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def spelled(ref: Ref) -> str:
    """A Ref as it is written in a formula: ``h_{t-1}``, ``W_hh``."""
    if TIME not in ref.labels:
        return ref.name
    return ref.name + {0: "_t", -1: "_{t-1}", 1: "_{t+1}"}[ref.shift]


def formula(e: Equation) -> str:
    """One equation as a person writes it, for example ``h_bar_t = W_hhᵀ a_bar_{t+1}``."""
    left = spelled(Ref(e.name, e.labels))
    match e:
        case Contract():
            return f"{left} = {_contraction(e)}"
        case Pointwise():
            return f"{left} = {pointwise_text(e)}"
        case Peak():
            return f"{left} = max {spelled(e.operands[0])}"
        case Pack():
            return f"{left} = ({', '.join(map(spelled, e.operands))})"
        case Select():
            span = e.low if e.high == e.low + 1 else f"{e.low}:{e.high}"
            return f"{left} = {spelled(e.operands[0])}[{span}]"


def pointwise_text(e: Pointwise) -> str:
    """The right-hand side of a Pointwise equation."""
    own = _sizes(e.labels)
    turned = own[::-1] if len(own) == 2 else None
    names: dict[sp.Expr, str] = {
        symbol(r): spelled(r) + ("ᵀ" if _sizes(r.labels) == turned else "") for r in e.operands
    }
    rank = {symbol(r): i for i, r in enumerate(e.operands)}

    def power(base: str, exponent: str) -> str:
        plain = exponent.lstrip("-").isdigit()
        return base + exponent.translate(_SUPERSCRIPT) if plain else f"{base}^({exponent})"

    style = Style(
        name=lambda s: names.get(s, s.name.strip("|")),
        call=lambda f, args: f"{f}({', '.join(args)})",
        times=" ",
        number=lambda n: str(n) if n.is_Rational else f"{float(n):g}",
        over="/",
        fraction=None,
        power=power,
        root=lambda u: f"√({u})",
        choice=_choice,
    )
    return spell(e.expr, style, rank)


def _choice(expr: sp.Piecewise, write: Callable[[sp.Expr], str]) -> str:
    *branches, (last, _) = expr.args
    return "{" + ", ".join([*(f"{write(u)} if {_truth(c, write)}" for u, c in branches), f"else {write(last)}"]) + "}"


def _truth(c: sp.Basic, write: Callable[[sp.Expr], str]) -> str:
    if isinstance(c, sp.And | sp.Or):
        return (" and " if isinstance(c, sp.And) else " or ").join(sorted(_truth(a, write) for a in c.args))
    if isinstance(c, sp.Not):
        return f"not {_truth(c.args[0], write)}"
    return f"{write(c.lhs)} {c.rel_op} {write(c.rhs)}"


def _sizes(labels: Labels) -> Labels:
    return tuple(x for x in labels if x not in (TIME, BATCH))


def _contraction(e: Contract) -> str:
    summed = {x for r in e.operands for x in r.labels} - set(e.labels)
    over = [x for x in (TIME, BATCH) if x in summed]
    front = {(): "", (TIME,): "Σ_t ", (BATCH,): "Σ_b ", (TIME, BATCH): "Σ_{t,b} "}[tuple(over)]
    return front + (matrix_text(e) or _index_text(e, summed))


def matrix_text(e: Contract, transpose: str = "ᵀ", spelled_as=spelled) -> str | None:  # type: ignore[no-untyped-def]
    """The sizes part as a matrix expression, or None where it has none."""
    out = _sizes(e.labels)
    if len(e.operands) == 1:
        return spelled_as(e.operands[0]) if _sizes(e.operands[0].labels) == out else None
    a, b = sorted(e.operands, key=lambda r: -len(_sizes(r.labels)))
    i, j = _sizes(a.labels), _sizes(b.labels)
    left, right = spelled_as(a), spelled_as(b)
    if len(i) == 2 and len(j) == 1 and len(out) == 1 and j[0] in i and out[0] in i and out[0] != j[0]:
        return f"{left}{'' if i == (out[0], j[0]) else transpose} {right}"
    if len(i) == len(j) == 1 and len(out) == 2 and {i[0], j[0]} == set(out):
        return f"{left} {right}{transpose}" if (i[0], j[0]) == out else f"{right} {left}{transpose}"
    if len(i) == len(j) == 1 and out == () and i == j:
        return f"{left}{transpose} {right}"
    return None


def _index_text(e: Contract, summed: set[str]) -> str:
    sizes = sorted(_sizes(tuple(summed)))
    front = f"Σ_{{{','.join(sizes)}}} " if sizes else ""
    return front + " ".join(_indexed(r) for r in e.operands)


def _indexed(r: Ref) -> str:
    sizes = _sizes(r.labels)
    return f"{spelled(r)}[{','.join(sizes)}]" if sizes else spelled(r)


def listing(program: Program) -> str:
    """All of a program, one line per declaration and equation; equal programs have equal listings."""
    lines = [f"program {program.name}"]
    lines += [f"given {a.name} {a.role} [{', '.join(a.labels)}]{' one-hot' * a.index}" for a in program.arrays]
    lines += [f"carry {c.value} shift {c.shift:+d} from {c.boundary} to {c.end}" for c in program.carries]
    lines += [_line(e) for e in program.equations]
    lines += [f"result {public} = {name}" for public, name in program.results]
    return "\n".join(lines) + "\n"


def _line(e: Equation) -> str:
    operands = ", ".join(symbol(r).name for r in e.operands)
    detail = {Pointwise: lambda: sp.srepr(_canonical(e))}.get(type(e), lambda: "")()  # type: ignore[arg-type]
    if isinstance(e, Select | Pack):
        detail = f"axis {e.axis}" + (f" slots {e.low}:{e.high}" if isinstance(e, Select) else "")
    return f"{type(e).__name__} {e.name}[{', '.join(e.labels)}] of ({operands}) {detail}".rstrip()


def _canonical(e: Pointwise) -> sp.Expr:
    """The expression with short symbols ``u0, u1, …`` in operand order."""
    return e.expr.xreplace({symbol(r): sp.Symbol(f"u{i}", real=True) for i, r in enumerate(e.operands)})


def digest(program: Program) -> str:
    """SHA-256 of the listing."""
    return hashlib.sha256(listing(program).encode()).hexdigest()


__all__ = ["digest", "formula", "listing", "matrix_text", "pointwise_text", "size_symbol", "spelled"]
