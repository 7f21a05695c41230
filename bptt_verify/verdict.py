"""What a check says: findings, the evidence they rest on, and one of three verdicts.

The words of how something is known are never mixed: *proved* (for all T and all sizes, by steps a
machine checked), *checked* (exactly, at listed sizes, by an independent computation), *tested*
(numerically, at listed points, with stated tolerances).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["verified", "refuted", "inconclusive"]
Knowledge = Literal["proved", "checked", "tested"]


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """One failing part refutes; one that cannot tell (or nothing at all) leaves the whole open."""
    seen = set(verdicts)
    if "refuted" in seen:
        return "refuted"
    return "verified" if seen == {"verified"} else "inconclusive"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and where.

    Attributes
    ----------
    what : str
        A sentence for a person.
    block : str or None
        The parameter, input or initial state whose gradient is concerned.
    index : tuple of int or None
        Position of the worst element in that block.
    step : int or None
        First step t (counted from 1) at which it shows, where that could be found.
    found, expected : float or None
        The two numbers at ``index``.
    error : float or None
        Largest error in the block relative to the block's scale.
    case : str or None
        Name of the inputs on which it was found.
    """

    what: str
    block: str | None = None
    index: tuple[int, ...] | None = None
    step: int | None = None
    found: float | None = None
    expected: float | None = None
    error: float | None = None
    case: str | None = None

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True)
class Evidence:
    """The outcome of one independent way of looking.

    Attributes
    ----------
    name : str
        Short name of the way, such as ``"complex step"``.
    how : {"proved", "checked", "tested"}
        What kind of knowledge it can give.
    verdict : {"verified", "refuted", "inconclusive"}
    summary : str
        One line with the numbers that matter: sizes, worst error, tolerance.
    findings : tuple of Finding
        What is wrong; empty unless refuted.
    numbers : mapping of str to float
        The measured numbers, for machines.
    """

    name: str
    how: Knowledge
    verdict: Verdict
    summary: str
    findings: tuple[Finding, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """The result of a check.

    Attributes
    ----------
    subject : str
        What was checked, against what.
    evidence : tuple of Evidence
    diagnosis : str or None
        The known mistake that reproduces the wrong numbers, if one does.
    notes : tuple of str
        What was not checked, and other facts the reader must know.
    seed : int or None
        Seed of the random inputs, so that the run can be repeated.
    smallest : str or None
        The smallest sizes found at which a refuted function is still wrong.
    script : str or None
        A program that checks a refuted function there.
    """

    subject: str
    evidence: tuple[Evidence, ...]
    diagnosis: str | None = None
    notes: tuple[str, ...] = ()
    seed: int | None = None
    smallest: str | None = None
    script: str | None = None

    @property
    def verdict(self) -> Verdict:
        """``"verified"``, ``"refuted"`` or ``"inconclusive"``."""
        return combine(e.verdict for e in self.evidence)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, in the order of the evidence."""
        return tuple(f for e in self.evidence for f in e.findings)

    @property
    def cause(self) -> str | None:
        """The diagnosis; where numbers are wrong and none was found, words that say so."""
        numbers = any(f.found is not None for f in self.findings)
        return self.diagnosis or ("no known mistake was found that gives these numbers" if numbers else None)

    def __str__(self) -> str:
        lines = [f"{self.verdict.upper()}: {self.subject}"]
        lines += [f"  where: {f.what}" for f in self.findings[:8]]
        if len(self.findings) > 8:
            lines.append(f"  … and {len(self.findings) - 8} more findings")
        if self.cause:
            lines.append(f"  likely cause: {self.cause}")
        if self.smallest:
            lines.append(f"  smallest found: {self.smallest}")
        if self.script:
            lines += ["  to reproduce:", "", *(f"    {s}".rstrip() for s in self.script.splitlines()), ""]
        lines += [f"  {e.how} {e.verdict}: {e.name}: {e.summary}" for e in self.evidence]
        lines += [f"  note: {n}" for n in self.notes]
        if self.seed is not None:
            lines.append(f"  repeat with rng={self.seed}")
        return "\n".join(lines)
