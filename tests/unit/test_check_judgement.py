"""The numerical judge, on a hand-written Elman network: right gradients pass, every mistake is found."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from bptt_verify.check import (
    Case,
    Problem,
    difference_evidence,
    judge_gradient,
    taylor_evidence,
)
from bptt_verify.verdict import combine

PARAMS = ("W_hx", "W_hh", "b_h", "W_qh", "b_q")


def forward(a, relu=False):
    hs = [a["h0"]]
    for x in a["x"]:
        u = x @ a["W_hx"].T + hs[-1] @ a["W_hh"].T + a["b_h"]
        hs.append(np.where(u.real > 0, u, 0 * u) if relu else np.tanh(u))
    return hs, [h @ a["W_qh"].T + a["b_q"] for h in hs[1:]]


def elman_loss(a, relu=False):
    _, outputs = forward(a, relu)
    steps = zip(a["weights"], outputs, a["y"], strict=True)
    terms = [np.sum(w * np.sum((o - y) ** 2, axis=1)) for w, o, y in steps]
    return 0.5 * np.sum(np.array(terms))


def elman(a, bug="", relu=False):
    hs, outputs = forward(a, relu)
    steps = len(outputs)
    g = {k: np.zeros_like(a[k]) for k in (*PARAMS, "x", "h0")}
    later = np.zeros_like(a["h0"])
    for t in reversed(range(steps)):
        e = a["weights"][t][:, None] * (outputs[t] - a["y"][t])
        h = hs[t + 1]
        g["W_qh"] += e.T @ h
        g["b_q"] += e.sum(0)
        slope = (h > 0).astype(h.dtype) if relu else 1 - h * h
        back = e @ a["W_qh"] + (0 if bug == "detached" else later)
        u = slope * back
        if bug == "late" and t + 1 >= 3:
            u = u * 1.01
        g["W_hx"] += u.T @ a["x"][t]
        g["W_hh"] += u.T @ (h if bug == "h_t" else hs[t])
        g["b_h"] += u[0] if bug == "batch" else u.sum(0)
        g["x"][t] = u @ a["W_hx"]
        later = u @ (a["W_hh"].T if bug == "transposed" else a["W_hh"])
    g["h0"] = later
    return elman_loss(a, relu), mutate(g, bug, steps)


def mutate(g, bug, steps):
    if bug == "T":
        return {k: v * steps for k, v in g.items()}
    if bug == "sign":
        g["b_q"] = -g["b_q"]
    if bug == "double h0":
        g["h0"] = 2 * g["h0"]
    if bug == "zero h0":
        g["h0"] = 0 * g["h0"]
    if bug == "turned":
        g["W_hh"] = g["W_hh"].T
    if bug == "101":
        g["b_h"] = 1.01 * g["b_h"]
    if bug == "1e-6":
        g["W_hx"][1, 2] *= 1 + 1e-6
    if bug == "nan":
        g["W_hh"][0, 1] = np.nan
    if bug == "shape":
        g["W_qh"] = g["W_qh"].T
    if bug == "missing":
        del g["b_h"]
    if bug == "complex":
        g["b_h"] = g["b_h"] * (1 + 0j)
    return g


def draw_case(rng, steps, batch, radius=0.9, weight=None):
    d, n, q = 3, 4, 2
    w = rng.normal(size=(n, n))
    a = {
        "x": rng.normal(size=(steps, batch, d)),
        "y": rng.normal(size=(steps, batch, q)),
        "W_hx": 0.5 * rng.normal(size=(n, d)),
        "W_hh": w * radius / np.max(np.abs(np.linalg.eigvals(w))),
        "b_h": 0.2 * rng.normal(size=n),
        "W_qh": rng.normal(size=(q, n)),
        "b_q": 0.2 * rng.normal(size=q),
        "h0": 0.5 * rng.normal(size=(batch, n)),
        "weights": rng.uniform(0.5, 1.5, size=(steps, batch)) / (steps * batch) if weight is None else weight,
    }
    return Case(f"T={steps}, B={batch}", a)


SIZES = ((1, 1), (1, 3), (2, 1), (2, 2), (3, 2), (5, 1), (5, 3), (8, 2))


def draw(rng, sizes=SIZES, **options):
    return [draw_case(rng, t, b, **options) for t, b in sizes]


def last_only(rng, sizes, radius):
    """Only the last step's loss counts: what reaches h0 has passed every step."""
    cases = draw(rng, sizes, radius=radius)
    for c in cases:
        c.arrays["weights"][:-1] = 0
    return cases


