"""Recurrences that exercise the language beyond the catalogue, and arrays to call them with."""

import sympy as sp

from bptt_verify.cells import CATALOGUE
from bptt_verify.language import (
    Feedback,
    Input,
    Param,
    State,
    Step,
    Target,
    atan,
    cos,
    dot,
    erf,
    exp,
    log,
    mean,
    pointwise,
    recurrence,
    relu,
    sigmoid,
    sigmoid_cross_entropy,
    sin,
    softmax,
    softmax_cross_entropy,
    softplus,
    sqrt,
    squared_error,
    sum,
    tanh,
)

SIZES = {"d": 2, "m": 4, "n": 3, "q": 2, "v": 5, "in_": 2, "size": 3, "dtype": 4, "h_prev": 2, "h_t": 3}


def draw(rec, rng, T=4, B=2, sizes=SIZES, scale=1.0):
    """Arrays for one call: initial states not zero, weights not uniform and of both signs."""
    arrays = {}
    for name, d in rec.declarations.items():
        shape = [sizes[word] for word in d.sizes]
        if d.onehot:
            arrays[name] = rng.integers(0, shape[0], size=(T, B))
        elif d.role in ("input", "target"):
            arrays[name] = rng.normal(size=(T, B, *shape))
        elif d.role in ("state", "feedback"):
            arrays[f"{name}0"] = rng.normal(size=(B, *shape))
        else:
            arrays[name] = scale * rng.normal(size=shape)
    if rec.mode == "scheduled":
        arrays["mask"] = rng.integers(0, 2, size=(T, B))
    arrays["weights"] = rng.normal(size=(T, B))
    return arrays


# ---- states of every kind ----


@recurrence
def scalar_state(x=Input("d"), s=State(""), w=Param("d"), r=Param(""), b=Param("")):
    s = tanh(dot(w, x) + r * s + b)
    return Step(s=s, output=s, loss=(s - 1) ** 2)


@recurrence
def scalars_only(x=Input(""), y=Target(""), s=State(""), w=Param(""), r=Param("")):
    a = w * x + r * sin(s)
    s = a * sigmoid(a)
    return Step(s=s, output=s, loss=squared_error(s, y))


@recurrence
def matrix_state(
    X=Input("n m"), Y=Target("n m"), M=State("n m"), A=Param("n n"), C=Param("m m"), D=Param("n m")
):
    M = tanh(A @ M @ C + X + D)
    return Step(M=M, output=M, loss=squared_error(M, Y))


@recurrence
def square_matrix_state(x=Input("n"), y=Target("n"), M=State("n n"), A=Param("n n"), v=Param("n")):
    M = tanh(A @ M.T + M * A.T)
    o = M @ x + v @ M
    return Step(M=M, output=o, loss=squared_error(o, y))


@recurrence
def matrix_and_vector_states(
    x=Input("m"), y=Target("n"), h=State("n"), M=State("n m"), A=Param("n n"), G=Param("n m")
):
    M = sigmoid(G * M)
    h = tanh(M @ x + A @ h)
    return Step(h=h, M=M, output=h, loss=squared_error(h, y))


@recurrence
def one_value_for_two_states(x=Input("n"), h=State("n"), k=State("n"), A=Param("n n"), C=Param("n n")):
    new = tanh(A @ h + C @ k + x)
    return Step(h=new, k=new, output=new, loss=sum(new**3))


@recurrence
def delayed_state(x=Input("d"), h=State("n"), p=State("n"), W=Param("n d"), A=Param("n n"), C=Param("n n")):
    new = tanh(W @ x + A @ h + C @ p)
    return Step(h=new, p=h, output=new, loss=dot(new, new))


@recurrence
def twice_delayed(x=Input("n"), h=State("n"), p=State("n"), r=State("n"), A=Param("n n")):
    new = tanh(x + A @ r)
    return Step(h=new, p=h, r=p, output=r, loss=dot(r, new))


@recurrence
def swapped_states(x=Input("n"), h=State("n"), k=State("n"), A=Param("n n")):
    return Step(h=k, k=tanh(A @ h + x), output=h, loss=dot(h, k))


@recurrence
def state_is_input(x=Input("n"), last=State("n"), A=Param("n n")):
    difference = x - last
    return Step(last=x, output=difference, loss=dot(difference, A @ difference))


