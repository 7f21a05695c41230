"""Recurrences of a known form: a Jacobian that is a matrix, or derivatives of a function times one."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from bptt_verify.derivation.lines import Entry, entry
from bptt_verify.derivation.local import jacobian
from bptt_verify.program import Contract, Pointwise, Program, Ref, symbol
from bptt_verify.program.functions import derivative
from bptt_verify.program.surgery import states_of

SUPREMA: Mapping[str, sp.Expr] = {
    "tanh": sp.Integer(1),
    "sigmoid": sp.Rational(1, 4),
    "relu": sp.Integer(1),
    "softplus": sp.Integer(1),
    "sin": sp.Integer(1),
    "cos": sp.Integer(1),
    "atan": sp.Integer(1),
}
"""The largest size of the slope of an elementwise function."""


def linear_matrices(program: Program) -> tuple[str, str] | None:
    """``(W_hh, W_qh)`` if every J_t is the one, and the losses read the state through the other alone."""
    states = states_of(program)
    if len(states) != 1:
        return None
    ((state, _),) = states.items()
    local = jacobian(program)
    match = function_and_matrix(program, entry(local, f"d{state}/d{state}", program))
    readout = readout_matrix(program)
    return (match[1], readout) if match and match[0] == "" and readout else None


def function_and_matrix(program: Program, block: Entry) -> tuple[str, str] | None:
    """What J_t is, for a single state.

    Parameters
    ----------
    program : Program
    block : Entry
        The derivative of the new state by the previous one.

    Returns
    -------
    tuple of str or None
        ``("tanh", "W_hh")`` for the derivative of an elementwise function times a matrix, ``("", "W_hh")``
        for the matrix alone.
    """
    states = states_of(program)
    if len(states) != 1 or block.steps or not isinstance(block.value, Pointwise):
        return None
    (value,) = states.values()
    e, matrices = block.value, [r for r in block.value.operands if _parameter(program, r)]
    if len(matrices) != 1 or matrices[0].labels != e.labels[-2:] or len(e.labels) != 4:
        return None
    factor = e.expr / symbol(matrices[0])
    if factor == 1:
        return "", matrices[0].name
    step = program.equation[value]
    if factor.has(symbol(matrices[0])) or not isinstance(step, Pointwise) or len(step.operands) != 1:
        return None
    slope = derivative(step.expr, symbol(step.operands[0]), symbol(Ref(value, step.labels)))
    name = str(step.expr.func.__name__)
    return (name, matrices[0].name) if slope == factor and name in SUPREMA else None


def readout_matrix(program: Program) -> str | None:
    """The name of the matrix W if the losses read the state only through ``o_t = W h_t + …``."""
    output, values = dict(program.results).get("output"), list(states_of(program).values())
    readers = [e for e in program.equations if any(r.name in values and not r.shift for r in e.operands)]
    if len(values) != 1 or len(readers) != 1 or not isinstance(readers[0], Contract) or output is None:
        return None
    product, whole = readers[0], program.equation.get(output)
    matrices = [r for r in product.operands if _parameter(program, r) and len(r.labels) == 2]
    affine = whole is product or (
        isinstance(whole, Pointwise)
        and any(r.name == product.name for r in whole.operands)
        and all(x.is_Symbol for x in sp.Add.make_args(whole.expr))
    )
    return matrices[0].name if len(matrices) == 1 and affine else None


def _parameter(program: Program, r: Ref) -> bool:
    return any(a.name == r.name and a.role == "param" for a in program.arrays)
