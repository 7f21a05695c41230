"""Differentiation of Programs: the adjoint (reverse), the tangent (forward), local Jacobians."""

from bptt_verify.derivation.document import Derivation, derive
from bptt_verify.derivation.forward import tangent
from bptt_verify.derivation.local import jacobian
from bptt_verify.derivation.reverse import adjoint, cotangent_adjoint

__all__ = ["Derivation", "adjoint", "cotangent_adjoint", "derive", "jacobian", "tangent"]
