"""The report on a refuted function: its cause and its script are found when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from bptt_verify.verdict import Evidence, Report

FAILED = "the search for the cause failed, which is a defect of bptt_verify:"
Reproduction = tuple[str | None, str | None]  # the smallest sizes, and a script


class RefutedReport(Report):
    """A report that goes on looking when its diagnosis or its script is read, printed or compared.

    Most callers want the verdict alone: a test of a test asks a hundred times. The function under test must
    still be what it was then. A pickled report is a plain one.
    """

    _cause: Callable[[], str | None]
    _reproduction: Callable[[], Reproduction]

    def __init__(
        self,
        subject: str,
        evidence: tuple[Evidence, ...],
        notes: tuple[str, ...],
        seed: int | None,
        cause: Callable[[], str | None],
        reproduction: Callable[[], Reproduction],
    ) -> None:
        values = {"subject": subject, "evidence": evidence, "notes": notes, "seed": seed}
        vars(self).update(values, _cause=cause, _reproduction=reproduction)  # the class is frozen

    @cached_property
    def diagnosis(self) -> str | None:
        """The known mistake that reproduces the wrong numbers, if one does."""
        try:
            return self._cause()
        except Exception as error:  # the verdict stands, whatever happens to the search
            return f"unknown: {FAILED} {type(error).__name__}: {error}"

    @cached_property
    def _reproduced(self) -> Reproduction:
        return self._reproduction()

    @property
    def smallest(self) -> str | None:
        """The smallest sizes found at which the function is still wrong."""
        return self._reproduced[0]

    @property
    def script(self) -> str | None:
        """A program that checks the function there."""
        return self._reproduced[1]

    def __reduce__(self) -> tuple[Any, ...]:
        values = (
            self.subject,
            self.evidence,
            self.diagnosis,
            self.notes,
            self.seed,
            self.smallest,
            self.script,
        )
        return Report, values
