"""How often a gradient counts each of its terms, solved for where no known pattern fits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bptt_verify.estimators import kept
from bptt_verify.oracle import GradientParts, Truncation
from bptt_verify.verify.keptterms import Array, Seen

LONGEST = 12  # T up to which the weights of all terms are solved for
RESIDUAL, RESIDUAL_SINGLE = 1e-8, 1e-4  # relative to the gradient
RANK = 1e-9  # relative to the largest singular value
SHOWN = 4  # terms named one by one


def weights_named(seen: Sequence[Seen], estimator: Truncation, initial: Sequence[str]) -> str | None:
    """The terms that are counted otherwise than the estimator says, if weights reproduce the gradients.

    Parameters
    ----------
    seen : sequence of Seen
        All of one length T.
    estimator : Full, Window or Chunks
    initial : sequence of str
        The initial states, whose terms are others.
    """
    blocks = [b for b in seen[0].grads if b not in initial]
    steps = seen[0].steps
    if steps > LONGEST or not blocks:
        return None
    pairs = [(t, i) for t in range(steps) for i in range(t + 1)]
    rows = [_rows(s, blocks, pairs) for s in seen]
    matrix, found = np.concatenate([m for m, _ in rows]), np.concatenate([f for _, f in rows])
    weights, _, rank, _ = np.linalg.lstsq(matrix, found, rcond=RANK)
    single = any(g.dtype == np.float32 for g in seen[0].grads.values())
    small = (RESIDUAL_SINGLE if single else RESIDUAL) * np.max(np.abs(found), initial=0.0)
    if rank < len(pairs) or np.max(np.abs(matrix @ weights - found)) > small:
        return None
    return _words(dict(zip(pairs, weights, strict=True)), steps, estimator)


def _rows(seen: Seen, blocks: Sequence[str], pairs: Sequence[tuple[int, int]]) -> tuple[Array, Array]:
    """Terms as columns, and what is left of the gradient without explicit parts; each block by its size."""
    terms = np.stack([_term(seen.parts, t, i) for t, i in pairs], axis=1)
    explicit = seen.parts.explicit.sum(axis=0)
    matrix, found = [], []
    for b in blocks:
        place = seen.parts.places[b]
        size = np.max(np.abs(seen.grads[b]), initial=0.0) or 1.0
        matrix.append(terms[place] / size)
        found.append((seen.grads[b].ravel() - explicit[place]) / size)
    return np.concatenate(matrix), np.concatenate(found)


def _term(parts: GradientParts, t: int, i: int) -> Array:
    """c_tᵀ (J_t … J_{i+1}) A_i, both counted from 0."""
    later = parts.reaching[t, i + 1] if i < t else 0.0
    return np.asarray(parts.reaching[t, i] - later)


def _words(weights: dict[tuple[int, int], float], steps: int, estimator: Truncation) -> str | None:
    """What is unusual about the weights; None if they are the estimator's own, which explains nothing."""
    mask = kept(estimator, steps)
    other = [((t, i), w) for (t, i), w in weights.items() if abs(w - mask[t, i]) > 1e-3]
    if not other:
        return None
    lags = {k: [w for (t, i), w in weights.items() if t - i == k] for k in range(steps)}
    same = {k: ws[0] for k, ws in lags.items() if np.ptp(ws) < 1e-3}
    if len(same) == steps:
        shown = ", ".join(f"lag {k}: {_number(w)}" for k, w in same.items())
        return f"every term is counted by its lag t - i alone ({shown}); expected {estimator}"
    named = [
        f"that of the loss {t + 1} and step {i + 1} {_number(w)} times instead of {int(mask[t, i])}"
        for (t, i), w in other[:SHOWN]
    ]
    more = f", and {len(other) - SHOWN} more" if len(other) > SHOWN else ""
    return f"with T={steps}, terms are counted otherwise: {', '.join(named)}{more}; expected {estimator}"


def _number(weight: float) -> str:
    return f"{round(weight)}" if abs(weight - round(weight)) < 1e-3 else f"{weight:.3g}"
