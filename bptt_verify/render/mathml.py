"""LaTeX to MathML, by latex2mathml, with what browsers need set right."""

from __future__ import annotations

import html
import re
from functools import lru_cache
from itertools import pairwise
from xml.etree.ElementTree import Element, tostring

from latex2mathml.converter import Converter

from bptt_verify.errors import UsageError

_NAMESPACE = "http://www.w3.org/1998/Math/MathML"
_CHILDREN = {"mfrac": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}
_FOREIGN = {"href", "class", "style", "id"}
_NAMED_SPACES = {"thinmathspace": "0.167em", "negativethinmathspace": "-0.167em"}
_ACCENTS = ("\u00af", "\u02d9", "^", "~", "\u2192")
_LIMITS = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}
_LARGE = ("\u2211", "\u220f", "\u22c3", "\u22c2")  # where there is no room, a browser moves them by itself
_OVERLINE = "\u2015"
_PRIMES = ("\u2032", "\u2033", "\u2034")
_PAIRED = {"\u27e8": "prefix", "\u27e9": "postfix"}
_LINES = ("\u2016", "|")  # the same sign opens and closes


@lru_cache(maxsize=10_000)
def mathml(latex: str, displayed: bool = False) -> str:
    """A ``<math>`` element that stands in a line of text; its sums look as displayed if asked.

    Raises
    ------
    UsageError
        If the LaTeX is malformed or has a command that has no MathML.
    """
    try:
        tree = Converter(display="block" if displayed else "inline").convert_to_element(latex)
    except Exception as error:  # the converter's errors have no root of their own
        raise _unreadable(latex, f"{type(error).__name__} {error}".strip()) from error
    for element in tree.iter():
        element.text = element.text and html.unescape(element.text)
    _require_whole(tree, latex)
    for element in list(tree.iter()):
        _join_letters(element)
        _settle_limits(element)
        _settle_accent(element)
        _settle_prime(element)
        _settle_signs(element)
    tree.attrib = {"displaystyle": "true"} if displayed else {}
    tree.set("xmlns", _NAMESPACE)
    return tostring(tree, encoding="unicode")


def _require_whole(tree: Element, latex: str) -> None:
    for element in tree.iter():
        if re.match(r"\\[A-Za-z]", element.text or "") and element.tag != "mtext":
            raise _unreadable(latex, f"{element.text} is not known")
        if _FOREIGN.intersection(element.keys()):
            raise _unreadable(latex, "links and styles are not mathematics")
        if len(element) != _CHILDREN.get(element.tag, len(element)):
            raise _unreadable(latex, "an argument is missing")


def _unreadable(latex: str, why: str) -> UsageError:
    return UsageError(
        f"formula: latex={latex!r:.120} cannot be shown as MathML ({why}); "
        "expected LaTeX that KaTeX and MathJax share. Correct the formula."
    )


def _join_letters(row: Element) -> None:
    r"""One word for the letters of ``\mathit{word}``: browsers set separate letters apart."""
    variants = {e.get("mathvariant") for e in row}
    if len(row) < 2 or variants - {"italic", "normal"} or len(variants) != 1:
        return
    word = "".join(e.text or "" for e in row)
    for e in list(row):
        row.remove(e)
    row.tag, row.text = "mi", word
    if variants == {"italic"}:
        _add_style(row, "font-style:italic")


def _settle_accent(element: Element) -> None:
    """An accent stands close; few fonts have a bar that stretches over a word, so that one is a border."""
    if element.tag != "mover":
        return
    below, above = element
    if above.text in (*_ACCENTS, _OVERLINE):
        element.set("accent", "false")  # fonts draw true accents through the letter
    if above.text == _OVERLINE:
        above.text = _ACCENTS[0]
        _add_style(above, "color:transparent")
        _add_style(below, "border-top:0.055em solid;padding-top:0.1em")


def _settle_limits(element: Element) -> None:
    """The limits of a displayed sum stand below and above it, in brackets too."""
    if element.tag in _LIMITS and element[0].text in _LARGE:
        element.tag = _LIMITS[element.tag]


def _settle_prime(element: Element) -> None:
    """Fonts have raised primes."""
    if element.tag == "msup" and element[1].text in _PRIMES:
        element.tag, element[1].tag = "mrow", "mo"
        element[1].attrib.update(lspace="0", rspace="0")


def _add_style(element: Element, style: str) -> None:
    element.set("style", ";".join(filter(None, [element.get("style"), style])))


def _settle_signs(row: Element) -> None:
    """Operators whose kind or spacing the converter or the browser takes for another's."""
    for before, e, after in zip([None, *row], row, [*row[1:], None], strict=False):
        text = e.text or ""
        if e.tag in ("mi", "mo") and len(text) > 1 and text.isalpha() and e.get("style") is None:
            _settle_function(e, before, after)
        elif text in ("\u2202", "\u22a4"):
            e.tag = "mi"
        elif text in _PAIRED:
            e.tag = "mo"
            e.attrib.update(form=_PAIRED[text], stretchy="false")
        elif e.tag == "mo" and text == "/":
            e.attrib.update(lspace="0", rspace="0")
        elif e.tag == "mspace":
            e.set("width", _NAMED_SPACES.get(e.get("width", ""), e.get("width", "")))
    lines = [e for e in row if e.text in _LINES and e.get("form") is None]
    for first, second in list(pairwise(lines))[::2]:
        first.attrib.update(form="prefix", stretchy="false")
        second.attrib.update(form="postfix", stretchy="false")


def _settle_function(e: Element, before: Element | None, after: Element | None) -> None:
    """The name of a function: a thin space before it and, unless a bracket opens, after it."""
    if e.tag == "mi" and before is None and after is None:
        return  # a word in an index
    bracket = after is None or after.text == "(" or (len(after) and after[0].text == "(")
    e.tag = "mo"
    e.attrib.update(
        form="prefix",
        lspace="0" if before is None or before.tag == "mo" else "0.167em",
        rspace="0" if bracket else "0.167em",
    )
