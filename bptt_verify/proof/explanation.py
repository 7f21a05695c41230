"""A theorem's own proof, in an order in which a person reads it.

What is shown is read off the Theorem: each line is the right side of one link of its chain, and its
reason is the rule that made that link.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import sympy as sp

from bptt_verify.proof.kernel import (
    Letter,
    Statement,
    Theorem,
    both_ways,
    combine,
    discharge,
    entries,
    hypothesis,
    induction,
    instantiate,
    resize,
    rewrite,
    root,
    specialise,
    symmetric,
    transitive,
)
from bptt_verify.proof.printing import (
    Hand,
    Written,
    bare,
    condition,
    conditions,
    index_text,
    joined,
    sentence,
    written,
)
from bptt_verify.proof.reasons import INSTANCES, Names, premises, reason

Words = tuple[str | Written, ...]


@dataclass(frozen=True)
class Link:
    """One line of a calculation.

    Attributes
    ----------
    relation : {"=", "≤"}
    term : sympy.Expr
    reason : str
        The rule, in words.
    settings : tuple of Written
        What was put for what in a theorem that is cited: ``A_i = V x_i``.
    """

    relation: str
    term: sp.Expr
    reason: str
    settings: tuple[Written, ...] = ()


@dataclass(frozen=True)
class Chain:
    """A remark, and the calculation that follows it, if one does."""

    title: Words
    start: sp.Expr | None = None
    links: tuple[Link, ...] = field(default=())


def explained(theorem: Theorem, names: Names) -> tuple[Chain, ...]:
    """The proof as chains of lines.

    Parameters
    ----------
    theorem : Theorem
    names : mapping of Theorem to str
        Theorems that are cited by name instead of being proved again.
    """
    others = {cited: name for cited, name in names.items() if cited is not theorem}
    return tuple(_chains(theorem, others))


def _chains(theorem: Theorem, names: Names) -> Iterator[Chain]:
    if theorem in names:
        yield Chain((f"By {names[theorem]}, ", shown(theorem.statement), "."))
    elif theorem.rule is induction:
        yield from _induction(theorem, names)
    elif theorem.rule in INSTANCES:
        source, settings = _instance(theorem)
        yield from _chains(source, names)
        if settings:
            yield Chain(("With ", *listed(settings), " this is the claim."))
        if theorem.rule is discharge:
            yield Chain(("What was assumed of every step, ", shown(theorem.arguments[1]), ", holds:"))
            yield from _chains(theorem.arguments[2], names)
    else:
        first = tuple(dict.fromkeys(_lemmas(theorem, names, ())))
        yield from first
        yield Chain(("Hence:",) if first else (), *_linked(theorem, names, ()))


def _lemmas(theorem: Theorem, names: Names, known: tuple[Statement, ...]) -> Iterator[Chain]:
    """What a chain needs first: inequalities that a root is taken of, or that make an equation."""
    if theorem in names:
        return
    if theorem.rule in (root, both_ways):
        for premise in filter(_is_theorem, theorem.arguments):
            yield from _lemmas(premise, names, known)
            yield Chain(("First, ", shown(premise.statement), ":"), *_linked(premise, names, known))
    elif theorem.rule in (transitive, symmetric, rewrite):
        for premise in filter(_is_theorem, theorem.arguments):
            yield from _lemmas(premise, names, known)
    elif theorem.rule is combine:
        for premise in (p for _, theorems in premises(theorem) for p in theorems):
            yield from _lemmas(premise, names, known)


def _is_theorem(argument: object) -> bool:
    return isinstance(argument, Theorem)


def shown(s: Statement) -> Written:
    """A statement without its conditions."""
    return Written.of(partial(sentence, s))


def listed(parts: Iterable[Written]) -> Words:
    """With commas between."""
    words: list[str | Written] = []
    for p in parts:
        words += [", ", p] if words else [p]
    return tuple(words)


def _instance(theorem: Theorem) -> tuple[Theorem, list[Written]]:
    """What a theorem is an instance of, and what was put for what."""
    settings: list[Written] = []
    while theorem.rule in INSTANCES:
        settings = _setting(theorem) + settings
        theorem = theorem.arguments[0]
    return theorem, settings


def _setting(theorem: Theorem) -> list[Written]:
    if theorem.rule is specialise:
        source, letter, at, body = theorem.arguments
        left = letter(at) if _indexed(source, letter) else letter()
        return (
            [Written.of(lambda hand: f"{written(left, hand)} = {bare(body, hand)}")] if left != body else []
        )
    if theorem.rule is resize and theorem.arguments[2] == "1":
        return [Written.of(lambda hand: f"{theorem.arguments[1]} = 1")]
    if theorem.rule is instantiate:
        pairs = [(k, sp.sympify(v)) for k, v in theorem.arguments[1]]
        return [_equal(k, v) for k, v in pairs if k != v]
    return []


def _equal(k: sp.Symbol, v: sp.Expr) -> Written:
    return Written.of(lambda hand: f"{k} = {index_text(v)}")


def _indexed(theorem: Theorem, letter: Letter) -> bool:
    """Whether the letter stands for a family with one member a step in the theorem."""
    s = theorem.statement
    terms = [s.left, s.right, *(c.body for d in theorem.definitions for c in d.cases)]
    return any(e.at for term in terms for e, _ in entries(term) if e.letter == letter)


def _induction(theorem: Theorem, names: Names) -> Iterator[Chain]:
    claim, over, start, onward, base, step = theorem.arguments
    start = sp.sympify(start)
    known = hypothesis(claim, over, start, onward)
    at_start = Written.of(lambda hand: f"{over} = {index_text(start)}")
    yield Chain(("Base, ", at_start, ":"), *_linked(base, names, (known,)))
    u = known.every[0]
    within = [g for g in known.given if u in g.free_symbols]
    beyond = Written.of(partial(condition, sp.expand(onward * (over - start) - 1)))
    assumed = Written.of(lambda hand: conditions(within, hand))
    title = ("Step, ", beyond, ", where the claim is assumed for every ", _symbol(u), " with ", assumed, ":")
    yield from _lemmas(step, names, (known,))
    yield Chain(title, *_linked(step, names, (known,)))


def _symbol(k: sp.Symbol) -> Written:
    return Written(str(k), str(k))


def _linked(theorem: Theorem, names: Names, known: tuple[Statement, ...]) -> tuple[sp.Expr, tuple[Link, ...]]:
    start, links = _all_links(theorem, names, known)
    merged: list[Link] = []
    for link in links:
        if merged and written(merged[-1].term) == written(link.term):  # another bound index looks the same
            last = merged.pop()
            joined = "; ".join(dict.fromkeys([*last.reason.split("; "), link.reason]))
            link = Link(last.relation, link.term, joined, last.settings + link.settings)
        merged.append(link)
    return start, tuple(merged)


def _all_links(theorem: Theorem, names: Names, known: tuple[Statement, ...]) -> tuple[sp.Expr, list[Link]]:
    if theorem.rule is transitive:
        first, second = theorem.arguments
        start, links = _all_links(first, names, known)
        return start, [*links, *_all_links(second, names, known)[1]]
    s = theorem.statement
    inner = theorem.arguments[1] if theorem.rule is rewrite else theorem
    cited, settings = _instance(inner)
    text = reason(inner, names, known)
    said = tuple(settings) if cited is not inner else _added(inner)
    return s.left, [Link(s.relation, s.right, text, said)]


def _added(theorem: Theorem) -> tuple[Written, ...]:
    """What ``combine`` adds, if that made the theorem: ``right - left``, one summand after another."""
    if theorem.rule is not combine:
        return ()
    left, right, _ = theorem.arguments

    def write(hand: Hand) -> str:
        parts = [[f, *(p.statement.right - p.statement.left for p in ps)] for f, ps in premises(theorem)]
        texts = [joined([x for x in part if x != 1], hand) or "1" for part in parts]
        return f"{bare(right - left, hand)} = {' + '.join(texts)}"

    return (Written.of(write),)
