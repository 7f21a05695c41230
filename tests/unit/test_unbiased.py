"""check_unbiased: what it accepts, refuses, sends, and says."""

from fractions import Fraction

import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify import cells
from bptt_verify.verify import assert_unbiased, check_unbiased
from bptt_verify.verify.schedules import law_of

from estimators_for_tests import elman  # isort: skip

SIZES = {"x": (3, 2, 3), "y": (3, 2, 2), "W_hx": (4, 3), "W_hh": (4, 4), "b_h": (4,), "W_qh": (2, 4)}


def by_xi(xi, **arrays):
    return elman(arrays, lambda t: xi[t])


def by_keep(keep, **arrays):
    return elman(arrays, lambda t: keep[t] / 0.5)


def by_rng(rng, x, **arrays):
    xi = (rng.random(len(x)) < 0.9) / 0.9
    return elman({"x": x, **arrays}, lambda t: xi[t])


def drawn(rng, steps=3):
    series = {k: (steps, *s[1:]) if k in "xy" else s for k, s in SIZES.items()} | {"b_q": (2,)}
    return {k: rng.normal(size=s) / np.sqrt(s[-1]) for k, s in series.items()}


def names(report):
    return [e.name for e in report.evidence]


def test_the_kernel_is_verified_through_its_gates():
    kernel = bv.generate(cells.elman, estimator=bv.Randomized(0.5))
    report = check_unbiased(kernel.loss_and_grad, cells.elman, rng=0)
    assert report.verdict == "verified"
    assert names(report)[-1] == "gated recursion"
    assert any("through='rng'" in n for n in report.notes)
    assert any("was sent xi" in n for n in report.notes)
    assert check_unbiased(kernel.loss_and_grad, cells.elman, rng=0, per_sequence=True).verdict == "verified"


def test_the_gates_that_are_sent_are_those_of_the_probabilities():
    seen = {"xi": set(), "keep": set(), "pi": set()}

    def xi_only(xi, **arrays):
        seen["xi"] |= {(t, round(float(v), 9)) for t, v in enumerate(xi)}
        return elman(arrays, lambda t: xi[t])

    def keep_and_pi(keep, pi, **arrays):
        seen["keep"] |= set(keep.tolist())
        seen["pi"] |= set(np.atleast_1d(pi).tolist())
        return elman(arrays, lambda t: keep[t] / np.broadcast_to(pi, keep.shape)[t])

    check_unbiased(xi_only, cells.elman, pi=(Fraction(1, 2), Fraction(1, 3), 1), rng=0)
    assert seen["xi"] == {(0, 0.0), (0, 2.0), (1, 0.0), (1, 3.0), (2, 1.0)}
    assert check_unbiased(keep_and_pi, cells.elman, pi=0.25, rng=0).verdict == "verified"
    assert seen["keep"] == {0.0, 1.0}
    assert seen["pi"] == {0.25}
    assert (
        check_unbiased(keep_and_pi, cells.elman, pi=bv.Geometric(0.9, 0.8, 0.3), rng=0).verdict == "verified"
    )


def test_chosen_probabilities_differ_between_neighbours_and_are_few_in_long_runs():
    law = law_of(None, False)
    for steps in (2, 5, 7, 12, 30):
        pi = law.probabilities(steps)
        assert np.all(pi[1:] != pi[:-1]) and np.all(pi < 1)
        few = law.telling(steps, 3)
        assert np.sum(few < 1) == (steps if steps <= 7 else 5)
        assert np.any((few[1:] < 1) & (few[:-1] < 1))
    assert law_of(None, True).telling(3, 2).shape == (3, 2)


def test_given_inputs_are_cut_to_as_many_steps_as_can_be_enumerated():
    arrays = drawn(np.random.default_rng(0), steps=20)
    report = check_unbiased(by_keep, cells.elman, pi=0.5, inputs=arrays, rng=0)
    assert report.verdict == "verified"
    assert "the mean over all outcomes was computed for the first 7 steps" in report.notes
    whole = check_unbiased(by_xi, cells.elman, inputs=arrays, rng=0)
    assert whole.verdict == "verified"
    assert any("T = 20" in e.summary for e in whole.evidence if e.name.startswith("mean"))


