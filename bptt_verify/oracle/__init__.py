"""Exact evidence for gradients, from the forward equations alone: rungs 2 and 3 of the ladder."""

from bptt_verify.oracle.onestep import jacobian_evidence
from bptt_verify.oracle.precision import digits_evidence
from bptt_verify.oracle.reaches import GradientParts, gradient_parts
from bptt_verify.oracle.recursion import CutStep, recursion_evidence
from bptt_verify.oracle.truncated import TruncatedLoss, Truncation
from bptt_verify.oracle.unrolled import exact_evidence

__all__ = [
    "CutStep",
    "GradientParts",
    "TruncatedLoss",
    "Truncation",
    "digits_evidence",
    "exact_evidence",
    "gradient_parts",
    "jacobian_evidence",
    "recursion_evidence",
]
