"""The pytest plugin, in pytest runs of its own."""

import subprocess
import sys

import pytest

import bptt_verify.testing  # noqa: F401 — a run in this process must not be the first to import NumPy

pytest_plugins = ["pytester"]

QUICK = """
import numpy as np
import bptt_verify as bv

def loss(x):
    return np.sum(x**2)

def right(x):
    return loss(x), {"x": 2 * x}

def wrong(x):
    return loss(x), {"x": x.copy()}

inputs = {"x": np.array([1.0, 2.0])}

def test_right(bptt):
    assert bptt.assert_gradient(right, loss, inputs=inputs).verdict == "verified"

def test_wrong_is_reported(bptt):
    assert bptt.check(wrong, loss, inputs=inputs).verdict == "refuted"

def test_wrong(bptt):
    bptt.assert_gradient(wrong, loss, inputs=inputs)
"""

CHECKS = (
    QUICK
    + """
from bptt_verify.testing import gradient_test

kernel = bv.generate(bv.cells.linear)

def doubled(**arrays):
    loss, grads = kernel.loss_and_grad(**arrays)
    return loss, {name: 2 * g for name, g in grads.items()}

test_property = gradient_test(bv.cells.linear)(kernel.loss_and_grad)
test_wrong_property = gradient_test(bv.cells.linear)(doubled)
"""
)


@pytest.fixture(autouse=True)
def one_process(pytester):
    """Quiet runs, which write no examples where the tests are run."""
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = -p no:cacheprovider")


def test_summary_names_what_was_checked(pytester):
    pytester.makepyfile(CHECKS)
    result = pytester.runpytest("-n0", "--bptt-seed=3", "--bptt-examples=5")
    result.assert_outcomes(passed=3, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*CheckFailedError: REFUTED: wrong against the loss loss*",
            "*repeat with rng=3*",
            "*GradientTestFailedError: REFUTED: doubled against the recurrence linear*",
            "*smallest found: T=1, B=1*",
            "*likely cause: *",
            "*gradient checks: 2 verified, 3 refuted*",
            "REFUTED doubled against the recurrence linear (smallest: T=1, B=1, *) [[]*test_wrong_property]",
            "REFUTED wrong against the loss loss [[]*test_wrong]",
            "-v lists the verified ones too",
        ]
    )
    result.stdout.no_fnmatch_line("VERIFIED*")


def test_verbose_summary_lists_all_and_counts_examples(pytester):
    pytester.makepyfile(CHECKS)
    result = pytester.runpytest("-n0", "-v", "--bptt-examples=5", "-k", "test_right or test_property")
    result.stdout.fnmatch_lines(
        [
            "VERIFIED Kernel.loss_and_grad against the recurrence linear (5 examples) [[]*test_property]",
            "VERIFIED right against the loss loss [[]*test_right]",
        ]
    )


def test_workers_report_to_the_same_summary(pytester):
    pytester.makepyfile(QUICK)
    result = pytester.runpytest("-n1", "-k", "right or reported")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*gradient checks: 1 verified, 1 refuted*"])


def test_test_cases_of_unittest(pytester):
    pytester.makepyfile(
        """
        import unittest
        import bptt_verify as bv
        from bptt_verify.testing import gradient_test

        class TestGradients(unittest.TestCase):
            test_linear = gradient_test(bv.cells.linear)(bv.generate(bv.cells.linear).loss_and_grad)

        class TestPlain:
            test_linear = gradient_test(bv.cells.linear)(bv.generate(bv.cells.linear).loss_and_grad)
        """
    )
    result = pytester.runpytest("-n0", "--bptt-examples=5", "-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*gradient checks: 2 verified*", "*(5 examples)*"])


def test_a_run_without_checks_shows_and_imports_nothing(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_imported():
            names = {"bptt_verify", "numpy", "sympy", "scipy"}
            assert not names.intersection(sys.modules)
        """
    )
    result = pytester.runpytest_subprocess("-n0")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*gradient checks*")


@pytest.mark.parametrize(
    ("option", "expected"), [("--bptt-seed=-1", "0 or more"), ("--bptt-examples=0", "1 or")]
)
def test_wrong_options_are_usage_errors(pytester, option, expected):
    result = pytester.runpytest("-n0", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{option}; expected*{expected}*"])


def test_fixture_has_the_other_checks(pytester):
    pytester.makepyfile(
        """
        import numpy as np
        import bptt_verify as bv
        import pytest

        rec = bv.cells.linear
        rng = np.random.default_rng(0)
        shapes = {"x": (4, 1, 1), "y": (4, 1, 1), "W_hx": (1, 1), "W_hh": (1, 1), "W_qh": (1, 1)}
        inputs = {name: rng.normal(size=shape) for name, shape in shapes.items()}

        def test_truncated(bptt):
            window = bv.generate(rec, estimator=bv.Window(2)).loss_and_grad
            bptt.assert_truncated(window, rec, bv.Window(2), inputs=inputs)
            with pytest.raises(bv.CheckFailedError):
                bptt.assert_truncated(window, rec, bv.Window(3), inputs=inputs)

        def test_unbiased(bptt):
            kernel = bv.generate(rec, estimator=bv.Randomized(0.5))
            bptt.assert_unbiased(kernel.loss_and_grad, rec, pi=0.5, inputs=inputs)
            full = bv.generate(rec).loss_and_grad
            with pytest.raises(bv.CheckFailedError):
                bptt.assert_gradient(lambda **a: (0.0, full(**a)[1]), rec, inputs=inputs, rng=1)
        """
    )
    pytester.runpytest("-n0", "--bptt-seed=0").assert_outcomes(passed=2)


def test_hypothesis_registers_our_types_only_where_they_are_in_use():
    code = """
import sys, hypothesis
from importlib.metadata import entry_points
print('bptt_verify.testing.strategies' in sys.modules)
import bptt_verify.language
next(e for e in entry_points(group='hypothesis') if e.value.startswith('bptt_verify:')).load()()
print('bptt_verify.testing.strategies' in sys.modules)
"""
    shown = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert shown.split() == ["False", "True"]
