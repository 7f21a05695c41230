"""The example about teacher forcing: what it feeds, and that its numbers are those of the kernels."""

import numpy as np
import pytest
import teacher_forcing as example

import bptt_verify as bv

cell = bv.cells.elman_feedback
SMALL = {"steps": 12, "hidden": 3, "stride": 40}


@pytest.fixture(scope="module")
def found():
    return example.compare(seeds=(0, 1), looks=2, **SMALL)


def mean_loss(data, run, likely, mode):
    """By the kernel of one mode; the judged years run free only where the warm ones are fed."""
    given = data | {"weights": example.weights_of(data["y"].shape[1])}
    mask = {"mask": example.mask_of(np.random.default_rng(0), data["y"].shape[1], likely)}
    mask = mask if mode == "scheduled" else {}
    return bv.generate(cell, feedback=mode).loss_and_grad(**given, **run.params, **mask)[0]


def test_the_windows_are_pieces_of_the_series_and_the_later_years_are_judged_apart():
    years, roots = example.read_roots()
    seen, later = example.windows(1700, 1949, 1), example.later_years()
    length = example.WARM + example.AHEAD
    assert np.array_equal(seen["y"][:, 3, 0], roots[4 : 4 + length]) and seen["u0"][3, 0] == roots[3]
    assert np.array_equal(seen["y"][-1, -1], roots[years == 1949])
    assert np.array_equal(later["y"][example.WARM, 0], roots[years == 1950])
    assert np.array_equal(later["y"][-1, -1], roots[years == 2008])
    assert np.all(seen["x"] == 1)  # nothing of the series comes in but by what is fed


def test_the_forecast_reads_the_truth_up_to_the_year_before_the_first_that_is_judged(found):
    data, params = example.later_years(), found["free"][0].params
    before = example.predicted(data, params, 0.0)[example.WARM :]
    moved = {**data, "y": data["y"].copy()}
    moved["y"][example.WARM :] += 1.0
    assert np.array_equal(example.predicted(moved, params, 0.0)[example.WARM :], before)
    moved["y"][example.WARM - 1] += 1.0
    assert np.all(example.predicted(moved, params, 0.0)[example.WARM :] != before)
    assert np.array_equal(example.predicted(data, params, 1.0)[example.WARM], before[0])


def test_the_scores_are_losses_of_the_kernels(found):
    data, run = example.windows(1700, 1949, SMALL["stride"]), found["scheduled"][1]
    assert run.seen.fed == pytest.approx(mean_loss(data, run, 1.0, "teacher"), rel=1e-12)
    assert run.seen.free == pytest.approx(mean_loss(data, run, 0.0, "scheduled"), rel=1e-12)
    assert run.later.free == pytest.approx(np.mean(run.later.ahead**2) / 2, rel=1e-12)


def test_a_mask_of_ones_trains_as_the_teacher_forced_kernel_does():
    run = example.fit("teacher-forced", steps=1, hidden=3, stride=40)
    data = example.windows(1700, 1949, 40)
    params = example.train.initial(cell, {"d": 1, "q": 1, "n": 3}, np.random.default_rng(0))
    weights = example.weights_of(data["y"].shape[1])
    _, grads = bv.generate(cell, feedback="teacher").loss_and_grad(**data, **params, weights=weights)
    after = bv.clipped_update(params, grads, step_size=example.STEP_SIZE, threshold=example.THRESHOLD)
    assert all(np.allclose(run.params[p], after[p], rtol=1e-12, atol=0) for p in params)


def test_coins_go_from_one_to_zero_and_leave_the_warm_years_alone():
    rng = np.random.default_rng(0)
    for done, share in ((0.0, 1.0), (0.4, 0.5), (0.9, 0.0)):
        mask = example.mask_of(rng, 400, example.WAYS["scheduled"](done))
        assert np.all(mask[: example.WARM + 1] == 1)
        assert np.mean(mask[example.WARM + 1 :]) == pytest.approx(share, abs=0.03)


def test_the_parts_of_the_gradient_add_up_and_are_seen_on_the_way(found):
    splits = found["teacher-forced"][0].splits
    assert [s.step for s in splits] == [0, 6, 12] and not found["teacher-forced"][1].splits
    for s in splits:
        assert abs(s.gradient - s.detached) <= s.paths * (1 + 1e-12)
        assert abs(s.detached - s.teacher) <= s.exposure * (1 + 1e-12)
        assert -1 <= s.cosine <= 1


def test_training_is_deterministic_and_lowers_what_is_trained(found):
    again = example.fit("scheduled", seed=1, **SMALL)
    assert again.seen[:2] == found["scheduled"][1].seen[:2]
    longer = example.fit("teacher-forced", steps=60, hidden=3, stride=40)
    assert longer.seen.fed < found["teacher-forced"][0].seen.fed < longer.seen.free


def test_the_table_says_it_all(found):
    lines = list(example.table(found))
    assert len(lines) == 3 + 3 * 2 + 2 + 2 + 3
    run = found["free"][1]
    assert f"{run.later.fed:.3f}" in lines[8] and f"{run.later.free:.3f}" in lines[8]
    assert f"{example.closed(found, 'scheduled', 'later'):.0%}" in lines[9]
    taught, other = ([r.later for r in found[way]] for way in ("teacher-forced", "scheduled"))
    gap = sum(s.free - s.fed for s in taught)
    gained = sum(s.free for s in taught) - sum(s.free for s in other)
    assert example.closed(found, "scheduled", "later") == pytest.approx(gained / gap)


def test_the_figure_is_small_and_the_same_each_time(found, tmp_path):
    pytest.importorskip("matplotlib")
    paths = [tmp_path / name for name in ("one.svg", "other.svg")]
    assert all(example.plot(path, found) for path in paths)
    assert paths[0].read_bytes() == paths[1].read_bytes() and paths[0].stat().st_size < 150_000


def test_the_example_runs_as_a_script(found, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(example, "compare", lambda: found)
    example.main(tmp_path / "new" / "figure.svg")
    printed = capsys.readouterr().out.splitlines()
    assert printed[:-1] == list(example.table(found)) and "figure" in printed[-1]
