"""``bptt-verify prove``: its table, its formats, its exit codes."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from bptt_verify.cli import app, claims, pages
from bptt_verify.errors import ProofError
from bptt_verify.proof import CLAIMS, GeneralClaim, Part

FORMATS = ("text", "json", "junit", "sarif")


def run(*args, code=0):
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["prove", *args])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the proofs files that tests may change."""
    copy = tmp_path / "proofs"
    shutil.copytree(pages.folder(), copy)
    monkeypatch.setattr(pages, "folder", lambda: copy)
    return copy


@pytest.fixture
def quick(folder):
    """One cell that only prints, in the file of T1."""
    write(folder, "print('chatter')")
    return folder


def write(folder, code):
    (folder / "T1.md").write_text(f"# T1\n\n```{pages.CELL}\n{code}\n```\n", encoding="utf-8")


def with_part(monkeypatch, part):
    """T1, of which one part is replaced."""
    (first, *others) = CLAIMS["T1"].parts
    claim = GeneralClaim("T1", "Unrolled gradient", (part(first), *others))
    monkeypatch.setattr(claims, "CLAIMS", {"T1": claim})


def refusing(first):
    def prove():
        raise ProofError("induction: the step proves something else.")

    return Part(first.label, first.words, prove)


class FalsePart(Part):
    def check(self, seed=0):
        raise ProofError("evaluated: it is false at {t: 2}.")


def test_all_claims_are_proved():
    result = run()
    assert f"VERIFIED: {' '.join(CLAIMS)}" in result.stdout
    for claim in CLAIMS.values():
        (line,) = [line for line in result.stdout.splitlines() if line.startswith(f" {claim.id} ")]
        assert claim.title in line
        assert f"{len(claim.parts)} theorems, " in line
        assert f"evaluations, T ≤ {claim.most}" in line
        assert f"{claim.id}.md: " in line
    assert result.stderr == ""


def test_the_numbers_of_one_claim(quick):
    result = run("T1", "T1", "--format", "json")
    data = json.loads(result.stdout)
    assert (data["command"], data["subject"], data["verdict"], data["exit_code"]) == (
        "prove",
        "T1",
        "verified",
        0,
    )
    proved, checked, tested = data["evidence"]
    assert [e["how"] for e in data["evidence"]] == ["proved", "checked", "tested"]
    assert proved["numbers"]["theorems"] == len(CLAIMS["T1"].parts)
    assert proved["numbers"]["steps"] > proved["numbers"]["rules"] > 3
    assert checked["numbers"]["evaluations"] == sum(p.check() for p in CLAIMS["T1"].parts)
    assert tested["numbers"]["cells"] == 1
    assert "chatter" not in result.output


def test_one_theorem_is_one_step_for_each_rule_that_was_applied():
    theorem = CLAIMS["T1"].part("unrolled").theorem
    used = claims.applied(theorem)
    assert theorem in used
    assert all(premise in used for t in used for premise in t.arguments if premise in used)
    assert len(claims.applied(CLAIMS["T1"].part("unrolled_whole").theorem)) > len(used)


@pytest.mark.parametrize("form", FORMATS)
def test_a_step_that_a_rule_refuses_is_1(form, quick, monkeypatch):
    with_part(monkeypatch, refusing)
    out = run("--format", form, code=1).stdout
    assert "T1a is not proved: induction: the step proves something else." in out
    if form == "text":
        assert "2 theorems" in out and "not run" in out and "REFUTED: T1" in out
    if form == "json":
        assert [e["verdict"] for e in json.loads(out)["evidence"]] == ["refuted", "not run", "verified"]
    if form == "junit":
        assert [len(c) and c[0].tag for c in ElementTree.fromstring(out).iter("testcase")] == [
            "failure", "skipped", "system-out",
        ]  # fmt: skip
    if form == "sarif":
        (result,) = json.loads(out)["runs"][0]["results"]
        assert result["ruleId"] == "t1-unrolled-gradient-theorems"


def test_a_theorem_that_is_false_somewhere_is_1(quick, monkeypatch):
    with_part(monkeypatch, lambda first: FalsePart(first.label, first.words, first.prove))
    assert "where: T1a is false: evaluated: it is false at {t: 2}." in run(code=1).stdout


@pytest.mark.parametrize("form", FORMATS)
def test_a_cell_that_fails_is_1_and_is_shown_with_its_line(form, folder):
    write(folder, "print('before')\nassert 1 == 2, 'two'")
    out = run("T1", "--format", form, code=1).stdout
    assert "AssertionError: two" in out
    if form == "text":
        assert f"where: {folder / 'T1.md'}, line 5: AssertionError: two\nbefore\nTraceback" in out
        assert "assert 1 == 2, 'two'" in out
    if form == "json":
        assert json.loads(out)["evidence"][2]["numbers"]["line"] == 5
    if form == "sarif":
        (result,) = json.loads(out)["runs"][0]["results"]
        place = result["locations"][0]["physicalLocation"]
        assert place["region"] == {"startLine": 5}
        assert place["artifactLocation"]["uri"].endswith("/proofs/T1.md")


def test_a_statement_that_was_changed_is_1(folder):
    page = folder / "T1.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("Ordered(J(k), k, i + 1, t)", "Ordered(J(k), k, i, t)", 1), encoding="utf-8")
    out = run("T1", code=1).stdout
    assert "AssertionError: unrolled" in out
    assert "3 theorems" in out  # the theorem is what it was; the file claims another


@pytest.mark.skipif(not hasattr(__import__("signal"), "SIGKILL"), reason="needs POSIX signals")
def test_cells_that_are_killed_tell_nothing(folder):
    write(folder, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert "INCONCLUSIVE" in run("T1", code=4).stdout


def test_no_such_claim_is_2():
    result = run("T1", "T13", code=2)
    assert "claim='T13'" in result.stderr and "T1, T2, T3, T4, T5, T6, T7, T8, T9, T10" in result.stderr
    assert result.stdout == ""


def test_a_missing_file_is_2(folder):
    (folder / "T2.md").unlink()
    assert "T2.md: no such file; expected one for T2" in run(code=2).stderr


def test_an_error_of_our_own_is_3(quick, monkeypatch):
    def explode(theorem, done):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(claims, "replay", explode)
    result = run("T1", code=3)
    assert "RuntimeError: unforeseen" in result.stderr
    assert result.stdout == ""


def test_help_has_examples():
    assert "bptt-verify prove T1" in run("--help").stdout.split("Examples")[1]


def test_the_files_do_not_depend_on_where_the_command_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "proofs").mkdir()
    assert Path.cwd() == tmp_path
    assert "VERIFIED" in run("T4").stdout
    assert list(tmp_path.iterdir()) == [tmp_path / "proofs"]
