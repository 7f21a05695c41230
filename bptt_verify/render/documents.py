"""A document of headings, sentences and formulas, printed as Markdown, LaTeX, or a standalone HTML page."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass

from bptt_verify.program import TEXT, Notation
from bptt_verify.render.notations import HTML, LATEX


@dataclass(frozen=True)
class Formula:
    """One formula in the three notations."""

    text: str
    latex: str
    html: str

    def __str__(self) -> str:
        return self.text

    def _repr_latex_(self) -> str:
        return f"${self.latex}$"

    @staticmethod
    def of(write: Callable[[Notation], str]) -> Formula:
        """From a function that writes the formula in any notation."""
        return Formula(write(TEXT), write(LATEX), write(HTML))


@dataclass(frozen=True)
class Section:
    """A heading, a few sentences, formulas."""

    heading: str
    sentences: tuple[str, ...]
    formulas: tuple[Formula, ...] = ()


@dataclass(frozen=True)
class Document:
    """A title and sections."""

    title: str
    sections: tuple[Section, ...]

    def to_markdown(self) -> str:
        """Markdown with LaTeX formulas."""
        lines = [f"# {self.title}"]
        for s in self.sections:
            lines += ["", f"## {s.heading}", "", *s.sentences]
            if s.formulas:
                lines += ["", "$$", r"\begin{aligned}", *_aligned(s), r"\end{aligned}", "$$"]
        return "\n".join(lines) + "\n"

    def to_latex(self) -> str:
        """A standalone LaTeX article."""
        lines = [
            r"\documentclass{article}",
            r"\usepackage[T1]{fontenc}",
            r"\usepackage{amsmath}",
            r"\allowdisplaybreaks",
            rf"\title{{{_escaped(self.title)}}}",
            r"\date{}",
            r"\begin{document}",
            r"\maketitle",
        ]
        for s in self.sections:
            lines += ["", rf"\section*{{{_escaped(s.heading)}}}", *map(_escaped, s.sentences)]
            if s.formulas:
                lines += [r"\begin{align*}", *_aligned(s), r"\end{align*}"]
        return "\n".join([*lines, r"\end{document}"]) + "\n"

    def to_html(self) -> str:
        """A standalone page that needs nothing from a network."""
        body = [f"<h1>{html.escape(self.title)}</h1>"]
        for s in self.sections:
            body.append(f"<h2>{html.escape(s.heading)}</h2>")
            body += [f"<p>{html.escape(x)}</p>" for x in s.sentences]
            body += [f'<p class="formula">{f.html}</p>' for f in s.formulas]
        return _PAGE.format(title=html.escape(self.title), body="\n".join(body))

    def to_text(self) -> str:
        """Plain text."""
        lines = [self.title, "=" * len(self.title)]
        for s in self.sections:
            lines += [
                "",
                s.heading,
                "-" * len(s.heading),
                *s.sentences,
                *(f"    {f.text}" for f in s.formulas),
            ]
        return "\n".join(lines) + "\n"


def _aligned(s: Section) -> list[str]:
    """Formulas aligned at their first equals sign."""
    return [
        f.latex.replace(" = ", " &= ", 1) + (r" \\" if f is not s.formulas[-1] else "") for f in s.formulas
    ]


def _math(match: re.Match[str]) -> str:
    """A letter with its index as mathematics: ``λ_{t+1}``."""
    letter = {"λ": r"\lambda", "ω": r"\omega", "δ": r"\delta"}.get(match[1], match[1])
    return f"${letter}_{{{match[2].strip('{}')}}}$"


_UNICODE = {
    "∂": r"$\partial$", "λ": r"$\lambda$", "Σ": r"$\Sigma$", "ᵀ": r"$^{\top}$", "ω": r"$\omega$",
    "≥": r"$\geq$", "⊙": r"$\odot$", "δ": r"$\delta$", "–": "--", "…": r"\ldots{}",
}  # fmt: skip


def _escaped(text: str) -> str:
    """Text for LaTeX."""
    text = re.sub(r"([A-Za-zλωδ]ᵀ?)_(\{[^}]*\}|\w+)", _math, text)
    text = text.replace("&", r"\&").replace("%", r"\%").replace("#", r"\#")
    for character, command in _UNICODE.items():
        text = text.replace(character, command)
    return text


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ max-width: 52rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 Georgia, serif; color: #222; }}
.formula {{ margin: 0.3rem 0 0.3rem 2rem; font-size: 1.05rem; }}
h1, h2 {{ font-weight: normal; }}
h2 {{ margin-top: 2rem; border-bottom: 1px solid #ccc; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""

__all__ = ["Document", "Formula", "Notation", "Section"]
