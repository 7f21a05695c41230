"""Rules about expected values: linearity, constants, and products of independent factors.

The first four hold for any random terms: each takes finitely many values, so that its mean is a finite
weighted sum with weights that add up to 1.

The last needs independence. Members of independent families are independent of each other; so two terms
are, if no member enters both. Which ones enter a term is read off its letters: an independent one is a
member itself, and for a derived one its definition must be given, which the theorem then rests on. Where
every body for a step t reads independent members not nearer than ``offset`` steps in the definition's
direction, and derived letters only as far as they then reach no nearer, all that enters the member at u
are those at v with ``onward (u - v) ≥ offset``, by induction along the recursion, which ends. A
member without an index, as one gate for all steps, enters wherever it occurs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.kernel.binding import chances, equal, free, fresh, is_random
from bptt_verify.proof.kernel.conditions import at_least, implies, impossible
from bptt_verify.proof.kernel.definitions import Definition, check_definitions
from bptt_verify.proof.kernel.indices import index
from bptt_verify.proof.kernel.sums import Conditions, _expect
from bptt_verify.proof.kernel.terms import Entry, Letter, Mean, Total, Transpose, factors, shape
from bptt_verify.proof.kernel.theorems import Conclusion, equation, rule

OFFSETS = (2, 1, 0, -1, -2)  # that are tried for a definition


@rule("the mean of a sum")
def mean_of_sum(mean: Mean, given: Conditions) -> Conclusion:
    """``E[Σ f] = Σ E[f]``, and ``E[X + Y] = E[X] + E[Y]``."""
    _expect("mean_of_sum", mean, Mean)
    inner = mean.args[0]
    if isinstance(inner, Total):
        return Conclusion(equation(mean, Total(Mean(inner.body), inner.bound, inner.low, inner.high), *given))
    _expect("mean_of_sum", inner, sp.Add)
    return Conclusion(equation(mean, sp.Add(*map(Mean, inner.args)), *given))


@rule("the mean of what is not random")
def mean_of_constant(mean: Mean, given: Conditions) -> Conclusion:
    """``E[X] = X`` if no random letter occurs in X, other than under a mean."""
    _expect("mean_of_constant", mean, Mean)
    if is_random(mean.args[0]):
        raise ProofError(f"mean_of_constant: {mean.args[0]!s:.160} is random.")
    return Conclusion(equation(mean, mean.args[0], *given))


@rule("take what is not random out of the mean")
def constants_out(mean: Mean, given: Conditions) -> Conclusion:
    """``E[s a X b] = s a E[X] b`` where s, a and b are not random: all such factors at either end."""
    _expect("constants_out", mean, Mean)
    scalar, ordered = factors(mean.args[0])
    chance = [f for f in sp.Mul.make_args(scalar) if is_random(f)]
    fixed = [f for f in sp.Mul.make_args(scalar) if not is_random(f)]
    places = [i for i, f in enumerate(ordered) if is_random(f)]
    first, last = (places[0], places[-1] + 1) if places else (len(ordered), len(ordered))
    if set(fixed) <= {sp.S.One} and not ordered[:first] + ordered[last:]:
        raise ProofError(f"constants_out: {mean.args[0]!s:.160} has no factor at an end that is not random.")
    inner = sp.Mul(*chance, *ordered[first:last])
    return Conclusion(equation(mean, sp.Mul(*fixed, *ordered[:first], Mean(inner), *ordered[last:]), *given))


@rule("the mean of a transpose")
def mean_of_transpose(mean: Mean, given: Conditions) -> Conclusion:
    """``E[Xᵀ] = E[X]ᵀ``."""
    _expect("mean_of_transpose", mean, Mean)
    _expect("mean_of_transpose", mean.args[0], Transpose)
    return Conclusion(equation(mean, Transpose(Mean(mean.args[0].args[0])), *given))


@rule("independence")
def independence(
    mean: Mean, factor: sp.Expr, definitions: tuple[Definition, ...], given: Conditions
) -> Conclusion:
    """``E[s X] = E[s] E[X]`` for scalar factors s that are independent of the rest X.

    Parameters
    ----------
    mean : Mean
    factor : sympy.Expr
        s: some commuting factors of what the mean is of.
    definitions : tuple of Definition
        Of every derived letter that occurs in s, in X, or in one of these definitions.
    given : tuple of sympy.Expr

    Raises
    ------
    ProofError
        If s is no such factor, a derived letter has no definition here, or some independent member may
        enter both s and X under what is given.
    """
    _expect("independence", mean, Mean)
    check_definitions(definitions)
    rest = _without_factor(mean.args[0], factor)
    taken = frozenset().union(free(mean), *map(free, given))
    ours = list(_sources(factor, definitions, taken))
    theirs = list(_sources(rest, definitions, taken.union(*(s.free for s in ours))))
    for a in ours:
        for b in theirs:
            if _may_meet(a, b, given):
                raise ProofError(f"independence: {a.letter.name} may enter both {factor} and {rest!s:.200}.")
    used = _used(mean.args[0], definitions)
    return Conclusion(equation(mean, Mean(factor) * Mean(rest), *given), definitions=used)


def _without_factor(product: sp.Expr, factor: sp.Expr) -> sp.Expr:
    if shape(factor) != ():
        raise ProofError(f"independence: {factor!s:.80} is no scalar.")
    scalar, ordered = factors(product)
    rest = list(sp.Mul.make_args(scalar))
    for wanted in sp.Mul.make_args(factor):
        at = next((i for i, f in enumerate(rest) if equal(f, wanted)), None)
        if at is None:
            raise ProofError(f"independence: {wanted!s:.80} is no factor of {product!s:.160}.")
        del rest[at]
    return sp.Mul(*rest, *ordered)


class _Source(NamedTuple):
    """Independent members that may enter a term: the one at each index that satisfies the conditions."""

    letter: Letter
    at: tuple[sp.Expr, ...]
    given: tuple[sp.Expr, ...]

    @property
    def free(self) -> frozenset[sp.Symbol]:
        return frozenset().union(*map(free, (*self.at, *self.given)))


def _may_meet(a: _Source, b: _Source, given: Conditions) -> bool:
    if a.letter.name != b.letter.name or len(a.at) != len(b.at):
        return False
    same = [at_least(u, v) for x, y in zip(a.at, b.at, strict=True) for u, v in ((x, y), (y, x))]
    return not impossible((*given, *a.given, *b.given, *same))


def _sources(
    term: sp.Expr, definitions: tuple[Definition, ...], taken: frozenset[sp.Symbol]
) -> Iterator[_Source]:
    for entry, around in chances(term, taken):
        if entry.letter.random == "independent":
            yield _Source(entry.letter, entry.at, around)
            continue
        reach = _reach(entry.letter, definitions)
        v = fresh(index("v"), taken.union(*map(free, (*entry.at, *around))))
        beyond = reach.onward * (_only(entry) - v) - reach.offset
        yield from (_Source(letter, (v,), (*around, beyond)) for letter in reach.letters)
        yield from (_Source(letter, (), ()) for letter in reach.shared)


class _Reach(NamedTuple):
    """What enters a derived letter at u: of each family, members v with ``onward (u - v) ≥ offset``."""

    onward: int
    offset: int
    letters: frozenset[Letter]
    shared: frozenset[Letter]


def _reach(letter: Letter, definitions: tuple[Definition, ...]) -> _Reach:
    d = _definition_of(letter, definitions)
    direct: list[tuple[Entry, Conditions]] = []
    inner: list[tuple[Entry, Conditions]] = []
    for case in d.cases:
        for entry, around in chances(case.body, d.free | {d.at}):
            if entry.letter != letter:  # where it refers to itself, its definition has been checked
                found = direct if entry.letter.random == "independent" else inner
                found.append((entry, (*case.given, *around)))
    reaches = {e.letter: _reach(e.letter, definitions) for e, _ in inner}
    if any(r.onward != d.onward and r.letters for r in reaches.values()):
        raise ProofError(f"independence: the definition of {letter.name} uses one of another direction.")
    bounds = [(w, d.onward * (d.at - _only(e))) for e, w in direct if e.at]
    bounds += [(w, d.onward * (d.at - _only(e)) + reaches[e.letter].offset) for e, w in inner]
    offset = next((m for m in OFFSETS if all(implies(w, g - m) for w, g in bounds)), None)
    if offset is None:
        raise ProofError(f"independence: {letter.name} has no bound on the steps that enter it.")
    families = frozenset(e.letter for e, _ in direct if e.at)
    shared = frozenset(e.letter for e, _ in direct if not e.at)
    return _Reach(
        d.onward,
        offset,
        families.union(*(r.letters for r in reaches.values())),
        shared.union(*(r.shared for r in reaches.values())),
    )


def _definition_of(letter: Letter, definitions: Iterable[Definition]) -> Definition:
    found = next((d for d in definitions if d.letter == letter), None)
    if found is None:
        raise ProofError(f"independence: {letter.name} is derived; expected its definition to be given.")
    return found


def _only(entry: Entry) -> sp.Expr:
    if len(entry.at) != 1:
        raise ProofError(f"independence: {entry} has {len(entry.at)} indices; expected one.")
    return entry.at[0]


def _used(term: sp.Expr, definitions: tuple[Definition, ...]) -> frozenset[Definition]:
    """The definitions that were looked at, and those that these need."""
    found: frozenset[Definition] = frozenset()
    todo = {e.letter for e, _ in chances(term) if e.letter.random == "derived"}
    while todo:
        new = frozenset(_definition_of(letter, definitions) for letter in todo)
        found |= new
        bodies = [case.body for d in new for case in d.cases]
        todo = {e.letter for body in bodies for e, _ in chances(body) if e.letter.random == "derived"}
        todo -= {d.letter for d in found}
    return found
