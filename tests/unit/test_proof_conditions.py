"""What the proof kernel says is true: conditions, substitution, equality, every rule, at exact values.

Random terms have sums, ordered products, transposes, norms and traces over families of integer matrices;
their few index names are free and bound at once, so that a captured index would show. Each rule is applied
to them, and what it concludes is evaluated at index values that satisfy its conditions.
"""

from itertools import islice, product
from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, assume, example, given, reject, settings
from hypothesis import strategies as st

import bptt_verify.proof.kernel as kernel
from bptt_verify.errors import ProofError
from bptt_verify.proof import evaluation
from bptt_verify.proof.calculation import places
from bptt_verify.proof.evaluation import Model, integers, number
from bptt_verify.proof.kernel import (
    Case,
    Definition,
    Letter,
    Mean,
    Norm,
    Ordered,
    Total,
    Trace,
    Transpose,
    at_least,
    between,
    equal,
    equation,
    factors,
    free,
    hypothesis,
    implies,
    impossible,
    index,
    statement,
    substitute,
)
from bptt_verify.proof.kernel.binding import canonical, fresh

t, i, k = INDICES = tuple(map(index, "tik"))
SIZES = {"n": 2, "p": 3}
SPAN = range(-3, 5)
LETTERS = {
    ("n", "n"): (Letter("J", "n", "n"), Letter("K", "n", "n")),
    ("n", "p"): (Letter("A", "n", "p"),),
    ("p", "n"): (Letter("B", "p", "n"),),
    ("p", "p"): (Letter("P", "p", "p"),),
    (): (Letter("μ"), Letter("ρ", nonnegative=True), Letter("ξ", random="independent")),
}
XI = LETTERS[()][-1]
SHAPES = st.sampled_from(list(LETTERS))
MATRICES = st.sampled_from([of for of in LETTERS if of])
F = Letter("F", "n", "n")  # will be defined
Z = Letter("z", "n", "n", random="derived")  # so will this

ordinary = settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


# ── random indices, conditions and terms ──────────────────────────────────────────────────────────


def positions(without=()):
    """Small linear expressions: 2, t - 1, 2 - i, t + i."""
    names = [k for k in INDICES if k not in without]
    constants = st.integers(-2, 3).map(sp.Integer)
    if not names:
        return constants
    shifted = st.builds(lambda k, sign, c: sign * k + c, st.sampled_from(names), _SIGNS, st.integers(-1, 1))
    both = st.builds(lambda a, b: a + b, st.sampled_from(names), st.sampled_from(names))
    return st.one_of(constants, shifted, shifted, both)


_SIGNS = st.sampled_from([1, 1, 1, -1])
conditions = st.lists(positions().flatmap(lambda a: positions().map(lambda b: at_least(a, b))), max_size=3)


@st.composite
def entries_of(draw, of):
    letter = draw(st.sampled_from(LETTERS[of]))
    return letter(*draw(st.lists(positions(), min_size=0, max_size=2)))


@st.composite
def binders(draw, kind, of, depth):
    bound = draw(st.sampled_from(INDICES))
    low, high = draw(positions([bound])), draw(positions([bound]))
    return kind(draw(terms(of, depth)), bound, low, high)


@st.composite
def products(draw, of, depth):
    if not of:
        return draw(terms((), depth)) * draw(terms((), depth))
    middle = draw(st.sampled_from("np"))
    scalar = draw(st.sampled_from([1, 1, -1, 2])) * (draw(terms((), 0)) if draw(st.booleans()) else 1)
    return scalar * draw(terms((of[0], middle), depth)) * draw(terms((middle, of[1]), depth))


@st.composite
def terms(draw, of, depth=2):
    """A term of a shape; depth is that of the nesting."""
    square = of == () or of[0] == of[1]
    kinds = ["entry"] + ["sum", "product", "product", "total"] * (depth > 0)
    kinds += ["number"] * square + ["ordered", "power"] * (square and depth > 0)
    kinds += ["mean"] * (depth > 0)
    kinds += ["transpose"] * (depth > 0 and of != ()) + ["norm", "trace"] * (depth > 0 and of == ())
    match draw(st.sampled_from(kinds)):
        case "entry":
            return draw(entries_of(of))
        case "number":
            return draw(st.sampled_from([sp.Integer(2), sp.S.One, sp.S.Zero, sp.Rational(-1, 2)]))
        case "sum":
            return draw(terms(of, depth - 1)) + draw(terms(of, depth - 1))
        case "product":
            return draw(products(of, depth - 1))
        case "total":
            return draw(binders(Total, of, depth - 1))
        case "ordered":
            return draw(binders(Ordered, of, depth - 1))
        case "power":
            return draw(terms(of, depth - 1)) ** 2
        case "mean":
            return Mean(draw(terms(of, depth - 1)))
        case "transpose":
            return Transpose(draw(terms(of[::-1], depth - 1)))
        case "norm":
            return Norm(draw(terms(draw(MATRICES), depth - 1)))
    square = st.sampled_from([("n", "n"), ("p", "p")])
    return Trace(draw(terms(draw(square), depth - 1)))


