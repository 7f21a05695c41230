"""The proofs files: where they are, and their code cells, run in a process of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import bptt_verify
from bptt_verify.errors import UsageError

CELL = "{code-cell} ipython3"


def folder() -> Path:
    """Where the proofs files are: within the installed package, or in the checkout that it is in.

    Raises
    ------
    UsageError
        If there are none.
    """
    package = Path(bptt_verify.__file__).resolve().parent
    places = package / "proofs", package.parent / "proofs"
    for place in places:
        if (place / "README.md").is_file():
            return place
    raise UsageError(
        f"proofs: folder={' or '.join(map(str, places))}: no such files; expected README.md, T1.md and "
        "others, which are part of the package. Install it again."
    )


def page(claim: str) -> Path:
    """The file of a claim.

    Raises
    ------
    UsageError
        If there is none.
    """
    found = folder() / f"{claim}.md"
    if not found.is_file():
        raise UsageError(
            f"proofs: file={found}: no such file; expected one for {claim}, as it is part of the package. "
            "Install it again."
        )
    return found


def blocks(text: str, fence: str = CELL) -> list[tuple[int, str]]:
    """The blocks of a page that start with a fence: number of the first line, counted from 0, and text."""
    pattern = re.compile(rf"^```{re.escape(fence)}[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, m.start(1)), m[1]) for m in pattern.finditer(text)]


def program(text: str, fence: str = CELL) -> str:
    """The page with all but these blocks blanked out: line numbers in a traceback are the page's."""
    lines = [""] * text.count("\n")
    for first, block in blocks(text, fence):
        code = block.splitlines()
        lines[first : first + len(code)] = code
    return "\n".join(lines).rstrip() + "\n"


@dataclass(frozen=True)
class Failure:
    """Cells that did not run to their end.

    Attributes
    ----------
    line : int
        The line of the page at which they stopped, counted from 1.
    output : str
        All that was printed; the traceback is at its end.
    killed : bool
        Whether the process was ended from outside, which says nothing of the cells.
    """

    line: int
    output: str
    killed: bool

    @property
    def error(self) -> str:
        """The last line."""
        return (self.output.splitlines() or ["no output"])[-1]


def run(path: Path) -> Failure | None:
    """Run the cells of a page, in order, in one new process that imports what this one would."""
    with TemporaryDirectory() as home:
        script = Path(home) / f"{path.stem}.py"
        script.write_text(program(path.read_text(encoding="utf-8")), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-X", "utf8", script],
            cwd=home,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    if done.returncode == 0:
        return None
    places = re.findall(rf'File "{re.escape(str(script))}", line (\d+)', done.stdout)
    output = done.stdout.replace(str(script), str(path)).strip()
    return Failure(int(places[-1]) if places else 1, output, done.returncode < 0)