@recurrence
def state_is_parameter(x=Input("n"), h=State("n"), p=Param("n")):
    return Step(h=p, output=h * x, loss=dot(h, x))


@recurrence
def output_is_input(x=Input("n"), h=State("n"), a=Param("n")):
    h = h * a + x
    return Step(h=h, output=x, loss=dot(h, h))


@recurrence
def output_is_parameter(x=Input("n"), h=State("n"), a=Param("n")):
    h = h * a + x
    return Step(h=h, output=a, loss=dot(h, h))


@recurrence
def output_is_previous_state(x=Input("n"), h=State("n"), a=Param("n")):
    old = h
    h = tanh(h * a + x)
    return Step(h=h, output=old, loss=dot(h, old))


@recurrence
def no_output(x=Input("n"), h=State("n"), A=Param("n n")):
    h = tanh(A @ h + x)
    return Step(h=h, loss=sum(h))


@recurrence
def loss_of_parameters_only(x=Input("n"), h=State("n"), A=Param("n n"), p=Param("n")):
    h = tanh(A @ h + x)
    return Step(h=h, output=h, loss=dot(p, p) / 2)


@recurrence
def loss_is_a_scalar_input(x=Input("n"), c=Input(""), h=State("n"), A=Param("n n")):
    h = tanh(A @ h + c * x)
    return Step(h=h, output=h, loss=c)


@recurrence
def loss_is_a_scalar_parameter(x=Input("n"), h=State("n"), c=Param("")):
    h = tanh(c * h + x)
    return Step(h=h, output=h, loss=c)


@recurrence
def target_only(y=Target("n"), h=State("n"), A=Param("n n")):
    h = tanh(A @ h)
    return Step(h=h, output=h, loss=squared_error(h, y))


@recurrence
def input_only_no_parameter(x=Input("n"), h=State("n")):
    h = h + x * x
    return Step(h=h, output=h, loss=dot(h, x))


# ---- products ----


@recurrence
def products(
    x=Input("d"), y=Target("m"), h=State("n"),
    U=Param("m d"), V=Param("n m"), W=Param("n n"), R=Param("n m"), b=Param("n"),
):  # fmt: skip
    a = V @ (U @ x) + (V @ U) @ x + h @ W + W @ h + W.T @ (W @ h) + b
    h = tanh(a)
    o = h @ R + R.T @ h
    return Step(h=h, output=o, loss=squared_error(o, y))


@recurrence
def used_twice(x=Input("n"), h=State("n"), W=Param("n n"), b=Param("n")):
    u = tanh(W @ x + b)
    h = tanh(W @ (h * u) + b * b)
    return Step(h=h, output=W @ h, loss=dot(h, W @ h))


@recurrence
def matrix_products(x=Input("n"), h=State("n"), W=Param("n n"), V=Param("n n"), S=Param("")):
    P = W @ V.T
    Q = P @ P
    h = tanh(Q @ h + S * (P.T @ x))
    return Step(h=h, output=h, loss=dot(h, h) + sum(P * W) * S)


@recurrence
def weight_norm(x=Input("d"), y=Target("n"), h=State("n"), V=Param("n d"), g=Param(""), A=Param("n n")):
    W = g * V / sqrt(sum(V * V))
    h = tanh(W @ x + A @ h)
    return Step(h=h, output=h, loss=squared_error(h, y))


@recurrence
def matrix_input(X=Input("n d"), y=Target("n"), h=State("n"), a=Param("d"), A=Param("n n")):
    h = tanh(X @ a + A @ h + X @ (X.T @ h))
    return Step(h=h, output=h, loss=squared_error(h, y))


@recurrence
def gates_read_twice(
    x=Input("d"), y=Target("n"), h=State("n"), W_ix=Param("n d"), W_fx=Param("n d"), W_ox=Param("n d"),
    W_ih=Param("n n"), W_fh=Param("n n"), W_oh=Param("n n"),
):  # fmt: skip
    a = W_ix @ x + W_ih @ h
    c = W_fx @ x + W_fh @ h
    e = W_ox @ x + W_oh @ h
    i = sigmoid(a)
    f = sigmoid(c)
    g = tanh(e)
    h = f * h + i * g + sin(a)
    return Step(h=h, output=c, loss=squared_error(h, y) + dot(a, e) / 5 + dot(i, f))


