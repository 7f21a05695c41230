"""``truncation_bias``: what a truncated gradient leaves out, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from bptt_verify.analysis.given import kernel_of, prepared
from bptt_verify.analysis.terms import Array, cotangents, lagged, norms, results_of
from bptt_verify.derivation import previous, state_products
from bptt_verify.errors import UsageError
from bptt_verify.estimators import Chunks, Full, Window, kept
from bptt_verify.language import Recurrence
from bptt_verify.program import Program

SHOWN = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)  # windows that are printed, and the last one


@dataclass(frozen=True, eq=False)
class TruncationBias:
    """The bias of a truncated gradient; ``str`` prints a table.

    Attributes
    ----------
    name : str
        Of the recurrence.
    estimator : Window, Chunks or Full
    bias : dict of str to array
        Truncated minus full gradient, for every parameter, real input and initial state: minus the dropped
        terms, summed from the terms themselves.
    relative : dict of str to float
        By block: the norm of the bias over that of the full gradient; 0 where both are 0.
    overall : float
        The same for all parameters together.
    curve : array (T,)
        The same for all parameters together and every window τ = 1 … T, at ``[τ - 1]``, whatever the
        estimator; the last one is 0.
    """

    name: str
    estimator: Full | Window | Chunks
    bias: dict[str, Array]
    relative: dict[str, float]
    overall: float
    curve: Array

    def smallest_tau(self, relative: float) -> int:
        """The smallest window from which on the relative bias of all parameters together stays small.

        A bias may fall and rise again where terms cancel: the window that is returned, and every larger
        one, has a relative bias of at most ``relative``.

        Parameters
        ----------
        relative : float
            At least 0; T always satisfies it.

        Raises
        ------
        UsageError
            If it is negative or not a number.
        """
        if isinstance(relative, bool) or not isinstance(relative, Real) or not relative >= 0:
            raise UsageError(f"smallest_tau: relative={relative!r:.60}; expected a number, at least 0.")
        larger = np.flatnonzero(~(self.curve <= relative))
        return int(larger[-1]) + 2 if larger.size else 1

    def __str__(self) -> str:
        return "\n".join(_table(self))


def truncation_bias(rec: Recurrence, tau: int | Full | Window | Chunks, /, **arrays: Any) -> TruncationBias:
    """The bias of a truncated gradient at given arrays: minus the terms that it leaves out (T5, T6).

    Computed in double precision by O(T²) products of vectors with J_t and A_t. No two gradients are
    subtracted, so that a tiny bias keeps its digits.

    Parameters
    ----------
    rec : Recurrence
    tau : int, Window, Chunks or Full
        The window; or an estimator without random gates.
    **arrays
        As for ``Kernel.loss_and_grad``, real.

    Returns
    -------
    TruncationBias

    Raises
    ------
    UsageError
        If ``rec`` is not a Recurrence, or ``tau`` none of those.
    ArrayError
        If an array is missing, unknown, complex, or has a wrong shape or dtype.
    """
    kernel = kernel_of(rec, "truncation_bias")
    given = prepared(kernel, "truncation_bias", arrays)
    estimator = tau if isinstance(tau, Full | Window | Chunks) else _window(tau)
    with np.errstate(over="ignore", invalid="ignore"):  # what explodes is reported, as inf or NaN
        _, full = kernel.loss_and_grad(**given)
        tail, tails = _tails(rec.program, given, estimator)
        bias = {name: 0.0 - tail[name] for name in full}
        relative = {name: _ratio(_norm([bias[name]]), _norm([full[name]])) for name in full}
        size = _norm([full[p] for p in rec.params])
        overall = _ratio(_norm([bias[p] for p in rec.params]), size)
        curve = np.array([_ratio(_norm([v]), size) for v in tails])
    return TruncationBias(rec.name, estimator, bias, relative, overall, curve)


def _window(tau: Any) -> Window:
    try:
        return Window(tau)
    except UsageError as error:
        raise UsageError(
            f"truncation_bias: tau={tau!r:.60}; expected a whole number of steps, at least 1, or a Window, "
            "Chunks or Full. The gradient of Randomized has no bias: see expectation."
        ) from error


def _tails(
    program: Program, given: Mapping[str, Array], estimator: Full | Window | Chunks
) -> tuple[dict[str, Array], Array]:
    """The sum of the dropped terms, by block; and for each window that of all parameters, (T, P)."""
    steps = len(given["weights"])
    dropped = np.tri(steps, dtype=bool) & ~kept(estimator, steps)
    before, c = cotangents(program, given)
    total = {s: np.zeros_like(v) for s, v in c.items()}
    params = [a.name for a in program.arrays if a.role == "param"]
    by_lag = np.zeros((steps + 1, sum(given[p].size for p in params)))
    for lag, (vectors, out) in enumerate(lagged(program, given)):
        rows = np.diagonal(dropped, -lag)
        for s, v in vectors.items():
            total[s][: steps - lag][rows] += v[rows]
        by_lag[lag] = _flat([out[p] for p in params])
    tail = results_of(state_products(program), given, {**before, **total})
    initial = {f"{s}0": tail.pop(previous(s))[0] for s in c}
    # Lags from τ on, the smallest terms first.
    return {**tail, **initial}, np.cumsum(by_lag[::-1], axis=0)[::-1][1:]


def _flat(arrays: list[Array]) -> Array:
    return np.concatenate([np.zeros(0), *(a.ravel() for a in arrays)])


def _norm(arrays: list[Array]) -> float:
    return float(norms(_flat(arrays)[None], 1)[0])


def _ratio(part: float, whole: float) -> float:
    if part == 0:
        return 0.0
    return float(np.divide(part, whole)) if whole else float("inf")


def _table(found: TruncationBias) -> list[str]:
    width = max(map(len, (*found.relative, "block")))
    windows = [t for t in SHOWN if t < len(found.curve)] + [len(found.curve)]
    return [
        f"bias of {found.name} with {found.estimator}, T = {len(found.curve)}",
        f"{'block':>{width}}      ‖bias‖   relative to ‖full gradient‖",
        *(f"{n:>{width}} {_norm([found.bias[n]]):11.3e} {r:10.3g}" for n, r in found.relative.items()),
        f"relative bias of all parameters together: {found.overall:.3g}; by window τ:",
        "  ".join(["τ", *(f"{t:>7}" for t in windows)]),
        "  ".join([" ", *(f"{found.curve[t - 1]:7.1e}" for t in windows)]),
    ]
