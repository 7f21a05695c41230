"""A document as HTML: a whole page, or a fragment for a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from bptt_verify.render.blocks import Block, Display, Line, Prose, Section, Steps, Table
from bptt_verify.render.formulas import Formula
from bptt_verify.render.mathml import mathml
from bptt_verify.render.splitting import FACTORS, RELATIONS, TERMS, pieces, relation, width
from bptt_verify.render.style import BLOCKS, PAGE

_CONTENTS_FROM = 4  # sections
_LONG = 16.0  # a formula in a sentence, or a factor
_BROAD = 12.0  # a left side as wide as this stands above the right side where there is little room

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main class="bptt-document">
{body}
</main>
</body>
</html>
"""


def page(title: str, sections: Sequence[Section]) -> str:
    """A page that needs neither a network nor JavaScript."""
    contents = _contents(sections) if len(sections) >= _CONTENTS_FROM else ()
    body = [f"<h1>{html.escape(title)}</h1>", *contents]
    for i, s in enumerate(sections, 1):
        body += [f'<section id="section-{i}">', *_section(s), "</section>"]
    return _PAGE.format(title=html.escape(title), style=PAGE + BLOCKS, body="\n".join(body))


def fragment(title: str, sections: Sequence[Section]) -> str:
    """The same to stand inside another page; a formula's dollar is not for that page's MathJax to read."""
    body = [f"<h1>{html.escape(title)}</h1>", *(x for s in sections for x in _section(s))]
    opening = '<div class="bptt-document tex2jax_ignore mathjax_ignore">'
    return "\n".join([opening, f"<style>\n{BLOCKS}</style>", *body, "</div>"])


def _contents(sections: Sequence[Section]) -> Iterator[str]:
    yield '<nav aria-label="Contents">\n<ol>'
    for i, s in enumerate(sections, 1):
        yield f'<li><a href="#section-{i}">{html.escape(s.heading)}</a></li>'
    yield "</ol>\n</nav>"


def _section(section: Section) -> Iterator[str]:
    yield f"<h2>{html.escape(section.heading)}</h2>"
    yield from _blocks(section.blocks)


def _blocks(blocks: Sequence[Block]) -> Iterator[str]:
    for block in blocks:
        yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Prose():
            yield f"<p>{_prose(block)}</p>"
        case Display():
            yield from _display(block.lines)
        case Steps():
            yield f"<details{' open' if block.open else ''}>"
            yield f"<summary>{html.escape(block.summary)}</summary>"
            yield from _blocks(block.blocks)
            yield "</details>"
        case Table():
            yield from _table(block)


def _prose(prose: Prose) -> str:
    return "".join(html.escape(p) if isinstance(p, str) else _inline(p) for p in prose.parts)


def _inline(formula: Formula) -> str:
    """A long formula may be broken at its signs."""
    if width(formula.latex) <= _LONG:
        return formula.html
    first, *rest = pieces(formula.latex, RELATIONS + TERMS)
    return "<wbr>".join([mathml(first), *(mathml("{} " + p) for p in rest)])


def _display(lines: Sequence[Line]) -> Iterator[str]:
    cut = [relation(line.formula.latex) for line in lines]
    kinds = ["lines"]
    kinds += ["reasoned"] if any(line.reason for line in lines) else []
    kinds += ["broad"] if max(width(left) for left, _, _ in cut) > _BROAD else []
    yield f'<div class="{" ".join(kinds)}">'
    for line, (left, sign, right) in zip(lines, cut, strict=True):
        yield '<div class="line">'
        yield f'<div class="left scroll">{_math(left)}</div>' if left else ""
        yield f'<div class="right scroll">{_breakable(sign, right)}</div>'
        yield f'<div class="reason">{html.escape(line.reason)}</div>' if line.reason else ""
        yield "</div>"
    yield "</div>"


def _math(latex: str) -> str:
    return mathml(latex, displayed=True)


def _breakable(sign: str, right: str) -> str:
    """A browser breaks the line between terms, and between the factors of one that is too wide."""
    first, *rest = pieces(right, TERMS)
    head = f"{{}} {sign} {first}" if sign else first
    return "<wbr>".join(_term(t) for t in (head, *("{} " + term for term in rest)))


def _term(latex: str) -> str:
    parts = [part for factor in pieces(latex, FACTORS) for part in _parts(factor)]
    whole = [_math(part if not i else "{} " + part) for i, part in enumerate(parts)]
    return whole[0] if len(whole) == 1 else f'<span class="term">{"<wbr>".join(whole)}</span>'


def _parts(factor: str) -> list[str]:
    """A long sum in brackets may be broken between its terms."""
    return pieces(factor, TERMS, 1) if width(factor) > _LONG else [factor]


def _table(table: Table) -> Iterator[str]:
    yield '<div class="scroll">\n<table>\n<thead><tr>'
    yield from (f'<th scope="col">{html.escape(h)}</th>' for h in table.header)
    yield "</tr></thead>\n<tbody>"
    for cells in table.rows:
        yield "<tr>" + "".join(f"<td>{_prose(c)}</td>" for c in cells) + "</tr>"
    yield "</tbody>\n</table>\n</div>"