@recurrence
def gate_without_effect(
    x=Input("d"), y=Target("n"), h=State("n"), W_ux=Param("n d"), W_vx=Param("n d"), A=Param("n n")
):
    u = sigmoid(W_ux @ x)
    v = sigmoid(W_vx @ x)
    w = (1 - u) * h + u * h  # whatever u is
    h = tanh(A @ w) * v
    return Step(h=h, output=h, loss=squared_error(h, y))


@recurrence
def two_loops_fill_one_pack(
    x=Input("d"), y=Target("n"), h=State("n"), s=State(""),
    W=Param("n d"), A=Param("n n"), G=Param("n n"), g=Param("n"), r=Param(""),
):  # fmt: skip
    a = W @ x + A @ h
    z = sigmoid(G @ h + g)
    s = atan(r * s + dot(h, a))
    h = tanh(z * z + h)
    return Step(h=h, s=s, output=h, loss=squared_error(h, y))


# ---- reductions ----


@recurrence
def layer_norm(
    x=Input("d"), y=Target("n"), h=State("n"),
    W=Param("n d"), A=Param("n n"), g=Param("n"), b=Param("n"),
):  # fmt: skip
    a = W @ x + A @ h
    centred = a - mean(a)
    spread = sqrt(mean(centred**2) + 1e-5)
    h = tanh(g * centred / spread + b)
    return Step(h=h, output=h, loss=squared_error(h, y))


@recurrence
def root_mean_square_norm(x=Input("n"), h=State("n"), A=Param("n n"), g=Param("n")):
    a = A @ h + x
    h = g * a / sqrt(mean(a**2))
    return Step(h=h, output=h, loss=sqrt(mean(h * h)) + mean(x) ** 2)


@recurrence
def attention(
    x=Input("d"), y=Target("n"), h=State("n"),
    K=Param("m n"), Q=Param("n d"), V=Param("n m"), A=Param("n n"),
):  # fmt: skip
    scores = K @ (Q @ x + h)
    share = softmax(scores)
    h = tanh(V @ share + A @ h)
    return Step(h=h, output=share, loss=squared_error(h, y) + dot(share, scores))


@recurrence
def means_of_matrices(X=Input("n m"), M=State("n m"), a=Param("")):
    M = tanh(a * M + X - mean(X))
    return Step(M=M, output=mean(M), loss=mean(M * M) + sum(X * M))


@recurrence
def scalar_arithmetic(x=Input("n"), h=State("n"), a=Param(""), b=Param("")):
    size = sum(h * h)
    h = (2 - a) * h / (1 + size) - 0.1 * b + 3 / (1 + x**2) + (-x)
    return Step(h=h, output=size, loss=mean(h) * a / 7 - b)


# ---- elementwise ----

swish = pointwise(lambda u: u / (1 + sp.exp(-u)), "swish")
leaky = pointwise(lambda u: sp.Piecewise((u, u > 0), (u / 10, True)), "leaky")
banded = pointwise(lambda u: sp.Piecewise((u**3, (u > -1) & (u < 1)), (sp.sign(u), True)), "banded")
gated = pointwise(lambda u, v: sp.tanh(u) * sp.exp(-(v**2)) + sp.Max(u, v), "gated")
clamp = pointwise(lambda u: sp.Min(sp.Max(u, -1), 1), "clamp")
bent = pointwise(lambda u: (sp.sqrt(u**2 + 1) - 1) / 2 + u, "bent")
gelu = pointwise(lambda u: u * (1 + sp.erf(u / sp.sqrt(2))) / 2, "gelu")
lengthen = pointwise(lambda u: sp.Abs(u) * u + sp.Abs(u), "lengthen")


@recurrence
def user_functions(x=Input("n"), y=Target("n"), h=State("n"), A=Param("n n"), b=Param("n")):
    a = A @ h + b
    u = swish(a) + leaky(x) + bent(a) + gelu(x)
    h = tanh(gated(u, x) + banded(a) + clamp(x) + lengthen(a))
    return Step(h=h, output=u, loss=squared_error(h, y))


