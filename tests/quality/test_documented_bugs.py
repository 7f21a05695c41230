"""Mistakes that were made elsewhere are found and named; right gradients in odd styles are not refuted.

The list is long, and gated cells take their time, so that only some of the slow ones are judged here.
All of them: ``python tests/documented_bugs.py``, or with a pattern of names.
"""

from pathlib import Path

import pytest
from documented_bugs import BUGS, RIGHT, judged, named

from bptt_verify.language import Recurrence
from bptt_verify.mutants.catalogue import RARE, RULES
from bptt_verify.verify.refuted import FAILED

SLOW = {"gru", "gru_original", "lstm", "lstm_peephole"}
UNNAMED = {"clip: sign lost"}  # refuted, but not told what the mistake is


def some(entries, step):
    """Those of clips and of plain losses, which are quick, and one of so many others; none of slow cells."""
    quick = [e for e in entries if not isinstance(e.against, Recurrence)]
    others = [e for e in entries if isinstance(e.against, Recurrence) and e.against.name not in SLOW]
    return [pytest.param(e, id=e.name) for e in [*quick, *others[::step]]]


def test_there_are_many():
    assert len(BUGS) >= 300 and sum(bug.source is not None for bug in BUGS) >= 60 and len(RIGHT) >= 60
    assert len({bug.name for bug in BUGS}) == len(BUGS) and len({right.name for right in RIGHT}) == len(RIGHT)
    for entry in [*BUGS, *RIGHT]:
        assert callable(entry.make()), entry.name


@pytest.mark.parametrize("bug", some(BUGS, 25))
def test_a_bug_is_refuted_and_named(bug):
    report = judged(bug)
    assert report.verdict == "refuted", report
    assert FAILED not in (report.diagnosis or "")
    assert bug.expect is None or bug.name in UNNAMED or named(bug, report), report


@pytest.mark.parametrize("right", some(RIGHT, 8))
def test_a_right_one_is_verified(right):
    report = judged(right)
    assert report.verdict == "verified", report


def test_the_page_of_mistakes_has_every_rule_and_every_report():
    page = (Path(__file__).parents[2] / "docs/reference/mistakes.md").read_text(encoding="utf-8")
    for rule in (*RULES, *RARE):
        assert f"`{rule.__module__.rpartition('.')[2]}.{rule.__name__}`" in page, rule
    for entry in (b for b in BUGS if b.source is not None):
        assert entry.source in page and " ".join(entry.mistake.split()) in page.replace("\\|", "|"), (
            entry.name
        )
