"""A theorem's own proof, in an order in which a person reads it.

What is shown is read off the Theorem: each line is the right side of one link of its chain, and its
reason is the rule that made that link.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sympy as sp

from bptt_verify.proof.kernel import (
    Letter,
    Statement,
    Theorem,
    assume,
    discharge,
    entries,
    hypothesis,
    induction,
    instantiate,
    resize,
    rewrite,
    specialise,
    symmetric,
    transitive,
    unfold,
    weaken,
)
from bptt_verify.proof.kernel.theorems import same
from bptt_verify.proof.printing import condition, conditions, index_text, sentence, written

Names = Mapping[Theorem, str]


@dataclass(frozen=True)
class Link:
    """One line: ``relation term``, and the reason in words."""

    relation: str
    term: sp.Expr
    reason: str


@dataclass(frozen=True)
class Chain:
    """A calculation, or a remark without one.

    Attributes
    ----------
    title : str
        What it shows: ``"Base, t = 1"``; empty for a proof that is one calculation.
    start : sympy.Expr or None
    links : tuple of Link
    """

    title: str
    start: sp.Expr | None = None
    links: tuple[Link, ...] = ()


def explained(theorem: Theorem, names: Names) -> tuple[Chain, ...]:
    """The proof as chains of lines.

    Parameters
    ----------
    theorem : Theorem
    names : mapping of Theorem to str
        Theorems that are cited by name instead of being proved again.
    """
    return tuple(_chains(theorem, names, top=True))


def _chains(theorem: Theorem, names: Names, top: bool = False) -> Iterator[Chain]:
    if not top and theorem in names:
        yield Chain(f"By {names[theorem]}: {sentence(theorem.statement)}.")
    elif theorem.rule is induction:
        yield from _induction(theorem, names)
    elif theorem.rule in _INSTANCES:
        source, settings = _instance(theorem)
        yield from _chains(source, names)
        if settings:
            yield Chain(f"Here {', '.join(settings)}.")
        if theorem.rule is discharge:
            proved = sentence(theorem.arguments[1])
            yield Chain(f"What was assumed of every step, {proved}, holds:")
            yield from _chains(theorem.arguments[2], names)
    else:
        yield Chain("", *_linked(theorem, names, ()))


_INSTANCES = (specialise, resize, instantiate, weaken, discharge)


def _instance(theorem: Theorem) -> tuple[Theorem, list[str]]:
    """What a theorem is an instance of, and what was put for what."""
    settings: list[str] = []
    while theorem.rule in _INSTANCES:
        settings = _setting(theorem) + settings
        theorem = theorem.arguments[0]
    return theorem, settings


def _setting(theorem: Theorem) -> list[str]:
    if theorem.rule is specialise:
        source, letter, at, body = theorem.arguments
        return [f"{written(letter(at) if _indexed(source, letter) else letter())} = {written(body)}"]
    if theorem.rule is resize and theorem.arguments[2] == "1":
        return [f"{theorem.arguments[1]} = 1"]
    if theorem.rule is instantiate:
        return [f"{k} = {index_text(sp.sympify(v))}" for k, v in theorem.arguments[1]]
    return []


def _indexed(theorem: Theorem, letter: Letter) -> bool:
    """Whether the letter stands for a family with one member a step in the theorem."""
    s = theorem.statement
    terms = [s.left, s.right, *(c.body for d in theorem.definitions for c in d.cases)]
    return any(e.at for term in terms for e, _ in entries(term) if e.letter == letter)


def _induction(theorem: Theorem, names: Names) -> Iterator[Chain]:
    claim, over, start, onward, base, step = theorem.arguments
    start = sp.sympify(start)
    known = hypothesis(claim, over, start, onward)
    yield Chain(f"Base, {over} = {index_text(start)}:", *_linked(base, names, (known,)))
    u = known.every[0]
    bounds = conditions(g for g in known.given if u in g.free_symbols)
    beyond = condition(sp.expand(onward * (over - start) - 1))
    text = f"Step, {beyond}, where the claim is assumed for every {u} with {bounds}:"
    yield Chain(text, *_linked(step, names, (known,)))


def _linked(theorem: Theorem, names: Names, known: tuple[Statement, ...]) -> tuple[sp.Expr, tuple[Link, ...]]:
    start, links = _all_links(theorem, names, known)
    shown: list[Link] = []
    for link in links:
        if shown and written(shown[-1].term) == written(link.term):  # another bound index looks the same
            joined = dict.fromkeys([*shown[-1].reason.split("; "), link.reason])
            link = Link(link.relation, link.term, "; ".join(joined))
            del shown[-1]
        shown.append(link)
    return start, tuple(shown)


def _all_links(theorem: Theorem, names: Names, known: tuple[Statement, ...]) -> tuple[sp.Expr, list[Link]]:
    if theorem.rule is transitive:
        first, second = theorem.arguments
        start, links = _all_links(first, names, known)
        return start, [*links, *_all_links(second, names, known)[1]]
    s = theorem.statement
    inner = theorem.arguments[1] if theorem.rule is rewrite else theorem
    return s.left, [Link(s.relation, s.right, reason(inner, names, known))]


def reason(theorem: Theorem, names: Names, known: tuple[Statement, ...] = ()) -> str:
    """Why one line follows from the one before, in words."""
    if theorem in names:
        return f"by {names[theorem]}"
    match theorem.rule:
        case rule if rule is symmetric:
            inner = theorem.arguments[0]
            return _backwards(inner, reason(inner, names, known))
        case rule if rule is assume:
            hypotheses = [k for k in known if same(k, theorem.arguments[0])]
            return "induction hypothesis" if hypotheses else "by assumption"
        case rule if rule is unfold:
            return f"definition of {_name(theorem.arguments[0].letter)}"
        case rule if rule is transitive:
            return f"since {sentence(theorem.statement)}"
        case rule if rule in _INSTANCES:
            source, settings = _instance(theorem)
            settings = [x for x in settings if x.split(" = ")[0] != x.split(" = ")[-1]]
            return reason(source, names, known) + (f" with {', '.join(settings)}" if settings else "")
        case rule if rule in (induction, rewrite):
            return f"since {sentence(theorem.statement)}"
    return str(theorem.rule.reason)  # type: ignore[attr-defined]


_BACKWARDS = {
    "split off the last term of the sum": "put the last term back under the sum",
    "split off the first term of the sum": "put the first term back under the sum",
    "peel the newest factor off the product": "the newest factor back into the product",
    "peel the oldest factor off the product": "the oldest factor back into the product",
    "a product of one factor": "one factor, as a product",
    "the sum of a sum": "two sums with the same limits are one",
    "take the factor out of the sum": "put the factor under the sum",
    "an empty product is the identity": "the identity is an empty product",
    "an empty sum is 0": "0 is an empty sum",
    "transposition": "transposition",
    "the trace of a sum": "the trace of a sum",
}


def _backwards(inner: Theorem, text: str) -> str:
    if inner.rule is transitive:
        s = inner.statement
        return f"since {written(s.right)} = {written(s.left)}"
    return _BACKWARDS.get(text, text)


def _name(letter: Letter) -> str:
    return written(letter(sp.Symbol("t", integer=True)))


__all__ = ["Chain", "Link", "explained", "reason"]
