"""``check_lipschitz`` and its twin ``assert_lipschitz``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bptt_verify.check import Array
from bptt_verify.check.steepness import Ball, Pair, search
from bptt_verify.errors import CheckFailedError, UsageError
from bptt_verify.verdict import Evidence, Finding, Report
from bptt_verify.verify.adapters import as_array
from bptt_verify.verify.arguments import seeded
from bptt_verify.verify.clipped import positive

SLACK = 1e-6  # relative; what a bound may be exceeded by, loss and bound being computed in floating point
SHOWN = 6  # numbers of an array that a message shows
EFFORT = 5_000


def check_lipschitz(
    loss: Callable[..., Any],
    bound: Any,
    domain: Mapping[str, Any],
    *,
    rng: int | np.random.Generator | None = None,
    effort: int = EFFORT,
) -> Report:
    """Try to break |F(x) - F(y)| ≤ K ‖x - y‖ on a ball.

    A search can refute a bound, with a pair of points; it cannot prove one. ``"verified"`` means that no
    pair was found with the stated effort, and the evidence is *tested*.

    Parameters
    ----------
    loss : callable
        ``loss(**arrays)``, or ``loss(arrays)`` of one dict, a real number.
    bound : float, or object with ``value``
        K ≥ 0, such as what ``lipschitz_bound`` returns.
    domain : dict
        The center of the ball, an array for each argument that varies, and ``"radius"``, a positive number.
        The norm is the one over all arrays together.
    rng : int or Generator, optional
        Seed of everything random; fresh if left out, and printed in the report.
    effort : int
        How often the loss may be evaluated.

    Returns
    -------
    Report
        ``.evidence[0].numbers`` has the largest quotient found, and the ``tightness``: that over the bound.

    Raises
    ------
    UsageError
        If an argument is not as described, or the loss fails at the center.
    """
    seed, generator = seeded(rng)
    limit = bound_value(bound)
    center, radius = _domain(domain)
    if not isinstance(effort, int) or isinstance(effort, bool) or effort < 1:
        raise UsageError(f"effort={effort!r:.60}; expected a positive number of evaluations.")
    ball = Ball(_by_vector(loss, center), _vector(center), radius, effort)
    search(ball, generator)
    name = getattr(loss, "__qualname__", None) or type(loss).__name__
    subject = f"the bound {limit:.6g} on the slope of {name} within {radius:.6g}"
    return Report(subject, (_evidence(ball, limit, center),), None, (), seed)


def assert_lipschitz(
    loss: Callable[..., Any],
    bound: Any,
    domain: Mapping[str, Any],
    *,
    rng: int | np.random.Generator | None = None,
    effort: int = EFFORT,
) -> Report:
    """As ``check_lipschitz``; raises unless the verdict is ``"verified"``.

    Raises
    ------
    CheckFailedError
        With the whole report as its message.
    """
    report = check_lipschitz(loss, bound, domain, rng=rng, effort=effort)
    if report.verdict != "verified":
        raise CheckFailedError(report)
    return report


def bound_value(bound: Any) -> float:
    """The number that a bound means.

    Raises
    ------
    UsageError
        If it is no finite number, at least 0.
    """
    value = getattr(bound, "value", bound)
    number = not isinstance(value, bool) and isinstance(value, int | float | np.integer | np.floating)
    if not number or not 0 <= value < np.inf:
        raise UsageError(
            f"bound={value!r:.60}; expected a finite number of at least 0, or an object with such a value."
        )
    return float(value)


def _domain(domain: Any) -> tuple[dict[str, Array], float]:
    if not isinstance(domain, Mapping) or "radius" not in domain or len(domain) < 2:
        raise UsageError(
            f"domain={domain!r:.60}; expected a dict of arrays, the center of a ball, and its 'radius'."
        )
    radius = positive(domain["radius"], "radius")
    center = {str(k): as_array(v, str(k)).astype(float) for k, v in domain.items() if k != "radius"}
    if not sum(v.size for v in center.values()) or not all(np.isfinite(v).all() for v in center.values()):
        raise UsageError("domain: the center has no entries, or one that is inf or NaN; expected numbers.")
    return center, radius


def _vector(arrays: Mapping[str, Array]) -> Array:
    return np.concatenate([v.reshape(-1) for v in arrays.values()])


def shaped(vector: Array, like: Mapping[str, Array]) -> dict[str, Array]:
    """A vector as arrays by name."""
    ends = np.cumsum([v.size for v in like.values()])[:-1]
    parts = np.split(vector, ends)
    return {k: p.reshape(v.shape).copy() for (k, v), p in zip(like.items(), parts, strict=True)}


def _by_vector(loss: Any, center: Mapping[str, Array]) -> Callable[[Array], float]:
    """The loss of a vector, having seen that it is a number at the center."""
    if not callable(loss):
        raise UsageError(f"loss={loss!r:.60}; expected a function loss(**arrays).")
    call = loss if _takes_one(loss, center) else lambda arrays: loss(**arrays)
    try:
        value = np.asarray(call({k: v.copy() for k, v in center.items()}))
    except Exception as error:
        raise UsageError(
            f"loss: it failed at the center with {type(error).__name__}: {error}; expected loss(**arrays), "
            "or loss(arrays) of one dict."
        ) from error
    if value.ndim or value.dtype.kind not in "fiu" or not np.isfinite(value):
        raise UsageError(f"loss: at the center it is {value!r:.60}; expected a finite real number.")
    return lambda vector: float(np.asarray(call(shaped(vector, center))))


def _takes_one(loss: Any, center: Mapping[str, Array]) -> bool:
    """Whether the arrays are sent in one dict: they cannot be sent by name."""
    try:
        inspect.signature(loss).bind(**center)
    except TypeError:
        return True
    except ValueError:
        return False
    return False


def _evidence(ball: Ball, limit: float, center: Mapping[str, Array]) -> Evidence:
    best = ball.best
    steepest = best.quotient if best is not None else 0.0
    tightness = steepest / limit if limit else np.inf if steepest else 1.0
    numbers = {
        "bound": limit,
        "largest quotient": steepest,
        "tightness": tightness,
        "evaluations": float(ball.evaluations),
    }
    summary = (
        f"|F(x) - F(y)|/‖x - y‖ is at most {steepest:.6g} on random, halved and ascending pairs "
        f"({ball.evaluations} evaluations): {tightness:.3g} of the bound"
    )
    found = []
    if ball.not_finite is not None:
        where = _shown(shaped(ball.not_finite, center))
        found.append(Finding(f"the loss is not finite at a point of the ball: {where}"))
    if best is not None and steepest > limit * (1 + SLACK):
        found.append(_violation(best, limit, center))
    if not found and limit and ball.noise(ball.value(ball.center)) > limit * ball.radius:
        hidden = "the loss is so large, or the ball so small, that rounding hides a violation"
        return Evidence("search", "tested", "inconclusive", f"{summary}; {hidden}", (), numbers)
    return Evidence("search", "tested", "refuted" if found else "verified", summary, tuple(found), numbers)


def _violation(pair: Pair, limit: float, center: Mapping[str, Array]) -> Finding:
    one, two = (_shown(shaped(p, center)) for p in (pair.one, pair.two))
    what = (
        f"the loss changes by {pair.change:.9g} over a distance of {pair.distance:.9g}, that is "
        f"{pair.quotient:.9g} times as far, and the bound is {limit:.9g}: between {one} and {two}"
    )
    return Finding(what, found=pair.quotient, expected=limit)


def _shown(arrays: Mapping[str, Array]) -> str:
    return ", ".join(
        f"{k} = " + np.array2string(v, precision=12, threshold=SHOWN, edgeitems=2).replace("\n", "")
        for k, v in arrays.items()
    )
