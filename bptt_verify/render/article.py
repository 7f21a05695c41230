"""A document as LaTeX: a whole article, or sections to be read by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bptt_verify.render.blocks import Block, Display, Line, Prose, Section, Steps, Table
from bptt_verify.render.plaintext import spoken
from bptt_verify.render.splitting import COMMAS, FACTORS, RELATIONS, TERMS, pieces, relation, width
from bptt_verify.render.symbols import in_latex

_PREAMBLE = r"""\documentclass[a4paper]{article}
\usepackage{amsmath,amssymb}
\addtolength{\oddsidemargin}{-2cm}
\addtolength{\textwidth}{4cm}
\addtolength{\topmargin}{-1cm}
\addtolength{\textheight}{2cm}
\setlength{\parindent}{0pt}
\setlength{\parskip}{4pt plus 2pt}
\emergencystretch=2em
\allowdisplaybreaks"""
_PAGE = 88.0  # what fits into a line of that article, in the unit of ``width``
_REASON = 36  # characters in a line of a reason
_LEVELS = ((COMMAS, 0), (RELATIONS, 0), (TERMS, 0), (FACTORS, 0), (TERMS, 1), (FACTORS, 1), (TERMS, 2))
_HEADINGS = (r"\paragraph", r"\subparagraph")


def article(title: str, sections: Sequence[Section]) -> str:
    """A whole article; it needs amsmath and amssymb."""
    head = [
        _PREAMBLE,
        rf"\title{{{in_latex(title)}}}",
        r"\author{}\date{}",
        r"\begin{document}",
        r"\maketitle",
        "",
    ]
    return "\n".join(head) + sections_in_latex(sections) + "\\end{document}\n"


def sections_in_latex(sections: Sequence[Section]) -> str:
    """The sections only."""
    lines: list[str] = []
    for s in sections:
        lines += [rf"\section*{{{in_latex(s.heading)}}}", *_blocks(s.blocks, 0), ""]
    return "\n".join(lines)


def _blocks(blocks: Sequence[Block], depth: int) -> Iterator[str]:
    """A new paragraph for each block but for formulas, which belong to the sentence before."""
    for i, block in enumerate(blocks):
        if i and not isinstance(block, Display):
            yield ""
        yield from _block(block, depth)


def _block(block: Block, depth: int) -> Iterator[str]:
    match block:
        case Prose():
            yield _prose(block)
        case Display():
            yield from (r"\begin{align*}", *_display(block.lines), r"\end{align*}")
        case Steps():
            heading = _HEADINGS[min(depth, len(_HEADINGS) - 1)]
            text_first = block.blocks and not isinstance(block.blocks[0], Display)
            yield rf"{heading}{{{in_latex(block.summary)}}}\mbox{{}}" + r"\par\nopagebreak" * bool(text_first)
            yield from _blocks(block.blocks, depth + 1)
            yield r"\par\bigskip"
        case Table():
            yield from _table(block)


def _prose(prose: Prose) -> str:
    return "".join(in_latex(p) if isinstance(p, str) else f"${p.latex}$" for p in prose.parts)


def _table(table: Table) -> Iterator[str]:
    yield rf"\begin{{center}}\begin{{tabular}}{{{_columns(table)}}}"
    yield " & ".join(map(in_latex, table.header)) + r" \\ \hline"
    yield from (" & ".join(map(_prose, cells)) + r" \\" for cells in table.rows)
    yield r"\end{tabular}\end{center}"


def _columns(table: Table) -> str:
    """Columns as wide as their words; as paragraphs that share the page if that is too wide."""
    rows = [list(table.header), *([spoken(cell) for cell in row] for row in table.rows)]
    widths = [max(len(text) for text in column) + 2 for column in zip(*rows, strict=True)]
    if sum(widths) <= _PAGE:
        return "l" * len(widths)
    longest = [min(w, _PAGE / 2) for w in widths]
    share = 0.98 - 0.04 * len(widths)  # what the space between columns leaves
    return "".join(rf"p{{{share * w / sum(longest):.2f}\linewidth}}" for w in longest)


def _display(lines: Sequence[Line]) -> Iterator[str]:
    """Reasons stand in a column of their own if all of it fits into the page, else under their lines."""
    cut = [relation(line.formula.latex) for line in lines]
    left = max(width(c[0]) for c in cut)
    right = max(width(c[2]) for c in cut)
    beside = left + right + min(_REASON, max(len(line.reason) for line in lines)) + 14 <= _PAGE
    rows = []
    for line, (before, sign, after) in zip(lines, cut, strict=True):
        rows += [*_rows(before, sign, after, _PAGE - left - 4)]
        if line.reason and beside:
            rows[-1] += f" && {_beside(line.reason)}"
        elif line.reason:
            rows.append(_under(line.reason))
    yield from (r + r" \\" for r in rows[:-1])
    yield rows[-1]


def _beside(reason: str) -> str:
    text = rf"\small {in_latex(reason)}"
    return rf"\text{{{text}}}" if len(reason) <= _REASON else rf"\parbox[t]{{5.4cm}}{{\raggedright {text}}}"


def _under(reason: str) -> str:
    text = in_latex(f"({reason})")
    return rf"&\qquad\parbox[t]{{0.6\linewidth}}{{\raggedright\small {text}}}"


def _rows(before: str, sign: str, after: str, room: float) -> Iterator[str]:
    """A formula; where it is too wide, a row for as many terms as fit, or factors, or what is in brackets."""
    rows = [after]
    for signs, depth in _LEVELS:
        split = ([r] if width(r) <= room else _filled(pieces(r, signs, depth), room) for r in rows)
        rows = [r for part in split for r in part]
    yield f"{before} &{sign} {rows[0]}".lstrip()
    for row in rows[1:]:
        inside = not row.startswith(TERMS)
        yield ("&\\qquad {} " if inside else "&\\quad {} ") + row


def _filled(parts: Sequence[str], room: float) -> list[str]:
    """The parts in rows no wider than the room, as far as they can be."""
    rows = [parts[0]]
    for part in parts[1:]:
        if width(rows[-1]) + width(part) + 4 <= room:
            rows[-1] += f" {part}"
        else:
            rows.append(part)
    return rows
