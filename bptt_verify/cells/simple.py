"""Networks with one layer and no gates."""

from bptt_verify.language import (
    Input,
    Param,
    State,
    Step,
    Target,
    recurrence,
    relu,
    softmax_cross_entropy,
    squared_error,
    tanh,
)


@recurrence
def linear(
    x=Input("d"), y=Target("q"), h=State("n"),
    W_hx=Param("n d"), W_hh=Param("n n"), W_qh=Param("q n"),
):
    h = W_hx @ x + W_hh @ h
    o = W_qh @ h
    return Step(h=h, output=o, loss=squared_error(o, y))


@recurrence
def elman(
    x=Input("d"), y=Target("q"), h=State("n"),
    W_hx=Param("n d"), W_hh=Param("n n"), b_h=Param("n"),
    W_qh=Param("q n"), b_q=Param("q"),
):
    a = W_hx @ x + W_hh @ h + b_h
    h = tanh(a)
    o = W_qh @ h + b_q
    return Step(h=h, output=o, loss=squared_error(o, y))


@recurrence
def elman_relu(
    x=Input("d"), y=Target("q"), h=State("n"),
    W_hx=Param("n d"), W_hh=Param("n n"), b_h=Param("n"),
    W_qh=Param("q n"), b_q=Param("q"),
):
    a = W_hx @ x + W_hh @ h + b_h
    h = relu(a)
    o = W_qh @ h + b_q
    return Step(h=h, output=o, loss=squared_error(o, y))


@recurrence
def elman_charlm(
    x=Input("v", onehot=True), y=Target("v", onehot=True), h=State("n"),
    W_hx=Param("n v"), W_hh=Param("n n"), b_h=Param("n"),
    W_qh=Param("v n"), b_q=Param("v"),
):
    a = W_hx @ x + W_hh @ h + b_h
    h = tanh(a)
    o = W_qh @ h + b_q
    return Step(h=h, output=o, loss=softmax_cross_entropy(o, y))
