"""A document as Markdown whose formulas KaTeX and MathJax read (GitHub, Jupyter, VS Code)."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from bptt_verify.render.blocks import Block, Display, Line, Prose, Section, Steps, Table
from bptt_verify.render.formulas import Formula
from bptt_verify.render.splitting import aligned_row
from bptt_verify.render.symbols import in_formula, in_markdown, on_one_line, paragraph_in_markdown

_MOST_COMMANDS = 600


def markdown(title: str, sections: Sequence[Section]) -> str:
    """The whole document."""
    lines = [f"# {in_markdown(title)}"]
    for s in sections:
        lines += ["", f"## {in_markdown(s.heading)}", *_blocks(s.blocks)]
    return "\n".join(lines) + "\n"


def _blocks(blocks: Sequence[Block]) -> Iterator[str]:
    """Each block after a blank line: inside ``<details>`` formulas are only read after one."""
    for block in blocks:
        yield ""
        yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Prose():
            yield paragraph_in_markdown(_prose(block))
        case Display():
            yield from _display(block.lines)
        case Steps():
            summary = html.escape(on_one_line(block.summary)).replace("$", "&#36;")
            yield f"<details{' open' if block.open else ''}>"
            yield f"<summary>{summary}</summary>"
            yield from _blocks(block.blocks)
            yield from ("", "</details>")
        case Table():
            yield _cells(map(in_markdown, block.header))
            yield _cells("---" for _ in block.header)
            yield from (_cells(map(_prose, cells)) for cells in block.rows)


def _prose(prose: Prose) -> str:
    return "".join(in_markdown(p) if isinstance(p, str) else _inline(p) for p in prose.parts)


def _inline(formula: Formula) -> str:
    """A bar would end a cell of a table."""
    latex = formula.latex.strip().replace(r"\|", r"\Vert ").replace("|", r"\vert ")
    return f"${_without_tags(latex)}$"


def _display(lines: Sequence[Line]) -> Iterator[str]:
    """Formulas in groups: KaTeX expands no more than a thousand macros in one."""
    group: list[str] = []
    for line in lines:
        row = _row(line)
        if group and sum(r.count("\\") + 3 for r in [*group, row]) > _MOST_COMMANDS:
            yield from _aligned(group)
            yield ""
            group = []
        group.append(row)
    yield from _aligned(group)


def _aligned(rows: Sequence[str]) -> Iterator[str]:
    yield from ("$$", r"\begin{aligned}")
    yield from (row + r" \\" for row in rows[:-1])
    yield from (*rows[-1:], r"\end{aligned}", "$$")


def _row(line: Line) -> str:
    reason = f" && {in_formula(line.reason)}" if line.reason else ""
    return _without_tags(aligned_row(line.formula.latex)) + reason


def _without_tags(latex: str) -> str:
    """``a<b`` would begin a tag of HTML."""
    return latex.replace("<", r"\lt ")


def _cells(cells: Iterator[str] | map[str]) -> str:
    return f"| {' | '.join(cells)} |"
