"""Every rule of the proof kernel: one right use, and misuses that are refused; and Python tricks that are.

Each misuse would, if it were accepted, be or lead to something false.
"""

import copy
import dataclasses
import importlib
import pickle
import types
import weakref

import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sympy.core.symbol import Str

import bptt_verify.proof.kernel as kernel
from bptt_verify.errors import ProofError
from bptt_verify.proof.claims.unrolled import unrolled
from bptt_verify.proof.evaluation import Model, evaluated, integers
from bptt_verify.proof.kernel import (
    Case,
    Definition,
    Entry,
    Letter,
    Mean,
    Norm,
    Ordered,
    Statement,
    Theorem,
    Total,
    Trace,
    Transpose,
    absolute,
    assume,
    at_least,
    at_most_absolute,
    between,
    both_ways,
    combine,
    constants_out,
    discharge,
    distribute,
    empty_product,
    empty_sum,
    equation,
    exchange,
    first_term,
    hypothesis,
    implies,
    independence,
    index,
    induction,
    instantiate,
    last_term,
    mean_of_constant,
    mean_of_sum,
    mean_of_transpose,
    norm_of_multiple,
    norm_of_number,
    not_negative,
    one_factor,
    one_term,
    peel_newest,
    peel_oldest,
    power,
    reindex,
    replay,
    resize,
    rewrite,
    ring,
    root,
    rotate_trace,
    shape,
    specialise,
    split_sum,
    statement,
    submultiplicative,
    sum_of_sums,
    sum_of_zeros,
    symmetric,
    take_out,
    trace_of_multiple,
    trace_of_numbers,
    trace_of_sum,
    trace_of_transpose,
    transitive,
    transposition,
    triangle,
    unfold,
    weaken,
)
from bptt_verify.proof.kernel import definitions as definitions_module
from bptt_verify.proof.kernel import equality as equality_module
from bptt_verify.proof.kernel import means as means_module
from bptt_verify.proof.kernel import terms as terms_module
from bptt_verify.proof.kernel import theorems as theorems_module

t, i, k, s, u, T = map(index, "tiksuT")
J, K, L, F, G = (Letter(name, "n", "n") for name in "JKLFG")
A, B, c = Letter("A", "n", "p"), Letter("B", "p", "n"), Letter("c", "n", "1")
RHO, SIGMA = Letter("ρ", nonnegative=True), Letter("σ", nonnegative=True)
x, y, f = Letter("x"), Letter("y"), Letter("f")

XI, ETA = Letter("ξ", random="independent"), Letter("η", random="independent")
Y, Z = (Letter(name, "n", "n", random="derived") for name in "YZ")

SUM = Total(J(k), k, 1, t)
PRODUCT = Ordered(J(k), k, 1, t)
SOME = (at_least(t, 1),)  # there is at least one term
DOUBLE = Total(Total(J(t) * K(i), i, 1, t), t, 1, T)

RUNNING = Definition(F, t, (Case((t, -t), sp.S.Zero), Case(SOME, F(t - 1) + J(t))))
"""F_t = J_1 + … + J_t by recursion."""
GATED = Definition(Z, t, (Case((t, -t), sp.S.One), Case(SOME, K(t) + XI(t) * J(t) * Z(t - 1))))
"""Z_t = K_t + ξ_t J_t Z_{t-1}: what the gates up to t make of it."""

ONE_GATE = Definition(Z, t, (Case((t, -t), sp.S.One), Case(SOME, K(t) + XI() * J(t) * Z(t - 1))))
"""The same with one gate for all steps."""

CLAIM = equation(F(t), SUM, t)

SINCE_ANY = assume(equation(J(k), 0, *between(1, k, i), every=(k,)))  # J_1 … J_i are 0
FOR_ONE = assume(equation(J(i), 0))  # J_i is 0, for one particular i
MORE = assume(statement(RHO(), "≤", SIGMA()))
LESS = assume(statement(x(), "≤", y()))
SAME = assume(equation(x(), y()))
MATRICES = ring(J(t), J(t))


def column(letter, at):
    """``letterᵀ letter``, 1 × 1."""
    return Transpose(letter(at)) * letter(at)


def squares(left, right):
    """``left² ≤ right²`` by assumption."""
    return assume(statement(left**2, "≤", right**2))


def proof(known=None, at=t - 1, start=0, end=SUM):
    """The induction step for CLAIM: unfold, use the hypothesis, put the last term back."""
    known = known or hypothesis(CLAIM, t, start)
    before = instantiate(assume(known), ((known.every[0], at),))
    step = unfold(RUNNING, t, SOME)
    step = transitive(step, rewrite(step.statement.right, before, SOME))
    back = last_term(end, SOME)
    return transitive(step, symmetric(back))


def base(of=RUNNING, at=0):
    return transitive(unfold(of, at, ()), symmetric(empty_sum(Total(J(k), k, 1, 0), ())))


def by_induction():
    return induction(CLAIM, t, 0, 1, base(), proof())


DISTRIBUTES = equation((J(k) + K(k)) * L(k), J(k) * L(k) + K(k) * L(k), every=(k,))
LAW = ring((J(k) + K(k)) * L(k), J(k) * L(k) + K(k) * L(k))


# ── one right use of every rule: what it concludes ────────────────────────────────────────────────

