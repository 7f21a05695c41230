"""Teacher forcing on real data: the gap to running free, scheduled sampling, and the parts of the gradient.

``elman_feedback`` learns the yearly sunspot numbers with nothing to read but what it is fed: its input is a
constant. In every window of the series it is fed the true numbers for two solar cycles, and judged on the
next one, where it is fed the truth (a forecast of one year), its own outputs (a forecast of eleven), or one
of them by the toss of a coin.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import train

import bptt_verify as bv

REC = bv.with_feedback(bv.cells.elman_feedback, "scheduled")
WARM, AHEAD = 22, 11  # years of a window that are always fed, and years after that
FIRST, LAST_TRAINING, LAST = 1700, train.LAST_TRAINING_YEAR, 2008
STEP_SIZE, THRESHOLD = 0.2, 1.0
WAYS = {  # how likely the truth is fed after the warm years, by the share of the training that is done
    "teacher-forced": lambda done: 1.0,
    "scheduled": lambda done: max(0.0, 1.0 - done / 0.8),
    "free": lambda done: 0.0,
}
FIGURE = Path("build/examples/teacher_forcing.svg")


class Split(NamedTuple):
    """Norms of the free-running gradient and of its parts (claim T12), before a step of training."""

    step: int
    gradient: float
    detached: float
    paths: float
    teacher: float
    exposure: float
    cosine: float  # between the free-running and the teacher-forced gradient


class Score(NamedTuple):
    """Half a mean squared error, fed the truth and running free; for the latter, errors by the year ahead."""

    fed: float
    free: float
    ahead: np.ndarray


class Run(NamedTuple):
    """One training: parameters, scores on the years that were trained on and on later ones."""

    params: dict
    seen: Score
    later: Score
    splits: list[Split]


def read_roots():
    """Years, and roots of the sunspot numbers (counts scatter more where they are high), normalised."""
    years, spots = np.loadtxt(train.SUNSPOTS, delimiter=",").T
    roots = np.sqrt(spots)
    training = roots[years <= LAST_TRAINING]
    return years, (roots - training.mean()) / training.std()


def windows(first, last, stride):
    """All windows between two years, as a batch: constant input, targets, and the year before, fed first."""
    years, roots = read_roots()
    length = WARM + AHEAD + 1
    starts = [i for i in range(len(years)) if years[i] >= first and years[i] + length - 1 <= last][::stride]
    batch = np.stack([roots[i : i + length] for i in starts], axis=1)[..., None]
    return {"x": np.ones_like(batch[1:]), "y": batch[1:], "u0": batch[0]}


def later_years(stride=1):
    """Windows whose judged years are all later than the training's."""
    return windows(LAST_TRAINING - WARM, LAST, stride)


def mask_of(rng, batch, likely):
    """Coins (T, B): 1 feeds the target of the year before. What the first judged year reads is always fed."""
    mask = (rng.random((WARM + AHEAD, batch)) < likely).astype(float)
    mask[: WARM + 1] = 1.0
    return mask


def weights_of(batch):
    """The mean over the judged years."""
    weights = np.zeros((WARM + AHEAD, batch))
    weights[WARM:] = 1 / (AHEAD * batch)
    return weights


