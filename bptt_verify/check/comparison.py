"""One gradient block at one point against its reference, with a tolerance that is measured there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np

from bptt_verify.check import noise, reference, scatter, slopes
from bptt_verify.check.bench import Bench as Bench
from bptt_verify.check.bench import Expected
from bptt_verify.check.bench import Method as Method
from bptt_verify.check.bench import Point as Point
from bptt_verify.check.noise import Precision
from bptt_verify.check.problem import (
    Array,
    Arrays,
    magnitude,
    one_hot,
    real_loss,
    signs,
    unit,
)
from bptt_verify.check.roughness import roughness, rounds

RELATIVE = 1e-9  # an error this small, relative to the block's largest entry, is never called a mistake
EVERY_ELEMENT = 600  # blocks up to this size are compared in every element
WORK, FEWEST = (
    500_000,
    24,
)  # fewer, but not below the latter, where the inputs are large: elements times inputs
SAMPLED, SAMPLED_DIFFERENCES = 200, 12  # elements compared otherwise, and by finite differences
DIRECTIONS, DIRECTIONS_DIFFERENCES = 4, 3
USELESS = 0.01  # a finite difference whose error is this part of the largest one is not used
ROUNDED = 1e-6  # what a function in double precision may lose to rounding of its own and still be right
PLAIN = 1e-2  # an error of this part of the scale is no rounding, in a block that is wrong elsewhere too
BLURRED = 1e-2  # a noise floor above this part of the scale leaves nothing to compare

State = Literal["right", "wrong", "undecided", "skipped"]


@dataclass(frozen=True)
class Outcome:
    """The result of one comparison; `error` and `tolerance` are relative to the block's scale."""

    block: str
    point: Point
    state: State
    method: Method
    error: float = 0.0
    tolerance: float = 0.0
    index: tuple[int, ...] | None = None
    found: float = 0.0
    expected: float = 0.0
    why: str = ""
    found_values: Array = field(default_factory=lambda: np.zeros(0))
    expected_values: Array = field(default_factory=lambda: np.zeros(0))


