"""What a failing gradient test says: verdict, place, likely cause, and a script that reproduces it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis.strategies import SearchStrategy

from bptt_verify.errors import CheckFailedError
from bptt_verify.estimators import Full
from bptt_verify.language import outward
from bptt_verify.testing.against import Against
from bptt_verify.testing.ofloss import OfLoss
from bptt_verify.testing.ofrecurrence import OfOutcomes, OfRecurrence
from bptt_verify.verdict import Evidence, Report, combine
from bptt_verify.verify.scripts import Name, as_literals, is_short, place_of, place_of_reference, script

if TYPE_CHECKING:
    from bptt_verify.testing.properties import Property

SHOWN = 3


class GradientTestFailedError(CheckFailedError):
    """A gradient test failed.

    Nothing of the message is computed before it is asked for: while Hypothesis shrinks, most are not.

    Attributes
    ----------
    example : Example, or Inputs
        The inputs.
    report : Report
        What was found there, with the likely cause.
    """

    def __init__(self, tested: Property, example: Any, evidence: tuple[Evidence, ...]) -> None:
        AssertionError.__init__(self)
        self.tested, self.example, self.evidence = tested, example, evidence

    @cached_property
    def report(self) -> Report:  # type: ignore[override]
        """The report at the example, with the likely cause."""
        t = self.tested
        here = t.judge.judge(self.example, located=True)
        evidence = here if combine(e.verdict for e in here) == "refuted" else self.evidence
        cause = t.against.cause(t.judge.fn, self.example)
        return Report(t.subject, evidence, cause, t.against.notes(t.judge.fn))

    @cached_property
    def _text(self) -> str:
        report = self.report
        lines = [f"{report.verdict.upper()}: {report.subject}", f"  smallest found: {self.example.title}"]
        lines += [f"  where: {f.what}" for f in report.findings[:SHOWN]]
        if len(report.findings) > SHOWN:
            lines.append(f"  … and {len(report.findings) - SHOWN} more findings")
        if report.cause:
            lines.append(f"  likely cause: {report.cause}")
        return "\n".join([*lines, "  to reproduce:", "", *(f"    {s}" for s in self.script.splitlines())])

    @cached_property
    def script(self) -> str:
        """A script that checks the function at the example."""
        return script_of(self.tested, self.example)

    def __str__(self) -> str:
        return self._text


def script_of(tested: Property, example: Any) -> str:
    """A script that checks a function at one example, with its numbers in it where they are few."""
    against, arrays = tested.against, outward(tested.against.case(example).arrays)
    left_out = [] if isinstance(against, OfLoss) or tested.judge.fn.takes("weights") else ["weights"]
    arrays = {k: np.asarray(v) for k, v in arrays.items() if k not in left_out}
    remade = [] if is_short(arrays) else _remade(against, example)
    again = [*remade, *(f"del arrays[{name!r}]" for name in left_out)]
    lines = again if remade else as_literals(arrays)
    return _checked(tested.fn, against, lines, example.seed)


def _remade(against: Against, example: Any) -> list[str]:
    """Lines that make the arrays from a seed; none if nothing is known but a strategy."""
    if not isinstance(against, OfLoss):
        needed, name = _reference(against)
        return [*needed, "from bptt_verify.testing import Example", f"arrays = {example!r}.arrays({name})"]
    if isinstance(against.inputs, SearchStrategy):
        return []
    needed, name = place_of(against.inputs, "inputs")
    return [*needed, f"arrays = {name}(np.random.default_rng({example.seed}))"]


def _reference(against: Against) -> tuple[list[str], str]:
    """Lines that import what a function is tested against, and what it is called then."""
    if isinstance(against, OfLoss):
        return place_of_reference(against.loss)
    rec = against.whole.rec if isinstance(against, OfOutcomes) else against.rec  # type: ignore[attr-defined]
    needed, name = place_of_reference(rec)
    return needed, f"bv.with_feedback({name}, {rec.mode!r})" if rec.feedback else name


def _checked(fn: Any, against: Against, lines: list[str], seed: int) -> str:
    """The script that ends with the check which fits."""
    options: dict[str, Any] = {"inputs": Name("arrays"), "rng": seed}
    match against:
        case OfLoss(loss, wrt=wrt):
            options |= {"wrt": None if wrt is None else tuple(wrt)}
            return script(fn, place_of_reference(loss), lines, options)
        case OfRecurrence(rec, estimator=Full()):
            mode = rec.mode if rec.feedback else None
            options |= {"reduction": _reduced(against), "feedback": mode}
            return script(fn, place_of_reference(rec), lines, options)
        case OfOutcomes(whole):
            check, outer = "check_outcome", ["from bptt_verify.verify.outcomes import check_outcome"]
        case OfRecurrence() as whole:
            check, outer = "bv.check_truncated", []
    estimator = against.estimator  # type: ignore[union-attr]
    options |= {"estimator": Name(f"bv.{estimator}"), "reduction": _reduced(whole)}
    return script(fn, _reference(against), [*outer, *lines], options, check)


def _reduced(against: OfRecurrence) -> str | None:
    return None if against.reduction == "mean" else against.reduction
