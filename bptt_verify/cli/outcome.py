"""What came of a command, in one form for all commands and all formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bptt_verify.certification import Certificate
from bptt_verify.verdict import Evidence, Finding, Report, Verdict


@dataclass(frozen=True)
class Place:
    """A file, and a line in it (counted from 1)."""

    file: Path
    line: int = 1


@dataclass(frozen=True)
class Row:
    """One piece of evidence, and the rung it belongs to; without evidence, the reason why there is none.

    Attributes
    ----------
    evidence : Evidence or None
    rung : int or None
    title : str
    reason : str
    place : Place or None
        What it is about, if that is not the subject of the whole outcome.
    """

    evidence: Evidence | None
    rung: int | None = None
    title: str = ""
    reason: str = ""
    place: Place | None = None

    @property
    def name(self) -> str:
        """Rung and evidence in a few words, unique within an outcome."""
        parts = (
            f"rung {self.rung}" if self.rung else "",
            self.title,
            self.evidence.name if self.evidence else "",
        )
        return ": ".join(dict.fromkeys(p for p in parts if p))


@dataclass(frozen=True)
class Outcome:
    """The result of ``certify``, ``check``, ``recheck`` or ``prove``.

    Attributes
    ----------
    command : str
    subject : str
        What was looked at.
    verdict : {"verified", "refuted", "inconclusive"}
    rows : tuple of Row
    place : Place or None
        Where the subject is written, if known.
    seed : int or None
    diagnosis, cause : str or None
        The known mistake; the same in words also where there is none.
    smallest, script : str or None
        The smallest sizes at which it is wrong, and a program that shows it.
    differences : tuple of str
        What does not match a certificate.
    notes : tuple of str
    files : mapping of str to str
        What was written, by kind.
    """

    command: str
    subject: str
    verdict: Verdict
    rows: tuple[Row, ...]
    place: Place | None = None
    seed: int | None = None
    diagnosis: str | None = None
    cause: str | None = None
    smallest: str | None = None
    script: str | None = None
    differences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, in the order of the evidence."""
        return tuple(f for r in self.rows if r.evidence for f in r.evidence.findings)


def rungs(certificate: Certificate) -> Iterator[Row]:
    """The evidence of a certificate, rung by rung."""
    for r in certificate.rungs:
        if not r.evidence:
            yield Row(None, r.number, r.name, r.reason)
        for e in r.evidence:
            yield Row(e, r.number, r.name)


def of_report(command: str, report: Report, place: Place | None) -> Outcome:
    """The outcome of a check."""
    return Outcome(
        command, report.subject, report.verdict, tuple(Row(e) for e in report.evidence),
        place, report.seed, report.diagnosis, report.cause, report.smallest, report.script,
        notes=report.notes,
    )  # fmt: skip