@recurrence
def powers(x=Input("n"), h=State("n"), a=Param("n"), b=Param("n")):
    p = exp(a)
    h = tanh((p + h**2) ** 1.5 + (1 + x**2) ** -0.5 - p**-2 + 2**b + (1 + h**2) ** b)
    return Step(h=h, output=h**3, loss=sum((1 + h**2) ** (1 / 3)))


@recurrence
def many_functions(x=Input("n"), h=State("n"), A=Param("n n")):
    a = A @ h + x
    h = sin(a) * cos(x) + softplus(a) - relu(a) + erf(a) + log(1 + a**2) / 4 - abs(a) / 3
    return Step(h=h, output=tanh(h), loss=sum(sigmoid(h) * exp(-(h**2))))


@recurrence
def unnamed_parts(x=Input("n"), h=State("n"), A=Param("n n")):
    return Step(
        h=tanh(A @ tanh(x + h)) * (1 - sigmoid(h)),
        output=sigmoid(A @ h) * h,
        loss=squared_error(tanh(A @ (x * h)), x),
    )


# ---- several inputs and targets; losses; classes ----


@recurrence
def several(
    x=Input("d"), u=Input("n"), c=Input(""), y=Target("q"), z=Target("n"), w=Target(""), h=State("n"),
    W=Param("n d"), A=Param("n n"), R=Param("q n"),
):  # fmt: skip
    h = tanh(W @ x + c * (A @ h) + u)
    o = R @ h
    return Step(h=h, output=o, loss=w * squared_error(o, y) + squared_error(h, z))


@recurrence
def soft_classes(x=Input("d"), y=Target("v"), h=State("n"), W=Param("n d"), A=Param("n n"), R=Param("v n")):
    h = tanh(W @ x + A @ h)
    o = R @ h
    return Step(h=h, output=o, loss=softmax_cross_entropy(o, y))


@recurrence
def bits(x=Input("d"), y=Target("v"), h=State("n"), W=Param("n d"), A=Param("n n"), R=Param("v n")):
    h = tanh(W @ x + A @ h)
    o = R @ h
    return Step(h=h, output=o, loss=sigmoid_cross_entropy(o, y))


@recurrence
def onehot_bits(x=Input("d"), y=Target("v", onehot=True), h=State("v"), W=Param("v d"), A=Param("v v")):
    h = tanh(W @ x + A @ h)
    return Step(h=h, output=h, loss=sigmoid_cross_entropy(h, y) + squared_error(h, y))


@recurrence
def onehot_elementwise(x=Input("v", onehot=True), y=Target("v"), h=State("v"), g=Param("v"), A=Param("v v")):
    h = tanh(A @ h * x + g * x + x)
    return Step(h=h, output=h, loss=squared_error(h, y))


@recurrence
def onehot_everywhere(
    x=Input("v", onehot=True), y=Target("v", onehot=True), h=State("n"),
    W=Param("n v"), V=Param("v n"), A=Param("n n"), b=Param("v"), C=Param("v v"),
):  # fmt: skip
    a = W @ x + x @ V + dot(b, x) + A @ h
    h = tanh(a)
    o = V @ h + C @ x
    return Step(h=h, output=o, loss=softmax_cross_entropy(o, y) + dot(x, C @ y) / 3)


@recurrence
def softmax_output(
    x=Input("d"), y=Target("v", onehot=True), h=State("n"), W=Param("n d"), A=Param("n n"), R=Param("v n")
):
    h = tanh(W @ x + A @ h)
    p = softmax(R @ h)
    return Step(h=h, output=p, loss=-dot(y, log(p)))


@recurrence
def target_used_by_loss_only(x=Input("n"), y=Target("n"), h=State("n"), k=State("n"), a=Param("n")):
    k = tanh(a * k + h)
    h = sigmoid(a * h + x)
    distance = k - y
    return Step(h=h, k=k, output=distance, loss=sqrt(1 + dot(distance, distance)))


# ---- written with plain Python ----


def cell(x, h, W, A, b):
    """A helper function: its own variables may be bound as often as it likes."""
    a = W @ x
    a = a + A @ h
    a = a + b
    return tanh(a)


