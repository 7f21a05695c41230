"""Terms, conditions and statements as a person writes them: plain text and LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import sympy as sp

from bptt_verify.proof.kernel import (
    Entry,
    Mean,
    Norm,
    Ordered,
    Statement,
    Total,
    Trace,
    Transpose,
    entries,
    factors,
    free,
    shape,
    substitute,
)


@dataclass(frozen=True)
class Hand:
    """How one notation writes what the terms are made of.

    Attributes
    ----------
    entry : callable
        A letter's name and its index, for example ``("J", "t")``.
    total, norm, absolute, mean, trace, power, fraction : callable
    transpose, dots, at_most : str
    """

    entry: Callable[[str, str], str]
    total: Callable[[str, str, str], str]
    power: Callable[[str, str], str]
    fraction: Callable[[str, str], str]
    transpose: str
    dots: str
    norm: tuple[str, str]
    absolute: tuple[str, str]
    mean: tuple[str, str]
    trace: str
    brackets: tuple[str, str]
    at_most: str
    at_least: str
    times: str


def _text_entry(name: str, at: str) -> str:
    if not at:
        return name
    index = f"_{at}" if len(at) == 1 else f"_{{{at}}}"
    top, *bottom = name.split("/")
    return "/".join([f"{top}{index}", *bottom]) if bottom and not top.endswith("L") else _onto(name, index)


def _onto(name: str, index: str) -> str:
    """The index on the last letter: ``∂L/∂o`` becomes ``∂L/∂o_t``, ``∂L/∂w`` becomes ``∂L_t/∂w``."""
    if name == "∂⁺L/∂w":
        return f"∂⁺L{index}/∂w"
    return f"{name}{index}"


def _letter_latex(name: str) -> str:
    stem, _, rest = name.partition("_")
    stem, _, above = stem.partition("^")
    stem = "".join(_GREEK.get(ch, ch) for ch in stem) + f"^{{{above}}}" * bool(above)
    stem = stem.replace("∂⁺", r"\partial^{+} ").replace("∂", r"\partial ")
    return f"{stem}_{{{rest}}}" if rest else stem


_GREEK = {
    "α": r"\alpha",
    "β": r"\beta",
    "γ": r"\gamma",
    "Δ": r"\Delta ",
    "η": r"\eta ",
    "θ": r"\theta ",
    "κ": r"\kappa",
    "λ": r"\lambda",
    "μ": r"\mu",
    "ξ": r"\xi",
    "π": r"\pi",
    "ρ": r"\rho",
    "τ": r"\tau",
    "Ĝ": r"\hat{G}",
}


def _latex_entry(name: str, at: str) -> str:
    index = f"_{{{at}}}" if at else ""
    if name.startswith("("):
        inner, _, mark = name[1:].partition(")_")
        return rf"\left( {_latex_entry(inner, at)} \right)_{{\mathrm{{{mark}}}}}"
    if "/" not in name:
        return f"{_letter_latex(name)}{index}"
    top, bottom = (_letter_latex(p) for p in name.split("/"))
    if name.startswith(("∂h", "dh", "du", "do", "∂⁺L")):
        return rf"\frac{{{top}{index}}}{{{bottom}}}"
    return rf"\frac{{{top}}}{{{bottom}{index}}}"


TEXT = Hand(
    entry=_text_entry,
    total=lambda bound, low, high: f"Σ_{{{bound}={low}}}^{{{high}}} ",
    power=lambda base, exponent: f"{base}^{exponent}" if len(exponent) == 1 else f"{base}^{{{exponent}}}",
    fraction=lambda p, q: f"{p}/{q}",
    transpose="ᵀ",
    dots=" ⋯ ",
    norm=("‖", "‖"),
    absolute=("|", "|"),
    mean=("E[", "]"),
    trace="tr",
    brackets=("(", ")"),
    at_most="≤",
    at_least="≥",
    times=" ",
)
LATEX = Hand(
    entry=_latex_entry,
    total=lambda bound, low, high: rf"\sum_{{{bound}={low}}}^{{{high}}} ",
    power=lambda base, exponent: f"{{{base}}}^{{{exponent}}}",
    fraction=lambda p, q: rf"\frac{{{p}}}{{{q}}}",
    transpose=r"^{\top}",
    dots=r" \cdots ",
    norm=(r"\left\Vert ", r" \right\Vert"),
    absolute=(r"\left\vert ", r" \right\vert"),
    mean=(r"\mathbb{E}\left[ ", r" \right]"),
    trace=r"\operatorname{tr}",
    brackets=(r"\left( ", r" \right)"),
    at_most=r"\le",
    at_least=r"\ge",
    times=r"\, ",
)


def index_text(expr: sp.Expr) -> str:
    """An index expression: indices in the order in which one writes them, constants last."""
    coefficients = expr.as_coefficients_dict().items()
    terms = sorted(coefficients, key=lambda kv: (kv[0] == 1, bool(kv[1] < 0), str(kv[0])))
    text = ""
    for atom, coefficient in terms:
        size = abs(coefficient)
        body = str(size) if atom == 1 else f"{'' if size == 1 else size}{atom}"
        sign = "-" if coefficient < 0 else "+" if text else ""
        text += sign + body
    return text or "0"


def written(term: sp.Expr, hand: Hand = TEXT) -> str:
    """A term in the given notation."""
    match term:
        case Entry():
            return hand.entry(term.letter.name, ",".join(map(index_text, term.at)))
        case Total():
            front = hand.total(str(term.bound), index_text(term.low), index_text(term.high))
            body = written(term.body, hand)
            return front + (_in_brackets(body, hand) if term.body.is_Add else body)
        case Ordered():
            return _ordered(term, hand)
        case Transpose():
            return _raised(term.args[0], hand) + hand.transpose
        case Norm() if shape(term.args[0]) == ():
            return hand.absolute[0] + bare(term.args[0], hand) + hand.absolute[1]
        case Norm():
            return hand.norm[0] + bare(term.args[0], hand) + hand.norm[1]
        case Mean():
            return hand.mean[0] + bare(term.args[0], hand) + hand.mean[1]
        case Trace() if _is_number(term):
            return _in_brackets(bare(term.args[0], hand), hand)
        case Trace():
            return hand.trace + _in_brackets(bare(term.args[0], hand), hand)
        case sp.Add():
            return _sum(term, hand)
        case sp.Mul():
            return _product(term, hand)
        case sp.Pow():
            return hand.power(_grouped(term.base, hand), str(term.exp))
        case sp.Rational() if term.q != 1:
            return hand.fraction(str(term.p), str(term.q))
    return str(term)


def bare(term: sp.Expr, hand: Hand = TEXT) -> str:
    """A term that stands alone: an ordered or inner product needs no brackets there."""
    if isinstance(term, Ordered) and not _is_power(term):
        return _unbracketed(term, hand)
    return written(term.args[0] if _is_number(term) else term, hand)


def _is_number(term: sp.Expr) -> bool:
    """Whether it is the trace of a 1 × 1 matrix, which one writes as the matrix."""
    return isinstance(term, Trace) and shape(term.args[0]) == ("1", "1")


def _in_brackets(text: str, hand: Hand) -> str:
    return hand.brackets[0] + text + hand.brackets[1]


def _grouped(term: sp.Expr, hand: Hand) -> str:
    """A term that something is attached to."""
    text = written(term, hand)
    single = isinstance(term, Entry | Norm | Mean | Trace) or term.is_Number
    bracketed = isinstance(term, Ordered) and not _is_power(term)
    if isinstance(term, Entry) and "/" in term.letter.name:
        single = False
    return text if single or bracketed else _in_brackets(text, hand)


def _raised(term: sp.Expr, hand: Hand) -> str:
    """A term that stands under a transpose: LaTeX does not allow two superscripts."""
    text = _grouped(term, hand)
    twice = hand is LATEX and isinstance(term, Entry) and "^" in term.letter.name
    return f"{{{text}}}" if twice else text


def _is_power(term: Ordered) -> bool:
    return term.bound not in free(term.body)


def _ordered(term: Ordered, hand: Hand) -> str:
    if _is_power(term):
        exponent = index_text(sp.expand(term.high - term.low + 1))
        return hand.power(_grouped(term.body, hand), exponent)
    return _in_brackets(_unbracketed(term, hand), hand)


def _unbracketed(term: Ordered, hand: Hand) -> str:
    newest, oldest = (substitute(term.body, {term.bound: end}) for end in (term.high, term.low))
    return _factor(newest, hand) + hand.dots + _factor(oldest, hand)


def _sum(term: sp.Add, hand: Hand) -> str:
    text = ""
    for part in sorted(term.args, key=_order):
        negative = _is_negative(part)
        body = written(-part if negative else part, hand)
        if negative and (-part).is_Add:
            body = _in_brackets(body, hand)
        text += (" - " if negative else " + ") + body if text else ("-" if negative else "") + body
    return text


def _is_negative(part: sp.Expr) -> bool:
    return bool(part.as_coeff_Mul()[0].is_negative)


def _order(part: sp.Expr) -> tuple[int, int, int, str]:
    """Single letters first, then products, then sums: the order of the formulas in a textbook."""
    if part.is_Number and _is_negative(part):
        return (2, 0, 0, "")
    return (int(part.has(Total)), len(list(entries(part))), int(_is_negative(part)), str(part))


def _product(term: sp.Mul, hand: Hand) -> str:
    scalar, ordered = factors(term)
    scalars = [
        f
        for f in sorted(
            sp.Mul.make_args(scalar), key=lambda f: (not f.is_Number, isinstance(f, Norm), str(f))
        )
        if f != 1
    ]
    front = "-" if scalars and scalars[0] == -1 else ""
    parts = [_factor(f, hand) for f in (*scalars[bool(front) :], *ordered)]
    if ordered and isinstance(ordered[-1], Total) and not ordered[-1].body.is_Add:
        parts[-1] = written(ordered[-1], hand)  # a sum at the end needs no brackets
    return front + hand.times.join(parts)


def joined(parts: Iterable[sp.Expr], hand: Hand = TEXT) -> str:
    """Factors as they are given: nothing is brought to an order or multiplied out."""
    return hand.times.join(_factor(part, hand) for part in parts)


def _factor(term: sp.Expr, hand: Hand) -> str:
    text = written(term, hand)
    return _in_brackets(text, hand) if isinstance(term, sp.Add | sp.Mul | Total) else text


def condition(expr: sp.Expr, hand: Hand = TEXT) -> str:
    """A condition ``expr ≥ 0``, with what is subtracted on the other side."""
    constant = expr.as_coefficients_dict().get(sp.S.One, 0)
    strict = constant == -1 and len(expr.free_symbols) > 1
    sides: tuple[list[sp.Expr], list[sp.Expr]] = [], []
    for atom, coefficient in (expr + int(strict)).as_coefficients_dict().items():
        sides[bool(coefficient < 0)].append(abs(coefficient) * atom)
    large, small = (index_text(sp.Add(*side)) for side in sides)
    if large.isnumeric() or (large == "T" and not small.isnumeric()):  # t ≤ T reads better than T ≥ t
        return f"{small} {'<' if strict else hand.at_most} {large}"
    return f"{large} {'>' if strict else hand.at_least} {small}"


def conditions(given: Iterable[sp.Expr], hand: Hand = TEXT) -> str:
    """All conditions, or nothing; two bounds of one index in one piece: ``1 ≤ t ≤ T``."""
    rest = {g: condition(g, hand) for g in given}
    texts = []
    for k in sorted({k for g in rest for k in g.free_symbols}, key=lambda k: (str(k).isupper(), str(k))):
        low = [g for g in rest if g.coeff(k) == 1]
        high = [g for g in rest if g.coeff(k) == -1]
        if len(low) == len(high) == 1:
            del rest[low[0]], rest[high[0]]
            limit = sp.expand(high[0] + k)
            strict = limit.as_coefficients_dict().get(sp.S.One, 0) == -1
            relation = "<" if strict else hand.at_most
            first, last = index_text(sp.expand(k - low[0])), index_text(sp.expand(limit + int(strict)))
            texts.append(f"{first} {hand.at_most} {k} {relation} {last}")
    return ", ".join([*texts, *rest.values()])


def sentence(s: Statement, hand: Hand = TEXT) -> str:
    """The statement without its conditions: ``left = right``."""
    relation = "=" if s.relation == "=" else hand.at_most
    return f"{bare(s.left, hand)} {relation} {bare(s.right, hand)}"


@dataclass(frozen=True)
class Written:
    """Something in both notations."""

    text: str
    latex: str

    def __str__(self) -> str:
        return self.text

    @staticmethod
    def of(write: Callable[[Hand], str]) -> Written:
        """From a function that writes it in either."""
        return Written(write(TEXT), write(LATEX).replace("τ", r"\tau "))
