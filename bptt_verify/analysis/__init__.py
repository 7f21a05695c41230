"""What a gradient says about its recurrence, an estimator about its gradient, and a formula about either."""

from bptt_verify.analysis.biases import TruncationBias, truncation_bias
from bptt_verify.analysis.bounds import Bound, lipschitz_bound
from bptt_verify.analysis.counterexamples import Counterexample
from bptt_verify.analysis.expectations import Expectation, expectation
from bptt_verify.analysis.exposures import ExposureTerms, exposure_terms
from bptt_verify.analysis.formulas import FormulaReport, assert_formula, check_formula
from bptt_verify.analysis.lags import LagProfile, lag_profile
from bptt_verify.analysis.misprints import Misprint
from bptt_verify.analysis.schedules import OptimalSchedule, optimal_schedule

__all__ = [
    "Bound",
    "Counterexample",
    "Expectation",
    "ExposureTerms",
    "FormulaReport",
    "LagProfile",
    "Misprint",
    "OptimalSchedule",
    "TruncationBias",
    "assert_formula",
    "check_formula",
    "expectation",
    "exposure_terms",
    "lag_profile",
    "lipschitz_bound",
    "optimal_schedule",
    "truncation_bias",
]
