"""The training example learns: the loss falls on the licence text and on the sunspot series."""

import numpy as np
import train


def test_the_loss_falls_on_the_text():
    losses = train.train_text(steps=100, hidden=32)
    assert losses[-1] < 0.75 * losses[0]


def test_the_loss_falls_on_the_series():
    losses = train.train_series(steps=60, hidden=8)
    assert losses[-1] < 0.5 * losses[0]


def test_training_is_deterministic():
    assert train.train_text(steps=3, hidden=8) == train.train_text(steps=3, hidden=8)


def test_the_series_is_whole():
    years, series = train.read_series()
    assert np.array_equal(years, np.arange(1700, 2009))
    assert np.all(np.isfinite(series))