def fit(way, steps=400, hidden=8, stride=5, seed=0, looks=0):
    """Train in one of the three ways; see ``looks`` times, and at the end, what the gradient is made of."""
    kernel, data = bv.generate(REC), windows(FIRST, LAST_TRAINING, stride)
    batch = data["y"].shape[1]
    data["weights"] = weights_of(batch)
    params = train.initial(REC, {"d": 1, "q": 1, "n": hidden}, np.random.default_rng(seed))
    coins, splits = np.random.default_rng([seed, 1]), []
    for step in range(steps):
        if looks and step % (steps // looks) == 0:
            splits.append(split(step, data | params))
        mask = mask_of(coins, batch, WAYS[way](step / steps))
        _, grads = kernel.loss_and_grad(**data, **params, mask=mask)
        params = bv.clipped_update(params, grads, step_size=STEP_SIZE, threshold=THRESHOLD)
    if looks:
        splits.append(split(steps, data | params))
    return Run(params, score(data, params), score(later_years(), params), splits)


def split(step, arrays):
    """The gradient of the loss that runs free after the warm years, taken apart."""
    free = mask_of(np.random.default_rng(0), arrays["y"].shape[1], 0.0)
    found = bv.exposure_terms(REC, **arrays, mask=free)
    flat = {
        k: np.concatenate([getattr(found, k)[p].ravel() for p in REC.params]) for k in Split._fields[1:-1]
    }
    norms = {k: float(np.linalg.norm(v)) for k, v in flat.items()}
    cosine = flat["gradient"] @ flat["teacher"] / (norms["gradient"] * norms["teacher"])
    return Split(step, **norms, cosine=float(cosine))


def predicted(data, params, likely):
    """The outputs, fed the truth (1.0) or running free after the warm years (0.0)."""
    given = {name: data[name] for name in ("x", "y", "u0")}
    mask = mask_of(np.random.default_rng(0), data["y"].shape[1], likely)
    return bv.generate(REC).forward(**given, **params, mask=mask).outputs


def score(data, params):
    """Losses and errors on the judged years."""
    fed, free = (np.square(predicted(data, params, p) - data["y"])[WARM:, :, 0] for p in (1.0, 0.0))
    return Score(float(fed.mean() / 2), float(free.mean() / 2), np.sqrt(free.mean(axis=1)))


def compare(seeds=(0, 1, 2), looks=4, **settings):
    """Every way with every seed; the gradient is taken apart along the first teacher-forced training."""
    found = {way: [] for way in WAYS}
    for way, runs in found.items():
        for seed in seeds:
            first = way == "teacher-forced" and seed == seeds[0]
            runs.append(fit(way, seed=seed, looks=looks if first else 0, **settings))
    return found


def closed(found, way, years):
    """The share of the gap of teacher forcing that another way closes: of means over the seeds."""
    taught, other = ([getattr(r, years) for r in found[w]] for w in ("teacher-forced", way))
    mean = {k: np.mean([getattr(s, k) for s in taught]) for k in ("fed", "free")}
    return (mean["free"] - np.mean([s.free for s in other])) / (mean["free"] - mean["fed"])


def table(found):
    """Scores of every run, and some splits of the gradient, as lines of text."""
    yield f"elman_feedback on the sunspot series: {WARM} years fed, the loss is that of the next {AHEAD}"
    yield "                      | years trained on | later years"
    yield "trained          seed |    fed      free |    fed     free   error 1, 2, 5, 11 years ahead"
    for way, runs in found.items():
        for number, run in enumerate(runs):
            ahead = " ".join(f"{run.later.ahead[k - 1]:5.2f}" for k in (1, 2, 5, 11))
            seen, later = (f"{s.fed:6.3f}   {s.free:6.3f}" for s in (run.seen, run.later))
            yield f"{way:16} {number:4d} | {seen}  | {later}   {ahead}"
    for way in list(found)[1:]:
        shares = [f"{closed(found, way, years):4.0%}" for years in ("seen", "later")]
        yield f"{way}: closes {shares[0]} of the gap on the years trained on, {shares[1]} on later ones"
    yield "teacher-forced training, norms:  free = detached + paths, free - teacher-forced = paths + exposure"
    yield "step     free  detached     paths  teacher-forced  exposure   cosine of free and teacher-forced"
    for s in found["teacher-forced"][0].splits:
        yield (
            f"{s.step:4d} {s.gradient:8.3f}  {s.detached:8.3f}  {s.paths:8.3f}  {s.teacher:14.3f}"
            f"  {s.exposure:8.3f}   {s.cosine:6.2f}"
        )


def plot(path, found):
    """Save the figure; return False without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "teacher_forcing"  # the same file for the same numbers
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    _forecasts(axes[0], found)
    _errors(axes[1], found)
    _parts(axes[2], found["teacher-forced"][0].splits)
    for ax in axes:
        ax.legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return True


def _forecasts(ax, found):
    """Forecasts of eleven years, one after the other, by the first run of two ways."""
    years, roots = read_roots()
    late = years > LAST_TRAINING
    ax.plot(years[late], roots[late], "k-", linewidth=0.8, label="sunspots (root, normalised)")
    data = later_years(AHEAD)
    for way, style in (("teacher-forced", "C0-"), ("scheduled", "C1-")):
        ahead = predicted(data, found[way][0].params, 0.0)[WARM:, :, 0]
        for number, one in enumerate(ahead.T):
            begin = LAST_TRAINING + 1 + AHEAD * number
            ax.plot(range(begin, begin + AHEAD), one, style, label=None if number else f"free, {way}")
    ax.set(xlabel="year", ylim=(-2, 4.5), title=f"forecasts of {AHEAD} years")


def _errors(ax, found):
    """Errors by the year ahead: every run thin, the mean over the seeds thick."""
    for color, (way, runs) in zip(("C0", "C1", "C2"), found.items(), strict=True):
        errors = np.array([run.later.ahead for run in runs])
        ax.plot(range(1, AHEAD + 1), errors.T, color, linewidth=0.5)
        ax.plot(range(1, AHEAD + 1), errors.mean(axis=0), color, label=f"trained {way}")
    ax.set(xlabel="years ahead", ylabel="root mean squared error", title="later years, running free")
    ax.set(ylim=(0, None))


def _parts(ax, splits):
    steps = [s.step for s in splits]
    for name, style in (("gradient", "k-"), ("teacher", "C0-"), ("paths", "C3-"), ("exposure", "C4--")):
        label = {"gradient": "free", "teacher": "teacher-forced"}.get(name, name)
        ax.semilogy(steps, [getattr(s, name) for s in splits], style, label=label)
    ax.set(xlabel="step of teacher-forced training", title="norms of the gradient and its parts")


def main(path=FIGURE):
    """Print the table and save the figure."""
    found = compare()
    print("\n".join(table(found)))
    path.parent.mkdir(parents=True, exist_ok=True)
    print(f"figure: {path}" if plot(path, found) else "no figure: matplotlib is not installed")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
