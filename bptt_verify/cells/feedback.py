"""Networks that read their own output of the step before."""

from bptt_verify.language import Feedback, Input, Param, State, Step, Target, recurrence, squared_error, tanh


@recurrence
def jordan(
    x=Input("d"), y=Target("q"), u=Feedback("q"),
    W_hx=Param("n d"), W_hu=Param("n q"), b_h=Param("n"),
    W_qh=Param("q n"), b_q=Param("q"),
):
    a = W_hx @ x + W_hu @ u + b_h
    h = tanh(a)
    o = W_qh @ h + b_q
    return Step(output=o, loss=squared_error(o, y))


@recurrence
def elman_feedback(
    x=Input("d"), y=Target("q"), h=State("n"), u=Feedback("q"),
    W_hx=Param("n d"), W_hh=Param("n n"), W_hu=Param("n q"), b_h=Param("n"),
    W_qh=Param("q n"), b_q=Param("q"),
):
    a = W_hx @ x + W_hh @ h + W_hu @ u + b_h
    h = tanh(a)
    o = W_qh @ h + b_q
    return Step(h=h, output=o, loss=squared_error(o, y))
