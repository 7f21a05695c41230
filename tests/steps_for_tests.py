"""One sequence of a recurrence as the claims see it: J_t, A_t and the states as plain arrays."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from bptt_verify.cells import CATALOGUE
from bptt_verify.codegen import generate
from bptt_verify.derivation import jacobian, states_of
from bptt_verify.program import evaluate

kernel_of = cache(lambda name: generate(CATALOGUE[name]))
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Steps:
    """Lists by step t = 1 … T; index 0 of J and A holds None.

    Attributes
    ----------
    J : list of array (n, n)
        The derivative of the stacked new states by the stacked previous ones.
    A : dict of str to list of array (n, p)
        The derivative by a parameter or input, its entries in a row, previous states held fixed.
    h : list of array (n,)
        The stacked states, h_0 included.
    """

    J: list
    A: dict
    h: list

    @property
    def T(self):
        return len(self.J) - 1


_local = cache(lambda rec: jacobian(rec.program))


def steps_of(rec, arrays):
    """The steps of one sequence (B = 1); everything is complex if an array is."""
    program = _local(rec)
    values = evaluate(program, arrays)
    blocks = {key: values[name] for key, name in program.results}
    states = {s: values[name][:, 0] for s, name in states_of(rec.program).items()}
    others = {key[1:].split("/d")[1] for key in blocks}

    def stacked(other, t):
        return np.vstack([blocks[f"d{s}/d{other}"][t, 0].reshape(states[s][t].size, -1) for s in states])

    steps = range(len(arrays["weights"]))
    J = [np.hstack([stacked(s, t) for s in states]) for t in steps]
    A = {other: [None, *(stacked(other, t) for t in steps)] for other in others - states.keys()}
    first = np.concatenate([arrays[f"{s}0"][0].ravel() for s in states])
    h = [first, *(np.concatenate([a[t].ravel() for a in states.values()]) for t in steps)]
    return Steps([None, *J], A, h)


def sequence(rec, arrays, b):
    """The arrays of one sequence of a batch."""
    initial = {f"{s}0" for s in rec.carried}
    return {
        k: a if k in rec.params else a[b : b + 1] if k in initial else a[:, b : b + 1]
        for k, a in arrays.items()
    }


def product(J, newest, oldest):
    """J_newest … J_oldest, the newest factor on the left."""
    whole = np.eye(len(J[1]))
    for k in range(oldest, newest + 1):
        whole = J[k] @ whole
    return whole


def absolute(matrices):
    """All entries positive: a formula of these bounds what rounding can do to it."""
    return [None if m is None else np.abs(m) for m in matrices]


def close(found, wanted, scale):
    """Equal up to the tolerance relative to a scale, entry by entry."""
    assert np.shape(found) == np.shape(wanted)
    return np.all(np.abs(found - wanted) <= TOLERANCE * np.max(scale, initial=0.0))


def direct(rec, arrays, outputs):
    """c_t of a catalogue cell by hand, ω_t W_qᵀ ∂ℓ/∂o_t in the state that its readout reads, by step."""
    (readout,) = (p for p in rec.params if p.startswith("W_q"))
    c = [None]
    for t, o in enumerate(outputs[:, 0]):
        parts = {s: np.zeros(arrays[f"{s}0"].shape[1]) for s in rec.carried}
        slope = arrays["weights"][t, 0] * loss_slope(rec, o, arrays["y"][t, 0])
        if rec.feedback:  # the output itself is what is fed on
            parts |= dict.fromkeys(rec.feedback, slope)
        else:
            parts[readout.removeprefix("W_q")] = arrays[readout].T @ slope
        c.append(np.concatenate(list(parts.values())))
    return c


def loss_slope(rec, o, y):
    """∂ℓ/∂o of the squared error, or of the softmax cross entropy with classes."""
    if "y" not in rec.onehot:
        return o - y
    p = np.exp(o - o.max())
    return p / p.sum() - np.eye(len(o))[y]
