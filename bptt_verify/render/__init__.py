"""Formulas and documents as plain text, Markdown, LaTeX and HTML."""

from bptt_verify.render.blocks import Block, Display, Line, Prose, Section, Steps, Table
from bptt_verify.render.documents import Document
from bptt_verify.render.formulas import Formula
from bptt_verify.render.notations import LATEX, Letter, letters_of

__all__ = [
    "LATEX",
    "Block",
    "Display",
    "Document",
    "Formula",
    "Letter",
    "Line",
    "Prose",
    "Section",
    "Steps",
    "Table",
    "letters_of",
]