def test_a_long_fixed_schedule_is_compared_with_the_gated_recursion():
    report = check_unbiased(by_keep, cells.elman, pi=[0.5] * 20, rng=0)
    assert report.verdict == "verified"
    assert "there are too many outcomes to compute the mean" in report.notes
    assert not any(n.startswith("mean") for n in names(report))

    def other(keep, **arrays):
        return elman(arrays, None, whole=lambda t: keep[t] / 0.5)

    assert check_unbiased(other, cells.elman, pi=[0.5] * 20, rng=0).verdict == "inconclusive"


def test_a_mistake_at_more_steps_than_are_enumerated_is_found():
    def restarted(keep, **arrays):
        return elman(arrays, lambda t: keep[t] / 0.5 if t % 8 or t == 0 else 0.0)

    def late(keep, **arrays):
        return elman(arrays, lambda t: keep[t] / 0.5 if t % 11 or t == 0 else 0.0)

    assert check_unbiased(restarted, cells.elman, pi=0.5, rng=0).verdict == "refuted"
    assert check_unbiased(late, cells.elman, pi=0.5, rng=0).verdict == "inconclusive"


def scaled(which):
    def fn(xi, **arrays):
        loss, grads = by_xi(xi, **arrays)
        return which(loss, grads, xi)

    return fn


calls = []


def counted():
    calls.append(0)
    return len(calls) * 1e-3


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (scaled(lambda loss, g, xi: (loss, {"W_hh": g["W_hh"]})), "no gradient of b_h"),
        (scaled(lambda loss, g, xi: (loss, g | {"b_h": g["b_h"][:, None]})), "shape"),
        (scaled(lambda loss, g, xi: (loss + xi[-1], g)), "loss"),
        (scaled(lambda loss, g, xi: (2 * loss, g)), "loss"),
        (scaled(lambda loss, g, xi: (loss, g | {"b_h": g["b_h"] * (np.nan if xi[0] == 0 else 1)})), "biased"),
        (scaled(lambda loss, g, xi: (loss, {} if xi[0] == 0 else g)), "b_h|keys"),
        (scaled(lambda loss, g, xi: (loss, g) if xi[-1] else 1 / 0), "ZeroDivisionError"),
        (scaled(lambda loss, g, xi: (loss, g | {"b_h": g["b_h"] + counted()})), "two calls"),
        (lambda xi, W_hh, **a: by_xi(xi, W_hh=np.multiply(W_hh, 1.1, out=W_hh), **a), "in place"),
        (lambda xi, **a: None, "returned a NoneType"),
    ],
)  # fmt: skip
def test_the_contract_is_judged(fn, words):
    report = check_unbiased(fn, cells.elman, rng=0)
    assert report.verdict == "refuted"
    assert any(w in str(f) for f in report.findings for w in words.split("|")), report


def test_a_loss_that_is_right_only_at_some_gates_is_refuted():
    fn = scaled(lambda loss, g, xi: (loss if np.all(xi[1:] > 0) or np.all(xi == 0) else 1.1 * loss, g))
    report = check_unbiased(fn, cells.elman, rng=0)
    assert any("loss depends on the gates" in f.what for f in report.findings) or "loss" in str(
        report.findings[0]
    )
    assert report.verdict == "refuted"


def test_a_gradient_without_randomness_is_right_and_the_report_says_so():
    report = check_unbiased(lambda xi, **a: elman(a, lambda t: 1.0), cells.elman, rng=0)
    assert report.verdict == "verified"
    assert any("no gradient depends on the gates" in n for n in report.notes)


def test_the_wrong_reduction_is_named():
    def fn(x, y, W_hx, W_hh, b_h, W_qh, b_q, h0, xi):
        arrays = dict(x=x, y=y, W_hx=W_hx, W_hh=W_hh, b_h=b_h, W_qh=W_qh, b_q=b_q, h0=h0)
        return by_xi(xi, weights=np.ones(x.shape[:2]), **arrays)

    assert check_unbiased(fn, cells.elman, rng=0, reduction="sum").verdict == "verified"
    report = check_unbiased(fn, cells.elman, rng=0)
    assert report.verdict == "refuted"
    assert "mean" in report.diagnosis


def test_the_twin_raises_and_one_seed_gives_one_report():
    assert assert_unbiased(by_xi, cells.elman, rng=3).verdict == "verified"
    with pytest.raises(bv.CheckFailedError, match="REFUTED"):
        assert_unbiased(by_keep, cells.elman, pi=0.6, rng=0)
    a, b = (str(check_unbiased(by_keep, cells.elman, pi=0.6, rng=5)) for _ in range(2))
    assert a == b


