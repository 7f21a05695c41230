"""An outcome for people: the table of the evidence, and the progress of long work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import groupby

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from bptt_verify.cli.guard import printable
from bptt_verify.cli.outcome import Outcome, Row

COLOURS = {"verified": "green", "refuted": "bold red", "inconclusive": "yellow"}
PIPE_WIDTH = 120
MOST_FINDINGS = 8
LONGEST = 170  # characters of a summary; JSON has all of it

Step = Callable[[str], AbstractContextManager[object]]


def as_text(outcome: Outcome) -> str:
    """The table of the evidence, the verdict, what is wrong, and where the files are."""
    console = _console()
    with console.capture() as captured:
        console.print(_claims(outcome) if outcome.command == "prove" else _evidence(outcome))
        for line in _lines(outcome):
            console.print(line, soft_wrap=not console.is_terminal)
    return _trimmed(captured.get())


def listed(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A plain table."""
    table = _table(*columns)
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    console = _console()
    with console.capture() as captured:
        console.print(table)
    return _trimmed(captured.get())


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def _console() -> Console:
    fixed = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if fixed else PIPE_WIDTH)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in columns:
        table.add_column(column)
    return table


def _evidence(outcome: Outcome) -> Table:
    numbered = any(row.rung for row in outcome.rows)
    table = _table(*(("rung",) if numbered else ()), "what", "known by", "verdict", "numbers")
    for row in outcome.rows:
        cells = _cells(row)
        table.add_row(*((_plain(str(row.rung or "")),) if numbered else ()), *cells)
    return table


def _claims(outcome: Outcome) -> Table:
    """A line for each claim: what is proved, what is checked, what is tested."""
    table = _table("claim", "proved", "checked", "tested", "seconds")
    for title, rows in groupby(outcome.rows, key=lambda row: row.title):
        found = list(rows)
        seconds = sum(row.evidence.numbers["seconds"] for row in found if row.evidence)
        table.add_row(_plain(title), *map(_look, found), _plain(f"{seconds:.1f}"))
    return table


def _look(row: Row) -> Text:
    e = row.evidence
    if e is None:
        return _plain("not run", "dim")
    return _plain(_shortened(e.summary), COLOURS[e.verdict])


def _plain(text: str, style: str = "") -> Text:
    return Text(printable(text), style)


def _cells(row: Row) -> tuple[Text, ...]:
    e = row.evidence
    if e is None:
        return (
            _plain(row.title),
            _plain("–"),
            _plain("not run", "dim"),
            _plain(row.reason.removeprefix("not run: "), "dim"),
        )
    title = e.name if e.name.startswith(row.title) else f"{row.title}: {e.name}"
    return _plain(title), _plain(e.how), _plain(e.verdict, COLOURS[e.verdict]), _plain(_shortened(e.summary))


def _shortened(text: str) -> str:
    """Without the middle, if it is long: what is at the ends says most."""
    if len(text) <= LONGEST:
        return text
    head, tail = text[:60].rsplit(" ", 1)[0], text[60 - LONGEST :].split(" ", 1)[-1]
    return f"{head} … {tail}"


def _lines(outcome: Outcome) -> Iterator[Text]:
    yield Text.assemble(
        (outcome.verdict.upper(), COLOURS[outcome.verdict]), printable(f": {outcome.subject}")
    )
    for difference in outcome.differences:
        yield _plain(f"  differs: {difference}")
    findings = outcome.findings
    for finding in findings[:MOST_FINDINGS]:
        yield _plain(f"  where: {finding.what}")
    if len(findings) > MOST_FINDINGS:
        yield _plain(f"  … and {len(findings) - MOST_FINDINGS} more findings; --format json lists all")
    if outcome.cause:
        yield _plain(f"  likely cause: {outcome.cause}")
    if outcome.smallest:
        yield _plain(f"  smallest found: {outcome.smallest}")
    if outcome.script:
        yield _plain("  to reproduce:\n")
        yield from (_plain(f"    {line}".rstrip()) for line in outcome.script.splitlines())
        yield _plain("")
    for note in outcome.notes:
        yield _plain(f"  note: {note}")
    if outcome.seed is not None:
        yield _plain(
            f"  repeat with --seed {outcome.seed}"
            if outcome.command == "check"
            else f"  seed: {outcome.seed}"
        )
    for kind, path in outcome.files.items():
        yield _plain(f"  {kind}: {path}")


@contextmanager
def progress(total: int | None) -> Iterator[Step]:
    """A bar on stderr that names what is being done; nothing where stderr is no terminal.

    Parameters
    ----------
    total : int or None
        How many steps there are, if known.
    """
    console = Console(stderr=True)
    if not sys.stderr.isatty() or console.is_dumb_terminal:
        yield lambda title: nullcontext()
        return
    counted = (BarColumn(), MofNCompleteColumn()) if total else ()
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), *counted, TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)

        @contextmanager
        def step(title: str) -> Iterator[None]:
            bar.update(task, description=title)
            yield
            bar.advance(task)

        yield step