def at_step(a, t):
    only = np.zeros_like(a["weights"])
    only[t - 1] = a["weights"][t - 1]
    return {**a, "weights": only}


def shorten(a, steps):
    return {**a, **{k: a[k][:steps] for k in ("x", "y", "weights")}}


PROBLEM = Problem(
    "elman", PARAMS, ("x", "h0"), elman_loss, draw,
    steps=lambda a: len(a["x"]), at_step=at_step, shorten=shorten,
)  # fmt: skip


def judge(fn, problem=PROBLEM, seed=0):
    evidence, notes = judge_gradient(fn, problem, np.random.default_rng(seed))
    return {e.name: e for e in evidence}, combine(e.verdict for e in evidence), notes


def finding(evidence, block):
    return next(f for f in evidence.findings if f.block == block)


def single(a):
    """The same function, computed in float32."""
    loss, grads = elman({k: v.astype(np.float32) for k, v in a.items()})
    return loss, grads


# --- right gradients -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_right_gradient_is_verified(seed):
    evidence, verdict, _ = judge(elman, seed=seed)
    assert verdict == "verified", evidence
    assert set(evidence) == {"contract", "loss", "complex step"}
    assert evidence["complex step"].numbers["worst_error"] < 1e-12


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("widened", [False, True])
def test_right_float32_is_verified(seed, widened):
    def fn(a):
        loss, grads = single(a)
        return (float(loss), {k: v.astype(float) for k, v in grads.items()}) if widened else (loss, grads)

    evidence, verdict, notes = judge(fn, seed=seed)
    assert verdict == "verified", evidence
    assert any("float32" in n for n in notes)


@pytest.mark.parametrize(("steps", "radius"), [(12, 0.1), (20, 1e-12)])
def test_vanishing_gradient_is_verified_and_judged(steps, radius):
    problem = replace(PROBLEM, draw=partial(last_only, sizes=((1, 2), (steps, 2)), radius=radius))
    case = problem.draw(np.random.default_rng(0))[-1]
    assert np.max(np.abs(elman(case.arrays)[1]["h0"])) < 1e-11
    assert judge(elman, problem)[1] == "verified"
    if steps < 100:
        assert judge(single, problem)[1] == "verified"
    for bug in ("double h0", "zero h0"):
        only = replace(problem, draw=lambda rng: problem.draw(rng)[-1:])
        evidence, verdict, _ = judge(partial(elman, bug=bug), only)
        assert verdict == "refuted"
        assert {f.block for f in evidence["complex step"].findings} == {"h0"}


def linear_loss(a):
    h = a["h0"]
    for x in a["x"]:
        h = h @ a["W_hh"].T + x
    return np.sum(h)


def linear(a):
    hs = [a["h0"]]
    for x in a["x"]:
        hs.append(hs[-1] @ a["W_hh"].T + x)
    later = np.ones_like(hs[-1])
    grad = np.zeros_like(a["W_hh"])
    for h in reversed(hs[:-1]):
        grad += later.T @ h
        later = later @ a["W_hh"]
    return np.sum(hs[-1]), {"W_hh": grad, "h0": later}


