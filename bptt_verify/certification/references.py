"""The cells of the catalogue a second time, by hand, in plain NumPy, one step and sequence at a time.

They share no code with the language: textbook formulas, as one would type them from the paper. Each takes
the arrays of one step and returns the output, the loss, and the new states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bptt_verify.language import Recurrence

Arrays = Mapping[str, Any]
StepResult = tuple[Any, Any, dict[str, Any]]


def _sigma(u: Any) -> Any:
    return np.exp(-np.logaddexp(0.0, -u))


def _half_square(o: Any, y: Any) -> Any:
    return 0.5 * np.sum((o - y) ** 2)


def linear(p: Arrays, x: Any, y: Any, s: Arrays) -> StepResult:
    """Linear RNN."""
    h = p["W_hx"] @ x + p["W_hh"] @ s["h"]
    o = p["W_qh"] @ h
    return o, _half_square(o, y), {"h": h}


def elman(p: Arrays, x: Any, y: Any, s: Arrays) -> StepResult:
    """Elman's network."""
    h = np.tanh(p["W_hx"] @ x + p["W_hh"] @ s["h"] + p["b_h"])
    o = p["W_qh"] @ h + p["b_q"]
    return o, _half_square(o, y), {"h": h}


def elman_relu(p: Arrays, x: Any, y: Any, s: Arrays) -> StepResult:
    """Elman's network with rectified linear units."""
    h = np.maximum(p["W_hx"] @ x + p["W_hh"] @ s["h"] + p["b_h"], 0.0)
    o = p["W_qh"] @ h + p["b_q"]
    return o, _half_square(o, y), {"h": h}


def elman_charlm(p: Arrays, x: Any, y: Any, s: Arrays) -> StepResult:
    """Character model; x and y are class numbers."""
    h = np.tanh(p["W_hx"][:, x] + p["W_hh"] @ s["h"] + p["b_h"])
    o = p["W_qh"] @ h + p["b_q"]
    return o, np.logaddexp.reduce(o) - o[y], {"h": h}


def elman_feedback(p: Arrays, x: Any, y: Any, s: Arrays) -> StepResult:
    """One tanh layer that also reads the last output."""
    h = np.tanh(p["W_hx"] @ x + p["W_hh"] @ s["h"] + p["W_hu"] @ s["u"] + p["b_h"])
    o = p["W_qh"] @ h + p["b_q"]
    return o, _half_square(o, y), {"h": h, "u": o}


def jordan(p: Arrays, x: Any, y: Any, s: Arrays) -> StepResult:
    """One tanh layer that reads nothing of the past but the last output."""
    o = p["W_qh"] @ np.tanh(p["W_hx"] @ x + p["W_hu"] @ s["u"] + p["b_h"]) + p["b_q"]
    return o, _half_square(o, y), {"u": o}


def _gru(p: Arrays, x: Any, y: Any, s: Arrays, before: bool) -> StepResult:
    h = s["h"]
    r = _sigma(p["W_rx"] @ x + p["W_rh"] @ h + p["b_r"])
    z = _sigma(p["W_zx"] @ x + p["W_zh"] @ h + p["b_z"])
    carried = p["W_nh"] @ (r * h) if before else r * (p["W_nh"] @ h + p["b_nh"])
    n = np.tanh(p["W_nx"] @ x + p["b_n"] + carried)
    h = n + z * (h - n)
    o = p["W_qh"] @ h + p["b_q"]
    return o, _half_square(o, y), {"h": h}


def gru(p: Arrays, x: Any, y: Any, s: Arrays) -> StepResult:
    """GRU, reset after the matrix product."""
    return _gru(p, x, y, s, before=False)


def gru_original(p: Arrays, x: Any, y: Any, s: Arrays) -> StepResult:
    """GRU, reset before the matrix product."""
    return _gru(p, x, y, s, before=True)


def _lstm_layer(p: Arrays, x: Any, h: Any, c: Any, names: tuple[str, str, str, str]) -> tuple[Any, Any]:
    """One LSTM layer; names: input matrices, recurrent matrices, their last letter, biases."""
    to_x, to_h, letters, bias = names
    a = {
        k: p[f"{to_x}_{k}{letters[0]}"] @ x + p[f"{to_h}_{k}{letters[1]}"] @ h + p[f"{bias}_{k}"]
        for k in "ifgo"
    }
    c = _sigma(a["f"]) * c + _sigma(a["i"]) * np.tanh(a["g"])
    return _sigma(a["o"]) * np.tanh(c), c


def lstm(p: Arrays, x: Any, y: Any, s: Arrays) -> StepResult:
    """LSTM."""
    h, c = _lstm_layer(p, x, s["h"], s["c"], ("W", "W", "xh", "b"))
    o = p["W_qh"] @ h + p["b_q"]
    return o, _half_square(o, y), {"h": h, "c": c}


def lstm_peephole(p: Arrays, x: Any, y: Any, s: Arrays) -> StepResult:
    """LSTM whose gates see the cell state; the output gate sees the new one."""
    h, c = s["h"], s["c"]
    i = _sigma(p["W_ix"] @ x + p["W_ih"] @ h + p["p_i"] * c + p["b_i"])
    f = _sigma(p["W_fx"] @ x + p["W_fh"] @ h + p["p_f"] * c + p["b_f"])
    c = f * c + i * np.tanh(p["W_gx"] @ x + p["W_gh"] @ h + p["b_g"])
    h = _sigma(p["W_ox"] @ x + p["W_oh"] @ h + p["p_o"] * c + p["b_o"]) * np.tanh(c)
    o = p["W_qh"] @ h + p["b_q"]
    return o, _half_square(o, y), {"h": h, "c": c}


def lstm_stack(p: Arrays, x: Any, y: Any, s: Arrays) -> StepResult:
    """Two LSTM layers."""
    h, c = _lstm_layer(p, x, s["h"], s["c"], ("W", "W", "xh", "b"))
    k, e = _lstm_layer(p, h, s["k"], s["e"], ("V", "V", "hk", "a"))
    o = p["W_qk"] @ k + p["b_q"]
    return o, _half_square(o, y), {"h": h, "c": c, "k": k, "e": e}


REFERENCES: dict[str, Callable[[Arrays, Any, Any, Arrays], StepResult]] = {
    f.__name__: f
    for f in (
        linear,
        elman,
        elman_relu,
        elman_charlm,
        elman_feedback,
        jordan,
        gru,
        gru_original,
        lstm,
        lstm_peephole,
        lstm_stack,
    )
}


def unrolled(rec: Recurrence, arrays: Arrays) -> tuple[Any, Any, dict[str, Any]]:
    """Loss, outputs and states of a catalogue cell over all steps and sequences, as ``language.run``."""
    step, states = REFERENCES[rec.name], tuple(rec.carried)
    steps, batch = arrays["weights"].shape
    loss, outputs = 0.0, [[None] * batch for _ in range(steps)]
    kept: dict[str, Any] = {s: [[None] * batch for _ in range(steps)] for s in states}
    for b in range(batch):
        state = {s: arrays[f"{s}0"][b] for s in states}
        for t in range(steps):
            outputs[t][b], term, state = step(arrays, arrays["x"][t, b], arrays["y"][t, b], state)
            if rec.mode == "teacher" or (rec.mode == "scheduled" and arrays["mask_next"][t, b]):
                state["u"] = arrays["y"][t, b]
            loss = loss + arrays["weights"][t, b] * term
            for s in states:
                kept[s][t][b] = state[s]
    return loss, np.array(outputs), {s: np.array(v) for s, v in kept.items()}
