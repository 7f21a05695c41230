"""Differentiation of Programs: the adjoint (reverse), the tangent (forward), local Jacobians."""

from bptt_verify.derivation.adjoint import adjoint, cotangent_adjoint
from bptt_verify.derivation.document import Derivation, derive
from bptt_verify.derivation.jacobian import jacobian
from bptt_verify.derivation.tangent import tangent

__all__ = ["Derivation", "adjoint", "cotangent_adjoint", "derive", "jacobian", "tangent"]
