"""check_clip: wrong clips are refuted and named, right ones of any style are not, corners are told apart."""

import math

import numpy as np
import pytest
import scipy.linalg

from bptt_verify.check.cliprules import rules
from bptt_verify.codegen import generate_update
from bptt_verify.errors import CheckFailedError, UsageError
from bptt_verify.kernels.updates import clip_by_norm
from bptt_verify.verify import assert_clip, check_clip


def length(arrays):
    return math.sqrt(sum(float(np.sum(np.asarray(a, float) ** 2)) for a in arrays))


def times(grads, factor):
    return {k: g * g.dtype.type(factor) for k, g in grads.items()}


def by(measure):
    """The usual min(1, θ/n) with another measure n of a list of arrays."""
    return lambda grads, threshold: times(grads, min(1.0, threshold / measure(list(grads.values()))))


def each(function):
    return lambda grads, threshold: {k: function(g, threshold) for k, g in grads.items()}


def only(which):
    def clip(grads, threshold):
        factor = min(1.0, threshold / length(grads.values()))
        return {k: g * (factor if which(g) else 1) for k, g in grads.items()}

    return clip


def reversed_condition(grads, threshold):
    n = length(grads.values())
    return times(grads, threshold / n) if n < threshold else grads


def forgets_the_first(grads, threshold):
    total = 0.0
    for g in list(grads.values())[1:]:
        total += np.sum(g**2)
    return times(grads, min(1.0, threshold / (np.sqrt(total) + 1e-300)))


def in_place_upside_down(grads, threshold):
    n = length(grads.values())
    if n > threshold:
        for g in grads.values():
            g *= n / threshold