RIGHT = {
    "absolute": (lambda: absolute(Norm(RHO() * x() ** 2), ()), Norm(RHO() * x() ** 2), "=", RHO() * x() ** 2),
    "assume": (lambda: FOR_ONE, J(i), "=", 0),
    "at_most_absolute": (lambda: at_most_absolute(x() - y(), ()), x() - y(), "≤", Norm(x() - y())),
    "both_ways": (lambda: both_ways(LESS, assume(statement(y(), "≤", x()))), x(), "=", y()),
    "combine": (
        lambda: combine(2 * x() * y(), x() ** 2 + y() ** 2, (((x() - y()) ** 2,),)),
        2 * x() * y(),
        "≤",
        x() ** 2 + y() ** 2,
    ),
    "constants_out": (
        lambda: constants_out(Mean(x() * XI(t) * J(t) * Z(t) * A(t)), ()),
        Mean(x() * XI(t) * J(t) * Z(t) * A(t)),
        "=",
        x() * J(t) * Mean(XI(t) * Z(t)) * A(t),
    ),
    "discharge": (
        lambda: discharge(assume(DISTRIBUTES), DISTRIBUTES, LAW),
        DISTRIBUTES.left,
        "=",
        DISTRIBUTES.right,
    ),
    "distribute": (
        lambda: distribute(K(k) * SUM * A(k), ()),
        K(k) * SUM * A(k),
        "=",
        Total(K(k) * J(i) * A(k), i, 1, t),
    ),
    "empty_product": (lambda: empty_product(PRODUCT, (-t,)), PRODUCT, "=", 1),
    "empty_sum": (lambda: empty_sum(SUM, (-t,)), SUM, "=", 0),
    "exchange": (
        lambda: exchange(DOUBLE, (1, T), (i, T), ()),
        DOUBLE,
        "=",
        Total(Total(J(t) * K(i), t, i, T), i, 1, T),
    ),
    "first_term": (lambda: first_term(SUM, SOME), SUM, "=", J(1) + Total(J(k), k, 2, t)),
    "independence": (
        lambda: independence(Mean(XI(t) * J(t) * Z(t - 1)), XI(t), (GATED,), ()),
        Mean(XI(t) * J(t) * Z(t - 1)),
        "=",
        Mean(XI(t)) * Mean(J(t) * Z(t - 1)),
    ),
    "induction": (by_induction, F(t), "=", SUM),
    "instantiate": (
        lambda: instantiate(LAW, ((k, t + 1),)),
        (J(t + 1) + K(t + 1)) * L(t + 1),
        "=",
        J(t + 1) * L(t + 1) + K(t + 1) * L(t + 1),
    ),
    "last_term": (lambda: last_term(SUM, SOME), SUM, "=", Total(J(k), k, 1, t - 1) + J(t)),
    "mean_of_constant": (
        lambda: mean_of_constant(Mean(J(t) * Mean(XI(t))), ()),
        Mean(J(t) * Mean(XI(t))),
        "=",
        J(t) * Mean(XI(t)),
    ),
    "mean_of_sum": (
        lambda: mean_of_sum(Mean(Total(XI(k) * J(k), k, 1, t)), ()),
        Mean(Total(XI(k) * J(k), k, 1, t)),
        "=",
        Total(Mean(XI(k) * J(k)), k, 1, t),
    ),
    "mean_of_transpose": (
        lambda: mean_of_transpose(Mean(Transpose(XI(t) * A(t))), ()),
        Mean(Transpose(XI(t) * A(t))),
        "=",
        Transpose(Mean(XI(t) * A(t))),
    ),
    "norm_of_multiple": (
        lambda: norm_of_multiple(Norm(x() * RHO() * J(t) * A(t)), ()),
        Norm(x() * RHO() * J(t) * A(t)),
        "=",
        Norm(x() * RHO()) * Norm(J(t) * A(t)),
    ),
    "norm_of_number": (lambda: norm_of_number(Norm(-2), ()), Norm(-2), "=", 2),
    "not_negative": (
        lambda: not_negative(Trace(Transpose(J(t) - K(t)) * (J(t) - K(t))), ()),
        0,
        "≤",
        Trace(Transpose(J(t) - K(t)) * (J(t) - K(t))),
    ),
    "one_factor": (lambda: one_factor(Ordered(J(k), k, t, t), ()), Ordered(J(k), k, t, t), "=", J(t)),
    "one_term": (lambda: one_term(Total(J(k), k, t, t), ()), Total(J(k), k, t, t), "=", J(t)),
    "peel_newest": (lambda: peel_newest(PRODUCT, SOME), PRODUCT, "=", J(t) * Ordered(J(k), k, 1, t - 1)),
    "peel_oldest": (lambda: peel_oldest(PRODUCT, SOME), PRODUCT, "=", Ordered(J(k), k, 2, t) * J(1)),
    "reindex": (lambda: reindex(SUM, i, t - i, ()), SUM, "=", Total(J(t - i), i, 0, t - 1)),
    "resize": (
        lambda: resize(ring(A(t) + A(t), 2 * A(t)), "p", "1"),
        2 * Letter("A", "n", "1")(t),
        "=",
        2 * Letter("A", "n", "1")(t),
    ),
    "rewrite": (
        lambda: rewrite(K(t) * SUM, last_term(SUM, SOME), SOME),
        K(t) * SUM,
        "=",
        K(t) * (Total(J(k), k, 1, t - 1) + J(t)),
    ),
    "ring": (
        lambda: ring((J(t) + K(t)) ** 2, J(t) ** 2 + J(t) * K(t) + K(t) * J(t) + K(t) ** 2),
        (J(t) + K(t)) ** 2,
        "=",
        J(t) ** 2 + J(t) * K(t) + K(t) * J(t) + K(t) ** 2,
    ),
    "root": (lambda: root(squares(x() - y(), RHO()), x() - y(), RHO()), x() - y(), "≤", RHO()),
    "rotate_trace": (
        lambda: rotate_trace(Trace(A(t) * B(t)), 1, ()),
        Trace(A(t) * B(t)),
        "=",
        Trace(B(t) * A(t)),
    ),
    "specialise": (
        lambda: specialise(LAW, L, t, F(t - 1)),
        (J(k) + K(k)) * F(k - 1),
        "=",
        J(k) * F(k - 1) + K(k) * F(k - 1),
    ),
    "split_sum": (
        lambda: split_sum(SUM, i, between(0, i, t)),
        SUM,
        "=",
        Total(J(k), k, 1, i) + Total(J(k), k, i + 1, t),
    ),
    "submultiplicative": (
        lambda: submultiplicative(Norm(-2 * J(t) * A(t)), ()),
        Norm(-2 * J(t) * A(t)),
        "≤",
        Norm(-2) * Norm(J(t)) * Norm(A(t)),
    ),
    "sum_of_sums": (
        lambda: sum_of_sums(Total(J(k) + K(k), k, 1, t), ()),
        Total(J(k) + K(k), k, 1, t),
        "=",
        SUM + Total(K(k), k, 1, t),
    ),
    "sum_of_zeros": (lambda: sum_of_zeros(Total(0, k, 1, t), ()), Total(0, k, 1, t), "=", 0),
    "symmetric": (lambda: symmetric(empty_product(PRODUCT, (-t,))), 1, "=", PRODUCT),
    "take_out": (
        lambda: take_out(Total(K(t) * J(k) * A(t), k, 1, t), K(t), J(k), A(t), ()),
        Total(K(t) * J(k) * A(t), k, 1, t),
        "=",
        K(t) * SUM * A(t),
    ),
    "trace_of_multiple": (
        lambda: trace_of_multiple(Trace(2 * x() * J(t)), ()),
        Trace(2 * x() * J(t)),
        "=",
        2 * x() * Trace(J(t)),
    ),
    "trace_of_numbers": (
        lambda: trace_of_numbers(Trace(column(c, t) * column(c, k)), 2, ()),
        Trace(column(c, t) * column(c, k)),
        "=",
        Trace(column(c, t)) * Trace(column(c, k)),
    ),
    "trace_of_sum": (lambda: trace_of_sum(Trace(SUM), ()), Trace(SUM), "=", Total(Trace(J(k)), k, 1, t)),
    "trace_of_transpose": (
        lambda: trace_of_transpose(Trace(J(t) * K(t)), ()),
        Trace(J(t) * K(t)),
        "=",
        Trace(Transpose(J(t) * K(t))),
    ),
    "transitive": (
        lambda: transitive(
            submultiplicative(Norm(SUM * A(t)), ()),
            rewrite(Norm(SUM) * Norm(A(t)), triangle(Norm(SUM), ()), ()),
        ),
        Norm(SUM * A(t)),
        "≤",
        Total(Norm(J(k)), k, 1, t) * Norm(A(t)),
    ),
    "transposition": (
        lambda: transposition(Transpose(PRODUCT), ()),
        Transpose(PRODUCT),
        "=",
        Ordered(Transpose(J(t + 1 - k)), k, 1, t),
    ),
    "triangle": (lambda: triangle(Norm(J(t) - K(t)), ()), Norm(J(t) - K(t)), "≤", Norm(J(t)) + Norm(-K(t))),
    "unfold": (lambda: unfold(RUNNING, i + 1, (i,)), F(i + 1), "=", F(i) + J(i + 1)),
    "weaken": (lambda: weaken(empty_sum(SUM, (-t,)), (-t - 1,)), SUM, "=", 0),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_use(name):
    make, left, relation, right = RIGHT[name]
    theorem = make()
    assert theorem.rule is getattr(kernel, name)
    assert theorem.statement[1:4] == (sp.sympify(left), relation, sp.sympify(right))
    for again in (replay(theorem), copy.deepcopy(theorem), pickle.loads(pickle.dumps(theorem))):
        assert again is not theorem and again.statement == theorem.statement
    if not theorem.assumptions:
        model = Model({"n": 2, "p": 3}, integers(np.random.default_rng(1)), tuple(theorem.definitions))
        assert evaluated(theorem, model, 4, -2) > 0


# ── misuses ───────────────────────────────────────────────────────────────────────────────────────


def circular(**changed):
    """F_t = F_t + 1 would prove 0 = 1."""
    parts = {"letter": F, "at": t, "cases": (Case(SOME, F(t) + 1),)} | changed
    return unfold(Definition(**parts), t, SOME)


def merged_by_resize():
    """Two letters F of different sizes, defined differently: one letter once the sizes are one."""
    other = Letter("F", "p", "p")
    one = unfold(Definition(F, t, (Case((), sp.S.Zero),)), 0, ())
    two = unfold(Definition(other, t, (Case((), sp.S.One),)), 0, ())
    return transitive(symmetric(one), resize(two, "p", "n"))


def two_definitions():
    one = unfold(Definition(F, t, (Case((), sp.S.Zero),)), 0, ())
    return transitive(symmetric(one), unfold(Definition(F, t, (Case((), sp.S.One),)), 0, ()))


def mutual_definitions():
    one = unfold(Definition(F, t, (Case((), G(t) + 1),)), 0, ())
    return transitive(one, rewrite(G(0) + 1, unfold(Definition(G, t, (Case((), F(t)),)), 0, ()), ()))


def last_is_first():
    """For T itself: a definition that depends on T holds for that T only."""
    last = Definition(F, t, (Case((t - T, T - t), sp.S.One),), onward=-1, limit=T)
    return rewrite(Total(F(T), T, 1, 3), unfold(last, T, ()), ())


def constant(at):
    """Every F_s is J_at."""
    return Definition(F, s, (Case((), J(at)),))


def of_this_index():
    """Induction from an assumption about the very index that varies."""
    claim = equation(J(t), 0, t)
    return induction(
        claim, t, 0, 1, instantiate(assume(equation(J(i), 0)), ((i, 0),)), assume(equation(J(t), 0))
    )


def by_name(name):
    """A hypothesis that speaks of J_u where the claim speaks of an index with a strange name."""
    e = index(name)
    d = Definition(f, t, (Case((t, -t), sp.S.Zero), Case(SOME, f(t - 1) + y(t - 1))))
    claim = equation(f(t) + y(e), 0, t)
    zero = assume(equation(y(e), 0))
    first = rewrite(f(0) + y(e), unfold(d, 0, ()), ())
    first = transitive(first, rewrite(y(e), zero, ()))
    known = hypothesis(claim, t, 0)
    own = known.every[0]
    stronger = Statement(known.given, f(own) + y(own), "=", sp.S.Zero, (own,))
    step = rewrite(f(t) + y(e), zero, SOME)
    step = transitive(step, rewrite(f(t), unfold(d, t, SOME), SOME))
    before = instantiate(assume(stronger), ((own, t - 1),))
    step = transitive(step, rewrite(step.statement.right, before, SOME))
    return induction(claim, t, 0, 1, first, step)


def product_rule():
    """``E[y ξ_t] = y E ξ_t`` for a number y that is not random."""
    return constants_out(Mean(y() * XI(t)), ())


def apart(term, factor, *definitions, given=()):
    """``E[factor · term]`` as a product of two means."""
    return independence(Mean(factor * term), factor, definitions, given)


def defined(letter, body, onward=1, limit=0):
    """The letter by its body, at every step beyond the limit, where it is 1."""
    at_start = Case((t - limit, limit - t), sp.S.One)
    return Definition(letter, t, (at_start, Case((onward * (t - limit) - 1,), body)), onward, limit)


def specialised_definition():
    """A letter that is not random, defined by one that becomes random."""
    d = Definition(G, t, (Case((), x() * J(t)),))
    return specialise(unfold(d, t, ()), x, t, XI())


def two_kinds_of_gates():
    """Z made with a gate for each step, and Z made with one gate for all."""
    one, other = apart(Z(t - 1), XI(t), GATED), apart(Z(t - 1), XI(t), ONE_GATE)
    return transitive(one, symmetric(other))


MISUSES = {
    "absolute": {
        "a number that may be negative": lambda: absolute(Norm(x()), ()),
        "a difference": lambda: absolute(Norm(RHO() - SIGMA()), ()),
        "an odd power": lambda: absolute(Norm(x() ** 3), ()),
        "a matrix": lambda: absolute(Norm(J(t)), ()),
        "a negative number": lambda: absolute(Norm(-2), ()),
    },
    "assume": {
        "shapes that do not fit": lambda: assume(equation(J(t), A(t))),
        "a product of zeros, which may be empty, for any shape": lambda: assume(
            equation(A(t), Ordered(0, k, 1, t))
        ),
        "≤ between matrices": lambda: assume(statement(J(t), "≤", K(t))),
        "an identity that is not square": lambda: assume(equation(A(t), 1)),
        "another relation": lambda: assume(Statement((), x(), "<", y())),
        "text": lambda: assume("J = 0"),
    },
    "at_most_absolute": {
        "a matrix": lambda: at_most_absolute(J(t), ()),
        "a column": lambda: at_most_absolute(c(t), ()),
    },
    "both_ways": {
        "one way, twice": lambda: both_ways(LESS, LESS),
        "something else": lambda: both_ways(LESS, MORE),
        "another step": lambda: both_ways(
            assume(statement(x(t), "≤", y(t))), assume(statement(y(t), "≤", x(k)))
        ),
        "matrices": lambda: both_ways(MATRICES, MATRICES),
    },
    "combine": {
        "a factor that may be negative": lambda: combine(0, x() * (y() - x()), ((x(), LESS),)),
        "a difference that may be negative": lambda: combine(x(), y(), ((y() - x(),),)),
        "another sum": lambda: combine(x(), y() + 1, ((sp.S.One, LESS),)),
        "the other way": lambda: combine(y(), x(), ((sp.S.One, LESS),)),
        "subtracted": lambda: combine(y(), x(), ((sp.S.NegativeOne, LESS),)),
        "an odd power": lambda: combine(0, x() ** 3, ((x() ** 3,),)),
        "a matrix": lambda: combine(0, J(t), ((sp.S.One, assume(equation(0, J(t)))),)),
        "a matrix times a number": lambda: combine(J(t), J(t), ()),
        "products of matrices in the wrong order": lambda: combine(
            Trace(J(t) * K(t) - K(t) * J(t)), 1, ((sp.S.One,),)
        ),
    },
    "constants_out": {
        "no mean": lambda: constants_out(x() * XI(t), ()),
        "what is random": lambda: constants_out(Mean(XI(t) * Z(t)), ()),
        "a sum": lambda: constants_out(Mean(x() + XI(t)), ()),
        "a power of what is random": lambda: constants_out(Mean(XI(t) ** 2), ()),
        "random factors around one that is not": lambda: constants_out(Mean(Z(t) * J(t) * Z(t)), ()),
        "an ordered product of random factors": lambda: constants_out(
            Mean(Ordered(x() * XI(k), k, 1, t)), ()
        ),
        "the norm of a random factor": lambda: constants_out(Mean(Norm(Z(t)) * XI(t)), ()),
    },
    "discharge": {
        "what is not assumed": lambda: discharge(LAW, DISTRIBUTES, LAW),
        "a proof of something else": lambda: discharge(assume(DISTRIBUTES), DISTRIBUTES, ring(J(k), J(k))),
        "a proof under a further condition": lambda: discharge(
            assume(equation(SUM, 0, every=(t,))), equation(SUM, 0, every=(t,)), empty_sum(SUM, (-t,))
        ),
        "a proof about one particular index": lambda: discharge(
            assume(equation(J(i), 0, every=(i,))), equation(J(i), 0, every=(i,)), FOR_ONE
        ),
        "a proof of ≤ where = is assumed": lambda: discharge(
            assume(equation(RHO(), SIGMA())), equation(RHO(), SIGMA()), MORE
        ),
    },
    "distribute": {
        "no sum": lambda: distribute(J(t) * K(t), ()),
        "one factor": lambda: distribute(SUM, ()),
        "a sum under a norm": lambda: distribute(x() * Norm(SUM), ()),
        "an ordered product": lambda: distribute(PRODUCT * K(t), ()),
    },
    "empty_product": {
        "one factor": lambda: empty_product(PRODUCT, (1 - t,)),
        "nothing is known": lambda: empty_product(PRODUCT, ()),
        "a sum": lambda: empty_product(SUM, (-t,)),
    },
    "empty_sum": {
        "one term": lambda: empty_sum(SUM, (1 - t,)),
        "nothing is known": lambda: empty_sum(SUM, ()),
        "a product": lambda: empty_sum(PRODUCT, (-t,)),
        "conditions on another index of that name": lambda: empty_sum(
            SUM, (-sp.Symbol("t", integer=True, negative=True),)
        ),
    },
    "exchange": {
        "the square for the triangle": lambda: exchange(DOUBLE, (1, T), (1, T), ()),
        "an inner limit off by one": lambda: exchange(DOUBLE, (1, T), (i + 1, T), ()),
        "an outer limit off by one": lambda: exchange(DOUBLE, (1, T - 1), (i, T), ()),
        "a condition on another index of that name": lambda: exchange(DOUBLE, (1, T), (T, T), (t - T,)),
        "outer limits that use the inner index": lambda: exchange(DOUBLE, (1, i), (i, T), ()),
        "inner limits that use the bound index": lambda: exchange(DOUBLE, (1, T), (i, t), ()),
        "one sum": lambda: exchange(SUM, (1, T), (i, T), ()),
        "an ordered product": lambda: exchange(Total(Ordered(J(i), i, 1, t), t, 1, T), (1, T), (i, T), ()),
    },
    "first_term": {
        "there may be none": lambda: first_term(SUM, (t,)),
        "nothing is known": lambda: first_term(SUM, ()),
        "a product": lambda: first_term(PRODUCT, SOME),
    },
    "independence": {
        "the factor itself": lambda: apart(XI(t), XI(t)),
        "its square": lambda: independence(Mean(XI(t) ** 2), XI(t), (), ()),
        "half of its square": lambda: apart(XI(t) ** 2, XI(t)),
        "another step that may be the same": lambda: apart(XI(i), XI(t)),
        "another step that is the same under what is given": lambda: apart(
            XI(i), XI(t), given=(at_least(t, i), at_least(i, t))
        ),
        "a sum over steps that reaches it": lambda: apart(Total(XI(k), k, 1, t), XI(t)),
        "a sum whose bound index has the name of the step": lambda: apart(Total(XI(t), t, 1, i), XI(t)),
        "an ordered product over steps that reaches it": lambda: apart(Ordered(XI(k), k, 1, t), XI(t)),
        "a sum as factor that reaches the rest": lambda: apart(XI(t), Total(XI(k), k, 1, t)),
        "two sums with one bound name": lambda: apart(Total(XI(k), k, 1, i), Total(XI(k), k, i, t)),
        "under a norm": lambda: apart(Norm(XI(t) * J(t)), XI(t)),
        "under a transpose": lambda: apart(Transpose(XI(t) * J(t)), XI(t)),
        "no mean": lambda: independence(XI(t) * Z(t - 1), XI(t), (GATED,), ()),
        "what is no factor": lambda: independence(Mean(XI(t) + Z(t - 1)), XI(t), (GATED,), ()),
        "what is a factor of one term": lambda: independence(
            Mean(XI(t) * Z(t - 1) + Z(t)), XI(t), (GATED,), ()
        ),
        "a matrix as factor": lambda: independence(Mean(Z(t) * Z(t)), Z(t), (GATED,), ()),
        "a derived letter without its definition": lambda: apart(Z(t - 1), XI(t)),
        "a derived factor without its definition": lambda: apart(XI(t), Norm(Z(t - 1))),
        "a derived letter at the gate's own step": lambda: apart(Z(t), XI(t), GATED),
        "a derived letter after the gate": lambda: apart(Z(t + 1), XI(t), GATED),
        "a derived letter at any step": lambda: apart(Z(i), XI(t), GATED),
        "a derived letter with a given that is too weak": lambda: apart(
            Z(i), XI(t), GATED, given=(at_least(t, i),)
        ),
        "a sum of derived letters that reaches the gate": lambda: apart(Total(Z(k), k, 0, t), XI(t), GATED),
        "a derived letter under a transpose": lambda: apart(Transpose(Z(t)), XI(t), GATED),
        "one gate for all steps": lambda: apart(Z(t - 1), XI(), ONE_GATE),
        "one gate for all steps, at the start": lambda: apart(Z(0), XI(), ONE_GATE),
        "a gate that looks ahead": lambda: apart(Z(t - 1), XI(t), defined(Z, K(t) + XI(t + 1) * Z(t - 1))),
        "a body that sums over all gates": lambda: apart(
            Z(t - 1), XI(t), defined(Z, Total(XI(k), k, 0, T) * J(t))
        ),
        "a body that sums over gates up to the next": lambda: apart(
            Z(t - 1), XI(t), defined(Z, Total(XI(k), k, 0, t + 1) * Z(t - 1))
        ),
        "a body whose own sum binds the letter's index": lambda: apart(
            Z(t - 1), XI(t), defined(Z, Total(XI(t), t, 0, T) * J(0))
        ),
        "a start that reads a late gate": lambda: apart(
            Z(t - 1), XI(t), Definition(Z, t, (Case((t, -t), XI(9) * J(0)), Case(SOME, Z(t - 1))))
        ),
        "through another derived letter": lambda: apart(
            Z(t - 1), XI(t), defined(Z, Y(t + 1)), defined(Y, XI(t) * J(t))
        ),
        "through another derived letter without definition": lambda: apart(
            Z(t - 1), XI(t), defined(Z, Y(t) * Z(t - 1))
        ),
        "through another derived letter at a fixed step": lambda: apart(
            Z(t - 1), XI(t), defined(Z, Y(9)), defined(Y, XI(t) * J(t))
        ),
        "through one that goes the other way": lambda: apart(
            Z(t - 1), XI(t), defined(Z, Y(t)), defined(Y, XI(t) * Y(t + 1), -1, T)
        ),
        "through one with the same gate for all steps": lambda: apart(
            Z(t - 1), XI(), defined(Z, Y(t)), defined(Y, XI() * J(t))
        ),
        "backwards, a step that is later": lambda: apart(
            Z(t), XI(t + 1), defined(Z, XI(t + 1) * Z(t + 1), -1, T)
        ),
        "backwards, any step": lambda: apart(Z(i), XI(t), defined(Z, XI(t + 1) * Z(t + 1), -1, T)),
        "two definitions of one letter": lambda: apart(Z(t - 1), XI(t), GATED, ONE_GATE),
        "definitions that go round": lambda: apart(
            Z(t - 1), XI(t), defined(Z, XI(t) * Y(t - 1)), defined(Y, Z(t - 1))
        ),
        "a definition that another step denies": two_kinds_of_gates,
        "a letter of the same name": lambda: apart(
            Letter("ξ", nonnegative=True, random="independent")(t), XI(t)
        ),
        "a derived letter of the same name": lambda: apart(
            Letter("ξ", random="derived")(t), XI(t), defined(Letter("ξ", random="derived"), XI(t))
        ),
        "a definition that is no longer about the same step": lambda: rewrite(
            Total(Mean(XI(0) * Z(0)), T, 0, 3),
            apart(Z(0), XI(0), defined(Z, XI(T) * J(t) * Z(t + 1), -1, T), given=(at_least(T, 1),)),
            (),
        ),
        "a theorem about two steps at one": lambda: weaken(
            instantiate(apart(XI(i), XI(t), given=(at_least(t, i + 1),)), ((i, t),)), ()
        ),
        "two bound steps that may meet": lambda: rewrite(
            Total(Mean(XI(t) * XI(k)), k, 1, t), apart(XI(k), XI(t), given=(at_least(t, k + 1),)), ()
        ),
        "sizes that make two letters one, defined in two ways": lambda: transitive(
            resize(unfold(defined(Letter("Z", "p", "p", random="derived"), sp.S.One), 0, ()), "p", "n"),
            rewrite(sp.S.One + 0 * J(t), symmetric(unfold(GATED, 0, ())), ()),
        ),
        "gates with two indices": lambda: apart(Z(t - 1), XI(t), defined(Z, XI(t, t) * J(t))),
        "a derived letter with two indices": lambda: apart(Z(t - 1, 0), XI(t), GATED),
        "a derived letter with no index": lambda: apart(Z(), XI(t), GATED),
    },
    "induction": {
        "no base": lambda: induction(CLAIM, t, 0, 1, proof(), proof()),
        "a base at another step": lambda: induction(
            CLAIM, t, 0, 1, instantiate(by_induction(), ((t, 1),)), proof()
        ),
        "a base of another claim": lambda: induction(CLAIM, t, 0, 1, unfold(RUNNING, 0, ()), proof()),
        "a step that proves another claim": lambda: induction(
            CLAIM, t, 0, 1, base(), unfold(RUNNING, t, SOME)
        ),
        "a step that proves the claim one step later": lambda: induction(
            CLAIM, t, 0, 1, base(), instantiate(proof(), ((t, t + 1),))
        ),
        "a step under a further condition": lambda: induction(
            CLAIM, t, 0, 1, base(), weaken(proof(), (t - 2,))
        ),
        "the claim itself as hypothesis": lambda: induction(
            CLAIM, t, 0, 1, base(), weaken(assume(CLAIM), (t,))
        ),
        "a hypothesis that reaches the step": lambda: induction(
            CLAIM,
            t,
            0,
            1,
            base(),
            instantiate(
                assume(equation(F(u), Total(J(k), k, 1, u), *between(0, u, t), every=(u,))), ((u, t),)
            ),
        ),
        "a hypothesis that starts too early": lambda: induction(
            CLAIM, t, 0, 1, base(), proof(hypothesis(CLAIM, t, -1))
        ),
        "an assumption about the index": of_this_index,
        "a definition that depends on the index": lambda: induction(
            equation(F(0), J(t), t), t, 0, 1, unfold(constant(0), 0, ()), unfold(constant(t), 0, ())
        ),
        "downwards with a step that goes upwards": lambda: induction(CLAIM, t, 0, -1, base(), proof()),
        "a claim that binds an index": lambda: induction(
            CLAIM._replace(every=(k,)), t, 0, 1, base(), proof()
        ),
        "in no direction": lambda: induction(
            equation(SUM, 0), t, 0, 0, empty_sum(Total(J(k), k, 1, 0), ()), empty_sum(SUM, (sp.Integer(-1),))
        ),
        "by two steps": lambda: induction(CLAIM, t, 0, 2, base(), proof()),
        "a start that moves": lambda: induction(CLAIM, t, t, 1, base(), proof()),
        "over no index": lambda: induction(CLAIM, t + 1, 0, 1, base(), proof()),
        "hypotheses that differ in a reserved name": lambda: by_name("_0"),
        "hypotheses that differ in a strange name": lambda: by_name("every 0"),
    },
    "instantiate": {
        "an index that an assumption binds": lambda: instantiate(SINCE_ANY, ((i, k),)),
        "no index": lambda: instantiate(LAW, ((k + 1, t),)),
        "another symbol": lambda: instantiate(LAW, ((k, sp.Symbol("t", integer=True, positive=True)),)),
        "a half": lambda: instantiate(LAW, ((k, sp.Rational(1, 2)),)),
        "a reserved name": lambda: instantiate(LAW, ((k, index("_0")),)),
        "a product of indices": lambda: instantiate(LAW, ((k, t * i),)),
    },
    "last_term": {
        "there may be none": lambda: last_term(SUM, (t,)),
        "nothing is known": lambda: last_term(SUM, ()),
        "a product": lambda: last_term(PRODUCT, SOME),
    },
    "mean_of_constant": {
        "an independent letter": lambda: mean_of_constant(Mean(XI(t)), ()),
        "a derived letter": lambda: mean_of_constant(Mean(Z(t)), ()),
        "a random index of a sum": lambda: mean_of_constant(Mean(Total(XI(k), k, 1, t)), ()),
        "beside the mean of the same": lambda: mean_of_constant(Mean(Mean(XI(t)) * XI(t)), ()),
        "under a norm": lambda: mean_of_constant(Mean(Norm(Z(t))), ()),
        "no mean": lambda: mean_of_constant(J(t), ()),
    },
    "mean_of_sum": {
        "a product": lambda: mean_of_sum(Mean(XI(t) * Z(t)), ()),
        "an ordered product": lambda: mean_of_sum(Mean(Ordered(XI(k), k, 1, t)), ()),
        "a square": lambda: mean_of_sum(Mean((XI(t) - 1) ** 2), ()),
        "a norm": lambda: mean_of_sum(Mean(Norm(Z(t) - J(t))), ()),
        "no mean": lambda: mean_of_sum(XI(t) + x(), ()),
    },
    "mean_of_transpose": {
        "no transpose": lambda: mean_of_transpose(Mean(Z(t)), ()),
        "a product of transposes": lambda: mean_of_transpose(Mean(Transpose(Z(t)) * Transpose(Y(t))), ()),
        "no mean": lambda: mean_of_transpose(Transpose(Mean(Z(t))), ()),
    },
    "norm_of_multiple": {
        "no multiple": lambda: norm_of_multiple(Norm(J(t) * A(t)), ()),
        "a number": lambda: norm_of_multiple(Norm(x() * y()), ()),
        "a sum of multiples": lambda: norm_of_multiple(Norm(x() * J(t) + y() * K(t)), ()),
        "no norm": lambda: norm_of_multiple(x() * J(t), ()),
    },
    "norm_of_number": {
        "a letter": lambda: norm_of_number(Norm(x()), ()),
        "a number that is not exact": lambda: norm_of_number(Norm(1.5), ()),
        "an infinite number": lambda: norm_of_number(Norm(sp.oo), ()),
        "no norm": lambda: norm_of_number(sp.Integer(-2), ()),
    },
    "not_negative": {
        "a number that may be negative": lambda: not_negative(x(), ()),
        "a difference": lambda: not_negative(RHO() - SIGMA(), ()),
        "an odd power": lambda: not_negative(x() ** 3, ()),
        "a trace": lambda: not_negative(Trace(J(t)), ()),
        "the trace of a square": lambda: not_negative(Trace(J(t) * J(t)), ()),
        "another matrix, transposed": lambda: not_negative(Trace(Transpose(J(t)) * K(t)), ()),
        "a multiple of a square": lambda: not_negative(Trace(-Transpose(J(t)) * J(t)), ()),
        "a matrix": lambda: not_negative(Transpose(J(t)) * J(t), ()),
        "a sum with one that may be": lambda: not_negative(RHO() + x(), ()),
        "the mean of a number that may be": lambda: not_negative(Mean(x()), ()),
    },
    "one_factor": {
        "two factors": lambda: one_factor(Ordered(J(k), k, t, t + 1), ()),
        "none": lambda: one_factor(Ordered(J(k), k, t + 1, t), ()),
        "one only for some t": lambda: one_factor(PRODUCT, SOME),
    },
    "one_term": {
        "two terms": lambda: one_term(Total(J(k), k, t, t + 1), ()),
        "none": lambda: one_term(Total(J(k), k, t + 1, t), ()),
        "one only for some t": lambda: one_term(SUM, SOME),
    },
    "peel_newest": {
        "there may be none": lambda: peel_newest(PRODUCT, (t,)),
        "a sum": lambda: peel_newest(SUM, SOME),
        "factors that are not square": lambda: peel_newest(Ordered(A(k), k, 1, t), SOME),
    },
    "peel_oldest": {
        "there may be none": lambda: peel_oldest(PRODUCT, (t,)),
        "a power written by SymPy": lambda: peel_oldest(J(t) ** 2, ()),
        "factors that are not square": lambda: peel_oldest(Ordered(A(k), k, 1, t), SOME),
    },
    "reindex": {
        "the order turned round": lambda: reindex(PRODUCT, i, t - i, ()),
        "an index in use": lambda: reindex(Total(J(k) * K(i), k, 1, t), i, i, ()),
        "an index of the limits": lambda: reindex(SUM, t, t, ()),
        "every second": lambda: reindex(SUM, i, 2 * i, ()),
        "one step for all": lambda: reindex(SUM, i, t, ()),
        "no index": lambda: reindex(SUM, i + 1, i, ()),
    },
    "resize": {
        "one": lambda: resize(LAW, "1", "n"),
        "no word": lambda: resize(LAW, "n", ""),
        "a number": lambda: resize(LAW, "n", 2),
        "letters that become one, defined in two ways": merged_by_resize,
    },
    "rewrite": {
        "what does not occur": lambda: rewrite(K(t), last_term(SUM, SOME), SOME),
        "a condition that is not given": lambda: rewrite(SUM, last_term(SUM, SOME), (t,)),
        "a condition on a bound index": lambda: rewrite(
            Total(Total(J(k), k, 1, t), t, 0, T), last_term(SUM, SOME), ()
        ),
        "a condition that an outer index of that name satisfies": lambda: rewrite(
            Total(Total(Total(J(s), s, 1, k), k, 1, 5), k, T, 0),
            empty_sum(Total(J(s), s, 1, k), (-k,)),
            (),
        ),
        "a particular index where it is bound": lambda: rewrite(Total(J(i), i, 1, t), FOR_ONE, ()),
        "a definition that depends on a bound index": last_is_first,
        "a letter that is bound under another name": lambda: rewrite(Total(J(k), k, 1, i), FOR_ONE, ()),
        "factors in another order": lambda: rewrite(K(t) * J(t) * L(t), ring(J(t) * K(t), J(t) * K(t)), ()),
        "factors that are not neighbours": lambda: rewrite(
            J(t) * L(t) * K(t), ring(J(t) * K(t), J(t) * K(t)), ()
        ),
        "a sum of which the number is missing": lambda: rewrite(J(t) + L(t), ring(J(t) + 1, J(t) + 1), ()),
        "≤ where it is subtracted": lambda: rewrite(1 - RHO(), MORE, ()),
        "≤ beside a factor of unknown sign": lambda: rewrite(RHO() * x(), MORE, ()),
        "≤ of some factors beside one of unknown sign": lambda: rewrite(
            x() * RHO() * SIGMA(), assume(statement(RHO() * SIGMA(), "≤", y())), ()
        ),
        "≤ beside a cube of unknown sign": lambda: rewrite(RHO() * x() ** 3, MORE, ()),
        "≤ under a norm": lambda: rewrite(Norm(RHO()), MORE, ()),
        "≤ under an ordered product": lambda: rewrite(Ordered(RHO(), k, 1, t), MORE, ()),
        "≤ in a square": lambda: rewrite(x() ** 2, assume(statement(x(), "≤", y())), ()),
        "≤ beside itself": lambda: rewrite(
            Total(-1, k, 1, 1) * Total(1, k, 1, 2) * Total(-1, k, 1, 1),
            assume(statement(Total(-1, k, 1, 1), "≤", 0)),
            (),
        ),
        "≤ among matrices": lambda: rewrite(RHO() * J(t), MORE, ()),
        "≤ under a mean": lambda: rewrite(Mean(RHO() * XI(t)), MORE, ()),
        "a mean for what it is of": lambda: rewrite(XI(t), assume(equation(Mean(XI(t)), 1)), ()),
        "factors of a mean in another order": lambda: rewrite(
            Mean(Z(t) * J(t)), ring(J(t) * Z(t), J(t) * Z(t)), ()
        ),
        "a particular step under a mean and a sum": lambda: rewrite(
            Total(Mean(XI(i)), i, 1, t), assume(equation(Mean(XI(i)), 1)), ()
        ),
    },
    "ring": {
        "swapped factors": lambda: ring(J(t) * K(t), K(t) * J(t)),
        "the commuting square": lambda: ring((J(t) + K(t)) ** 2, J(t) ** 2 + 2 * J(t) * K(t) + K(t) ** 2),
        "another step": lambda: ring(J(t), J(t - 1)),
        "shapes that do not fit": lambda: ring(J(t) + A(t), A(t) + J(t)),
        "a matrix and its transpose": lambda: ring(A(t) + Transpose(A(t)), Transpose(A(t)) + A(t)),
        "neighbours that do not fit": lambda: ring(A(t) * A(0), A(t) * A(0)),
        "a division": lambda: ring(x() / y(), x() / y()),
        "an inverse": lambda: ring(J(t) ** -1 * K(t), J(t) ** -1 * K(t)),
        "an index as a number": lambda: ring(t * J(t), t * J(t)),
        "a free index for a bound one": lambda: ring(SUM, Total(J(i), k, 1, t)),
        "an equal letter of another size": lambda: ring(Letter("J", "p", "p")(t), J(t)),
        "a random letter and one that is not": lambda: ring(Letter("ξ")(t), XI(t)),
        "a mean as a product of means": lambda: ring(Mean(XI(t) * XI(i)), Mean(XI(t)) * Mean(XI(i))),
        "a mean as what it is of": lambda: ring(Mean(XI(t)), XI(t)),
    },
    "root": {
        "a right side that may be negative": lambda: root(squares(x(), y()), x(), y()),
        "a right side that is a difference": lambda: root(squares(x(), RHO() - 1), x(), RHO() - 1),
        "no square on the right": lambda: root(assume(statement(x() ** 2, "≤", RHO())), x(), RHO()),
        "no square on the left": lambda: root(assume(statement(x(), "≤", RHO() ** 2)), x(), RHO()),
        "something else": lambda: root(squares(x(), RHO()), y(), RHO()),
        "matrices": lambda: root(ring(J(t) ** 2, J(t) ** 2), J(t), J(t)),
    },
    "rotate_trace": {
        "no factor": lambda: rotate_trace(Trace(J(t) * K(t)), 0, ()),
        "all factors": lambda: rotate_trace(Trace(J(t) * K(t)), 2, ()),
        "a negative number of factors": lambda: rotate_trace(Trace(J(t) * K(t) * L(t)), -1, ()),
        "a matrix": lambda: rotate_trace(J(t) * K(t), 1, ()),
        "a sum": lambda: rotate_trace(Trace(J(t) + K(t)), 1, ()),
    },
    "specialise": {
        "a letter that is defined": lambda: specialise(unfold(RUNNING, 0, ()), F, t, sp.S.One),
        "another shape": lambda: specialise(LAW, L, t, A(t)),
        "an identity that is not square": lambda: specialise(ring(A(t), A(t)), A, t, sp.S.One),
        "a body with a free index": lambda: specialise(LAW, L, t, J(k)),
        "what may be negative": lambda: specialise(MORE, RHO, t, x()),
        "a number for the rows of a trace": lambda: specialise(
            rotate_trace(Trace(J(t) * K(t)), 1, ()), J, t, RHO() * 2
        ),
        "a trace of no known size": lambda: specialise(trace_of_sum(Trace(SUM), ()), J, t, sp.S.One),
        "a definition that would go round": lambda: specialise(unfold(RUNNING, 1, ()), J, t, F(t)),
        "an index that is none": lambda: specialise(LAW, L, t + 1, J(0)),
        "a random number for one that is not, in a mean": lambda: specialise(product_rule(), y, t, XI()),
        "a derived letter for one that is not random, in a mean": lambda: specialise(
            mean_of_constant(Mean(J(t)), ()), J, t, Z(t)
        ),
        "a number for an independent one, in a mean": lambda: specialise(product_rule(), XI, t, x()),
        "another independent number, in a mean": lambda: specialise(
            independence(Mean(XI(t) * ETA(t)), XI(t), (), ()), XI, t, ETA(t)
        ),
        "the same gate for all steps, in a mean": lambda: specialise(apart(XI(t + 1), XI(t)), XI, t, ETA()),
        "a random number where an assumption speaks of a mean": lambda: specialise(
            rewrite(y() * J(t), assume(equation(y(), Mean(XI(t)))), ()), y, t, XI(1)
        ),
        "a random number where a definition speaks of a mean": lambda: specialise(
            unfold(Definition(F, t, (Case((), Mean(x() * XI(t)) * J(t)),)), t, ()), x, t, XI(t)
        ),
        "a random number in the definition of a letter that is not": specialised_definition,
        "a derived letter that is defined": lambda: specialise(unfold(GATED, 0, ()), Z, t, J(t)),
    },
    "split_sum": {
        "after the end": lambda: split_sum(SUM, t + 1, SOME),
        "two before the start": lambda: split_sum(SUM, -1, SOME),
        "nothing is known": lambda: split_sum(SUM, i, ()),
        "at its own index": lambda: split_sum(SUM, k, between(0, k, t)),
    },
    "submultiplicative": {
        "no norm": lambda: submultiplicative(J(t) * K(t), ()),
        "read backwards": lambda: symmetric(submultiplicative(Norm(J(t) * K(t)), ())),
    },
    "sum_of_sums": {
        "a product": lambda: sum_of_sums(Total(J(k) * K(k), k, 1, t), ()),
        "an ordered product": lambda: sum_of_sums(Ordered(J(k) + K(k), k, 1, t), ()),
    },
    "sum_of_zeros": {
        "ones": lambda: sum_of_zeros(Total(1, k, 1, t), ()),
        "a product of zeros, which may be empty": lambda: sum_of_zeros(Ordered(0, k, 1, t), ()),
    },
    "symmetric": {
        "of ≤": lambda: symmetric(MORE),
        "of a statement": lambda: symmetric(equation(J(t), 0)),
    },
    "take_out": {
        "a factor that depends on the index": lambda: take_out(
            Total(J(k) * K(k), k, 1, t), J(k), K(k), sp.S.One, ()
        ),
        "the factor on the other side": lambda: take_out(
            Total(K(t) * J(k), k, 1, t), sp.S.One, J(k), K(t), ()
        ),
        "a factor and its inverse": lambda: take_out(
            Total(J(k), k, 1, t), K(t), K(t) ** -1 * J(k), sp.S.One, ()
        ),
        "out of an ordered product": lambda: take_out(
            Ordered(K(t) * J(k), k, 1, t), K(t), J(k), sp.S.One, ()
        ),
    },
    "trace_of_multiple": {
        "no multiple": lambda: trace_of_multiple(Trace(J(t) * K(t)), ()),
        "a sum of multiples": lambda: trace_of_multiple(Trace(x() * J(t) + y() * K(t)), ()),
        "no trace": lambda: trace_of_multiple(x() * J(t), ()),
    },
    "trace_of_numbers": {
        "matrices": lambda: trace_of_numbers(Trace(J(t) * K(t)), 1, ()),
        "a column and a row": lambda: trace_of_numbers(Trace(c(t) * Transpose(c(t))), 1, ()),
        "a number and a matrix": lambda: trace_of_numbers(
            Trace(Transpose(c(t)) * J(t) * c(t) * Transpose(c(t)) * c(t)), 2, ()
        ),
        "all factors": lambda: trace_of_numbers(Trace(column(c, t) * column(c, k)), 4, ()),
        "no factor": lambda: trace_of_numbers(Trace(column(c, t) * column(c, k)), 0, ()),
        "a multiple, which would be lost": lambda: trace_of_numbers(
            Trace(x() * column(c, t) * column(c, k)), 2, ()
        ),
    },
    "trace_of_sum": {
        "a product": lambda: trace_of_sum(Trace(J(t) * K(t)), ()),
        "with a number, whose trace needs a size": lambda: trace_of_sum(Trace(J(t) + 1), ()),
        "a matrix that is not square": lambda: trace_of_sum(Trace(A(t) + A(0)), ()),
    },
    "trace_of_transpose": {
        "no trace": lambda: trace_of_transpose(J(t), ()),
        "a transpose": lambda: trace_of_transpose(Transpose(J(t)), ()),
    },
    "transitive": {
        "middle terms that differ": lambda: transitive(ring(J(t), J(t)), ring(K(t), K(t))),
        "sums that differ in a limit": lambda: transitive(
            symmetric(last_term(SUM, SOME)), first_term(Total(J(k), k, 1, t - 1), (t - 2,))
        ),
        "in the other order": lambda: transitive(last_term(SUM, SOME), ring(SUM, SUM)),
        "two definitions of one letter": two_definitions,
        "definitions that go round": mutual_definitions,
        "zeros of different shapes": lambda: transitive(
            assume(equation(J(t), 0)), symmetric(assume(equation(A(t), 0)))
        ),
    },
    "transposition": {
        "a single letter": lambda: transposition(Transpose(J(t)), ()),
        "no transpose": lambda: transposition(J(t) * K(t), ()),
        "factors in the same order": lambda: transitive(
            transposition(Transpose(J(t) * K(t)), ()),
            ring(Transpose(J(t)) * Transpose(K(t)), Transpose(J(t)) * Transpose(K(t))),
        ),
    },
    "triangle": {
        "no norm": lambda: triangle(SUM, ()),
        "a product": lambda: triangle(Norm(J(t) * K(t)), ()),
        "an ordered product": lambda: triangle(Norm(PRODUCT), ()),
        "read backwards": lambda: symmetric(triangle(Norm(SUM), ())),
    },
    "unfold": {
        "no case": lambda: unfold(RUNNING, t, (t + 1,)),
        "before the start": lambda: unfold(RUNNING, -1, ()),
        "circular": circular,
        "circular, by an index that is no index": lambda: circular(at=t + 1, cases=(Case((t,), F(t) + 1),)),
        "circular, by two indices": lambda: circular(cases=(Case(SOME, F(t - 1, 0) + 1),)),
        "circular, by no index": lambda: circular(cases=(Case(SOME, F() + 1),)),
        "beyond the limit": lambda: circular(cases=(Case((), F(t - 1) + 1),)),
        "later for earlier": lambda: circular(cases=(Case(SOME, F(t + 1) + 1),)),
        "under a sum that reaches the step": lambda: circular(cases=(Case(SOME, Total(F(k), k, 0, t) + 1),)),
        "under two sums that bind one name": lambda: circular(
            cases=(Case(SOME, Total(Total(F(k), k, 0, t), k, 0, t - 1) + 1),)
        ),
        "cases that overlap": lambda: circular(cases=(Case((t,), 0 * J(t)), Case((-t,), sp.S.One))),
        "a nonnegative letter": lambda: circular(letter=RHO, cases=(Case((), sp.Integer(-1)),)),
        "an independent letter": lambda: circular(letter=XI, cases=(Case((), sp.S.One),)),
        "a random body of a letter that is not": lambda: circular(cases=(Case((), XI(t) * J(t)),)),
        "a derived body of a letter that is not": lambda: circular(cases=(Case((), Z(t)),)),
        "circular, under a mean": lambda: circular(cases=(Case(SOME, Mean(F(t) * XI(t)) + 1),)),
        "circular, by its own mean": lambda: circular(letter=Z, cases=(Case(SOME, Mean(Z(t)) + 1),)),
        "another shape": lambda: circular(cases=(Case((), A(t)),)),
        "a limit that moves": lambda: circular(cases=(Case((), F(t - 1) + 1),), limit=t - 1),
        "sideways": lambda: circular(onward=0),
        "made by going round its constructor": lambda: unfold(
            RUNNING._replace(cases=(Case(SOME, F(t) + 1),)), t, SOME
        ),
    },
    "weaken": {
        "conditions that say less": lambda: weaken(empty_sum(SUM, (-t,)), (1 - t,)),
        "none": lambda: weaken(empty_sum(SUM, (-t,)), ()),
        "conditions on another index": lambda: weaken(empty_sum(SUM, (-t,)), (-i,)),
    },
}


def misuses():
    return [
        pytest.param(make, id=f"{name}: {words}") for name, m in MISUSES.items() for words, make in m.items()
    ]


@pytest.mark.parametrize("make", misuses())
def test_misuse_is_refused(make):
    with pytest.raises(ProofError, match=r"\w+: .{10}"):
        make()


def false_among(misuses):
    """Which misuses are theorems without assumptions now, and which of these are false at small sizes."""
    accepted, false = set(), set()
    for words, make in misuses.items():
        try:
            theorem = make()
        except ProofError:
            continue
        if theorem.assumptions:
            continue
        accepted.add(words)
        for seed in range(5):
            draw = integers(np.random.default_rng(seed))
            try:
                evaluated(theorem, Model({"n": 2, "p": 3}, draw, tuple(theorem.definitions)), 3)
            except ProofError:
                false.add(words)
    return accepted, false


def test_what_independence_refuses_is_false(monkeypatch):
    """Without the check of what enters both factors they are theorems, and the evaluation shows it."""
    monkeypatch.setattr(means_module, "_may_meet", lambda a, b, given: False)
    accepted, false = false_among(MISUSES["independence"])
    assert len(accepted) > 20
    assert accepted - false == {"one gate for all steps, at the start", "a letter of the same name"}


def test_what_specialise_refuses_of_means_is_false(monkeypatch):
    monkeypatch.setattr(equality_module, "speaks_of_means", lambda theorem: False)
    assert false_among(MISUSES["specialise"])[1] == {
        "a random number for one that is not, in a mean",
        "another independent number, in a mean",
        "the same gate for all steps, in a mean",
    }


def rules():
    return {name for name in kernel.__all__ if hasattr(getattr(kernel, name), "reason")}


def test_every_rule_has_a_right_use_and_two_misuses():
    assert RIGHT.keys() == MISUSES.keys() == rules()
    assert all(len(m) >= 2 for m in MISUSES.values())


def test_nothing_else_makes_theorems():
    made = {n for n in kernel.__all__ if "Theorem" in str(getattr(getattr(kernel, n), "__annotations__", ""))}
    assert made - rules() <= {"replay", "speaks_of_means"}


# ── any arguments: a theorem that is true, or a ProofError ────────────────────────────────────────

JUNK = [
    None,
    True,
    1.5,
    float("nan"),
    "x",
    b"x",
    object(),
    [],
    {},
    (),
    (t,),
    [J(t)],
    10**30,
    -1,
    sp.nan,
    sp.oo,
]
THINGS = [
    SUM,
    PRODUCT,
    DOUBLE,
    J(t),
    Norm(SUM),
    Transpose(PRODUCT),
    Trace(SUM * J(t)),
    J,
    F,
    t,
    k,
    t + 1,
    sp.S.One,
]
MORE_THINGS = [LAW, FOR_ONE, MORE, CLAIM, DISTRIBUTES, RUNNING, SOME, ((k, t),), (1, T), "n", 0, 1, 2]


@pytest.mark.parametrize("name", sorted(rules()))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from([*JUNK, *THINGS, *MORE_THINGS]), max_size=6))
def test_any_arguments_give_a_true_theorem_or_a_proof_error(name, arguments):
    try:
        theorem = getattr(kernel, name)(*arguments)
    except ProofError:
        return
    if not theorem.assumptions:
        model = Model({"n": 2, "p": 3}, integers(np.random.default_rng(0)), tuple(theorem.definitions))
        evaluated(theorem, model, 2, -1)


