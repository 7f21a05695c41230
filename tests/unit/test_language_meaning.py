"""A traced program means what the author's function does when it is run on NumPy arrays, step by step."""

import numpy as np
import pytest
import sympy as sp
from cells_for_tests import ALL_CELLS, draw, helper_function, layers_in_lists, unicode_names, unnamed_parts

import bptt_verify.language as language
from bptt_verify.language import (
    Input,
    Param,
    State,
    Step,
    Target,
    pointwise,
    recurrence,
    run,
    squared_error,
    tanh,
)
from bptt_verify.program import Contract, Pointwise, evaluate, listing


def close(found, wanted, scale=0.0):
    """Equal up to rounding, relative to the largest entry (or the largest of what was summed)."""
    assert np.shape(found) == np.shape(wanted)
    assert np.max(np.abs(found - wanted)) <= 1e-13 * max(np.max(np.abs(wanted)), scale)


def summed(rec, arrays, values):
    """The size of the terms whose sum is the loss."""
    weights, loss = rec.program.equation[dict(rec.program.results)["loss"]].operands
    return np.sum(np.abs(arrays[weights.name] * values[loss.name]))


@pytest.mark.parametrize("name", ALL_CELLS)
@pytest.mark.parametrize(("T", "B"), [(1, 1), (4, 3)])
def test_the_program_means_what_the_function_does(name, T, B):
    rec = ALL_CELLS[name]
    arrays = draw(rec, np.random.default_rng(T), T, B)
    loss, outputs, states = run(rec, arrays)
    values, results = evaluate(rec.program, arrays), dict(rec.program.results)
    close(values[results["loss"]], loss, summed(rec, arrays, values))
    assert ("output" in results) == (outputs is not None)
    if outputs is not None:
        close(values[results["output"]], outputs)
    assert set(states) == set(rec.carried)
    for state, wanted in states.items():
        close(values[results[state]], wanted)
        assert wanted.shape == (T, B, *np.shape(arrays[f"{state}0"])[1:])


@pytest.mark.parametrize("name", ALL_CELLS)
def test_the_loss_is_weighted_and_its_scale_is_the_weights(name):
    rec = ALL_CELLS[name]
    arrays = draw(rec, np.random.default_rng(0), 3, 2)
    steps = np.zeros((3, 2))
    for t, b in np.ndindex(3, 2):
        one = {**arrays, "weights": np.zeros((3, 2))}
        one["weights"][t, b] = 1.0
        steps[t, b] = run(rec, one)[0]
    values = evaluate(rec.program, arrays)
    found = values[dict(rec.program.results)["loss"]]
    close(found, np.sum(arrays["weights"] * steps), summed(rec, arrays, values))


def test_sequences_of_a_batch_do_not_meet():
    rec = ALL_CELLS["layer_norm"]
    arrays = draw(rec, np.random.default_rng(0), 3, 2)
    alone = {n: a if n in rec.params else a[1:] if n == "h0" else a[:, 1:] for n, a in arrays.items()}
    h = dict(rec.program.results)["h"]
    close(evaluate(rec.program, alone)[h], evaluate(rec.program, arrays)[h][:, 1:])


# ---- names ----


def test_names_are_the_authors():
    lstm = ALL_CELLS["lstm"].program
    assert {"i", "f", "g", "o", "c", "h", "q"} <= set(lstm.equation)
    assert dict(lstm.results) == {"loss": "total_loss", "output": "q", "h": "h", "c": "c"}


def test_unnamed_values_get_names():
    names = set(unnamed_parts.program.equation)
    assert {"h", "o"} <= names
    assert all(n.isidentifier() and n.isascii() for n in names)


def test_names_that_are_not_ascii_are_replaced():
    text = listing(unicode_names.program)
    assert text.isascii()
    assert "lambda_" in unicode_names.program.equation


def test_values_of_helpers_get_names():
    names = set(helper_function.program.equation)
    assert {"h", "k"} <= names
    assert not names & {"a", "W", "b"}
    assert len([e for e in helper_function.program.equations if isinstance(e, Contract)]) == 6


def test_values_in_lists_get_names():
    assert {v for v, _ in layers_in_lists.program.results} >= {"h1", "h2", "h3"}
    assert not {"h", "W", "A"} & set(layers_in_lists.program.equation)


def test_one_function_value_is_computed_once():
    def cell(x=Input("n"), h=State("n")):
        return Step(h=tanh(h + x), output=tanh(h + x) * x, loss=language.sum(tanh(x) + tanh(x)))

    functions = [
        e for e in recurrence(cell).program.equations if isinstance(e, Pointwise) and e.expr.has(sp.tanh)
    ]
    assert len(functions) <= 3


def test_every_equation_is_rational_or_one_function():
    for rec in ALL_CELLS.values():
        for e in rec.program.equations:
            if isinstance(e, Pointwise) and not e.expr.has(sp.Piecewise):
                calls = [
                    p for p in e.expr.atoms(sp.Function) if p.free_symbols and p.func not in (sp.Max, sp.Min)
                ]
                assert calls in ([], [e.expr]), e


# ---- what a recurrence says about itself ----


