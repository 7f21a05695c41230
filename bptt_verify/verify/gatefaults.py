"""Known mistakes of gated gradients, as other gates or another recursion: which of them gives the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bptt_verify.check import Array, Arrays, working_precision
from bptt_verify.derivation import gated_adjoint
from bptt_verify.language import Recurrence
from bptt_verify.mutants import mutants
from bptt_verify.program import Program, evaluate

Substitution = Callable[[Array, Array], Array]
AGREE, AGREE_SINGLE = 1e-8, 1e-4  # relative to the largest entry of a block
SINGLE = 1e-10  # a machine epsilon above this is that of single precision
FIRST: tuple[Substitution | None, ...] = (None, lambda k, p: k / p, lambda k, p: np.ones_like(k))


@dataclass(frozen=True)
class Observation:
    """What a function returned at some gates: its gradients where ``keep`` and ``pi``, both (T, B)."""

    arrays: Arrays
    keep: Array
    pi: Array
    grads: Arrays


Shift = Callable[[Array, str], Array]


def _earlier(a: Array, edge: str) -> Array:
    return _moved(a, 1, edge)


def _later(a: Array, edge: str) -> Array:
    return _moved(a, -1, edge)


def _moved(a: Array, by: int, edge: str) -> Array:
    """Shifted in time; what enters at the edge is what left at the other, a repetition, or a number."""
    moved = np.roll(a, by, axis=0)
    at = 0 if by > 0 else -1
    if edge != "around":
        moved[at] = a[at] if edge == "repeated" else float(edge)
    return moved


def _pi_moved(keep: Array, pi: Array, shift: Shift, edge: str) -> Array:
    return keep / shift(pi, edge)


def _gate_moved(keep: Array, pi: Array, shift: Shift, edge: str) -> Array:
    return shift(keep / pi, edge)


def _keep_moved(keep: Array, pi: Array, shift: Shift, edge: str) -> Array:
    return shift(keep, edge) / pi


def _one_gate(keep: Array, pi: Array, at: int) -> Array:
    return _only(keep / pi, at)


def _one_keep(keep: Array, pi: Array, at: int) -> Array:
    return _only(keep, at) / pi


def _one_pi(keep: Array, pi: Array, at: int) -> Array:
    return keep / _only(pi, at)


def _table() -> Iterator[tuple[str, str, Substitution]]:
    yield "weight forgotten", "1/π is forgotten: the gates are used as 0 and 1", lambda k, p: k
    yield "weight multiplied", "a kept term is multiplied by π; it must be divided", lambda k, p: k * p
    yield "weight squared", "1/π is applied twice; xi is scaled already", lambda k, p: k / p**2
    yield (
        "weight rooted",
        "a kept term is divided by √π; it must be divided by π",
        lambda k, p: k / np.sqrt(p),
    )
    side = "1/π is on the wrong side"
    yield "wrong side", f"{side}: a dropped term gets it, a kept one gets 1", lambda k, p: k + (1 - k) / p
    yield "wrong side", f"{side}: what should be dropped is kept and scaled", lambda k, p: (1 - k) / p
    yield (
        "wrong side",
        "a kept term is divided by 1 - π; it must be divided by π",
        lambda k, p: _over(k, 1 - p),
    )
    swapped = "what should be dropped is kept, with the weight 1/(1 - π), and the other way round"
    yield "gates inverted", swapped, lambda k, p: _over(1 - k, 1 - p)
    yield "gates inverted", "what should be dropped is kept, and the other way round", lambda k, p: 1 - k
    for edge in ("around", "repeated", "1"):
        for word, shift in (("t-1", _earlier), ("t+1", _later)):
            text = f"π is off by one step: ξ_t is scaled by 1/π_{{{word}}}"
            yield "π off by one", text, partial(_pi_moved, shift=shift, edge=edge)
    for edge in ("around", "repeated", "0", "1"):
        for word, shift in (("t-1", _earlier), ("t+1", _later)):
            text = f"the gates are off by one step: ξ_{{{word}}} is used at step t"
            yield "gate off by one", text, partial(_gate_moved, shift=shift, edge=edge)
            text = (
                f"the gates are off by one step: step t is kept by the gate of step {word}, scaled by 1/π_t"
            )
            yield "gate off by one", text, partial(_keep_moved, shift=shift, edge=edge)
    for word, at in (("first", 0), ("second", 1), ("last", -1)):
        text = f"one gate, that of the {word} step, is used at all steps; they must be independent"
        yield "gate shared", text, partial(_one_gate, at=at)
        yield "gate shared", f"{text}; and 1/π_t is that of each step", partial(_one_keep, at=at)
        text = f"1/π of the {word} step is used at all steps"
        yield "π of one step", text, partial(_one_pi, at=at)
    yield "π averaged", "the mean of π is used at all steps", lambda k, p: k / p.mean(axis=0)
    yield "π reversed", "the probabilities are used in the reverse order of time", lambda k, p: k / p[::-1]
    yield "gates reversed", "the gates are used in the reverse order of time", lambda k, p: k[::-1] / p
    first = "the gates of the first sequence are used for all"
    yield "gate shared", first, lambda k, p: np.repeat((k / p)[:, :1], k.shape[1], axis=1)
    yield "always cut", "the recursion is cut at every step whatever the gates: Window(1)", lambda k, p: 0 * k


def _only(a: Array, at: int) -> Array:
    """The row of one step, at all steps."""
    return np.broadcast_to(a[at if at < len(a) else -1], a.shape)


def _over(k: Array, p: Array) -> Array:
    return np.divide(k, p, out=np.zeros_like(k), where=p > 0)


def gated_gradients(program: Program, arrays: Arrays, gates: Array) -> dict[str, Any]:
    """The gradients of the gated recursion, for gates (T, B)."""
    name = next(a.name for a in program.arrays if a.role == "gates")
    with np.errstate(all="ignore"):
        values = evaluate(program, {**arrays, name: gates})
    return {k: values[v] for k, v in program.results if k != "loss"}


def agree(found: Arrays, expected: Arrays) -> bool:
    """Whether all blocks that both have are equal to rounding."""
    single = working_precision(list(found.values())).eps > SINGLE
    tolerance = AGREE_SINGLE if single else AGREE
    return all(_close(g, expected[k], tolerance) for k, g in found.items() if k in expected)


def _close(found: Any, expected: Any, tolerance: float) -> bool:
    if found.shape != expected.shape:
        return False
    scale = np.abs(expected).max(initial=0.0)
    return bool(np.abs(found - expected).max(initial=0.0) <= tolerance * scale)


def gate_diagnosis(rec: Recurrence, seen: Sequence[Observation]) -> str | None:
    """The description of the first known mistake that gives the function's numbers at all gates seen.

    It is looked for in the gates, and then in the recursion that they act on.
    """
    program = gated_adjoint(rec.program)
    initial = _initial(program)
    if all(is_recursion(program, o) for o in seen):
        return None
    for name, text, substitution in (*_table(), *_weights(program, seen)):
        if all(_explained(program, o, substitution, initial) for o in seen) and any(
            all(_explained(program, o, substitution, set(), first) for o in seen) for first in FIRST
        ):
            return f"{text} [{name}]"
    for m in mutants(program):
        if all(agree(o.grads, gated_gradients(m.program, o.arrays, o.keep / o.pi)) for o in seen):
            return f"{m.description} [{m.name}]"
    return None


def is_recursion(program: Program, o: Observation) -> bool:
    """Whether the gated recursion gives these numbers."""
    return agree(o.grads, gated_gradients(program, o.arrays, o.keep / o.pi))


def _weights(program: Program, seen: Sequence[Observation]) -> Iterator[tuple[str, str, Substitution]]:
    """Weights of kept terms that a constant factor explains, the factor fitted to one observation."""
    o = next((o for o in seen if len(o.keep) == 2 and o.keep.all()), None)
    if o is None:
        return
    without, with_gate = (
        gated_gradients(program, o.arrays, np.array([np.ones_like(o.keep[0]), g * np.ones_like(o.keep[0])]))
        for g in (0.0, 1.0)
    )
    slope = {k: with_gate[k] - without[k] for k in o.grads if k in without and k not in _initial(program)}
    square = sum(float(np.sum(v**2)) for v in slope.values())
    if not square > 0:
        return
    gate = sum(float(np.sum((o.grads[k] - without[k]) * v)) for k, v in slope.items()) / square
    factor = gate * float(o.pi[1].mean())
    yield "weight", f"a kept term has the weight {factor:.4g}/π; it must be 1/π", lambda k, p: factor * k / p
    yield (
        "weight",
        f"a kept term has the weight {gate:.4g}, whatever π; it must be 1/π",
        lambda k, p: gate * k,
    )


def _initial(program: Program) -> set[str]:
    return {a.name for a in program.arrays if a.role == "initial"}


def _explained(
    program: Program,
    o: Observation,
    substitution: Substitution,
    ignored: set[str],
    first: Substitution | None = None,
) -> bool:
    """Whether other gates give the numbers; the first gate, which acts on initial states only, may differ."""
    gates = np.array(substitution(o.keep, o.pi), dtype=float)
    if first is not None:
        gates[0] = first(o.keep, o.pi)[0]
    grads = {k: g for k, g in o.grads.items() if k not in ignored}
    return agree(grads, gated_gradients(program, o.arrays, gates))
