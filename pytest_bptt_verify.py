"""The pytest plugin: the fixture ``bptt``, two options, and a summary of what was checked.

It imports nothing of the library before a test uses it: a run without gradient checks pays nothing, and
coverage of the library starts in time. PYTEST_DONT_REWRITE: there is no assertion in it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from bptt_verify.testing import Checks

KEY = "bptt_verify"  # of the entries in a report's user_properties, which xdist brings to the main process

VERDICTS = ("verified", "refuted", "inconclusive")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Two options."""
    group = parser.getgroup("bptt_verify", "gradient checks")
    group.addoption(
        "--bptt-seed", type=int, metavar="SEED", help="seed of every gradient check (default: a fresh one)"
    )
    group.addoption(
        "--bptt-examples", type=int, metavar="N", help="examples of every gradient_test that names no number"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what no check could use."""
    seed, examples = config.getoption("--bptt-seed"), config.getoption("--bptt-examples")
    if seed is not None and seed < 0:
        raise pytest.UsageError(f"--bptt-seed={seed}; expected a number, 0 or more.")
    if examples is not None and examples < 1:
        raise pytest.UsageError(f"--bptt-examples={examples}; expected a number, 1 or more.")


@pytest.fixture
def bptt(request: pytest.FixtureRequest) -> Checks:
    """Gradient checks: ``bptt.assert_gradient(fn, rec)``, ``bptt.check(fn, rec)`` and others."""
    from bptt_verify.testing import Checks

    def record(verdict: str, subject: str) -> None:
        request.node.user_properties.append((KEY, f"{verdict}: {subject}"))

    return Checks(record, request.config.getoption("--bptt-seed"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Give a gradient_test the options, and note what came out."""
    tested: Any = getattr(getattr(item, "obj", None), "bptt", None)
    if type(tested).__module__ != "bptt_verify.testing.properties":
        return (yield)
    tested.configure(item.config.getoption("--bptt-seed"), item.config.getoption("--bptt-examples"))
    try:
        return (yield)
    finally:
        if tested.report is not None:
            noted = f"{tested.report.verdict}: {tested.subject} ({tested.counted})"
            item.user_properties.append((KEY, noted))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was checked, a line each; nothing where nothing was."""
    lines = sorted(_noted(terminalreporter.stats))
    if not lines:
        return
    found = [verdict for verdict, _, _ in lines]
    shown = ", ".join(f"{found.count(v)} {v}" for v in VERDICTS if v in found)
    terminalreporter.section(f"gradient checks: {shown}")
    all_shown = terminalreporter.config.getoption("verbose") > 0
    for verdict, subject, where in lines:
        if all_shown or verdict != "verified":
            terminalreporter.line(f"{verdict.upper()} {subject} [{where}]")
    if "verified" in found and not all_shown:
        terminalreporter.line("-v lists the verified ones too")


def _noted(stats: dict[str, list[Any]]) -> Iterator[tuple[str, str, str]]:
    """Verdict, subject and test of every check, from the reports of the tests' calls."""
    for reports in stats.values():
        for report in reports:
            if getattr(report, "when", None) != "call" and not _broken_setup(report):
                continue
            for key, value in report.user_properties:
                if key == KEY:
                    verdict, _, subject = value.partition(": ")
                    yield verdict, subject, report.nodeid


def _broken_setup(report: Any) -> bool:
    return getattr(report, "when", None) == "setup" and report.failed
