"""Two layers of long short-term memory: the second (states k, e) reads the first (states h, c)."""

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
def lstm_stack(
    x=Input("d"), y=Target("q"), h=State("n"), c=State("n"), k=State("m"), e=State("m"),
    W_ix=Param("n d"), W_ih=Param("n n"), b_i=Param("n"),
    W_fx=Param("n d"), W_fh=Param("n n"), b_f=Param("n"),
    W_gx=Param("n d"), W_gh=Param("n n"), b_g=Param("n"),
    W_ox=Param("n d"), W_oh=Param("n n"), b_o=Param("n"),
    V_ih=Param("m n"), V_ik=Param("m m"), a_i=Param("m"),
    V_fh=Param("m n"), V_fk=Param("m m"), a_f=Param("m"),
    V_gh=Param("m n"), V_gk=Param("m m"), a_g=Param("m"),
    V_oh=Param("m n"), V_ok=Param("m m"), a_o=Param("m"),
    W_qk=Param("q m"), b_q=Param("q"),
):
    i = sigmoid(W_ix @ x + W_ih @ h + b_i)
    f = sigmoid(W_fx @ x + W_fh @ h + b_f)
    g = tanh(W_gx @ x + W_gh @ h + b_g)
    o = sigmoid(W_ox @ x + W_oh @ h + b_o)
    c = f * c + i * g
    h = o * tanh(c)

    u = sigmoid(V_ih @ h + V_ik @ k + a_i)
    v = sigmoid(V_fh @ h + V_fk @ k + a_f)
    w = tanh(V_gh @ h + V_gk @ k + a_g)
    s = sigmoid(V_oh @ h + V_ok @ k + a_o)
    e = v * e + u * w
    k = s * tanh(e)

    q = W_qk @ k + b_q
    return Step(h=h, c=c, k=k, e=e, output=q, loss=squared_error(q, y))