# The statistical channel


def vector(mean=1.0, noise=0.3, loss=False):
    def fn(rng):
        grads = {"a": mean * np.array([1.0, -2.0]) + noise * rng.normal(size=2), "b": np.float64(3.0)}
        return (1.0, grads) if loss else grads

    return fn


TARGET = {"a": np.array([1.0, -2.0]), "b": np.array(3.0)}
FAST = {"smallest_bias": 0.1, "false_alarm": 1e-3, "samples": 20_000, "rng": 0}


@pytest.mark.parametrize("loss", [False, True])
def test_a_function_of_a_generator_against_a_target(loss):
    report = check_unbiased(vector(loss=loss), TARGET, **FAST)
    assert report.verdict == "verified"
    assert any(n.startswith("assumed, not known") for n in report.notes)
    assert any(n.startswith("b: it equals the target") for n in report.notes)
    report = check_unbiased(vector(1.2), TARGET, **FAST)
    assert report.verdict == "refuted"
    assert [f.block for f in report.findings] == ["a"]
    assert 0.15 < report.findings[0].error < 0.25
    assert "at 95 %" in str(report)


def test_declared_variances_and_bounds_need_no_assumption_and_fewer_samples():
    known = {"a": np.full(2, 0.09), "b": 0.0}
    report = check_unbiased(vector(), TARGET, variance=known, **FAST)
    assert report.verdict == "verified"
    assert not any("assumed" in n for n in report.notes)
    assert report.evidence[1].numbers["samples"] < 4000
    bounded = check_unbiased(
        lambda rng: {"a": np.array([1.0, -2.0]) + 0.3 * rng.choice([-1, 1], size=2)},
        {"a": TARGET["a"]},
        bound={"a": 0.31},
        **FAST,
    )
    assert bounded.verdict == "verified"
    assert not any("assumed" in n for n in bounded.notes)


@pytest.mark.parametrize("samples", [50, 500, 2000])
def test_too_small_a_budget_is_inconclusive(samples):
    report = check_unbiased(vector(), TARGET, rng=0, samples=samples)
    assert report.verdict == "inconclusive"
    assert any("cannot tell" in n for n in report.notes)


def test_a_deterministic_mistake_is_refuted():
    report = check_unbiased(lambda rng: TARGET | {"b": np.float64(3.01)}, TARGET, **FAST)
    assert report.verdict == "refuted"
    assert "it never varies" in str(report)
    assert any("different generators gave the same numbers" in n for n in report.notes)


def test_a_function_with_randomness_of_its_own_is_refuted():
    own = np.random.default_rng(0)
    report = check_unbiased(lambda rng: vector()(own), TARGET, **FAST)
    assert report.verdict == "refuted"
    assert "randomness of its own" in str(report)


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (lambda rng: TARGET | {"a": np.full(2, np.nan)}, "not finite"),
        (lambda rng: {"b": np.float64(3.0)}, "no gradient of a"),
        (lambda rng: TARGET | {"a": np.ones(3)}, "shape"),
        (lambda rng: 1 / 0, "ZeroDivisionError"),
        (lambda rng: TARGET if rng.random() < 0.9 else 1 / 0, "ZeroDivisionError"),
        (lambda rng: TARGET if rng.random() < 0.999 else 1 / 0, "ZeroDivisionError"),
        (lambda rng: (rng.random(), TARGET), "loss"),
    ],
)
def test_the_contract_of_samples(fn, words):
    report = check_unbiased(fn, TARGET, **FAST)
    assert report.verdict == "refuted"
    assert words in str(report)


def test_inputs_are_sent_with_the_generator():
    def fn(scale, rng):
        return {"a": scale * (1 + 0.1 * rng.normal(size=2))}

    report = check_unbiased(fn, {"a": np.full(2, 5.0)}, inputs={"scale": 5.0}, **FAST)
    assert report.verdict == "verified"


def test_a_recurrence_by_sampling():
    options = {"smallest_bias": 0.2, "samples": 20_000, "false_alarm": 1e-3, "rng": 0}
    report = check_unbiased(by_rng, cells.elman, **options)
    assert report.verdict == "verified", report

    def forgotten(rng, x, **arrays):
        keep = rng.random(len(x)) < 0.5
        return elman({"x": x, **arrays}, lambda t: keep[t])

    report = check_unbiased(forgotten, cells.elman, **options)
    assert report.verdict == "refuted"
    assert {"W_hh", "h0"} <= {f.block for f in report.findings}