@pytest.mark.parametrize(("steps", "radius"), [(20, 3.0), (50, 100.0), (110, 0.002)])
def test_exploding_and_nearly_underflowing_gradients_are_verified(steps, radius):
    def cases(rng):
        names = ("x", "W_hh", "h0")
        arrays = draw_case(rng, steps, 2, radius=radius).arrays
        return [Case("extreme", {k: arrays[k] for k in names} | {"x": 0 * rng.normal(size=(steps, 2, 4))})]

    problem = Problem("linear", ("W_hh",), ("h0",), linear_loss, cases)
    size = np.max(np.abs(linear(cases(np.random.default_rng(0))[0].arrays)[1]["h0"]))
    assert size > 1e8 or size < 1e-290
    assert judge(linear, problem)[1] == "verified"
    doubled = lambda a: (linear(a)[0], {**linear(a)[1], "h0": 2 * linear(a)[1]["h0"]})  # noqa: E731
    evidence, verdict, _ = judge(doubled, problem)
    assert verdict == "refuted"
    assert "every element is 2 times" in finding(evidence["complex step"], "h0").what


def test_chaotic_network_is_not_refuted():
    problem = replace(PROBLEM, draw=partial(draw, sizes=((2, 2), (20, 2)), radius=6.0))
    for seed in range(2):
        evidence, verdict, _ = judge(elman, problem, seed)
        assert verdict == "verified", evidence
        assert taylor_evidence(elman, problem, np.random.default_rng(seed)).verdict != "refuted"
        assert difference_evidence(elman, problem, np.random.default_rng(seed)).verdict != "refuted"


@pytest.mark.parametrize(("fn", "level"), [(elman, 9.0), (single, 4.0)])
def test_saturated_units_are_not_refuted(fn, level):
    def saturated(rng):
        cases = draw(rng, ((2, 2), (4, 2)))
        for c in cases:
            c.arrays["b_h"][:] = level * np.array([1.0, -1.0, 1.1, -1.1])
        return [*draw(rng, ((3, 2),)), *cases]

    problem = replace(PROBLEM, draw=saturated)
    for seed in range(4):
        evidence, verdict, _ = judge(fn, problem, seed)
        assert verdict == "verified", evidence
    for bug in ("detached", "double h0"):
        cut = replace(problem, draw=lambda rng: saturated(rng)[1:])
        assert judge(partial(elman, bug=bug), cut)[1] == "refuted"


def test_loss_offset_does_not_matter():
    problem = replace(PROBLEM, loss=lambda a: 1e4 + elman_loss(a))
    fn = lambda a: (1e4 + elman(a)[0], elman(a)[1])  # noqa: E731
    assert judge(fn, problem)[1] == "verified"
    assert taylor_evidence(fn, problem, np.random.default_rng(0)).verdict == "verified"
    assert difference_evidence(fn, problem, np.random.default_rng(0)).verdict == "verified"


def test_relu_is_verified_and_its_kink_is_not_refuted():
    relu = partial(elman, relu=True)
    problem = replace(PROBLEM, loss=partial(elman_loss, relu=True))
    assert judge(relu, problem)[1] == "verified"
    wrong, verdict, _ = judge(partial(relu, bug="detached"), problem)
    assert verdict == "refuted"
    assert {f.block for f in wrong["complex step"].findings} >= {"W_hh", "h0"}

    def at_kink(rng):
        cases = draw(rng, ((3, 2), (2, 1)))
        cases[-1].arrays.update({k: 0 * cases[-1].arrays[k] for k in ("W_hx", "W_hh", "b_h")})
        return cases

    def other_side(a):
        loss, g = relu(a)
        if not a["b_h"].any():  # the derivative from the right, where the reference takes the left one
            g = {**g, "b_h": np.einsum("tb,tbq,qn->n", a["weights"], a["b_q"] - a["y"], a["W_qh"])}
        return loss, g

    kink = replace(problem, draw=at_kink, at_step=None)
    evidence, verdict, notes = judge(other_side, kink)
    assert verdict == "verified", evidence
    assert any("'T=2, B=1'" in n and "moved off a kink by 0.03" in n for n in notes)
    assert judge(partial(other_side_doubled, other_side), kink)[1] == "refuted"


def other_side_doubled(other_side, a):
    loss, g = other_side(a)
    return loss, {**g, "b_h": 2 * g["b_h"]}


def real_only_loss(a):
    return float(np.sum(np.abs(elman_loss({k: np.real(v) for k, v in a.items()}))))


