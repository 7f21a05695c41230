"""What a gradient says about its recurrence, and what a formula says about a gradient."""

from bptt_verify.analysis.counterexamples import Counterexample
from bptt_verify.analysis.formulas import FormulaReport, assert_formula, check_formula
from bptt_verify.analysis.lags import LagProfile, lag_profile
from bptt_verify.analysis.misprints import Misprint

__all__ = [
    "Counterexample",
    "FormulaReport",
    "LagProfile",
    "Misprint",
    "assert_formula",
    "check_formula",
    "lag_profile",
]
