"""A second opinion on T8 and T9: an SMT solver, which shares nothing with the proof kernel.

Every inequality is put to it as a sentence about real numbers: it must find that nothing satisfies the
premises and the negation. Every false variant is put to it too, and there it must find numbers. Gradients
have two or three components, or enter by their norms and inner products. An answer "unknown" is a failure.
"""

from fractions import Fraction
from itertools import pairwise

import pytest

z3 = pytest.importorskip("z3", reason="needs an SMT solver (extra `test`)")

MILLISECONDS = 60_000


def answer(*sentences):
    solver = z3.SolverFor("QF_NRA")
    solver.set("timeout", MILLISECONDS)
    solver.add(*sentences)
    return solver, solver.check()


def holds(premises, claim):
    """Whether the claim follows for all real numbers."""
    _, found = answer(*premises, z3.Not(claim))
    assert found != z3.unknown
    return found == z3.unsat


def refuted(premises, claim):
    """Numbers that satisfy the premises and not the claim, by name; None if there are none."""
    solver, found = answer(*premises, z3.Not(claim))
    assert found != z3.unknown
    return solver.model() if found == z3.sat else None


def reals(names):
    return z3.Reals(names)


def dot(x, y):
    return sum(a * b for a, b in zip(x, y, strict=True))


def minus(x, y):
    return [a - b for a, b in zip(x, y, strict=True)]


def times(number, x):
    return [number * a for a in x]


def norm_of(x, n):
    """n is the Euclidean norm of x."""
    return [n >= 0, n * n == dot(x, x)]


def smaller(s, one, other):
    """s is the smaller of the two."""
    return [s <= one, s <= other, z3.Or(s == one, s == other)]


θ, n, r, s, v, m = reals("θ n r s v m")
η, K, β, Δ = reals("η K β Δ")
POSITIVE = [θ > 0, n > 0]
FACTOR = [*POSITIVE, v * n == 1, *smaller(s, 1, θ * v)]  # s = min(1, θ/n)
"""The factor of a gradient with norm n."""


# ── T8 ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "claim",
    [
        s > 0,
        s * n <= θ,
        s * n <= n,
        z3.Or(s * n == θ, s * n == n),
        (1 - s) * (θ - s * n) == 0,
    ],
    ids=str,
)
def test_the_norm_of_the_clip(claim):
    assert holds(FACTOR, claim)


def test_what_the_proof_assumes_of_the_factor_says_what_it_is():
    """``s ≤ 1``, ``s n ≤ θ`` and ``(1 - s)(θ - s n) = 0`` leave no other number, also for g = 0."""
    assumed = [θ > 0, n >= 0, s >= 0, s <= 1, s * n <= θ, (1 - s) * (θ - s * n) == 0]
    assert holds([*assumed, n > θ], s * n == θ)
    assert holds([*assumed, n <= θ], s == 1)


def test_zero_stays_zero():
    g = reals("g1 g2")
    assert holds([*norm_of(g, n), n == 0], z3.And(*(s * x == 0 for x in g)))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_cauchy_schwarz(size):
    x, y = ([z3.Real(f"{name}{i}") for i in range(size)] for name in "xy")
    assert holds([], dot(x, y) ** 2 <= dot(x, x) * dot(y, y))


ip = z3.Real("gᵀy")
IN_BALL = [r >= 0, r <= θ, ip <= n * r]  # ‖y‖ = r, and the inequality of Cauchy and Schwarz
TO_CLIP = (1 - s) ** 2 * n * n  # ‖g - s g‖²
TO_POINT = n * n - 2 * ip + r * r  # ‖g - y‖²


def test_projection():
    assert holds([*FACTOR, *IN_BALL], (1 - s) * ip - s * (1 - s) * n * n <= 0)
    assert holds([*FACTOR, *IN_BALL], TO_CLIP <= TO_POINT)


