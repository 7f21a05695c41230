"""How exposure to its own outputs changes a recurrence's gradient: T12, evaluated on given arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bptt_verify.analysis.given import kernel_of, prepared
from bptt_verify.derivation import adjoint, cotangent_adjoint, detached, states_of
from bptt_verify.errors import UsageError
from bptt_verify.language import MASK_NEXT, Recurrence, with_feedback
from bptt_verify.program import TIME, Program, evaluate

Array = np.ndarray[Any, Any]
Grads = dict[str, Array]

ENTRIES = 1 << 22  # numbers in one array, when the paths of many steps are computed at once


@dataclass(frozen=True)
class ExposureTerms:
    """The gradient of a recurrence that feeds its own output, and its difference to teacher forcing (T12).

    ``gradient = detached + paths`` and ``gradient - teacher = paths + exposure``. Every dict has one array
    for each parameter, real input and initial array.

    Attributes
    ----------
    loss, teacher_loss : float
        Of the recurrence as it is fed, and of the teacher-forced one.
    gradient : dict
        ∂L/∂w, through everything that is fed.
    detached : dict
        Along the same trajectory, with all that is fed held constant.
    paths : dict
        Σ_{s≥2} λ^u_sᵀ (du_s/dw)_det, the feedback paths. Computed as this sum, not as a difference.
    teacher : dict
        The gradient under teacher forcing.
    exposure : dict
        ``detached - teacher``: what the change of the trajectory does.
    path_norms : array (T,)
        The norm of each step's term over all parameters together (of several Feedbacks, the root of the
        sum of squares); 0 for s = 1, where ``<name>0`` is fed.
    """

    loss: float
    teacher_loss: float
    gradient: Grads
    detached: Grads
    paths: Grads
    teacher: Grads
    exposure: Grads
    path_norms: Array

    def __str__(self) -> str:
        lines = [f"loss {self.loss:.6g}, teacher-forced {self.teacher_loss:.6g}"]
        shown = ("gradient", "detached", "paths", "teacher", "exposure")
        lines.append(f"{'norm of':<12} " + " ".join(f"{what:>10}" for what in shown))
        for name in self.gradient:
            numbers = " ".join(f"{np.linalg.norm(getattr(self, what)[name]):>10.4g}" for what in shown)
            lines.append(f"{'∂L/∂' + name:<12} {numbers}")
        return "\n".join(lines)


def exposure_terms(rec: Recurrence, /, **arrays: Any) -> ExposureTerms:
    """Split the gradient of a free-running recurrence, and its difference to teacher forcing (T12).

    Computed in double precision by O(T²) work; the sum over steps is O(T).

    Parameters
    ----------
    rec : Recurrence
        With a Feedback, and a target in its place; free, or ``with_feedback(rec, "scheduled")``.
    **arrays
        As for ``Kernel.loss_and_grad``, real; ``mask`` where it is scheduled.

    Returns
    -------
    ExposureTerms

    Raises
    ------
    UsageError
        If ``rec`` has no Feedback, or is teacher-forced.
    RecurrenceError
        If it is not clear which target takes the place of the Feedback.
    ArrayError
        If an array is missing, unknown, or has a wrong shape or dtype.
    """
    kernel = kernel_of(rec, "exposure_terms")
    if not rec.feedback or rec.mode == "teacher":
        what = "no Feedback is declared" if not rec.feedback else "feedback='teacher' feeds no output"
        raise UsageError(
            f"exposure_terms: {rec.name}: {what}; expected a recurrence that is fed its own output. "
            "Pass it as it is written, or with_feedback(rec, 'scheduled') and a mask."
        )
    forced = with_feedback(rec, "teacher")
    given = prepared(kernel, "exposure_terms", arrays)
    whole = adjoint(rec.program)
    values = evaluate(whole, given)
    gradient = _results(whole, values)
    cut = detached(whole)
    constant = _results(cut, evaluate(cut, given))
    right = adjoint(forced.program)
    taught = evaluate(right, {k: v for k, v in given.items() if k != MASK_NEXT})
    teacher = _results(right, taught)
    paths = {k: np.zeros_like(v) for k, v in constant.items()}
    squares = np.zeros(len(given["weights"]))
    for u, cotangent in _sent_back(whole, values).items():
        _add_paths(rec, u, cotangent, given, paths, squares)
    return ExposureTerms(
        loss=float(values[dict(whole.results)["loss"]]),
        teacher_loss=float(taught[dict(right.results)["loss"]]),
        gradient=gradient,
        detached=constant,
        paths=paths,
        teacher=teacher,
        exposure={k: constant[k] - teacher[k] for k in constant},
        path_norms=np.sqrt(squares),
    )


def _results(program: Program, values: Mapping[str, Any]) -> Grads:
    return {k: np.asarray(values[v]) for k, v in program.results if k != "loss"}


def _sent_back(whole: Program, values: Mapping[str, Any]) -> dict[str, Array]:
    """λ^u_{t+1} for every step t, by what is fed: the cotangent that the next step sends back to it."""
    found = {}
    for c in whole.carries:
        if c.fed and c.shift > 0:
            sent = np.asarray(values[c.value])
            found[c.end.removesuffix("_bar").removesuffix("0")] = np.concatenate((sent[1:], 0 * sent[:1]))
    return found


def _add_paths(
    rec: Recurrence, u: str, sent: Array, given: Mapping[str, Any], paths: Grads, squares: Array
) -> None:
    """Add the feedback paths through u: what is sent back times the detached derivative of what is fed."""
    value = states_of(rec.program)[u]
    # The adjoint of the fed value alone, as though it were the output.
    fed = replace(rec.program, results=(("output", value), *states_of(rec.program).items()))
    back = detached(cotangent_adjoint(fed))
    seeds = [a for a in back.arrays if a.role == "cotangent"]
    series = next(a.name for a in seeds if a.labels[0] == TIME)
    last = {a.name: np.zeros_like(given[_initial(a.name)]) for a in seeds if a.name != series}
    most = max(1, ENTRIES // max(np.size(v) for v in (*given.values(), sent)))
    for low in range(0, len(sent) - 1, most):
        rows = np.arange(low, min(low + most, len(sent) - 1))
        alone = np.zeros((*sent.shape, len(rows)))  # a stack: one step's cotangent in each entry
        alone[rows, ..., np.arange(len(rows))] = sent[rows]
        values = evaluate(back, {**given, **last, series: alone})
        for name, result in back.results:
            terms = np.asarray(values[result])
            if terms.ndim > paths[name].ndim:  # otherwise it does not depend on what is sent: zero
                paths[name] += terms.sum(axis=-1)
                if name in rec.params:
                    squares[rows + 1] += np.square(terms).sum(axis=tuple(range(terms.ndim - 1)))


def _initial(cotangent: str) -> str:
    """The initial array of the state whose final cotangent has this name."""
    return cotangent.removesuffix("_cotangent") + "0"
