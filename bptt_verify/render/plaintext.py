"""A document as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bptt_verify.render.blocks import Block, Display, Line, Prose, Section, Steps, Table
from bptt_verify.render.symbols import on_one_line

_INDENT = "    "
_WIDEST_LEFT, _WIDEST = 24, 90
_RELATION = re.compile(r"(?:^|(?<= ))(?:=|≤|≥|<|>|≈|≡)(?= )")


def plaintext(title: str, sections: Sequence[Section]) -> str:
    """The whole document."""
    lines = [title, "=" * len(title)]
    for s in sections:
        lines += ["", s.heading, "-" * len(s.heading), *_blocks(s.blocks)]
    return "\n".join(x.rstrip() for x in lines) + "\n"


def _blocks(blocks: Sequence[Block]) -> Iterator[str]:
    """A blank line before each block but the first and but formulas, which belong to the sentence before."""
    for i, block in enumerate(blocks):
        if i and not isinstance(block, Display):
            yield ""
        yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Prose():
            yield spoken(block)
        case Display():
            yield from (_INDENT + x for x in _display(block.lines))
        case Steps():
            yield f"{block.summary}:"
            yield from (_INDENT + x for x in _blocks(block.blocks))
        case Table():
            yield from (_INDENT + x for x in _table(block))


def spoken(prose: Prose) -> str:
    """A paragraph as one line of plain text."""
    return "".join(on_one_line(p) if isinstance(p, str) else p.text for p in prose.parts)


def _display(lines: Sequence[Line]) -> Iterator[str]:
    cut = [_cut(line.formula.text) for line in lines]
    width = max((len(left) for left, _ in cut if len(left) <= _WIDEST_LEFT), default=0)
    formulas = [f"{left:>{width}}{right}" for left, right in cut]
    column = max((len(f) for f in formulas if len(f) <= _WIDEST), default=0)
    for f, line in zip(formulas, lines, strict=True):
        yield f"{f:<{column}}  ({line.reason})" if line.reason else f


def _cut(text: str) -> tuple[str, str]:
    """What stands left of the first relation sign outside brackets, and the rest."""
    for match in _RELATION.finditer(text):
        before = text[: match.start()]
        if all(before.count(a) <= before.count(b) for a, b in ("()", "[]", "{}")):
            return before, text[match.start() :]
    return "", text


def _table(table: Table) -> Iterator[str]:
    rows = [list(table.header), *([spoken(c) for c in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for i, row in enumerate(rows):
        yield "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True))
        if not i:
            yield "  ".join("-" * w for w in widths)
