"""The code of the README, of docs/ and of proofs/ runs, each page in one namespace, in order."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bptt_verify.cli.pages import CELL, program

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    *((page, "python") for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))),
    *((page, CELL) for page in sorted((ROOT / "proofs").glob("T*.md"))),
)


def code(page, fence):
    return program(page.read_text(encoding="utf-8"), fence)


@pytest.mark.parametrize(
    ("page", "fence"),
    [(page, fence) for page, fence in PAGES if code(page, fence).strip()],
    ids=lambda x: str(x.relative_to(ROOT)) if isinstance(x, Path) else "",
)
def test_the_code_of_a_page_runs(page, fence, tmp_path):
    script = tmp_path / f"{page.stem}.py"
    script.write_text(code(page, fence), encoding="utf-8")
    found = [str(ROOT / "docs" / "examples"), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(found), "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{page}\n{done.stderr}"


def test_every_code_cell_of_a_proof_is_found():
    for page, fence in PAGES:
        if fence == CELL:
            assert code(page, fence).count("theorem_document(") == 1, page
