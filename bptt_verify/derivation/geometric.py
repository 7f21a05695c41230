"""Functions of bounds: geometric sums that are right at ratio 1, sums of powers of a matrix, suprema.

They are SymPy functions, so that a bound can be printed, taken apart and evaluated: each takes its value as
soon as all its arguments are numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.derivation.enclosures import enclosure, magnitude

Array = np.ndarray[Any, Any]
LARGEST = 10**6  # steps of a sum of matrix powers


class _Numeric(sp.Function):  # type: ignore[misc]  # SymPy has no types
    """A function that takes its value when all arguments are numbers."""

    @classmethod
    def eval(cls, *args: sp.Expr) -> sp.Expr | None:
        """The value, if there is one."""
        return cls.number(*args)

    @classmethod
    def number(cls, *args: sp.Expr) -> sp.Expr | None:
        """The value of arguments that are all numbers."""
        if all(a.is_number or a.is_infinite for a in args):
            return sp.Float(NUMBERS[cls](*map(float, args))) if sp.nan not in args else sp.nan
        return None


class geometric(_Numeric):
    """``geometric(ρ, T) = Σ_{k=0}^{T-1} ρ^k``, for ρ ≥ 0."""

    nargs = 2

    @classmethod
    def eval(cls, ratio: sp.Expr, steps: sp.Expr) -> sp.Expr | None:
        """The value, if there is one; T where the ratio is 1."""
        return steps if ratio == 1 else cls.number(ratio, steps)

    def _eval_rewrite_as_Piecewise(self, ratio: sp.Expr, steps: sp.Expr, **_: Any) -> sp.Expr:
        return sp.Piecewise((steps, sp.Eq(ratio, 1)), ((1 - ratio**steps) / (1 - ratio), True))

    def doit(self, **hints: Any) -> sp.Expr:
        """The closed form by cases."""
        return self.rewrite(sp.Piecewise)

    def _latex(self, printer: Any, **_: Any) -> str:
        ratio, last = map(printer._print, (self.args[0], self.args[1] - 1))
        return rf"\sum_{{k=0}}^{{{last}}} \left({ratio}\right)^{{k}}"


class geometric_total(_Numeric):
    """``geometric_total(ρ, T) = Σ_{t=1}^{T} geometric(ρ, t)``."""

    nargs = 2

    @classmethod
    def eval(cls, ratio: sp.Expr, steps: sp.Expr) -> sp.Expr | None:
        """The value, if there is one; T (T + 1) / 2 where the ratio is 1."""
        return steps * (steps + 1) / 2 if ratio == 1 else cls.number(ratio, steps)

    def _eval_rewrite_as_Piecewise(self, ratio: sp.Expr, steps: sp.Expr, **_: Any) -> sp.Expr:
        inner = (1 - ratio**steps) / (1 - ratio)
        return sp.Piecewise(
            (steps * (steps + 1) / 2, sp.Eq(ratio, 1)), ((steps - ratio * inner) / (1 - ratio), True)
        )

    def doit(self, **hints: Any) -> sp.Expr:
        """The closed form by cases."""
        return self.rewrite(sp.Piecewise)

    def _latex(self, printer: Any, **_: Any) -> str:
        ratio, steps = map(printer._print, self.args)
        return rf"\sum_{{t=1}}^{{{steps}}} \sum_{{k=0}}^{{t - 1}} \left({ratio}\right)^{{k}}"


class power_peak(_Numeric):
    """``power_peak(ρ, T) = max(1, ρ^T)``, the largest of the powers 0 … T."""

    nargs = 2

    @classmethod
    def eval(cls, ratio: sp.Expr, steps: sp.Expr) -> sp.Expr | None:
        """The value, if there is one; 1 where the ratio is 1."""
        return sp.Integer(1) if ratio == 1 else cls.number(ratio, steps)

    def _latex(self, printer: Any, **_: Any) -> str:
        ratio, steps = map(printer._print, self.args)
        return rf"\max\left(1, \left({ratio}\right)^{{{steps}}}\right)"


class _Paths(_Numeric):
    """A function of a square matrix of gains: arguments i, j, T and the entries row by row."""

    sign = ""
    before = 0  # how many steps before T the printed sum ends

    def _latex(self, printer: Any, **_: Any) -> str:
        (i, j, steps), entries = self.args[:3], list(map(printer._print, self.args[3:]))
        last = printer._print(steps - self.before)
        size = round(len(entries) ** 0.5)
        rows = [r" & ".join(entries[k * size : (k + 1) * size]) for k in range(size)]
        matrix = r"\begin{pmatrix}" + r" \\ ".join(rows) + r"\end{pmatrix}"
        return rf"\left[{self.sign % last} {{{matrix}}}^{{k}}\right]_{{{int(i) + 1}{int(j) + 1}}}"


class path_sum(_Paths):
    """``(Σ_{k=0}^{T-1} G^k)_{ij}`` for a matrix of nonnegative gains."""

    sign, before = r"\sum_{k=0}^{%s}", 1


class path_total(_Paths):
    """``(Σ_{t=1}^{T} Σ_{k=0}^{t-1} G^k)_{ij}``."""

    sign = r"\sum_{t=1}^{%s} \sum_{k=0}^{t - 1}"


class path_peak(_Paths):
    """``max_{0 ≤ k ≤ T} (G^k)_{ij}``."""

    sign = r"\max_{0 \le k \le %s}"


class lesser(_Numeric):
    """The smaller of two bounds."""

    nargs = 2

    def _latex(self, printer: Any, **_: Any) -> str:
        return rf"\min\left({', '.join(map(printer._print, self.args))}\right)"


class greater(_Numeric):
    """The larger of two bounds."""

    nargs = 2

    def _latex(self, printer: Any, **_: Any) -> str:
        return rf"\max\left({', '.join(map(printer._print, self.args))}\right)"


class supremum(sp.Function):  # type: ignore[misc]
    """``supremum(Lambda((u, …), e), low_u, high_u, …)``: a bound of |e| on a box, by interval arithmetic."""

    @classmethod
    def eval(cls, function: sp.Lambda, *ends: sp.Expr) -> sp.Expr | None:
        """The value, if all ends are numbers."""
        if all(a.is_number or a.is_infinite for a in ends):
            return sp.Float(supremum_on(function, *map(float, ends)))
        return None

    def _latex(self, printer: Any, **_: Any) -> str:
        function, *ends = self.args
        names = sp.symbols(f"u_1:{len(function.variables) + 1}", real=True)
        inner = printer._print(function.expr.xreplace(dict(zip(function.variables, names, strict=True))))
        parts = [
            rf"{printer._print(lo)} \le {u} \le {printer._print(hi)}"
            for u, lo, hi in zip(names, ends[::2], ends[1::2], strict=True)
        ]
        return rf"\sup_{{{', '.join(parts)}}} \left|{inner}\right|"


def supremum_on(function: sp.Lambda, *ends: float) -> float:
    """The largest absolute value on a box, or a bound of it; inf where there is none."""
    boxes = dict(zip(function.variables, zip(ends[::2], ends[1::2], strict=True), strict=True))
    found = float(magnitude(enclosure(function.expr, boxes)))
    return float("inf") if np.isnan(found) else found


def _geometric(ratio: float, steps: float) -> float:
    """By doubling: Σ_{k<2m} ρ^k = (1 + ρ^m) Σ_{k<m} ρ^k. No terms cancel."""
    if not np.isfinite(ratio):
        return ratio
    total, power = 0.0, 1.0  # Σ_{k<m} ρ^k and ρ^m for m = 0
    for bit in f"{int(steps):b}":
        total, power = total * (1 + power), power * power
        if bit == "1":
            total, power = 1 + ratio * total, power * ratio
    return total


def _geometric_total(ratio: float, steps: float) -> float:
    found = _paths(int(steps), (ratio,), "total")
    return float(found[0, 0])


def _path(kind: str) -> Callable[..., float]:
    def value(i: float, j: float, steps: float, *entries: float) -> float:
        return float(_paths(int(steps), tuple(entries), kind)[int(i), int(j)])

    return value


@lru_cache(maxsize=256)
def _paths(steps: int, entries: tuple[float, ...], kind: str) -> Array:
    """Sums of powers of a nonnegative matrix; an infinite gain that meets 0 gives 0."""
    size = round(len(entries) ** 0.5)
    gains = np.reshape(entries, (size, size))
    if not np.isfinite(gains).all():
        return np.full((size, size), np.inf)
    return _peaks(gains, steps) if kind == "peak" else _sums(gains, steps)[kind == "total"]


def _sums(gains: Array, steps: int) -> tuple[Array, Array]:
    """Σ_{k<T} G^k and Σ_{t≤T} Σ_{k<t} G^k, the second by one block power: both from powers by doubling."""
    n = len(gains)
    one, none = np.eye(n), np.zeros((n, n))
    # z_t = (power, sum, total): sum_{t+1} = I + G sum_t, total_{t+1} = total_t + sum_{t+1}
    block = np.block([[one, none, none], [one, gains, none], [one, gains, one]])
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.linalg.matrix_power(block, steps)
    found = np.where(np.isnan(found), np.inf, found)
    return found[n : 2 * n, :n], found[2 * n :, :n]


def _peaks(gains: Array, steps: int) -> Array:
    power = largest = np.eye(len(gains))
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(min(steps, LARGEST)):
            power = np.where(np.isnan(power @ gains), np.inf, power @ gains)
            largest = np.maximum(largest, power)
    return largest


NUMBERS: dict[type, Callable[..., float]] = {
    geometric: _geometric,
    geometric_total: _geometric_total,
    power_peak: lambda ratio, steps: max(1.0, float(np.float64(ratio) ** steps)),
    path_sum: _path("sum"),
    path_total: _path("total"),
    path_peak: _path("peak"),
    lesser: min,
    greater: max,
}
"""What each function means, on floats."""
