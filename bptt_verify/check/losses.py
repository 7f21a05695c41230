"""The returned loss against the reference loss: is it the right model at all?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bptt_verify.check import contract, noise
from bptt_verify.check.comparison import RELATIVE, ROUNDED, Bench
from bptt_verify.check.contract import Visit
from bptt_verify.check.observations import sizes
from bptt_verify.check.problem import Arrays, magnitude, real_loss, signs, unit
from bptt_verify.check.reference import difference_slopes
from bptt_verify.check.scatter import REPEATS, distance
from bptt_verify.verdict import Evidence, Finding, Verdict


def loss_evidence(bench: Bench, visits: Sequence[Visit], gradient_wrong: bool) -> Evidence:
    """Compare the returned losses; where they differ, say whether the gradient fits the returned one."""
    seen = [v for v in visits if v.loss is not None]
    errors = [_error(bench, v) for v in seen]
    wrong = [v for v, e in zip(seen, errors, strict=True) if e > 1 and _stays(bench, v)]
    findings = (_finding(bench, wrong[0], len(wrong), len(seen), gradient_wrong),) if wrong else ()
    worst = max(errors, default=0.0)
    scatter = sum(e > 1 for e in errors) - len(wrong)
    summary = (
        f"{len(seen)} losses compared; largest difference {worst:.1e} of what is allowed"
        + (f"; {scatter} differ by more than that, and scatter as rounding does" if scatter else "")
        if seen
        else "no loss could be compared"
    )
    doubtful = scatter and bench.precision is noise.DOUBLE and any(_off(bench, v) > ROUNDED for v in seen)
    clear = bool(seen) and not doubtful
    verdict: Verdict = "refuted" if findings else "verified" if clear else "inconclusive"
    return Evidence("loss", "tested", verdict, summary, findings, {"cases": float(len(seen)), "worst": worst})


def _off(bench: Bench, v: Visit) -> float:
    """The difference, relative to the expected loss."""
    expected = real_loss(bench.problem.loss, v.case.arrays)
    return abs(float(v.loss or 0.0) - expected) / abs(expected) if expected and np.isfinite(expected) else 0.0


def _error(bench: Bench, v: Visit) -> float:
    """The difference, in units of the tolerance."""
    arrays, loss = v.case.arrays, bench.problem.loss
    expected = real_loss(loss, arrays)
    moved = noise.loss_noise(loss, arrays, bench.precision, bench.rng)
    allowed = RELATIVE * abs(expected) + noise.floor(abs(expected), moved, arrays, bench.precision)
    if v.loss is None or not np.isfinite(v.loss):
        return 0.0 if abs(expected) > 1e-2 / bench.precision.tiny else np.inf
    return abs(v.loss - expected) / allowed


def _stays(bench: Bench, v: Visit) -> bool:
    """Whether the difference is there at nearby points too, and not scattering rounding."""
    errors = []
    away = distance(bench.problem, v.case.arrays, bench.rng)
    for _ in range(REPEATS):
        point = noise.nearby(v.case.arrays, away, bench.rng)
        result = contract.call(bench.fn, contract.copies(point))
        if result.failure is None and result.loss.ndim == 0:
            errors.append(float(result.loss) - real_loss(bench.problem.loss, point))
    return not errors or noise.systematic(errors)


def _finding(bench: Bench, v: Visit, wrong: int, seen: int, gradient_wrong: bool) -> Finding:
    expected = real_loss(bench.problem.loss, v.case.arrays)
    found = float(v.loss) if v.loss is not None else np.nan
    text = f"the loss is wrong: found {found:.6g}, expected {expected:.6g} on case {v.case.name!r}"
    text += f" ({wrong} of {seen} cases)" + _factor(bench, v.case.arrays, found, expected)
    if gradient_wrong and own_gradient(bench, v):
        text += "; the gradient is the right one of the function's own loss, so it computes another model"
    elif not gradient_wrong:
        text += f"; {bench.problem.subject} is right"
    relative = abs(found - expected) / abs(expected) if expected else np.inf
    return Finding(text, found=found, expected=expected, error=float(relative), case=v.case.name)


def _factor(bench: Bench, arrays: Arrays, found: float, expected: float) -> str:
    if not expected or bench.problem.steps is None:
        return ""
    known = sizes(arrays, bench.problem.steps(arrays))
    t, b = known.get("T", 1), known.get("B", 1)
    named = {"T": t, "B": b, "T*B": t * b, "1/T": 1 / t, "1/B": 1 / b, "1/(T*B)": 1 / (t * b)}
    named |= {"-1": -1, "2": 2, "1/2": 0.5}
    ratio = found / expected
    same = [name for name, value in named.items() if value != 1 and abs(ratio - value) < 1e-6 * abs(value)]
    return f"; it is {' or '.join(same)} times the right one" if same else ""


def own_gradient(bench: Bench, v: Visit) -> bool:
    """Whether the returned gradients are the derivatives of the returned loss."""
    arrays = v.case.arrays

    def own(point: Arrays) -> float:
        result = contract.call(bench.fn, contract.copies(point))
        return float(result.loss) if result.failure is None and result.loss.ndim == 0 else np.nan

    probes = [(b, unit(arrays, b) * signs(g.shape, bench.rng)) for b, g in v.grads.items()]
    wobble = noise.loss_noise(own, arrays, bench.precision, bench.rng)
    seen = difference_slopes(own, arrays, probes, wobble)
    claimed = np.array([np.sum(v.grads[b] * d, dtype=float) for b, d in probes])
    if not np.any(seen.trusted) or not magnitude(claimed):
        return False
    gaps = np.abs(claimed - seen.values)[seen.trusted]
    return bool(np.all(gaps <= 8 * seen.errors[seen.trusted] + 1e-5 * np.abs(claimed[seen.trusted])))
