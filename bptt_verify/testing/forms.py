"""What a line of a random recurrence may say: its text, and the same as a function of values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy as sp

from bptt_verify import language as lang

BENT = 'bent = pointwise(lambda u: (1 + u**2) ** 0.5 - u / 3, "bent")'
SWISH = 'swish = pointwise(lambda u: u * (1 + sympy.tanh(u / 2)) / 2, "swish")'
OWN = {"bent": BENT, "swish": SWISH}  # elementwise functions that are no part of the language

bent = lang.pointwise(lambda u: (1 + u**2) ** 0.5 - u / 3, "bent")
swish = lang.pointwise(lambda u: u * (1 + sp.tanh(u / 2)) / 2, "swish")


@dataclass(frozen=True)
class Form:
    """The right-hand side of an assignment.

    Attributes
    ----------
    text : str
        With the letters of its operands in braces.
    value : callable
        The same, of the operands by letter.
    """

    text: str
    value: Callable[..., Any]

    def reads(self, letter: str) -> bool:
        """Whether this operand is in it."""
        return "{" + letter + "}" in self.text


PRODUCTS = (
    Form("{W} @ {v}", lambda W, v: W @ v),
    Form("{v} @ {W}.T", lambda W, v: v @ W.T),
    Form("{V}.T @ {v}", lambda V, v: V.T @ v),
    Form("{v} @ {V}", lambda V, v: v @ V),
    Form("{W} @ {U} @ {v}", lambda W, U, v: W @ U @ v),
)
FUNCTIONS = (
    Form("tanh({v})", lambda v: lang.tanh(v)),
    Form("sigmoid({v})", lambda v: lang.sigmoid(v)),
    Form("softplus({v})", lambda v: lang.softplus(v)),
    Form("relu({v})", lambda v: lang.relu(v)),
    Form("sin({v})", lambda v: lang.sin(v)),
    Form("cos({v})", lambda v: lang.cos(v)),
    Form("atan({v})", lambda v: lang.atan(v)),
    Form("erf({v})", lambda v: lang.erf(v)),
    Form("bent({v})", lambda v: bent(v)),
    Form("swish({v})", lambda v: swish(v)),
)
COMBINATIONS = (
    Form("{u} + {v}", lambda u, v: u + v),
    Form("{u} - 0.3 * {v}", lambda u, v: u - 0.3 * v),
    Form("{u} * {v}", lambda u, v: u * v),
    Form("{u} / (1 + {v} * {v})", lambda u, v: u / (1 + v * v)),
    Form("sigmoid({u}) * {v} + {p}", lambda u, v, p: lang.sigmoid(u) * v + p),
)
SCALING = Form("{c} * {u}", lambda c, u: c * u)
REDUCTIONS = (
    Form("dot({u}, {v})", lambda u, v: lang.dot(u, v)),
    Form("sum({u} * {u})", lambda u: lang.sum(u * u)),
    Form("mean(sin({u}) * {v})", lambda u, v: lang.mean(lang.sin(u) * v)),
    Form("dot({u}, {p})", lambda u, p: lang.dot(u, p)),
)
NORMALISATIONS = (
    Form("softmax({v})", lambda v: lang.softmax(v)),
    Form("{v} / sqrt(1 + mean({v} * {v}))", lambda v: v / lang.sqrt(1 + lang.mean(v * v))),
)
GATE = Form("sigmoid({W} @ {u} + {p})", lambda W, u, p: lang.sigmoid(W @ u + p))
MIXTURE = Form("(1 - {g}) * {u} + {g} * {v}", lambda g, u, v: (1 - g) * u + g * v)
FIRST = Form("{W} @ x + {U} @ h + {p}", lambda W, U, p, x, h: W @ x + U @ h + p)
LINEAR = Form("{W} @ {v}", lambda W, v: W @ v)
SQUARED_OUTPUT = Form("h + h * h", lambda h: h + h * h)
MATRIX_OUTPUT = Form("{W} @ h", lambda W, h: W @ h)
# What is fed back, by its text: the output itself, a function of it, or of what was fed before.
FED: dict[str, Callable[[Any, Any], Any] | None] = {
    "": None,
    "softmax(o)": lambda o, u: lang.softmax(o),
    "tanh(o) + 0.5 * u": lambda o, u: lang.tanh(o) + 0.5 * u,
}
