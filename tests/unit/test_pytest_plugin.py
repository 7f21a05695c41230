"""The pytest plugin, in pytest runs of its own."""

import subprocess
import sys

import pytest

import bptt_verify.testing  # noqa: F401 — a run in this process must not be the first to import NumPy

pytest_plugins = ["pytester"]

CHECKS = """
import bptt_verify as bv
from bptt_verify.testing import gradient_test

kernel = bv.generate(bv.cells.linear)

def wrong(**arrays):
    loss, grads = kernel.loss_and_grad(**arrays)
    return loss, {name: 2 * g for name, g in grads.items()}

def test_right(bptt):
    assert bptt.assert_gradient(kernel.loss_and_grad, bv.cells.linear).verdict == "verified"

def test_wrong_is_reported(bptt):
    assert bptt.check(wrong, bv.cells.linear).verdict == "refuted"

def test_wrong(bptt):
    bptt.assert_gradient(wrong, bv.cells.linear)

test_property = gradient_test(bv.cells.linear)(kernel.loss_and_grad)
test_wrong_property = gradient_test(bv.cells.linear)(wrong)
"""


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
            "*CheckFailedError: REFUTED: wrong against the recurrence linear*",
            "*repeat with rng=3*",
            "*GradientTestFailedError: REFUTED: wrong against the recurrence linear*",
            "*smallest found: T=1, B=1*",
            "*likely cause: *",
            "*gradient checks: 2 verified, 3 refuted*",
            "REFUTED wrong against the recurrence linear [[]*test_wrong]",
            "REFUTED wrong against the recurrence linear (smallest: T=1, B=1, *) [[]*test_wrong_property]",
            "-v lists the verified ones too",
        ]
    )
    result.stdout.no_fnmatch_line("VERIFIED*")


def test_verbose_summary_lists_all_and_counts_examples(pytester):
    pytester.makepyfile(CHECKS)
    result = pytester.runpytest("-n0", "-v", "--bptt-examples=5", "-k", "test_right or test_property")
    result.stdout.fnmatch_lines(
        [
            "VERIFIED Kernel.loss_and_grad against the recurrence linear [[]*test_right]",
            "VERIFIED Kernel.loss_and_grad against the recurrence linear (5 examples) [[]*test_property]",
        ]
    )


def test_workers_report_to_the_same_summary(pytester):
    pytester.makepyfile(CHECKS)
    result = pytester.runpytest_subprocess(
        "-n1", "--bptt-examples=5", "-k", "right or reported or test_property"
    )
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*gradient checks: 2 verified, 1 refuted*"])


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
        import bptt_verify as bv
        import pytest

        rec = bv.cells.linear

        def test_truncated(bptt):
            window = bv.generate(rec, estimator=bv.Window(2)).loss_and_grad
            bptt.assert_truncated(window, rec, bv.Window(2))
            with pytest.raises(bv.CheckFailedError):
                bptt.assert_truncated(window, rec, bv.Window(3))

        def test_unbiased(bptt):
            kernel = bv.generate(rec, estimator=bv.Randomized(0.5))
            bptt.assert_unbiased(kernel.loss_and_grad, rec, pi=0.5)
            full = bv.generate(rec).loss_and_grad
            with pytest.raises(bv.CheckFailedError):
                bptt.assert_gradient(lambda **a: (0.0, full(**a)[1]), rec, rng=1)
        """
    )
    pytester.runpytest("-n0", "--bptt-seed=0").assert_outcomes(passed=2)


def test_hypothesis_registers_our_types_only_where_they_are_in_use():
    code = "import sys{}, hypothesis; print('bptt_verify.testing.strategies' in sys.modules)"
    for first, expected in (("", "False"), (", bptt_verify.language", "True")):
        shown = subprocess.check_output([sys.executable, "-c", code.format(first)], text=True)
        assert shown.strip() == expected
