"""Equality in opaque functions: what is decided, what is told apart, and the slopes it rests on."""

import time

import numpy as np
import pytest
import sympy as sp

from bptt_verify.errors import UnsupportedError
from bptt_verify.oracle.algebra import OutOfTimeError, Polynomials, Residues, UnluckyError, Walk
from bptt_verify.oracle.chain import Derivatives
from bptt_verify.oracle.equality import decide
from bptt_verify.oracle.located import Letters, Located
from bptt_verify.oracle.opaque import KIND, OPAQUE, context, meanings, opaque, slope, to_number
from bptt_verify.program.functions import FUNCTIONS

x, y, z = sp.symbols("x y z")
f, g = OPAQUE[sp.tanh], OPAQUE[sp.exp]
ROOT = sp.sqrt(x + 1)


def verdict(a, b, definitions=None, seconds=5.0):
    d = decide([(a, b)], definitions or {}, time.monotonic() + seconds)
    return next(k for k in ("polynomial", "rational", "different", "undecided") if getattr(d, k))


EQUAL = {
    "binomial": ((x + y) ** 3, x**3 + 3 * x**2 * y + 3 * x * y**2 + y**3, "polynomial"),
    "arguments": (f((x + y) * z), f(x * z + y * z), "polynomial"),
    "nested": (f(x + f(y * (z + 1))) ** 2, f(f(y * z + y) + x) ** 2, "polynomial"),
    "scaled inverses": (1 / (2 * x + 2 * f(y)) * 2, 1 / (x + f(y)), "polynomial"),
    "irrational constants": (sp.pi * (x + 1), sp.pi * x + sp.pi, "polynomial"),
    "cancelled sum": ((x + f(y)) * (z + 1) / (x + f(y)), z + 1, "polynomial"),
    "partial fractions": (1 / (x + 1) - 1 / (x + 2), 1 / ((x + 1) * (x + 2)), "rational"),
    "softmax": (g(x) / (g(x) + g(y)), 1 - g(y) / (g(x) + g(y)), "rational"),
    "square of a root": ((sp.sqrt(x + y) * z) ** 2 / (x + y), z**2, "polynomial"),
    "two roots": ((x + y) / sp.sqrt(y + x), sp.sqrt(x + y), "polynomial"),
    "many roots": (
        sum(sp.sqrt(x + k) / (x + k + y) for k in range(12)),
        sum((x + k) / sp.sqrt(x + k) / (x + k + y) for k in range(12)),
        "polynomial",
    ),
    "roots of roots": (
        (sp.sqrt(1 + ROOT) + z) ** 2 * (x + 2),
        (x + 2) * (1 + ROOT + 2 * z * sp.sqrt(1 + ROOT) + z**2),
        "rational",
    ),
    "root and inverse": (
        sp.sqrt((x + 1) ** 2 + y) ** 3 / (x**2 + 2 * x + 1 + y),
        sp.sqrt((x + 1) ** 2 + y),
        "rational",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", EQUAL)
def test_equal_expressions_are_found_equal(case):
    a, b, how = EQUAL[case]
    assert verdict(a, b) == how


DIFFERENT = {
    "transposed": (x * f(y) + y * f(x), x * f(x) + y * f(y)),
    "another function": (f(x), g(x)),
    "another argument": (f(x + y), f(x - y)),
    "sign of a root": (sp.sqrt(x + y), -sp.sqrt(x + y)),
    "a tiny constant": (x, x + sp.Rational(1, 10**60)),
    "a relation opaque functions do not have": (
        OPAQUE[sp.sin](x) ** 2 + OPAQUE[sp.cos](x) ** 2,
        sp.Integer(1),
    ),
    "an even function is not known": (f(-x), -f(x)),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_different_expressions_are_told_apart(case):
    assert verdict(*DIFFERENT[case]) == "different"


def test_letters_stand_for_what_they_define():
    s = sp.Symbol("s")
    assert verdict(s + x, x + f(x * (y + 1)), {s: f(x * y + x)}) == "polynomial"
    assert verdict(s + x, x + f(x * (y + 2)), {s: f(x * y + x)}) == "different"


def test_a_product_that_is_too_large_goes_to_residues():
    letters = sp.symbols("a:60")
    big = sp.Mul(*(sum(letters[k : k + 6]) for k in range(0, 60, 6)))
    assert verdict(big * (x + 1), big * x + big) == "rational"


def test_polynomials_give_up_when_the_time_is_over():
    with pytest.raises(OutOfTimeError):
        Walk(Polynomials(time.monotonic() - 1), {})((x + 1) * (x + 2))


def test_residues_are_a_field_with_square_roots():
    residues = Residues("seed")
    for k in range(20):
        a, b = residues.letter(sp.Symbol(f"a{k}")), residues.letter(sp.Symbol(f"b{k}"))
        root = residues.root(a, 2)
        assert residues.power(root, 2) == a
        mixed = residues.add([root, b])
        assert residues.mul(mixed, residues.power(mixed, -1)) == (1, 0)
        square = residues.power(mixed, 2)
        assert residues.power(residues.root(square, 2), 2) == square


def test_an_unlucky_point_is_given_up():
    residues = Residues("seed")
    with pytest.raises(UnluckyError):
        residues.power((0, 0), -1)
    with pytest.raises(UnluckyError):
        for k in range(100):
            residues.root((k, 1), 2)


def test_what_has_no_meaning_is_refused():
    with pytest.raises(UnsupportedError, match="Max"):
        Walk(Residues("seed"), {})(sp.Max(x, y))


SMOOTH = list(FUNCTIONS)


@pytest.mark.parametrize("kind", SMOOTH, ids=lambda k: k.__name__)
def test_the_stated_slope_is_the_derivative(kind):
    arithmetic = context(30)
    means = meanings(arithmetic)
    at = arithmetic.mpf("1.4") if kind is sp.acosh else arithmetic.mpf("0.37")
    u, s = sp.symbols("u s")
    stated = slope(kind, u, s)
    real = stated.replace(lambda e: e.func in KIND, lambda e: KIND[e.func](*e.args))
    point = {u: sp.Float(at, 30), s: sp.Float(means[kind](at), 30)}
    names = {c.__name__: m for c, m in means.items() if c.__module__.startswith("bptt")}
    value = real.subs(point)
    value = value.replace(
        lambda e: e.func.__name__ in names, lambda e: sp.Float(names[e.func.__name__](at), 30)
    )
    assert abs(to_number(arithmetic, value) - arithmetic.diff(means[kind], at)) < 1e-12


def test_opaque_functions_are_never_evaluated():
    assert opaque(sp.exp(x) * sp.exp(sp.log(y)), {}) == OPAQUE[sp.exp](x) * opaque(y, {})
    assert OPAQUE[sp.tanh](0) != 0
    assert sp.diff(f(x * y), x) == y * (1 - f(x * y) ** 2)


def test_the_chain_rule_goes_through_letters():
    s, t = sp.symbols("s t")
    definitions = {s: f(x * y), t: s + x}
    by = Derivatives(definitions).by(t**-2 * s, x)
    slope_s = y * (1 - s**2)
    assert sp.expand(by - (slope_s * t**-2 - 2 * s * t**-3 * (slope_s + 1))) == 0
    assert Derivatives(definitions).by(t, z) == 0


def test_located_numbers_follow_their_expressions():
    book = Letters(40)
    a, b = (Located(s, book.arithmetic.mpf(v), book) for s, v in ((x, 2), (y, 3)))
    long = (a + 1) * b + -1 * a
    assert (long.expr.xreplace(book.definitions), long.value) == ((x + 1) * y - x, 7)
    assert (2 * (a + b)).expr == 2 * x + 2 * y
    assert (a < b, a > b, a <= 2, a >= 2.5, a == 2) == (True, False, True, False, True)
    root = (a + 2) ** sp.Rational(1, 2)
    assert (root.value, book.definitions[root.expr.args[0]]) == (2, x + 2)
    assert ((a + 2) ** -1).expr.args[0] == root.expr.args[0]
    array = np.array([a, b], dtype=object)
    assert [e.expr for e in a * array] == [x**2, x * y]
    assert [e.expr for e in a + array] == [2 * x, x + y]
    assert (0.5 * a).expr == x / 2
