"""T10: no gradient and no change of the loss on the ball exceeds the bound, at random or hostile points."""

from functools import cache

import numpy as np
import pytest
from cells_for_tests import ALL_CELLS, draw
from hypothesis import given, settings
from hypothesis import strategies as st

import bptt_verify as bv
from bptt_verify.analysis import lipschitz_bound, rules
from bptt_verify.cells import elman, linear

ROUNDING = 1 + 1e-12
SEARCHED = {name: rec for name, rec in ALL_CELLS.items() if rec.params}
sizes = st.fixed_dictionaries({word: st.integers(1, 4) for word in "dnqm"} | {"v": st.integers(2, 5)})


@cache
def kernel_of(name):
    return bv.generate(ALL_CELLS[name])


def norm(parts):
    return float(np.sqrt(sum(np.sum(p**2) for p in parts.values())))


class Search:
    """The gradient of a loss at w⁰ + d, and ways to make it large within the ball."""

    def __init__(self, name, arrays, radius, rng):
        self.kernel, self.arrays, self.radius, self.rng = kernel_of(name), arrays, radius, rng
        self.params = list(ALL_CELLS[name].params)

    def at(self, d):
        moved = {p: self.arrays[p] + d[p] for p in self.params}
        loss, grads = self.kernel.loss_and_grad(**{**self.arrays, **moved})
        return loss, {p: grads[p] for p in self.params}

    def random(self):
        """A point of the ball, more often near its surface."""
        d = {p: self.rng.normal(size=np.shape(self.arrays[p])) for p in self.params}
        return self.on_sphere(d, self.radius * self.rng.uniform() ** 0.1)

    def on_sphere(self, d, radius=None):
        size, radius = norm(d), self.radius if radius is None else radius
        return {p: v * (radius / size if size else 0.0) for p, v in d.items()}

    def climbed(self, d, steps=4):
        """Ascent of ‖∇F‖: its gradient is the Hessian times ∇F / ‖∇F‖, by a difference."""
        for _ in range(steps):
            yield d
            _, g = self.at(d)
            size = norm(g)
            if not 0 < size < np.inf:
                return
            small = 1e-5 * self.radius / size
            _, ahead = self.at({p: d[p] + small * g[p] for p in self.params})
            uphill = {p: (ahead[p] - g[p]) / small for p in self.params}
            scale = self.radius / (norm(uphill) or 1.0)
            d = self.on_sphere({p: d[p] + scale * uphill[p] for p in self.params})
        yield d

    def points(self, count):
        start = {p: np.zeros(np.shape(self.arrays[p])) for p in self.params}
        yield from self.climbed(self.on_sphere(self.at(start)[1]))
        for _ in range(count):
            yield from self.climbed(self.random())


def largest(search, count):
    """The largest gradient norms that are found, of each parameter and of all, and the steepest chord."""
    by_parameter, whole, chord, before = dict.fromkeys(search.params, 0.0), 0.0, 0.0, None
    with np.errstate(all="ignore"):
        for d in search.points(count):
            loss, g = search.at(d)
            for p, v in g.items():
                by_parameter[p] = max(by_parameter[p], norm({p: v}))
            whole = max(whole, norm(g))
            if before is not None:
                length = norm({p: d[p] - before[1][p] for p in d})
                chord = max(chord, abs(loss - before[0]) / length if length > 1e-6 * search.radius else 0.0)
            before = (loss, d)
    return by_parameter, whole, chord


def case(name, T, B, radius, scale, seed, sizes=None, uniform=False):
    rng = np.random.default_rng(seed)
    arrays = draw(ALL_CELLS[name], rng, T, B, scale=scale, **({"sizes": sizes} if sizes else {}))
    if uniform:
        del arrays["weights"]
    return lipschitz_bound(ALL_CELLS[name], radius, **arrays), Search(name, arrays, radius, rng)


def exceeded(bound, search, count, share=1.0):
    """What was found above ``share`` of either form, by its name."""
    by_parameter, whole, chord = largest(search, count)
    noise = 1e-9 * max(1.0, whole)  # of a difference of two losses
    found = []
    for form in ("norm", "data"):
        parts, total = getattr(bound, f"{form}_parameters"), share * getattr(bound, f"{form}_value")
        found += [(form, p) for p, v in by_parameter.items() if v > share * parts[p] * ROUNDING + 1e-300]
        found += [(form, "gradient")] if whole > total * ROUNDING + 1e-300 else []
        found += [(form, "chord")] if chord > total * ROUNDING + noise / search.radius * 1e-3 else []
    return found, whole


@pytest.mark.parametrize("name", SEARCHED)
@pytest.mark.parametrize(
    ("T", "radius", "scale", "uniform"), [(1, 0.3, 0.5, True), (4, 0.03, 0.5, True), (7, 0.5, 1.0, False)]
)
def test_no_cell_exceeds_its_bound(name, T, radius, scale, uniform):
    bound, search = case(name, T, 2, radius, scale, seed=T, uniform=uniform)
    assert exceeded(bound, search, 5)[0] == []


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(
        ["linear", "elman", "elman_relu", "elman_charlm", "gru", "lstm", "used_twice", "attention"]
    ),
    st.integers(1, 8),
    st.integers(1, 3),
    st.sampled_from([1e-3, 0.05, 0.5, 2.0]),
    st.sampled_from([0.1, 0.5, 2.0]),
    sizes,
    st.integers(0, 2**32 - 1),
)
def test_no_problem_exceeds_its_bound(name, T, B, radius, scale, sizes, seed):
    bound, search = case(name, T, B, radius, scale, seed, sizes)
    assert exceeded(bound, search, 3)[0] == []


