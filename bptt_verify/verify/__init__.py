"""The public checks: anybody's gradient function against a recurrence or a loss function."""

from bptt_verify.verify.cases import recurrence_cases
from bptt_verify.verify.checks import assert_gradient, check_gradient
from bptt_verify.verify.problems import recurrence_problem

__all__ = ["assert_gradient", "check_gradient", "recurrence_cases", "recurrence_problem"]
