"""A tree printed back as text, with every bracket and every limit written."""

from __future__ import annotations

from collections.abc import Sequence

from bptt_verify.notation.spellings import GREEK
from bptt_verify.notation.tree import (
    Add,
    Arrangement,
    Call,
    Derivative,
    Equation,
    Hadamard,
    Letter,
    Number,
    OrderedProduct,
    Outer,
    Power,
    Product,
    Quotient,
    Sum,
    Transpose,
    Tree,
)

_ATOMS = (Number, Letter, Call, Derivative, Arrangement)


def written(tree: Tree | Equation) -> str:
    """Plain text for a tree, for example ``Σ_{t=1}^{T} (∂L/∂h_t (h_{t-1})ᵀ)``."""
    match tree:
        case Equation(sides=sides):
            return " = ".join(map(written, sides))
        case Number(value=value):
            return str(value)
        case Letter():
            return _letter(tree)
        case Add(terms=terms):
            return _sum(terms)
        case Product(factors=factors):
            return _product(factors)
        case Hadamard(factors=factors):
            return " ⊙ ".join(map(_inner, factors))
        case Outer(left=left, right=right):
            return f"{_inner(left)} ⊗ {_inner(right)}"
        case Quotient(top=top, bottom=bottom):
            return f"{_inner(top)} / {_inner(bottom)}"
        case Power(base=base, exponent=exponent):
            return f"{_inner(base)}^{{{written(exponent)}}}"
        case Transpose(body=body):
            return f"{_inner(body)}ᵀ"
        case Sum():
            return (
                f"Σ_{{{tree.variable}={written(tree.low)}}}^{{{written(tree.high)}}} ({written(tree.body)})"
            )
        case OrderedProduct():
            return _ordered(tree)
        case Call(function=name, arguments=arguments, primes=primes):
            return f"{GREEK.get(name, name)}{chr(39) * primes}({', '.join(map(written, arguments))})"
        case Derivative(top=top, bottom=bottom, direct=direct):
            return f"∂{'⁺' * direct}{written(top)}/∂{written(bottom)}"
        case Arrangement(factors=factors):
            return f"prod({', '.join(map(written, factors))})"


def _letter(tree: Letter) -> str:
    name = GREEK.get(tree.name, tree.name)
    if tree.index is None:
        return name
    step = written(tree.index).replace(" ", "")
    if tree.component is not None:
        return f"{name}_{{{step},{written(tree.component)}}}"
    if tree.role == "param":
        return f"{name}^({step})"
    return f"{name}_{step}" if len(step) == 1 else f"{name}_{{{step}}}"


def _inner(tree: Tree) -> str:
    text = written(tree)
    plain = isinstance(tree, _ATOMS) and not (isinstance(tree, Derivative) or text.startswith("-"))
    return text if plain else f"({text})"


def _sum(terms: Sequence[Tree]) -> str:
    text = written(terms[0])
    for t in terms[1:]:
        one = written(t)
        text += f" - {one[1:]}" if one.startswith("-") else f" + {one}"
    return text


def _product(factors: Sequence[Tree]) -> str:
    first, *rest = factors
    if isinstance(first, Number) and first.value == -1 and rest:
        return "-" + " ".join(map(_inner, rest))
    return " ".join(map(_inner, factors))


def _ordered(tree: OrderedProduct) -> str:
    first, last = written(tree.first), written(tree.last)
    arrow = "then … to" if tree.written else "to"
    return f"∏_{{{tree.variable}={first} {arrow} {last}}} ({written(tree.body)})"
