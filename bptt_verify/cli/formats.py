"""An outcome as JSON, JUnit XML and SARIF."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from bptt_verify import __version__
from bptt_verify.certification.certificate import strict_json
from bptt_verify.cli.guard import EXIT, printable
from bptt_verify.cli.outcome import Outcome, Place, Row

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_json(outcome: Outcome) -> str:
    """Everything that is known, as strict JSON."""
    return dumped({
        "command": outcome.command,
        "subject": outcome.subject,
        "verdict": outcome.verdict,
        "exit_code": EXIT[outcome.verdict],
        "seed": outcome.seed,
        "evidence": [_row(r) for r in outcome.rows],
        "diagnosis": outcome.diagnosis,
        "smallest": outcome.smallest,
        "script": outcome.script,
        "differences": outcome.differences,
        "notes": outcome.notes,
        "files": outcome.files,
    })  # fmt: skip


def dumped(data: Any) -> str:
    """Strict JSON."""
    return json.dumps(strict_json(data), indent=2, allow_nan=False)


def _row(row: Row) -> dict[str, Any]:
    head = {"rung": row.rung, "title": row.title}
    return (
        {**head, "verdict": "not run", "reason": row.reason}
        if row.evidence is None
        else {**head, **asdict(row.evidence)}
    )


def as_junit(outcome: Outcome) -> str:
    """One test case for every piece of evidence, and one for the comparison with a certificate."""
    cases = [_case(outcome, row) for row in outcome.rows]
    if outcome.command == "recheck":
        cases.append(_comparison(outcome))
    counts: dict[str, str] = {"tests": str(len(cases))}
    for total, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        counts[total] = str(sum(case.find(kind) is not None for case in cases))
    root = ElementTree.Element("testsuites", {"name": "bptt-verify", **counts})
    title = printable(f"{outcome.command} {outcome.subject}")
    suite = ElementTree.SubElement(root, "testsuite", {"name": title, **counts})
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (
        ("verdict", outcome.verdict),
        ("seed", outcome.seed),
        ("diagnosis", outcome.diagnosis),
        ("smallest", outcome.smallest),
        ("script", outcome.script),
    ):
        if value is not None:
            ElementTree.SubElement(properties, "property", name=name, value=printable(str(value)))
    suite.extend(cases)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode")


def _case(outcome: Outcome, row: Row) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname=f"bptt_verify.{outcome.command}", name=printable(row.name)
    )
    if row.evidence is None:
        ElementTree.SubElement(case, "skipped", message=printable(row.reason))
        return case
    kind = {"refuted": "failure", "inconclusive": "error"}.get(row.evidence.verdict)
    if kind:
        texts = [f.what for f in row.evidence.findings] or [row.evidence.summary]
        problem = ElementTree.SubElement(case, kind, type=row.evidence.verdict, message=printable(texts[0]))
        problem.text = printable("\n".join(texts))
    ElementTree.SubElement(case, "system-out").text = printable(f"{row.evidence.how}: {row.evidence.summary}")
    return case


def _comparison(outcome: Outcome) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname="bptt_verify.recheck", name="the certificate is unchanged"
    )
    if outcome.differences:
        problem = ElementTree.SubElement(
            case, "failure", type="refuted", message=printable(outcome.differences[0])
        )
        problem.text = printable("\n".join(outcome.differences))
    return case


def as_sarif(outcome: Outcome) -> str:
    """SARIF 2.1.0: an error for everything that is wrong, an open result for what cannot be told."""
    rules = {_rule(r): r.name for r in outcome.rows if r.evidence}
    if outcome.command == "recheck":
        rules["certificate"] = "the certificate is unchanged"
    run = {
        "tool": {
            "driver": {
                "name": "bptt-verify",
                "version": __version__,
                "rules": [{"id": k, "shortDescription": {"text": v}} for k, v in rules.items()],
            }
        },
        "invocations": [{"executionSuccessful": True, "exitCode": EXIT[outcome.verdict]}],
        "results": [{**result, "locations": _locations(place)} for result, place in _results(outcome)],
        "properties": {"subject": outcome.subject, "verdict": outcome.verdict, "seed": outcome.seed},
    }
    return dumped({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]})


def _results(outcome: Outcome) -> Iterator[tuple[dict[str, Any], Place | None]]:
    """What is wrong or open, and where."""
    cause = f". Likely cause: {outcome.diagnosis}" if outcome.diagnosis else ""
    cause += f". Smallest found: {outcome.smallest}" if outcome.smallest else ""
    for row in outcome.rows:
        e, place = row.evidence, row.place or outcome.place
        if e is not None and e.verdict == "refuted":
            for text in [f.what for f in e.findings] or [e.summary]:
                yield _result(_rule(row), "fail", "error", text + cause), place
        if e is not None and e.verdict == "inconclusive":
            yield _result(_rule(row), "open", "none", e.summary), place
    for text in outcome.differences:
        yield _result("certificate", "fail", "error", text), outcome.place


def _result(rule: str, kind: str, level: str, text: str) -> dict[str, Any]:
    return {"ruleId": rule, "kind": kind, "level": level, "message": {"text": text}}


def _rule(row: Row) -> str:
    return re.sub(r"[^a-z0-9]+", "-", row.name.lower()).strip("-")


def _locations(place: Place | None) -> list[dict[str, Any]]:
    if place is None:
        return []
    file = place.file.absolute()
    artifact = {"uri": file.as_uri()}
    if file.is_relative_to(Path.cwd()):
        artifact = {"uri": quote(file.relative_to(Path.cwd()).as_posix()), "uriBaseId": "%SRCROOT%"}
    return [{"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": max(1, place.line)}}}]
