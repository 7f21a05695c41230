"""A certificate: what was looked at, in which versions, with which seed, and what each rung found.

Its field ``digest`` is the SHA-256 of all its other fields. An edit by accident or without care no longer
fits it. It is no signature: who means to forge can compute it anew, which is why ``recheck`` runs
everything again and believes its own numbers only.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from bptt_verify.errors import CertificateError
from bptt_verify.verdict import Evidence, Finding, Report, Verdict, combine

FORMAT = 1
PACKAGES = ("bptt_verify", "numpy", "scipy", "sympy")


class CertificateChangedError(CertificateError):
    """The fields of a certificate contradict each other: it is not as it was written.

    Attributes
    ----------
    certificate : Certificate
        What it says all the same.
    """

    def __init__(self, message: str, certificate: Certificate) -> None:
        super().__init__(message)
        self.certificate = certificate


@dataclass(frozen=True)
class Rung:
    """One rung of the ladder: its number, whether it must pass, and its evidence (None: not run)."""

    number: int
    name: str
    mandatory: bool
    evidence: tuple[Evidence, ...]
    reason: str = ""
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict | str:
        """The combined verdict of its evidence; ``"not run"`` where there is none."""
        return combine(e.verdict for e in self.evidence) if self.evidence else "not run"


@dataclass(frozen=True)
class Certificate:
    """The result of ``certify``.

    Attributes
    ----------
    name : str
        Name of the recurrence.
    origin : str
        ``"bptt_verify.cells"`` or the file that defines it.
    style : str
        Style of the kernel.
    feedback : {"free", "teacher", "scheduled"}
        What a Feedback is fed.
    hashes : mapping
        SHA-256 of the recurrence's program, of the kernel's programs, and of the kernel's source.
    versions : mapping
    seed : int
    rungs : tuple of Rung
    """

    name: str
    origin: str
    style: str
    feedback: str
    hashes: Mapping[str, str]
    versions: Mapping[str, str]
    seed: int
    rungs: tuple[Rung, ...]

    @property
    def verdict(self) -> Verdict:
        """Refuted if one rung is; verified if every rung that ran, and every mandatory one, is."""
        if any(r.mandatory and not r.evidence for r in self.rungs):
            return combine([*(e.verdict for r in self.rungs for e in r.evidence), "inconclusive"])
        return combine(e.verdict for r in self.rungs for e in r.evidence)

    @property
    def report(self) -> Report:
        """All evidence as one report."""
        notes = tuple(f"rung {r.number}, {r.name}: {r.reason}" for r in self.rungs if r.reason)
        evidence = tuple(e for r in self.rungs for e in r.evidence)
        return Report(self.subject, evidence, None, notes, self.seed)

    @property
    def subject(self) -> str:
        """What is certified, in words."""
        return f"the kernel of {self.name}" + (f", feedback={self.feedback}" * (self.feedback != "free"))

    def to_json(self) -> str:
        """Strict JSON: no NaN, no infinity, keys sorted; with a digest of all other fields."""
        data = strict_json({
            "format": FORMAT,
            "name": self.name,
            "origin": self.origin,
            "style": self.style,
            "feedback": self.feedback,
            "verdict": self.verdict,
            "hashes": dict(self.hashes),
            "versions": dict(self.versions),
            "seed": self.seed,
            "rungs": [{**asdict(r), "verdict": r.verdict} for r in self.rungs],
        })  # fmt: skip
        data["digest"] = _digest(data)
        return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"

    def write(self, path: str | Path) -> Path:
        """Write the JSON to a file and return its path."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.to_json(), encoding="utf-8", errors="backslashreplace")
        return target

    @staticmethod
    def read(path: str | Path) -> Certificate:
        """Read a certificate.

        Raises
        ------
        CertificateError
            If the file cannot be read, is not strict JSON, or is not a certificate of this format.
        CertificateChangedError
            If it is one, but its digest or its verdict does not fit its other fields. The error's
            ``certificate`` is what it says all the same.
        """
        source = Path(path)
        try:
            text = source.read_text(encoding="utf-8")
            data = json.loads(text, parse_constant=_refuse, object_pairs_hook=_unique)
        except OSError as error:
            reason = error.strerror or error
            raise CertificateError(f"certificate {source}: {reason}; expected a readable file.") from error
        except (ValueError, RecursionError) as error:
            raise CertificateError(f"certificate {source}: not strict JSON ({error}).") from error
        return _consistent(_from_data(data, source), data, source)

    def __str__(self) -> str:
        lines = [f"{self.verdict.upper()}: {self.subject} (seed {self.seed})"]
        for r in self.rungs:
            lines.append(f"  {r.number:>2}  {r.name}: {r.verdict}" + (f" ({r.reason})" if r.reason else ""))
            for e in r.evidence:
                lines.append(f"        {e.how} {e.verdict}: {e.name}: {e.summary}")
                lines += [f"        where: {f.what}" for f in e.findings[:5]]
        return "\n".join(lines)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages whose results are certified."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            from bptt_verify import __version__

            found[package] = __version__
    return found


def sha256(text: str) -> str:
    """SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def strict_json(value: Any) -> Any:
    """The same as plain dicts, lists and numbers; numbers that JSON does not have become text."""
    if isinstance(value, Mapping):
        return {str(k): strict_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [strict_json(v) for v in value]
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    return float(value) if math.isfinite(value) else repr(float(value))


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _digest(data: Mapping[str, Any]) -> str:
    rest = {k: v for k, v in data.items() if k != "digest"}
    return sha256(json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False))


def _consistent(certificate: Certificate, data: Mapping[str, Any], source: Path) -> Certificate:
    try:
        fits = data.get("digest") == _digest(data)
    except ValueError as error:  # 1e999 is read as infinity
        raise CertificateError(f"certificate {source}: a number is out of range ({error}).") from error
    if data["verdict"] != certificate.verdict:
        message = f"verdict={data['verdict']!r:.40}, but its rungs say {certificate.verdict!r}"
    elif not fits:
        message = "its digest does not fit its other fields"
    else:
        return certificate
    raise CertificateChangedError(f"certificate {source}: {message}: it was changed.", certificate)


def _from_data(data: Any, source: Path) -> Certificate:
    try:
        if data["format"] != FORMAT:
            raise CertificateError(f"certificate {source}: format={data['format']!r}; expected {FORMAT}.")
        rungs = tuple(_rung(r) for r in data["rungs"])
        certificate = Certificate(
            str(data["name"]), str(data["origin"]), str(data["style"]), str(data.get("feedback", "free")),
            _texts(data["hashes"]), _texts(data["versions"]), int(data["seed"]), rungs,
        )  # fmt: skip
        _ = data["verdict"]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CertificateError(f"certificate {source}: {error!r}; expected its fields as written.") from error
    return certificate


def _texts(data: Mapping[str, Any]) -> dict[str, str]:
    return {k: str(v) for k, v in dict(data).items()}


def _rung(data: Mapping[str, Any]) -> Rung:
    evidence = tuple(_evidence(e) for e in data["evidence"])
    return Rung(data["number"], data["name"], data["mandatory"], evidence, data["reason"], data["seconds"])


def _evidence(data: Mapping[str, Any]) -> Evidence:
    findings = tuple(Finding(**{**f, "index": f["index"] and tuple(f["index"])}) for f in data["findings"])
    numbers = dict(data["numbers"])
    return Evidence(data["name"], data["how"], data["verdict"], data["summary"], findings, numbers)
