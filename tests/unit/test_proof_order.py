"""Inequalities in the proof kernel: written out, shown, evaluated, false without their side conditions."""

from fractions import Fraction

import numpy as np
import pytest

from bptt_verify.errors import ProofError
from bptt_verify.proof import CLAIMS, explained, labels
from bptt_verify.proof.claims import clip
from bptt_verify.proof.claims.columns import added, cauchy_schwarz, equals, expanded, inner
from bptt_verify.proof.evaluation import Model, euclidean, evaluated, integers, row_sum
from bptt_verify.proof.kernel import Letter, Norm, Trace, Transpose, combine, index, not_negative
from bptt_verify.proof.kernel import order as order_module
from bptt_verify.proof.printing import written

t, u = index("t"), index("u")
g, y = Letter("g", "n", "1"), Letter("y", "n", "1")
J = Letter("J", "n", "n")
x = Letter("x")


def looked_at(theorem, seed=0):
    model = Model({"n": 3}, integers(np.random.default_rng(seed)), tuple(theorem.definitions))
    return evaluated(theorem, model, 3)


# ── written out ───────────────────────────────────────────────────────────────────────────────────


def test_inner_products_are_bilinear_and_symmetric():
    theorem = expanded(inner(2 * g(t) - x() * y(u), y(u) + g(t)))
    gg, gy, yy = inner(g(t), g(t)), inner(g(t), y(u)), inner(y(u), y(u))
    assert theorem.statement.right.expand() == (2 * gg + 2 * gy - x() * gy - x() * yy).expand()
    assert looked_at(theorem) == 16


def test_both_sides_and_all_premises_may_be_written_in_any_way():
    theorem = equals(inner(g(t) - y(u), g(t) + y(u)), inner(g(t), g(t)) - inner(y(u), y(u)))
    assert theorem.statement.relation == "=" and looked_at(theorem) == 16
    square = not_negative(inner(g(t) - y(u), g(t) - y(u)), ())
    doubled = added(2 * inner(y(u), g(t)), inner(g(t), g(t)) + inner(y(u), y(u)), (1, square))
    assert doubled.statement.relation == "≤" and looked_at(doubled) == 16


def test_a_wrong_sum_is_refused():
    square = not_negative(inner(g(t) - y(u), g(t) - y(u)), ())
    with pytest.raises(ProofError, match="different normal forms"):
        added(3 * inner(y(u), g(t)), inner(g(t), g(t)) + inner(y(u), y(u)), (1, square))


# ── shown ─────────────────────────────────────────────────────────────────────────────────────────


def text_of(part):
    chains = explained(part.theorem, labels(part.label))
    titles = ["".join(map(str, chain.title)) for chain in chains]
    links = [link for chain in chains for link in chain.links]
    return titles, links


def test_what_a_root_is_taken_of_is_shown_first():
    titles, links = text_of(CLAIMS["T8"].part("cauchy_schwarz"))
    assert titles == ["First, (a_tᵀ b_u)^2 ≤ ‖a_t‖^2 ‖b_u‖^2:", "Hence:"]
    assert [link.reason for link in links] == [
        "by T8a",
        "by assumption",
        "by assumption",
        "the square root grows with its argument",
    ]


def test_what_is_added_is_shown_with_its_reasons():
    _, links = text_of(CLAIMS["T8"].part("variational"))
    (added_,) = links[-1].settings
    assert links[-1].reason == "what is added is not negative; by assumption; by T8b"
    assert "(1 - s_t) (‖g_t‖ ‖y_u‖ - (g_tᵀ y_u))" in str(added_)
    assert "‖g_t‖ (1 - s_t) (θ - ‖y_u‖)" in str(added_)


def test_a_theorem_does_not_cite_itself():
    for claim in ("T8", "T9"):
        for part in CLAIMS[claim].parts:
            assert all(f"by {part.label}" not in link.reason.split("; ") for link in text_of(part)[1])


def test_numbers_and_absolute_values_are_written_as_such():
    assert written(2 * inner(g(t), y(u))) == "2 (g_tᵀ y_u)"
    assert written(Trace(J(t))) == "tr(J_t)"
    assert written(Norm(x())) == "|x|" and written(Norm(g(t))) == "‖g_t‖"
    assert written(g(t) - 2 * (g(t) - y(u))) == "g_t - 2 (g_t - y_u)"
    assert written(y(t) - (g(t) - y(u))) == "y_t - (g_t - y_u)"


# ── evaluated ─────────────────────────────────────────────────────────────────────────────────────


def column(*numbers):
    return np.array([[n] for n in numbers], dtype=object)


def test_the_euclidean_norm_is_exact_or_refused():
    assert euclidean(column(3, -4)) == 5 and euclidean(column(Fraction(3, 5), Fraction(4, 5))) == 1
    assert row_sum(column(3, -4)) == 4
    for wrong in (column(1, 1), np.array([[3, 4]], dtype=object)):
        with pytest.raises(ProofError, match="expected a column whose norm is a fraction"):
            euclidean(wrong)


def test_a_model_with_another_norm_does_not_satisfy_the_assumption():
    theorem = cauchy_schwarz()
    columns = Model({"n": 2}, lambda letter, at, shape: column(3, 4), (), euclidean)
    assert evaluated(theorem, columns, 2) == 9
    with pytest.raises(ProofError, match="does not satisfy the assumption"):
        evaluated(theorem, Model({"n": 2}, lambda letter, at, shape: column(3, 4)), 2)


# ── side conditions ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "make",
    [
        lambda: not_negative(x(t) ** 3, ()),
        lambda: not_negative(Trace(J(t) * J(t)), ()),
        lambda: not_negative(Trace(Transpose(J(t)) * J(u)), ()),
        lambda: combine(0, x(t), ((x(t),),)),
        lambda: combine(x(t), 2 * x(t) - x(u), ((x(t) - x(u),),)),
    ],
)
def test_what_may_be_negative_gives_something_false(make, monkeypatch):
    """Without the look at the form they are theorems, and the evaluation shows what they are worth."""
    with pytest.raises(ProofError, match="may be negative"):
        make()
    monkeypatch.setattr(order_module, "nonnegative", lambda term: True)
    with pytest.raises(ProofError, match="is false at"):
        [looked_at(make(), seed) for seed in range(20)]


def test_the_assumptions_of_the_clip_are_needed():
    """Each of the three is among what the projection rests on, or what the bound rests on."""
    assert {clip.AT_MOST_ONE, clip.EITHER} <= clip.projection().assumptions
    assert clip.at_most_threshold().assumptions == {clip.WITHIN}
