"""Random letters outside the rules: exact means over all outcomes, and how all this is written."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from bptt_verify.derivation import theorem_document
from bptt_verify.proof import CLAIMS, counterexample
from bptt_verify.proof.claims.parts import MOST, MOST_OF_MEANS
from bptt_verify.proof.claims.randomized import ONE_GATE, RECURSIVE, SHARED, XI, Z
from bptt_verify.proof.evaluation import Model, evaluated, gate_law, integers
from bptt_verify.proof.kernel import Letter, Mean, Norm, Total, Transpose, equation, index, resize, specialise
from bptt_verify.proof.printing import LATEX, TEXT, bare
from bptt_verify.render.mathml import mathml

t, k = index("t"), index("k")
PI = {1: Fraction(1, 2), 2: Fraction(1, 3), 3: Fraction(2, 3)}
J = Letter("J", "n", "n")


def model(definitions=()):
    """Matrices of integers, and the gates with the probabilities above."""
    numbers = integers(np.random.default_rng(3))

    def draw(letter, at, shape):
        return gate_law(PI[at[0]] if at else PI[1]) if letter.random else numbers(letter, at, shape)

    return Model({"n": 2, "p": 3}, draw, definitions)


def value(term, definitions=(), **indices):
    return model(definitions).value(term, {index(name): v for name, v in indices.items()})


# ---- exact means ----


def test_moments_of_a_gate():
    assert value(Mean(XI(1))) == value(Mean(XI(2))) == 1
    assert [value(Mean(XI(s) ** 2)) for s in (1, 2, 3)] == [2, 3, Fraction(3, 2)]
    assert value(Mean((XI(2) - 1) ** 2)) == 2
    assert value(Mean(Norm(XI(2) - 1))) == Fraction(4, 3)  # 1 with probability 2/3, 2 with 1/3


def test_gates_of_different_steps_are_independent_and_one_gate_is_itself():
    assert value(Mean(XI(1) * XI(2))) == 1
    assert value(Mean(XI(1) * XI())) == 1
    assert value(Mean(XI() * XI())) == 2
    assert value(Mean(Total(XI(k), k, 1, 3) ** 2)) == 2 + 3 + Fraction(3, 2) + 6


def test_a_mean_in_a_mean_is_a_number():
    assert value(Mean(XI(1) * Mean(XI(1) ** 2))) == 2
    assert value(Mean(XI(1) * Mean(XI(1)) - Mean(XI(1) * XI(1)))) == -1


@pytest.mark.parametrize(("definition", "shared"), [(RECURSIVE, False), (ONE_GATE, True)])
def test_a_derived_letter_is_averaged_over_all_outcomes(definition, shared):
    """Against a loop over {0, 1}³ with the probabilities multiplied."""
    m = model((definition,))
    letter = definition.letter
    found = m.value(Mean(letter(3)), {})
    A, jacobian = (
        {s: m.value(Letter(x, *of)(s), {}) for s in (1, 2, 3)} for x, of in (("A", "np"), ("J", "nn"))
    )
    total = 0
    for opened in product((0, 1), repeat=1 if shared else 3):
        gates = dict(zip((1, 2, 3), opened * 3 if shared else opened, strict=False))
        pi = dict.fromkeys(PI, PI[1]) if shared else PI
        z, chance = 0 * A[1], Fraction(1)
        for s in (1, 2, 3):
            z = A[s] + Fraction(gates[s]) / pi[s] * (jacobian[s] @ z)
            if s == 1 or not shared:
                chance *= pi[s] if gates[s] else 1 - pi[s]
        total = total + chance * z
    assert np.array_equal(found, total)


def test_outside_a_mean_there_is_one_outcome():
    m = model()
    first = m.value(XI(1), {})
    assert first in (0, 2) and all(m.value(XI(1), {}) == first for _ in range(5))
    assert m.value(Mean(XI(1)), {}) == 1 and m.value(XI(1), {}) == first
    assert m.holds(equation(XI(1) ** 2, XI(1) * first), {})
    seen = {model_of_outcome(seed) for seed in range(20)}
    assert seen == {0, 2}


def model_of_outcome(seed):
    m = model()
    m.rng = np.random.default_rng(seed)
    return m.value(XI(1), {})


def test_a_counterexample_shows_the_laws():
    false = equation(Mean(XI(t) ** 2), 1)
    found = counterexample(false)
    assert isinstance(found.letters["ξ(0)"], tuple)
    assert "ξ(0) = 0 (probability" in str(found)
    pointwise = counterexample(equation(XI(t), 1))
    assert pointwise.letters["ξ(0)"] == pointwise.left


def test_how_far_a_claim_is_evaluated():
    assert {CLAIMS[c].most for c in ("T1", "T4", "T5", "T6")} == {MOST}
    assert CLAIMS["T7"].most == MOST_OF_MEANS
    assert CLAIMS["T7"].part("error").most == MOST  # it speaks of every outcome, not of a mean


def test_a_theorem_about_means_with_the_jacobian_of_a_cell():
    """The linear cell: every J_t is W, and its A_t is V h_{t-1}."""
    w, h = Letter("W", "n", "n"), Letter("h", "p", "1")
    own = specialise(CLAIMS["T7"].part("recursive").theorem, J, t, w())
    own = specialise(resize(own, "p", "1"), Letter("A", "n", "1"), t, Letter("V", "n", "p")() * h(t - 1))
    definitions = tuple(own.definitions)
    assert evaluated(own, Model({"n": 2, "p": 3}, integers(np.random.default_rng(0)), definitions), 3) == 4


# ---- how it is written ----

WRITTEN = [
    (Mean(XI(t) * Z(t - 1)), "E[ξ_t z_{t-1}]", r"\mathbb{E}\left[ \xi_{t}\, z_{t-1} \right]"),
    (Transpose(Mean(Z(t))), "E[z_t]ᵀ", r"\mathbb{E}\left[ z_{t} \right]^{\top}"),
    (Mean(XI(t)) ** 2, "E[ξ_t]^2", r"{\mathbb{E}\left[ \xi_{t} \right]}^{2}"),
    (Transpose(SHARED(t)), "z^s_tᵀ", r"{z^{s}_{t}}^{\top}"),
    (XI() - 1, "ξ - 1", r"\xi - 1"),
    (1 - XI(t) * XI(k), "1 - ξ_k ξ_t", r"1 - \xi_{k}\, \xi_{t}"),
]


@pytest.mark.parametrize(("term", "text", "latex"), WRITTEN, ids=[w[1] for w in WRITTEN])
def test_how_it_is_written(term, text, latex):
    assert (bare(term, TEXT), bare(term, LATEX)) == (text, latex)


def parts_of(block, kind):
    """All parts of a document that are of a kind."""
    if type(block).__name__ == kind:
        yield block
    elif isinstance(block, tuple):
        for part in block:
            yield from parts_of(part, kind)
    elif hasattr(block, "__dataclass_fields__"):
        for name in block.__dataclass_fields__:
            yield from parts_of(getattr(block, name), kind)


@pytest.mark.parametrize("claim", ["T5", "T6", "T7"])
def test_every_formula_can_be_shown(claim):
    formulas = set(parts_of(theorem_document(claim), "Formula"))
    assert len(formulas) > 50
    for formula in formulas:
        assert formula.latex.isascii()
        assert mathml(formula.latex).startswith("<math")


def words_of(claim):
    return {
        "".join(p if isinstance(p, str) else p.text for p in prose.parts)
        for prose in parts_of(theorem_document(claim), "Prose")
    }


def test_independence_is_said_in_words():
    said = words_of("T7")
    assert "Here ξ_t are independent random numbers." in said
    assert "Here ξ is one random number for all steps." in said
    assert {"Assumed for every k: E[ξ_k] = 1.", "Assumed for every k: E[ξ_k^2] = κ_k."} <= said
    assert not any("random" in words and "Here" in words for words in words_of("T6"))