def two_clips():
    """Norms n and n', the inner product c of two gradients, and their factors."""
    n_, s_, v_, c = reals("n' s' v' c")
    other = [n_ > 0, v_ * n_ == 1, *smaller(s_, 1, θ * v_), c <= n * n_, c >= -n * n_]
    before = n * n - 2 * c + n_ * n_
    after = s**2 * n**2 - 2 * s * s_ * c + s_**2 * n_**2
    return [*FACTOR, *other], before, after


def test_nonexpansive():
    premises, before, after = two_clips()
    assert holds(premises, after <= before)


def test_the_slopes_at_the_threshold():
    """Along g with ‖g‖ = θ: from below the clip moves as g does, from above it stays."""
    inside = [*FACTOR, n == r * θ, r > 0, r <= 1]
    outside = [*FACTOR, n == r * θ, r >= 1]
    assert holds(inside, s * r == r) and holds(outside, s * r == 1)


@pytest.mark.parametrize("count", [2, 3])
def test_parts_one_by_one(count):
    norms = [z3.Real(f"n{i}") for i in range(count)]
    within = [z3.And(x >= 0, x <= θ) for x in norms]
    assert holds([θ > 0, *within], dot(norms, norms) <= count * θ * θ)


# ── T9 ────────────────────────────────────────────────────────────────────────────────────────────

here, there = reals("F_x F_y")
CHANGED = z3.If(here >= there, here - there, there - here)
STEP = [*FACTOR, η > 0, K >= 0, K * (η * (s * n)) >= CHANGED]  # ‖η clip(g)‖ = η s n


@pytest.mark.parametrize("bound", [K * η * n, K * η * θ], ids=str)
def test_the_change_is_bounded(bound):
    assert holds(STEP, bound >= CHANGED)


def test_the_equivalent_rate():
    other = z3.Real("η'")
    assert holds([*FACTOR, η > 0, K > 0, K * other * n == K * η * (s * n)], other == η * s)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_least_number_of_steps(steps):
    F = [z3.Real(f"F{i}") for i in range(steps + 1)]
    q = z3.Real("q")  # K η θ
    changes = [z3.And(a - b <= q, b - a <= q) for a, b in pairwise(F)]
    assert holds([q > 0, *changes, F[0] - F[-1] >= Δ], steps * q >= Δ)


SMOOTH = [
    *FACTOR,
    η > 0,
    β >= 0,
    m == s * n,
    there <= here - η * s * n * n + β / 2 * η * η * s * s * n * n,  # F at x - η s g, with gᵀg = n²
]
FIRST = here - η * m * n + β * η * η * m * m / 2
SECOND = here - η * (1 - β * η / 2) * m * n


def test_descent():
    assert holds(SMOOTH, there <= FIRST)
    assert holds(SMOOTH, FIRST <= SECOND)
    assert holds([*SMOOTH, β * η <= 2], there <= here)
    assert holds([*SMOOTH, β * η < 2], there < here)


# ── what is false is refuted, with numbers ────────────────────────────────────────────────────────


def larger(s, one, other):
    return [s >= one, s >= other, z3.Or(s == one, s == other)]


WITH_MAX = [*POSITIVE, v * n == 1, *larger(s, 1, θ * v)]
x, y = reals("x y")
BLOCKS = [*POSITIVE, *norm_of([x, y], n)]
ELEMENTWISE = [*BLOCKS, z3.And(x <= θ, x >= -θ, y <= θ, y >= -θ)]
shrunk = z3.Real("s_ε")
MARGIN = Fraction(1, 10**6)
PYTORCH = [*POSITIVE, z3.If(n + MARGIN > θ, shrunk * (n + MARGIN) == θ, shrunk == 1)]
QUADRATIC = [*SMOOTH, there == here - η * s * n * n + β / 2 * η * η * s * s * n * n, β > 0]