def term_of(draw, of=None, depth=2):
    """A random term that is well formed: numbers that SymPy joins may have lost their shape."""
    of = draw(SHAPES) if of is None else of
    try:
        term = sp.sympify(draw(terms(of, depth)))
        equation(term, term)
    except ProofError:
        reject()
    return term


# ── exact values ──────────────────────────────────────────────────────────────────────────────────


def model_of(seed, definitions=(), most=2):
    return Model(SIZES, integers(np.random.default_rng(seed), most), tuple(definitions))


def values_of(names, rng):
    while True:
        yield dict(zip(names, map(int, rng.integers(SPAN.start, SPAN.stop, len(names))), strict=True))


def same_value(model, a, b):
    return model.holds(equation(a, b), {})


def holds_everywhere(a, model, indices):
    """Whether an assumption holds for all values of the indices that it binds."""
    for values in product(SPAN, repeat=len(a.every)):
        own = {**indices, **dict(zip(a.every, values, strict=True))}
        if all(number(g, own) >= 0 for g in a.given) and not model.holds(a, own):
            return False
    return True


def evaluated(theorem, seed, choices=4, draw=None):
    """Evaluate a theorem at some index values that satisfy its conditions, and its assumptions."""
    s, rng = theorem.statement, np.random.default_rng(seed)
    parts = (s, *theorem.assumptions, *theorem.definitions)
    names = sorted(frozenset().union(*(x.free for x in parts)), key=str)
    tried = islice(values_of(names, rng), 300)
    right = (v for v in tried if all(number(g, v) >= 0 for g in s.given))
    count = 0
    for indices in islice(right, choices):
        model = Model(SIZES, draw or integers(rng), tuple(theorem.definitions))
        if all(holds_everywhere(a, model, indices) for a in theorem.assumptions):
            assert model.holds(s, indices), (theorem, indices)
            count += 1
    return count


# ── conditions ────────────────────────────────────────────────────────────────────────────────────

BOX = [dict(zip(INDICES, v, strict=True)) for v in product(range(-4, 5), repeat=3)]
coefficients = st.tuples(*[st.integers(-3, 3)] * 3, st.integers(-6, 6))
linear = coefficients.map(lambda c: sp.Add(*(a * x for a, x in zip(c, (*INDICES, 1), strict=True))))


def satisfied(given, values):
    return all(number(sp.sympify(g), values) >= 0 for g in given)


@ordinary
@given(st.lists(linear, max_size=4), linear)
@example([2 * t - 1, 1 - 2 * t], sp.Integer(-1))  # integers: no t has 2t = 1
def test_what_is_implied_has_no_counterexample(given, goal):
    if implies(given, goal):
        assert all(number(goal, v) >= 0 for v in BOX if satisfied(given, v))


@ordinary
@given(st.lists(linear, max_size=5))
@example([2 * t - 3 * i, -3 * t + 2 * i - 1])  # t = i = -2
def test_what_is_impossible_has_no_example(given):
    if impossible(given):
        assert not any(satisfied(given, v) for v in BOX)


@ordinary
@given(st.integers(-6, 6), st.integers(-6, 6), st.integers(0, 9))
def test_simple_bounds_are_decided(low, high, slack):
    assert implies(between(low, t, high), at_least(t, low - slack))
    assert implies(between(low, t, high), at_least(high + slack, t))
    assert implies((at_least(t, low), at_least(i, t)), at_least(i, low))
    assert impossible(between(low, t, low - 1 - slack))
    assert implies((at_least(t, low),), at_least(t, low + 1 + slack)) is False
    assert impossible(between(low, t, low + slack)) is False