def test_huge_inputs_are_refused_or_decided():
    deep = J(t)
    for _ in range(5000):
        deep = Transpose(deep)
    with pytest.raises(ProofError, match=r"recursion"):
        ring(deep, deep)
    with pytest.raises(ProofError, match=r"normal forms"):
        ring(J(10**1000), J(10**1000 + 1))
    many = Total(J(k), k, 1, 10**9)
    assert last_term(many, ()).statement.right == Total(J(k), k, 1, 10**9 - 1) + J(10**9)


# ── Python tricks ─────────────────────────────────────────────────────────────────────────────────


class Anything:
    """Equal to everything."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return hash(0)


def looks_like_a_theorem():
    return types.SimpleNamespace(
        statement=equation(J(t), 0), assumptions=frozenset(), definitions=frozenset(), rule=ring, arguments=()
    )


def a_subclass_of(kind, **members):
    return type(kind.__name__, (kind,), {"__slots__": (), "__module__": kind.__module__, **members})


def forged_sum():
    """A sum whose limits depend on when one looks."""
    looks = iter(range(100))
    shifty = a_subclass_of(Total, high=property(lambda self: sp.Integer(next(looks) % 2)))
    return empty_sum(shifty(J(k), k, 1, 3), ())


def changing_function():
    count = iter(range(1000))
    members = {
        "is_integer": True,
        "eval": classmethod(lambda cls, at: next(count) if at.is_Integer else None),
    }
    F = type("F", (sp.Function,), members)
    return instantiate(ring(J(F(t)), J(F(t))), ((t, 3),))


def changed_after_the_call():
    """A list of conditions that is changed when the theorem exists."""
    conditions = [at_least(t, 1)]
    theorem = last_term(SUM, conditions)
    conditions.clear()
    return theorem


TRICKS = {
    "object.__new__": lambda: object.__new__(Theorem).statement,
    "calling the class": lambda: Theorem(equation(J(t), 0)),
    "a subclass": lambda: a_subclass_of(Theorem),
    "a subclass by type.__new__": lambda: type.__new__(type, "X", (Theorem,), {}),
    "a theorem without a record": lambda: symmetric(object.__new__(Theorem)),
    "an object that looks like a theorem": lambda: symmetric(looks_like_a_theorem()),
    "a proxy": lambda: symmetric(weakref.proxy(LAW)),
    "an object that equals everything, as a theorem": lambda: symmetric(Anything()),
    "an object that equals everything, as a term": lambda: ring(J(t), Anything()),
    "an object that equals everything, as conditions": lambda: empty_sum(SUM, (Anything(),)),
    "an object that equals everything, as a relation": lambda: Statement((), J(t), Anything(), J(t)),
    "an object that equals everything, as onward": lambda: induction(
        CLAIM, t, 0, Anything(), base(), proof()
    ),
    "a subclass of a term": forged_sum,
    "a subclass of an entry": lambda: ring(a_subclass_of(Entry)(*J(t).args), J(t)),
    "a subclass of SymPy's numbers": lambda: ring(
        sp.Mul(a_subclass_of(sp.Integer)(2), J(t), evaluate=False), J(t)
    ),
    "a subclass of SymPy's sums": lambda: ring(
        a_subclass_of(sp.Add)(J(t), K(t), evaluate=False), J(t) + K(t)
    ),
    "a subclass of SymPy's symbols": lambda: ring(J(a_subclass_of(sp.Symbol)("t", integer=True)), J(t)),
    "a dummy": lambda: J(sp.Dummy("t", integer=True)),
    "a positive index": lambda: J(sp.Symbol("t", integer=True, positive=True)),
    "an even index over two": lambda: J(sp.Symbol("t", even=True) / 2),
    "a function that changes": changing_function,
    "an entry that no letter made": lambda: ring(*[Entry(Str("x"), Str(""), Str(""), Str(""), t / 2)] * 2),
    "a nonnegative matrix": lambda: ring(*[Entry(Str("J"), Str("n"), Str("n"), Str("nonnegative"), t)] * 2),
    "an independent matrix": lambda: ring(*[Entry(Str("J"), Str("n"), Str("n"), Str("independent"), t)] * 2),
    "a letter of another kind of chance": lambda: ring(
        *[Entry(Str("x"), Str(""), Str(""), Str("derived independent"), t)] * 2
    ),
    "a subclass of a letter": lambda: specialise(
        LAW, a_subclass_of(Letter, __eq__=lambda a, b: True)("L"), t, J(t)
    ),
    "a subclass of a definition": lambda: unfold(
        tuple.__new__(a_subclass_of(Definition), (F, t, (Case((), F(t) + 1),), 1, 0)), 0, ()
    ),
    "a subclass of a statement": lambda: assume(tuple.__new__(a_subclass_of(Statement), CLAIM)),
    "a subclass of int": lambda: rotate_trace(
        Trace(J(t) * K(t) * L(t)), type("I", (int,), {"__gt__": lambda a, b: True})(-1), ()
    ),
    "a bool for a number of factors": lambda: J(True),
    "a subclass of str": lambda: resize(LAW, type("S", (str,), {"__eq__": lambda a, b: True})("1"), "n"),
    "a mutable argument": changed_after_the_call,
    "a generator": lambda: empty_sum(SUM, (c for c in (-t,))),
    "an array": lambda: ring(np.array([1]), np.array([1])),
    "a new rule": lambda: theorems_module.rule("because")(lambda: None),
    "arguments by name": lambda: ring(left=J(t), right=K(t)),
    "a new rule after reloading": lambda: importlib.reload(theorems_module),
    "new terms by reloading": lambda: importlib.reload(terms_module),
    "new definitions by reloading": lambda: importlib.reload(definitions_module),
}


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
def test_a_trick_is_refused(trick):
    with pytest.raises(ProofError):
        trick()


def test_after_the_tricks_the_kernel_is_as_before():
    for module in (theorems_module, terms_module, definitions_module):
        with pytest.raises(ProofError, match=r"reload"):
            importlib.reload(module)
    assert theorems_module.Theorem is Theorem
    assert replay(unrolled()).statement == unrolled().statement
    with pytest.raises(ProofError, match=r"complete"):
        theorems_module.rule("because")


FIELDS = [
    (LAW, "statement"),
    (LAW.statement, "right"),
    (next(iter(unrolled().definitions)), "cases"),
    (RUNNING.cases[0], "body"),
    (J, "rows"),
]


@pytest.mark.parametrize(
    ("thing", "field"), FIELDS, ids=lambda v: v if isinstance(v, str) else type(v).__name__
)
def test_what_a_theorem_consists_of_cannot_be_changed(thing, field):
    before = getattr(thing, field)
    with pytest.raises(AttributeError):
        object.__setattr__(thing, field, sp.S.Zero)
    with pytest.raises((AttributeError, TypeError)):
        vars(thing)[field] = sp.S.Zero
    with pytest.raises((AttributeError, TypeError)):
        dataclasses.replace(thing, **{field: sp.S.Zero})
    assert getattr(thing, field) == before


def test_what_was_given_to_a_rule_is_not_kept():
    """An argument made by going round its constructor is made again, so that it is checked."""
    with pytest.raises(ProofError, match=r"mixed"):
        assume(CLAIM._replace(right=A(t)))
    with pytest.raises(ProofError, match=r"expected a name"):
        specialise(LAW, L._replace(rows=""), t, J(t))
    with pytest.raises(ProofError, match=r"not applicable"):
        assume(tuple.__new__(Statement, (1, 2)))


def test_copies_are_made_by_the_rules_again():
    theorem = unrolled()
    for other in (copy.copy(theorem), copy.deepcopy(theorem), pickle.loads(pickle.dumps(theorem))):
        assert type(other) is Theorem and other is not theorem
        assert other.statement == theorem.statement and other.definitions == theorem.definitions


def test_a_theorem_that_changes_its_class_is_none():
    theorem = ring(J(t), J(t))
    theorem.__class__ = type("Fake", (), {"__slots__": ("__weakref__",), "statement": equation(J(t), 0)})
    with pytest.raises(ProofError):
        symmetric(theorem)


def test_rules_bring_terms_to_normal_form_whatever_sympy_was_told():
    with sp.evaluate(False):
        theorem = ring(J(t) + J(t), 2 * J(t) + 0)
        with pytest.raises(ProofError):
            empty_sum(Total(J(k), k, 1, t - t + 1), ())
    assert theorem.statement == ring(2 * J(t), 2 * J(t)).statement


def test_replay_finds_a_term_whose_private_parts_were_changed():
    theorem = ring((J(t) + K(t)) * x(), J(t) * x() + K(t) * x())
    right = theorem.statement.right
    kept = right._args
    right._args = (J(t), K(t))
    try:
        with pytest.raises(ProofError):
            replay(theorem)
    finally:
        right._args = kept


def test_replay_finds_a_record_that_no_rule_wrote():
    theorem = ring(J(t), J(t))
    record = theorems_module._RECORDS[theorem]
    lie = dataclasses.replace(record.conclusion, statement=equation(J(t), 0))
    theorems_module._RECORDS[theorem] = dataclasses.replace(record, conclusion=lie)
    with pytest.raises(ProofError, match=r"replay: the rules lead to"):
        replay(theorem)


# ── what the parts refuse by themselves ───────────────────────────────────────────────────────────

PARTS = {
    "a letter without a name": lambda: Letter(""),
    "a letter with half a shape": lambda: Letter("J", "n"),
    "a nonnegative matrix": lambda: Letter("J", "n", "n", nonnegative=True),
    "a letter with a number of rows": lambda: Letter("J", 2, 2),
    "a letter of another kind of chance": lambda: Letter("x", random="sometimes"),
    "an independent matrix": lambda: Letter("X", "n", "n", random="independent"),
    "chance that is no text": lambda: Letter("x", random=True),
    "limits that use the bound index": lambda: Total(J(k), k, 1, k),
    "a bound index that is an expression": lambda: Total(J(k), k + 1, 1, t),
    "a body that is text": lambda: Total("J", k, 1, t),
    "a power that is text": lambda: power(J(t), "m"),
    "an index that is a term": lambda: J(K(t)),
    "an index that is a square": lambda: J(t**2),
    "a float": lambda: J(1.0),
    "conditions that are not linear": lambda: implies((t * i,), t),
    "a body of another shape": lambda: Definition(F, t, (Case((), A(t)),)),
    "a body that is an identity but not square": lambda: Definition(A, t, (Case((), sp.S.One),)),
    "cases in a list": lambda: Definition(F, t, [Case((), sp.S.Zero)]),
    "conditions in a list": lambda: Definition(F, t, (Case([t], sp.S.Zero),)),
    "a definition of no letter": lambda: Definition("F", t, ()),
    "for every expression": lambda: equation(J(t), 0, every=(t + 1,)),
    "a statement about text": lambda: equation("J", 0),
}


@pytest.mark.parametrize("make", PARTS.values(), ids=PARTS)
def test_a_part_that_is_not_well_formed_is_refused(make):
    with pytest.raises(ProofError, match=r"\w+: .*expected|\w+: "):
        make()


def test_conclusions_keep_what_they_rest_on():
    both = transitive(ring(SUM, SUM), last_term(SUM, SOME))
    assert both.statement.given == SOME
    for chain in (transitive(MORE, ring(SIGMA(), SIGMA())), transitive(ring(RHO(), RHO()), MORE)):
        assert chain.statement.relation == "≤" and chain.assumptions == MORE.assumptions
    zero = equation(J(i), 0)
    known = assume(hypothesis(zero, t, 0))
    constant_claim = induction(zero, t, 0, 1, FOR_ONE, instantiate(known, ((u, t - 1),)))
    assert constant_claim.assumptions == FOR_ONE.assumptions
    assumed = equation(J(i), 0, every=(s,))
    assert discharge(assume(assumed), assumed, FOR_ONE).assumptions == FOR_ONE.assumptions
    unconditional = equation(F(t), SUM)
    whole = induction(unconditional, t, 0, 1, base(), proof(hypothesis(unconditional, t, 0)))
    assert whole.statement.given == (t,) and whole.definitions == {RUNNING}


def test_a_definition_keeps_its_index_apart():
    theorem = instantiate(unfold(constant(i), 0, ()), ((i, s),))  # F_s = J_i for every s
    (d,) = theorem.definitions
    assert theorem.statement.right == J(s) and unfold(d, 5, ()).statement.right == J(s)


def test_shapes():
    assert shape(Transpose(A(t))) == ("p", "n") and shape(Trace(A(t) * Transpose(A(t)))) == ()
    assert shape(Total(0, k, 1, t) + A(t)) == ("n", "p")
    assert shape(Mean(0) + A(t)) == shape(Mean(A(t))) == ("n", "p") and shape(Mean(XI(t))) == ()
    assert shape(sp.Integer(2)) is None and shape(2 * RHO()) == ()


def test_substitution_into_a_limit_renames_the_bound_index():
    theorem = instantiate(last_term(SUM, SOME), ((t, k),))
    assert theorem.statement.left == Total(J(i), i, 1, k)
