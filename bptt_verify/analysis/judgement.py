"""Judge one claim: is some interpretation of it true, and if not, what is the most sensible one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bptt_verify.analysis.arithmetic import Exact
from bptt_verify.analysis.claims import ORDER, Claim, Outcome, compared, worst
from bptt_verify.analysis.interpretations import Interpretation
from bptt_verify.analysis.points import Worlds
from bptt_verify.analysis.worlds import World
from bptt_verify.verdict import Knowledge, Verdict

FEW = 4  # interpretations that are searched for a misprint


@dataclass(frozen=True)
class Judgement:
    """What was found about one claim.

    Attributes
    ----------
    verdict : str
    how : str
        ``"checked"`` where fractions decide, ``"tested"`` where numbers of 50 digits do.
    said : Interpretation
        The true one, or the most sensible one of a wrong claim.
    places : str
        Where it was looked at.
    last : bool or None
        Whether it also holds at the last step, with adjoints after it 0.
    notes : tuple of str
        What had to be assumed.
    sensible : tuple of Interpretation
        Of a wrong claim, those to search for a misprint.
    world : World or None
        One at which a wrong claim is wrong.
    """

    verdict: Verdict
    how: Knowledge
    said: Interpretation
    places: str = ""
    last: bool | None = None
    notes: tuple[str, ...] = ()
    sensible: tuple[Interpretation, ...] = ()
    world: World | None = None


def judged(candidates: Sequence[Interpretation], worlds: Worlds) -> Judgement:
    """The judgement of a claim, given all its interpretations."""
    exact = _Trial(candidates, worlds, exact=True)
    true = exact.first_true()
    if true is None and (not exact.ran or not exact.rational()):
        real = _Trial(candidates, worlds, exact=False)
        return real.first_true() or real.wrong()
    return true or exact.wrong()


@dataclass
class _Trial:
    candidates: Sequence[Interpretation]
    worlds: Worlds
    exact: bool
    first: dict[int, tuple[Outcome, World]] = field(default_factory=dict)

    @property
    def ran(self) -> bool:
        return bool(self.first)

    @property
    def how(self) -> Knowledge:
        return "checked" if self.exact else "tested"

    def _worlds(self, claim: Claim) -> Sequence[World]:
        source = self.worlds.exact if self.exact else self.worlds.real
        return source(claim.least_steps)  # type: ignore[return-value]

    def first_true(self) -> Judgement | None:
        for k, said in enumerate(self.candidates):
            found = self._true(k, said)
            if found is not None:
                return found
        return None

    def _true(self, k: int, said: Interpretation) -> Judgement | None:
        places: list[tuple[int, str]] = []
        notes: set[str] = set()
        last: bool | None = None
        for world in self._worlds(said.claim):
            outcome = compared(said.claim, world, said.convention)
            self.first.setdefault(k, (outcome, world))
            if outcome.kind not in ("equal", "nothing"):
                self.first[k] = (outcome, world)
                return None
            notes |= outcome.notes
            last = outcome.last if last is None or outcome.last is False else last
            places += [_place(world)] if outcome.kind == "equal" else []
        if not places:
            return None
        return Judgement("verified", self.how, said, _grouped(places), last, tuple(sorted(notes)))

    def rational(self) -> bool:
        """Whether no function was opaque, so that fractions tell a wrong claim too."""
        worlds = (w for _, w in self.first.values())
        return all(isinstance(w.arithmetic, Exact) and not w.arithmetic.opaque for w in worlds)

    def wrong(self) -> Judgement:
        """The most sensible of the wrong interpretations: one whose sizes fit, then the usual one."""
        kinds = {k: self._kind(k) for k in self.first}
        ranked = sorted(
            (k for k in kinds if kinds[k] not in ("nothing", "equal")), key=lambda k: ORDER.index(kinds[k])
        )
        if not ranked:
            return Judgement("inconclusive", self.how, self.candidates[0])
        best = self.candidates[ranked[0]]
        sensible = dict.fromkeys([best, self.candidates[0], *(self.candidates[k] for k in ranked[:FEW])])
        _, world = self.first[ranked[0]]
        return Judgement(
            "refuted", self.how, best, _grouped([_place(world)]), sensible=tuple(sensible), world=world
        )

    def _kind(self, k: int) -> str:
        """How wrong a wrong interpretation is; one that says nothing comes last."""
        outcome, world = self.first[k]
        if outcome.kind != "differs":
            return outcome.kind
        return worst(self.candidates[k].claim, world, self.candidates[k].convention)


def _place(world: World) -> tuple[int, str]:
    return world.steps, ", ".join(f"{w}={k}" for w, k in world.point.sizes.items())


def _grouped(places: Sequence[tuple[int, str]]) -> str:
    """``T = 1, 2, 3 with n=2, d=3; T = 4 with n=1, d=1``."""
    steps: dict[str, list[int]] = {}
    for t, sizes in places:
        steps.setdefault(sizes, []).append(t)
    return "; ".join(f"T = {', '.join(map(str, sorted(ts)))} with {sizes}" for sizes, ts in steps.items())
