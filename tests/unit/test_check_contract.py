"""What a gradient function must not do, whatever its numbers: each breach is found and named."""

from __future__ import annotations

import numpy as np
import pytest

from bptt_verify.check import Case, Problem, judge_gradient
from bptt_verify.check.observations import nearest, shape_hint
from bptt_verify.verdict import combine

T, B, N = 4, 3, 2


def loss(a):
    return np.sum(np.tanh(a["x"] @ a["W_hh"].T + a["b_h"])[..., a["k"]]) + np.sum(a["h0"] ** 2)


def gradient(a):
    u = (1 - np.tanh(a["x"] @ a["W_hh"].T + a["b_h"]) ** 2) * np.bincount(a["k"], minlength=N)
    g = {"W_hh": np.einsum("tbi,tbj->ij", u, a["x"]), "b_h": u.sum((0, 1)), "h0": 2 * a["h0"]}
    return loss(a), g | {"x": u @ a["W_hh"]}


def draw(rng):
    shapes = {"x": (T, B, N), "W_hh": (N, N), "b_h": (N,), "h0": (B, N)}
    arrays = {k: rng.normal(size=s) for k, s in shapes.items()}
    return [Case("drawn", arrays | {"k": np.array([1, 0, 1])})]


PROBLEM = Problem("a layer", ("W_hh", "b_h"), ("x", "h0"), loss, draw, steps=lambda a: len(a["x"]))


def judge(fn):
    evidence, notes = judge_gradient(fn, PROBLEM, np.random.default_rng(0))
    return evidence[0], combine(e.verdict for e in evidence), notes


def changing(change):
    """The right gradient, and then a change of it or of the inputs."""

    def fn(a):
        value, g = gradient(a)
        return value, change(a, g) or g

    return fn


def test_the_right_function_keeps_the_contract():
    assert judge(gradient)[1] == "verified"


@pytest.mark.parametrize("view", [lambda a: a, lambda a: a[...], lambda a: a.T, lambda a: a.reshape(-1)])
@pytest.mark.parametrize("name", ["W_hh", "b_h", "x", "h0", "k"])
def test_damage_is_found_also_of_integers_and_through_views(name, view):
    def damage(a, g):
        view(a[name])[...] += 1
        a[name] = np.zeros(7)  # and the evidence is taken away

    first, verdict, _ = judge(changing(damage))
    assert verdict == "refuted"
    assert any(f"changes its input {name} in place" in f.what for f in first.findings)


def test_shared_buffers_are_found_also_behind_views():
    buffer = np.empty((2, N, N))

    def shared(a, g):
        buffer[0] = g["W_hh"]
        return g | {"W_hh": buffer[0]}

    first, verdict, _ = judge(changing(shared))
    assert verdict == "refuted"
    assert any("shared between calls" in f.what and f.block == "W_hh" for f in first.findings)


def leaking():
    kept = {"h": 0.0}

    def fn(a):
        value, g = gradient(a)
        g["b_h"] = g["b_h"] + kept["h"]
        kept["h"] = 0.1 * np.tanh(np.sum(a["x"]))
        return value, g

    return fn


def counting(rule):
    calls = []

    def fn(a):
        value, g = gradient(a)
        calls.append(0)
        return value, g | {"b_h": g["b_h"] * (2 if rule(len(calls)) else 1)}

    return fn


@pytest.mark.parametrize(
    "fn", [leaking(), counting(lambda n: n == 1), counting(lambda n: n > 2), counting(lambda n: n % 2 == 0),
           counting(lambda n: n % 2 == 1), counting(lambda n: n % 3 == 0)],
    ids=["state", "first", "later", "even", "odd", "third"],
)  # fmt: skip
def test_results_that_depend_on_earlier_calls_are_found(fn):
    first, verdict, _ = judge(fn)
    assert verdict == "refuted"
    assert any("differs between two calls" in f.what and f.block == "b_h" for f in first.findings)


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x[::-1], lambda x: x[...]])
def test_gradients_that_are_views_of_inputs_are_found(view):
    def alias(a, g):
        return g | {"x": view(a["x"])}

    first, verdict, _ = judge(changing(alias))
    assert verdict == "refuted"
    assert any("shares memory with the input x" in f.what for f in first.findings)


@pytest.mark.parametrize(
    "key",
    [
        "dW_hh",
        "grad_W_hh",
        "W_hh_grad",
        "W_hh.grad",
        "dL/dW_hh",
        "dL_dW_hh",
        "w_hh",
        "Whh",
        "gW_hh",
        "W_hh_bar",
    ],
)
def test_a_misspelt_key_is_named(key):
    def renamed(a, g):
        g[key] = g.pop("W_hh")

    first, verdict, notes = judge(changing(renamed))
    assert verdict == "refuted"
    assert f"is it the key {key!r}?" in first.findings[0].what
    assert any("(is it meant as 'W_hh'?)" in n for n in notes)


