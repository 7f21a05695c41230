"""From a plain loss function and inputs to the Problem that the numerical verifier judges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bptt_verify.check import Array, Arrays, Case, Problem
from bptt_verify.errors import UsageError
from bptt_verify.verify.adapters import Adapted, adapted, as_array
from bptt_verify.verify.blurring import blurring
from bptt_verify.verify.problems import DRAWS, Inputs, drawn

WEIGHTS = "weights"
AGREES = 1e-3  # relative; two losses that are meant to be one, however few digits either has


class PlainLoss:
    """A user's loss function of the arrays it takes; nan where it fails on real ones.

    What it raises on complex arrays is passed on: it is then not analytic.
    """

    def __init__(self, loss: Callable[..., Any], known: Arrays) -> None:
        self.name = getattr(loss, "__qualname__", None) or type(loss).__name__
        self.sent = adapted(loss, known)

    def __call__(self, arrays: Arrays) -> Any:
        """The loss; it may work in place on what it is handed."""
        try:
            return self.sent({k: np.array(v) for k, v in arrays.items()})
        except Exception:
            if any(np.iscomplexobj(v) for v in arrays.values()):
                raise
            return np.nan

    def rough(self, eps: float, rng: np.random.Generator) -> Callable[[Arrays], Any]:
        """The same loss, where tanh and expit pass on their slopes with an error of a few eps."""

        def loss(arrays: Arrays) -> Any:
            copies = {k: np.array(v) for k, v in arrays.items()}
            complex_ = {k: blurring(v, eps, rng) for k, v in copies.items() if np.iscomplexobj(v)}
            return np.asarray(self.sent({**copies, **complex_}))

        return loss

    def failure(self, arrays: Arrays) -> str | None:
        """What the loss raises at some arrays, or what is wrong with the number it returns.

        Raises
        ------
        UsageError
            If it returns no single real number.
        """
        try:
            value = np.asarray(self.sent({k: np.array(v) for k, v in arrays.items()}))
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        if value.ndim or value.dtype.kind not in "fiu":
            shown = f"shape {value.shape} and dtype {value.dtype}"
            raise UsageError(
                f"the loss {self.name} returned {shown}; expected one real number for the inputs."
            )
        return None


def loss_problem(
    fn: Callable[..., Any], loss: Callable[..., Any], inputs: Inputs, wrt: Sequence[str] | None = None
) -> Problem:
    """The Problem of a function that should compute the gradient of a plain loss function.

    ``wrt`` names the arrays whose gradient is expected. Nothing tells parameters from data where it is left
    out: what is returned is then compared, and what is not is said.

    An array ``weights`` of shape (T, B) that both take, beside another array that begins with (T, B), is
    what it is for a recurrence: the weights of the loss terms, whose gradient need not be provided.

    Raises
    ------
    UsageError
        If there are no inputs, no floating-point array among them, or the loss fails on all of them; or
        ``wrt`` names none of them.
    """
    if inputs is None:
        raise UsageError(
            "inputs=None; expected a dict of arrays, or a function of a numpy Generator that returns one, "
            "since a loss function does not say what it takes. Against a Recurrence inputs may be left out."
        )

    def given(rng: np.random.Generator) -> list[dict[str, Array]]:
        return [_arrays(drawn(inputs, rng)) for _ in range(DRAWS)] if callable(inputs) else [_arrays(inputs)]

    firsts = given(np.random.default_rng(0))
    first = firsts[0]
    real = tuple(k for k, v in first.items() if v.dtype.kind == "f")
    if not real:
        raise UsageError(
            f"inputs: {', '.join(first)} are all integers; expected at least one floating-point array."
        )
    required = _expected(wrt, real)
    reference = PlainLoss(loss, first)
    failures = [reference.failure(arrays) for arrays in firsts]
    if all(failures):
        raise UsageError(f"the loss {reference.name} failed on the inputs with {failures[0]}")
    wrapped = adapted(fn, None)
    timed = _weighs_steps(first, wrapped, reference)
    stepped = timed and _same_by_steps(firsts[failures.index(None)], wrapped, reference)

    def draw(rng: np.random.Generator) -> Iterator[Case]:
        for k, arrays in enumerate(given(rng)):
            _check_like(arrays, first)
            reference.failure(arrays)
            yield Case(f"inputs {k + 1}", arrays)

    return Problem(
        f"the gradient of {reference.name}",
        required=required,
        optional=tuple(k for k in real if k not in required),
        loss=reference,
        rough=reference.rough,
        draw=draw,
        steps=(lambda arrays: len(arrays[WEIGHTS])) if stepped else None,
        at_step=_at_step if stepped else None,
    )


def _expected(wrt: Sequence[str] | None, real: Sequence[str]) -> tuple[str, ...]:
    """The arrays whose gradient is expected."""
    if wrt is None:
        return ()
    if isinstance(wrt, str) or not all(isinstance(k, str) for k in wrt) or not wrt:
        raise UsageError(f"wrt={wrt!r:.60}; expected a sequence of names, such as ('W', 'b').")
    unknown = [k for k in wrt if k not in real]
    if unknown:
        raise UsageError(f"wrt: {unknown[0]!r} is no real array; expected names among {', '.join(real)}.")
    return tuple(dict.fromkeys(wrt))


def _arrays(arrays: Any) -> dict[str, Array]:
    if not isinstance(arrays, Mapping) or not arrays:
        raise UsageError(
            f"inputs={arrays!r:.60}; expected a non-empty dict of arrays, or a function that returns one."
        )
    checked = {k: as_array(v, k) for k, v in arrays.items()}
    return {k: v.astype(float) if v.dtype.kind == "f" else v for k, v in checked.items()}


def _check_like(arrays: Arrays, first: Arrays) -> None:
    """Sizes may differ from draw to draw, names and kinds of numbers may not."""
    kinds, wanted = ({k: v.dtype.kind == "f" for k, v in a.items()} for a in (arrays, first))
    if kinds != wanted:
        name = next(k for k in {**wanted, **kinds} if kinds.get(k) != wanted.get(k))
        how = "in some draws only" if name not in kinds or name not in wanted else "real in some draws only"
        raise UsageError(f"inputs: {name!r} is {how}; expected the same names and kinds in each draw.")


def _weighs_steps(first: Arrays, fn: Adapted, loss: PlainLoss) -> bool:
    """Whether there are weights (T, B), beside a series of vectors or of classes of the same T and B."""
    weights = first.get(WEIGHTS)
    if weights is None or weights.ndim != 2 or not fn.takes(WEIGHTS) or not loss.sent.takes(WEIGHTS):
        return False
    series = (a for k, a in first.items() if k != WEIGHTS and (a.ndim >= 3 or a.dtype.kind in "iu"))
    return any(a.shape[:2] == weights.shape for a in series)


def _at_step(arrays: Arrays, t: int) -> Arrays:
    """Only the weights of step t: a sequence that has ended by then stays without a loss term."""
    weights = np.zeros_like(arrays[WEIGHTS])
    weights[t - 1] = arrays[WEIGHTS][t - 1]
    return {**arrays, WEIGHTS: weights}


def _same_by_steps(arrays: Arrays, fn: Adapted, loss: PlainLoss) -> bool:
    """Whether the function takes the weights of one step alone to mean the same loss as the reference does.

    One that counts them to get the lengths of the sequences, say, does not.
    """
    for t in {1, len(arrays[WEIGHTS])}:
        alone = _at_step(arrays, t)
        expected = float(np.asarray(loss(alone)))
        try:
            with np.errstate(all="ignore"):
                found = float(np.asarray(fn({k: np.array(v) for k, v in alone.items()})[0]))
        except Exception:  # whatever it raises: it does not take such weights
            return False
        if np.isfinite(expected) and not abs(found - expected) <= AGREES * abs(expected):
            return False
    return True
