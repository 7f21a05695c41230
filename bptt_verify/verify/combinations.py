"""Two mistakes at once, or one mistake and a factor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from bptt_verify.mutants import mutants
from bptt_verify.mutants.mutant import Mutant
from bptt_verify.program import Program
from bptt_verify.verify.diagnosis import Call, agree, close, factors, fits, gradients

MOST_PAIRS = 600  # pairs of mistakes that are tried
EXACTLY = ""  # the name of no factor


@dataclass(frozen=True)
class Explained:
    """What one mistake explains of the function's numbers.

    Attributes
    ----------
    mistake : Mutant
    blocks : mapping of str to str
        The blocks whose numbers it gives in every call, each with the name of the factor that is left.
    silent : bool
        Whether it changes nothing in the smallest call.
    first : frozenset of str
        The wrong blocks whose numbers it gives in the smallest call.
    """

    mistake: Mutant
    blocks: Mapping[str, str]
    silent: bool
    first: frozenset[str]


def two_mistakes(right: Program, calls: Sequence[Call]) -> str | None:
    """Two known mistakes, or one and a factor, that give the function's numbers together.

    Parameters
    ----------
    right : Program
        The right adjoint.
    calls : sequence of Call
        Calls of the function, the smallest first.
    """
    truth = gradients(right, calls[0].arrays)
    nothing = _explained(Mutant("", "", right), calls, truth, frozenset())
    wanted = frozenset(calls[0].grads).intersection(truth)
    wrong = wanted - {b for b, times in nothing.blocks.items() if times == EXACTLY}
    if not wrong:
        return None
    known = [nothing, *(_explained(m, calls, truth, wrong) for m in mutants(right, rare=True))]
    for e in known:
        words = _factor_words(e) if wanted <= set(e.blocks) else None
        if words is not None:
            return words
    pairs = chain(
        islice(_explaining_a_block(known, wrong), MOST_PAIRS),
        islice(_explaining_the_smallest(known), MOST_PAIRS),
        islice(_both_in_the_recursion(known, calls[0], truth), MOST_PAIRS),
    )
    for first, second in pairs:
        if fits(second.program, calls):
            return (
                f"two mistakes: {first.description}; and {second.description} [{first.name}; {second.name}]"
            )
    return None


def _explained(
    mistake: Mutant, calls: Sequence[Call], truth: Mapping[str, Any], wrong: frozenset[str]
) -> Explained:
    """What a mistake explains; no further call is looked at once it explains none of the wrong blocks."""
    left = {b: list(factors(mistake.program, calls[0])) for b in calls[0].grads if b in truth}
    silent, first = False, frozenset[str]()
    for k, call in enumerate(calls):
        found = gradients(mistake.program, call.arrays)
        if k == 0:
            silent = agree(found, truth)
            off = {b for b in left if not close(call.grads[b], truth[b])}
            first = frozenset(b for b in off if close(call.grads[b], found[b]))
        times = factors(mistake.program, call)
        for b, names in left.items():
            if b in call.grads:
                left[b] = [n for n in names if close(call.grads[b], found[b] * times[n])]
        if wrong and not any(left[b] for b in wrong):
            break
    return Explained(mistake, {b: names[0] for b, names in left.items() if names}, silent, first)


def _factor_words(e: Explained) -> str | None:
    """In words, a mistake and the factors of some blocks; None where that would be too many mistakes."""
    groups: dict[str, list[str]] = {}
    for block, times in e.blocks.items():
        groups.setdefault(times, []).append(block)
    right = groups.pop(EXACTLY, [])
    if not 0 < len(groups) <= (1 if e.mistake.name else 2):
        return None
    parts = [
        f"the gradient of {', '.join(sorted(of))} is {times} times the right one"
        for times, of in groups.items()
    ]
    if len(groups) == 1 and not right:
        parts = [f"the whole gradient is {next(iter(groups))} times the right one"]
    if e.mistake.name:
        return f"two mistakes: {e.mistake.description}; and {parts[0]} [{e.mistake.name}; factor]"
    return f"{'; and '.join(parts)} [factor]"


def _explaining_a_block(known: Sequence[Explained], wrong: frozenset[str]) -> Iterator[tuple[Mutant, Mutant]]:
    """Every known mistake on top of those that explain a wrong block, those that explain most first."""
    gains = {k: len({b for b, t in e.blocks.items() if t == EXACTLY} & wrong) for k, e in enumerate(known)}
    for k in sorted((k for k, gain in gains.items() if gain), key=lambda k: -gains[k]):
        yield from ((known[k].mistake, second) for second in mutants(known[k].mistake.program))


def _explaining_the_smallest(known: Sequence[Explained]) -> Iterator[tuple[Mutant, Mutant]]:
    """Pairs that explain what can be explained in the smallest call: each some blocks, or one of them all.

    In a call of one step nothing is carried, so that mistakes are not mixed up there.
    """
    off = frozenset().union(*(e.first for e in known))  # what both change is explained by neither
    for e in sorted((e for e in known if e.first), key=lambda e: -len(e.first)):
        others = {o.mistake.name for o in known if (o.first >= off - e.first if off - e.first else o.silent)}
        for second in mutants(e.mistake.program, rare=True) if others else ():
            if second.name in others and second.name != e.mistake.name:
                yield e.mistake, second


def _both_in_the_recursion(
    known: Sequence[Explained], smallest: Call, truth: Mapping[str, object]
) -> Iterator[tuple[Mutant, Mutant]]:
    """Pairs that explain no block alone.

    Where the smallest call is right both mistakes are silent there; where it is wrong one is not.
    """
    wanted = agree(smallest.grads, truth)
    for e in known[1:]:
        if e.silent == wanted:
            yield from ((e.mistake, second) for second in mutants(e.mistake.program))