@recurrence
def helper_function(
    x=Input("d"), y=Target("m"), h=State("n"), k=State("m"),
    W_hx=Param("n d"), W_hh=Param("n n"), b_h=Param("n"),
    W_kh=Param("m n"), W_kk=Param("m m"), b_k=Param("m"),
):  # fmt: skip
    h = cell(x, h, W_hx, W_hh, b_h)
    k = cell(h, k, W_kh, W_kk, b_k)
    return Step(h=h, k=k, output=k, loss=squared_error(k, y))


@recurrence
def layers_in_lists(
    x=Input("n"), y=Target("n"), h1=State("n"), h2=State("n"), h3=State("n"),
    W1=Param("n n"), W2=Param("n n"), W3=Param("n n"), A1=Param("n n"), A2=Param("n n"), A3=Param("n n"),
):  # fmt: skip
    values = [x]
    for h, W, A in ((h1, W1, A1), (h2, W2, A2), (h3, W3, A3)):
        values.append(tanh(W @ values[-1] + A @ h))
    return Step(h1=values[1], h2=values[2], h3=values[3], output=values[3], loss=squared_error(values[3], y))


@recurrence
def unicode_names(x=Input("n"), h=State("n"), A=Param("n n")):
    α = A @ h + x
    β2 = tanh(α)
    lambda_ = β2 * α
    return Step(h=lambda_, output=β2, loss=dot(α, β2))


@recurrence
def names_of_generated_code(
    x=Input("in_"), y=Target("dtype"), h=State("size"), h_bar=State("size"),
    W=Param("size in_"), A=Param("size size"), R=Param("dtype size"), h_prev=Param("size"),
):  # fmt: skip
    ready = W @ x + A @ h_bar
    needed = tanh(ready)
    given = A @ needed + h
    sizes = given * h_prev
    range_ = R @ tanh(sizes)
    work_n = squared_error(range_, y)
    return Step(h=given, h_bar=sizes, output=range_, loss=work_n)


@recurrence
def names_of_derived_values(
    x=Input("h_prev"), y=Target("h_t", onehot=True), h=State("h_t"), W_dot=Param("h_t h_prev"),
    W=Param("h_t h_prev"), A=Param("h_t h_t"), output_cotangent=Param("h_t"), h_cotangent=Param("h_t"),
):  # fmt: skip
    range = W @ x
    x_dot = W_dot @ x + output_cotangent
    h_pre = range * x_dot
    identity_h_t = tanh(h_pre)
    y_onehot = A @ h + h_cotangent * identity_h_t
    h = A.T @ identity_h_t + y_onehot
    h_bar = sin(h)
    dict = h_bar * identity_h_t
    return Step(h=h, output=dict, loss=softmax_cross_entropy(dict, y))


# ---- what is fed back ----


@recurrence
def decoder(
    y=Target("v", onehot=True), h=State("n"), u=Feedback("v"),
    W_hh=Param("n n"), W_hu=Param("n v"), W_qh=Param("v n"), b_q=Param("v"),
):  # fmt: skip
    h = tanh(W_hh @ h + W_hu @ u)
    o = W_qh @ h + b_q
    return Step(h=h, u=softmax(o), output=o, loss=softmax_cross_entropy(o, y))


@recurrence
def sampled_output(
    y=Target("v", onehot=True), s=Input("v", onehot=True), u=Feedback("v"),
    W_nu=Param("n v"), W_vn=Param("v n"),
):  # fmt: skip
    o = W_vn @ tanh(W_nu @ u)
    return Step(u=s, output=o, loss=softmax_cross_entropy(o, y))


@recurrence
def residual_output(
    x=Input("q"), y=Target("q"), z=Target("m"), u=Feedback("q"), r=Feedback("m"),
    W_nu=Param("n q"), W_nr=Param("n m"), W_qn=Param("q n"), W_mn=Param("m n"),
):  # fmt: skip
    a = tanh(W_nu @ (u + x) + W_nr @ r)
    o = u + W_qn @ a
    p = W_mn @ a * dot(o, x)
    return Step(r=p, output=o, loss=squared_error(o, y) + squared_error(p, z))


EXTRA_CELLS = {name: value for name, value in globals().items() if type(value).__name__ == "Recurrence"}
ALL_CELLS = {**CATALOGUE, **EXTRA_CELLS}
