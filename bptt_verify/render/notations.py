"""The notations in which formulas are written, besides plain text."""

from __future__ import annotations

import html

import sympy as sp

from bptt_verify.program import TIME, Notation, Ref
from bptt_verify.program.spelling import decimal

_MARKS = {"bar": r"\bar", "dot": r"\dot"}
_TIMES = {0: "t", -1: "t-1", 1: "t+1"}
_FUNCTIONS = {"tanh", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "max", "min"}


def _parts(name: str) -> tuple[str, list[str], list[str]]:
    """Stem, subscripts, and marks (bar, dot) of an identifier such as ``W_hh_bar``."""
    stem, *rest = name.split("_")
    return stem, [p for p in rest if p and p not in _MARKS], [p for p in rest if p in _MARKS]


def _latex_ref(ref: Ref) -> str:
    stem, subscripts, marks = _parts(ref.name)
    letter = stem
    if len(stem) > 1:  # a word, not a letter with indices
        letter, subscripts = r"\mathit{" + r"\_".join([stem, *subscripts]) + "}", []
    for mark in marks:
        letter = rf"{_MARKS[mark]}{{{letter}}}"
    words = [s if len(s) <= 2 else rf"\mathrm{{{s}}}" for s in subscripts]
    if TIME in ref.labels:
        upper = rf"^{{({','.join(words)})}}" if words else ""
        return f"{letter}{upper}_{{{_TIMES[ref.shift]}}}"
    return letter + (f"_{{{','.join(words)}}}" if words else "")


def _latex_call(name: str, args: list[str]) -> str:
    if name == "sigmoid":
        name = r"\sigma"
    elif name == "Abs":
        return rf"\left|{args[0]}\right|"
    elif name.lower() in _FUNCTIONS:
        name = rf"\{name.lower()}"
    else:
        name = rf"\operatorname{{{name}}}"
    return rf"{name}\!\left({', '.join(args)}\right)"


LATEX = Notation(
    ref=_latex_ref,
    call=_latex_call,
    number=lambda n: f"{float(n):.12g}" if decimal(n) else sp.latex(n),
    power=lambda base, exponent: f"{{{base}}}^{{{exponent}}}",
    root=lambda u: rf"\sqrt{{{u}}}",
    fraction=lambda top, bottom: rf"\frac{{{top}}}{{{bottom}}}",
    over="/",
    transpose=r"^{\top}",
    sigma=lambda over: rf"\sum_{{{over}}} ",
    hadamard=r" \odot ",
    juxtapose=r"\, ",
)


def _html_ref(ref: Ref) -> str:
    stem, subscripts, marks = _parts(ref.name)
    letter = html.escape(stem)
    for mark in marks:
        letter += {"bar": "\u0304", "dot": "\u0307"}[mark]
    lower = ",".join(map(html.escape, subscripts))
    if TIME in ref.labels:
        upper = f"<sup>({lower})</sup>" if lower else ""
        return f"<i>{letter}</i>{upper}<sub>{_TIMES[ref.shift].replace('-', '−')}</sub>"
    return f"<i>{letter}</i>" + (f"<sub>{lower}</sub>" if lower else "")


def _html_sigma(over: str) -> str:
    return f"Σ<sub>{html.escape(over)}</sub> "


HTML = Notation(
    ref=_html_ref,
    call=lambda f, args: f"{'σ' if f == 'sigmoid' else html.escape(f)}({', '.join(args)})",
    number=lambda n: (f"{float(n):.12g}" if decimal(n) else str(n)).replace("-", "−"),
    power=lambda base, exponent: f"{base}<sup>{exponent}</sup>",
    root=lambda u: f"√({u})",
    fraction=None,
    over="/",
    transpose="<sup>⊤</sup>",
    sigma=_html_sigma,
    hadamard=" ⊙ ",
    juxtapose=" ",
)
