"""The public checks: anybody's gradient function against a recurrence or a loss function."""

from bptt_verify.verify.adapting import AdaptedFunction, adapt
from bptt_verify.verify.bounded import assert_lipschitz, check_lipschitz
from bptt_verify.verify.campaigns import Campaign, campaign
from bptt_verify.verify.cases import recurrence_cases
from bptt_verify.verify.checks import assert_gradient, check_gradient
from bptt_verify.verify.clipped import assert_clip, check_clip
from bptt_verify.verify.powers import Power, power
from bptt_verify.verify.problems import recurrence_problem
from bptt_verify.verify.truncation import assert_truncated, check_truncated
from bptt_verify.verify.unbiased import assert_unbiased, check_unbiased
from bptt_verify.verify.updated import assert_clipped_update, check_clipped_update

__all__ = [
    "AdaptedFunction",
    "Campaign",
    "Power",
    "adapt",
    "assert_clip",
    "assert_clipped_update",
    "assert_gradient",
    "assert_lipschitz",
    "assert_truncated",
    "assert_unbiased",
    "campaign",
    "check_clip",
    "check_clipped_update",
    "check_gradient",
    "check_lipschitz",
    "check_truncated",
    "check_unbiased",
    "power",
    "recurrence_cases",
    "recurrence_problem",
]
