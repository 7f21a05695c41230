"""Verified gradients for recurrent computation: derive, generate, check, certify.

Names are loaded when they are first used, so that ``import bptt_verify`` is light.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bptt_verify import cells as cells
    from bptt_verify.analysis import Bound as Bound
    from bptt_verify.analysis import Expectation as Expectation
    from bptt_verify.analysis import ExposureTerms as ExposureTerms
    from bptt_verify.analysis import FormulaReport as FormulaReport
    from bptt_verify.analysis import LagProfile as LagProfile
    from bptt_verify.analysis import OptimalSchedule as OptimalSchedule
    from bptt_verify.analysis import TruncationBias as TruncationBias
    from bptt_verify.analysis import assert_formula as assert_formula
    from bptt_verify.analysis import check_formula as check_formula
    from bptt_verify.analysis import expectation as expectation
    from bptt_verify.analysis import exposure_terms as exposure_terms
    from bptt_verify.analysis import lag_profile as lag_profile
    from bptt_verify.analysis import lipschitz_bound as lipschitz_bound
    from bptt_verify.analysis import optimal_schedule as optimal_schedule
    from bptt_verify.analysis import truncation_bias as truncation_bias
    from bptt_verify.certification import Certificate as Certificate
    from bptt_verify.certification import certify as certify
    from bptt_verify.certification import recheck as recheck
    from bptt_verify.codegen import Kernel as Kernel
    from bptt_verify.codegen import generate as generate
    from bptt_verify.codegen import generate_update as generate_update
    from bptt_verify.derivation import Derivation as Derivation
    from bptt_verify.derivation import derive as derive
    from bptt_verify.errors import ArrayError as ArrayError
    from bptt_verify.errors import BpttVerifyError as BpttVerifyError
    from bptt_verify.errors import CertificateError as CertificateError
    from bptt_verify.errors import CheckFailedError as CheckFailedError
    from bptt_verify.errors import FormulaError as FormulaError
    from bptt_verify.errors import NameRefusedError as NameRefusedError
    from bptt_verify.errors import RecurrenceError as RecurrenceError
    from bptt_verify.errors import SizeError as SizeError
    from bptt_verify.errors import UnsupportedError as UnsupportedError
    from bptt_verify.errors import UsageError as UsageError
    from bptt_verify.errors import VarianceWarning as VarianceWarning
    from bptt_verify.estimators import Chunks as Chunks
    from bptt_verify.estimators import Full as Full
    from bptt_verify.estimators import Geometric as Geometric
    from bptt_verify.estimators import Randomized as Randomized
    from bptt_verify.estimators import Window as Window
    from bptt_verify.kernels.updates import clip_by_norm as clip_by_norm
    from bptt_verify.kernels.updates import clipped_update as clipped_update
    from bptt_verify.language import Feedback as Feedback
    from bptt_verify.language import Input as Input
    from bptt_verify.language import Param as Param
    from bptt_verify.language import Recurrence as Recurrence
    from bptt_verify.language import State as State
    from bptt_verify.language import Step as Step
    from bptt_verify.language import Target as Target
    from bptt_verify.language import atan as atan
    from bptt_verify.language import cos as cos
    from bptt_verify.language import cosh as cosh
    from bptt_verify.language import dot as dot
    from bptt_verify.language import erf as erf
    from bptt_verify.language import exp as exp
    from bptt_verify.language import log as log
    from bptt_verify.language import mean as mean
    from bptt_verify.language import pointwise as pointwise
    from bptt_verify.language import recurrence as recurrence
    from bptt_verify.language import relu as relu
    from bptt_verify.language import run as run
    from bptt_verify.language import sigmoid as sigmoid
    from bptt_verify.language import sigmoid_cross_entropy as sigmoid_cross_entropy
    from bptt_verify.language import sin as sin
    from bptt_verify.language import sinh as sinh
    from bptt_verify.language import softmax as softmax
    from bptt_verify.language import softmax_cross_entropy as softmax_cross_entropy
    from bptt_verify.language import softplus as softplus
    from bptt_verify.language import sqrt as sqrt
    from bptt_verify.language import squared_error as squared_error
    from bptt_verify.language import sum as sum
    from bptt_verify.language import tan as tan
    from bptt_verify.language import tanh as tanh
    from bptt_verify.language import with_feedback as with_feedback
    from bptt_verify.language import with_sizes as with_sizes
    from bptt_verify.verdict import Evidence as Evidence
    from bptt_verify.verdict import Finding as Finding
    from bptt_verify.verdict import Report as Report
    from bptt_verify.verify import Campaign as Campaign
    from bptt_verify.verify import Power as Power
    from bptt_verify.verify import adapt as adapt
    from bptt_verify.verify import assert_clip as assert_clip
    from bptt_verify.verify import assert_clipped_update as assert_clipped_update
    from bptt_verify.verify import assert_gradient as assert_gradient
    from bptt_verify.verify import assert_lipschitz as assert_lipschitz
    from bptt_verify.verify import assert_truncated as assert_truncated
    from bptt_verify.verify import assert_unbiased as assert_unbiased
    from bptt_verify.verify import campaign as campaign
    from bptt_verify.verify import check_clip as check_clip
    from bptt_verify.verify import check_clipped_update as check_clipped_update
    from bptt_verify.verify import check_gradient as check_gradient
    from bptt_verify.verify import check_lipschitz as check_lipschitz
    from bptt_verify.verify import check_truncated as check_truncated
    from bptt_verify.verify import check_unbiased as check_unbiased
    from bptt_verify.verify import power as power

# Where each public name lives.
_ROOMS = {
    "analysis": """Bound Expectation ExposureTerms FormulaReport LagProfile OptimalSchedule TruncationBias
        assert_formula check_formula expectation exposure_terms lag_profile lipschitz_bound optimal_schedule
        truncation_bias""",
    "certification": "Certificate certify recheck",
    "codegen": "Kernel generate generate_update",
    "derivation": "Derivation derive",
    "errors": """ArrayError BpttVerifyError CertificateError CheckFailedError FormulaError NameRefusedError
        RecurrenceError SizeError UnsupportedError UsageError VarianceWarning""",
    "estimators": "Chunks Full Geometric Randomized Window",
    "kernels.updates": "clip_by_norm clipped_update",
    "language": """Feedback Input Param Recurrence State Step Target atan cos cosh dot erf exp log mean
        pointwise recurrence relu run sigmoid sigmoid_cross_entropy sin sinh softmax softmax_cross_entropy
        softplus sqrt squared_error sum tan tanh with_feedback with_sizes""",
    "verdict": "Evidence Finding Report",
    "verify": """Campaign Power adapt assert_clip assert_clipped_update assert_gradient assert_lipschitz
        assert_truncated assert_unbiased campaign check_clip check_clipped_update check_gradient
        check_lipschitz check_truncated check_unbiased power""",
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = ["__version__", "cells", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name == "cells":
        return importlib.import_module("bptt_verify.cells")
    if name not in _HOME:
        raise AttributeError(f"module 'bptt_verify' has no attribute {name!r}; see bptt_verify.__all__")
    value = getattr(importlib.import_module(f"bptt_verify.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def _hypothesis_setup_hook() -> None:
    """Called by Hypothesis when it is imported: strategies of our types, where these are in use already.

    Otherwise ``bptt_verify.testing`` registers them; a test without the library must not pay for it.
    """
    if "bptt_verify.language" in sys.modules:
        importlib.import_module("bptt_verify.testing.strategies")
