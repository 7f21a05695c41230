"""How a recurrence is written: declarations, operators, functions, losses, and the tracer."""

from bptt_verify.language.declarations import (
    CARRIED,
    Declaration,
    Feedback,
    Input,
    Param,
    State,
    Step,
    Target,
)
from bptt_verify.language.definition import recurrence
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
from bptt_verify.language.feedback import MASK, MASK_NEXT, MODES, inward, outward, teacher
from bptt_verify.language.losses import sigmoid_cross_entropy, softmax_cross_entropy, squared_error
from bptt_verify.language.recurrences import Recurrence, unapplied, with_feedback, with_sizes
from bptt_verify.language.reductions import dot, mean, softmax, sum
from bptt_verify.language.stepping import run
from bptt_verify.language.values import Value

__all__ = [
    "CARRIED",
    "MASK",
    "MASK_NEXT",
    "MODES",
    "Declaration",
    "ElementwiseFunction",
    "Feedback",
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
    "inward",
    "log",
    "mean",
    "outward",
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
    "teacher",
    "unapplied",
    "with_feedback",
    "with_sizes",
]
