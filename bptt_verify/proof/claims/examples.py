"""Letters for the exact evaluation of theorems that assume something: what satisfies the assumptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache

import numpy as np

from bptt_verify.proof.evaluation import PROBABILITIES, Value, euclidean, gate_law, row_sum

SIZES = {"n": 2, "p": 3, "q": 2, "d": 3, "m": 2}

Values = Mapping[str, Callable[[tuple[int, ...]], Value]]
Size = Callable[[Value], Value]  # a norm


def bounded(rng: np.random.Generator) -> Values:
    """Row sums of matrices with 2 and with 3 columns and entries up to 2."""
    return {"ρ": lambda at: 4, "γ": lambda at: 4, "α": lambda at: 6}


def eigenpair(rng: np.random.Generator) -> Values:
    """W_hhᵀ (1, 1)ᵀ = μ (1, 1)ᵀ: both columns of W_hh sum to μ."""
    first = rng.integers(-2, 3, size=2).astype(object)
    mu = int(rng.integers(-2, 3))
    matrix = np.array([first, mu - first], dtype=object)
    return {"W_hh": lambda at: matrix, "μ": lambda at: mu, "v": lambda at: np.array([[1], [1]], dtype=object)}


def one_step(rng: np.random.Generator) -> Values:
    """A parameter that is used in step 2 only."""
    shape = (SIZES["n"], SIZES["p"])
    return {"A": lambda at: np.full(shape, 1 if at == (2,) else 0, dtype=object)}


def shut(rng: np.random.Generator) -> Values:
    """The gate of step 2 is closed."""
    return {"ξ": lambda at: 0 if at == (2,) else int(rng.integers(-2, 3))}


def open_between(rng: np.random.Generator) -> Values:
    """The chunk 1 … 3."""
    return {"ξ": lambda at: {2: 1, 3: 1, 4: 0}.get(at[0], int(rng.integers(-2, 3)))}


def open_after(rng: np.random.Generator) -> Values:
    """From step 2 on."""
    return {"ξ": lambda at: 1 if at[0] >= 2 else int(rng.integers(-2, 3))}


def random_gates(rng: np.random.Generator) -> Values:
    """Gates 0 or 1/π with a π for each step: their mean is 1, and that of their squares κ = 1/π."""
    drawn = cache(lambda at: PROBABILITIES[rng.integers(len(PROBABILITIES))])
    return {"ξ": lambda at: gate_law(drawn(at)), "κ": lambda at: 1 / drawn(at)}


# ── clipping ──────────────────────────────────────────────────────────────────────────────────────

WHOLE_NORMS = ((3, 4), (4, 3), (-3, 4), (4, -3), (0, 5), (-5, 0), (6, 8), (0, 0))


def _column(*numbers: Value) -> Value:
    return np.array([[x] for x in numbers], dtype=object)


def _factor(norm: Value, threshold: int) -> Value:
    """The smaller of 1 and θ/norm."""
    return Fraction(threshold, norm) if norm > threshold else 1


def _pythagorean(rng: np.random.Generator, directions: tuple[tuple[int, int], ...]) -> Value:
    """A column whose Euclidean norm is a whole number."""
    return _column(*directions[rng.integers(len(directions))]) * int(rng.integers(0, 4))


def _clipped(rng: np.random.Generator, draw: Callable[[], Value], norm: Size) -> Values:
    """Columns g, their factors s and v = 1/‖g‖, and columns y in the ball."""
    threshold = int(rng.integers(1, 12))
    g = cache(lambda at: draw())

    def in_ball(at: tuple[int, ...]) -> Value:
        y = draw()
        return y * Fraction(threshold, int(norm(y) + rng.integers(threshold, 3 * threshold)))

    return {
        "θ": lambda at: threshold,
        "g": g,
        "s": lambda at: _factor(norm(g(at)), threshold),
        "v": lambda at: Fraction(1, norm(g(at))),
        "y": in_ball,
    }


def clipped(rng: np.random.Generator) -> Values:
    """Any columns, but 0."""
    return _clipped(rng, lambda: _column(int(rng.integers(1, 20)), int(rng.integers(-19, 20))), row_sum)


def clipped_zero(rng: np.random.Generator) -> Values:
    """Gradients that are 0."""
    return {"g": lambda at: _column(0, 0)}


def clipped_euclidean(rng: np.random.Generator) -> Values:
    """Columns with whole Euclidean norms."""
    return _clipped(rng, lambda: _pythagorean(rng, WHOLE_NORMS), euclidean)


def clipped_on_line(rng: np.random.Generator) -> Values:
    """The same, and their differences have rational norms too."""
    return _clipped(rng, lambda: _pythagorean(rng, ((3, 4), (-3, -4), (6, 8))), euclidean)


def whole_norms(rng: np.random.Generator) -> Values:
    """Two columns with whole Euclidean norms."""
    return dict.fromkeys("ab", lambda at: _pythagorean(rng, WHOLE_NORMS))


def _at_threshold(rng: np.random.Generator, size: Fraction) -> Values:
    """A column with the threshold as its norm, and the factor of its multiple by ``size``."""
    threshold = int(rng.integers(1, 9))
    g = cache(lambda at: _column(threshold, int(rng.integers(-threshold, threshold + 1))))
    return {
        "θ": lambda at: threshold,
        "v": lambda at: Fraction(1, threshold),
        "g": g,
        "r": lambda at: size,
        "s": lambda at: min(1, 1 / size),
    }


def within_threshold(rng: np.random.Generator) -> Values:
    """Multiples up to 1."""
    return _at_threshold(rng, Fraction(int(rng.integers(1, 9)), 8))


def beyond_threshold(rng: np.random.Generator) -> Values:
    """Multiples from 1 on."""
    return _at_threshold(rng, Fraction(int(rng.integers(8, 30)), 8))


def four_parts(rng: np.random.Generator) -> Values:
    """Norms 3, 4, 0 and 0, in some order: together 5, and √4 = 2."""
    norms = rng.permutation([3, 4, 0, 0])
    return {
        "c": lambda at: _column(0, int(norms[at[0] % 4])),
        "θ": lambda at: 4,
        "N": lambda at: 5,
        "q": lambda at: 2,
    }


# ── steps ─────────────────────────────────────────────────────────────────────────────────────────


def _walk(rng: np.random.Generator, clipped: bool) -> Values:
    """Steps along any g, and the objective ``K |x|`` of the first number of x, or without the | |."""
    base = _clipped(rng, lambda: _column(int(rng.integers(1, 9)), int(rng.integers(-1, 2))), row_sum)
    eta, k = Fraction(int(rng.integers(1, 5)), 2), int(rng.integers(1, 4))
    size = base["s"] if clipped else lambda at: 1
    start = _column(int(rng.integers(-9, 10)), 2)

    @cache
    def path(t: int) -> Value:
        return path(t - 1) - eta * size((t,)) * base["g"]((t,)) if t > 0 else start

    def objective(at: tuple[int, ...]) -> Value:
        return k * abs(path(at[0])[0, 0])

    return {
        **base,
        "x": lambda at: path(at[0]),
        "F": objective,
        "η": lambda at: eta,
        "K": lambda at: k,
        "Δ": lambda at: objective((0,)) - objective((MANY,)),
        "v": lambda at: 1 / (k * eta * base["θ"](())),
    }


MANY = 5  # steps, after which the objective is less by Δ


def raw_steps(rng: np.random.Generator) -> Values:
    """Steps that are not clipped."""
    return _walk(rng, clipped=False)


def clipped_steps(rng: np.random.Generator) -> Values:
    """Steps that are clipped."""
    return _walk(rng, clipped=True)


def one_norm(rng: np.random.Generator) -> Values:
    """All g of norm 6, and the rate with which a raw step has the guarantee of a clipped one."""
    factor, k, eta = _factor(6, threshold := int(rng.integers(1, 9))), int(rng.integers(1, 4)), Fraction(1, 3)
    return {
        "g": lambda at: _column(6, int(rng.integers(-6, 7))),
        "θ": lambda at: threshold,
        "s": lambda at: factor,
        "K": lambda at: k,
        "η": lambda at: eta,
        "η'": lambda at: eta * factor,
        "v": lambda at: Fraction(1, 6 * k),
    }


def smooth_steps(rng: np.random.Generator) -> Values:
    """Clipped steps on ``a/2 xᵀx`` with a ≤ β and β η ≤ 2, along a line with rational norms."""
    a, threshold = int(rng.integers(1, 4)), int(rng.integers(1, 12))
    beta = a + int(rng.integers(0, 2))
    eta = Fraction(int(rng.integers(1, 5)), 2 * beta)

    @cache
    def path(t: int) -> Value:
        return path(t - 1) - eta * size((t,)) * gradient((t,)) if t > 0 else _column(9, 12)

    def gradient(at: tuple[int, ...]) -> Value:
        return a * path(at[0] - 1)

    def size(at: tuple[int, ...]) -> Value:
        norm = euclidean(gradient(at))
        return threshold / norm if norm > threshold else 1

    return {
        "x": lambda at: path(at[0]),
        "g": gradient,
        "s": size,
        "F": lambda at: Fraction(a, 2) * (path(at[0]) ** 2).sum(),
        "θ": lambda at: threshold,
        "η": lambda at: eta,
        "β": lambda at: beta,
    }
