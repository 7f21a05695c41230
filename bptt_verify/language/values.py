"""Traced values: each operator makes a node and checks sizes; nothing is computed.

A Value knows its sizes only. Names come later, from the author's own variables (``tracing``).
"""

from __future__ import annotations

import itertools
import math
import numbers
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.errors import RecurrenceError, SizeError
from bptt_verify.language.declarations import Sizes
from bptt_verify.language.tracing import describe, here

_SERIAL = itertools.count()


class Value:
    """A node of the trace: what it is made of, and its sizes.

    Attributes
    ----------
    kind : str
        ``"leaf"``, ``"pointwise"``, ``"matmul"``, ``"sum"``, ``"peak"`` or ``"transpose"``.
    args : tuple of Value or number
    sizes : tuple of str
        Size words, newest axis last; ``()`` for a scalar.
    build : callable or None
        For a pointwise node: SymPy arguments to SymPy expression.
    hint : str
        The name to use where the author gave none (``"onehot"`` marks a class leaf).
    name : str
        For a pointwise node, the word for the operation.
    serial : int
        Its place in the order in which the author's function made its values.
    """

    __slots__ = ("args", "build", "dynamic", "hint", "kind", "name", "serial", "sizes")
    __hash__ = object.__hash__

    def __init__(
        self,
        kind: str,
        args: tuple[Any, ...],
        sizes: Sizes,
        build: Callable[..., sp.Expr] | None = None,
        hint: str = "",
        dynamic: bool = False,
        name: str = "part",
    ) -> None:
        self.kind, self.args, self.sizes, self.build, self.hint = kind, args, sizes, build, hint
        self.name, self.serial = name, next(_SERIAL)
        self.dynamic: bool = dynamic or any(a.dynamic for a in args if isinstance(a, Value))

    def __add__(self, other: Any) -> Value:
        return elementwise("add", lambda a, b: a + b, self, other)

    def __radd__(self, other: Any) -> Value:
        return elementwise("add", lambda a, b: a + b, other, self)

    def __sub__(self, other: Any) -> Value:
        return elementwise("subtract", lambda a, b: a - b, self, other)

    def __rsub__(self, other: Any) -> Value:
        return elementwise("subtract", lambda a, b: a - b, other, self)

    def __mul__(self, other: Any) -> Value:
        return elementwise("multiply", lambda a, b: a * b, self, other)

    def __rmul__(self, other: Any) -> Value:
        return elementwise("multiply", lambda a, b: a * b, other, self)

    def __truediv__(self, other: Any) -> Value:
        return elementwise("divide", lambda a, b: a / b, self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return elementwise("divide", lambda a, b: a / b, other, self)

    def __pow__(self, other: Any) -> Value:
        return elementwise("raise", lambda a, b: a**b, self, other)

    def __rpow__(self, other: Any) -> Value:
        return elementwise("raise", lambda a, b: a**b, other, self)

    def __neg__(self) -> Value:
        return elementwise("negate", lambda a: -a, self)

    def __pos__(self) -> Value:
        return self

    def __abs__(self) -> Value:
        return elementwise("take the absolute value of", sp.Abs, self)

    def __matmul__(self, other: Any) -> Value:
        return matmul(self, other)

    def __rmatmul__(self, other: Any) -> Value:
        return matmul(other, self)

    @property
    def T(self) -> Value:
        """The transpose of a matrix."""
        if len(self.sizes) != 2:
            raise SizeError(
                f"{here()}: .T of {describe(self)}; expected a matrix. A vector needs no transpose."
            )
        if self.kind == "transpose":
            return self.args[0]  # type: ignore[no-any-return]
        return Value("transpose", (self,), self.sizes[::-1])

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        operator = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**"}.get(
            ufunc.__name__
        )
        if operator and not kwargs and all(isinstance(a, Value) or np.ndim(a) == 0 for a in inputs):
            a, b = (x if isinstance(x, Value) else x.item() for x in inputs)
            return {
                "+": lambda: a + b,
                "-": lambda: a - b,
                "*": lambda: a * b,
                "/": lambda: a / b,
                "**": lambda: a**b,
            }[operator]()
        raise RecurrenceError(
            f"{here()}: numpy.{ufunc.__name__} on a traced value; expected the functions of this library "
            f"(bptt_verify.{ufunc.__name__}, or pointwise), and a Param in place of a NumPy array."
        )

    def __bool__(self) -> bool:
        raise RecurrenceError(
            f"{here()}: the truth of {describe(self)} is asked for (if, while, and, or), but it has no "
            "number yet. "
            "Write the choice as a function: pointwise(lambda u: sympy.Piecewise(...)), relu, or a 0/1 input."
        )

    def _compare(self, other: Any) -> Any:
        raise RecurrenceError(
            f"{here()}: {describe(self)} is compared with {describe(other)}, but it has no number yet. "
            "Write the choice as a function: pointwise(lambda u: sympy.Piecewise(...)), relu, or a 0/1 input."
        )

    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _compare

    def __getitem__(self, key: Any) -> Any:
        raise RecurrenceError(
            f"{here()}: indexing {describe(self)} with {key!r} is not part of the language. "
            "Declare the parts as arguments of their own, or pick them with a Param matrix."
        )

    def __iter__(self) -> Any:
        return self[...]

    def __len__(self) -> int:
        raise RecurrenceError(
            f"{here()}: len of {describe(self)} is asked for, but sizes are words until arrays come. "
            "Use mean for a sum divided by its number of terms."
        )

    def __float__(self) -> float:
        raise RecurrenceError(
            f"{here()}: {describe(self)} is turned into a number, but it has none yet. Use the functions "
            "of this "
            "library in place of those of math or SymPy; pointwise(sympy.erf) makes one from a SymPy "
            "function."
        )

    __int__ = __index__ = __complex__ = __round__ = __float__

    def _foreign(self, *args: Any, **kwargs: Any) -> Any:
        raise RecurrenceError(
            f"{here()}: NumPy, or an operator that the language does not have, is used on {describe(self)}; "
            "expected + - * / ** @ .T and the functions of this library (sum, dot, tanh, pointwise, ...)."
        )

    __array__ = __array_function__ = __setitem__ = __delitem__ = __contains__ = _foreign
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __divmod__ = __rdivmod__ = _foreign
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __invert__ = _foreign
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = __call__ = _foreign

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise RecurrenceError(
            f"{here()}: {describe(self)} has no .{name}; expected + - * / ** @ .T and the functions of this "
            f"library (for example sum(v) in place of v.sum())."
        )

    def __repr__(self) -> str:
        return describe(self)


