"""A certificate is strict JSON, reads back as it was written, and shows when it was edited."""

import json
import math
from dataclasses import replace

import pytest

import bptt_verify as bv
from bptt_verify.certification.certificate import CertificateChangedError, Rung, _digest
from bptt_verify.verdict import Evidence, Finding


def evidence(verdict="verified", **numbers):
    findings = (Finding("W is wrong", "W", (), 2, 1.0, math.nan, 0.5),) if verdict == "refuted" else ()
    return Evidence("complex step", "tested", verdict, "worst error 1e-16 at t ≤ 3", findings, numbers)


def certificate(*rungs, **changes):
    default = Rung(6, "complex step", True, (evidence(worst=1e-16),), "", 0.5)
    hashes = {"recurrence": "a" * 64, "programs": "b" * 64, "source": "c" * 64}
    made = bv.Certificate(
        "elman", "bptt_verify.cells", "fast", "free", hashes, {"sympy": "1.14"}, 7, rungs or (default,)
    )
    return replace(made, **changes)


def refuse(constant):
    raise AssertionError(f"{constant} is not strict JSON")


@pytest.mark.parametrize(
    "made",
    [
        certificate(),
        certificate(Rung(6, "complex step", True, (evidence("refuted", worst=math.inf, other=math.nan),))),
        certificate(Rung(1, "proof", False, (), "not run"), Rung(7, "differences", True, (evidence(),))),
        certificate(name="σ", origin="a folder/with: signs ∂.py"),
        certificate(origin="undecodable\udcff.py"),
    ],
    ids=["verified", "refuted with infinities", "not run", "letters", "undecodable"],
)
def test_it_is_strict_json_and_reads_back(made, tmp_path):
    path = made.write(tmp_path / "folder" / "certificate.json")
    data = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert data["verdict"] == made.verdict
    again = bv.Certificate.read(path)
    assert again.verdict == made.verdict
    assert again.to_json() == made.to_json()


@pytest.mark.parametrize(
    ("rungs", "verdict"),
    [
        ((Rung(1, "a", False, ()), Rung(2, "b", True, (evidence(),))), "verified"),
        ((Rung(1, "a", True, ()), Rung(2, "b", True, (evidence(),))), "inconclusive"),
        ((Rung(2, "b", True, (evidence(), evidence("inconclusive"))),), "inconclusive"),
        ((Rung(1, "a", True, ()), Rung(2, "b", True, (evidence("refuted"),))), "refuted"),
        ((Rung(1, "a", False, ()),), "inconclusive"),
    ],
)
def test_its_verdict(rungs, verdict):
    assert certificate(*rungs).verdict == verdict


def set_in(data, *path):
    *keys, last, value = path
    for key in keys:
        data = data[key]
    data[last] = value


EDITS = {
    "name": ("name", "lstm"),
    "origin": ("origin", "other.py"),
    "style": ("style", "plain"),
    "seed": ("seed", 8),
    "seed as a fraction": ("seed", 7.5),
    "version": ("versions", "sympy", "1.13"),
    "hash": ("hashes", "source", "d" * 64),
    "verdict of the whole": ("verdict", "refuted"),
    "verdict of evidence": ("rungs", 0, "evidence", 0, "verdict", "inconclusive"),
    "verdict of a rung": ("rungs", 0, "verdict", "refuted"),
    "number": ("rungs", 0, "evidence", 0, "numbers", "worst", 1e-17),
    "summary": ("rungs", 0, "evidence", 0, "summary", "worst error 0"),
    "seconds": ("rungs", 0, "seconds", 0.4),
    "new field": ("approved", True),
    "digest": ("digest", "0" * 64),
    "no rungs": ("rungs", []),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_is_seen(edit, tmp_path):
    path = certificate().write(tmp_path / "certificate.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    set_in(data, *edit)
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(CertificateChangedError, match="it was changed") as caught:
        bv.Certificate.read(path)
    assert isinstance(caught.value.certificate, bv.Certificate)
    assert isinstance(caught.value, bv.CertificateError)


def test_a_missing_digest_is_an_edit(tmp_path):
    path = certificate().write(tmp_path / "certificate.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    del data["digest"]
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(CertificateChangedError):
        bv.Certificate.read(path)


def test_another_layout_of_the_same_json_is_no_edit(tmp_path):
    path = certificate().write(tmp_path / "certificate.json")
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")
    assert bv.Certificate.read(path) == certificate()


def test_the_digest_does_not_cover_itself():
    data = json.loads(certificate().to_json())
    assert _digest(data) == _digest({**data, "digest": "other"}) == data["digest"]


UNREADABLE = {
    "truncated": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "not a number": lambda text: text.replace("1e-16,", "NaN,").replace("1e-16\n", "NaN\n"),
    "infinity": lambda text: text.replace('"seed": 7', '"seed": Infinity'),
    "out of range": lambda text: text.replace('"seconds": 0.5', '"seconds": 1e999'),
    "a key twice": lambda text: text.replace('"seed": 7', '"seed": 7, "seed": 8'),
    "a list": lambda text: "[1, 2]",
    "a number": lambda text: "3",
    "no fields": lambda text: "{}",
    "other format": lambda text: text.replace('"format": 1', '"format": 99'),
    "rungs are numbers": lambda text: json.dumps(json.loads(text) | {"rungs": [1, 2]}),
    "hashes are a text": lambda text: json.dumps(json.loads(text) | {"hashes": "abc"}),
    "deeply nested": lambda text: "[" * 100_000,
    "seed is a word": lambda text: text.replace('"seed": 7', '"seed": "many"'),
}


@pytest.mark.parametrize("spoil", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_certificate_is_refused(spoil, tmp_path):
    path = tmp_path / "certificate.json"
    spoiled = spoil(certificate().to_json())
    assert spoiled != certificate().to_json()
    path.write_text(spoiled, encoding="utf-8")
    with pytest.raises(bv.CertificateError) as caught:
        bv.Certificate.read(path)
    assert not isinstance(caught.value, CertificateChangedError)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_text_or_not_there_is_refused(tmp_path):
    path = tmp_path / "certificate.json"
    path.write_bytes(b"\xff\xfe\x00")
    for unreadable in (path, tmp_path / "none.json", tmp_path):
        with pytest.raises(bv.CertificateError):
            bv.Certificate.read(unreadable)


def test_a_certificate_says_what_was_fed(tmp_path):
    made = certificate(feedback="teacher")
    assert "feedback=teacher" in str(made) and bv.Certificate.read(made.write(tmp_path / "c.json")) == made
    data = json.loads(certificate().to_json())
    assert data["feedback"] == "free"
