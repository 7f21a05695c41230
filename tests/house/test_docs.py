"""The code of the README and of docs/ runs, each page in one namespace, in order.

The cells of proofs/ are run by ``bptt-verify prove``, in ``tests/unit/test_prove.py``.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bptt_verify.cli.pages import CELL, program

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


def code(page, fence="python"):
    return program(page.read_text(encoding="utf-8"), fence)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if code(page).strip()], ids=lambda page: str(page.relative_to(ROOT))
)
def test_the_code_of_a_page_runs(page, tmp_path):
    script = tmp_path / f"{page.stem}.py"
    script.write_text(code(page), encoding="utf-8")
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
    for page in (ROOT / "proofs").glob("T*.md"):
        assert code(page, CELL).count("theorem_document(") == 1, page