FALSE = {
    "max for min": (WITH_MAX, s * n <= θ),
    "max for min, in the change": (
        [*WITH_MAX, η > 0, K >= 0, K * (η * (s * n)) == CHANGED],
        K * η * θ >= CHANGED,
    ),
    "no learning rate": (STEP, K * θ >= CHANGED),
    "no learning rate, raw": ([n > 0, η > 0, K >= 0, K * η * n >= CHANGED], K * n >= CHANGED),
    "no K": (STEP, η * θ >= CHANGED),
    "a norm per element": (ELEMENTWISE, n <= θ),
    "a norm per element, with √(size - 1)": (ELEMENTWISE, n * n <= 1 * θ * θ),
    "the norm is always the threshold": (FACTOR, s * n == θ),
    "the clip always shortens": (FACTOR, s * n < n),
    "a step beyond 2/β still descends": (QUADRATIC, z3.Implies(β * η > 2, there <= here)),
    "β η without the half": (QUADRATIC, there <= here - η * (1 - β * η / 4) * m * n),
    "the descent with θ for m": (QUADRATIC, there <= here - η * θ * n + β * η * η * θ * θ / 2),
    "with 1e-6, a gradient beyond θ gets norm θ": (PYTORCH, z3.Implies(n > θ, shrunk * n == θ)),
    "with 1e-6, a gradient of norm θ is left alone": (PYTORCH, z3.Implies(n == θ, shrunk == 1)),
    "the clip as projection onto a larger ball": (
        [*FACTOR, r >= 0, r <= 2 * θ, ip <= n * r, ip >= -n * r],
        TO_CLIP <= TO_POINT,
    ),
    "the projection without the ball": ([*FACTOR, r >= 0, ip <= n * r, ip >= -n * r], TO_CLIP <= TO_POINT),
    "one step fewer": ([K > 0, Δ <= 3 * K], Δ <= 2 * K),
}


@pytest.mark.parametrize("name", FALSE)
def test_what_is_false_is_refuted(name):
    premises, claim = FALSE[name]
    model = refuted(premises, claim)
    assert model is not None
    assert all(z3.is_true(model.eval(p, model_completion=True)) for p in premises)
    assert z3.is_false(model.eval(claim, model_completion=True))


def test_clips_with_max_are_expansive():
    """The same two gradients, each with the larger factor."""
    n_, s_, v_, c = reals("n' s' v' c")
    other = [n_ > 0, v_ * n_ == 1, *larger(s_, 1, θ * v_), c <= n * n_, c >= -n * n_]
    before = n * n - 2 * c + n_ * n_
    after = s**2 * n**2 - 2 * s * s_ * c + s_**2 * n_**2
    assert refuted([*WITH_MAX, *other], after <= before) is not None


def test_a_fixed_model_of_the_bias():
    """Two equally likely gradients and a threshold: the mean of the clips is not the clip of the mean."""
    a, b, clip_a, clip_b, clip_mean = reals("a b clip_a clip_b clip_mean")

    def is_clip(value, of):
        return value == z3.If(of > θ, θ, z3.If(of < -θ, -θ, of))

    law = [θ > 0, is_clip(clip_a, a), is_clip(clip_b, b), is_clip(clip_mean, (a + b) / 2)]
    assert refuted(law, (clip_a + clip_b) / 2 == clip_mean) is not None
    example = [θ == 1, a == 2, b == 0]
    assert holds([*law, *example], z3.And((clip_a + clip_b) / 2 == Fraction(1, 2), clip_mean == 1))
    inside = [a <= θ, a >= -θ, b <= θ, b >= -θ]
    assert holds([*law, *inside], (clip_a + clip_b) / 2 == clip_mean)


def test_contradictory_premises_would_be_noticed():
    """A claim that follows from anything says nothing: all premises used above can be satisfied."""
    premises, *_ = two_clips()
    for used in (FACTOR, STEP, SMOOTH, [*FACTOR, *IN_BALL], premises, WITH_MAX, ELEMENTWISE, PYTORCH):
        assert answer(*used)[1] == z3.sat