def test_gates_that_depend_on_each_other_show_only_by_sampling():
    def shared(x, rng=None, xi=None, **arrays):
        if xi is None:
            xi = np.full(len(x), (rng.random() < 0.5) / 0.5)
        return elman({"x": x, **arrays}, lambda t: xi[t])

    assert check_unbiased(shared, cells.elman, rng=0).verdict == "verified"
    report = check_unbiased(shared, cells.elman, through="rng", rng=0, samples=20_000)
    assert report.verdict == "refuted"


ONE = {"a": np.ones(1)}


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"fn": 3}, "fn=3; expected a function"),
        ({"against": "elman"}, "against='elman'; expected a Recurrence"),
        ({"pi": 0}, "pi=0; expected 0 < pi ≤ 1"),
        ({"pi": 1.5}, "pi=1.5; expected 0 < pi ≤ 1"),
        ({"pi": [0.5, -1]}, "pi[1]=-1; expected"),
        ({"pi": "half"}, "pi='half'"),
        ({"pi": [0.5] * 4, "inputs": drawn(np.random.default_rng(0))}, "pi has 4 entries, and T=3"),
        ({"pi": lambda steps: [0.5]}, "has shape (1,); expected a probability for every step"),
        ({"fn": by_keep}, "pi=None; expected the probabilities"),
        ({"fn": lambda W_hh, x: 0}, "cannot be told from its arguments (W_hh, x)"),
        ({"fn": bv.generate(cells.elman).loss_and_grad}, "it refuses xi"),
        ({"through": "gates"}, "through='gates'; expected 'xi', 'keep' or 'rng'"),
        ({"fn": lambda xi, x, y, W_hx, W_hh, b_h, W_qh, b_q: 0, "through": "rng"}, "takes no such argument"),
        ({"fn": lambda xi, x: 0}, "takes no argument 'W_hx'"),
        ({"fn": lambda xi, q, **kw: 0}, "'q'"),
        ({"per_sequence": 1}, "per_sequence=1"),
        ({"rng": -1}, "rng=-1"),
        ({"reduction": "max"}, "reduction='max'"),
        ({"false_alarm": 0}, "false_alarm=0; expected a probability above 0 and below 1"),
        ({"false_alarm": 1.0}, "false_alarm=1.0"),
        ({"power": 1}, "power=1; expected a probability"),
        ({"smallest_bias": 0}, "smallest_bias=0; expected a number above 0"),
        ({"samples": 0}, "samples=0; expected a whole number"),
        ({"samples": 1e5}, "samples=100000.0"),
        ({"against": {}}, "expected a target array"),
        ({"against": {"a": np.array(["x"])}}, "a has dtype"),
        ({"against": {"a": np.array([np.nan])}}, "a is empty or not finite"),
        ({"against": ONE, "through": "xi"}, "expected 'rng'"),
        ({"against": ONE, "inputs": 3, "fn": lambda rng: ONE}, "inputs=3"),
        ({"against": ONE, "inputs": {"b": 1}, "fn": lambda g: ONE}, "takes no argument 'rng'"),
        ({"against": ONE, "fn": lambda rng: ONE | {"b": np.ones(1)}}, "no target for 'b'"),
        ({"against": {"a": np.zeros(2)}, "fn": lambda rng: {"a": np.ones(2)}}, "every target is zero"),
        ({"against": ONE, "fn": lambda rng: ONE, "variance": 3}, "variance=3; expected a dict"),
        ({"against": ONE, "fn": lambda rng: ONE, "variance": {"a": -1.0}}, "or a number, not negative"),
        ({"against": ONE, "fn": lambda rng: ONE, "bound": {"a": np.ones(3)}}, "bound: a has shape (3,)"),
        ({"against": ONE, "fn": lambda rng: ONE, "bound": {"c": 1.0}}, "bound: unknown block 'c'"),
    ],
    ids=lambda x: x if isinstance(x, str) else "call",
)  # fmt: skip
def test_wrong_calls_name_the_value_and_what_was_expected(kwargs, words):
    call = {"fn": by_xi, "against": cells.elman, "rng": 0} | kwargs
    with pytest.raises(bv.UsageError) as caught:
        check_unbiased(call.pop("fn"), call.pop("against"), **call)
    assert words in str(caught.value)
