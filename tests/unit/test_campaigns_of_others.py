"""``campaign`` of truncated and of random gradients, and of plain loss functions."""

from concurrent.futures import ProcessPoolExecutor

import campaigns_for_tests as functions
import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify.verify.examples import Result, problem_of
from bptt_verify.verify.outcomes import check_outcome

REC, THREE, HALF = bv.cells.elman, bv.Window(3), bv.Randomized(0.5)
LOSS = {"against": functions.layer_loss, "inputs": functions.layer_inputs}
SHORT = [k for k in range(60) if 4 <= problem_of(REC, 1, k)[0]["T"] <= 6]  # examples that cost little


def fading(x=bv.Input("n"), y=bv.Target("n"), h=bv.State("n"), b=bv.Param("n")):
    """Forgets at once."""
    h = 1e-4 * h + b * x
    return bv.Step(h=h, loss=bv.squared_error(h, y))


RIGHT = [
    (functions.windowed, {"against": REC, "estimator": THREE}),
    (functions.gated, {"against": REC, "estimator": HALF}),
    (functions.layer, LOSS),
]


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2) as executor:
        yield executor


@pytest.mark.parametrize(("fn", "more"), RIGHT)
def test_right_functions_are_verified_the_same_everywhere_and_resumed(fn, more, processes, tmp_path):
    path = tmp_path / "results.jsonl"
    examples = SHORT[:3]
    here = bv.campaign(fn, examples=examples[:2], seed=1, path=path, **more)
    assert here.verdict == "verified", str(here)
    there = bv.campaign(fn, examples=examples, seed=1, path=path, executor=processes, **more)
    assert (there.resumed, there.results[:2]) == (2, here.results)
    assert bv.campaign(fn, examples=examples[2:], seed=1, **more).results == there.results[2:]


@pytest.mark.parametrize(
    ("fn", "more", "cause"),
    [
        (functions.right, {"against": REC, "estimator": THREE}, "it equals Full()"),
        (functions.windowed, {"against": REC, "estimator": bv.Chunks(3, 3)}, "it equals Window(tau=3)"),
        (functions.gates_unscaled, {"against": REC, "estimator": HALF}, "1/π is forgotten"),
        (functions.layer_wrong_where_square, LOSS, None),
    ],
)
def test_wrong_functions_are_refuted(fn, more, cause):
    examples = range(8) if more is LOSS else SHORT[:2]
    found = bv.campaign(fn, examples=examples, seed=1, **more)
    assert found.verdict == "refuted"
    causes = [f.diagnosis for f in found.failures]
    assert cause is None or any(cause in str(c) for c in causes), causes
    if cause is None:
        shapes = [found.inputs(f.example)["W"].shape for f in found.failures]
        assert all(n == m > 1 for n, m in shapes)


def test_a_random_gradient_can_be_seen_again_at_its_gates():
    found = bv.campaign(functions.gates_unscaled, REC, estimator=HALF, examples=SHORT[:2], seed=1)
    worst = found.failures[0]
    arrays = found.inputs(worst.example)
    assert arrays["keep"].shape == (worst.sizes["T"],)
    assert check_outcome(functions.gates_unscaled, REC, HALF, arrays, rng=0).verdict == "refuted"


@pytest.mark.parametrize("estimator", [THREE, HALF])
def test_the_kernel_of_a_recurrence(estimator):
    found = bv.campaign(REC, estimator=estimator, examples=2)
    assert found.subject == f"the kernel of elman under {estimator}"
    assert not found.failures


def test_most_examples_are_longer_than_a_truncation_reaches():
    steps = [problem_of(REC, 0, k, bv.Window(30))[0]["T"] for k in range(40)]
    assert 20 <= sum(t > 30 for t in steps) < 40
    fixed = bv.Randomized((0.5, 0.2, 0.9))
    assert {problem_of(REC, 0, k, fixed)[0]["T"] for k in range(9)} == {3}
    per_sequence = bv.Randomized(0.5, per_sequence=True)
    assert problem_of(REC, 0, 1, per_sequence)[1]["keep"].ndim == 2


def test_one_example_must_tell_a_truncation_from_its_neighbours():
    blind, told = Result(0, "verified", blind=True), Result(1, "verified")
    assert bv.Campaign("s", 0, (blind,)).verdict == "inconclusive"
    assert bv.Campaign("s", 0, (blind, told)).verdict == "verified"
    assert "1 do not tell the truncation from its neighbours" in str(bv.Campaign("s", 0, (blind, told)))
    found = bv.campaign(bv.recurrence(fading), estimator=bv.Window(4), examples=2)
    assert found.counts == {"verified": 2}
    assert found.verdict == "inconclusive"


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"against": REC, "estimator": THREE}, {"against": REC, "estimator": bv.Window(4)}, "estimator"),
        ({"against": REC}, {"against": REC, "estimator": THREE}, "estimator=None; expected"),
        (LOSS, LOSS | {"seed": 1}, "seed=0; expected seed=1"),
    ],
)
def test_a_file_of_another_campaign_is_refused(tmp_path, first, second, message):
    path = tmp_path / "results.jsonl"
    fn = functions.layer if first is LOSS else functions.windowed
    bv.campaign(fn, examples=1, path=path, **first)
    with pytest.raises(bv.UsageError) as caught:
        bv.campaign(fn, examples=1, path=path, **second)
    assert message in str(caught.value)


def test_inputs_on_which_a_loss_fails_are_inconclusive():
    found = bv.campaign(functions.picky, functions.picky_loss, inputs=functions.picky_inputs, examples=20)
    assert found.counts.keys() == {"verified", "inconclusive"}
    assert found.verdict == "verified"
    undecided = next(r for r in found.results if r.verdict == "inconclusive")
    assert undecided.findings == ("the loss fails with ArithmeticError: negative",)


def test_inputs_that_cannot_be_sent_are_a_clear_error(processes):
    def local(rng):
        return functions.layer_inputs(rng)

    with pytest.raises(bv.UsageError, match="a loss and inputs likewise"):
        bv.campaign(functions.layer, functions.layer_loss, inputs=local, examples=1, executor=processes)


def sampling(rng, **arrays):
    """Draws its gates."""


@pytest.mark.parametrize(
    ("arguments", "more", "message"),
    [
        ((functions.layer, functions.layer_loss), {}, "inputs=None; expected a function"),
        ((functions.layer, functions.layer_loss), {"inputs": {"W": np.ones(2)}}, "expected a function"),
        ((functions.layer, LOSS["against"]), {"inputs": LOSS["inputs"], "estimator": THREE}, "with a loss"),
        ((functions.layer, LOSS["against"]), {"inputs": LOSS["inputs"], "reduction": "sum"}, "with a loss"),
        ((functions.layer, LOSS["against"]), {"inputs": LOSS["inputs"], "feedback": "free"}, "with a loss"),
        ((functions.layer, 3), {"inputs": LOSS["inputs"]}, "against=3; expected a Recurrence, or a loss"),
        ((3, LOSS["against"]), {"inputs": LOSS["inputs"]}, "fn=3; expected a function"),
        ((functions.right, REC), {"inputs": LOSS["inputs"]}, "inputs= with a recurrence"),
        ((functions.right, REC), {"estimator": bv.Window}, "expected an instance: Full()"),
        ((sampling, REC), {"estimator": HALF}, "is for check_unbiased"),
    ],
)
def test_wrong_use_is_an_error_that_says_what_to_do(arguments, more, message):
    with pytest.raises(bv.UsageError) as caught:
        bv.campaign(*arguments, **more)
    assert message in str(caught.value)
