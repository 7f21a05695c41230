"""Where a LaTeX formula can be taken apart: at its relation sign, and between its terms and factors."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)
_OPEN = {"{", "[", r"\{", r"\lbrace", r"\left", r"\begin"}  # what they open stays in one piece; ( may be cut
_CLOSE = {"}", "]", r"\}", r"\rbrace", r"\right", r"\end"}
_WHOLE = 100
RELATIONS = ("=", r"\le", r"\leq", r"\ge", r"\geq", r"\approx", r"\equiv", "<", ">", r"\lt", r"\gt")
_WIDTHS = {
    **dict.fromkeys(RELATIONS, 3.0), "+": 2.8, "-": 2.8, r"\odot": 2.8, r"\sum": 2.5, r"\prod": 2.5,
    "(": 0.75, ")": 0.75, "[": 0.6, "]": 0.6, ",": 0.9, " ": 0.0, r"\,": 0.3, r"\quad": 2.0, "W": 1.8,
    r"\tanh": 4.5, r"\exp": 3.5, r"\log": 3.0, r"\max": 4.0,
    **dict.fromkeys((r"\bar", r"\dot", r"\overline", r"\left", r"\right", r"\frac"), 0.0),
    **dict.fromkeys((r"\mathit", r"\mathrm", r"\mathbb", r"\operatorname", r"\text"), 0.0),
}  # fmt: skip
_SCRIPT = 0.7  # how much smaller an index is
COMMAS = (",",)
TERMS = ("+", "-")
FACTORS = (r"\odot", r"\,")


def tokens(latex: str) -> Iterator[tuple[int, str, int]]:
    """Commands and characters, each with where it begins and how deep it is inside brackets."""
    depth = 0
    for match in _TOKEN.finditer(latex):
        token = match[0]
        depth = max(0, depth - _WHOLE * (token in _CLOSE) - (token == ")"))
        yield match.start(), token, depth
        depth += _WHOLE * (token in _OPEN) + (token == "(")


def relation(latex: str) -> tuple[str, str, str]:
    r"""What stands left of the first relation sign outside brackets, the sign, what stands right of it.

    ``("", "", latex)`` where there is none; ``("", "=", "a + b")`` for a line that continues another.
    """
    for start, token, depth in tokens(latex):
        if depth == 0 and token in RELATIONS:
            return latex[:start].strip(), token, latex[start + len(token) :].strip()
    return "", "", latex.strip()


def pieces(latex: str, signs: Collection[str], deepest: int = 0) -> list[str]:
    """The formula cut before those signs, after a comma.

    Only where no more than so many round brackets, and no others, are open.
    """
    cuts = [0]
    for start, token, depth in tokens(latex):
        before = latex[cuts[-1] : start].strip()
        if depth <= deepest and token in signs and before and before not in signs:
            cuts.append(start + (token in COMMAS))
    return [latex[a:b].strip() for a, b in zip(cuts, [*cuts[1:], len(latex)], strict=True)]


def aligned_row(latex: str) -> str:
    """The formula as a row of an aligned environment."""
    left, sign, right = relation(latex)
    return f"{left} &{sign} {right}".lstrip() if sign else f"& {right}"


def width(latex: str) -> float:
    """Roughly how wide a formula is, in letters."""
    total, script, scales = 0.0, 1.0, [1.0]
    for token in _TOKEN.findall(latex):
        if token in "^_":
            script = _SCRIPT
        elif token == "{":
            scales.append(scales[-1] * script)
            script = 1.0
        elif token == "}":
            scales = scales[:-1] or [1.0]
        else:
            total += scales[-1] * script * _WIDTHS.get(token, 1.0)
            script = 1.0
    return total
