"""Every small change of a formula that undoes one misprint, with the name of that misprint.

A rule yields changed trees; what it may assume is the tree, the cell, and the free letters of the claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

from bptt_verify.analysis.meaning import Cell
from bptt_verify.notation.printing import written
from bptt_verify.notation.tree import (
    Derivative,
    Hadamard,
    Letter,
    Number,
    OrderedProduct,
    Outer,
    Path,
    Power,
    Product,
    Quotient,
    Sum,
    Transpose,
    Tree,
    add,
    moved,
    negative,
    number,
    product,
)
from bptt_verify.notation.walking import exchanged, free_letters, replace, subtree, walk

COUNT = Letter("T", "count")


@dataclass(frozen=True)
class Place:
    """Where a rule works.

    Attributes
    ----------
    tree : Tree
        The right side.
    cell : Cell
    letters : frozenset of str
        The free letters of the claim.
    """

    tree: Tree
    cell: Cell
    letters: frozenset[str]

    def walk(self) -> Iterator[tuple[Path, Tree]]:
        """Every part with its path."""
        return walk(self.tree)

    def scope(self, path: Path) -> set[str]:
        """The index letters that may stand at a path."""
        found = set(self.letters)
        for k in range(len(path)):
            above = subtree(self.tree, path[:k])
            if isinstance(above, Sum | OrderedProduct) and path[k][0] == "body":
                found.add(above.variable)
        return found

    def steps(self) -> list[Tree]:
        """The steps that occur, and the free letters."""
        found = {p.index for _, p in self.walk() if isinstance(p, Letter) and p.index is not None}
        return sorted(found | {Letter(n, "index") for n in self.letters}, key=written)

    def inside(self, path: Path, *kinds: type) -> bool:
        """Whether the part directly above a path is of one of these kinds."""
        return bool(path) and isinstance(subtree(self.tree, path[:-1]), kinds)

    def is_product(self, path: Path, part: Product) -> bool:
        """Whether a product is one of factors, not minus one of them nor part of a step."""
        return not self.in_step(path) and not (len(part.factors) == 2 and isinstance(part.factors[0], Number))

    def in_step(self, path: Path) -> bool:
        """Whether a path leads into a step, a limit or an exponent."""
        return any(name in ("index", "low", "high", "first", "last", "exponent") for name, _ in path)


@dataclass(frozen=True)
class Edit:
    """A changed formula.

    Attributes
    ----------
    name : str
        Of the misprint that the change undoes, such as ``"missing transpose"``.
    sentence : str
        What to write instead.
    tree : Tree
    """

    name: str
    sentence: str
    tree: Tree


Rule = Callable[[Place], Iterator[Edit]]


def instead(name: str, p: Place, path: Path, new: Tree) -> Edit:
    """An edit of one part."""
    old = written(subtree(p.tree, path))
    return Edit(name, f"with `{written(new)}` in place of `{old}` it is right", exchanged(p.tree, path, new))


def scales(p: Place) -> Iterator[Edit]:
    """A forgotten or superfluous factor of the whole, or its sign."""
    for name, what, new in (
        ("missing factor 1/T", "1/T", Quotient(p.tree, COUNT)),
        ("extra factor 1/T", "T", product([COUNT, p.tree])),
        ("wrong sign", "-1", negative(p.tree)),
        ("missing factor 2", "2", product([number(2), p.tree])),
        ("extra factor 2", "1/2", product([Number(Fraction(1, 2)), p.tree])),
    ):
        yield Edit(name, f"with the factor {what} before all of it, it is right", new)


def sums(p: Place) -> Iterator[Edit]:
    """A forgotten Σ."""
    for name in sorted(free_letters(p.tree)):
        whole = Sum(name, number(1), COUNT, p.tree)
        shown = f"with `Σ_{{{name}=1}}^{{T}}` before all of it"
        yield Edit("missing sum", f"{shown}, it is right", whole)
        yield Edit("missing sum", f"{shown} and the factor 1/T, it is right", Quotient(whole, COUNT))


def transposes(p: Place) -> Iterator[Edit]:
    """A forgotten or superfluous transpose; an outer product written the wrong way round."""
    for path, part in p.walk():
        if isinstance(part, Transpose):
            yield instead("extra transpose", p, path, part.body)
        elif _can_turn(part) and not p.inside(path, Transpose, Derivative, Letter):
            yield instead("missing transpose", p, path, Transpose(part))
    for path, part in p.walk():
        if isinstance(part, Outer):
            yield instead("outer product swapped", p, path, Outer(part.right, part.left))
        if isinstance(part, Product) and p.is_product(path, part):
            first, last = part.factors[0], part.factors[-1]
            turned = isinstance(last, Transpose) and isinstance(last.body, Letter | Derivative)
            outer = turned and isinstance(first, Letter | Derivative)
            name = "outer product swapped" if outer else "missing transpose"
            yield instead(name, p, path, Transpose(part))


def _can_turn(part: Tree) -> bool:
    if isinstance(part, Letter):
        return part.role in ("param", "value", "theory") and part.name != "omega"
    return isinstance(part, Derivative | OrderedProduct)


# ---- steps, limits, exponents ----


def near_steps(p: Place) -> Iterator[Edit]:
    """One letter one step off."""
    for path, part in _stepped(p):
        for by in (1, -1):
            yield instead("wrong step", p, path, replace(part, index=moved(part.index, by)))


def all_steps(p: Place) -> Iterator[Edit]:
    """A letter that stands in several places, one step off in all of them."""
    for part, paths in _repeated(p).items():
        for by in (1, -1):
            new = replace(part, index=moved(part.index, by))
            changed = p.tree
            for path in paths:
                changed = exchanged(changed, path, new)
            sentence = f"with `{written(new)}` in place of every `{written(part)}` it is right"
            yield Edit("wrong step", sentence, changed)


def far_steps(p: Place) -> Iterator[Edit]:
    """One letter at the step of another letter, or a sum of steps."""
    for path, part in _stepped(p):
        scope = p.scope(path)
        letters = [COUNT, *(Letter(n, "index") for n in sorted(scope))]
        start = part.index or number(0)
        sums_ = [add([start, s]) for n in letters for s in (n, negative(n))]
        for index in [*p.steps(), *letters, *sums_]:
            if index != part.index and free_letters(index) <= scope:
                yield instead("wrong step", p, path, replace(part, index=index))


def _stepped(p: Place) -> Iterator[tuple[Path, Letter]]:
    for path, part in p.walk():
        if isinstance(part, Letter) and part.index is not None and part.role != "param":
            yield path, part


def _repeated(p: Place) -> dict[Letter, list[Path]]:
    found: dict[Letter, list[Path]] = {}
    for path, part in _stepped(p):
        found.setdefault(part, []).append(path)
    return {part: paths for part, paths in found.items() if len(paths) > 1}


def limits(p: Place, near: bool) -> Iterator[Edit]:
    """A sum or product that begins or ends at the wrong step: one off, or at another letter."""
    for path, part in p.walk():
        if isinstance(part, Sum | OrderedProduct):
            ends = ("low", "high") if isinstance(part, Sum) else ("first", "last")
            for end, what in zip(ends, ("begins", "ends"), strict=True):
                for new in _other_limits(getattr(part, end), p.scope(path), near):
                    yield _limit(p, path, part, replace(part, **{end: new}), what)
            for low, high in _other_ranges(part, ends, p.scope(path), near):
                changed = replace(part, **{ends[0]: low, ends[1]: high})
                yield _limit(p, path, part, changed, "begins and ends")


def _limit(
    p: Place, path: Path, part: Sum | OrderedProduct, changed: Sum | OrderedProduct, what: str
) -> Edit:
    kind = "sum" if isinstance(part, Sum) else "product"
    body = Letter("…", "index")
    old, new = (written(replace(s, body=body)).removesuffix(" (…)") for s in (part, changed))
    sentence = f"with `{new}` in place of `{old}` it is right"
    return Edit(f"{kind} {what} at the wrong step", sentence, exchanged(p.tree, path, changed))


def _other_ranges(
    part: Sum | OrderedProduct, ends: tuple[str, str], scope: set[str], near: bool
) -> Iterator[tuple[Tree, Tree]]:
    if near:
        for by in (1, -1):
            yield moved(getattr(part, ends[0]), by), moved(getattr(part, ends[1]), by)
        return
    for name in sorted(scope):
        yield Letter(name, "index"), COUNT
        yield number(1), Letter(name, "index")


def _other_limits(limit: Tree, scope: set[str], near: bool) -> Iterator[Tree]:
    if near:
        yield from (moved(limit, 1), moved(limit, -1))
        return
    bases: list[Tree] = [number(1), number(0), *(Letter(n, "index") for n in sorted(scope))]
    if not (isinstance(limit, Number) and limit.value <= 1):  # an upper limit
        bases.insert(0, COUNT)
    for base in bases:
        yield from (base, moved(base, 1), moved(base, -1))


def exponents(p: Place) -> Iterator[Edit]:
    """A wrong exponent; a forgotten square."""
    for path, part in p.walk():
        if isinstance(part, Power):
            scope = [COUNT, *(Letter(n, "index") for n in sorted(p.scope(path)))]
            ends = [add([a, negative(b)]) for a in scope for b in scope if a != b]
            near = [moved(part.exponent, by) for by in (1, -1)]
            for new in [*near, *ends, *(moved(e, 1) for e in ends)]:
                yield instead("wrong exponent", p, path, replace(part, exponent=new))
        if isinstance(part, Letter) and part.role == "value" and not p.inside(path, Derivative):
            yield instead("missing square", p, path, Power(part, number(2)))


def orders(p: Place) -> Iterator[Edit]:
    """Factors in the wrong order."""
    for path, part in p.walk():
        if isinstance(part, OrderedProduct) and part.written:
            turned = replace(part, first=part.last, last=part.first, step=-part.step)
            yield instead("wrong product order", p, path, turned)
        if isinstance(part, Product) and p.is_product(path, part):
            f = part.factors
            for k in range(len(f) - 1):
                swapped = Product((*f[:k], f[k + 1], f[k], *f[k + 2 :]))
                yield instead("wrong product order", p, path, swapped)
            yield instead("wrong product order", p, path, Product(f[::-1]))
        if isinstance(part, Hadamard) and isinstance(part.factors[0], Product):
            *front, last = part.factors[0].factors
            inner = Product((*front, Hadamard((last, *part.factors[1:]))))
            yield instead("wrong product order", p, path, inner)


NEAR: tuple[Rule, ...] = (
    scales,
    sums,
    transposes,
    near_steps,
    orders,
    partial(limits, near=True),
    all_steps,
    exponents,
)
FAR: tuple[Rule, ...] = (far_steps, partial(limits, near=False))
