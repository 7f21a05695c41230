"""Formulas and documents as LaTeX, HTML and Markdown."""

from bptt_verify.render.documents import Document, Formula, Section
from bptt_verify.render.notations import HTML, LATEX

__all__ = ["HTML", "LATEX", "Document", "Formula", "Section"]
