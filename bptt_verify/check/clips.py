"""Judging a clip: which convention it follows, whether it keeps what that promises, and its corners."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from bptt_verify.check.clipcalls import Call, Clip, observe
from bptt_verify.check.clipcorners import corner_evidence
from bptt_verify.check.cliprules import MARGINS, NEGLIGIBLE, Rule, flat, norm, rule_of, rules
from bptt_verify.check.problem import Array, Arrays
from bptt_verify.verdict import Evidence, Finding, Knowledge

CONVENTIONS = ("exact", "torch", "per_parameter", "per_element")
SHAPES: dict[str, tuple[int, ...]] = {
    "W_hx": (4, 3),
    "b_q": (2,),
    "W_hh": (4, 4),
    "b_h": (4,),
    "W_qh": (3, 1),
}
ONE: dict[str, tuple[int, ...]] = {"w": (5,)}
AGREE, AGREE_SINGLE = 1e-12, 5e-6  # relative to the largest entry of an array
THRESHOLDS = (1e-3, 0.3, 40.0)  # besides the given one
PROMISES = {
    "exact": ", the direction, clipping twice, scaling by 4",
    "torch": ", the direction",
    "per_parameter": ", clipping twice, scaling by 4",
    "per_element": ", clipping twice, scaling by 4",
}
TESTED: Knowledge = "tested"

# A gradient's norm over the threshold, and the relative sizes of its arrays.
EVEN = (1.0, 1.0, 1.0, 1.0, 1.0)
POINTS: dict[str, tuple[float, tuple[float, ...]]] = {
    "outside": (3.0, EVEN),
    "inside": (0.5, EVEN),
    "inside, but not by other norms": (0.9, EVEN),
    "just outside, each array inside": (1.2, EVEN),
    "far outside": (100.0, (1.0, 0.3, 2.0, 0.5, 0.01)),
    "one large array": (2.0, (0.02, 0.05, 1.0, 0.03, 0.1)),
    "a large array of one axis": (4.0, (0.1, 1.0, 0.05, 0.2, 0.02)),
    "far inside": (0.01, EVEN),
}


def judge_clip(
    fn: Clip, threshold: float, convention: str | None, rng: np.random.Generator
) -> tuple[tuple[Evidence, ...], str | None, tuple[str, ...]]:
    """Evidence on a clip ``fn(grads, threshold)``, the rule it follows in words, and notes.

    Parameters
    ----------
    fn : callable
        Returns the clipped gradient, or changes the dict it is given.
    threshold : float
        Tried besides others.
    convention : {"exact", "torch", "per_parameter", "per_element"}, optional
        What it should follow; left out, any of them, and those with another margin added to the norm.
    rng : Generator
    """
    calls = [observe(fn, *point) for point in _points(threshold, rng)]
    again = observe(fn, calls[0].name, calls[0].grads, calls[0].threshold)
    form = _form_evidence(calls, again)
    usable = [c for c in calls if c.returned]
    rule = _followed(usable)
    evidence = [form]
    if usable:
        evidence.append(_rule_evidence(usable, rule, convention))
        evidence.append(_promise_evidence(fn, usable, rule, convention))
    notes = list(_notes(calls, rule, convention))
    if rule is not None and rule.convention is not None and form.verdict == "verified":
        corners, told = corner_evidence(fn, rule)
        evidence.append(corners)
        notes += told
    else:
        notes.append("the corners were not tried: no known convention is followed")
    return tuple(evidence), _diagnosis(evidence, rule), tuple(notes)


def _diagnosis(evidence: Sequence[Evidence], rule: Rule | None) -> str | None:
    """The rule that is followed, where it is not the one asked for or corners are missing."""
    refuted = {e.name: e for e in evidence if e.verdict == "refuted"}
    if rule is None or not refuted:
        return None
    corners = refuted.get("corners")
    if corners is None or "convention" in refuted:
        return f"it {rule.words}"
    return f"it {rule.words}, but not at these corners: {'; '.join(str(f.case) for f in corners.findings)}"


def _followed(calls: Sequence[Call]) -> Rule | None:
    """The first rule that gives the numbers of all calls."""
    if not calls:
        return None
    return next((r for r in rules() if all(agrees(c, r) for c in calls)), None) or _other_threshold(calls)


def _points(threshold: float, rng: np.random.Generator) -> Iterator[tuple[str, Arrays, float]]:
    for t in dict.fromkeys((float(threshold), *THRESHOLDS)):
        for name, (length, sizes) in POINTS.items():
            yield f"{name}, θ={t:g}", drawn(SHAPES, length * t, sizes, rng), t
        yield f"a single array, θ={t:g}", drawn(ONE, 2.5 * t, (1.0,), rng), t
    single = {k: v.astype(np.float32) for k, v in drawn(SHAPES, 3 * threshold, EVEN, rng).items()}
    yield "float32", single, float(threshold)


def drawn(
    shapes: dict[str, tuple[int, ...]], length: float, sizes: Sequence[float], rng: np.random.Generator
) -> dict[str, Array]:
    """A random gradient of a given norm; its elements do not sum to zero."""
    raw = {
        k: np.asarray(size * (rng.normal(size=s) + 0.3))
        for (k, s), size in zip(shapes.items(), sizes, strict=True)
    }
    factor = length / norm(raw)
    return {k: g * factor for k, g in raw.items()}


def agrees(call: Call, rule: Rule) -> bool:
    """Whether the numbers of a call are those of a rule, to rounding."""
    with np.errstate(all="ignore"):
        expected = rule.apply(call.grads, call.threshold)
    return all(_close(call.result[k], expected[k], call.grads[k]) for k in call.grads)


def _close(found: Array, expected: Array, given: Array) -> bool:
    single = np.float32 in (found.dtype, given.dtype)
    tolerance = AGREE_SINGLE if single else AGREE
    scale = np.abs(expected).max(initial=0.0)
    with np.errstate(all="ignore"):
        near = np.abs(found.astype(float) - expected) <= tolerance * scale
    return bool(np.isfinite(scale) and np.all(near))


def _other_threshold(calls: Sequence[Call]) -> Rule | None:
    """The clip with a margin or a threshold of its own, at a multiple of the given one, or times a number."""
    double = [c for c in calls if c.name != "float32"]
    smaller = [c for c in double if 0 < norm(c.result) < 0.999 * norm(c.grads)]
    if not smaller:
        return None
    far = max(double, key=lambda c: norm(c.grads))
    own, share = norm(far.result), norm(far.result) / far.threshold
    exact, single = rule_of("exact").apply, rule_of("per_parameter").apply
    found = [_own_margin(min(smaller, key=lambda c: norm(c.grads)))]
    for clip, by in ((exact, ""), (single, " array by array")):
        found += [
            Rule(f"clips to the norm {own:.6g}{by}, whatever the threshold", partial(_at, clip, own)),
            Rule(f"clips to {share:.6g} θ instead of θ{by}", partial(_at_share, clip, share)),
            Rule(f"returns {share:.6g} times the clipped gradient{by}", partial(_times, clip, share)),
        ]
    return next((r for r in found if all(agrees(c, r) for c in calls)), None)


def _own_margin(call: Call) -> Rule:
    """The clip with some other number added to the norm."""
    margin = norm(call.grads) / norm(call.result) * call.threshold - norm(call.grads)
    words = f"clips by the norm over all arrays + {margin:.3g} (guarded)"
    return Rule(
        words, partial(_with_margin, margin), "guarded" if 0 < margin <= max(MARGINS) else None, margin
    )


def _with_margin(margin: float, grads: Arrays, threshold: float) -> Arrays:
    factor = min(1.0, threshold / (norm(grads) + margin))
    return {k: factor * g for k, g in grads.items()}


def _at(clip: object, own: float, grads: Arrays, threshold: float) -> Arrays:
    return clip(grads, own)  # type: ignore[operator, no-any-return]


def _at_share(clip: object, share: float, grads: Arrays, threshold: float) -> Arrays:
    return clip(grads, share * threshold)  # type: ignore[operator, no-any-return]


def _times(clip: object, share: float, grads: Arrays, threshold: float) -> Arrays:
    return {k: share * g for k, g in clip(grads, threshold).items()}  # type: ignore[operator]


def _form_evidence(calls: Sequence[Call], again: Call) -> Evidence:
    """What it returns has the form of a gradient, its arguments are left alone, and it has no memory."""
    found: dict[str, Finding] = {}
    for c in calls:
        if c.failure is not None:
            found.setdefault("failure", Finding(f"it failed with {c.failure} ({c.name})", case=c.name))
        if c.misfit is not None:
            found.setdefault("misfit", Finding(f"{c.misfit} ({c.name})", case=c.name))
        if "damages" in c.traits:
            what = f"it changes its arguments although it returns other arrays ({c.name})"
            found.setdefault("damage", Finding(what, case=c.name))
    first = calls[0]
    if (
        first.returned
        and again.returned
        and any(not np.array_equal(first.result[k], again.result[k], equal_nan=True) for k in first.grads)
    ):
        found["repeat"] = Finding(f"a second call on the same arrays differs ({first.name})", case=first.name)
    return Evidence(
        "form", TESTED, "refuted" if found else "verified",
        f"keys, shapes, repeated calls and untouched arguments in {len(calls)} calls", tuple(found.values()),
    )  # fmt: skip


def accepted(rule: Rule | None, convention: str | None) -> bool:
    """Whether a rule is what a convention asks for."""
    if rule is None or rule.convention is None:
        return False
    if convention is None or rule.convention == convention:
        return True
    same = "per_parameter" if "per_parameter" in rule.words else "exact"
    return rule.convention == "guarded" and rule.margin <= NEGLIGIBLE and convention == same


def _rule_evidence(calls: Sequence[Call], rule: Rule | None, convention: str | None) -> Evidence:
    wanted = rule_of(convention or "exact")
    summary = f"compared with the known ways to clip in {len(calls)} calls"
    if rule is not None:
        summary += f": it {rule.words}"
    if accepted(rule, convention):
        return Evidence("convention", TESTED, "verified", summary)
    differing = [c for c in calls if not agrees(c, wanted)]
    found = [_difference(c, wanted) for c in differing[:3]]
    return Evidence("convention", TESTED, "refuted", summary, tuple(found))


def _difference(call: Call, wanted: Rule) -> Finding:
    """Where a call differs most from a rule."""
    expected = wanted.apply(call.grads, call.threshold)
    gaps = {k: np.abs(call.result[k].astype(float) - expected[k]) for k in call.grads}
    block = max(gaps, key=lambda k: float(np.nan_to_num(gaps[k], nan=np.inf).max(initial=0.0)))
    position = int(np.nan_to_num(gaps[block], nan=np.inf).argmax())
    index = tuple(int(i) for i in np.unravel_index(position, gaps[block].shape))
    one, two = float(call.result[block][index]), float(expected[block][index])
    n, m, w = norm(call.grads), norm(call.result), norm(expected)
    what = (
        f"{call.name}: a gradient of norm {n:.6g} becomes one of norm {m:.6g}, and {block}{list(index)} is "
        f"{one:.9g}; a function that {wanted.words} gives norm {w:.6g} and {two:.9g}"
    )
    scale = float(np.abs(expected[block]).max()) or 1.0
    return Finding(what, block, index, None, one, two, float(gaps[block][index]) / scale, call.name)


def _promise_evidence(fn: Clip, calls: Sequence[Call], rule: Rule | None, convention: str | None) -> Evidence:
    """The bound on the norm, the direction, clipping twice, and scaling, as far as they are promised."""
    followed = rule.convention if rule is not None else None
    kind = convention or (followed if followed in CONVENTIONS else "exact")
    found: dict[str, Finding] = {}
    for c in calls:
        for name, finding in _broken(fn, c, kind, exactly=followed != "guarded"):
            found.setdefault(name, finding)
    bound = {"per_parameter": "√P θ", "per_element": "√N θ"}.get(kind, "θ")
    worst = max((norm(c.result) / c.threshold for c in calls), default=0.0)
    return Evidence(
        "promises", TESTED, "refuted" if found else "verified",
        f"norm at most {bound}{PROMISES[kind]}, in {len(calls)} calls; largest norm {worst:.6g} θ",
        tuple(found.values()), {"largest norm over threshold": worst},
    )  # fmt: skip


def _broken(fn: Clip, call: Call, kind: str, exactly: bool) -> Iterator[tuple[str, Finding]]:
    single = any(np.float32 in (call.result[k].dtype, call.grads[k].dtype) for k in call.grads)
    slack = AGREE_SINGLE if single else AGREE
    count = {"per_parameter": len(call.grads), "per_element": flat(call.grads).size}.get(kind, 1)
    given, length, limit = norm(call.grads), norm(call.result), count**0.5 * call.threshold
    if not length <= min(limit, given) * (1 + slack):
        most = f"{limit:.9g}" if limit < given else f"that of the gradient, {given:.9g}"
        yield _promise(call, "bound", f"the norm of the result is {length:.9g}; expected at most {most}")
    if kind in ("exact", "torch"):
        cosine = float(flat(call.grads) / given @ (flat(call.result) / (length or 1.0)))
        if not abs(cosine - 1) <= slack:
            yield _promise(call, "direction", f"gradient and result have the cosine {cosine:.9g}; expected 1")
    if kind == "torch" or not exactly:  # a margin is not scaled with the rest
        return
    twice = observe(fn, call.name, call.result, call.threshold)
    if twice.returned and not _alike(twice.result, call.result, slack):
        yield _promise(call, "twice", "clipping the result once more changes it")
    fourfold = {k: np.asarray(4 * g) for k, g in call.grads.items()}
    scaled = observe(fn, call.name, fourfold, 4 * call.threshold)
    if scaled.returned and not _alike(scaled.result, {k: 4 * v for k, v in call.result.items()}, slack):
        yield _promise(call, "scaling", "4 g clipped to 4 θ is not 4 times g clipped to θ")


def _promise(call: Call, name: str, what: str) -> tuple[str, Finding]:
    return name, Finding(f"{call.name}: {what}", case=call.name)


def _alike(one: Arrays, two: Arrays, slack: float) -> bool:
    with np.errstate(all="ignore"):
        return all(
            np.all(np.abs(one[k] - two[k]) <= slack * np.abs(two[k]).max(initial=0.0) + 1e-300) for k in two
        )


def _notes(calls: Sequence[Call], rule: Rule | None, convention: str | None) -> Iterator[str]:
    traits = frozenset[str]().union(*(c.traits for c in calls))
    if "in place" in traits:
        yield "it changes the gradient in place"
    if "aliases" in traits:
        yield "where nothing is clipped it may return the given arrays themselves, not copies"
    kinds = {(str(g.dtype), str(c.result[k].dtype)) for c in calls if c.returned for k, g in c.grads.items()}
    for given, returned in sorted(kinds):
        if given != returned:
            yield f"for {given} it returns {returned}"
    if rule is not None and rule.convention == "guarded":
        yield f"a margin is added: it {rule.words}"