def test_plain_loss_falls_back_to_finite_differences():
    problem = replace(PROBLEM, loss=real_only_loss, draw=partial(draw, sizes=((1, 2), (2, 1), (4, 2))))
    evidence, verdict, notes = judge(elman, problem)
    assert verdict == "verified", evidence
    assert set(evidence) == {"contract", "loss", "finite differences"}
    assert any("not analytic" in n for n in notes)
    evidence, verdict, _ = judge(partial(elman, bug="detached"), problem)
    assert verdict == "refuted"
    assert finding(evidence["finite differences"], "W_hh").step == 2


def rounded(dtype, names, a):
    """The loss where some inputs lose digits: a staircase, whose last float64 digits say nothing."""
    real = {k: np.real(v) for k, v in a.items()}
    return float(elman_loss({k: v.astype(dtype).astype(float) if k in names else v for k, v in real.items()}))


def accumulated(a):
    """The loss summed up in float32, and then something added that is no float32 number."""
    _, outputs = forward({k: np.real(v) for k, v in a.items()})
    total = np.zeros((), np.float32)
    for w, o, y in zip(a["weights"], outputs, np.real(a["y"]), strict=True):
        total += np.sum(np.real(w) * np.sum((o - y) ** 2, axis=1))
    return 0.5 * float(total) + 1e-3 * np.pi


COARSE = {
    "one parameter in float32": partial(rounded, np.float32, ("W_hh",)),
    "everything in float32": partial(rounded, np.float32, (*PARAMS, "x", "h0")),
    "inputs in float16": partial(rounded, np.float16, ("x",)),
    "a sum in float32": accumulated,
    "an offset, and a parameter in float32": lambda a: 1e4 + rounded(np.float32, ("W_hh",), a),
    "complex64": lambda a: elman_loss({**a, "W_hh": a["W_hh"].astype(np.complex64)}),
}


@pytest.mark.parametrize("loss", COARSE)
def test_losses_of_few_digits_refute_no_right_gradient_and_do_refute_wrong_ones(loss):
    sizes = ((1, 2), (3, 1))
    problem = replace(
        PROBLEM, loss=COARSE[loss], provides_loss=False, at_step=None, draw=partial(draw, sizes=sizes)
    )
    for seed in (0, 1, 2):
        evidence, verdict, _ = judge(elman, problem, seed)
        assert verdict == "verified", evidence
    assert judge(partial(elman, bug="101"), problem)[1] == "refuted"


# --- mistakes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bug", "block", "step", "words"),
    [
        ("detached", "W_hh", 2, "right for T=1, wrong from T=2 on"),
        ("transposed", "W_hh", 2, "right for T=1, wrong from T=2 on"),
        ("h_t", "W_hh", 1, "wrong from T=1 on"),
        ("T", "b_q", 1, "(= T"),
        ("sign", "b_q", 1, "every element has the wrong sign"),
        ("double h0", "h0", 1, "every element is 2 times"),
        ("zero h0", "h0", 1, "all elements are zero"),
        ("turned", "W_hh", 1, "it is the transpose"),
        ("1e-6", "W_hx", 1, "at [1, 2]"),
        ("nan", "W_hh", 1, "found nan"),
        ("late", "W_hh", 3, "right for T=1 to 2, wrong from T=3 on"),
        ("batch", "b_h", 1, "right on 'T=1, B=1', 'T=2, B=1', 'T=5, B=1'"),
    ],
)
def test_mistake_is_refuted_and_located(bug, block, step, words):
    problem = PROBLEM if bug != "T" else replace(PROBLEM, at_step=None)
    evidence, verdict, _ = judge(partial(elman, bug=bug), problem)
    assert verdict == "refuted"
    assert evidence["complex step"].verdict == "refuted"
    found = finding(evidence["complex step"], block)
    assert words in found.what
    assert found.step == (2 if bug == "T" else step), found.what
    assert found.error is not None and found.error > 5e-8
    if bug == "1e-6":
        assert found.index == (1, 2)


def test_factor_t_is_named():
    problem = replace(PROBLEM, draw=partial(draw, sizes=((5, 3),)))
    evidence, verdict, _ = judge(partial(elman, bug="T"), problem)
    assert verdict == "refuted"
    assert "every element is 5 (= T) times the right one" in finding(evidence["complex step"], "W_hh").what


