"""The example about truncation: its numbers are those of the kernels it compares."""

import numpy as np
import pytest
import truncation

import bptt_verify as bv

lstm = bv.cells.lstm


@pytest.fixture(scope="module")
def arrays():
    return truncation.trained(steps=10, hidden=3, years=41)


@pytest.fixture(scope="module")
def found(arrays):
    return truncation.compare(arrays, windows=(1, 4, 16, 80), probabilities=(0.8, 0.95))


def distance(one, other):
    return np.sqrt(sum(np.sum((one[p] - other[p]) ** 2) for p in lstm.params))


def test_the_bias_and_the_products_are_those_of_the_generated_windows(arrays, found):
    _, full = bv.generate(lstm).loss_and_grad(**arrays)
    size = distance(full, dict.fromkeys(full, 0.0))
    assert [row.value for row in found.windows] == [1, 4, 16] and found.steps == 40
    for row in found.windows:
        part = bv.generate(lstm, estimator=bv.Window(row.value)).estimate(**arrays)
        assert row.products == part.products
        assert row.error == pytest.approx(distance(part.grads, full) / size, rel=1e-9)
    assert found.windows[0].error > found.windows[1].error > found.windows[2].error > 0


def test_the_deviation_is_that_of_draws(arrays, found):
    kernel, rng = bv.generate(lstm, estimator=bv.Randomized(0.95)), np.random.default_rng(0)
    _, full = bv.generate(lstm).loss_and_grad(**arrays)
    draws = [kernel.estimate(**arrays, rng=rng) for _ in range(500)]
    scatter = np.sqrt(np.mean([distance(d.grads, full) ** 2 for d in draws]))
    row = found.constant[1]
    assert row.error == pytest.approx(scatter / distance(full, dict.fromkeys(full, 0.0)), rel=0.2)
    assert row.products == pytest.approx(np.mean([d.products for d in draws]), rel=0.02)


def test_the_optimal_schedule_costs_no_more_and_scatters_less(found):
    for row, best in zip(found.constant, found.optimal, strict=True):
        assert best.products <= row.products + 1e-9 and best.error < row.error


def test_the_table_says_it_all(found):
    lines = list(truncation.table(found))
    assert len(lines) == 3 + len(found.windows) + len(found.constant)
    assert f"{found.windows[2].error:.2e}" in lines[4] and f"{found.optimal[1].error:.2e}" in lines[-1]


def test_the_figure_is_small_and_the_same_each_time(found, tmp_path):
    pytest.importorskip("matplotlib")
    paths = [tmp_path / name for name in ("one.svg", "other.svg")]
    assert all(truncation.plot(path, found) for path in paths)
    assert paths[0].read_bytes() == paths[1].read_bytes() and paths[0].stat().st_size < 150_000


def test_the_example_runs_as_a_script(arrays, found, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(truncation, "trained", lambda: arrays)
    monkeypatch.setattr(truncation, "compare", lambda given: found if given is arrays else None)
    truncation.main(tmp_path / "new" / "figure.svg")
    printed = capsys.readouterr().out.splitlines()
    assert printed[:-1] == list(truncation.table(found)) and "figure" in printed[-1]
