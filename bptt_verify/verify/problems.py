"""From a recurrence, or a loss function, to the Problem that the numerical verifier judges."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from bptt_verify.check import Array, Arrays, Case, Problem
from bptt_verify.errors import UsageError
from bptt_verify.language import MASK, MASK_NEXT, Recurrence, inward
from bptt_verify.oracle import Truncation
from bptt_verify.program import size_of
from bptt_verify.verify.adapters import Adapted, as_array
from bptt_verify.verify.cases import recurrence_cases
from bptt_verify.verify.losses import RecurrenceLoss

Inputs = Mapping[str, Any] | Callable[[np.random.Generator], Mapping[str, Any]] | None
Reduction = str | Array
Cases = Callable[[Recurrence, np.random.Generator], Iterable[Case]]

DRAWS = 3  # how often a function of a generator is asked for inputs


def recurrence_problem(
    rec: Recurrence,
    fn: Adapted,
    inputs: Inputs = None,
    reduction: Reduction = "mean",
    estimator: Truncation | None = None,
    cases: Cases = recurrence_cases,
) -> Problem:
    """The Problem of a function that should compute the gradient of ``rec``.

    Parameters
    ----------
    rec : Recurrence
    fn : Adapted
        Decides which arrays vary: where it takes no ``weights`` those of ``reduction`` are meant; where
        it takes no initial state that state is zero.
    inputs : dict of arrays, or function of a Generator, optional
        Replaces the drawn inputs. Weights and initial states may be left out.
    reduction : {"mean", "sum"} or array
        The weights that a function without ``weights`` uses.
    estimator : Full, Window or Chunks, optional
        What the gradient should be instead of the derivative of the loss.
    cases : callable
        ``cases(rec, rng)`` draws the inputs.
    """
    if isinstance(reduction, str) or np.ndim(reduction) != 2:
        reduction_weights(reduction, 1, 1)  # a wrong word is an error even where weights are sent
    initial = rec.initial
    real = tuple(n for n in rec.inputs if n not in rec.onehot)
    _check_parameters(rec, fn)

    def complete(name: str, arrays: Mapping[str, Any], rng: np.random.Generator | None) -> Case:
        return Case(name, _completed(rec, fn, arrays, reduction, rng))

    def draw(rng: np.random.Generator) -> Iterator[Case]:
        if inputs is None:
            for case in cases(rec, rng):
                yield complete(case.name, case.arrays, None)
        elif callable(inputs):
            for k in range(DRAWS):
                yield complete(f"inputs {k + 1}", _given(rec, drawn(inputs, rng)), rng)
        else:
            yield complete("the given inputs", _given(rec, inputs), rng)

    reference = RecurrenceLoss(rec, estimator=estimator)
    sent = tuple(n for n in (*real, *initial) if fn.takes(n))
    shorten = _shortened(rec) if isinstance(reduction, str) and "T" not in rec.fixed else None
    return Problem(
        subject=f"the gradient of {rec.name}" + (f" under {estimator}" if estimator is not None else ""),
        required=tuple(rec.params),
        optional=sent,
        loss=reference,
        rough=reference.rough,
        draw=draw,
        steps=lambda arrays: int(_series(rec, arrays).shape[0]),
        at_step=_at_step if fn.takes("weights") else None,
        shorten=_reweighted(rec, fn, shorten, reduction) if shorten else None,
        complex_only=estimator is not None,
    )


def drawn(inputs: Callable[[np.random.Generator], Any], rng: np.random.Generator) -> Any:
    """What a user's function of a generator returns.

    Raises
    ------
    UsageError
        If it fails.
    """
    try:
        return inputs(rng)
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1].lineno
        raise UsageError(
            f"inputs: the function failed on line {line}: {type(error).__name__}: {error}; expected a "
            "function of one numpy.random.Generator that returns a dict of arrays."
        ) from error


def _check_parameters(rec: Recurrence, fn: Adapted) -> None:
    for name in rec.params:
        if not fn.takes(name):
            raise UsageError(
                f"fn={getattr(fn.function, '__name__', fn.function)!r} takes no argument {name!r}; expected "
                f"every parameter of {rec.name}: {', '.join(rec.params)}."
            )
    if rec.mode == "scheduled" and not fn.takes(MASK):
        raise UsageError(
            f"fn={getattr(fn.function, '__name__', fn.function)!r} takes no argument {MASK!r}; expected one, "
            "since it says which steps are fed their targets."
        )


def _series(rec: Recurrence, arrays: Arrays) -> Array:
    return arrays[next(iter({**rec.inputs, **rec.targets}))]


def _given(rec: Recurrence, arrays: Any) -> dict[str, Array]:
    """A user's inputs, checked against the declarations."""
    if not isinstance(arrays, Mapping):
        raise UsageError(
            f"inputs={arrays!r:.60}; expected a dict of arrays by declared name, or a function of an rng."
        )
    optional = {*rec.initial, "weights"}
    needed = {*rec.inputs, *rec.targets, *rec.params, *((MASK,) if rec.mode == "scheduled" else ())}
    unknown, missing = sorted(set(arrays) - needed - optional), sorted(needed - set(arrays))
    if unknown or missing:
        what = f"unknown array {unknown[0]!r}" if unknown else f"missing array {missing[0]!r}"
        raise UsageError(
            f"inputs: {what}; expected {', '.join(sorted(needed))} (and {', '.join(sorted(optional))})."
        )
    checked = inward(_with_whole_mask(rec, {k: as_array(v, k) for k, v in arrays.items()}))
    _check_shapes(rec, checked)
    whole = (*rec.onehot, MASK_NEXT)
    return {k: v.astype(int) if k in whole else v.astype(float) for k, v in checked.items()}


