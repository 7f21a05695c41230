"""What an equation computes, as one NumPy expression in a ``Scope``."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from bptt_verify.codegen.calls import expression
from bptt_verify.codegen.products import Operand, einsum, matrix_product
from bptt_verify.codegen.scope import Scope
from bptt_verify.codegen.storage import Store
from bptt_verify.program import (
    TIME,
    Contract,
    Equation,
    Pack,
    Peak,
    Pointwise,
    Program,
    Ref,
    Select,
    size_symbol,
    symbol,
)

Labels = tuple[str, ...]


def value(e: Equation, scope: Scope) -> str:
    """The right-hand side of an equation."""
    match e:
        case Pointwise():
            return expression(e.expr, *operand_codes(e, scope))
        case Contract():
            return _contraction(e, scope)
        case Peak():
            operand = scope.read(e.operands[0])
            return f"{operand.code}.real.max({_axes(operand.labels, scope.own(e.labels))})"
        case Pack():  # of parameters; series are packed in place
            return f"np.stack(({', '.join(scope.read(r).code for r in e.operands)}))"
        case Select():
            place = Store("slot", e.operands[0].name, e.low, e.high, e.axis)
            return scope.slot(place, Ref(e.name, e.labels))


def _axes(labels: Labels, kept: Labels) -> str:
    axes = [i for i, x in enumerate(labels) if x not in kept]
    return f"axis={axes[0] if len(axes) == 1 else tuple(axes)}"


def operand_codes(e: Pointwise, scope: Scope) -> tuple[dict[sp.Symbol, str], dict[sp.Symbol, int]]:
    """The code of each symbol of a pointwise equation, and the author's order of the symbols."""
    names = {symbol(r): aligned(scope.read(r), scope.own(e.labels)) for r in e.operands}
    sizes = {s: s.name.strip("|") for s in e.expr.free_symbols if s not in names}
    names |= {s: scope.size(word) for s, word in sizes.items() if s == size_symbol(word)}
    return names, {symbol(r): i for i, r in enumerate(e.operands)}


def aligned(operand: Operand, out: tuple[str, ...]) -> str:
    """The operand with its axes in the order of ``out``, new axes where it is broadcast from the left."""
    order = [operand.labels.index(x) for x in out if x in operand.labels]
    code = operand.code
    if order != sorted(order):
        code = f"{code}.transpose({', '.join(map(str, order))})"
    have = [x in operand.labels for x in out]
    while have and not have[0]:  # NumPy adds leading axes by itself
        have.pop(0)
    if all(have):
        return code
    return f"{code}[{', '.join(':' if h else 'None' for h in have)}]"


def needs_rows(program: Program, size: Callable[[str], str]) -> set[str]:
    """Class arrays that some equation needs as one-hot rows, not only to look up or scatter."""
    names = {a.name for a in program.arrays if a.index}

    def plain(r: Ref) -> Operand:
        return Operand(r.name, r.labels)

    return {
        r.name
        for e in program.equations
        for r in e.operands
        if r.name in names and not (isinstance(e, Contract) and one_hot(e, program, plain, size) is not None)
    }


def one_hot(
    e: Contract, program: Program, read: Callable[[Ref], Operand], size: Callable[[str], str]
) -> str | None:
    """A contraction with a class array as a look-up or a scatter; None where it is neither."""
    index = [r for r in e.operands if r.name in program.array and program.array[r.name].index]
    if len(index) != 1 or len(e.operands) != 2:
        return None
    (x,) = index
    other = next(r for r in e.operands if r is not x)
    classes, o = x.labels[-1], read(other)
    if TIME not in other.labels and len(other.labels) == 2 and classes in other.labels:
        table = f"{o.code}.T" if other.labels[1] == classes else o.code
        return f"{table}[{x.name}]" if e.labels[:2] == x.labels[:2] else None
    if other.labels == x.labels and e.labels == x.labels[:2]:
        return f"np.take_along_axis({o.code}, {x.name}[..., None], axis=-1)[..., 0]"
    if TIME not in e.labels and len(e.labels) == 2 and other.labels[:2] == x.labels[:2]:
        rows = f"_scatter({x.name}, {o.code}, {size(classes)})"
        return rows if e.labels[0] == classes else f"{rows}.T"
    return None


def _contraction(e: Contract, scope: Scope) -> str:
    if not scope.row and (text := one_hot(e, scope.program, scope.read, scope.size)) is not None:
        return text
    operands, out = [scope.read(r) for r in e.operands], scope.own(e.labels)
    if len(operands) == 1:
        return _reduction(operands[0], out)
    a, b = operands
    product = matrix_product(a, b, out, scope.size)
    if product is None:
        return f"np.sum({a.code} * {b.code})" if not out and a.labels == b.labels else einsum(operands, out)
    text = f"{product.left} @ {product.right}"
    return f"({text}).reshape({', '.join(map(scope.size, out))})" if product.reshaped else text


def _reduction(operand: Operand, out: Labels) -> str:
    kept = tuple(x for x in operand.labels if x in out)
    if kept != out or kept == operand.labels:
        return einsum([operand], out)
    return f"{operand.code}.sum({_axes(operand.labels, out)})"