@pytest.mark.parametrize(("name", "T"), [("linear", 200), ("elman", 200), ("gru", 60), ("lstm", 60)])
@pytest.mark.parametrize("radius", [0.01, 0.3])
def test_long_sequences_do_not_exceed_their_bound(name, T, radius):
    bound, search = case(name, T, 1, radius, 0.3, seed=T, uniform=True)
    assert exceeded(bound, search, 4)[0] == []


def test_the_search_finds_bounds_that_are_too_small():
    """The same search, against a fraction of a bound that is tight: what is missing is seen."""
    for name in ("linear", "elman", "lstm", "loss_of_parameters_only"):
        bound, search = case(name, 5, 2, 0.02, 0.4, seed=1)
        found, whole = exceeded(bound, search, 4)
        assert found == [] and whole > 0.3 * bound.data_value
        short, _ = exceeded(bound, search, 4, share=0.25)
        assert ("data", "gradient") in short


def test_a_bound_without_its_change_on_the_ball_is_exceeded():
    """The gradient at the centre is no bound, however small the ball: the search climbs above it."""
    for name in ("linear", "elman", "gru"):
        bound, search = case(name, 5, 2, 0.05, 0.4, seed=2)
        centre = lipschitz_bound(ALL_CELLS[name], 0.0, **search.arrays)
        assert any(form == "data" for form, _ in exceeded(centre, search, 4)[0])
        assert exceeded(bound, search, 4)[0] == []


def test_a_rule_without_one_of_its_factors_is_exceeded(monkeypatch):
    """ΔA B without A ΔB: a bound that forgets how the other operand moves."""

    def halved(self):
        a, b = self._factor(self.a, self.x, self.y), self._factor(self.b, self.y, self.x)
        return a[0] * b[1], a[2] * b[2], a[0] * b[3]

    monkeypatch.setattr(rules.Pair, "norms", halved)
    monkeypatch.setattr(rules.Pair, "interval", lambda self, square: (-np.inf, np.inf))
    broken = []
    for name in ("linear", "elman", "gru"):
        bound, search = case(name, 5, 2, 0.05, 0.4, seed=2)
        broken += exceeded(bound, search, 6)[0]
    assert broken


def test_only_the_weights_of_a_masked_step_count():
    """With one loss at the last step of a linear recurrence the bound holds, and is not T times too large."""
    arrays = draw(linear, np.random.default_rng(0), 20, 1, scale=0.3)
    arrays["weights"] = np.zeros((20, 1))
    arrays["weights"][-1] = 1.0
    bound = lipschitz_bound(linear, 1e-4, **arrays)
    gradient = kernel_of("linear").loss_and_grad(**arrays)[1]
    size = norm({p: gradient[p] for p in linear.params})
    assert size <= bound.data_value <= 1.1 * size
    assert exceeded(bound, Search("linear", arrays, 1e-4, np.random.default_rng(1)), 4)[0] == []


def tightness(rec, T, radius, seed, size=4, gain=0.9):
    """|ΔF| / (K η min(‖g‖, θ)) of one clipped step against the data and the norms form."""
    rng = np.random.default_rng(seed)
    arrays = draw(rec, rng, T, 2, sizes={"d": 3, "n": size, "q": 2, "m": 4, "v": 5})
    del arrays["weights"]
    for p in rec.params:
        square = arrays[p].ndim == 2 and arrays[p].shape[0] == arrays[p].shape[1]
        arrays[p] *= gain / np.linalg.norm(arrays[p], 2) if square else 0.5
    bound, kernel = lipschitz_bound(rec, radius, **arrays), kernel_of(rec.name)
    loss, grads = kernel.loss_and_grad(**arrays)
    clipped = (
        bv.clip_by_norm({p: grads[p] for p in rec.params}, radius) if hasattr(bv, "clip_by_norm") else None
    )
    if clipped is None:
        size = norm({p: grads[p] for p in rec.params})
        clipped = {p: grads[p] * min(1.0, radius / size) for p in rec.params}
    after, _ = kernel.loss_and_grad(**{**arrays, **{p: arrays[p] - clipped[p] for p in rec.params}})
    change = abs(after - loss) / norm(clipped)
    return change / bound.data_value, change / bound.norm_value


@pytest.mark.parametrize("name", ["linear", "elman", "gru", "lstm"])
def test_the_data_form_is_tight_for_small_steps(name):
    found = [tightness(ALL_CELLS[name], 10, 0.01, seed)[0] for seed in range(5)]
    assert max(found) <= 1 and np.median(found) > 0.3


def test_the_norms_form_is_a_bound_of_every_step():
    found = [tightness(elman, 10, 0.01, seed)[1] for seed in range(5)]
    assert max(found) <= 1 and np.median(found) > 1e-3
