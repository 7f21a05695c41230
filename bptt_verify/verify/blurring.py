"""Slopes of saturating functions that are off by a few eps, as are those computed as ``1 - h**2``."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

SATURATING = (np.tanh, expit)


def blurred(exact: Any, argument: Any, eps: float, rng: np.random.Generator) -> Any:
    """A function's complex value, with an error of a few eps in the slope that its imaginary part carries."""
    return exact + 1j * np.imag(argument) * rng.uniform(-2 * eps, 2 * eps, size=np.shape(exact))


class Blurring(np.ndarray):
    """Complex arrays whose saturating functions are blurred, through whatever NumPy computes of them."""

    eps: float
    rng: np.random.Generator

    def __array_finalize__(self, source: Any) -> None:
        self.eps = getattr(source, "eps", 0.0)
        self.rng = getattr(source, "rng", np.random.default_rng(0))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **options: Any) -> Any:
        """Compute on plain arrays, blur what saturates, and go on with arrays of this kind."""
        if out:
            options["out"] = tuple(_plain(o) for o in out)
        made = getattr(ufunc, method)(*map(_plain, inputs), **options)
        if ufunc in SATURATING and method == "__call__" and np.iscomplexobj(made):
            made[...] = blurred(made, _plain(inputs[0]), self.eps, self.rng)
        if out:
            return out[0] if len(out) == 1 else out
        return tuple(map(self._own, made)) if isinstance(made, tuple) else self._own(made)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Functions that are no ufunc, einsum say, may return plain arrays."""
        made = super().__array_function__(func, types, args, kwargs)
        return self._own(made) if type(made) is np.ndarray else made

    def _own(self, made: Any) -> Any:
        return blurring(made, self.eps, self.rng) if isinstance(made, np.ndarray) else made


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Blurring) else value


def blurring(array: Any, eps: float, rng: np.random.Generator) -> Blurring:
    """An array of this kind; it shares its memory."""
    made = np.asarray(array).view(Blurring)
    made.eps, made.rng = eps, rng
    return made
