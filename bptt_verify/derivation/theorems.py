"""The general theorems as documents: statements, assumptions, and the proofs that the rules made."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import partial

import sympy as sp

from bptt_verify.errors import UsageError
from bptt_verify.proof import CLAIMS, Chain, GeneralClaim, Part, Statement, Theorem, explained, labels
from bptt_verify.proof.explanation import Words, listed, shown
from bptt_verify.proof.kernel import Definition, entries, index, substitute
from bptt_verify.proof.printing import Written, bare, conditions
from bptt_verify.render import Block, Display, Document, Formula, Line, Prose, Section, Steps


def theorem_document(claim: str) -> Document:
    """A claim with all its theorems and their proofs, printed from the Theorem objects.

    Parameters
    ----------
    claim : str
        Such as ``"T1"``.

    Raises
    ------
    UsageError
        If there is no such claim.
    """
    if claim not in CLAIMS:
        raise UsageError(f"theorem_document: claim={claim!r}; expected one of {', '.join(CLAIMS)}.")
    general = CLAIMS[claim]
    sections = (Section(p.label, (*theorem_blocks(p), _opened(p))) for p in general.parts)
    return Document(f"{general.id} {general.title}", tuple(sections))


def theorem_blocks(part: Part) -> tuple[Block, ...]:
    """What the theorem says, for which indices, and from what."""
    return (Prose.of(f"{part.words}:"), *claimed(part.theorem), *definitions(part.theorem))


def claimed(theorem: Theorem) -> Iterable[Block]:
    """The statement, its conditions and its assumptions."""
    s = theorem.statement
    yield Display((Line(formula(s)),))
    if s.given:
        yield Prose.of("for ", _formula(Written.of(partial(conditions, s.given))), ".")
    yield from _chances(theorem)
    for a in sorted(theorem.assumptions, key=str):
        every = ", ".join(map(str, a.every))
        within = f" with {conditions(a.given)}" if a.given else ""
        front = f"Assumed for every {every}{within}: " if every else "Assumed: "
        yield Prose.of(front, formula(a), ".")


def _chances(theorem: Theorem) -> Iterable[Block]:
    """What is random, and that it is independent: that is part of what its letter means."""
    statements = (theorem.statement, *theorem.assumptions)
    terms = [x for s in statements for x in (s.left, s.right)]
    terms += [case.body for d in theorem.definitions for case in d.cases]
    for letter, indexed in sorted({(e.letter, bool(e.at)) for x in terms for e, _ in entries(x)}):
        if letter.random == "independent":
            one = _formula(Written.of(partial(bare, letter(index("t")) if indexed else letter())))
            words = "are independent random numbers" if indexed else "is one random number for all steps"
            yield Prose.of("Here ", one, f" {words}.")


def definitions(theorem: Theorem, known: Collection[Definition] = ()) -> Iterable[Block]:
    """The definitions that the theorem is about, but those already known."""
    for d in sorted(theorem.definitions - set(known), key=lambda d: str(d.letter.name)):
        yield Prose.of(_PREMISES.get(d.letter.name, "By definition"))
        yield Display(tuple(_cases(d)))


def proof_blocks(part: Part) -> tuple[Block, ...]:
    """The proof, line by line."""
    return tuple(b for chain in explained(part.theorem, labels(part.label)) for b in _chain(chain))


def _opened(part: Part) -> Steps:
    return Steps("Proof", proof_blocks(part), open=True)


def proof_steps(part: Part, known: Collection[Definition] = ()) -> Steps:
    """The statement and the proof, to open and close."""
    stated = (*claimed(part.theorem), *definitions(part.theorem, known))
    return Steps(f"{part.label}: {part.words}", (*stated, Prose.of("Proof."), *proof_blocks(part)))


def theorems_shown(general: GeneralClaim, *names: str) -> tuple[Block, ...]:
    """The statements of some parts, each with its label; the proofs are printed elsewhere."""
    blocks: list[Block] = []
    for part in (general.part(n) for n in names):
        blocks += [
            Prose.of(f"{part.label}. {part.words}:"),
            *claimed(part.theorem),
            *definitions(part.theorem),
        ]
    where = f"The proofs, step by step: theorem_document({general.id!r}), or bptt-verify prove {general.id}."
    return (*blocks, Prose.of(where))


def expression(term: sp.Expr) -> Formula:
    """A term as a formula."""
    return _formula(Written.of(partial(bare, term)))


def formula(s: Statement) -> Formula:
    """A statement as a formula, without its conditions."""
    return _formula(shown(s))


def _formula(w: Written) -> Formula:
    return Formula(w.text, w.latex)


def _prose(words: Words) -> Prose:
    return Prose(tuple(w if isinstance(w, str) else _formula(w) for w in words))


def _chain(chain: Chain) -> Iterable[Block]:
    if chain.title:
        yield _prose(chain.title)
    if chain.start is None:
        return
    first = Line(_formula(Written.of(partial(bare, chain.start))))
    rest = [
        Line(_formula(Written.of(partial(_right, link.relation, link.term))), link.reason)
        for link in chain.links
    ]
    yield Display((first, *rest))
    for link in dict.fromkeys(replace(link, term=sp.S.Zero) for link in chain.links):  # said once each
        if link.settings:
            where = f"In the line “{link.reason}”: "
            yield _prose((where, *listed(link.settings), "."))


def _right(relation: str, term: sp.Expr, hand) -> str:  # type: ignore[no-untyped-def]
    return f"{hand.at_most if relation == '≤' else '='} {bare(term, hand)}"


_PREMISES = {
    "∂h/∂w": "By the chain rule of one step, since the initial state does not depend on w:",
    "∂h/∂h_0": "By the chain rule of one step:",
    "λ": "With the adjoint defined backwards from the last step:",
    "c": "With the direct part, which collects the losses that read a state:",
    "Ĝ": "With the sensitivity through the last τ steps only:",
    "λ^τ": "With the influence of a step on the losses in its window:",
    "λ^ξ": "With the gated adjoint, backwards from the last step:",
    "μ": "With the adjoint of the chunk from a to e, run back from e:",
    "z": "With the gated sensitivity:",
    "z^1": "With one gated step from the exact derivative:",
    "z^s": "With the same gate at every step:",
    "dh/dw": "By the chain rule, with all that the values of earlier steps bring to what is fed written out:",
    "du/dw": "With the sensitivity of what is fed:",
    "do/dw": "With the sensitivity of the value that a step makes:",
    "λ^u": "With the adjoint of what is fed, through the values of later steps:",
    "J": "With the Jacobian that has the way through the output:",
    "A^u": "With the partial that has the way through the output:",
    "dh'/dw": "By the chain rule of the other mask or trajectory:",
    "λ'": "With its adjoint:",
    "(dh/dw)_det": "By the chain rule of one step, with what is fed held constant:",
    "(do/dw)_det": "With the sensitivity of the value, what is fed held constant:",
    "λ^det": "With the adjoint, what is fed held constant:",
    "Z": "With the gated sensitivity to the initial state:",
}


def _cases(d: Definition) -> Iterable[Line]:
    for case in d.cases:
        at, given = _fixed(d.at, case.given)
        line = Statement((), d.letter(at), "=", substitute(case.body, {d.at: at}))
        yield Line(formula(line), conditions(given))


def _fixed(at: sp.Symbol, given: tuple[sp.Expr, ...]) -> tuple[sp.Expr, tuple[sp.Expr, ...]]:
    """The one value of the index, where two conditions leave only one."""
    for g in given:
        if sp.expand(-g) in given:
            return sp.expand(at - g if g.coeff(at) == 1 else at + g), ()
    return at, given