def elementwise(
    verb: str, build: Callable[..., sp.Expr], *args: Any, hint: str = "", name: str = "part"
) -> Value:
    """A pointwise node; equal sizes, or scalars, which broadcast."""
    for a in args:
        if not isinstance(a, Value) and not _is_number(a):
            raise RecurrenceError(
                f"{here()}: cannot {verb} {type(a).__name__} {a!r:.60}; expected a traced value or a "
                "finite real "
                "number. Declare arrays as arguments (Param, Input)."
            )
    shapes = {a.sizes for a in args if isinstance(a, Value)} - {()}
    if len(shapes) > 1:
        listed = " and ".join(describe(a) for a in args)
        raise SizeError(
            f"{here()}: cannot {verb} {listed}; expected equal sizes, or a scalar.{_suggestion(args)}"
        )
    return Value("pointwise", args, shapes.pop() if shapes else (), build, hint, name=name)


def _suggestion(args: tuple[Any, ...]) -> str:
    matrices = [a for a in args if isinstance(a, Value) and len(a.sizes) == 2]
    vectors = [a for a in args if isinstance(a, Value) and len(a.sizes) == 1]
    if matrices and vectors and matrices[0].sizes[1] == vectors[0].sizes[0]:
        return " Is a matrix product meant (@)?"
    return ""


def _is_number(a: Any) -> bool:
    if isinstance(a, bool) or not isinstance(a, numbers.Real):
        return False
    try:
        return math.isfinite(float(a))
    except OverflowError:
        return False


def matmul(a: Any, b: Any) -> Value:
    """Matrix product with NumPy's meaning for vectors and matrices."""
    for v in (a, b):
        if not isinstance(v, Value) or not v.sizes:
            raise SizeError(
                f"{here()}: {describe(a)} @ {describe(b)}: {describe(v)} is not a vector or a matrix; "
                "expected one. Scale with *."
            )
    if a.sizes[-1] != b.sizes[0]:
        turned = " Is a transpose (.T) missing?" if _turns(a, b) else ""
        raise SizeError(
            f"{here()}: {describe(a)} @ {describe(b)}: inner sizes {a.sizes[-1]!r} and {b.sizes[0]!r} "
            "differ; "
            f"expected the same word.{turned}"
        )
    return Value("matmul", (a, b), (*a.sizes[:-1], *b.sizes[1:]))


def _turns(a: Value, b: Value) -> bool:
    return (len(a.sizes) == 2 and a.sizes[0] == b.sizes[0]) or (
        len(b.sizes) == 2 and a.sizes[-1] == b.sizes[1]
    )


def reachable(values: Iterable[Value | None]) -> list[Value]:
    """Everything that the values are made of, themselves included."""
    seen: dict[int, Value] = {}
    stack = [v for v in values if v is not None]
    while stack:
        v = stack.pop()
        if id(v) not in seen:
            seen[id(v)] = v
            stack.extend(a for a in v.args if isinstance(a, Value))
    return list(seen.values())


def count_uses(values: Iterable[Value | None]) -> Counter[int]:
    """How often each value, by its id, is an argument of another."""
    uses: Counter[int] = Counter()
    for v in reachable(values):
        uses.update(id(a) for a in v.args if isinstance(a, Value))
    return uses