def test_declarations_by_role():
    rec = ALL_CELLS["onehot_everywhere"]
    assert rec.inputs == {"x": ("v",)}
    assert rec.targets == {"y": ("v",)}
    assert rec.states == {"h": ("n",)}
    assert rec.params == {"W": ("n", "v"), "V": ("v", "n"), "A": ("n", "n"), "b": ("v",), "C": ("v", "v")}
    assert rec.onehot == {"x", "y"}
    assert rec.feedback == {}
    assert repr(rec).startswith("<recurrence onehot_everywhere(x: input v,")
    assert rec.file == __import__("cells_for_tests").__file__


def test_the_digest_names_the_meaning():
    def one(x=Input("n"), h=State("n"), p=Param("n")):
        h = tanh(p * h + x)
        return Step(h=h, loss=language.sum(h))

    def two(x=Input("n"), h=State("n"), p=Param("n")):
        h = tanh(p * h - x)
        return Step(h=h, loss=language.sum(h))

    assert recurrence(one).digest == recurrence(one).digest
    two.__name__ = "one"
    assert recurrence(one).digest != recurrence(two).digest


# ---- functions of the language on arrays ----

U = np.linspace(-2.5, 2.5, 11)
MEANING = {
    "tanh": np.tanh,
    "sigmoid": lambda u: 1 / (1 + np.exp(-u)),
    "relu": lambda u: np.maximum(u, 0),
    "softplus": lambda u: np.log(1 + np.exp(u)),
    "exp": np.exp,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "atan": np.arctan,
    "sum": np.sum,
    "mean": np.mean,
    "softmax": lambda u: np.exp(u) / np.exp(u).sum(),
}


@pytest.mark.parametrize("name", MEANING)
def test_functions_compute_on_arrays(name):
    close(getattr(language, name)(U), MEANING[name](U))


def test_functions_of_positive_numbers():
    close(language.log(U**2 + 1), np.log(U**2 + 1))
    close(language.sqrt(U**2 + 1), np.sqrt(U**2 + 1))


@pytest.mark.parametrize("size", [800.0, -800.0])
def test_losses_and_functions_do_not_overflow(size):
    o, y = np.array([size, 0.0, 1.0]), np.array([0.25, 0.5, 0.25])
    for value in (language.sigmoid(o), language.softplus(o), language.softmax(o)):
        assert np.all(np.isfinite(value))
    assert np.isfinite(language.softmax_cross_entropy(o, y))
    assert np.isfinite(language.sigmoid_cross_entropy(o, y))


def test_losses_are_what_they_say():
    o, y = np.array([0.3, -1.2, 2.0]), np.array([0.2, 0.5, 0.3])
    p = np.exp(o) / np.exp(o).sum()
    s = 1 / (1 + np.exp(-o))
    close(language.squared_error(o, y), 0.5 * np.sum((o - y) ** 2))
    close(language.softmax_cross_entropy(o, y), -np.sum(y * np.log(p)))
    close(language.softmax_cross_entropy(o, 3 * y), -np.sum(3 * y * np.log(p)))
    close(language.sigmoid_cross_entropy(o, y), -np.sum(y * np.log(s) + (1 - y) * np.log(1 - s)))


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (lambda u: sp.Abs(u) ** 3, lambda u: np.abs(u) ** 3),
        (lambda u: sp.Max(u, -u, 1), lambda u: np.maximum(np.abs(u), 1)),
        (lambda u: sp.Min(u, 1), lambda u: np.minimum(u, 1)),
        (
            lambda u: sp.Piecewise((u**2, u > 1), (-u, u <= 0), (0, True)),
            lambda u: np.select([u > 1, u <= 0], [u**2, -u]),
        ),
        (lambda u: sp.Piecewise((1, (u > -1) & (u < 1)), (u, True)), lambda u: np.where(abs(u) < 1, 1, u)),
        (lambda u: sp.Heaviside(u), lambda u: np.heaviside(u, 0.5)),
        (lambda u: 1 / sp.cosh(u), lambda u: 1 / np.cosh(u)),
        (lambda u: sp.cbrt(u**2 + 1), lambda u: np.cbrt(u**2 + 1)),
        (lambda u: sp.pi * u + sp.E, lambda u: np.pi * u + np.e),
        (lambda u: u, lambda u: u),
        (lambda u: 2, lambda u: 2.0),
    ],
)
def test_pointwise_computes_on_arrays(function, wanted):
    found = pointwise(function)(U)
    np.testing.assert_allclose(
        np.broadcast_to(found, U.shape), np.broadcast_to(wanted(U), U.shape), rtol=1e-14
    )


def test_pointwise_of_two_arguments():
    gate = pointwise(lambda u, v: u**2 * sp.exp(v))
    np.testing.assert_allclose(gate(U, U[::-1]), U**2 * np.exp(U[::-1]), rtol=1e-14)
    assert pointwise(sp.erf)(0.5) == pytest.approx(0.5204998778130465, rel=1e-15)


def test_constants_are_kept_exactly():
    @recurrence
    def cell(x=Input("n"), y=Target("n"), h=State("n")):
        h = 0.1 * h + x / 3 + 1e-300 * x + 1e20 * h + np.float64(0.7) * x + np.int64(3) * h
        return Step(h=h, output=h * (1 / 3), loss=squared_error(h, y))

    arrays = draw(cell, np.random.default_rng(0), 2, 2)
    close(evaluate(cell.program, arrays)["o"], run(cell, arrays)[1])
