"""Ways to clip a gradient that are known by name: the conventions, and what is mistaken for them.

A rule is what a function would compute if it followed it; the one that gives a function's numbers at every
point names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from bptt_verify.check.problem import Array, Arrays

MARGINS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-16)
NEGLIGIBLE = 1e-12  # a margin up to this one is taken for a guard against 0/0
TORCH = 1e-6

Length = Callable[[Arrays], float]
Factor = Callable[[float, float], float]
Apply = Callable[[Arrays, float], Arrays]


@dataclass(frozen=True)
class Rule:
    """A way to clip.

    Attributes
    ----------
    words : str
        What the function does, after "it".
    apply : callable
        ``apply(grads, threshold)``, in float64.
    convention : str or None
        "exact", "torch", "per_parameter", "per_element", or "guarded" where a margin other than PyTorch's
        is added to the norm; None for a mistake.
    margin : float
        What is added to the norm.
    """

    words: str
    apply: Apply
    convention: str | None = None
    margin: float = 0.0


def norm(grads: Arrays) -> float:
    """The norm over all entries, without overflow."""
    return norm_of(flat(grads))


def norm_of(array: Array) -> float:
    """The norm of one array, without overflow."""
    peak = float(np.abs(array).max(initial=0.0))
    if peak in (0.0, np.inf) or np.isnan(peak):
        return peak
    exponent = int(np.frexp(peak)[1])
    return float(np.ldexp(np.sqrt(np.sum(np.ldexp(array, -exponent) ** 2)), exponent))


def flat(grads: Arrays) -> Array:
    """All entries in one vector."""
    parts = [np.asarray(g, float).reshape(-1) for g in grads.values()]
    return np.concatenate([np.zeros(0), *parts])


def rules() -> Iterator[Rule]:
    """Every known rule, the conventions first."""
    yield from _conventions()
    yield from _by_one_number()
    yield from _by_block()
    yield from _left_out()
    yield from _by_element()


def rule_of(convention: str) -> Rule:
    """The rule of a convention."""
    return next(r for r in _conventions() if r.convention == convention)


def _conventions() -> Iterator[Rule]:
    exact = "clips by the norm over all arrays (exact)"
    yield Rule(exact, partial(_scaled, norm, _clip), "exact")
    yield _guarded(TORCH, "torch")
    yield Rule("clips every array by its own norm (per_parameter)", _each(norm, _clip), "per_parameter")
    yield Rule("clamps every element to ±θ (per_element)", partial(_elementwise, _clamp), "per_element")
    yield from (_guarded(m, "guarded") for m in MARGINS if m != TORCH)
    for m in MARGINS:
        words = f"clips by the norm over all arrays, with {m:g} added to the squared norm (guarded)"
        yield Rule(words, partial(_scaled, partial(_rooted, m), _clip), "guarded", m**0.5)
    for m in MARGINS:
        words = f"clips every array by its own norm + {m:g} (guarded, per_parameter)"
        yield Rule(words, _each(partial(_wider, m), _clip), "guarded", m)


def _guarded(margin: float, convention: str) -> Rule:
    words = f"clips by the norm over all arrays + {margin:g} ({convention})"
    return Rule(words, partial(_scaled, partial(_wider, margin), _clip), convention, margin)


def _wider(margin: float, grads: Arrays) -> float:
    return norm(grads) + margin


def _rooted(margin: float, grads: Arrays) -> float:
    return float(np.sqrt(norm(grads) ** 2 + margin))


def _scaled(length: Length, factor: Factor, grads: Arrays, threshold: float) -> Arrays:
    s = factor(np.float64(length(grads)), threshold)  # a NumPy number: 1/0 is inf
    return {k: s * np.asarray(g, float) for k, g in grads.items()}


def _each(length: Length, factor: Factor) -> Apply:
    def apply(grads: Arrays, threshold: float) -> Arrays:
        parts = [_scaled(length, factor, {k: g}, threshold) for k, g in grads.items()]
        return {k: g for part in parts for k, g in part.items()}

    return apply


def _elementwise(function: Callable[[Array, float], Array], grads: Arrays, threshold: float) -> Arrays:
    return {k: function(np.asarray(g, float), threshold) for k, g in grads.items()}


def _clamp(array: Array, threshold: float) -> Array:
    return np.clip(array, -threshold, threshold)


def _clip(length: float, threshold: float) -> float:
    return threshold / length if length > threshold else 1.0


def _norms(grads: Arrays) -> list[float]:
    return [norm_of(np.asarray(g, float)) for g in grads.values()]


def _of(keep: Callable[[int, Array, int], bool], grads: Arrays) -> float:
    """The norm over some arrays only."""
    kept = {k: g for i, (k, g) in enumerate(grads.items()) if keep(i, g, len(grads))}
    return norm(kept)


def _spectral(grads: Arrays) -> float:
    """The root of the sum of squares of what ``np.linalg.norm(g, 2)`` gives."""
    try:
        return float(np.sqrt(sum(np.linalg.norm(v, 2) ** 2 for v in grads.values() if 0 < v.ndim < 3)))
    except np.linalg.LinAlgError:
        return np.nan


SOME: dict[str, Callable[[int, Array, int], bool]] = {
    "the matrices (arrays of one axis are left out of it)": lambda i, g, count: g.ndim > 1,
    "the arrays of one axis": lambda i, g, count: g.ndim < 2,
    "the first array": lambda i, g, count: i == 0,
    "the last array": lambda i, g, count: i == count - 1,
    "all arrays but the last": lambda i, g, count: i < count - 1,
    "all arrays but the first": lambda i, g, count: i > 0,
    "the arrays of more than 2 elements": lambda i, g, count: g.size > 2,
    "the arrays of more than 4 elements": lambda i, g, count: g.size > 4,
    "the arrays of more than 12 elements": lambda i, g, count: g.size > 12,
}

LENGTHS: dict[str, Length] = {
    "the norm": norm,
    "the sum of the arrays' norms": lambda g: sum(_norms(g)),
    "the mean of the arrays' norms": lambda g: float(np.mean(_norms(g))),
    "the largest of the arrays' norms": lambda g: max(_norms(g)),
    "the smallest of the arrays' norms": lambda g: min(_norms(g)),
    "the squared norm (no root is taken)": lambda g: norm(g) ** 2,
    "half the squared norm": lambda g: norm(g) ** 2 / 2,
    "the 1-norm": lambda g: float(np.abs(flat(g)).sum()),
    "the largest element (max-norm)": lambda g: float(np.abs(flat(g)).max()),
    "the mean absolute element": lambda g: float(np.abs(flat(g)).mean()),
    "the root mean square of the elements": lambda g: norm(g) / flat(g).size ** 0.5,
    "the mean square of the elements": lambda g: norm(g) ** 2 / flat(g).size,
    "the spectral norms of the matrices (np.linalg.norm(g, 2))": _spectral,
    "the norm over the number of elements": lambda g: norm(g) / flat(g).size,
    "the norm over the number of arrays": lambda g: norm(g) / len(g),
    "the norm over the root of the number of arrays": lambda g: norm(g) / len(g) ** 0.5,
    "the standard deviation of the elements": lambda g: float(flat(g).std()),
    "the root of the sum of the arrays' norms (they are not squared)": lambda g: sum(_norms(g)) ** 0.5,
    "the root of the norm": lambda g: norm(g) ** 0.5,
    "the sum of the elements (their signs are kept)": lambda g: float(flat(g).sum()),
    "the absolute value of the sum of the elements": lambda g: abs(float(flat(g).sum())),
    "the sum of the squares of the arrays' mean": lambda g: sum(float(np.mean(a)) ** 2 for a in g.values()),
    **{f"the norm of {words}": partial(_of, keep) for words, keep in SOME.items()},
}

FACTORS: dict[str, Factor] = {
    "clips by {}": _clip,
    "has max instead of min: it multiplies with max(1, θ/n), n being {}": lambda n, t: max(1.0, t / n),
    "always divides by {}, inside the ball too": lambda n, t: t / n,
    "is upside down: it multiplies with min(1, n/θ), n being {}": lambda n, t: min(1.0, n / t),
    "is upside down outside: it multiplies with n/θ, n being {}": lambda n, t: n / t if n > t else 1.0,
    "always multiplies with n/θ, n being {}": lambda n, t: n / t,
    "scales to 1 instead of θ, by {}": lambda n, t: 1 / n if n > t else 1.0,
    "always scales to 1, by {}": lambda n, t: 1 / n,
    "sets the gradient to zero outside, judged by {}": lambda n, t: 0.0 if n > t else 1.0,
    "multiplies with θ outside instead of θ/n, n being {}": lambda n, t: t if n > t else 1.0,
    "divides by the square of {}": lambda n, t: t / n**2 if n > t else 1.0,
    "compares the square of {} with θ": lambda n, t: t / n if n * n > t else 1.0,
    "squares the factor θ/n, n being {}": lambda n, t: (t / n) ** 2 if n > t else 1.0,
    "takes the root of the factor θ/n, n being {}": lambda n, t: (t / n) ** 0.5 if n > t else 1.0,
    "clips to θ² instead of θ, by {}": lambda n, t: min(1.0, t * t / n),
    "clips to √θ instead of θ, by {}": lambda n, t: min(1.0, t**0.5 / n),
    "divides the gradient by θ + n, n being {}": lambda n, t: t / (t + n),
    "divides by 1 + n, n being {}": lambda n, t: t / (1 + n),
    "divides by √(θ² + n²), n being {}": lambda n, t: t / (t * t + n * n) ** 0.5,
    "subtracts: it multiplies with 1 - θ/n outside, n being {}": lambda n, t: 1 - t / n if n > t else 1.0,
    "clips, and turns the sign, by {}": lambda n, t: -_clip(n, t),
}


def _by_one_number() -> Iterator[Rule]:
    yield Rule("does not clip at all", partial(_scaled, norm, lambda n, t: 1.0))
    yield Rule(
        "uses the threshold as a learning rate: it returns θ g", partial(_scaled, norm, lambda n, t: t)
    )
    yield Rule("divides by the threshold: it returns g/θ", partial(_scaled, norm, lambda n, t: 1 / t))
    yield Rule("returns zero", partial(_scaled, norm, lambda n, t: 0.0))
    yield Rule("returns the gradient with its sign turned", partial(_scaled, norm, lambda n, t: -1.0))
    for form, factor in FACTORS.items():
        for words, length in LENGTHS.items():
            yield Rule(form.format(words), partial(_scaled, length, factor))
    for m in MARGINS:
        for form, factor in FACTORS.items():
            yield Rule(form.format(f"the norm + {m:g}"), partial(_scaled, partial(_wider, m), factor))


def _by_block() -> Iterator[Rule]:
    for form, factor in FACTORS.items():
        for words, length in LENGTHS.items():
            yield Rule(f"array by array, {form.format(words)}", _each(length, factor))
    shares: dict[str, Callable[[int], float]] = {
        "θ/√P for P arrays": lambda p: p**-0.5,
        "θ/P for P arrays": lambda p: 1 / p,
    }
    for words, share in shares.items():
        yield Rule(f"clips every array by its own norm to {words}", partial(_shared, share))
    for axis, words in ((-1, "row"), (0, "column")):
        yield Rule(f"clips every {words} of an array by its own norm", partial(_along, axis))
    yield Rule("clips every array by its own norm, then all by one norm", _twice)


def _shared(share: Callable[[int], float], grads: Arrays, threshold: float) -> Arrays:
    return _each(norm, _clip)(grads, threshold * share(len(grads)))


def _along(axis: int, grads: Arrays, threshold: float) -> Arrays:
    def each(g: Array, t: float) -> Array:
        n = np.sqrt(np.sum(g**2, axis=axis, keepdims=True)) if g.ndim else np.abs(g)
        return g * np.where(n > t, t / np.where(n > t, n, 1.0), 1.0)

    return _elementwise(each, grads, threshold)


def _twice(grads: Arrays, threshold: float) -> Arrays:
    return _scaled(norm, _clip, _each(norm, _clip)(grads, threshold), threshold)


def _left_out() -> Iterator[Rule]:
    """Some arrays are clipped and the others passed on as they are."""
    for words, keep in SOME.items():
        for length, of in ((partial(_of, keep), "their norm"), (norm, "the norm over all")):
            text = f"clips only {words.split(' (')[0]}, by {of}, and leaves the others as they are"
            yield Rule(text, partial(_some, keep, length))
    yield Rule("leaves arrays out of the norm whose own norm is at most θ", partial(_large, False))
    yield Rule("clips by the norm over all, but only arrays whose own norm exceeds θ", partial(_large, True))


def _large(all_count: bool, grads: Arrays, threshold: float) -> Arrays:
    """Arrays with a norm of at most θ do not count, or are not clipped."""
    large = {k: g for k, g in grads.items() if norm_of(g) > threshold}
    s = _clip(norm(grads if all_count else large), threshold)
    return {k: g * (s if k in large or not all_count else 1.0) for k, g in grads.items()}


def _some(keep: Callable[[int, Array, int], bool], length: Length, grads: Arrays, threshold: float) -> Arrays:
    s = _clip(length(grads), threshold)
    return {k: g * (s if keep(i, g, len(grads)) else 1.0) for i, (k, g) in enumerate(grads.items())}


ELEMENTS: dict[str, Callable[[Array, float], Array]] = {
    "clamps elements from above only": lambda g, t: np.minimum(g, t),
    "clamps elements from below only": lambda g, t: np.maximum(g, -t),
    "clamps elements to the range from 0 to θ": lambda g, t: np.clip(g, 0, t),
    "clamps absolute values: the signs are lost": lambda g, t: np.minimum(np.abs(g), t),
    "has max instead of min: elements within ±θ are moved out to ±θ": lambda g, t: (
        np.sign(g) * np.maximum(np.abs(g), t)
    ),
    "sets elements beyond ±θ to zero": lambda g, t: np.where(np.abs(g) > t, 0.0, g),
    "sets elements within ±θ to zero": lambda g, t: np.where(np.abs(g) > t, g, 0.0),
    "returns θ times the sign of each element": lambda g, t: t * np.sign(g),
    "subtracts θ from each element (soft threshold)": lambda g, t: np.sign(g) * np.maximum(np.abs(g) - t, 0),
    "squashes elements by θ tanh(g/θ)": lambda g, t: t * np.tanh(g / t),
    "clamps elements to ±1": lambda g, t: np.clip(g, -1, 1),
}


def _by_element() -> Iterator[Rule]:
    for words, function in ELEMENTS.items():
        yield Rule(words, partial(_elementwise, function))
    clamped = partial(_elementwise, _clamp)
    yield Rule(
        "clamps every element to ±θ, then clips by one norm",
        lambda g, t: _scaled(norm, _clip, clamped(g, t), t),
    )
