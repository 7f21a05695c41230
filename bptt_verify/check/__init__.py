"""The numerical verifier: judges any gradient function against a reference loss.

It knows NumPy, SciPy and the verdicts, and nothing of how the gradient was derived or generated.
"""

from bptt_verify.check.differences import difference_evidence
from bptt_verify.check.duality import duality_evidence
from bptt_verify.check.gradient import judge_gradient
from bptt_verify.check.noise import (
    Precision,
    loss_noise,
    operations,
    slope_noise,
    systematic,
    working_precision,
)
from bptt_verify.check.problem import Array, Arrays, Case, GradientFunction, Loss, Problem
from bptt_verify.check.reference import analytic, complex_gradient, complex_slope, difference_gradient
from bptt_verify.check.screening import caught
from bptt_verify.check.slopes import taylor_evidence

__all__ = [
    "Array",
    "Arrays",
    "Case",
    "GradientFunction",
    "Loss",
    "Precision",
    "Problem",
    "analytic",
    "caught",
    "complex_gradient",
    "complex_slope",
    "difference_evidence",
    "difference_gradient",
    "duality_evidence",
    "judge_gradient",
    "loss_noise",
    "operations",
    "slope_noise",
    "systematic",
    "taylor_evidence",
    "working_precision",
]