def expect(bench: Bench, arrays: Arrays, block: str, ready: Array | None = None) -> tuple[Expected, Method]:
    """Reference numbers by the block's method; by finite differences where a complex step overflows.

    Derivatives in all elements may be `ready`, from `together`.
    """
    method = bench.methods[block]
    array = np.asarray(arrays[block])
    exact = method == "complex step"
    limit, sample = (SAMPLED_DIFFERENCES, SAMPLED_DIFFERENCES)
    if exact:
        affordable = max(FEWEST, WORK // sum(np.size(a) for a in arrays.values()))
        limit, sample = min(EVERY_ELEMENT, affordable), min(SAMPLED, affordable)
    full = array.size <= limit
    positions = np.arange(array.size) if full else bench.rng.choice(array.size, sample, replace=False)
    count = (0 if full else DIRECTIONS) if exact else DIRECTIONS_DIFFERENCES
    directions = [signs(array.shape, bench.rng) for _ in range(count)]
    if exact:
        elements = ready if full else None
        if elements is None:
            elements = reference.complex_elements(bench.problem.loss, arrays, block, positions)
        along = [reference.complex_slope(bench.problem.loss, arrays, block, d) for d in directions]
        values = np.array([*elements, *along])
        if np.all(np.isfinite(values)) or bench.problem.complex_only:
            return Expected(positions, directions, values, np.zeros_like(values), np.isfinite(values)), method
        positions = bench.rng.choice(array.size, min(SAMPLED_DIFFERENCES, array.size), replace=False)
        directions = [signs(array.shape, bench.rng) for _ in range(DIRECTIONS_DIFFERENCES)]
    return _by_differences(bench, arrays, block, positions, directions), "finite differences"


def together(bench: Bench, arrays: Arrays, blocks: Iterable[str]) -> dict[str, Array]:
    """Derivatives in all elements of those blocks that one evaluation of the loss at many points can do."""
    if not hasattr(bench.problem.loss, "many"):
        return {}
    inputs, count, chosen = sum(np.size(a) for a in arrays.values()), 0, []
    for block in sorted(blocks, key=lambda b: np.size(arrays[b])):
        count += np.size(arrays[block])
        if bench.methods[block] == "complex step" and count * inputs <= WORK and count <= EVERY_ELEMENT:
            chosen.append(block)
    return reference.complex_blocks(bench.problem.loss, arrays, chosen) if chosen else {}


def compare_all(bench: Bench, point: Point, blocks: Collection[str], known: Set[str]) -> list[Outcome]:
    """Compare some blocks at one point; those in `known` are wrong elsewhere."""
    ready = together(bench, point.arrays, blocks)
    return [compare(bench, point, b, b in known, ready.get(b)) for b in blocks]


def _by_differences(
    bench: Bench, arrays: Arrays, block: str, positions: Array, directions: list[Array]
) -> Expected:
    scale = unit(arrays, block)
    shape = np.shape(arrays[block])
    probes = [(block, scale * one_hot(shape, int(i))) for i in positions]
    probes += [(block, scale * d) for d in directions]
    wobble = roughness(bench.problem.loss, arrays, block, bench.rng)
    seen = reference.difference_slopes(bench.problem.loss, arrays, probes, wobble)
    values, errors = seen.values / scale, seen.errors / scale
    with np.errstate(all="ignore"):  # an error as large as the numbers themselves tells nothing
        largest = np.max(np.where(seen.trusted, np.abs(values), 0.0), initial=0.0)
        telling = seen.trusted & (errors <= USELESS * largest)
    return Expected(positions, directions, values, errors, telling if largest else seen.trusted)


def compare(
    bench: Bench, point: Point, block: str, known: bool = False, ready: Array | None = None
) -> Outcome:
    """Compare one block at one point; a mismatch is only called wrong after it is confirmed.

    A large one need not be where the block is `known` to be wrong at another point.
    """
    wanted, method = expect(bench, point.arrays, block, ready)
    if not np.any(wanted.trusted):
        failed = (
            "complex steps overflow" if method == "complex step" else "finite differences do not converge"
        )
        return Outcome(block, point, "undecided", method, why=failed)
    grad, scale = point.grads[block], wanted.scale
    moved, slack = 0.0, noise_slack(bench, point, block, scale, 0.0)
    found, gaps, allowed = gaps_and_allowed(wanted, grad, slack)
    if not np.all(
        gaps <= allowed
    ):  # so close, it is right however ill-conditioned it may be; else that counts
        moved = conditioning(bench, point.arrays, block, method)
        slack = noise_slack(bench, point, block, scale, moved)
        found, gaps, allowed = gaps_and_allowed(wanted, grad, slack)
    with np.errstate(all="ignore"):
        over = gaps > allowed
        worst = int(np.argmax(np.where(over, gaps / wanted.weights(), -1.0) if over.any() else gaps))
        relative = float(gaps[worst] / wanted.weights()[worst] / scale) if scale else float(gaps[worst] > 0)
    outcome = partial(
        Outcome, block, point, method=method, error=relative, index=_index(wanted, worst, grad.shape),
        tolerance=float(allowed[worst] / scale) if scale else 0.0,
        found=float(found[worst]), expected=float(wanted.values[worst]),
        found_values=found[: len(wanted.positions)], expected_values=wanted.values[: len(wanted.positions)],
    )  # fmt: skip
    if known and not point.left and over.any() and relative > PLAIN:
        return outcome(state="wrong")
    if over.any() or not np.all(np.isfinite(grad)):
        state, why = _confirmed(bench, point, block, wanted, worst, method, scale, moved)
        return outcome(state=state, why=why)
    if scale and noise.SAFETY * noise.operations(point.arrays) * moved > BLURRED * scale > slack * BLURRED:
        return outcome(state="undecided", why="the gradient is too ill-conditioned here")
    return outcome(state="right")


def gaps_and_allowed(wanted: Expected, grad: Array, slack: float) -> tuple[Array, Array, Array]:
    """The numbers found, how far they are from those expected, and how far they may be."""
    found = wanted.found(grad)
    with np.errstate(all="ignore"):
        gaps = np.abs(found - wanted.values)
        gaps = np.where(wanted.trusted, np.where(np.isfinite(found), gaps, np.inf), 0.0)
        allowed = (RELATIVE * wanted.scale + slack) * wanted.weights() + 8 * wanted.errors
        return found, gaps, np.where(wanted.trusted, allowed, 0.0)


def _index(wanted: Expected, worst: int, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    if worst >= len(wanted.positions):
        return None
    return tuple(int(i) for i in np.unravel_index(int(wanted.positions[worst]), shape))


def conditioning(bench: Bench, arrays: Arrays, block: str, method: Method) -> float:
    """Conditioning of the block's gradient: how far it moves when the inputs' last digits do."""
    shape = np.shape(arrays[block])
    direction = signs(shape, bench.rng) * bench.rng.uniform(1, 1.5, shape)  # equal elements must not cancel
    if method == "complex step":
        along = partial(reference.complex_slopes, bench.problem.loss, block=block, direction=direction)
        moved = noise.slope_noise(lambda points: along(points=points), arrays, bench.precision, bench.rng)
        return max(moved, _saturation(bench, arrays, block, direction))
    if bench.precision.eps <= noise.DOUBLE.eps:
        return 0.0  # the finite differences' own errors are larger
    slopes_at = scatter.differences(bench.problem, roughness(bench.problem.loss, arrays, block, bench.rng))
    scale = unit(arrays, block)
    moved = noise.slope_noise(
        lambda points: slopes_at(points, (block, scale * direction)) / scale,
        arrays,
        bench.precision,
        bench.rng,
    )
    return moved if np.isfinite(moved) else 0.0


def _saturation(bench: Bench, arrays: Arrays, block: str, direction: Array) -> float:
    """How far the directional derivative moves when the slopes of saturating functions lose digits."""
    if bench.problem.rough is None:
        return 0.0
    rough = bench.problem.rough(bench.precision.eps, bench.rng)
    exact = reference.complex_slope(bench.problem.loss, arrays, block, direction)
    return magnitude(reference.complex_slopes(rough, [arrays] * noise.DRAWS, block, direction) - exact)


def noise_slack(bench: Bench, point: Point, block: str, scale: float, moved: float) -> float:
    """The noise floor; a block that is zero up to rounding is judged by the size of everything else."""
    floor = noise.floor(scale, moved, point.arrays, bench.precision)
    if scale > 0 and moved < 0.1 * scale:
        return floor
    loss = real_loss(bench.problem.loss, point.arrays)
    others = [g for b, g in point.grads.items() if b != block]
    zero = noise.zero_floor(loss, others, point.arrays, bench.precision)
    return max(floor, zero) if scale < zero else floor


def _confirmed(
    bench: Bench, point: Point, block: str, wanted: Expected, worst: int, method: Method,
    scale: float, moved: float,
) -> tuple[State, str]:  # fmt: skip
    """Whether a mismatch is a mistake: not a kink of the loss, not rounding, not a failing reference."""
    if point.left and np.all(np.isfinite(point.grads[block])):
        return "skipped", ""  # another convention, or a mistake that shows off the kink too
    if not np.all(np.isfinite(point.grads[block])):
        overflown = bench.problem.complex_only and not np.all(wanted.trusted)
        beyond = overflown or scale > 1e-2 / bench.precision.tiny
        return ("undecided", f"beyond the range of {bench.precision.name}") if beyond else ("wrong", "")
    arrays, count = point.arrays, len(wanted.positions)
    size = unit(arrays, block)
    shape = np.shape(arrays[block])
    direction = (
        one_hot(shape, int(wanted.positions[worst])) if worst < count else wanted.directions[worst - count]
    )
    probe = block, size * direction
    found = float(wanted.found(point.grads[block])[worst])
    gap = abs(found - float(wanted.values[worst])) * size
    wobble = noise.loss_noise(bench.problem.loss, arrays, noise.DOUBLE, bench.rng)
    suspect = reference.kinked(bench.problem.loss, arrays, probe, wobble, gap)
    if suspect or method == "finite differences":  # then the noise is needed more exactly
        wobble = roughness(bench.problem.loss, arrays, block, bench.rng)
    if suspect and reference.kinked(bench.problem.loss, arrays, probe, wobble, gap):
        return "undecided", "the loss has a kink here"
    if method == "finite differences":
        slack = slopes.claim_slack(point.grads[block], arrays, block, bench.precision)
        seen = slopes.remainder(bench.problem.loss, arrays, probe, found * size, wobble, slack)
        state, why = _systematic(bench, point, probe, method, gap, scale, moved, wobble)
        if seen.outcome != "wrong" and state == "wrong":
            return "undecided", "finite differences alone do not refute"
        return state, why
    return _systematic(bench, point, probe, method, gap, scale, moved, wobble)


def _systematic(
    bench: Bench, point: Point, probe: reference.Probe, method: Method, gap: float, scale: float,
    moved: float, wobble: float,
) -> tuple[State, str]:  # fmt: skip
    """Whether the error stays at nearby points; what scatters there is rounding of the function itself."""

    def exactly(points: Sequence[Arrays], at: reference.Probe) -> Array:
        return reference.complex_slopes(bench.problem.loss, points, *at)

    exact = method == "complex step"
    slopes_at = exactly if exact else scatter.differences(bench.problem, wobble)
    away = min(scatter.AWAY, 0.05 * bench.precision.eps * scale / moved) if moved else scatter.AWAY
    away = max(away, 16 * bench.precision.eps)
    limit = 5 * BLURRED if bench.precision.eps > 1e-10 else ROUNDED
    if not exact and rounds(bench.problem.loss, point.arrays, bench.rng):
        away, limit = scatter.FURTHER, BLURRED
    together = scatter.REPEATS // 2 if exact else 1
    errors = scatter.errors_nearby(
        bench.fn, bench.problem, point.arrays, probe, slopes_at, bench.rng, away, together
    )
    if len(errors) < scatter.REPEATS // 2:
        return "undecided", "the reference fails at nearby points"
    if noise.systematic(list(errors)):
        return "wrong", ""
    if gap > 1e3 * magnitude(errors) and gap > ROUNDED * scale * magnitude(probe[1]):
        return "wrong", "the error is at this point alone: does it depend on earlier calls?"
    spread = magnitude(errors) / (magnitude(probe[1]) * scale) if scale else np.inf
    if gap <= 4 * magnitude(errors) and spread < limit:
        return "right", f"rounding limits the comparison to {spread:.1g}"
    if exact and gap > 10 * _single_precision(bench, point, probe, scale, moved):
        return "wrong", "the error scatters: noise, or half precision"
    return "undecided", "the error scatters like rounding"


def _single_precision(
    bench: Bench, point: Point, probe: reference.Probe, scale: float, moved: float
) -> float:
    """What rounding to float32 throughout could change in a derivative along a probe."""
    eps = max(noise.SINGLE.eps, bench.precision.eps)
    coarse = Precision(f"eps {eps:g}", eps, noise.SINGLE.tiny)
    floor = noise.floor(scale, moved * eps / bench.precision.eps, point.arrays, coarse)
    return float(floor * np.linalg.norm(probe[1]))
