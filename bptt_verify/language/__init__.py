"""How a recurrence is written: declarations, operators, functions, losses, and the tracer."""

from bptt_verify.language.declarations import Declaration, Input, Param, State, Step, Target
from bptt_verify.language.definition import Recurrence, recurrence
from bptt_verify.language.elementwise import (
    ElementwiseFunction,
    atan,
    cos,
    cosh,
    erf,
    exp,
    log,
    pointwise,
    relu,
    sigmoid,
    sin,
    sinh,
    softplus,
    sqrt,
    tan,
    tanh,
)
from bptt_verify.language.losses import sigmoid_cross_entropy, softmax_cross_entropy, squared_error
from bptt_verify.language.reductions import dot, mean, softmax, sum
from bptt_verify.language.stepping import run
from bptt_verify.language.values import Value

__all__ = [
    "Declaration",
    "ElementwiseFunction",
    "Input",
    "Param",
    "Recurrence",
    "State",
    "Step",
    "Target",
    "Value",
    "atan",
    "cos",
    "cosh",
    "dot",
    "erf",
    "exp",
    "log",
    "mean",
    "pointwise",
    "recurrence",
    "relu",
    "run",
    "sigmoid",
    "sigmoid_cross_entropy",
    "sin",
    "sinh",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "sqrt",
    "squared_error",
    "sum",
    "tan",
    "tanh",
]
