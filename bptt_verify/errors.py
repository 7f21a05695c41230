"""Every error the library raises, under one root.

A message follows one pattern: ``what: name=value …; expected …. What to do.``
"""

from __future__ import annotations


class BpttVerifyError(Exception):
    """Root of all errors raised on purpose by this library."""


class RecurrenceError(BpttVerifyError):
    """The function given to ``recurrence`` is not a well-formed recurrence."""


class SizeError(RecurrenceError):
    """Two values whose sizes do not fit meet in an operation."""


class NameRefusedError(RecurrenceError):
    """A name cannot be used: a keyword, reserved, bound twice, or not an identifier."""


class ArrayError(BpttVerifyError):
    """An array handed in at call time is missing, unknown, or has the wrong shape or dtype."""


class UnsupportedError(BpttVerifyError):
    """A request is well-formed but outside what is implemented; the message lists what is."""


class UsageError(BpttVerifyError):
    """A wrong argument to a public function or a command of the command line."""


class ProofError(BpttVerifyError):
    """A rule of the proof kernel refuses: a side condition does not hold, or a term has another form."""


class VarianceWarning(UserWarning):
    """The variance of a gradient estimator grows exponentially in the number of steps."""


class CertificateError(BpttVerifyError):
    """A certificate cannot be read or does not have the expected form."""


class FormulaError(BpttVerifyError):
    """A formula cannot be read, or asks for more than a formula can.

    Attributes
    ----------
    position : int or None
        Of the character at which reading stopped; the message shows it with a caret.
    """

    def __init__(self, what: str, text: str = "", position: int | None = None) -> None:
        super().__init__(what if position is None else f"{what}\n{_pointed(text, position)}")
        self.position = position


def _pointed(text: str, position: int) -> str:
    """The part of a text around a position, and a caret below it."""
    start = max(0, position - 40)
    line = text[start : position + 30]
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return f"    {shown}\n    {' ' * (position - start)}^ (character {position + 1})"


class CheckFailedError(BpttVerifyError, AssertionError):
    """Raised by the ``assert_…`` twins of the checks; carries the report.

    Attributes
    ----------
    report : Report
        What was found.
    """

    def __init__(self, report: object) -> None:
        super().__init__(str(report))
        self.report = report
