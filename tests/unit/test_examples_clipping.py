"""The example that compares every step's change of the loss with its bound."""

import clipping
import numpy as np
import pytest


@pytest.mark.parametrize("threshold", [0.1, np.inf])
def test_no_step_changes_the_loss_by_more_than_its_bound(threshold):
    rows = clipping.run(steps=3, threshold=threshold, hidden=3, years=16)
    assert [0 < r.change <= r.bound for r in rows] == [True] * 3
    assert all(r.bound < 100 * r.change for r in rows)  # a bound that says something
    assert len(list(clipping.table(rows, rows))) == 2 + 2 + 2


def test_the_clip_makes_the_step_shorter():
    clipped, raw = (clipping.run(steps=1, threshold=t, hidden=3, years=16) for t in (0.01, np.inf))
    assert clipped[0].norm == raw[0].norm > 0.01 and clipped[0].change < raw[0].change
