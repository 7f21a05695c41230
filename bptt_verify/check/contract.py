"""Calling the function under test under observation: keys, shapes, dtypes, repeatability, side effects."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bptt_verify.check import noise
from bptt_verify.check.observations import nearest, shape_hint, sizes
from bptt_verify.check.problem import Array, Arrays, Case, GradientFunction, Problem, magnitude
from bptt_verify.verdict import Evidence, Finding

OURS = str(Path(__file__).resolve().parents[1])


@dataclass(frozen=True)
class Result:
    """What one call returned; `failure` says what is wrong with it as a whole, if anything is."""

    loss: Array
    grads: Mapping[str, Array] = field(default_factory=dict)
    failure: str | None = None


@dataclass(frozen=True)
class Visit:
    """All that was seen at one case.

    Attributes
    ----------
    case : Case
    loss : float or None
        The returned loss; None if there is none that can be compared.
    grads : mapping of str to ndarray
        The returned gradients that have the right shape and a floating dtype, in copies.
    returned : tuple of ndarray
        Everything returned that tells the working precision.
    findings : tuple of (kind, Finding)
    notes : tuple of str
    """

    case: Case
    loss: float | None
    grads: Mapping[str, Array]
    returned: tuple[Array, ...]
    findings: tuple[tuple[str, Finding], ...]
    notes: tuple[str, ...]


def copies(arrays: Arrays) -> dict[str, Array]:
    """Fresh copies, so that the function under test cannot damage ours."""
    return {name: np.array(a) for name, a in arrays.items()}


def call(fn: GradientFunction, arrays: Arrays) -> Result:
    """Call the function under test; anything it raises becomes a failure.

    The arrays are handed over as they are; see `copies`.
    """
    nothing = np.asarray(np.nan)
    try:
        with np.errstate(all="ignore"):
            returned: Any = fn(arrays)
    except Exception as error:  # the function is foreign; whatever it raises is a finding
        told = f"the function failed with {type(error).__name__}: {error}"
        return Result(nothing, failure=told + _users_line(error))
    if not isinstance(returned, Sequence) or len(returned) != 2:
        count = f" of {len(returned)}" if isinstance(returned, Sequence) else ""
        what = f"the function returned a {type(returned).__name__}{count}; expected (loss, gradients by name)"
        return Result(nothing, failure=f"{what}. bptt_verify.adapt is for other forms: gradients='tuple'")
    loss, grads = returned
    if not isinstance(grads, Mapping):
        what = f"the gradients are a {type(grads).__name__}; expected a mapping from names to arrays"
        return Result(nothing, failure=f"{what}. bptt_verify.adapt is for other forms: gradients='tuple'")
    try:
        return Result(np.asarray(loss), {str(k): np.asarray(g) for k, g in grads.items()})
    except Exception as error:  # whatever a foreign array raises that NumPy cannot take
        return Result(nothing, failure=f"what the function returned is no array: {error}")


def _users_line(error: Exception) -> str:
    """The innermost line of the error that is neither this library's nor an installed one's."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_installed(f.filename)]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def _is_installed(file: str) -> bool:
    return file.startswith((OURS, sys.prefix, sys.base_prefix)) or "site-packages" in file


def provided(problem: Problem, arrays: Arrays, result: Result) -> dict[str, Array]:
    """Copies of those gradients that can be compared: known, real, and of the right shape."""
    return {
        b: np.array(result.grads[b])
        for b in problem.blocks
        if b in result.grads and _misfit(result.grads[b], arrays[b]) is None
    }


def gradients(fn: GradientFunction, problem: Problem, arrays: Arrays) -> dict[str, Array]:
    """The comparable gradients of one unobserved call; empty if it fails."""
    return provided(problem, arrays, call(fn, copies(arrays)))


def _misfit(grad: Array, array: Array, known: Mapping[str, int] | None = None) -> tuple[str, str] | None:
    """What keeps a gradient from being compared: a kind and the end of a sentence."""
    if not noise.is_real(grad):
        return "dtype", f"has dtype {grad.dtype}; expected a real floating dtype"
    if grad.shape == np.shape(array):
        return None
    hint = shape_hint(grad.shape, np.shape(array), known or {})
    return "shape", f"has shape {grad.shape}; expected {np.shape(array)}{hint}"


