"""Derivatives without any rule of differentiation: difference quotients in very long arithmetic.

With a step of 10^-60 at 130 digits a one-sided quotient is right to some 55 digits, and it needs the
forward equations only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bptt_verify.oracle.opaque import GUARD, context, meanings, to_number
from bptt_verify.oracle.points import Point, blocks
from bptt_verify.program import Program, evaluate


class Numbers:
    """A Program on numbers of many digits, at one point.

    Parameters
    ----------
    point : mapping of str to float64 or integer array
    digits : int
        How many digits the derivatives shall have.
    """

    def __init__(self, point: Point, digits: int) -> None:
        self.step_digits = digits + GUARD
        self.arithmetic = context(2 * self.step_digits + GUARD)
        self.functions = {k: np.frompyfunc(f, 1, 1) for k, f in meanings(self.arithmetic).items()}
        self.arrays = {n: self._long(v) for n, v in point.items()}

    def _long(self, value: Any) -> Any:
        if value.dtype.kind == "i":
            return value
        return np.asarray(np.frompyfunc(lambda v: self.arithmetic.mpf(float(v)), 1, 1)(value), dtype=object)

    def values(self, program: Program, arrays: Any = None) -> dict[str, Any]:
        """Every value of the program."""
        given = self.arrays if arrays is None else arrays
        number = lambda c: to_number(self.arithmetic, c)  # noqa: E731
        return evaluate(program, given, functions=self.functions, number=number)

    def loss(self, forward: Program, arrays: Any = None) -> Any:
        """The total loss."""
        return np.asarray(self.values(forward, arrays)[dict(forward.results)["loss"]]).item()

    def usable(self, forward: Program) -> bool:
        """Whether the loss is a finite real number here (a logarithm of a negative number is not)."""
        try:
            loss = self.loss(forward)
        except (ArithmeticError, TypeError):  # a comparison of complex numbers is a TypeError
            return False
        return bool(loss.imag == 0 and self.arithmetic.isfinite(loss))

    def gradient(self, forward: Program) -> dict[str, Any]:
        """The derivative of the loss by every entry of every block."""
        base = self.loss(forward)
        return {name: self._block(forward, name, base) for name in blocks(forward)}

    def _block(self, forward: Program, name: str, base: Any) -> Any:
        step = self.arithmetic.mpf(10) ** -self.step_digits
        result = np.empty(self.arrays[name].shape, dtype=object)
        for index in np.ndindex(result.shape):
            moved = self.arrays[name].copy()
            moved[index] = moved[index] + step
            result[index] = (self.loss(forward, {**self.arrays, name: moved}) - base) / step
        return result