@ordinary
@given(st.integers(2, 5), st.integers(-9, 9), st.integers(1, 4))
def test_constants_are_rounded_to_integers(factor, constant, more):
    """c·t ≥ b holds for an integer t just where t ≥ ⌈b/c⌉."""
    bound = -(-constant // factor)
    assert implies([factor * t - constant], at_least(t, bound))
    assert not implies([factor * t - constant], at_least(t, bound + more))


def test_nothing_but_linear_conditions_on_indices_is_understood():
    positive = sp.Symbol("t", integer=True, positive=True)
    for wrong in (t * i, t**2, sp.Abs(t), positive, sp.Symbol("x"), sp.Dummy("t", integer=True), 1.5, "t"):
        with pytest.raises(ProofError, match=r"index: .*; expected"):
            implies([wrong], t)


def test_a_hard_set_of_conditions_is_given_up_and_not_said_to_be_impossible():
    names = [index(f"x{j}") for j in range(9)]
    rng = np.random.default_rng(1)
    some = rng.integers(-9, 10, (18, 9)).tolist()
    rows = [sp.Add(*(c * x for c, x in zip(row, names, strict=True))) for row in some]
    assert not impossible(rows)  # all are satisfied by 0


# ── substitution and equality ─────────────────────────────────────────────────────────────────────


@ordinary
@given(st.data(), st.integers(0, 2**32 - 1))
def test_substitution_lemma(data, seed):
    """The value of term[t := e] is the value of the term where t has the value of e."""
    term = term_of(data.draw)
    change = data.draw(st.dictionaries(st.sampled_from(INDICES), positions(), min_size=1))
    model = model_of(seed)
    for v in islice(values_of(INDICES, np.random.default_rng(seed)), 3):
        moved = {**v, **{x: number(e, v) for x, e in change.items()}}
        left, right = model.value(substitute(term, change), v), model.value(term, moved)
        assert np.all(left == right)


@ordinary
@given(st.data())
def test_substitution_moves_the_free_indices_and_no_others(data):
    term, e = term_of(data.draw), data.draw(positions([t]))
    new = substitute(term, {t: e})
    assert t not in free(new)
    assert free(new) <= (free(term) - {t}) | free(e)
    assert equal(substitute(term, {t: t}), term)


def test_a_renamed_bound_index_is_none_that_is_in_use():
    J, K = LETTERS["n", "n"]
    assert substitute(Total(J(k) * K(i), k, 1, t), {t: k}) == Total(J(index("j")) * K(i), index("j"), 1, k)


def renamed(draw, term):
    """The term with other bound indices."""
    if isinstance(term, Total | Ordered):
        new = draw(st.sampled_from([*INDICES, index("m")]))
        new = fresh(new, free(term.body) | free(term.low) | free(term.high))
        body = substitute(renamed(draw, term.body), {term.bound: new})
        return term.func(body, new, term.low, term.high)
    if isinstance(term, kernel.Entry) or not term.args:
        return term
    return term.func(*(renamed(draw, a) for a in term.args))


@ordinary
@given(st.data(), st.integers(0, 2**32 - 1))
def test_terms_that_are_equal_have_equal_values(data, seed):
    term = term_of(data.draw)
    other = renamed(data.draw, term)
    assert equal(term, other)
    assert equal(canonical(term), canonical(canonical(term))) if not free(term) else True
    model = model_of(seed)
    for v in islice(values_of(INDICES, np.random.default_rng(seed)), 3):
        assert np.all(model.value(term, v) == model.value(other, v))


@ordinary
@given(st.data(), st.integers(0, 2**32 - 1))
def test_what_differs_in_value_is_not_equal(data, seed):
    a, b = term_of(data.draw, ("n", "n"), 1), term_of(data.draw, ("n", "n"), 1)
    if equal(a, b):
        model = model_of(seed)
        for v in islice(values_of(INDICES, np.random.default_rng(seed)), 3):
            assert model.holds(equation(a, b), v)


def test_equality_is_up_to_bound_names_only():
    J = LETTERS["n", "n"][0]
    assert equal(Total(J(k), k, 1, t), Total(J(i), i, 1, t))
    assert not equal(Total(J(k), k, 1, t), Total(J(k), k, 1, i))
    assert not equal(Total(Total(J(k + i), k, 1, t), i, 1, k), Total(Total(J(k + i), i, 1, t), k, 1, i))
    with pytest.raises(ProofError, match="no index that starts with '_'"):
        equal(J(index("_0")), J(t))


# ── evaluation ────────────────────────────────────────────────────────────────────────────────────


def test_a_definition_means_the_index_outside_where_its_name_is_bound_inside():
    J, _ = LETTERS["n", "n"]
    model = model_of(1, [Definition(F, t, (Case((), J(i)),))])
    assert np.all(model.value(Total(F(i), i, 1, 2), {i: 5}) == 2 * model.value(J(i), {i: 5}))


def test_evaluation_finds_what_is_false():
    J, _ = LETTERS["n", "n"]
    theorem = kernel.ring(J(t), J(t))
    assert evaluation.evaluated(theorem, model_of(1), 3, -2) == 6
    lie = SimpleNamespace(statement=equation(J(t), J(t + 1)), assumptions=(), definitions=())
    with pytest.raises(ProofError, match=r"is false at \{t: 0\}"):
        evaluation.evaluated(lie, model_of(1))


def test_evaluation_needs_a_model_of_the_assumptions():
    J, _ = LETTERS["n", "n"]
    with pytest.raises(ProofError, match=r"does not satisfy the assumption"):
        evaluation.evaluated(kernel.assume(equation(J(t), 0, every=(t,))), model_of(1))


def test_the_trace_of_an_empty_product_is_the_number_of_rows():
    J, _ = LETTERS["n", "n"]
    assert model_of(1).value(Trace(Ordered(J(k), k, 1, 0)), {}) == SIZES["n"]
    assert model_of(1).value(Trace(Ordered(J(k), k, 1, 0) - sp.Rational(1, 2)), {}) == 1


def test_values_are_exact():
    third = Model(SIZES, lambda *of: 1).value(sp.Rational(1, 3) * Letter("μ")(), {})
    assert third * 3 == 1


# ── every rule ────────────────────────────────────────────────────────────────────────────────────


def given_of(draw, *needed):
    return (*needed, *draw(conditions))


def _total(draw, of=None, depth=1):
    of = draw(SHAPES) if of is None else of
    return _formed(draw(binders(Total, of, depth)))


def _ordered(draw):
    of = draw(st.sampled_from([("n", "n"), ()]))
    return _formed(draw(binders(Ordered, of, 1)))


def _formed(term):
    try:
        equation(term, term)
    except ProofError:
        reject()
    return term


def ring(draw):
    term = term_of(draw)
    other = draw(st.sampled_from([sp.expand(term), renamed(draw, term), sp.expand(renamed(draw, term))]))
    return kernel.ring(term, other, given_of(draw))


def ring_of_two(draw):
    """Two terms that were made apart from the same letters: equal only if the ring laws say so."""
    J, K = LETTERS["n", "n"]
    words = st.lists(st.sampled_from([J(t), K(t), J(t) + K(t), 2 * J(t), sp.S.One]), min_size=1, max_size=3)
    parts = st.lists(words.map(lambda w: sp.Mul(*w)), min_size=1, max_size=2).map(lambda p: sp.Add(*p))
    a, b, c = draw(parts), draw(parts), draw(parts)
    return kernel.ring((a + b) * c, draw(st.sampled_from([a * c + b * c, c * a + c * b, a * c + b])), ())


def symmetric(draw):
    return kernel.symmetric(rewrite(draw))


def transitive(draw):
    first = rewrite(draw)
    s = first.statement
    return kernel.transitive(first, draw(st.sampled_from(_steps(s.right, s.given))))


def _steps(term, given):
    """Every way to rewrite the term by one rule that needs nothing but a term and conditions."""
    found = []
    for part, context in islice(places(term), 12):
        for rule in ONE_TERM_RULES:
            try:
                found.append(kernel.rewrite(term, rule(part, (*given, *context)), given))
            except ProofError:
                continue
    assume(found)
    return found


ONE_TERM_RULES = (
    kernel.empty_sum,
    kernel.one_term,
    kernel.last_term,
    kernel.first_term,
    kernel.sum_of_sums,
    kernel.sum_of_zeros,
    kernel.distribute,
    kernel.empty_product,
    kernel.one_factor,
    kernel.peel_newest,
    kernel.peel_oldest,
    kernel.transposition,
    kernel.trace_of_sum,
    kernel.norm_of_number,
    kernel.submultiplicative,
    kernel.triangle,
    kernel.mean_of_sum,
    kernel.mean_of_constant,
    kernel.mean_of_transpose,
    kernel.constants_out,
)


def rewrite(draw):
    term = term_of(draw)
    return draw(st.sampled_from(_steps(term, given_of(draw))))


def rewrite_scalars(draw):
    """≤ among sums and products of numbers of either sign."""
    norms = draw(terms((), 1)) * Norm(draw(terms(("n", "n"), 1))) + draw(terms((), 1))
    return draw(st.sampled_from(_steps(_formed(norms), ())))


def rewrite_some_terms(draw):
    """Part of a sum, and part of a product, by a theorem about just that part."""
    parts = [term_of(draw, ("n", "n"), 1) for _ in range(3)]
    join = draw(st.sampled_from([sp.Add, sp.Mul]))
    old = join(*draw(st.lists(st.sampled_from([*parts, sp.S.One, sp.Integer(2)]), min_size=2, max_size=3)))
    known = kernel.ring(old, sp.expand(old) if draw(st.booleans()) else old, ())
    return kernel.rewrite(_formed(join(*parts, draw(st.sampled_from([2, 1, *parts])))), known, ())


def rewrite_under_assumptions(draw):
    """``x_e = y_e`` for one particular e, used in a term that may bind that index."""
    x, y = Letter("x"), Letter("y")
    one, every = draw(positions()), draw(st.sampled_from([(), (), (t,), (i,), (t, i)]))
    known = kernel.assume(equation(x(one), y(one), *draw(conditions), every=every))
    body = x(draw(st.sampled_from([one, t, i]))) + y(draw(positions()))
    inner = Total(body, *_limits(draw))
    term = draw(st.sampled_from([inner, Total(inner * x(one), *_limits(draw)), inner + x(one)]))
    return kernel.rewrite(term, known, given_of(draw))


def _limits(draw):
    bound = draw(st.sampled_from(INDICES))
    return bound, draw(positions([bound])), draw(positions([bound]))


def instantiate(draw):
    theorem = draw(st.sampled_from([rewrite, rewrite_under_assumptions, unfold]))(draw)
    values = draw(st.dictionaries(st.sampled_from(INDICES), positions(), min_size=1))
    return kernel.instantiate(theorem, tuple(values.items()))


def specialise(draw):
    theorem = draw(st.sampled_from([rewrite, rewrite, unfold]))(draw)
    of = draw(st.sampled_from([("n", "n"), ("n", "n"), ("n", "p"), ()]))
    letter = draw(st.sampled_from(LETTERS[of]))
    body = substitute(term_of(draw, of, 1), {i: sp.S.One, k: t})
    return kernel.specialise(theorem, letter, t, body)


def resize(draw):
    theorem = draw(st.sampled_from([rewrite, rewrite, unfold]))(draw)
    return kernel.resize(theorem, *draw(st.sampled_from([("p", "n"), ("n", "p"), ("p", "1"), ("n", "1")])))


def weaken(draw):
    theorem = rewrite(draw)
    return kernel.weaken(theorem, given_of(draw, *theorem.statement.given))


def definition(draw):
    """F by recursion, upwards or downwards, from a limit that may depend on an index."""
    onward, limit = draw(st.sampled_from([1, -1])), draw(positions([t]))
    start = draw(terms(("n", "n"), 1))
    step = draw(terms(("n", "n"), 1)) * F(t - onward) + draw(terms(("n", "n"), 0))
    beyond = position_of(onward * (t - limit) - 1)
    cases = (Case((t - limit, limit - t), start), Case((beyond,), step))
    return Definition(F, t, cases, onward, limit)


def position_of(expr):
    return at_least(expr, 0)


def unfold(draw):
    d, at = definition(draw), draw(positions())
    case = draw(st.sampled_from(d.cases))
    return kernel.unfold(d, at, given_of(draw, *(substitute(g, {t: at}) for g in case.given)))


def sum_rule(rule, condition=None):
    def of(draw):
        total = _total(draw)
        needed = [condition(total)] if condition else []
        return rule(total, given_of(draw, *needed))

    return of


def one_term(draw):
    total = _total(draw)
    return kernel.one_term(Total(total.body, total.bound, total.low, total.low), given_of(draw))


def split_sum(draw):
    total, after = _total(draw), draw(positions())
    needed = at_least(after, total.low - 1), at_least(total.high, after)
    return kernel.split_sum(total, after, given_of(draw, *needed[: draw(st.integers(0, 9))]))


def sum_of_sums(draw):
    of = draw(SHAPES)
    total = Total(_formed(draw(terms(of, 1)) + draw(terms(of, 1))), *_limits(draw))
    return kernel.sum_of_sums(total, given_of(draw))


def sum_of_zeros(draw):
    return kernel.sum_of_zeros(Total(0, *_limits(draw)), given_of(draw))


def distribute(draw):
    total = _total(draw, ("n", "n"))
    before, after = draw(terms((), 0)), draw(terms(("n", "p"), 1))
    return kernel.distribute(_formed(before * draw(terms(("n", "n"), 1)) * total * after), given_of(draw))


def take_out(draw):
    before, inside, after = draw(terms(("p", "n"), 1)), draw(terms(("n", "n"), 1)), draw(terms((), 1))
    total = Total(_formed(before * inside * after), *_limits(draw))
    return kernel.take_out(total, before, inside, sp.sympify(after), given_of(draw))


def reindex(draw):
    term = draw(st.sampled_from([_total, _ordered]))(draw)
    new = draw(st.sampled_from([*INDICES, index("m")]))
    sign = draw(_SIGNS)
    return kernel.reindex(term, new, sign * new + draw(positions()), given_of(draw))


def exchange(draw):
    """Pairs in a rectangle or a triangle, with the right new limits or others."""
    a, b, c, d = (draw(positions(INDICES[:2])) for _ in range(4))
    shift, body = draw(st.integers(-1, 1)), draw(terms(draw(SHAPES), 1))
    old, new = draw(
        st.sampled_from(
            [
                ((a, b), (c, d), (c, d), (a, b)),
                ((a, b), (a + shift, t + shift), (a + shift, b + shift), (i - shift, b)),
                ((a, b), (t + shift, b + shift), (a + shift, b + shift), (a, i - shift)),
            ]
        ).map(lambda x: (x[:2], x[2:]))
    )
    wrong = draw(st.sampled_from([0, 0, 0, 1]))
    outer, inner = new if not wrong else ((new[0][0], new[0][1] + draw(st.integers(-1, 1))), new[1])
    total = Total(Total(body, i, *old[1]), t, *old[0])
    return kernel.exchange(_formed(total), outer, inner, given_of(draw))


def product_rule(rule, condition=None):
    def of(draw):
        ordered = _ordered(draw)
        needed = [condition(ordered)] if condition else []
        return rule(ordered, given_of(draw, *needed))

    return of


def one_factor(draw):
    ordered = _ordered(draw)
    return kernel.one_factor(Ordered(ordered.body, ordered.bound, ordered.low, ordered.low), given_of(draw))


def transposition(draw):
    return kernel.transposition(Transpose(term_of(draw)), given_of(draw))


def rotate_trace(draw):
    inner = _formed(draw(products(("n", "n"), 1)))
    _, ordered = factors(inner)
    return kernel.rotate_trace(Trace(inner), draw(st.integers(0, len(ordered))), given_of(draw))


def trace_of_sum(draw):
    inner = [_total(draw, ("n", "n")), draw(terms(("n", "n"), 1)) + draw(terms(("n", "n"), 1))]
    return kernel.trace_of_sum(Trace(_formed(draw(st.sampled_from(inner)))), given_of(draw))


def norm_of_number(draw):
    return kernel.norm_of_number(Norm(sp.Rational(draw(st.integers(-5, 5)), draw(st.integers(1, 3)))), ())


def submultiplicative(draw):
    return kernel.submultiplicative(Norm(term_of(draw)), given_of(draw))


def triangle(draw):
    of = draw(SHAPES)
    inner = [_total(draw, of), draw(terms(of, 1)) + draw(terms(of, 1))]
    return kernel.triangle(Norm(_formed(draw(st.sampled_from(inner)))), given_of(draw))


def assume_(draw):
    relation = draw(st.sampled_from(["=", "≤"]))
    x, y = draw(terms((), 1)), draw(terms((), 0))
    every = draw(st.sampled_from([(), (t,), (t, i)]))
    return kernel.assume(statement(x, relation, y, *draw(conditions), every=every))


def discharge(draw):
    """An assumption about every index, proved by one rule."""
    rewriting = rewrite(draw)
    s = rewriting.statement
    every = draw(st.sampled_from([(), (t,), (t, i)]))
    assumption = statement(s.left, s.relation, s.right, *s.given, every=every)
    known = kernel.assume(assumption)
    if s.relation == "=":
        known = kernel.symmetric(known)
    return kernel.discharge(known, assumption, rewriting)


def induction(draw):
    """``F_t = Σ f + start`` where each step adds f, upwards or downwards, for a random f."""
    onward, limit = draw(st.sampled_from([1, -1])), draw(positions([t]))
    body = substitute(term_of(draw, ("n", "n"), 1), {t: k, i: k})
    here, wrong = substitute(body, {k: t}), draw(st.sampled_from([0, 0, 0, 1]))
    first, rest = Case((t - limit, limit - t), here), Case((onward * (t - limit) - 1,), here + F(t - onward))
    d = Definition(F, t, (first, rest), onward, limit)
    whole = Total(body, k, *((limit, t) if onward == 1 else (t + wrong, limit)))
    claim = equation(F(t), whole, onward * (t - limit))
    base = kernel.unfold(d, limit, ())
    back = kernel.symmetric(kernel.one_term(claim.at({t: limit}).right, ()))
    base = kernel.transitive(base, back)
    beyond = (onward * (t - limit) - 1,)
    known = hypothesis(claim, t, limit, onward)
    before = kernel.instantiate(kernel.assume(known), ((known.every[0], t - onward + wrong),))
    step = kernel.unfold(d, t, beyond)
    step = kernel.transitive(step, kernel.rewrite(step.statement.right, before, beyond))
    end = (kernel.last_term if onward == 1 else kernel.first_term)(whole, beyond)
    step = kernel.transitive(step, kernel.ring(step.statement.right, end.statement.right, ()))
    step = kernel.transitive(step, kernel.symmetric(end))
    return kernel.induction(claim, t, limit, onward, base, step)


def mean_rule(rule, *kinds):
    """Of a mean of something of these kinds."""

    def of(draw):
        shape = draw(SHAPES)
        inner = {
            "sum": lambda: draw(terms(shape, 1)) + draw(terms(shape, 1)),
            "total": lambda: Total(draw(terms(shape, 1)), *_limits(draw)),
            "product": lambda: draw(products(shape, 1)) * draw(st.sampled_from([1, 2, XI(t), XI()])),
            "transpose": lambda: Transpose(draw(terms(shape, 1))),
            "any": lambda: draw(terms(shape, 1)),
        }[draw(st.sampled_from(kinds))]()
        return rule(_formed(Mean(inner)), given_of(draw))

    return of


def random_definition(draw):
    """z by recursion, with gates near its step, and perhaps one gate for all steps."""
    onward, J = draw(st.sampled_from([1, -1])), LETTERS["n", "n"][0]
    near = XI(t + draw(st.integers(-1, 1)))
    gate = draw(st.sampled_from([near, near, near, XI() * near, sp.S.One, near**2]))
    summed = draw(st.sampled_from([0, 0, 0, Total(XI(k), k, 0, t), Total(XI(k) * Z(k), k, 0, t - 1)]))
    body = draw(st.sampled_from([J(t) + gate * Z(t - onward), gate * J(t) * Z(t - onward) + summed * J(t)]))
    cases = (Case((t, -t), J(0)), Case((onward * t - 1,), body))
    return Definition(Z, t, cases, onward)


def independence(draw):
    """A gate beside a derived letter some steps away, which it may enter or not."""
    definition, at = random_definition(draw), draw(positions())
    gate = XI(at)
    z = Z(draw(st.sampled_from([at + s for s in range(-2, 3)] + [t, i])))
    late, early = Total(XI(k), k, at + 1, at + 2), Total(XI(k) * Z(k), k, 0, at - 1)
    other = draw(st.sampled_from([z, z, z * Transpose(z), z * XI(t), late * z, early, z + XI() * z]))
    factor = draw(st.sampled_from([gate, gate, gate**2, gate - 1, XI(), late]))
    mean = Mean(factor * other * draw(st.sampled_from([1, XI(i), Mean(z)])))
    return kernel.independence(_formed(mean), factor, (definition,), given_of(draw))


def unsigned(draw):
    """A number that cannot be negative by its form, or just any number."""
    one, other = Norm(term_of(draw, depth=1)), Norm(term_of(draw, (), 1))
    X = term_of(draw, draw(MATRICES), 1)
    square = Trace(Transpose(X) * X)
    return _formed(draw(st.sampled_from([one, one * other, one + other, other**2, square, other.args[0]])))


def not_negative(draw):
    return kernel.not_negative(unsigned(draw), given_of(draw))


def absolute(draw):
    return kernel.absolute(Norm(unsigned(draw)), given_of(draw))


def at_most_absolute(draw):
    return kernel.at_most_absolute(term_of(draw, (), 1), given_of(draw))


def norm_of_multiple(draw):
    return kernel.norm_of_multiple(Norm(_formed(term_of(draw, (), 1) * term_of(draw))), given_of(draw))


def assumed_order(draw):
    """``x_e ≤ y_e``, ``y_e ≤ x_e``."""
    x, y, at = Letter("x"), Letter("y"), draw(positions())
    pair = (x(at), y(at)), (y(at), x(at))
    return [kernel.assume(kernel.statement(a, "≤", b)) for a, b in pair]


def both_ways(draw):
    return kernel.both_ways(*assumed_order(draw))


def combine(draw):
    """A multiple of an assumed inequality, and something that is not negative, added to any number."""
    known, left, more = assumed_order(draw)[0], term_of(draw, (), 1), unsigned(draw)
    factor, s = unsigned(draw), known.statement
    added = factor * (s.right - s.left) + draw(st.sampled_from([more, more, 2 * more, sp.S.Zero]))
    positive = kernel.not_negative(more, ())
    return kernel.combine(left, left + added, ((factor, known), (1, positive)))


def root(draw):
    """From squares that are ordered, the numbers whose squares they are."""
    a, b = term_of(draw, (), 1), unsigned(draw)
    total = a**2 + b**2
    squares = kernel.combine(a**2, _formed(total), ((b**2,),)) if draw(st.booleans()) else None
    known = squares or kernel.combine(b**2, 4 * b**2, ((3 * b**2,),))
    return kernel.root(known, b, 2 * b) if squares is None else kernel.root(known, a, b)


def trace_of_multiple(draw):
    inner = _formed(term_of(draw, (), 1) * term_of(draw, ("n", "n"), 1))
    return kernel.trace_of_multiple(Trace(inner), given_of(draw))


def trace_of_transpose(draw):
    return kernel.trace_of_transpose(Trace(term_of(draw, ("n", "n"), 1)), given_of(draw))


def trace_of_numbers(draw):
    u, v = Letter("u", "n", "1"), Letter("v", "n", "1")
    a, b, c, d = (draw(st.sampled_from([u, v]))(draw(positions())) for _ in range(4))
    product = Transpose(a) * b * Transpose(c) * d
    return kernel.trace_of_numbers(Trace(product), draw(st.integers(1, 3)), given_of(draw))


RULES = {
    "absolute": [absolute],
    "assume": [assume_],
    "at_most_absolute": [at_most_absolute],
    "both_ways": [both_ways],
    "combine": [combine],
    "constants_out": [mean_rule(kernel.constants_out, "product", "product", "any")],
    "discharge": [discharge],
    "distribute": [distribute],
    "empty_product": [product_rule(kernel.empty_product, lambda x: at_least(x.low - 1, x.high))],
    "empty_sum": [sum_rule(kernel.empty_sum, lambda x: at_least(x.low - 1, x.high))],
    "exchange": [exchange],
    "first_term": [sum_rule(kernel.first_term, lambda x: at_least(x.high, x.low))],
    "independence": [independence],
    "induction": [induction],
    "instantiate": [instantiate],
    "last_term": [sum_rule(kernel.last_term, lambda x: at_least(x.high, x.low))],
    "mean_of_constant": [mean_rule(kernel.mean_of_constant, "any", "sum", "total", "product")],
    "mean_of_sum": [mean_rule(kernel.mean_of_sum, "sum", "total")],
    "mean_of_transpose": [mean_rule(kernel.mean_of_transpose, "transpose")],
    "norm_of_multiple": [norm_of_multiple],
    "norm_of_number": [norm_of_number],
    "not_negative": [not_negative],
    "one_factor": [one_factor],
    "one_term": [one_term],
    "peel_newest": [product_rule(kernel.peel_newest, lambda x: at_least(x.high, x.low))],
    "peel_oldest": [product_rule(kernel.peel_oldest, lambda x: at_least(x.high, x.low))],
    "reindex": [reindex],
    "resize": [resize],
    "rewrite": [rewrite, rewrite_scalars, rewrite_some_terms, rewrite_under_assumptions],
    "ring": [ring, ring_of_two],
    "root": [root],
    "rotate_trace": [rotate_trace],
    "specialise": [specialise],
    "split_sum": [split_sum],
    "submultiplicative": [submultiplicative],
    "sum_of_sums": [sum_of_sums],
    "sum_of_zeros": [sum_of_zeros],
    "symmetric": [symmetric],
    "take_out": [take_out],
    "trace_of_multiple": [trace_of_multiple],
    "trace_of_numbers": [trace_of_numbers],
    "trace_of_sum": [trace_of_sum],
    "trace_of_transpose": [trace_of_transpose],
    "transitive": [transitive],
    "transposition": [transposition],
    "triangle": [triangle],
    "unfold": [unfold],
    "weaken": [weaken],
}


def test_every_rule_is_here():
    assert RULES.keys() == {n for n in kernel.__all__ if hasattr(getattr(kernel, n), "reason")}


def numbers_0_and_1(seed):
    """Small values, so that assumptions are often true."""
    rng = np.random.default_rng(seed)
    law, bits = integers(rng), rng.integers

    def draw(letter, at, of):
        if letter.random == "independent":
            return law(letter, at, of)
        return bits(0, 2, size=of).astype(object) if of else int(bits(0, 2))

    return draw


@pytest.mark.parametrize(("name", "make"), [(n, m) for n, makers in RULES.items() for m in makers])
def test_what_a_rule_concludes_is_true(name, make):
    counts = []

    @ordinary
    @given(st.data(), st.integers(0, 2**32 - 1))
    def check(data, seed):
        try:
            theorem = make(data.draw)
        except ProofError:
            reject()
        assert theorem.rule is getattr(kernel, name)
        draw = numbers_0_and_1(seed) if theorem.assumptions else None
        counts.append(evaluated(theorem, seed, 12 if theorem.assumptions else 4, draw))

    check()
    assert sum(counts) >= 10, f"{name} was evaluated {sum(counts)} times only"
