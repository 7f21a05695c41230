"""Attacks on a bound of how much a clipped step changes a loss: gradients, and points to step from.

A bound K that holds on a ball around the given parameters is attacked by steps from these, along the
gradient, random ones and those that an adversary turns; and by shorter steps from other points of the ball,
to which the change of the loss ascends. Where the parameters are not given but drawn, they are also moved
far away, to where the change is larger, as long as it grows in relation to the bound that holds there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bptt_verify.analysis import lipschitz_bound
from bptt_verify.check import Array
from bptt_verify.check.cliprules import Rule, norm
from bptt_verify.check.clipsteps import update_of
from bptt_verify.codegen import Kernel

CLIMBS = 6  # steps in which an adversary turns the gradient, or moves the point
MOVES = (0.5, 0.2)  # how far the parameters are moved, over their norm
SLACK = 1e-9
NOISE = 1e3 * np.finfo(float).eps
Params = dict[str, Array]


@dataclass(frozen=True)
class Point:
    """A set of inputs."""

    name: str
    arrays: Mapping[str, Array]

    def at(self, offset: Mapping[str, Array], name: str = "") -> Point:
        """With parameters that are moved."""
        return self.at_params({p: self.arrays[p] + d for p, d in offset.items()}, name)

    def at_params(self, params: Mapping[str, Array], name: str = "") -> Point:
        """With other parameters."""
        return replace(self, name=name or self.name, arrays={**self.arrays, **params})


@dataclass(frozen=True)
class Attack:
    """An update, and what it needs to be attacked at a point."""

    step: Callable[..., Any]
    kernel: Kernel
    step_size: float
    threshold: float
    rule: Rule

    def reach(self, point: Point) -> float:
        """How far one step may go: η θ, or more where arrays or elements are clipped one by one."""
        params = [point.arrays[p] for p in self.kernel.recurrence.params]
        wide = self.rule.convention == "per_element"
        alone = "per_parameter" in self.rule.words
        count = sum(p.size for p in params) if wide else len(params) if alone else 1
        return self.step_size * self.threshold * float(np.sqrt(count))

    def params(self, point: Point) -> Params:
        """The parameters of a point."""
        return {p: point.arrays[p] for p in self.kernel.recurrence.params}

    def value(self, point: Point) -> float:
        """The loss."""
        return float(self.kernel.forward(**point.arrays).loss)

    def gradient(self, point: Point) -> Params:
        """All gradients."""
        return self.kernel.loss_and_grad(**point.arrays)[1]

    def own(self, point: Point) -> Params:
        """The gradients of the parameters."""
        grads = self.gradient(point)
        return {p: grads[p] for p in self.kernel.recurrence.params}


@dataclass(frozen=True)
class Outcome:
    """One step: how much the loss changed, and how much it may."""

    name: str
    change: float
    allowed: float
    noise: float

    @property
    def broken(self) -> bool:
        """Whether the loss changed by more than it may, rounding aside."""
        return not self.change <= self.allowed * (1 + SLACK) + self.noise


def outcomes(attack: Attack, point: Point, limit: float, rng: np.random.Generator) -> Iterator[Outcome]:
    """Steps from the given parameters, full ones, and shorter ones from elsewhere in the ball."""
    yield from _from_here(attack, point, limit, rng)
    for sign, words in ((1.0, "down"), (-1.0, "up")):
        yield from _step(attack, *_ascended(attack, point, sign, words, rng), limit)


def moved_outcomes(attack: Attack, point: Point, start: float, rng: np.random.Generator) -> Iterator[Outcome]:
    """Ascent of |ΔF| over its bound by the parameters, far from where they were.

    ``start`` is the ratio there. Each move goes along the gradient of |ΔF| of one step, and stays where the
    ratio, with the bound that holds there, has grown.
    """
    ratio = start
    for share in MOVES:
        uphill = _uphill(attack, point)
        size = share * norm({p: point.arrays[p] for p in uphill})
        there = point.at(_of_norm(uphill, size), f"{point.name}, parameters moved")
        limit = bound_at(attack, there)
        if not np.isfinite(limit):
            continue
        found = list(_from_here(attack, there, limit, rng))
        yield from found
        best = max((o.change / o.allowed for o in found if o.allowed > 0), default=0.0)
        if best > ratio:
            point, ratio = there, best


def bound_at(attack: Attack, point: Point) -> float:
    """The bound that holds within one step of a point."""
    return float(lipschitz_bound(attack.kernel.recurrence, attack.reach(point), **point.arrays).value)


def _from_here(attack: Attack, point: Point, limit: float, rng: np.random.Generator) -> Iterator[Outcome]:
    own = attack.gradient(point)
    for name, grads in _gradients(attack, point, own, rng):
        yield from _step(attack, point, name, grads, limit)


def _step(
    attack: Attack, point: Point, name: str, grads: Mapping[str, Array], limit: float
) -> Iterator[Outcome]:
    """One step of the update that is judged."""
    params = attack.params(point)
    given = {**attack.gradient(point), **grads}
    u = update_of(attack.step, name, params, given, attack.step_size, attack.threshold)
    if u.call.returned:
        here, there = attack.value(point), attack.value(point.at_params(u.call.result))
        allowed = limit * attack.step_size * norm(attack.rule.apply(grads, attack.threshold))
        noise = NOISE * (abs(here) + abs(there))
        yield Outcome(f"{point.name}, {name}", abs(there - here), allowed, noise)


def _ascended(
    attack: Attack, point: Point, sign: float, words: str, rng: np.random.Generator
) -> tuple[Point, str, Params]:
    """The point of the ball, and the short step from it, at which the loss was seen to change most.

    Both ends stay in the ball: the step has half the length of its radius, and so has the way to its start.
    """
    room, best, most = attack.reach(point) / 2, None, -1.0
    anywhere = {p: rng.normal(size=w.shape) for p, w in attack.params(point).items()}
    place = point.at(_of_norm(anywhere, room / 2))
    for _ in range(CLIMBS):
        grads = _of_norm(_times(sign, attack.own(place)), attack.threshold / 2)
        after = place.at(_times(-attack.step_size, grads))
        change = abs(attack.value(after) - attack.value(place))
        if best is None or change > most:
            best, most = (place, grads), change
        higher = 1.0 if attack.value(place) >= attack.value(after) else -1.0
        uphill = _plus(attack.own(place), _times(-1.0, attack.own(after)))
        offset = _plus(_minus(place, point, uphill), _of_norm(_times(higher, uphill), room / 2))
        place = point.at(_of_norm(offset, min(room, norm(offset))), point.name)
    assert best is not None
    return best[0], f"a short step {words} its gradient, from elsewhere in the ball", best[1]


def _uphill(attack: Attack, point: Point) -> Params:
    """The gradient of |ΔF| by the parameters, for one full step down the gradient."""
    own = attack.own(point)
    after = point.at(_of_norm(_times(-1.0, own), attack.reach(point)))
    sign = 1.0 if attack.value(point) >= attack.value(after) else -1.0
    return _times(sign, _plus(own, _times(-1.0, attack.own(after))))


def _gradients(
    attack: Attack, point: Point, own: Mapping[str, Array], rng: np.random.Generator
) -> Iterator[tuple[str, Params]]:
    true = {p: own[p] for p in attack.kernel.recurrence.params}
    far, near = 10 * attack.threshold, 0.3 * attack.threshold
    yield "its own gradient", true
    for sign, words in ((1.0, "down"), (-1.0, "up")):
        turned = _times(sign, true)
        yield f"far {words} its own gradient", _of_norm(turned, far)
        yield f"a little {words} its own gradient", _of_norm(turned, near)
        yield f"turned by an adversary, {words}", _of_norm(_adversarial(attack, point, turned), far)
    for k in range(3):
        noise = {p: rng.normal(size=w.shape) for p, w in attack.params(point).items()}
        yield f"random gradient {k + 1}", _of_norm(noise, far)


def _adversarial(attack: Attack, point: Point, start: Mapping[str, Array]) -> Params:
    """The direction of a full step turned to the gradient where it ends, again and again; the best one."""
    here, reach = attack.value(point), attack.reach(point)
    grads, best, most = _of_norm(start, reach), dict(start), -1.0
    sign = 1.0 if norm(start) == 0 or _inner(start, attack.gradient(point)) >= 0 else -1.0
    for _ in range(CLIMBS):
        there = point.at(_times(-1.0, grads))
        change = abs(attack.value(there) - here)
        if change > most:
            best, most = dict(grads), change
        grads = _of_norm(_times(sign, attack.own(there)), reach)
    return best


def _of_norm(parts: Mapping[str, Array], length: float) -> Params:
    size = norm(parts)
    return {k: v * (length / size) if size else v for k, v in parts.items()}


def _times(factor: float, parts: Mapping[str, Array]) -> Params:
    return {k: factor * v for k, v in parts.items()}


def _plus(one: Mapping[str, Array], two: Mapping[str, Array]) -> Params:
    return {k: one[k] + two[k] for k in one}


def _minus(one: Point, two: Point, names: Mapping[str, Array]) -> Params:
    return {k: one.arrays[k] - two.arrays[k] for k in names}


def _inner(one: Mapping[str, Array], two: Mapping[str, Array]) -> float:
    return float(sum(np.sum(one[k] * two[k]) for k in one))