def test_an_extra_key_that_means_nothing_is_noted():
    first, verdict, notes = judge(changing(lambda a, g: g | {"momentum": np.ones(3)}))
    assert first.verdict == verdict == "verified"
    assert [n for n in notes if "momentum" in n] == [
        "the returned key 'momentum' is not a block of a layer; ignored"
    ]


def test_names_that_are_not_near():
    assert nearest("b_h", ["momentum", "lr", "x"]) is None
    assert nearest("d", ["e"]) is None
    assert nearest("W_hh", ["W_hx_grad", "grads_W_hh"]) == "grads_W_hh"


@pytest.mark.parametrize(
    ("found", "wanted", "words"),
    [
        ((2, 3), (3, 2), "it is transposed"),
        ((B, N), (N,), "the batch axis is not summed over"),
        ((T, N), (N,), "the time axis is not summed over"),
        ((T, B, N, N), (N, N), "the time and batch axes are not summed over"),
        ((9, N), (N,), "the leading axis is not summed over"),
        ((N, 1), (N,), "the same number of elements in another shape"),
        ((N * N,), (N, N), "the same number of elements in another shape"),
        ((7,), (N,), ""),
    ],
)
def test_wrong_shapes_are_explained(found, wanted, words):
    hint = shape_hint(found, wanted, {"T": T, "B": B})
    assert hint == (f": {words}" if words else "")


def test_a_batch_axis_that_is_not_summed_is_refuted_and_named():
    def unsummed(a, g):
        u = (1 - np.tanh(a["x"] @ a["W_hh"].T + a["b_h"]) ** 2) * np.bincount(a["k"], minlength=N)
        return g | {"b_h": u.sum(0)}

    first, verdict, _ = judge(changing(unsummed))
    assert verdict == "refuted"
    assert "has shape (3, 2); expected (2,): the batch axis is not summed over" in first.findings[0].what


@pytest.mark.parametrize("dtype", [object, int, complex, bool])
def test_other_kinds_of_numbers_are_refuted(dtype):
    first, verdict, _ = judge(changing(lambda a, g: g | {"b_h": g["b_h"].astype(dtype)}))
    assert verdict == "refuted"
    assert f"dL/db_h has dtype {np.dtype(dtype)}" in first.findings[0].what


class Tensor:
    """An array of another library: NumPy can take it, unless it is still part of a graph."""

    def __init__(self, values, in_graph=False):
        self.values, self.in_graph = values, in_graph

    def __array__(self, dtype=None, copy=None):
        if self.in_graph:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad")
        return np.array(self.values, dtype)


def test_arrays_of_other_libraries_are_taken():
    _, verdict, _ = judge(
        lambda a: (Tensor(gradient(a)[0]), {k: Tensor(g) for k, g in gradient(a)[1].items()})
    )
    assert verdict == "verified"


def test_what_numpy_cannot_take_is_refuted_with_the_reason():
    first, verdict, _ = judge(changing(lambda a, g: g | {"b_h": Tensor(g["b_h"], in_graph=True)}))
    assert verdict == "refuted"
    assert "is no array: Can't call numpy() on Tensor that requires grad" in first.findings[0].what


def test_a_function_may_work_in_arrays_of_its_own_and_return_them_in_any_order():
    def fn(a):
        for array in a.values():
            assert array.flags.writeable
            assert array.flags.owndata
        value, g = gradient(a)
        wide = np.zeros((N, 2 * N))
        wide[:, ::2] = g["W_hh"]
        return value, g | {
            "W_hh": wide[:, ::2],
            "x": np.asfortranarray(g["x"]),
            "b_h": g["b_h"][::-1].copy()[::-1],
        }

    assert judge(fn)[1] == "verified"


def test_a_function_that_takes_float32_only_is_told_so():
    def fn(a):
        if a["x"].dtype != np.float32:
            raise TypeError("expected float32")
        return gradient(a)

    first, verdict, _ = judge(fn)
    assert verdict == "refuted"
    said = first.findings[0].what
    assert "TypeError: expected float32 (test_check_contract.py, line " in said
    assert "; it takes the same arrays in float32" in said


def test_a_function_that_fails_once_is_not_told_about_float32():
    calls = []

    def fn(a):
        calls.append(0)
        if len(calls) == 1:
            raise ValueError("not ready")
        return gradient(a)

    first, verdict, _ = judge(fn)
    assert verdict == "refuted"
    assert "float32" not in first.findings[0].what
