"""Gated cells.

``gru`` applies the reset gate after the matrix product, as PyTorch does; ``gru_original`` before it, as
first published. The peepholes of ``lstm_peephole`` are diagonal.
"""

from bptt_verify.language import (
    Input,
    Param,
    State,
    Step,
    Target,
    recurrence,
    sigmoid,
    squared_error,
    tanh,
)


@recurrence
def gru(
    x=Input("d"), y=Target("q"), h=State("n"),
    W_rx=Param("n d"), W_rh=Param("n n"), b_r=Param("n"),
    W_zx=Param("n d"), W_zh=Param("n n"), b_z=Param("n"),
    W_nx=Param("n d"), b_n=Param("n"), W_nh=Param("n n"), b_nh=Param("n"),
    W_qh=Param("q n"), b_q=Param("q"),
):
    r = sigmoid(W_rx @ x + W_rh @ h + b_r)
    z = sigmoid(W_zx @ x + W_zh @ h + b_z)
    n = tanh(W_nx @ x + b_n + r * (W_nh @ h + b_nh))
    h = (1 - z) * n + z * h
    o = W_qh @ h + b_q
    return Step(h=h, output=o, loss=squared_error(o, y))


@recurrence
def gru_original(
    x=Input("d"), y=Target("q"), h=State("n"),
    W_rx=Param("n d"), W_rh=Param("n n"), b_r=Param("n"),
    W_zx=Param("n d"), W_zh=Param("n n"), b_z=Param("n"),
    W_nx=Param("n d"), W_nh=Param("n n"), b_n=Param("n"),
    W_qh=Param("q n"), b_q=Param("q"),
):
    r = sigmoid(W_rx @ x + W_rh @ h + b_r)
    z = sigmoid(W_zx @ x + W_zh @ h + b_z)
    n = tanh(W_nx @ x + W_nh @ (r * h) + b_n)
    h = (1 - z) * n + z * h
    o = W_qh @ h + b_q
    return Step(h=h, output=o, loss=squared_error(o, y))


@recurrence
def lstm(
    x=Input("d"), y=Target("q"), h=State("n"), c=State("n"),
    W_ix=Param("n d"), W_ih=Param("n n"), b_i=Param("n"),
    W_fx=Param("n d"), W_fh=Param("n n"), b_f=Param("n"),
    W_gx=Param("n d"), W_gh=Param("n n"), b_g=Param("n"),
    W_ox=Param("n d"), W_oh=Param("n n"), b_o=Param("n"),
    W_qh=Param("q n"), b_q=Param("q"),
):
    i = sigmoid(W_ix @ x + W_ih @ h + b_i)
    f = sigmoid(W_fx @ x + W_fh @ h + b_f)
    g = tanh(W_gx @ x + W_gh @ h + b_g)
    o = sigmoid(W_ox @ x + W_oh @ h + b_o)
    c = f * c + i * g
    h = o * tanh(c)
    q = W_qh @ h + b_q
    return Step(h=h, c=c, output=q, loss=squared_error(q, y))


@recurrence
def lstm_peephole(
    x=Input("d"), y=Target("q"), h=State("n"), c=State("n"),
    W_ix=Param("n d"), W_ih=Param("n n"), p_i=Param("n"), b_i=Param("n"),
    W_fx=Param("n d"), W_fh=Param("n n"), p_f=Param("n"), b_f=Param("n"),
    W_gx=Param("n d"), W_gh=Param("n n"), b_g=Param("n"),
    W_ox=Param("n d"), W_oh=Param("n n"), p_o=Param("n"), b_o=Param("n"),
    W_qh=Param("q n"), b_q=Param("q"),
):
    i = sigmoid(W_ix @ x + W_ih @ h + p_i * c + b_i)
    f = sigmoid(W_fx @ x + W_fh @ h + p_f * c + b_f)
    g = tanh(W_gx @ x + W_gh @ h + b_g)
    c = f * c + i * g
    o = sigmoid(W_ox @ x + W_oh @ h + p_o * c + b_o)
    h = o * tanh(c)
    q = W_qh @ h + b_q
    return Step(h=h, c=c, output=q, loss=squared_error(q, y))
