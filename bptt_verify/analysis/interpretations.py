"""All the ways in which a text may be meant, the usual one first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations, product

from bptt_verify.analysis.claims import Claim
from bptt_verify.analysis.conventions import Convention, conventions
from bptt_verify.analysis.meaning import Cell
from bptt_verify.notation.printing import written
from bptt_verify.notation.spellings import GREEK
from bptt_verify.notation.tree import Arrangement, Letter, Path, Sum, Transpose, Tree
from bptt_verify.notation.tree import product as product_of
from bptt_verify.notation.vocabulary import THEORY
from bptt_verify.notation.walking import exchanged, free_letters, mapped, substituted, subtree, walk

MOST = 2_400  # arrangements of prod(…) that are tried
LAST = Letter("T", "count")


@dataclass(frozen=True)
class Interpretation:
    """A claim under a convention, with what has to be said about it."""

    claim: Claim
    convention: Convention
    cell: Cell
    notes: tuple[str, ...] = ()

    @property
    def said(self) -> tuple[str, ...]:
        """All notes."""
        return (*self.notes, *self.convention.notes())


def interpretations(readings: list[Claim], cell: Cell) -> list[Interpretation]:
    """Every interpretation of the readings of one claim.

    Parameters
    ----------
    readings : list of Claim
        As parsed, the usual one first, with letters resolved.
    cell : Cell
    """
    found = []
    for k, reading in enumerate(readings):
        note = (f"the text has several readings; this one is meant: {written(reading.right)}",) if k else ()
        for claim, said in _variants(reading, cell):
            choices = conventions(claim.left, reading.right, len(cell.state_value) > 1)
            found += [Interpretation(claim, c, cell, (*note, *said)) for c in choices]
    return found


def _variants(claim: Claim, cell: Cell) -> Iterator[tuple[Claim, tuple[str, ...]]]:
    for named, first in _shadowed(claim, cell):
        for last, said in _last_steps(named):
            for arranged, more in _arranged(last):
                yield arranged, (*first, *said, *more)
                if any(a != b for a, b in arranged.pairs) and arranged.letters:
                    yield (
                        replace(arranged, strict=True),
                        (*first, *said, *more, "for the earlier step k < t only"),
                    )


def _shadowed(claim: Claim, cell: Cell) -> Iterator[tuple[Claim, tuple[str, ...]]]:
    """The claim itself; and, beside letters of the theory, with a name such as c as one of them too."""
    yield claim, ()
    nodes = [t for side in (claim.left, claim.right) for _, t in walk(side) if isinstance(t, Letter)]
    hidden = {t.name for t in nodes if t.role == "value" and t.name in THEORY}
    if hidden and any(t.role == "theory" for t in nodes):

        def change(tree: Tree) -> Tree:
            own = isinstance(tree, Letter) and tree.role == "value" and tree.name in hidden
            return replace(tree, role="theory") if own else tree  # type: ignore[arg-type]

        name = min(hidden)
        note = f"{name}_t is read as a letter of the theory, not as the {name} of {cell.rec.name}"
        yield replace(claim, left=mapped(claim.left, change), right=mapped(claim.right, change)), (note,)


def _last_steps(claim: Claim) -> Iterator[tuple[Claim, tuple[str, ...]]]:
    """The claim itself; and with the last step for free letters that may stand for it: N, τ, upper limits."""
    sure = [x for x in claim.letters if x.isupper()]
    ends = {n for _, t in walk(claim.right) if isinstance(t, Sum) for n in free_letters(t.high)}
    maybe = [x for x in claim.letters if x == "tau" or (x in ends and x not in free_letters(claim.left))]
    if not sure:
        yield claim, ()
    if sure or maybe:
        sides = [claim.left, claim.right]
        for x in (*sure, *maybe):
            sides = [substituted(side, x, LAST) for side in sides]
        names = ", ".join(GREEK.get(x, x) for x in (*sure, *maybe))
        yield replace(claim, left=sides[0], right=sides[1]), (f"{names} is read as the last step T",)


def _arranged(claim: Claim) -> Iterator[tuple[Claim, tuple[str, ...]]]:
    """The claim with every ``prod(…)`` written out in some order."""
    places = [p for p, t in walk(claim.right) if isinstance(t, Arrangement)]
    if not places:
        yield claim, ()
        return
    for k, tree in enumerate(_orders(claim.right, places)):
        if k == MOST:
            return
        yield replace(claim, right=tree), (f"prod leaves the order open; true as {written(tree)}",)


def _orders(tree: Tree, places: list[Path]) -> Iterator[Tree]:
    """Every choice of orders, first those that arrange all prods of one length alike."""
    inner = sorted(places, key=len, reverse=True)
    counts = [len(_factors(tree, p)) for p in inner]
    patterns = {n: list(_patterns(n)) for n in set(counts)}
    alike = product(*patterns.values())
    for chosen in alike:
        table = dict(zip(patterns, chosen, strict=True))
        yield _with(tree, inner, [table[n] for n in counts])
    if len(inner) > 1:
        for each in product(*(patterns[n] for n in counts)):
            yield _with(tree, inner, list(each))


Pattern = tuple[tuple[int, bool], ...]  # which factor, and whether transposed


def _patterns(count: int) -> Iterator[Pattern]:
    for order in permutations(range(count)):
        for turned in product((False, True), repeat=count):
            yield tuple(zip(order, turned, strict=True))


def _factors(tree: Tree, path: Path) -> tuple[Tree, ...]:
    node = subtree(tree, path)
    return node.factors if isinstance(node, Arrangement) else ()


def _with(tree: Tree, places: list[Path], patterns: list[Pattern]) -> Tree:
    for path, pattern in zip(places, patterns, strict=True):
        factors = _factors(tree, path)
        chosen = [Transpose(factors[k]) if turned else factors[k] for k, turned in pattern]
        tree = exchanged(tree, path, product_of(chosen))
    return tree
