"""One formula, in plain text and in LaTeX; MathML follows from the LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bptt_verify.program import Notation
from bptt_verify.render.mathml import mathml
from bptt_verify.render.notations import Letter, notations
from bptt_verify.render.symbols import in_math

_NONE: Mapping[str, Letter] = {}


@dataclass(frozen=True)
class Formula:
    r"""One formula.

    Attributes
    ----------
    text : str
        In plain Unicode text.
    latex : str
        In the LaTeX that KaTeX and MathJax share, without ``$``; ASCII (``λ`` becomes ``\lambda``).
        It may begin with a relation sign: ``= a + b`` continues the line above.
    """

    text: str
    latex: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "latex", in_math(self.latex))

    @property
    def html(self) -> str:
        """Inline MathML."""
        return mathml(self.latex)

    def __str__(self) -> str:
        return self.text

    def _repr_latex_(self) -> str:
        return f"${self.latex}$"

    @staticmethod
    def of(write: Callable[[Notation], str], letters: Mapping[str, Letter] = _NONE) -> Formula:
        """From a function that writes the formula in any notation.

        Parameters
        ----------
        write : callable
            Signs that the notation does not have (``∂``, ``δ``) may be written as Unicode characters.
        letters : mapping, optional
            Letters for arrays, by name; see ``letters_of``.
        """
        text, latex = notations(letters)
        return Formula(write(text), write(latex))
