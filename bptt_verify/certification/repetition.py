"""``recheck``: derive again what a certificate names, compare, and run the checks again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bptt_verify.certification.certificate import Certificate, sha256, versions
from bptt_verify.certification.ladder import Progress, certify, hashes
from bptt_verify.codegen import generate
from bptt_verify.language import Recurrence
from bptt_verify.verdict import Verdict


@dataclass(frozen=True)
class Recheck:
    """What came of a recheck.

    Attributes
    ----------
    verdict : {"verified", "refuted", "inconclusive"}
    differences : tuple of str
        What does not match the certificate.
    notes : tuple of str
        Differences that newer versions explain.
    certificate : Certificate
        The new one.
    """

    verdict: Verdict
    differences: tuple[str, ...]
    notes: tuple[str, ...]
    certificate: Certificate

    def __str__(self) -> str:
        lines = [f"{self.verdict.upper()}: recheck of the certificate of {self.certificate.name}"]
        lines += [f"  differs: {d}" for d in self.differences]
        lines += [f"  note: {n}" for n in self.notes]
        return "\n".join([*lines, str(self.certificate)])


def recheck(
    old: Certificate, rec: Recurrence, kernel_file: Path | None = None, *, progress: Progress | None = None
) -> Recheck:
    """Derive, generate and check again, and compare with a certificate.

    Parameters
    ----------
    old : Certificate
    rec : Recurrence
        The recurrence the certificate names, from its own file or the catalogue.
    kernel_file : Path, optional
        The kernel that was written beside the certificate; compared as text, never executed.
    progress : callable, optional
        As for ``certify``.
    """
    kernel = generate(rec, style=old.style, feedback=old.feedback)
    extra: dict[str, Any] = {} if progress is None else {"progress": progress}
    new = certify(kernel, seed=old.seed, **extra)
    now = hashes(kernel)
    differences, notes = [], []
    upgraded = _upgrades(old)
    if kernel_file is not None:
        text = kernel_file.read_text(encoding="utf-8", errors="replace") if kernel_file.is_file() else None
        if text is None:
            notes.append(f"the kernel {kernel_file} is not there and was not compared")
        elif sha256(text) != old.hashes.get("source"):
            differences.append(f"the kernel {kernel_file} is not the one that was certified")
    for what in ("recurrence", "programs", "source"):
        if now[what] != old.hashes.get(what):
            then = old.hashes.get(what, "missing")
            text = f"hash of the {what}: {then:.16}… in the certificate, {now[what]:.16}… now"
            (notes if upgraded and what != "recurrence" else differences).append(text)
    if not upgraded:
        for text, untold in _changed_rungs(old, new):
            (notes if untold else differences).append(text)
    elif old.verdict != new.verdict:
        notes.append(f"the verdict was {old.verdict}, and is {new.verdict} with these versions")
    notes += [f"other version: {u}" for u in upgraded]
    verdict: Verdict = "refuted" if differences else new.verdict
    return Recheck(verdict, tuple(differences), tuple(notes), new)


def _upgrades(old: Certificate) -> list[str]:
    now = versions()
    return [
        f"{k} {old.versions.get(k, 'unknown')} then, {v} now"
        for k, v in now.items()
        if old.versions.get(k) != v
    ]


def _changed_rungs(old: Certificate, new: Certificate) -> list[tuple[str, bool]]:
    """Rungs whose stated verdicts are not those that the same versions find again.

    Each with whether one of the two could not tell: that may be for lack of time on a slower machine.
    """
    before = {(r.number, e.name): str(e.verdict) for r in old.rungs for e in r.evidence}
    after = {(r.number, e.name): str(e.verdict) for r in new.rungs for e in r.evidence}
    changed = []
    for number, name in dict.fromkeys([*before, *after]):
        then, now = before.get((number, name), "missing"), after.get((number, name), "missing")
        if then != now:
            text = f"rung {number}, {name}: {then} in the certificate, {now} now"
            changed.append((text, "inconclusive" in (then, now)))
    return changed
