"""The statistical channel: a function that only takes a generator is sampled at one set of inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt_verify.check import Array, Arrays
from bptt_verify.check.budgets import Goal, Target
from bptt_verify.check.contract import Result, call
from bptt_verify.check.sequential import NOT_FINITE, TAILS, MeanResult, judge_means
from bptt_verify.errors import UsageError
from bptt_verify.verdict import Evidence, Finding, Verdict
from bptt_verify.verify.adapters import as_array
from bptt_verify.verify.samples import Samples

ZERO = 1e-13  # a target this small relative to the largest one is zero
ROUNDING, ROUNDING_SINGLE = 1e-6, 1e-4
ALIKE = 20  # calls with different generators that are compared with each other
LOSS = 1e-6  # relative; the loss is not compared more closely, there being a check of its own for that

Declared = Mapping[str, Any] | None


class SampleError(Exception):
    """A sample is not what the first one was."""


def sampling_evidence(
    samples: Samples, goal: Goal, variance: Declared, bound: Declared, rng: np.random.Generator
) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
    """The contract of the function, and the sequential test of its means."""
    seeds = rng.integers(0, 2**63, size=ALIKE)
    first, contract, notes = _contract(samples, seeds)
    if contract.verdict != "verified":
        return (contract,), (*samples.notes, *notes)
    blocks = [b for b in samples.targets if b in first.grads]
    unknown = [k for k in first.grads if k not in samples.targets]
    if unknown and samples.loss is None:
        raise UsageError(
            f"against: no target for {unknown[0]!r}; expected one for each array that fn returns."
        )
    targets = _targets({b: samples.targets[b] for b in blocks}, first, variance, bound)
    stream = np.random.default_rng(int(seeds[0]))
    try:
        results = judge_means(lambda n: _stacked(samples, blocks, stream, n), targets, goal)
    except SampleError as error:
        found = Evidence("samples", "tested", "refuted", str(error), (Finding(str(error)),))
        return (contract, found), (*samples.notes, *notes)
    test = _test_evidence(samples, results, goal)
    return (contract, test), (*samples.notes, *notes, *_result_notes(results, targets, goal))


def _contract(samples: Samples, seeds: Array) -> tuple[Result, Evidence, tuple[str, ...]]:
    """What is returned, whether the generator is what it depends on, and whether the loss is right."""
    results = [_called(samples, int(s)) for s in (seeds[0], seeds[0], *seeds[1:])]
    first, again = results[0], results[1]
    found = [Finding(r.failure) for r in results if r.failure][:1]
    if not found:
        found += _misfits(samples, first)
        if not _same(first, again):
            words = "two calls with equal generators differ: the function has randomness of its own"
            found.append(Finding(f"{words}, or remembers earlier calls"))
        found += _losses(samples, results)
    notes = [f"the returned key {k!r} is no block of the recurrence; ignored" for k in first.grads
             if k not in samples.targets]  # fmt: skip
    if not found and all(_same(first, r) for r in results):
        notes.append(f"{ALIKE} calls with different generators gave the same numbers")
    summary = f"keys, shapes, loss and repeated calls with {ALIKE} generators, {samples.where}"
    verdict: Verdict = "refuted" if found else "verified"
    return first, Evidence("contract", "tested", verdict, summary, tuple(found)), tuple(notes)


def _called(samples: Samples, seed: int) -> Result:
    def once(_: Arrays) -> Any:
        return samples.call(np.random.default_rng(seed))

    result = call(once, {})
    return Result(np.array(result.loss), {k: np.array(g) for k, g in result.grads.items()}, result.failure)


def _misfits(samples: Samples, first: Result) -> list[Finding]:
    missing = [b for b in samples.required if b not in first.grads]
    found = [
        Finding(f"no gradient of {b} is returned; the keys are {sorted(first.grads)}", b) for b in missing
    ]
    for b, target in samples.targets.items():
        grad = first.grads.get(b)
        if grad is not None and (grad.shape != target.shape or grad.dtype.kind != "f"):
            what = (
                f"dL/d{b} has shape {grad.shape} and dtype {grad.dtype}; expected {target.shape} and floats"
            )
            found.append(Finding(what, b))
    return found


def _same(one: Result, two: Result) -> bool:
    keys = one.grads.keys() == two.grads.keys()
    return keys and all(
        np.array_equal(g, two.grads[k], equal_nan=g.dtype.kind == "f") for k, g in one.grads.items()
    )


def _losses(samples: Samples, results: list[Result]) -> list[Finding]:
    values = [float(r.loss) for r in results if r.loss.ndim == 0 and r.loss.dtype.kind == "f"]
    if not values or all(np.isnan(v) for v in values):
        return []
    wanted = values[0] if samples.loss is None else samples.loss
    single = any(r.loss.dtype == np.float32 for r in results)
    off = [v for v in values if not abs(v - wanted) <= (100 * LOSS if single else LOSS) * abs(wanted)]
    expected = (
        "the same for all generators" if samples.loss is None else f"{wanted:.6g} whatever the generator"
    )
    return [Finding(f"the loss is {off[0]:.6g}; expected {expected}")] if off else []


def _targets(
    targets: Mapping[str, Array], first: Result, variance: Declared, bound: Declared
) -> dict[str, Target]:
    for what, declared in (("variance", variance), ("bound", bound)):
        if declared is not None and not isinstance(declared, Mapping):
            raise UsageError(f"{what}={declared!r:.60}; expected a dict by block.")
        unknown = [b for b in declared or () if b not in targets]
        if unknown:
            known = ", ".join(targets)
            raise UsageError(f"{what}: unknown block {unknown[0]!r}; expected some of {known}.")
    norms = {b: float(np.linalg.norm(v)) for b, v in targets.items()}
    largest = max(norms.values(), default=0.0)
    if not largest:
        raise UsageError("against: every target is zero; expected one that a bias can be relative to.")
    return {
        b: Target(
            values=v.reshape(-1).astype(float),
            scale=norms[b] if norms[b] > ZERO * largest else largest,
            variance=_total(variance, b, v.shape, "variance"),
            bound=_norm(bound, b, v.shape),
            rounding=ROUNDING_SINGLE if np.float32 in (first.grads[b].dtype, v.dtype) else ROUNDING,
        )
        for b, v in targets.items()
    }


def _declared(declared: Declared, block: str, shape: tuple[int, ...], what: str) -> Array | None:
    if declared is None or block not in declared:
        return None
    array = as_array(declared[block], f"{what}[{block!r}]").astype(float)
    if array.shape not in ((), shape) or not np.all(array >= 0) or not np.all(np.isfinite(array)):
        raise UsageError(
            f"{what}: {block} has shape {array.shape}; expected {shape} or a number, not negative."
        )
    return array


def _total(variance: Declared, block: str, shape: tuple[int, ...], what: str) -> float | None:
    array = _declared(variance, block, shape, what)
    return None if array is None else float(array.sum())


def _norm(bound: Declared, block: str, shape: tuple[int, ...]) -> float | None:
    array = _declared(bound, block, shape, "bound")
    return None if array is None else float(np.linalg.norm(np.broadcast_to(array, shape)))


def _stacked(samples: Samples, blocks: list[str], rng: np.random.Generator, count: int) -> dict[str, Array]:
    rows = [_sample(samples, blocks, rng) for _ in range(count)]
    return {b: np.stack([r[b] for r in rows]) for b in blocks}


def _sample(samples: Samples, blocks: list[str], rng: np.random.Generator) -> dict[str, Array]:
    result = call(lambda _: samples.call(rng), {})
    if result.failure:
        raise SampleError(result.failure)
    for b in blocks:
        if b not in result.grads or result.grads[b].shape != samples.targets[b].shape:
            raise SampleError(f"the gradient of {b} is missing or has another shape in some samples")
    return {b: np.array(result.grads[b], dtype=float).reshape(-1) for b in blocks}


def _test_evidence(samples: Samples, results: Mapping[str, MeanResult], goal: Goal) -> Evidence:
    wrong = {b: r for b, r in results.items() if r.state == "wrong"}
    right = [b for b, r in results.items() if r.state == "right"]
    verdict: Verdict = "refuted" if wrong else "verified" if len(right) == len(results) else "inconclusive"
    most = max(r.samples for r in results.values())
    summary = (
        f"{most} samples of {len(results)} blocks, {len(right)} right and {len(wrong)} wrong; false-alarm "
        f"rate {goal.false_alarm:g}, smallest bias {goal.smallest_bias:g}, power {goal.power:g}"
    )
    findings = tuple(_finding(b, samples.targets[b], r) for b, r in wrong.items())
    numbers = {"samples": float(most), **{f"bias of {b}": r.bias for b, r in results.items()}}
    return Evidence("sequential test", "tested", verdict, summary, findings, numbers)


def _finding(block: str, target: Array, r: MeanResult) -> Finding:
    index = tuple(int(i) for i in np.unravel_index(r.index, target.shape))
    if r.why == NOT_FINITE:
        return Finding(f"a sample of dL/d{block} is not finite, and the target is", block)
    expected = float(target[index])
    at = f" at [{', '.join(map(str, index))}]" if index else ""
    what = (
        f"the mean of dL/d{block} is biased: {_bias_words(r)}; largest{at}: mean {r.mean:.6g}, expected "
        f"{expected:.6g}{f' ({r.why})' if r.why else ''}"
    )
    return Finding(what, block, index, None, r.mean, expected, r.bias)


def _bias_words(r: MeanResult) -> str:
    limits = [f"at least {_percent(r.at_least)}"] if r.at_least > 0 else []
    limits += [f"at most {_percent(r.at_most)}"] if np.isfinite(r.at_most) else []
    centre, low, high = r.along
    if np.isfinite(low):
        limits.append(f"along the target {_percent(centre)}, between {_percent(low)} and {_percent(high)}")
    known = f" ({'; '.join(limits)}, each at 95 %)" if limits else ""
    return f"by {_percent(r.bias)} of its norm{known} after {r.samples} samples"


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _result_notes(
    results: Mapping[str, MeanResult], targets: Mapping[str, Target], goal: Goal
) -> tuple[str, ...]:
    notes = []
    for b, r in results.items():
        if r.state == "right":
            notes.append(f"{b}: {r.why}" if r.why else f"{b}: right; off {_bias_words(r)}")
        elif r.state == "open":
            needed = (
                f"{r.needed:.3g} samples are needed"
                if np.isfinite(r.needed)
                else "try xi= or keep=, or variance="
            )
            notes.append(f"{b}: cannot tell: {r.why} ({needed})")
        if not np.any(targets[b].values):
            notes.append(f"{b}: the target is zero; its bias is relative to the norm of the largest block")
    assumed = [b for b, r in results.items() if np.isfinite(r.moment) and targets[b].variance is None
               and targets[b].bound is None]  # fmt: skip
    if assumed:
        shown = ", ".join(f"{TAILS * results[b].kurtosis:.3g} for {b}" for b in assumed)
        notes.append(
            f"assumed, not known: E‖R‖⁴ ≤ K (E‖R‖²)², R the difference from the target, with K = {shown}"
        )
    return tuple(notes)
