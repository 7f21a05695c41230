"""The corners of a clip: zero, infinite, huge, tiny, empty and invalid arguments.

Every convention must keep zero at zero, leave small gradients as they are, and all gradients under an
infinite threshold, and accept an array without entries. A clip by the exact norm must also survive gradients
whose squares overflow, and must not hide an inf or NaN: refusing it is best, and passing it on in sight is
noted. Integers, and thresholds that are not positive, should be refused; where they are not, that is noted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bptt_verify.check.clipcalls import Call, Clip, observe
from bptt_verify.check.cliprules import Rule, norm
from bptt_verify.check.problem import Array, Arrays
from bptt_verify.verdict import Evidence, Finding, Verdict

RELATIVE, RELATIVE_SINGLE = 1e-11, 1e-5
EXACT = ("exact", "guarded")


def _anything(call: Call, rule: Rule) -> str | None:
    return None


@dataclass(frozen=True)
class Corner:
    """One corner.

    Attributes
    ----------
    name : str
    grads : mapping of str to array
    threshold : float
    complaint : callable
        ``complaint(call, rule)``: what is wrong, or None.
    remark : callable
        ``remark(call, rule)``: what is worth a note, or None.
    exact_only : bool
        Whether other conventions than the exact one are only noted.
    """

    name: str
    grads: Arrays
    threshold: float
    complaint: Callable[[Call, Rule], str | None]
    remark: Callable[[Call, Rule], str | None] = _anything
    exact_only: bool = False


def corner_evidence(fn: Clip, rule: Rule) -> tuple[Evidence, tuple[str, ...]]:
    """All corners for a function that follows a rule elsewhere; findings, and notes."""
    found, notes = list[Finding](), list[str]()
    corners = list(_corners())
    for corner in corners:
        call = observe(fn, corner.name, corner.grads, corner.threshold)
        what = corner.complaint(call, rule)
        if what is not None:
            text = f"{corner.name}: {what}"
            if corner.exact_only and rule.convention not in EXACT:
                notes.append(f"{text} (not required of this convention)")
            else:
                block = next(iter(corner.grads), None)
                found.append(Finding(text, block, case=corner.name))
            continue
        remark = corner.remark(call, rule)
        if remark is not None:
            notes.append(f"{corner.name}: {remark}")
    verdict: Verdict = "refuted" if found else "verified"
    evidence = Evidence("corners", "tested", verdict, f"{len(corners)} corners", tuple(found))
    return evidence, tuple(notes)


def _corners() -> Iterator[Corner]:
    g = {"w": np.array([[3.0, -4.0]]), "b": np.array([12.0])}
    zero = {"w": np.zeros((1, 2)), "b": np.zeros(1)}
    yield Corner("a zero gradient", zero, 1.0, _zero)
    yield Corner("a zero gradient in float32", _single(zero), 1.0, _zero)
    yield Corner("a zero gradient at θ = 0", zero, 0.0, _zero_or_refused)
    yield Corner("a gradient at θ = 0", g, 0.0, _no_nan)
    yield Corner("one array is zero", g | {"z": np.zeros(3)}, 1.0, _followed)
    yield Corner("the norm is the threshold", {"w": np.array([3.0]), "b": np.array([4.0])}, 5.0, _followed)
    yield Corner("an infinite threshold", g, np.inf, _unchanged)
    yield Corner("a zero gradient at an infinite threshold", zero, np.inf, _zero)
    tiny = {"w": np.array([[1e-200, -3e-201]]), "b": np.array([2e-200])}
    yield Corner("entries of 1e-200", tiny, 1.0, _unchanged)
    yield Corner(
        "subnormal entries", {"w": np.array([[5e-324, -1e-310]]), "b": np.array([0.0])}, 1.0, _unchanged
    )
    yield Corner("float32 entries of 1e-30", {"w": np.array([1e-30, -2e-31], np.float32)}, 1.0, _unchanged)
    huge = {k: v * 1e200 for k, v in g.items()}
    yield Corner("entries of 1e200, the square overflows", huge, 1.0, _followed, exact_only=True)
    large = {k: (v * 1e30).astype(np.float32) for k, v in g.items()}
    yield Corner("float32 entries of 1e30, the square overflows", large, 1.0, _followed, exact_only=True)
    yield Corner("one huge and one tiny array", {"w": huge["w"], "b": np.array([1e-3])}, 1e190, _followed,
                 exact_only=True)  # fmt: skip
    yield Corner("an array without entries", g | {"e": np.zeros((0, 3))}, 1.0, _followed)
    yield Corner("an array without axes", g | {"s": np.array(-2.0)}, 1.0, _followed)
    yield Corner("no arrays at all", {}, 1.0, _anything, _refused)
    for value in (np.inf, np.nan):
        hidden = {"W_hh": g["w"], "b_h": np.array([value])}
        yield Corner(f"an entry that is {value}", hidden, 1.0, _hidden, _in_sight, exact_only=True)
    integers = {"w": np.array([[3, -4]]), "b": np.array([12])}
    yield Corner("integer arrays", integers, 1.0, _anything, _truncated)
    yield Corner("θ = -1", g, -1.0, _anything, _accepted)
    yield Corner("θ = NaN", g, np.nan, _anything, _accepted)


def _single(grads: Arrays) -> dict[str, Array]:
    return {k: v.astype(np.float32) for k, v in grads.items()}


def _failed(call: Call) -> str | None:
    return f"it failed with {call.failure}" if call.failure is not None else call.misfit


def _zero(call: Call, rule: Rule) -> str | None:
    failed = _failed(call)
    if failed is not None:
        return failed
    if _any_nan(call.result):
        return "0/0: the result is NaN; expected 0"
    return None if not norm(call.result) else f"the result has norm {norm(call.result):g}; expected 0"


def _zero_or_refused(call: Call, rule: Rule) -> str | None:
    return _zero(call, rule) if call.returned else None


def _no_nan(call: Call, rule: Rule) -> str | None:
    return "the result is NaN; expected 0, or an error" if call.returned and _any_nan(call.result) else None


def _unchanged(call: Call, rule: Rule) -> str | None:
    failed = _failed(call)
    if failed is not None:
        return failed
    for k, g in call.grads.items():
        if not _near(call.result[k], g.astype(float), g):
            return f"{k} = {_shown(g)} becomes {_shown(call.result[k])}; expected no change"
    return None


def _followed(call: Call, rule: Rule) -> str | None:
    """The numbers of the rule."""
    failed = _failed(call)
    if failed is not None:
        return failed
    with np.errstate(all="ignore"):
        expected = rule.apply(call.grads, call.threshold)
    for k, g in call.grads.items():
        if not _near(call.result[k], expected[k], g):
            wanted = f"{k} = {_shown(g)} becomes {_shown(call.result[k])}; expected {_shown(expected[k])}"
            return wanted + _overflow(call)
    return None


def _overflow(call: Call) -> str:
    """How an overflow shows."""
    if max(float(np.abs(g).max(initial=0.0)) for g in call.grads.values()) < 1e20:
        return ""
    if _any_nan(call.result):
        return ". The squared norm overflows, and inf/inf or 0 inf is NaN"
    if not norm(call.result):
        return ". The squared norm overflows, and the gradient is set to zero"
    return ". The squared norm overflows"


def _hidden(call: Call, rule: Rule) -> str | None:
    """A number that is none must stay in sight, and not silently stop the other arrays."""
    if not call.returned:
        return call.misfit
    if np.isfinite(call.result["b_h"]).all():
        return (
            f"it is silently replaced: b_h = {_shown(call.grads['b_h'])} becomes {_shown(call.result['b_h'])}"
        )
    if not norm_or_nan(call.result["W_hh"]):
        return f"the other arrays are silently set to zero: W_hh = {_shown(call.grads['W_hh'])} becomes 0"
    return None


def norm_or_nan(array: Array) -> float:
    """0 only for an array of zeros."""
    return float(np.abs(array).sum())


def _in_sight(call: Call, rule: Rule) -> str | None:
    if call.failure is not None:
        return None if "b_h" in call.failure else "it is refused, but the message does not name the array"
    return "it is not refused, but passed on in sight"


def _truncated(call: Call, rule: Rule) -> str | None:
    if not call.returned:
        return None
    expected = rule.apply(call.grads, call.threshold)
    for k, g in call.grads.items():
        if not np.allclose(call.result[k], expected[k], rtol=RELATIVE_SINGLE):
            return f"it is not refused, and {k} = {_shown(g)} becomes {_shown(call.result[k])}"
    return "it is not refused"


def _accepted(call: Call, rule: Rule) -> str | None:
    return "it is not refused" if call.returned else None


def _refused(call: Call, rule: Rule) -> str | None:
    return None if call.returned else f"expected an empty dict, but {_failed(call)}"


def _near(found: Array, expected: Array, given: Array) -> bool:
    single = np.float32 in (found.dtype, given.dtype)
    with np.errstate(all="ignore"):
        slack = (RELATIVE_SINGLE if single else RELATIVE) * np.abs(expected).max(initial=0.0)
        smallest = 2e-45 if single else 5e-324
        return bool(np.all(np.abs(found.astype(float) - expected) <= slack + (smallest if single else 0.0)))


def _any_nan(grads: Arrays) -> bool:
    return any(bool(np.isnan(g).any()) for g in grads.values())


def _shown(array: Array) -> str:
    return np.array2string(np.asarray(array), precision=6, threshold=6).replace("\n", "")
