"""Judging a clipped update w ← w - η clip_θ(g): which clip it makes, and what else it gets wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, cycle, islice
from typing import Any

import numpy as np

from bptt_verify.check.clipcalls import Call, observe
from bptt_verify.check.clipcorners import corner_evidence
from bptt_verify.check.cliprules import Rule, rule_of, rules
from bptt_verify.check.clips import AGREE, AGREE_SINGLE, POINTS, accepted, drawn
from bptt_verify.check.problem import Array, Arrays
from bptt_verify.verdict import Evidence, Finding

Step = Callable[[Any, Any, float, float], Any]
Shapes = Mapping[str, tuple[int, ...]]

OTHERS = {"x": (3, 2), "h0": (4,)}  # what a kernel's gradients hold besides those of parameters
LARGE = 50.0  # their norm over the threshold


@dataclass(frozen=True)
class Update:
    """One call of an update.

    Attributes
    ----------
    call : Call
        Its ``grads`` are the parameters, its ``result`` the new ones.
    grads : mapping of str to array
        As sent: of the parameters, and others.
    step_size : float
    spoiled : bool
        Whether the gradients were changed.
    """

    call: Call
    grads: Arrays
    step_size: float
    spoiled: bool

    @property
    def used(self) -> Arrays:
        """The gradients of the parameters."""
        return {k: self.grads[k] for k in self.call.grads}


@dataclass(frozen=True)
class Form:
    """What an update makes of a clip.

    Attributes
    ----------
    words : str
    apply : callable
        ``apply(clip, update)`` gives the new parameters.
    """

    words: str
    apply: Callable[[Rule, Update], Arrays]


def update_of(
    fn: Step, name: str, params: Arrays, grads: Arrays, step_size: float, threshold: float
) -> Update:
    """Call an update on copies."""
    sent = {k: np.array(g) for k, g in grads.items()}
    call = observe(lambda given, t: fn(given, sent, step_size, t), name, params, threshold)
    spoiled = any(not np.array_equal(sent.get(k, ()), g) for k, g in grads.items())
    return Update(call, grads, step_size, spoiled)


def _clipped(rule: Rule, u: Update, factor: float = 1.0) -> Arrays:
    return rule.apply({k: factor * g for k, g in u.used.items()}, u.call.threshold)


def _moved(factor: Callable[[float], float], keep: float, rule: Rule, u: Update) -> Arrays:
    """keep w + factor(η) clip_θ(g)."""
    clipped, s = _clipped(rule, u), factor(u.step_size)
    return {k: keep * w + s * clipped[k] for k, w in u.call.grads.items()}


def _counting_all(rule: Rule, u: Update) -> Arrays:
    clipped = rule.apply(u.grads, u.call.threshold)
    return {k: w - u.step_size * clipped[k] for k, w in u.call.grads.items()}


def _clipping_the_step(rule: Rule, u: Update) -> Arrays:
    step = _clipped(rule, u, u.step_size)
    return {k: w - step[k] for k, w in u.call.grads.items()}


def _clipping_the_parameters(rule: Rule, u: Update) -> Arrays:
    new = {k: w - u.step_size * u.grads[k] for k, w in u.call.grads.items()}
    return rule.apply(new, u.call.threshold)


def _swapped(rule: Rule, u: Update) -> Arrays:
    clipped = rule.apply(u.used, u.step_size)
    return {k: w - u.call.threshold * clipped[k] for k, w in u.call.grads.items()}


def _decayed(rule: Rule, u: Update) -> Arrays:
    clipped = _clipped(rule, u)
    return {k: (1 - u.step_size) * w - u.step_size * clipped[k] for k, w in u.call.grads.items()}


RIGHT = Form("", partial(_moved, lambda s: -s, 1.0))
FORMS = (
    Form("climbs: it adds η clip(g)", partial(_moved, lambda s: s, 1.0)),
    Form("misses η: it subtracts clip(g)", partial(_moved, lambda s: -1.0, 1.0)),
    Form("misses η and climbs: it adds clip(g)", partial(_moved, lambda s: 1.0, 1.0)),
    Form("squares η", partial(_moved, lambda s: -s * s, 1.0)),
    Form("divides by η", partial(_moved, lambda s: -1 / s, 1.0)),
    Form("makes half the step", partial(_moved, lambda s: -s / 2, 1.0)),
    Form("makes the step twice", partial(_moved, lambda s: -2 * s, 1.0)),
    Form("returns the step -η clip(g) without the parameters", partial(_moved, lambda s: -s, 0.0)),
    Form("returns η clip(g) without the parameters", partial(_moved, lambda s: s, 0.0)),
    Form("returns clip(g) without the parameters", partial(_moved, lambda s: 1.0, 0.0)),
    Form("returns the parameters as they are", partial(_moved, lambda s: 0.0, 1.0)),
    Form("counts all entries of grads, not only those of parameters", _counting_all),
    Form("clips the step η g instead of the gradient", _clipping_the_step),
    Form("clips the new parameters instead of the gradient", _clipping_the_parameters),
    Form("swaps step size and threshold", _swapped),
    Form("also shrinks the parameters by 1 - η", _decayed),
)


def judge_update(
    fn: Step,
    shapes: Shapes,
    step_size: float,
    threshold: float,
    convention: str | None,
    rng: np.random.Generator,
) -> tuple[tuple[Evidence, ...], str | None, tuple[str, ...], Rule | None]:
    """Evidence on ``fn(params, grads, step_size, threshold)``, its mistake in words, notes, and its clip."""
    updates = [update_of(fn, *p) for p in _points(shapes, step_size, threshold, rng)]
    usable = [u for u in updates if u.call.returned]
    rule, form = _followed(usable)
    right = form is RIGHT and accepted(rule, convention)
    evidence = [_form_evidence(updates), _value_evidence(usable, rule, form, right, convention)]
    notes = list(_notes(updates))
    words = _words(rule, form)
    if right and rule is not None:
        corners, told = corner_evidence(partial(_as_clip, fn), rule)
        evidence.append(corners)
        notes += told
        if corners.verdict == "verified":
            words = None
        else:
            names = "; ".join(str(f.case) for f in corners.findings)
            words = f"the clip fails at these corners: {names}"
    return tuple(evidence), words, tuple(notes), rule if right else None


def _as_clip(fn: Step, grads: Any, threshold: float) -> Any:
    """The clip in an update: the step of size 1 from zero."""
    zero = {k: np.zeros_like(g) for k, g in grads.items()}
    u = update_of(fn, "", zero, grads, 1.0, threshold)
    if not u.call.returned:
        raise ValueError(u.call.failure or u.call.misfit)
    return {k: -v for k, v in u.call.result.items()}


def _points(
    shapes: Shapes, step_size: float, threshold: float, rng: np.random.Generator
) -> Iterator[tuple[str, Arrays, Arrays, float, float]]:
    for eta, theta in dict.fromkeys(((step_size, threshold), (0.37, 1e-3), (2.5, 0.3), (0.01, 40.0))):
        for name, (length, sizes) in POINTS.items():
            each = tuple(islice(cycle(sizes), len(shapes)))
            grads = drawn(dict(shapes), length * theta, each, rng)
            others = drawn(OTHERS, LARGE * theta, (1.0, 1.0), rng)
            size = (
                theta * eta * (name != "outside")
            )  # from zero once: there the step is seen to the last digit
            params = {k: np.asarray(size * rng.normal(size=s)) for k, s in shapes.items()}
            where = f"{name}, η={eta:g}, θ={theta:g}"
            yield where, params, grads | {k: v for k, v in others.items() if k not in grads}, eta, theta
    single = {k: v.astype(np.float32) for k, v in grads.items()}
    small = {k: v.astype(np.float32) for k, v in params.items()}
    yield "float32", small, single, eta, theta


def _followed(updates: Sequence[Update]) -> tuple[Rule | None, Form | None]:
    """The first rule and form that give all new parameters."""
    if not updates:
        return None, None
    known = list(rules())
    conventions = [r for r in known if r.convention is not None]
    tried = chain(((r, RIGHT) for r in conventions), ((r, f) for f in FORMS for r in conventions),
                  ((r, RIGHT) for r in known))  # fmt: skip
    return next(((r, f) for r, f in tried if all(_agrees(u, r, f) for u in updates)), (None, None))


def _agrees(u: Update, rule: Rule, form: Form) -> bool:
    with np.errstate(all="ignore"):
        expected = form.apply(rule, u)
    return all(_close(u.call.result[k], expected[k], w) for k, w in u.call.grads.items())


def _close(found: Array, expected: Array, param: Array) -> bool:
    single = np.float32 in (found.dtype, param.dtype)
    scale = max(np.abs(expected).max(initial=0.0), np.abs(param).max(initial=0.0))
    with np.errstate(all="ignore"):
        near = np.abs(found.astype(float) - expected) <= (AGREE_SINGLE if single else AGREE) * scale
    return bool(np.isfinite(scale) and np.all(near))


def _form_evidence(updates: Sequence[Update]) -> Evidence:
    found: dict[str, Finding] = {}
    for u in updates:
        c = u.call
        if not c.returned:
            what = f"it failed with {c.failure}" if c.failure is not None else c.misfit
            found.setdefault("failure", Finding(f"{what} ({c.name})", case=c.name))
        if "damages" in c.traits:
            what = f"it changes its parameters although it returns other arrays ({c.name})"
            found.setdefault("damage", Finding(what, case=c.name))
    return Evidence(
        "form", "tested", "refuted" if found else "verified",
        f"keys, shapes and untouched arguments in {len(updates)} calls", tuple(found.values()),
    )  # fmt: skip


def _value_evidence(
    updates: Sequence[Update], rule: Rule | None, form: Form | None, right: bool, convention: str | None
) -> Evidence:
    summary = f"compared with known updates in {len(updates)} calls"
    words = _words(rule, form)
    if words is not None:
        summary += f": {words}"
    if right:
        return Evidence("update", "tested", "verified", summary)
    wanted = rule_of(convention or "exact")
    differing = [u for u in updates if not _agrees(u, wanted, RIGHT)]
    found = tuple(_difference(u, wanted) for u in differing[:3])
    return Evidence("update", "tested", "refuted" if found else "inconclusive", summary, found)


def _words(rule: Rule | None, form: Form | None) -> str | None:
    if rule is None or form is None:
        return None
    return f"it {rule.words}" if form is RIGHT else f"it {form.words}; otherwise it {rule.words}"


def _difference(u: Update, wanted: Rule) -> Finding:
    """Where an update differs most from the right one."""
    expected = RIGHT.apply(wanted, u)
    gaps = {k: np.nan_to_num(np.abs(u.call.result[k] - expected[k]), nan=np.inf) for k in expected}
    block = max(gaps, key=lambda k: float(gaps[k].max(initial=0.0)))
    index = tuple(int(i) for i in np.unravel_index(int(gaps[block].argmax()), gaps[block].shape))
    old, new, right = (float(a[block][index]) for a in (u.call.grads, u.call.result, expected))
    what = f"{u.call.name}: {block}{list(index)} goes from {old:.9g} to {new:.9g}; expected {right:.9g}"
    return Finding(what, block, index, None, new, right, case=u.call.name)


def _notes(updates: Sequence[Update]) -> Iterator[str]:
    if any("in place" in u.call.traits for u in updates):
        yield "it changes the parameters in place"
    if any(u.spoiled for u in updates):
        yield "it changes the gradients that it is given"
    for u in updates:
        kinds = {
            (str(w.dtype), str(u.call.result[k].dtype)) for k, w in u.call.grads.items() if u.call.returned
        }
        for given, returned in sorted(kinds):
            if given != returned:
                yield f"for {given} it returns {returned} ({u.call.name})"
                return
