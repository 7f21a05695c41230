"""Looking for proofs of equality: what is right is found, what is wrong is not."""

import pytest

from bptt_verify.proof import replay
from bptt_verify.proof.claims.adjoint_form import LAMBDA
from bptt_verify.proof.claims.letters import A, J, T, c, i, product, s, t
from bptt_verify.proof.claims.linear import W_hh, W_qh, g, h, powers
from bptt_verify.proof.claims.unrolled import G, H
from bptt_verify.proof.forms import Knowledge, joined
from bptt_verify.proof.kernel import Total, Transpose, at_least, between, power
from bptt_verify.proof.search import found, general

SOME = (at_least(t, 1),)
ALL = between(1, t, T)
BUT_LAST = between(1, t, T - 1)
LINEAR = Knowledge((powers(),))
W = Transpose(W_hh())


def sent(at):
    return Transpose(W_qh()) * g(at)


def row(at):
    return Transpose(c(at))


gradient = Total(Transpose(LAMBDA(i)) * A(i), i, 1, T)
outer = Total(LAMBDA(t) * Transpose(h(t - 1)), t, 1, T)

RIGHT = {
    "closed form": (G(t), A(t) + Total(product(t, i + 1) * A(i), i, 1, t - 1), SOME),
    "whole sum": (G(t), Total(product(t, i + 1) * A(i), i, 1, t), SOME),
    "recursion": (G(t), A(t) + J(t) * G(t - 1), SOME),
    "counted from 0": (G(t), Total(product(t, i + 2) * A(i + 1), i, 0, t - 1), SOME),
    "counted by lag": (G(t), Total(product(t, t - i + 1) * A(t - i), i, 0, t - 1), SOME),
    "two terms apart": (
        G(t),
        A(t) + J(t) * A(t - 1) + Total(product(t, i + 1) * A(i), i, 1, t - 2),
        (at_least(t, 2),),
    ),
    "two steps": (G(t), A(t) + J(t) * A(t - 1) + J(t) * J(t - 1) * G(t - 2), (at_least(t, 2),)),
    "initial state": (H(t), product(t, 1), (t,)),
    "adjoint recursion": (LAMBDA(t), c(t) + Transpose(J(t + 1)) * LAMBDA(t + 1), BUT_LAST),
    "adjoint without its first term": (
        LAMBDA(t),
        c(t) + Total(Transpose(product(s, t + 1)) * c(s), s, t + 1, T),
        ALL,
    ),
    "adjoint as a row": (Transpose(LAMBDA(t)), Total(row(s) * product(s, t + 1), s, t, T), ALL),
    "double sum": (
        gradient,
        Total(Total(row(t) * product(t, i + 1) * A(i), i, 1, t), t, 1, T),
        (at_least(T, 1),),
    ),
    "forward mode": (gradient, Total(row(t) * G(t), t, 1, T), (at_least(T, 1),)),
}
RIGHT_LINEAR = {
    "powers": (LAMBDA(t), Total(power(W, T - i) * sent(T + t - i), i, t, T), ALL),
    "powers by lag": (LAMBDA(t), Total(power(W, i - t) * sent(i), i, t, T), ALL),
    "transposed powers": (LAMBDA(t), Total(Transpose(power(W_hh(), s)) * sent(t + s), s, 0, T - t), ALL),
    "recursion": (LAMBDA(t), W * LAMBDA(t + 1) + sent(t), BUT_LAST),
    "two steps": (
        LAMBDA(t),
        W * W * LAMBDA(t + 2) + W * sent(t + 1) + sent(t),
        between(1, t, T - 2),
    ),
    "gradient": (
        outer,
        Total(Total(power(W, s - t) * sent(s) * Transpose(h(t - 1)), s, t, T), t, 1, T),
        (at_least(T, 1),),
    ),
}
WRONG = {
    "product from i": (G(t), A(t) + Total(product(t, i) * A(i), i, 1, t - 1), SOME),
    "without A_t": (G(t), Total(product(t, i + 1) * A(i), i, 1, t - 1), SOME),
    "A_t twice": (G(t), A(t) + Total(product(t, i + 1) * A(i), i, 1, t), SOME),
    "the Jacobian of another step": (G(t), A(t) + J(t - 1) * G(t - 1), SOME),
    "transpose forgotten": (LAMBDA(t), c(t) + J(t + 1) * LAMBDA(t + 1), BUT_LAST),
    "the next step's own": (LAMBDA(t), c(t) + Transpose(J(t)) * LAMBDA(t + 1), BUT_LAST),
    "also at the last step": (LAMBDA(t), c(t) + Transpose(J(t + 1)) * LAMBDA(t + 1), ALL),
}
WRONG_LINEAR = {
    "exponents of another sum": (LAMBDA(t), Total(power(W, T - i) * sent(i), i, t, T), ALL),
    "transpose forgotten": (LAMBDA(t), Total(power(W_hh(), T - i) * sent(T + t - i), i, t, T), ALL),
    "one power too many": (LAMBDA(t), Total(power(W, T - i + 1) * sent(T + t - i), i, t, T), ALL),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_for_any_recurrence_is_proved(name):
    left, right, given = RIGHT[name]
    theorem = replay(found(left, right, given, general()))
    assert (theorem.statement.left, theorem.statement.right) == (left, right)
    assert not theorem.assumptions


@pytest.mark.parametrize("name", RIGHT_LINEAR)
def test_what_is_right_for_the_linear_recurrence_is_proved(name):
    left, right, given = RIGHT_LINEAR[name]
    theorem = replay(found(left, right, given, LINEAR))
    assert (theorem.statement.left, theorem.statement.right) == (left, right)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_not_proved(name):
    assert found(*WRONG[name], general()) is None


@pytest.mark.parametrize("name", WRONG_LINEAR)
def test_what_is_wrong_for_the_linear_recurrence_is_not_proved(name):
    assert found(*WRONG_LINEAR[name], LINEAR) is None


def test_products_that_run_together_are_joined_only_where_they_do():
    theorem = joined()
    assert str(theorem.statement.right) == str(product(t, i))
    assert {str(x) for x in theorem.statement.given} == {"-i + s + 1", "-s + t"}