def test_small_step_hidden_in_the_sum_is_found():
    def loud(rng):
        case = draw_case(rng, 6, 2)
        case.arrays["weights"][-1] = 1e11
        return [case]

    def fn(a):  # the first step's own error is lost in the sum
        loss, g = elman(a)
        g["b_q"] = g["b_q"] + a["weights"][0].sum()
        return loss, g

    evidence, verdict, _ = judge(fn, replace(PROBLEM, draw=loud))
    assert verdict == "refuted"
    found = finding(evidence["complex step"], "b_q")
    assert found.step == 1
    assert "hidden in the sum" in found.what


@pytest.mark.parametrize(
    ("bug", "block", "words"),
    [
        ("shape", "W_qh", "it is transposed"),
        ("missing", "b_h", "no gradient of b_h is returned"),
        ("complex", "b_h", "complex128"),
    ],
)
def test_breach_of_contract_is_refuted(bug, block, words):
    evidence, verdict, _ = judge(partial(elman, bug=bug))
    assert verdict == "refuted"
    assert evidence["complex step"].verdict != "refuted"
    assert words in finding(evidence["contract"], block).what


def test_shared_buffer_is_refuted():
    buffers = {}

    def fn(a):
        loss, grads = elman(a)
        for k, g in grads.items():
            buffers.setdefault((k, g.shape), np.empty_like(g))[...] = g
        return loss, {k: buffers[k, g.shape] for k, g in grads.items()}

    evidence, verdict, _ = judge(fn)
    assert verdict == "refuted"
    assert {f.block for f in evidence["contract"].findings} == {*PARAMS, "x", "h0"}
    assert "shared between calls" in finding(evidence["contract"], "W_hh").what
    assert evidence["complex step"].verdict == "verified"


def test_damage_to_an_input_is_refuted():
    def fn(a):
        result = elman(a)
        a["W_hh"] *= 0.5
        return result

    evidence, verdict, _ = judge(fn)
    assert verdict == "refuted"
    assert "changes its input W_hh in place" in finding(evidence["contract"], "W_hh").what


def test_gradient_that_is_an_input_is_refuted():
    def fn(a):
        loss, grads = elman(a)
        a["x"][...] = grads["x"]
        return loss, {**grads, "x": a["x"]}

    evidence, verdict, _ = judge(fn)
    assert verdict == "refuted"
    assert any("shares memory" in f.what and f.block == "x" for f in evidence["contract"].findings)


def test_accumulation_over_calls_is_refuted():
    total = {}

    def fn(a):
        loss, grads = elman(a)
        key = grads["x"].shape
        total[key] = total.get(key, 0) + grads["b_q"]
        return loss, {**grads, "b_q": total[key].copy()}

    evidence, verdict, _ = judge(fn)
    assert verdict == "refuted"
    assert "differs between two calls" in finding(evidence["contract"], "b_q").what


def test_randomness_is_refuted():
    rng = np.random.default_rng(1)

    def fn(a):
        loss, grads = elman(a)
        return loss, {**grads, "W_hh": grads["W_hh"] * (1 + 1e-3 * rng.normal())}

    evidence, verdict, _ = judge(fn)
    assert verdict == "refuted"
    assert "differs between two calls" in finding(evidence["contract"], "W_hh").what


def test_exception_and_wrong_return_are_refuted():
    def failing(a):
        raise ZeroDivisionError("of a batch of one")

    for fn, words in ((failing, "ZeroDivisionError: of a batch of one"), (lambda a: (1.0, [2.0]), "list")):
        evidence, verdict, _ = judge(fn)
        assert verdict == "refuted"
        assert words in evidence["contract"].findings[0].what
        assert evidence["complex step"].verdict == "inconclusive"


def test_unknown_and_missing_optional_keys_are_noted():
    def fn(a):
        loss, grads = elman(a)
        grads["extra"] = grads.pop("h0")
        return loss, grads

    _, verdict, notes = judge(fn)
    assert verdict == "verified"
    assert "no gradient of h0 is provided; not compared" in notes
    assert any("'extra'" in n for n in notes)