WRONG = {
    "max instead of min": (lambda g, t: times(g, max(1.0, t / length(g.values()))), "max instead of min"),
    "reversed condition": (reversed_condition, "max instead of min"),
    "always rescaled": (lambda g, t: times(g, t / length(g.values())), "always divides by the norm"),
    "no clip": (lambda g, t: dict(g), "does not clip at all"),
    "learning rate": (lambda g, t: times(g, t), "learning rate"),
    "divided by the threshold": (lambda g, t: times(g, 1 / t), "divides by the threshold"),
    "summed norms": (by(lambda a: sum(map(np.linalg.norm, a))), "the sum of the arrays' norms"),
    "mean of norms": (by(lambda a: np.mean([np.linalg.norm(x) for x in a])), "the mean of the arrays' norms"),
    "largest norm": (by(lambda a: max(map(np.linalg.norm, a))), "the largest of the arrays' norms"),
    "squared norm": (by(lambda a: length(a) ** 2), "no root is taken"),
    "1-norm": (by(lambda a: sum(np.abs(x).sum() for x in a)), "clips by the 1-norm"),
    "max-norm": (by(lambda a: max(np.abs(x).max() for x in a)), "max-norm"),
    "root mean square": (by(lambda a: length(a) / math.sqrt(sum(x.size for x in a))), "root mean square"),
    "averaged": (by(lambda a: length(a) / len(a)), "the norm over the number of arrays"),
    "norms not squared": (by(lambda a: math.sqrt(sum(map(np.linalg.norm, a)))), "they are not squared"),
    "matrices only": (by(lambda a: length([x for x in a if x.ndim > 1]) or 1e-300), "of the matrices"),
    "first forgotten": (forgets_the_first, "all arrays but the first"),
    "biases left alone": (only(lambda g: g.ndim > 1), "clips only the matrices"),
    "upside down": (in_place_upside_down, "upside down outside"),
    "to one": (
        lambda g, t: times(g, 1 / length(g.values()) if length(g.values()) > t else 1.0),
        "scales to 1 instead of θ",
    ),
    "zero outside": (lambda g, t: times(g, float(length(g.values()) <= t)), "sets the gradient to zero"),
    "a large margin": (by(lambda a: length(a) + 0.125), "+ 0.125"),
    "own threshold": (lambda g, t: clip_by_norm(g, 0.7), "clips to the norm 0.7, whatever the threshold"),
    "half": (lambda g, t: clip_by_norm(g, t / 2), "clips to 0.5 θ"),
    "averaged after": (lambda g, t: times(clip_by_norm(g, t), 0.2), "returns 0.2 times the clipped"),
    "descent": (lambda g, t: times(clip_by_norm(g, t), -1.0), "turns the sign"),
    "from above": (each(np.minimum), "from above only"),
    "signs lost": (each(lambda g, t: np.minimum(np.abs(g), t)), "signs are lost"),
    "elements to zero": (each(lambda g, t: np.where(np.abs(g) > t, 0, g)), "beyond ±θ to zero"),
    "squashed": (each(lambda g, t: t * np.tanh(g / t)), "tanh"),
    "rows": (
        each(lambda g, t: g * np.minimum(1, t / np.linalg.norm(g, axis=-1, keepdims=True))),
        "every row",
    ),
    "each to a share": (
        lambda g, t: {k: v for n in g for k, v in clip_by_norm({n: g[n]}, t / len(g)).items()},
        "to θ/P",
    ),
    "small arrays": (by(lambda a: length([x for x in a if x.size > 2]) or 1e-300), "of more than 2 elements"),
    "small norms": (
        lambda g, t: times(g, min(1.0, t / (length([x for x in g.values() if length([x]) > t]) or 1e-300))),
        "whose own norm is at most θ",
    ),
    "unknown": (each(lambda g, t: g * np.exp(-np.abs(g) / t)), None),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("threshold", [1.0, 0.02])
def test_a_wrong_clip_is_refuted_and_named(name, threshold):
    fn, words = WRONG[name]
    report = check_clip(fn, threshold, rng=1)
    assert report.verdict == "refuted", report
    assert report.findings
    assert report.diagnosis is None if words is None else words in report.diagnosis, report


def test_no_two_known_rules_are_the_same():
    words = [r.words for r in rules()]
    assert len(words) == len(set(words))


def scaled_norm(grads):
    peak = max((float(np.abs(g).max(initial=0.0)) for g in grads.values()), default=0.0)
    if not np.isfinite(peak):
        raise FloatingPointError(f"not finite: {[k for k, g in grads.items() if not np.isfinite(g).all()]!r}")
    half = math.frexp(peak)[1]
    return math.ldexp(length([np.ldexp(np.asarray(g, float), -half) for g in grads.values()]), half)


def functional(grads, threshold):
    n = scaled_norm(grads)
    return {k: (g if n <= threshold else (g / n * threshold).astype(g.dtype)) for k, g in grads.items()}


def in_place(grads, threshold):
    n = scaled_norm(grads)
    if n > threshold:
        for g in grads.values():
            g[...] = g / n * threshold


def in_place_with_norm(grads, threshold):
    in_place(grads, threshold)
    return length(grads.values())


def replaced_in_the_dict(grads, threshold):
    grads.update(functional(grads, threshold))


def with_norm(grads, threshold):
    return functional(grads, threshold), scaled_norm(grads)


def norm_first(grads, threshold):
    return scaled_norm(grads), functional(grads, threshold)


def as_list(grads, threshold):
    return list(functional(grads, threshold).values())


def nrm2(grads, threshold):
    flat = np.concatenate([np.zeros(1), *(np.asarray(g, float).ravel() for g in grads.values())])
    n = scipy.linalg.norm(flat)
    if n <= threshold:
        return grads
    parts = np.split(flat[1:] / n * threshold, np.cumsum([g.size for g in grads.values()])[:-1])
    return {k: p.reshape(g.shape) for (k, g), p in zip(grads.items(), parts, strict=True)}


def hypot(grads, threshold):
    if any(not np.isfinite(g).all() for g in grads.values()):
        raise ValueError("no number in " + ", ".join(map(repr, grads)))
    n = math.hypot(*(float(v) for g in grads.values() for v in g.ravel()))
    return {k: g * (threshold / max(n, threshold)) if n > threshold else g for k, g in grads.items()}


def single_precision(grads, threshold):
    return {k: np.asarray(v, np.float32) for k, v in clip_by_norm(grads, threshold).items()}


def guarded_by_almost_nothing(grads, threshold):
    n = scaled_norm(grads)
    return {k: np.multiply(g / (n + 1e-12), min(threshold, n)) if n > threshold else g
            for k, g in grads.items()}  # fmt: skip


class Clipper:
    def __call__(self, grads, threshold):
        return clip_by_norm(grads, threshold)


RIGHT = [functional, in_place, in_place_with_norm, replaced_in_the_dict, with_norm, norm_first, as_list, nrm2,
         hypot, guarded_by_almost_nothing, clip_by_norm, Clipper()]  # fmt: skip


@pytest.mark.parametrize("fn", RIGHT, ids=lambda f: getattr(f, "__name__", "object"))
@pytest.mark.parametrize("convention", [None, "exact"])
@pytest.mark.parametrize("threshold", [1, 1e-2, 300.0])
def test_a_right_clip_is_verified_in_any_style(fn, convention, threshold):
    report = check_clip(fn, threshold, convention, rng=2)
    assert report.verdict == "verified", report


@pytest.mark.parametrize("convention", ["exact", "torch", "per_parameter", "per_element"])
@pytest.mark.parametrize("asked", [None, "exact", "torch", "per_parameter", "per_element"])
def test_the_conventions_are_told_apart(convention, asked):
    report = check_clip(generate_update(convention=convention).clip, 1.0, asked, rng=3)
    assert report.verdict == ("verified" if asked in (None, convention) else "refuted"), report
    summary = next(e.summary for e in report.evidence if e.name == "convention")
    assert f"({convention})" in summary
    if report.verdict == "refuted":
        assert f"({convention})" in report.diagnosis
        assert report.findings[0].found != report.findings[0].expected


def test_another_margin_is_named_and_is_not_exact():
    clip = by(lambda arrays: scaled_norm(dict(enumerate(arrays))) + 1e-8)

    def fn(grads, threshold):
        n = scaled_norm(grads)
        return clip(grads, threshold) if n < 1e100 else clip_by_norm(grads, threshold)

    report = check_clip(fn, 1.0, rng=0)
    assert any("1e-08" in n for n in report.notes), report
    assert "1e-08" in check_clip(fn, 1.0, "exact", rng=0).diagnosis


def corners(report):
    return {f.case for e in report.evidence if e.name == "corners" for f in e.findings}


def test_a_squared_norm_that_overflows_sets_the_gradient_to_zero():
    def fn(grads, threshold):
        with np.errstate(all="ignore"):
            n = np.sqrt(sum(np.sum(np.square(g)) for g in grads.values()))
            return {k: g * min(1.0, threshold / n) for k, g in grads.items()}

    report = check_clip(fn, 1.0, rng=0)
    assert report.verdict == "refuted"
    found = [f.what for f in report.findings if "1e200" in f.case]
    assert "overflows, and the gradient is set to zero" in found[0]
    assert "expected [[ 0.23" in found[0]
    assert "silently set to zero" in next(f.what for f in report.findings if f.case == "an entry that is inf")
    assert "not at these corners: entries of 1e200" in report.diagnosis


def test_zero_over_zero():
    def fn(grads, threshold):
        n = scaled_norm(grads)
        return {k: g * np.divide(threshold, n) if not n < threshold else g for k, g in grads.items()}

    report = check_clip(fn, 1.0, rng=0)
    assert corners(report) == {"a zero gradient at θ = 0"}
    assert "0/0" in report.findings[0].what

    def always(grads, threshold):
        n = scaled_norm(grads)
        return {k: g / n * min(n, threshold) for k, g in grads.items()}

    assert {"a zero gradient", "a zero gradient in float32"} <= corners(check_clip(always, 1.0, rng=0))


def test_a_number_that_is_none_must_not_be_hidden():
    def hiding(grads, threshold):
        return clip_by_norm(
            {k: np.nan_to_num(g, posinf=0.0, neginf=0.0) for k, g in grads.items()}, threshold
        )

    report = check_clip(hiding, 1.0, rng=0)
    assert corners(report) == {"an entry that is inf", "an entry that is nan"}
    assert all("silently replaced" in f.what for f in report.findings)

    def refusing(grads, threshold):
        if not all(np.isfinite(g).all() for g in grads.values()):
            raise ValueError("bad gradient")
        return clip_by_norm(grads, threshold)

    report = check_clip(refusing, 1.0, rng=0)
    assert report.verdict == "verified"
    assert any("does not name the array" in n for n in report.notes)


@pytest.mark.parametrize(
    ("bad", "case"),
    [
        (lambda g, t: clip_by_norm(g, t) if t < np.inf else times(g, np.nan), "infinite threshold"),
        (each(lambda g, t: np.where(np.abs(g) < 1e-199, 0, np.clip(g, -t, t))), "1e-200"),
        (each(lambda g, t: np.where(np.abs(g) < 1e-300, 0, np.clip(g, -t, t))), "subnormal"),
        (lambda g, t: clip_by_norm(g, t) if min(v.size for v in g.values()) else 1 / 0, "without entries"),
        (lambda g, t: clip_by_norm(g, t) if min(v.ndim for v in g.values()) else 1 / 0, "without axes"),
    ],
)
def test_each_corner_can_fail(bad, case):
    report = check_clip(bad, 1.0, rng=0)
    assert report.verdict == "refuted", report
    assert any(case in f.case for f in report.findings), report


def test_integers_and_thresholds_that_are_not_refused_are_noted():
    notes = check_clip(functional, 1.0, rng=0).notes
    assert any("integer arrays" in n and "becomes [[0 0]]" in n for n in notes)
    assert any("θ = -1: it is not refused" in n for n in notes)
    assert not any("not refused" in n for n in check_clip(clip_by_norm, 1.0, rng=0).notes)


def test_what_is_not_required_of_a_convention_is_noted():
    def torch_like(grads, threshold):
        with np.errstate(all="ignore"):
            n = np.sqrt(sum(np.sum(np.square(g)) for g in grads.values()))
            return {k: g * min(1.0, threshold / (n + 1e-6)) for k, g in grads.items()}

    report = check_clip(torch_like, 1.0, "torch", rng=0)
    assert report.verdict == "verified", report
    assert any("1e200" in n and "not required" in n for n in report.notes)


def test_arguments_must_be_left_alone_unless_they_are_the_result():
    def damaging(grads, threshold):
        clipped = clip_by_norm(grads, threshold)
        for g in grads.values():
            g *= 0
        return clipped

    report = check_clip(damaging, 1.0, rng=0)
    assert "changes its arguments" in report.findings[0].what
    assert any("in place" in n for n in check_clip(in_place, 1.0, rng=0).notes)
    assert any("not copies" in n for n in check_clip(functional, 1.0, rng=0).notes)


def test_a_clip_with_a_memory_is_refuted():
    class Running:
        largest = 0.0

        def __call__(self, grads, threshold):
            self.largest = max(self.largest, scaled_norm(grads))
            return times(clip_by_norm(grads, threshold), 1 / (1 + self.largest))

    report = check_clip(Running(), 1.0, rng=0)
    assert any("second call" in f.what for f in report.findings), report


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda g, t: {"w": 1.0}, "the keys are"),
        (lambda g, t: {k: v.ravel() for k, v in g.items()}, "has shape"),
        (lambda g, t: "text", "a str is returned"),
        (lambda g, t: 1 / 0, "ZeroDivisionError"),
        (lambda g, t: {k: v.astype(complex) for k, v in g.items()}, "dtype complex128"),
    ],
)
def test_a_result_of_another_form_is_refuted(bad, words):
    report = check_clip(bad, 1.0, rng=0)
    assert report.verdict == "refuted"
    assert words in report.findings[0].what


def test_single_precision_is_judged_as_such_and_noted():
    report = check_clip(single_precision, 1.0, rng=0)
    assert any("for float64 it returns float32" in n for n in report.notes), report
    assert report.evidence[1].verdict == "verified"


def test_the_twin_raises_with_the_report():
    assert assert_clip(clip_by_norm, 1.0, rng=0).verdict == "verified"
    with pytest.raises(CheckFailedError, match="does not clip at all"):
        assert_clip(lambda g, t: g, 1.0, rng=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((clip_by_norm, 0), "threshold=0"),
        ((clip_by_norm, np.inf), "threshold=inf"),
        ((clip_by_norm, "1"), "threshold='1'"),
        ((clip_by_norm, 1.0, "global"), "convention='global'"),
        ((None, 1.0), "fn=None"),
        ((lambda g: g, 1.0), r"fn\(grads, threshold\)"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        check_clip(*arguments)


def test_a_seed_repeats_the_report():
    assert str(check_clip(WRONG["summed norms"][0], 1.0, rng=7)) == str(
        check_clip(WRONG["summed norms"][0], 1.0, rng=7)
    )