def visit(fn: GradientFunction, problem: Problem, case: Case, rng: np.random.Generator) -> Visit:
    """Call the function four times at one case: on it, on other values, and twice on it again.

    Twice, because what is only swapped by each call is the same in every other one.
    """
    first_arrays = copies(case.arrays)
    first = call(fn, first_arrays)
    if first.failure is not None:
        failure = first.failure + _in_single(fn, case)
        return Visit(case, None, {}, (), (_found("failure", failure, case),), ())
    kept = {k: np.array(g) for k, g in first.grads.items()}
    kept_loss = np.array(first.loss)
    found = _damage(case, first_arrays) + _aliases(case, first_arrays, first)
    call(fn, _elsewhere(problem, case.arrays))
    found += _shared(case, first, kept, kept_loss)
    for _ in range(2):
        if not any(kind == "repeat" for kind, _ in found):
            found += _unrepeatable(case, kept, kept_loss, call(fn, copies(case.arrays)))
    kept_result = Result(kept_loss, kept)
    found += _misfits(problem, case, kept_result)
    loss = _scalar(kept_loss)
    if problem.provides_loss and loss is None:
        what = f"the loss has shape {kept_loss.shape} and dtype {kept_loss.dtype}; expected one real number"
        found.append(_found("loss", what, case))
    usable = provided(problem, case.arrays, kept_result)
    returned = tuple(usable.values())
    if problem.provides_loss and loss is not None and isinstance(first.loss, np.ndarray):
        returned += (kept_loss,) if kept_loss.dtype in (np.float32, np.float16) else ()
    return Visit(case, loss, usable, returned, tuple(found), _notes(problem, kept))


def _in_single(fn: GradientFunction, case: Case) -> str:
    """The end of a failure's sentence where the same arrays in float32 are taken."""
    single = {
        k: np.asarray(a, np.float32) if noise.is_real(a) else np.array(a) for k, a in case.arrays.items()
    }
    taken = call(fn, copies(case.arrays)).failure is not None and call(fn, single).failure is None
    return "; it takes the same arrays in float32, so convert them in front of it" if taken else ""


def _scalar(loss: Array) -> float | None:
    real = loss.dtype.kind in "fiu"
    return float(loss) if loss.ndim == 0 and real else None


def _elsewhere(problem: Problem, arrays: Arrays) -> dict[str, Array]:
    """Other valid values of the same shapes: every block shrunk by a tenth."""
    other = copies(arrays)
    for block in problem.blocks:
        other[block] = other[block] * 0.9
    return other


Found = list[tuple[str, Finding]]


def _found(kind: str, what: str, case: Case, block: str | None = None) -> tuple[str, Finding]:
    return kind, Finding(f"{what} (case {case.name!r})", block, case=case.name)


def _identical(one: Array, two: Array) -> bool:
    return bool(np.array_equal(one, two, equal_nan=one.dtype.kind == "f"))


def _damage(case: Case, after: Arrays) -> Found:
    changed = [n for n, a in case.arrays.items() if not _identical(np.asarray(a), after[n])]
    return [_found("damage", f"the function changes its input {n} in place", case, n) for n in changed]


def _aliases(case: Case, inputs: Arrays, result: Result) -> Found:
    pairs = [(b, n) for b, g in result.grads.items() for n, a in inputs.items() if np.shares_memory(g, a)]
    what = "shares memory with the input"
    return [_found("alias", f"the gradient of {b} {what} {n}", case, b) for b, n in pairs]


def _shared(case: Case, first: Result, kept: Arrays, kept_loss: Array) -> Found:
    what = "that the first call returned: the buffer is shared between calls"
    found = [
        _found("shared", f"a second call overwrites the gradient of {b} {what}", case, b)
        for b, g in first.grads.items()
        if not _identical(g, kept[b])
    ]
    if not _identical(first.loss, kept_loss):
        found.append(_found("shared", f"a second call overwrites the loss {what}", case))
    return found