def test_right_gradient_of_another_model_is_named():
    def fn(a):
        loss, grads = elman({**a, "W_hh": a["W_hh"].T})
        return loss, {**grads, "W_hh": grads["W_hh"].T}

    evidence, verdict, _ = judge(fn)
    assert verdict == "refuted"
    assert "another model" in evidence["loss"].findings[0].what


def test_wrong_loss_with_right_gradient_is_refuted():
    evidence, verdict, _ = judge(lambda a: (2 * elman(a)[0], elman(a)[1]))
    assert verdict == "refuted"
    assert "2 times the right one" in evidence["loss"].findings[0].what
    assert evidence["complex step"].verdict == "verified"
    unasked = replace(PROBLEM, provides_loss=False)
    assert judge(lambda a: (None, elman(a)[1]), unasked)[1] == "verified"


def test_nonfinite_reference_is_skipped():
    def cases(rng):
        case = draw_case(rng, 3, 2)
        case.arrays["x"][0, 0, 0] = np.nan
        return [case]

    _, verdict, notes = judge(elman, replace(PROBLEM, draw=cases))
    assert verdict == "inconclusive"
    assert "is skipped" in notes[0]


def test_zero_gradient_is_judged_by_the_size_of_the_rest():
    problem = replace(PROBLEM, draw=partial(draw, sizes=((1, 1),)))
    unused = replace(problem, required=(*PARAMS, "spare"), draw=lambda r: [
        Case(c.name, {**c.arrays, "spare": np.ones(3)}) for c in problem.draw(r)])  # fmt: skip

    def fn(a, residue):
        loss, grads = elman(a)
        return loss, {**grads, "spare": np.full(3, residue)}

    assert judge(partial(fn, residue=1e-17), unused)[1] == "verified"
    evidence, verdict, _ = judge(partial(fn, residue=1e-9), unused)
    assert verdict == "refuted"
    assert {f.block for f in evidence["complex step"].findings} == {"spare"}


# --- the second opinions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [taylor_evidence, difference_evidence])
@pytest.mark.parametrize("fn", [elman, single])
def test_second_opinion_verifies(check, fn):
    for seed in range(3):
        evidence = check(fn, PROBLEM, np.random.default_rng(seed))
        assert evidence.verdict == "verified", evidence
        assert evidence.how == "tested"


@pytest.mark.parametrize("check", [taylor_evidence, difference_evidence])
@pytest.mark.parametrize(
    ("bug", "block"),
    [("detached", "W_hh"), ("transposed", "W_hh"), ("h_t", "W_hh"), ("sign", "b_q"), ("late", "W_hh"),
     ("T", "b_q"), ("batch", "b_h"), ("zero h0", "h0"), ("nan", "W_hh")],
)  # fmt: skip
def test_second_opinion_refutes(check, bug, block):
    evidence = check(partial(elman, bug=bug), PROBLEM, np.random.default_rng(0))
    assert evidence.verdict == "refuted", evidence
    assert block in {f.block for f in evidence.findings}


def test_taylor_sees_an_error_hidden_by_curvature():
    def fn(a):
        loss, grads = elman(a)
        return loss, {**grads, "W_hh": grads["W_hh"] * (1 + 1e-5)}

    evidence = taylor_evidence(fn, PROBLEM, np.random.default_rng(0))
    assert evidence.verdict == "refuted"
    assert {f.block for f in evidence.findings} == {"W_hh"}


def test_large_block_is_sampled_and_an_error_anywhere_is_found():
    problem = replace(PROBLEM, draw=partial(draw, sizes=((2, 150),)), at_step=None, shorten=None)
    assert judge(elman, problem)[1] == "verified"

    def fn(a):
        loss, grads = elman(a)
        grads["x"][1, 77, 2] *= 1 + 1e-4
        return loss, grads

    for seed in range(3):
        evidence, verdict, _ = judge(fn, problem, seed)
        assert verdict == "refuted"
        assert {f.block for f in evidence["complex step"].findings} == {"x"}
