"""One claim ``left = right``: for which steps it must hold, and whether it does at a point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import product
from typing import Any

from bptt_verify.analysis.conventions import Convention
from bptt_verify.analysis.matrices import MisfitError, Value, alike, is_matrix, shape_text
from bptt_verify.analysis.values import Evaluation
from bptt_verify.analysis.worlds import UndefinedError, World
from bptt_verify.notation.tree import (
    Add,
    Condition,
    Derivative,
    Letter,
    Number,
    OrderedProduct,
    Product,
    Sum,
    Tree,
)
from bptt_verify.notation.walking import free_letters, parts, walk

STEPS = 5  # at which the direction of ranges is looked at
CHOICES = 30  # of the free letters' steps, at most, for it
RANGES = 100  # of one sign that are looked into
MANY = 4  # steps, of which a claim must say something about half
TOLERANCE = Fraction(1, 10**25)  # of the larger side, for numbers of 50 digits


@dataclass(frozen=True)
class Outcome:
    """What came of comparing both sides.

    Attributes
    ----------
    kind : str
        ``"equal"``, ``"differs"`` (in an entry), ``"shape"`` (of the result), ``"misfit"`` (of sizes inside),
        ``"undefined"`` or ``"nothing"`` (no step to compare at).
    steps : mapping of str to int
        The steps of the free letters.
    index : tuple of int
        Of the entry with the largest difference.
    claimed, right : number or None
    reason : str
        Why there is no value.
    last : bool or None
        Whether it also holds where an adjoint after the last step is read; None if that does not occur.
    """

    kind: str
    steps: Mapping[str, int] = field(default_factory=dict)
    index: tuple[int, ...] = ()
    claimed: Any = None
    right: Any = None
    reason: str = ""
    last: bool | None = None
    notes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Claim:
    """``left = right`` for every step of the free letters.

    Attributes
    ----------
    left, right : Tree
    conditions : tuple of Condition
    strict : bool
        Whether ∂h_t/∂h_k is taken for k < t only, rather than k ≤ t.
    """

    left: Tree
    right: Tree
    conditions: tuple[Condition, ...] = ()
    strict: bool = False

    @cached_property
    def letters(self) -> tuple[str, ...]:
        """The free letters."""
        return tuple(sorted(free_letters(self.left) | free_letters(self.right)))

    @cached_property
    def pairs(self) -> tuple[tuple[Tree, Tree], ...]:
        """(later, earlier) steps of the derivatives on the left: a state depends on earlier ones only."""
        return tuple(
            (t.top.index, t.bottom.index)
            for _, t in walk(self.left)
            if isinstance(t, Derivative) and t.top.index is not None and t.bottom.index is not None
        )

    @cached_property
    def least_steps(self) -> int:
        """The least T at which steps written as numbers exist."""
        steps = [
            int(t.index.value)
            for tree in (self.left, self.right)
            for _, t in walk(tree)
            if isinstance(t, Letter) and isinstance(t.index, Number)
        ]
        return max([1, *steps])

    @cached_property
    def directions(self) -> dict[Tree, int]:
        """-1 for the Σ and ∏ signs whose range is written downwards, as in ``∏_{j=t}^{1}``."""
        ups: dict[Tree, list[int]] = {}
        signs = (*_signs(self.left), *_signs(self.right))
        chosen = list(self.assignments(STEPS)) if signs else []
        for steps in chosen[:: 1 + len(chosen) // CHOICES]:
            _look(signs, {**steps, "T": STEPS}, ups)
        return {tree: _direction(tree, seen) for tree, seen in ups.items()}

    def assignments(self, steps: int) -> Iterator[dict[str, int]]:
        """The steps of the free letters for which the claim is made."""
        for values in product(range(1, steps + 1), repeat=len(self.letters)):
            chosen = dict(zip(self.letters, values, strict=True))
            if self._meant({**chosen, "T": steps}):
                yield chosen

    def _meant(self, steps: Mapping[str, int]) -> bool:
        for c in self.conditions:
            if c.variable in steps and not _at(c.low, steps) <= steps[c.variable] <= _at(c.high, steps):
                return False
        return all(_at(later, steps) - _at(earlier, steps) >= self.strict for later, earlier in self.pairs)


def _at(tree: Tree, steps: Mapping[str, int]) -> Fraction:
    """The value of a step."""
    match tree:
        case Number(value=value):
            return value
        case Letter(name=name):
            return Fraction(steps.get(name, 1))
        case Add(terms=terms):
            return sum((_at(t, steps) for t in terms), Fraction(0))
        case Product(factors=factors):
            result = Fraction(1)
            for f in factors:
                result *= _at(f, steps)
            return result
    raise TypeError(type(tree).__name__)


def _direction(tree: Tree, seen: list[int]) -> int:
    if isinstance(tree, OrderedProduct) and tree.step:
        return tree.step
    return -1 if sum(seen) < 0 else 1


def _signs(tree: Tree) -> tuple[Sum | OrderedProduct, ...]:
    """The outermost Σ and ∏ signs."""
    if isinstance(tree, Sum | OrderedProduct):
        return (tree,)
    return tuple(sign for _, inner in parts(tree) for sign in _signs(inner))


def _look(signs: tuple[Sum | OrderedProduct, ...], steps: dict[str, int], ups: dict[Tree, list[int]]) -> None:
    """Note for each range whether it goes up (+1), down (-1), or cannot be told (0)."""
    for sign in signs:
        ends = (sign.low, sign.high) if isinstance(sign, Sum) else (sign.first, sign.last)
        low, high = (_at(e, steps) for e in ends)
        ups.setdefault(sign, []).append(1 if low < high - 1 else -1 if low > high + 1 else 0)
        inner = _signs(sign.body)
        if inner and len(ups[sign]) < RANGES:
            for k in range(int(min(low, high)), int(max(low, high)) + 1)[: STEPS + 1]:
                _look(inner, {**steps, sign.variable: k}, ups)


ORDER = ("equal", "nothing", "differs", "shape", "misfit", "undefined")


def worst(claim: Claim, world: World, convention: Convention) -> str:
    """The kind of the worst outcome at any step: how sensible a wrong claim is."""
    evaluation = Evaluation(world, convention, claim.directions)
    found = (_at_steps(claim, evaluation, steps) for steps in claim.assignments(world.steps))
    return max((o.kind for o in found if o is not None), key=ORDER.index, default="nothing")


def work_of(claim: Claim, world: World, convention: Convention) -> int:
    """How many nodes are visited to compute the right side at one step."""
    evaluation = Evaluation(world, convention, claim.directions)
    steps = next(claim.assignments(world.steps), None)
    if steps is not None:
        _at_steps(claim, evaluation, steps)
    return evaluation.work


def compared(claim: Claim, world: World, convention: Convention) -> Outcome:
    """Compare both sides at one point, for every step of the free letters."""
    evaluation = Evaluation(world, convention, claim.directions)
    equal, skipped, last = 0, [], None
    for steps in claim.assignments(world.steps):
        evaluation.beyond = False
        outcome = _at_steps(claim, evaluation, steps)
        if outcome is None:
            continue
        if outcome.kind == "nothing":
            skipped.append(outcome)
        elif evaluation.beyond:
            last = outcome.kind == "equal" and last is not False
        elif outcome.kind != "equal":
            return outcome
        else:
            equal += 1
    if len(skipped) > equal and world.steps >= MANY:  # more than a boundary
        return replace(skipped[0], kind="undefined")
    return Outcome("equal" if equal else "nothing", last=last, notes=frozenset(evaluation.notes))


def _at_steps(claim: Claim, evaluation: Evaluation, steps: dict[str, int]) -> Outcome | None:
    """The outcome at given steps; None where the left side does not exist there."""
    try:
        truth = evaluation(claim.left, steps)
    except (UndefinedError, MisfitError):
        return None
    try:
        claimed = evaluation(claim.right, steps)
    except UndefinedError as error:
        return Outcome("undefined" if error.required else "nothing", steps, reason=str(error))
    except MisfitError as error:
        return Outcome("misfit", steps, reason=str(error))
    return _entrywise(claimed, truth, steps, evaluation.world)


def _entrywise(claimed: Value, truth: Value, steps: dict[str, int], world: World) -> Outcome:
    right = alike(truth, truth)
    found = alike(claimed, truth)
    if found is None or right is None:
        what = f"the right side is {shape_text(claimed)}, the left side {shape_text(truth)}"
        return Outcome("shape", steps, reason=what)
    differences = abs(found - right)
    scale = max(*(abs(e) for e in found.flat), *(abs(e) for e in right.flat))
    worst = max(_indices(right), key=lambda k: differences[k])
    exact = world.arithmetic.exact
    if differences[worst] <= (0 if exact else scale * world.arithmetic.number(TOLERANCE)):
        return Outcome("equal", steps)
    return Outcome("differs", steps, worst if is_matrix(truth) else (), found[worst], right[worst])


def _indices(array: Any) -> list[tuple[int, ...]]:
    return [(i, j) for i in range(array.shape[0]) for j in range(array.shape[1])]
