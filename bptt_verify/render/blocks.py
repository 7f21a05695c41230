"""What a document is made of: paragraphs, displayed formulas, tables, and steps that open and close."""

from __future__ import annotations

from dataclasses import dataclass

from bptt_verify.errors import UsageError
from bptt_verify.render.formulas import Formula


@dataclass(frozen=True)
class Line:
    """One displayed line of a derivation.

    Attributes
    ----------
    formula : Formula
        A line that begins with a relation sign continues the one above.
    reason : str
        The rule, in plain words: ``peel the newest factor``.
    """

    formula: Formula
    reason: str = ""


@dataclass(frozen=True)
class Prose:
    """A paragraph: plain words and formulas in order."""

    parts: tuple[str | Formula, ...]

    @staticmethod
    def of(*parts: str | Formula) -> Prose:
        """From the parts, one after another."""
        return Prose(parts)


@dataclass(frozen=True)
class Display:
    """Lines that are aligned at their first relation sign; at least one.

    Raises
    ------
    UsageError
        If there is none.
    """

    lines: tuple[Line, ...]

    def __post_init__(self) -> None:
        if not self.lines:
            raise UsageError("Display: lines=(); expected at least one Line. Leave the Display out.")


@dataclass(frozen=True)
class Steps:
    """Blocks that open and close under a summary: the proof of a theorem, a small case."""

    summary: str
    blocks: tuple[Block, ...]
    open: bool = False


@dataclass(frozen=True)
class Table:
    """A header and rows of cells.

    Raises
    ------
    UsageError
        If a row has not as many cells as the header.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[Prose, ...], ...]

    def __post_init__(self) -> None:
        for i, row in enumerate(self.rows):
            if len(row) != len(self.header):
                raise UsageError(
                    f"Table: row={i} has {len(row)} cells; expected {len(self.header)}, as many as the "
                    "header has. Add or remove cells."
                )


Block = Prose | Display | Steps | Table


@dataclass(frozen=True)
class Section:
    """A heading and blocks."""

    heading: str
    blocks: tuple[Block, ...]
