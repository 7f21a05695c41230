"""Telling inputs for a recurrence.

The inputs decide what is caught. Those drawn here have distinct sizes for every axis, and once equal
ones, T from 1 to 60, more than one sequence, a non-zero initial state, uneven, zero and negative weights,
a vanishing, a saturated and a growing regime, gradients large enough to meet a clip, and other parameters
on the same series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from bptt_verify.check import Array, Case
from bptt_verify.language import CARRIED, MASK_NEXT, Recurrence
from bptt_verify.program import BATCH, evaluate

ATTEMPTS = 20  # how often a case is drawn anew where the loss is not finite


@dataclass(frozen=True)
class Regime:
    """How one case is drawn: its length, its batch, the gain of the matrices, the size of the loss.

    Where ``size`` is not 1, real targets have that size, and weights are that large, signed, and some zero.
    Where ``equal`` is set, every axis has that length, but for T and B; else no two have the same.
    """

    name: str
    steps: int
    batch: int
    gain: float
    size: float = 1.0
    equal: int | None = None


EQUAL = 3
REGIMES = (
    Regime("one step", 1, 1, 1.0),
    Regime("two steps", 2, 1, 1.0),
    Regime("batch", 5, 3, 1.0),
    Regime("vanishing", 12, 2, 0.15),
    Regime("saturated", 6, 2, 3.0),
    Regime("growing", 9, 2, 1.7),
    Regime("large", 4, 5, 1.0, size=1e3),
    Regime("long", 60, 2, 1.0),
    Regime("equal sizes", 4, EQUAL, 1.0, equal=EQUAL),
)


BY_LENGTH = ("one step", "two steps", "long")  # regimes that differ by their length only


def least_sizes(rec: Recurrence) -> dict[str, int]:
    """The size words of a recurrence, each with its smallest useful length: 2 for classes, else 1."""
    classes = {w for d in rec.declarations.values() if d.onehot for w in d.sizes}
    found = dict.fromkeys(w for d in rec.declarations.values() for w in d.sizes)
    return {w: 2 if w in classes else 1 for w in found}


def batch_axes(rec: Recurrence) -> dict[str, int]:
    """Which axis of an array counts the sequences."""
    return {a.name: a.labels.index(BATCH) for a in rec.program.arrays if BATCH in a.labels}


def recurrence_cases(
    rec: Recurrence,
    rng: np.random.Generator,
    regimes: tuple[Regime, ...] = REGIMES,
    sizes: Mapping[str, int] | None = None,
) -> Iterator[Case]:
    """Telling inputs for a recurrence, with these sizes or those of the regimes; what is fixed stays.

    A case in which the loss is not finite (a logarithm or a root of a random number, say) is drawn
    anew, with smaller and with positive numbers; if that never helps the last draw is kept.
    """
    words = sorted({w for d in rec.declarations.values() for w in d.sizes})
    for regime in dict.fromkeys(at_fixed(rec, r) for r in regimes):
        own = sizes or {w: regime.equal or k + 2 for k, w in enumerate(words)}
        lengths = fixed_in(rec, own)
        arrays: dict[str, Array] = {}
        for attempt in range(ATTEMPTS):
            arrays = _drawn(rec, rng, regime, lengths, attempt)
            with np.errstate(all="ignore"):
                values = evaluate(rec.program, arrays)
            if np.isfinite(values[dict(rec.program.results)["loss"]]):
                break
        size = f"(T={regime.steps}, B={regime.batch})"
        yield Case(f"{regime.name} {size}", arrays)
        if regime.name == "batch":  # what is remembered from the same series must not be used
            params = {p: np.asarray(arrays[p] * rng.uniform(0.5, 1.0, arrays[p].shape)) for p in rec.params}
            yield Case(f"other parameters {size}", {**arrays, **params})


def fixed_in(rec: Recurrence, sizes: Mapping[str, int]) -> dict[str, int]:
    """The sizes, T and B among them or not, with those in their place that a recurrence has fixed."""
    return {w: rec.fixed.get(w, n) for w, n in sizes.items()}


def at_fixed(rec: Recurrence, regime: Regime) -> Regime:
    """The regime with the number of steps, and of sequences, that a recurrence has fixed."""
    steps, batch = fixed_in(rec, {"T": regime.steps, "B": regime.batch}).values()
    if (steps, batch) == (regime.steps, regime.batch):
        return regime
    name = "ordinary" if regime.name in BY_LENGTH else regime.name
    return replace(regime, name=name, steps=steps, batch=batch)


def _drawn(
    rec: Recurrence, rng: np.random.Generator, regime: Regime, sizes: Mapping[str, int], attempt: int
) -> dict[str, Array]:
    def real(shape: tuple[int, ...], scale: float) -> Array:
        values = rng.normal(size=shape) * scale * 0.7 ** (attempt // 2)
        return np.asarray(np.abs(values) if attempt % 2 else values)

    arrays: dict[str, Array] = {}
    for name, d in rec.declarations.items():
        shape = tuple(sizes[w] for w in d.sizes)
        series = (regime.steps, regime.batch)
        if d.onehot:
            arrays[name] = rng.integers(0, shape[0], size=series)
        elif d.role in ("input", "target"):
            arrays[name] = real((*series, *shape), regime.size if d.role == "target" else 1.0)
        elif d.role in CARRIED:
            arrays[f"{name}0"] = real((regime.batch, *shape), 0.7)
        else:
            gain = regime.gain / np.sqrt(shape[-1]) if len(shape) == 2 else 0.5
            arrays[name] = real(shape, gain)
    if rec.mode == "scheduled":
        arrays[MASK_NEXT] = rng.integers(0, 2, size=(regime.steps, regime.batch))  # never perturbed: no float
    weights = rng.uniform(0.2, 1.0, size=(regime.steps, regime.batch))
    if regime.size != 1:
        weights *= regime.size * rng.choice([-1.0, 0.0, 1.0, 1.0], size=weights.shape)
        weights[-1, -1] = regime.size
    arrays["weights"] = weights
    return arrays
