"""A document, written as plain text, Markdown, LaTeX or HTML."""

from __future__ import annotations

from dataclasses import dataclass

from bptt_verify.render.article import article, sections_in_latex
from bptt_verify.render.blocks import Section
from bptt_verify.render.markdown import markdown
from bptt_verify.render.page import fragment, page
from bptt_verify.render.plaintext import plaintext


@dataclass(frozen=True)
class Document:
    """A title and sections.

    A notebook shows it as HTML with its own style, not as Markdown: MathML and ``<details>`` then look the
    same in Jupyter, which would hand Markdown to MathJax, and in VS Code, which would hand it to KaTeX.
    """

    title: str
    sections: tuple[Section, ...]

    def to_text(self) -> str:
        """Plain text; formulas are aligned, reasons stand in parentheses."""
        return plaintext(self.title, self.sections)

    def to_markdown(self) -> str:
        """Markdown with formulas for KaTeX or MathJax."""
        return markdown(self.title, self.sections)

    def to_latex(self, fragment: bool = False) -> str:
        r"""LaTeX.

        Parameters
        ----------
        fragment : bool
            Only the sections, to be read by ``\input`` in an article that loads amsmath and amssymb;
            otherwise a whole article.
        """
        return sections_in_latex(self.sections) if fragment else article(self.title, self.sections)

    def to_html(self) -> str:
        """One page that needs neither a network nor JavaScript."""
        return page(self.title, self.sections)

    def _repr_html_(self) -> str:
        return fragment(self.title, self.sections)
