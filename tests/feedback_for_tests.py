"""Recurrences with feedback, each also as plain functions f, g and loss, and the derivatives of their steps.

The derivatives are by complex steps through these functions, one step at a time, as T11 and T12 name them.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from bptt_verify.cells import elman_feedback, jordan
from bptt_verify.codegen import generate
from bptt_verify.language import (
    Feedback,
    Input,
    Param,
    State,
    Step,
    Target,
    dot,
    recurrence,
    softmax,
    squared_error,
    tanh,
)

SMALL = 1e-30
LOSSES = ("e", "b", "new", "old")  # derivatives of the loss


@recurrence
def reads_everything(
    x=Input("d"), y=Target("q"), h=State("n"), u=Feedback("q"),
    W=Param("n d"), A=Param("n n"), C=Param("n q"), R=Param("q n"), P=Param("q q"), v=Param("q"),
):  # fmt: skip
    old = h
    h = tanh(W @ x + A @ h + C @ u)
    o = R @ h + tanh(P @ u)
    return Step(h=h, output=o, loss=squared_error(o, y) + dot(h, old) / 3 + dot(v, u) / 2)


@recurrence
def feeds_softmax(
    x=Input("d"), y=Target("q"), h=State("n"), k=State("m"), u=Feedback("q"),
    W=Param("n d"), A=Param("n m"), C=Param("m q"), D=Param("m n"), R=Param("q n"),
):  # fmt: skip
    h = tanh(W @ x + A @ k) * h
    k = tanh(D @ h + C @ u)
    o = R @ h
    return Step(h=h, k=k, output=o, u=softmax(o), loss=squared_error(o, y) + dot(k, k) / 3)


# ---- the same as functions of parameters, input, states and what is fed ----


def jordan_state(p, x, h, u):
    return np.tanh(p["W_hx"] @ x + p["W_hu"] @ u + p["b_h"])


def elman_state(p, x, h, u):
    return np.tanh(p["W_hx"] @ x + p["W_hh"] @ h + p["W_hu"] @ u + p["b_h"])


def linear_value(p, h, u):
    return p["W_qh"] @ h + p["b_q"]


def halved(error):
    return error @ error / 2


def linear_loss(p, y, h, old, u):
    return halved(linear_value(p, h, u) - y)


def everything_state(p, x, h, u):
    return np.tanh(p["W"] @ x + p["A"] @ h + p["C"] @ u)


def everything_value(p, h, u):
    return p["R"] @ h + np.tanh(p["P"] @ u)


def everything_loss(p, y, h, old, u):
    return halved(everything_value(p, h, u) - y) + h @ old / 3 + p["v"] @ u / 2


def softmax_state(p, x, hk, u):
    n = SIZES["n"]
    h = np.tanh(p["W"] @ x + p["A"] @ hk[n:]) * hk[:n]
    return np.concatenate([h, np.tanh(p["D"] @ h + p["C"] @ u)])


def softmax_value(p, hk, u):
    weights = np.exp(p["R"] @ hk[: SIZES["n"]])
    return weights / weights.sum()


def softmax_loss(p, y, hk, old, u):
    n = SIZES["n"]
    return halved(p["R"] @ hk[:n] - y) + hk[n:] @ hk[n:] / 3


FUNCTIONS = {
    "jordan": (jordan_state, linear_value, linear_loss),
    "elman_feedback": (elman_state, linear_value, linear_loss),
    "reads_everything": (everything_state, everything_value, everything_loss),
    "feeds_softmax": (softmax_state, softmax_value, softmax_loss),
}
CELLS = {rec.name: rec for rec in (jordan, elman_feedback, reads_everything, feeds_softmax)}
MODES = ("free", "teacher", "scheduled")
SIZES = {"d": 2, "n": 3, "m": 2, "q": 2}
kernel = cache(lambda name, mode: generate(CELLS[name], feedback=mode))


def drawn(name, T, seed):
    """Arrays of one sequence, and a mask of zeros and ones."""
    rec, rng = CELLS[name], np.random.default_rng(seed)
    arrays = {p: rng.normal(size=[SIZES[x] for x in words]) for p, words in rec.params.items()}
    for group in (rec.inputs, rec.targets):
        arrays |= {x: rng.normal(size=(T, 1, *(SIZES[z] for z in words))) for x, words in group.items()}
    arrays |= {f"{x}0": rng.normal(size=(1, *(SIZES[z] for z in words))) for x, words in rec.carried.items()}
    return arrays | {"weights": rng.normal(size=(T, 1))}, rng.integers(0, 2, size=T)


def shares(mode, mask):
    """1 - m_t for t = 1 … T, from index 1 on."""
    own = {"free": 1 + 0 * mask, "teacher": 0 * mask, "scheduled": 1 - mask}[mode]
    return [None, *own]


def gradient(name, mode, arrays, mask):
    """The gradients by the generated kernel."""
    given = {"mask": mask.astype(float)} if mode == "scheduled" else {}
    return kernel(name, mode).loss_and_grad(**arrays, **given)[1]


def flat(name, grads):
    """All parameters in a row."""
    return np.concatenate([grads[p].ravel() for p in CELLS[name].params])


@dataclass(frozen=True)
class Local:
    """Derivatives of every step, from index 1 on; ``start`` is what L_1 says of h_0 directly."""

    A: list
    H: list
    F: list
    B: list
    G: list
    S: list
    e: list
    c: list
    b: list
    start: np.ndarray

    @property
    def steps(self):
        return range(1, len(self.A))


def by(function, at):
    """The Jacobian by complex steps."""
    columns = []
    for j in range(len(at)):
        moved = at.astype(complex)
        moved[j] += SMALL * 1j
        columns.append(np.imag(function(moved)) / SMALL)
    return np.stack(columns, axis=-1)


def parameters(name, w):
    """The parameters, of which w is all numbers in a row."""
    found, at = {}, 0
    for p, words in CELLS[name].params.items():
        shape = [SIZES[x] for x in words]
        size = int(np.prod(shape))
        found[p], at = w[at : at + size].reshape(shape), at + size
    return found


def derivatives(name, w, x, y, h, old, u):
    """All derivatives of one step, of its loss by h_t and by h_{t-1} too."""
    f, g, loss = FUNCTIONS[name]
    params = parameters(name, w)
    return {
        "A": by(lambda w: f(parameters(name, w), x, old, u), w),
        "H": by(lambda z: f(params, x, z, u), old),
        "F": by(lambda z: f(params, x, old, z), u),
        "B": by(lambda w: g(parameters(name, w), h, u), w),
        "G": by(lambda z: g(params, z, u), h),
        "S": by(lambda z: g(params, h, z), u),
        "e": by(lambda w: loss(parameters(name, w), y, h, old, u), w),
        "b": by(lambda z: loss(params, y, h, old, z), u),
        "new": by(lambda z: loss(params, y, z, old, u), h),
        "old": by(lambda z: loss(params, y, h, z, u), old),
    }


def local(name, arrays, own, held=None):
    """All derivatives along the run with these shares of the own output, or what is fed given; and that."""
    rec, w, (f, g, _) = CELLS[name], flat(name, arrays), FUNCTIONS[name]
    (fed,), (target,) = rec.feedback, rec.targets
    params, x, y = parameters(name, w), arrays["x"][:, 0], arrays[target][:, 0]
    initial = [arrays[f"{state}0"][0] for state in rec.states]
    old = np.concatenate(initial) if initial else np.zeros(SIZES["n"])
    u, found, all_fed = arrays[f"{fed}0"][0], [], [None]
    for t, weight in enumerate(arrays["weights"][:, 0], 1):
        u = u if held is None else held[t]
        h = f(params, x[t - 1], old, u)
        step = derivatives(name, w, x[t - 1], y[t - 1], h, old, u)
        found.append({key: weight * value if key in LOSSES else value for key, value in step.items()})
        all_fed.append(u)
        if t < len(x):
            u = own[t + 1] * g(params, h, u) + (1 - own[t + 1]) * y[t - 1]
        old = h
    after = [*(step["old"] for step in found[1:]), 0 * old]
    c = [None, *(step["new"] + later for step, later in zip(found, after, strict=True))]
    parts = {key: [None, *(step[key] for step in found)] for key in "AHFBGSeb"}
    return Local(**parts, c=c, start=found[0]["old"]), all_fed


# ---- sums ----


def rates(of, own):
    """dh/dw, du/dw and do/dw of every step."""
    h, u, o = [0 * of.A[1]], [None], [None]
    for t in of.steps:
        u.append(own[t] * o[-1] if t > 1 else 0 * of.B[1])
        h.append(of.A[t] + of.H[t] @ h[-1] + of.F[t] @ u[-1])
        o.append(of.B[t] + of.G[t] @ h[-1] + of.S[t] @ u[-1])
    return h, u, o


def adjoints(of, own):
    """λ and λ^u of every step."""
    T = len(of.A) - 1
    state, fed = [None, *of.c[1:]], [None, *of.b[1:]]
    for t in range(T, 0, -1):
        if t < T:
            state[t] = of.c[t] + state[t + 1] @ of.H[t + 1] + own[t + 1] * (fed[t + 1] @ of.G[t])
            fed[t] = fed[t] + own[t + 1] * (fed[t + 1] @ of.S[t])
        fed[t] = fed[t] + state[t] @ of.F[t]
    return state, fed


def forward(of, own):
    """Σ ∂L_t/∂w + Σ (c_tᵀ dh_t/dw + b_tᵀ du_t/dw)."""
    h, u, _ = rates(of, own)
    return sum(of.e[t] + of.c[t] @ h[t] + of.b[t] @ u[t] for t in of.steps)


def backward(of, own):
    """Σ ∂L_t/∂w + Σ λ_tᵀ A_t + Σ_{t≥2} (1 - m_t) λ^u_tᵀ B_{t-1}."""
    state, fed = adjoints(of, own)
    direct = sum(of.e[t] + state[t] @ of.A[t] for t in of.steps)
    return direct + sum(own[t] * (fed[t] @ of.B[t - 1]) for t in of.steps[1:])
