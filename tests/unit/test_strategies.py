"""Strategies: what is drawn fits, shrinks, and means what its text says."""

import numpy as np
import pytest
import sympy
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

import bptt_verify as bv
from bptt_verify import language
from bptt_verify.estimators import probabilities
from bptt_verify.program import listing
from bptt_verify.testing import strategies

LANGUAGE = {n: getattr(language, n) for n in language.__all__} | {"sympy": sympy}
some = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
unshrunk = settings(deadline=None, database=None, phases=[Phase.generate])
kernel = bv.generate(bv.cells.elman_charlm)
taught = bv.generate(bv.cells.jordan, feedback="scheduled")
random = bv.generate(bv.cells.linear, estimator=bv.Randomized(0.5))


@some
@given(strategies.problems(bv.cells.elman_charlm))
def test_problems_are_arrays_for_a_kernel(arrays):
    loss, grads = kernel.loss_and_grad(**arrays)
    assert np.isfinite(loss) and arrays["W_hx"].shape[1] >= 2
    assert grads.keys() == {*bv.cells.elman_charlm.params, "h0"}


@some
@given(strategies.problems(bv.cells.jordan, feedback="scheduled", max_steps=5, max_batch=2, max_size=3))
def test_problems_with_feedback_have_a_mask_and_keep_their_limits(arrays):
    T, B, d = arrays["x"].shape
    assert T <= 5 and B <= 2 and d <= 3
    assert arrays["mask"].shape == (T, B) and set(np.unique(arrays["mask"])) <= {0, 1}
    taught.loss_and_grad(**arrays)


def test_problems_shrink_to_the_smallest_sizes():
    strategy = strategies.problems(bv.cells.elman)
    found = find(strategy, lambda a: a["x"].shape[0] >= 3 and a["W_hh"].shape[0] >= 2)
    assert found["x"].shape == (3, 1, 1) and found["W_qh"].shape == (1, 2)
    assert np.allclose(found["weights"], 1 / 3)


@some
@given(st.data())
def test_gates_are_zero_or_one_over_pi(data):
    T = data.draw(st.integers(1, 6))
    pi = data.draw(strategies.schedules(T))
    chances = probabilities(bv.Randomized(pi), T)
    xi = data.draw(strategies.gates(T, pi))
    assert xi.shape == (T,) and np.all((xi == 0) | np.isclose(xi * chances, 1))
    assert np.all(xi[chances == 1] == 1)
    each = data.draw(strategies.gates(T, pi, batch=2))
    assert each.shape == (T, 2)


def test_gates_are_taken_by_a_kernel_and_shrink_to_closed_ones():
    xi = find(strategies.gates(4, 0.5), lambda xi: xi[2] > 0)
    assert xi.tolist() == [0, 0, 2, 0]
    arrays = find(strategies.problems(bv.cells.linear), lambda a: len(a["x"]) == 4)
    random.loss_and_grad(**arrays, xi=xi)


def test_schedules_shrink_to_one():
    assert find(strategies.schedules(3), lambda pi: True) == 1.0
    assert find(strategies.schedules(3), lambda pi: isinstance(pi, tuple)) == (1.0, 1.0, 1.0)
    assert isinstance(find(strategies.schedules(2), lambda pi: isinstance(pi, bv.Geometric)), bv.Geometric)


@some
@given(st.booleans().flatmap(lambda feedback: strategies.recurrences(feedback=feedback)))
def test_random_recurrences_are_what_their_text_defines(rec):
    scope = dict(LANGUAGE)
    exec(rec.text, scope)
    assert listing(scope["cell"].program) == listing(rec.program)
    assert rec.text in repr(rec)


def test_random_recurrences_are_printed_as_their_text():
    @settings(unshrunk, max_examples=1)
    @given(strategies.recurrences(feedback=True))
    def fails(rec):
        raise ValueError

    with pytest.raises(ValueError) as caught:
        fails()
    notes = "\n".join(caught.value.__notes__)
    assert "def cell(x=Input(" in notes and "program=" not in notes


@pytest.mark.parametrize("kind", [bv.Recurrence, bv.Window, bv.Chunks, bv.Randomized])
def test_types_are_registered(kind):
    assert isinstance(find(st.from_type(kind), lambda value: True, settings=unshrunk), kind)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: strategies.problems(3), "rec=3; expected a Recurrence"),
        (lambda: strategies.problems(bv.cells.linear, max_size=0), "max_size=0; expected"),
        (lambda: strategies.gates(0, 0.5), "T=0; expected"),
        (lambda: strategies.gates(2, 0.0), "expected 0 < pi ≤ 1"),
        (lambda: strategies.gates(2, (0.5,)), "pi has 1 entries, and T=2"),
        (lambda: strategies.gates(2, 0.5, batch=0), "batch=0; expected"),
        (lambda: strategies.schedules(True), "T=True; expected"),
        (lambda: strategies.recurrences(feedback="free"), "feedback='free'; expected True or False"),
    ],
)
def test_wrong_use_is_refused(make, message):
    with pytest.raises(bv.UsageError) as caught:
        make()
    assert message in str(caught.value)