def _with_whole_mask(rec: Recurrence, arrays: dict[str, Array]) -> dict[str, Array]:
    """The arrays with a mask (T,) as (T, B)."""
    mask = arrays.get(MASK)
    if mask is None:
        return arrays
    wrong = mask[(mask != 0) & (mask != 1)]
    if wrong.size:
        raise UsageError(
            f"inputs: {MASK}: {wrong.flat[0]} is in it; expected 0 (the output is fed) and 1 (the target is)."
        )
    batch = _series(rec, arrays).shape[1:2]
    return {**arrays, MASK: np.broadcast_to(mask[:, None], (*mask.shape, *batch)) if mask.ndim == 1 else mask}


def _check_shapes(rec: Recurrence, arrays: Mapping[str, Array]) -> None:
    """Every array has the declared sizes, and equal words mean equal lengths."""
    sizes: dict[str, int] = {}
    for a in sorted(rec.program.arrays, key=lambda a: a.index):  # classes last: their number must be known
        if a.name not in arrays:
            continue
        array = arrays[a.name]
        words = [size_of(x) for x in (a.labels[:-1] if a.index else a.labels)]
        fits = array.ndim == len(words) and 0 not in array.shape
        if not fits or any(sizes.setdefault(w, n) != n for w, n in zip(words, array.shape, strict=True)):
            known = ", ".join(f"{w}={sizes[w]}" for w in dict.fromkeys(words) if w in sizes)
            raise UsageError(
                f"inputs: {a.name}: shape={array.shape}; expected ({', '.join(words)})"
                + (f" with {known} as in the arrays before it." if known else ".")
            )
        if a.index:
            _check_classes(a.name, array, sizes.get(size_of(a.labels[-1])))


def _check_classes(name: str, array: Array, count: int | None) -> None:
    if array.dtype.kind not in "iu":
        raise UsageError(f"inputs: {name}: dtype={array.dtype}; expected integer classes.")
    if count is not None and (array.min() < 0 or array.max() >= count):
        raise UsageError(
            f"inputs: {name}: classes from {array.min()} to {array.max()}; expected 0 to {count - 1}."
        )


def _completed(
    rec: Recurrence,
    fn: Adapted,
    arrays: Mapping[str, Any],
    reduction: Reduction,
    rng: np.random.Generator | None,
) -> dict[str, Array]:
    """Weights and initial states as the function under test will understand them."""
    full = dict(arrays)
    steps, batch = _series(rec, full).shape[:2]
    sizes = {w: n for k, v in full.items() for w, n in _words(rec, k, v)}
    for state, words in rec.carried.items():
        shape = (batch, *(sizes[w] for w in words))
        if not fn.takes(f"{state}0"):
            full[f"{state}0"] = np.zeros(shape)
        elif f"{state}0" not in full:
            full[f"{state}0"] = rng.normal(size=shape) * 0.5 if rng is not None else np.zeros(shape)
    if not fn.takes("weights"):
        full["weights"] = reduction_weights(reduction, steps, batch)
    elif "weights" not in full:
        full["weights"] = reduction_weights("mean", steps, batch)
    return full


def _words(rec: Recurrence, name: str, array: Array) -> Iterator[tuple[str, int]]:
    d = rec.declarations.get(name.removesuffix("0") if name not in rec.declarations else name)
    if d is not None and not d.onehot and len(d.sizes):
        yield from zip(d.sizes, array.shape[-len(d.sizes) :], strict=True)


def reduction_weights(reduction: Reduction, steps: int, batch: int) -> Array:
    """The weights (T, B) that a reduction means.

    Raises
    ------
    UsageError
        If it is neither ``"mean"``, ``"sum"``, nor an array that fits (T, B).
    """
    if isinstance(reduction, str):
        if reduction not in ("mean", "sum"):
            raise UsageError(
                f"reduction={reduction!r}; expected 'mean', 'sum', or an array of weights (T, B)."
            )
        return np.full((steps, batch), 1.0 if reduction == "sum" else 1 / (steps * batch))
    try:
        array = np.asarray(reduction, dtype=float)
    except (TypeError, ValueError):
        raise UsageError(
            f"reduction={reduction!r:.60}; expected 'mean', 'sum', or an array of weights (T, B)."
        ) from None
    if not np.all(np.isfinite(array)):
        raise UsageError(f"reduction={reduction!r:.60}; expected finite weights.")
    try:
        return np.broadcast_to(array, (steps, batch)).copy()
    except ValueError:
        raise UsageError(
            f"reduction: shape={array.shape}; expected weights (T, B)=({steps}, {batch})."
        ) from None


def _at_step(arrays: Arrays, t: int) -> Arrays:
    weights = np.zeros_like(arrays["weights"])
    weights[t - 1] = 1.0
    return {**arrays, "weights": weights}


def _shortened(rec: Recurrence) -> Callable[[Arrays, int], dict[str, Array]]:
    series = (*rec.inputs, *rec.targets, "weights")
    return lambda arrays, steps: {k: v[:steps] if k in series else v for k, v in arrays.items()}


def _reweighted(
    rec: Recurrence, fn: Adapted, shorten: Callable[[Arrays, int], dict[str, Array]], reduction: Reduction
) -> Callable[[Arrays, int], Arrays]:
    """Cut to the first steps, with the weights that the function means for that many steps."""

    def cut(arrays: Arrays, steps: int) -> Arrays:
        short = shorten(arrays, steps)
        if not fn.takes("weights"):
            short["weights"] = reduction_weights(reduction, *short["weights"].shape)
        return short

    return cut
