"""A theorem's own proof, in an order in which a person reads it.

What is shown is read off the Theorem: each line is the right side of one link of its chain, and its
reason is the rule that made that link.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import sympy as sp

from bptt_verify.proof.kernel import (
    Letter,
    Ordered,
    Statement,
    Theorem,
    Total,
    Transpose,
    assume,
    discharge,
    empty_product,
    entries,
    hypothesis,
    implies,
    induction,
    instantiate,
    resize,
    rewrite,
    shape,
    specialise,
    substitute,
    symmetric,
    transitive,
    transposition,
    unfold,
    weaken,
)
from bptt_verify.proof.kernel.theorems import same
from bptt_verify.proof.printing import (
    Written,
    bare,
    condition,
    conditions,
    index_text,
    sentence,
    written,
)

Names = Mapping[Theorem, str]
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
    return tuple(_chains(theorem, names, top=True))


def _chains(theorem: Theorem, names: Names, top: bool = False) -> Iterator[Chain]:
    if not top and theorem in names:
        yield Chain((f"By {names[theorem]}, ", shown(theorem.statement), "."))
    elif theorem.rule is induction:
        yield from _induction(theorem, names)
    elif theorem.rule in _INSTANCES:
        source, settings = _instance(theorem)
        yield from _chains(source, names)
        if settings:
            yield Chain(("With ", *listed(settings), " this is the claim."))
        if theorem.rule is discharge:
            yield Chain(("What was assumed of every step, ", shown(theorem.arguments[1]), ", holds:"))
            yield from _chains(theorem.arguments[2], names)
    else:
        yield Chain((), *_linked(theorem, names, ()))


def shown(s: Statement) -> Written:
    """A statement without its conditions."""
    return Written.of(partial(sentence, s))


def listed(parts: Iterable[Written]) -> Words:
    """With commas between."""
    words: list[str | Written] = []
    for p in parts:
        words += [", ", p] if words else [p]
    return tuple(words)


_INSTANCES = (specialise, resize, instantiate, weaken, discharge)


def _instance(theorem: Theorem) -> tuple[Theorem, list[Written]]:
    """What a theorem is an instance of, and what was put for what."""
    settings: list[Written] = []
    while theorem.rule in _INSTANCES:
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
    return s.left, [Link(s.relation, s.right, text, tuple(settings) if cited is not inner else ())]


def reason(theorem: Theorem, names: Names, known: tuple[Statement, ...] = ()) -> str:
    """Why one line follows from the one before, in plain words."""
    if theorem in names:
        return f"by {names[theorem]}"
    match theorem.rule:
        case rule if rule is symmetric:
            return _backwards(theorem.arguments[0], names, known)
        case rule if rule in _INSTANCES:
            return reason(_instance(theorem)[0], names, known)
        case rule if rule is assume:
            hypotheses = [k for k in known if same(k, theorem.arguments[0])]
            return "induction hypothesis" if hypotheses else "by assumption"
        case rule if rule is unfold:
            return _defined(theorem)
        case rule if rule is transposition:
            return _transposed(theorem.arguments[0].args[0])
        case rule if rule is empty_product and shape(theorem.arguments[0].body) == ():
            return "the power 0 is 1"
        case rule if rule is transitive:
            links = _linked(theorem, names, known)[1]
            return "; ".join(dict.fromkeys(link.reason for link in links))
        case rule if rule is rewrite:
            return reason(theorem.arguments[1], names, known)
    return str(theorem.rule.reason)  # type: ignore[attr-defined]


_DEFINED = {
    "∂h/∂w": ("h_0 does not depend on w", "chain rule of one step"),
    "∂h/∂h_0": ("h_0 differentiated by itself", "chain rule of one step"),
    "λ": ("the last step", "recursion of the adjoint"),
    "c": ("the direct part of the last step", "the direct part: both losses that read this state"),
    "λ^ξ": ("the last step", "recursion of the gated adjoint"),
    "μ": ("the end of the chunk", "recursion of the chunk's adjoint"),
    "z": ("it starts at 0", "one step with its gate"),
    "z^s": ("it starts at 0", "one step with the shared gate"),
    "Z": ("h_0 differentiated by itself", "one step with its gate"),
}


def _defined(theorem: Theorem) -> str:
    """The definition of a letter in words: of its first case, or of the recursion."""
    definition, at, given = theorem.arguments
    values = {definition.at: sp.sympify(at)}
    first = definition.cases[0]
    starts = all(implies(given, substitute(g, values)) for g in first.given)
    return _DEFINED.get(definition.letter.name, ("by definition",) * 2)[0 if starts else 1]


def _transposed(inner: sp.Expr) -> str:
    match inner:
        case sp.Add() | Total():
            return "transpose of a sum"
        case Ordered():
            return "transpose of a power"
        case sp.Mul():
            return "transpose of a product"
        case Transpose():
            return "transposed twice"
    return "transpose of the identity"


_BACKWARDS = {
    "split off the last term of the sum": "put the last term back under the sum",
    "split off the first term of the sum": "put the first term back under the sum",
    "peel the newest factor off the product": "put the newest factor back into the product",
    "peel the oldest factor off the product": "put the oldest factor back into the product",
    "a product of one factor": "one factor is a product",
    "the sum of a sum": "two sums with the same limits are one",
    "take the factor out of the sum": "put the factor under the sum",
    "an empty product is the identity": "the identity is an empty product",
    "the power 0 is 1": "the power 0 is 1",
    "an empty sum is 0": "0 is an empty sum",
}


def _backwards(inner: Theorem, names: Names, known: tuple[Statement, ...]) -> str:
    text = reason(inner, names, known)
    return "; ".join(_BACKWARDS.get(part, part) for part in reversed(text.split("; ")))
