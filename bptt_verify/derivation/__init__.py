"""Differentiation of Programs: the adjoint (reverse), the tangent (forward), local Jacobians."""

from bptt_verify.derivation.claims import Claim, Known
from bptt_verify.derivation.detaching import detached
from bptt_verify.derivation.document import Derivation, derive
from bptt_verify.derivation.forward import tangent
from bptt_verify.derivation.local import jacobian
from bptt_verify.derivation.onestep import (
    OneStep,
    adjoint_step,
    state_jacobians,
    state_products,
    step_loss,
    with_own_parameters,
)
from bptt_verify.derivation.reverse import adjoint, cotangent_adjoint, gated_adjoint
from bptt_verify.derivation.theorems import theorem_document
from bptt_verify.program.surgery import previous, states_of

__all__ = [
    "Claim",
    "Derivation",
    "Known",
    "OneStep",
    "adjoint",
    "adjoint_step",
    "cotangent_adjoint",
    "derive",
    "detached",
    "gated_adjoint",
    "jacobian",
    "previous",
    "state_jacobians",
    "state_products",
    "states_of",
    "step_loss",
    "tangent",
    "theorem_document",
    "with_own_parameters",
]
