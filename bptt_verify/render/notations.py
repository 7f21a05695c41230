"""Plain text and LaTeX as notations of formulas, with letters for the library's own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import sympy as sp

from bptt_verify.program import TEXT, TIME, Contract, Notation, Program, Ref
from bptt_verify.program.formulas import spelled
from bptt_verify.program.spelling import decimal
from bptt_verify.render.symbols import GREEK

_MARKS = {"bar": r"\bar", "dot": r"\dot"}
_TIMES = {0: "t", -1: "t-1", 1: "t+1"}
_FUNCTIONS = {"tanh", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "max", "min"}
# These are taken: the weights, the identity with indices, the adjoint.
_STEMS = set(GREEK.values()) - {"omega", "delta", "lambda"}
_NAME = re.compile(r"(.*?)(\d*)((?:_.*)?)", re.DOTALL)
_TALL = (r"\frac", r"\sum", r"\left")


@dataclass(frozen=True)
class Letter:
    """The letter for an array, in plain text and in LaTeX."""

    text: str
    latex: str


LETTERS: Mapping[str, Letter] = {"weights": Letter("ω", r"\omega")}  # no author can use this word


def letters_of(program: Program) -> dict[str, Letter]:
    """Letters for the names that the language made up for the loss: ``ℓ_t`` of a step, ``L`` in total.

    An author's own variable keeps its name, also one that is called ``step_loss``.
    """
    total = program.equation.get(dict(program.results).get("loss", ""))
    if not isinstance(total, Contract):
        return {}
    letters = {r.name: Letter("ℓ", r"\ell") for r in total.operands if r.name == "step_loss"}
    letters[total.name] = Letter("L", "L")
    return {} if {"L", "ell"} & set(program.names()) else letters


def notations(letters: Mapping[str, Letter]) -> tuple[Notation, Notation]:
    """Plain text and LaTeX, with these letters besides those that every formula has."""
    letters = {**LETTERS, **letters}
    return (
        replace(TEXT, ref=partial(_text_ref, letters)),
        replace(LATEX, ref=partial(_latex_ref, letters)),
    )


def _marked(name: str, letters: Mapping[str, Letter]) -> tuple[str, list[str]]:
    """A name without its marks, and the marks: ``W_hh`` and ``bar``."""
    parts = name.split("_")
    marks = [p for p in parts[1:] if p in _MARKS]
    plain = "_".join([parts[0], *(p for p in parts[1:] if p not in _MARKS)])
    return (name, []) if name in letters else (plain, marks)


def _text_ref(letters: Mapping[str, Letter], ref: Ref) -> str:
    name, marks = _marked(ref.name, letters)
    if name not in letters:
        return spelled(ref)
    return spelled(replace(ref, name="_".join([letters[name].text, *marks])))


def _latex_ref(letters: Mapping[str, Letter], ref: Ref) -> str:
    name, marks = _marked(ref.name, letters)
    letter, below = (letters[name].latex, []) if name in letters else _letter(name)
    for mark in marks:
        wide = letter.startswith(r"\mathit") and mark == "bar"
        letter = rf"\overline{{{letter}}}" if wide else rf"{_MARKS[mark]}{{{letter}}}"
    if TIME in ref.labels:
        below = [*below, _TIMES[ref.shift]]
    return letter + (f"_{{{','.join(below)}}}" if below else "")


def _letter(name: str) -> tuple[str, list[str]]:
    r"""A letter and what stands below it: ``W`` and ``hh``; a word stays whole, ``\mathit{exp\_shifted}``."""
    stem, number, rest = _NAME.fullmatch(name).groups()  # type: ignore[union-attr]  # matches every string
    below = [number] if number else []
    below += [_index(part) for part in rest.split("_")[1:]]
    if stem in _STEMS:
        return rf"\{stem}", below
    if len(stem) == 1:
        return stem, below
    return rf"\mathit{{{_word(name)}}}", []


def _word(name: str) -> str:
    return name.replace("_", r"\_")


def _index(part: str) -> str:
    if not part:
        return r"\_"
    return part if len(part) <= 2 or part.isdigit() else rf"\mathrm{{{part}}}"


def _bare(text: str) -> str:
    """Without brackets around the whole, which a fraction bar or a function's own brackets replace."""
    inner = text[1:-1]
    depth = lowest = 0
    for c in inner:
        depth += (c == "(") - (c == ")")
        lowest = min(lowest, depth)
    return inner if text[:1] == "(" and text[-1:] == ")" and lowest == depth == 0 else text


def _bracketed(text: str) -> str:
    tall = any(command in text for command in _TALL)
    return rf"\left({text}\right)" if tall else f"({text})"


def _latex_call(name: str, args: list[str]) -> str:
    inside = ", ".join(map(_bare, args))
    if name == "Abs":
        return rf"\left|{inside}\right|"
    if name == "sigmoid":
        name = r"\sigma"
    elif name.lower() in _FUNCTIONS:
        name = rf"\{name.lower()}"
    else:
        name = rf"\operatorname{{{_word(name)}}}"
    return name + _bracketed(inside)


def _power(base: str, exponent: str) -> str:
    if base.startswith(r"\frac"):
        base = _bracketed(base)
    if "^" in base:
        base = f"{{{base}}}"
    return f"{base}^{{{exponent}}}"


LATEX = replace(
    TEXT,
    ref=partial(_latex_ref, LETTERS),
    call=_latex_call,
    number=lambda n: f"{float(n):.12g}" if decimal(n) else sp.latex(n),
    power=_power,
    root=lambda u: rf"\sqrt{{{_bare(u)}}}",
    fraction=lambda top, bottom: rf"\frac{{{_bare(top)}}}{{{_bare(bottom)}}}",
    transpose=r"^{\top}",
    sigma=lambda over: rf"\sum_{{{over}}} ",
    hadamard=r" \odot ",
    juxtapose=r"\, ",
)
