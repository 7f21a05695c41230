"""Train two cells with the kernels generated for them, by plain gradient descent with the textbook clip.

``elman_charlm`` learns to predict the next character of the licence, ``lstm`` the next yearly sunspot number.
"""

from __future__ import annotations

from pathlib import Path

import char_rnn
import numpy as np

import bptt_verify as bv

SUNSPOTS = Path(__file__).with_name("sunspots.csv")
LAST_TRAINING_YEAR = 1949


def train_text(steps=400, hidden=64, step_size=0.5, threshold=1.0, seed=0):
    """Return the loss (nats per character) before each step."""
    rng = np.random.default_rng(seed)
    ids, chars = char_rnn.read_text()
    x, y = char_rnn.streams(ids, batch=8)
    sizes = {"n": hidden, "v": len(chars)}
    kernel = bv.generate(bv.cells.elman_charlm)
    params = initial(bv.cells.elman_charlm, sizes, rng)
    return descend(kernel, params, {"x": x, "y": y}, steps, step_size, threshold)


def train_series(steps=400, hidden=16, step_size=0.5, threshold=1.0, seed=0):
    """Return the loss (half a squared error, in units of the variance) before each step."""
    losses, _ = fit_series(steps, hidden, step_size, threshold, seed)
    return losses


def fit_series(steps, hidden=16, step_size=0.5, threshold=1.0, seed=0):
    """Train on the years up to 1949; return the losses and the prediction for every year from 1701 on."""
    rng = np.random.default_rng(seed)
    years, series = read_series()
    past = np.count_nonzero(years <= LAST_TRAINING_YEAR)
    x, y = series[:-1, None, None], series[1:, None, None]
    kernel = bv.generate(bv.cells.lstm)
    params = initial(bv.cells.lstm, {"d": 1, "q": 1, "n": hidden}, rng)
    losses = descend(kernel, params, {"x": x[: past - 1], "y": y[: past - 1]}, steps, step_size, threshold)
    trace = kernel.forward(x=x, y=y, **params)
    return losses, np.asarray(trace.outputs).ravel()


def descend(kernel, params, data, steps, step_size, threshold):
    """Take gradient steps of norm at most ``step_size * threshold``; change ``params`` in place."""
    losses = []
    for _ in range(steps):
        loss, grads = kernel.loss_and_grad(**data, **params)
        losses.append(float(loss))
        norm = np.sqrt(sum(np.sum(grads[name] ** 2) for name in params))
        scale = min(1.0, threshold / norm) if norm > 0 else 1.0
        for name in params:
            params[name] -= step_size * scale * grads[name]
    return losses


def initial(rec, sizes, rng):
    """Draw matrices with variance 1 / columns; biases are zero, but one for a forget gate."""
    params = {}
    for name, words in rec.params.items():
        shape = tuple(sizes[word] for word in words)
        if len(shape) == 2:
            params[name] = rng.normal(size=shape) / np.sqrt(shape[1])
        else:
            params[name] = np.full(shape, float(name == "b_f"))
    return params


def read_series(path=SUNSPOTS):
    """Return the years and the sunspot numbers, normalised by mean and deviation of the training years."""
    years, spots = np.loadtxt(path, delimiter=",").T
    training = spots[years <= LAST_TRAINING_YEAR]
    return years, (spots - training.mean()) / training.std()


def plot(path, text, series, predicted):
    """Save the two learning curves and the predicted series; return False without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    left.semilogy(text, label="licence text (nats per character)")
    left.semilogy(series, label="sunspots (½ squared error)")
    left.set(xlabel="step", ylabel="loss")
    left.legend()
    years, spots = read_series()
    right.plot(years, spots, label="sunspots, normalised")
    right.plot(years[1:], predicted, label="predicted one year ahead")
    right.axvline(LAST_TRAINING_YEAR + 0.5, color="grey", linestyle=":")
    right.set(xlabel="year")
    right.legend()
    figure.savefig(path)
    pyplot.close(figure)
    return True


def main():
    """Train both, print the falling losses, save a plot."""
    text = train_text()
    series, predicted = fit_series(steps=400)
    for title, losses in (("licence text, elman_charlm", text), ("sunspots, lstm", series)):
        print(title)
        for step in (*range(0, len(losses), max(1, len(losses) // 8)), len(losses) - 1):
            print(f"  step {step:4d}  loss {losses[step]:.4f}")
    years, spots = read_series()
    later = years[1:] > LAST_TRAINING_YEAR
    print(f"years after {LAST_TRAINING_YEAR}, half a mean squared error:")
    print(f"  lstm              {np.mean((predicted - spots[1:])[later] ** 2) / 2:.4f}")
    print(f"  last year's value {np.mean(np.diff(spots)[later] ** 2) / 2:.4f}")
    out = Path("build/examples/train.png")
    out.parent.mkdir(parents=True, exist_ok=True)
    print(f"plot: {out}" if plot(out, text, series, predicted) else "no plot: matplotlib is not installed")


if __name__ == "__main__":
    main()
