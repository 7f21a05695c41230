"""What the fixture ``bptt`` of the pytest plugin is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bptt_verify.errors import CheckFailedError
from bptt_verify.language import Recurrence
from bptt_verify.verdict import Report
from bptt_verify.verify import check_gradient, check_truncated, check_unbiased

Record = Callable[[str, str], None]
Against = Recurrence | Callable[..., Any]


class Checks:
    """The checks, with the seed of the run, noted for the summary at its end.

    Parameters
    ----------
    record : callable
        ``record(verdict, subject)``.
    seed : int or None
        Of every check that is given no ``rng=``; None draws a fresh one each time, which the report states.
    """

    def __init__(self, record: Record, seed: int | None = None) -> None:
        self._record, self.seed = record, seed

    def check(self, fn: Callable[..., Any], against: Against, **options: Any) -> Report:
        """As ``bptt_verify.check_gradient``."""
        return self._noted(check_gradient(fn, against, **self._seeded(options)))

    def assert_gradient(self, fn: Callable[..., Any], against: Against, **options: Any) -> Report:
        """As ``bptt_verify.assert_gradient``: raises CheckFailedError unless verified."""
        __tracebackhide__ = True
        return _verified(self.check(fn, against, **options))

    def assert_truncated(
        self, fn: Callable[..., Any], rec: Recurrence, estimator: Any, **options: Any
    ) -> Report:
        """As ``bptt_verify.assert_truncated``."""
        __tracebackhide__ = True
        return _verified(self._noted(check_truncated(fn, rec, estimator, **self._seeded(options))))

    def assert_unbiased(self, fn: Callable[..., Any], rec: Recurrence, **options: Any) -> Report:
        """As ``bptt_verify.assert_unbiased``."""
        __tracebackhide__ = True
        return _verified(self._noted(check_unbiased(fn, rec, **self._seeded(options))))

    def _seeded(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"rng": self.seed, **options}

    def _noted(self, report: Report) -> Report:
        self._record(report.verdict, report.subject)
        return report


def _verified(report: Report) -> Report:
    __tracebackhide__ = True
    if report.verdict != "verified":
        raise CheckFailedError(report)
    return report