def _unrepeatable(case: Case, kept: Arrays, kept_loss: Array, again: Result) -> Found:
    if again.failure is not None:
        return [_found("repeat", f"on a repeated call, {again.failure}", case)]
    found: Found = []
    for name, (one, two) in {
        **{b: (g, again.grads.get(b)) for b, g in kept.items()},
        "": (kept_loss, again.loss),
    }.items():
        if two is None or not _same(one, two, case.arrays):
            what = f"the gradient of {name}" if name else "the loss"
            text = f"{what} differs between two calls on the same arrays{_ratio(one, two)}"
            found.append(_found("repeat", text, case, name or None))
    return found


def _same(one: Array, two: Array, arrays: Arrays) -> bool:
    if one.shape != two.shape or one.dtype != two.dtype:
        return False
    if one.dtype.kind != "f":
        return bool(np.array_equal(one, two))
    if np.array_equal(one, two, equal_nan=True):
        return True
    with np.errstate(all="ignore"):
        slack = noise.floor(magnitude(one), 0.0, arrays, noise.precision_of(one.dtype.type))
        return bool(np.all(np.abs(one - two) <= slack))


def _ratio(one: Array, two: Array | None) -> str:
    if two is None or one.dtype.kind != "f" or one.shape != two.shape or not magnitude(one):
        return ""
    position = int(np.argmax(np.abs(one)))
    with np.errstate(all="ignore"):
        ratio = float(two.reshape(-1)[position] / one.reshape(-1)[position])
    whole = abs(ratio - round(ratio)) < 1e-6 and round(ratio) > 1 if np.isfinite(ratio) else False
    return f": the later one is {round(ratio)} times the first, so it accumulates over calls" if whole else ""


def _misfits(problem: Problem, case: Case, result: Result) -> Found:
    found: Found = []
    known = sizes(case.arrays, problem.steps(case.arrays) if problem.steps else None)
    unknown = [k for k in result.grads if k not in problem.blocks]
    if not any(b in result.grads for b in problem.blocks) and not problem.required:
        named, keys = ", ".join(problem.blocks), sorted(result.grads)
        found.append(
            _found("missing", f"no gradient of any of {named} is returned; the keys are {keys}", case)
        )
    for b in problem.blocks:
        if b not in result.grads:
            near = nearest(b, unknown)
            if b in problem.required or (near and not problem.required):  # what is expected; or a slip
                hint = f"; is it the key {near!r}?" if near else ""
                text = f"no gradient of {b} is returned; the keys are {sorted(result.grads)}{hint}"
                found.append(_found("missing", text, case, b))
            continue
        misfit = _misfit(result.grads[b], case.arrays[b], known)
        if misfit is not None:
            found.append(_found(misfit[0], f"dL/d{b} {misfit[1]}", case, b))
    return found


def _notes(problem: Problem, grads: Arrays) -> tuple[str, ...]:
    absent = [f"no gradient of {b} is provided; not compared" for b in problem.optional if b not in grads]
    lacking = [b for b in problem.blocks if b not in grads]
    extra = []
    for key in grads:
        if key not in problem.blocks:
            meant = next((b for b in lacking if nearest(b, [key])), None)
            hint = f" (is it meant as {meant!r}?)" if meant else ""
            extra.append(f"the returned key {key!r} is not a block of {problem.subject}; ignored{hint}")
    return tuple(absent + extra)


def contract_evidence(visits: list[Visit]) -> Evidence:
    """Findings of all visits, the first of each kind and block."""
    unique: dict[tuple[str, str | None], Finding] = {}
    for v in visits:
        for kind, finding in v.findings:
            unique.setdefault((kind, finding.block), finding)
    found = tuple(unique.values())
    summary = f"keys, shapes, dtypes, repeated calls and untouched inputs on {len(visits)} cases"
    if not visits:
        return Evidence("contract", "tested", "inconclusive", "no cases were drawn")
    return Evidence("contract", "tested", "refuted" if found else "verified", summary, found,
                    {"cases": float(len(visits))})  # fmt: skip
