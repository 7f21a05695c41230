"""The public checks: anybody's gradient function against a recurrence or a loss function."""

from bptt_verify.verify.cases import recurrence_cases
from bptt_verify.verify.checks import assert_gradient, check_gradient
from bptt_verify.verify.problems import recurrence_problem
from bptt_verify.verify.truncation import assert_truncated, check_truncated

__all__ = [
    "assert_gradient",
    "assert_truncated",
    "check_gradient",
    "check_truncated",
    "recurrence_cases",
    "recurrence_problem",
]
