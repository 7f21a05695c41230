"""Gradient tests for pytest, unittest and Hypothesis: ``gradient_test``, ``strategies``, a fixture."""

from bptt_verify.testing import strategies
from bptt_verify.testing.examples import Example
from bptt_verify.testing.failures import GradientTestFailedError
from bptt_verify.testing.fixture import Checks
from bptt_verify.testing.properties import GradientTest, gradient_test

__all__ = ["Checks", "Example", "GradientTest", "GradientTestFailedError", "gradient_test", "strategies"]
