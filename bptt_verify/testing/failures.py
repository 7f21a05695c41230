"""What a failing gradient test says: verdict, place, likely cause, and a script that reproduces it."""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis.strategies import SearchStrategy

from bptt_verify.check import Array
from bptt_verify.errors import CheckFailedError
from bptt_verify.estimators import Full
from bptt_verify.language import Recurrence, outward
from bptt_verify.testing.against import Against
from bptt_verify.testing.ofloss import OfLoss
from bptt_verify.testing.ofrecurrence import OfOutcomes, OfRecurrence
from bptt_verify.verdict import Evidence, Report, combine

if TYPE_CHECKING:
    from bptt_verify.testing.properties import Property

PRINTED = 60  # more numbers than this are drawn from the seed in a script, and not printed
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
        if report.diagnosis or not isinstance(self.tested.against, OfLoss):
            lines.append(f"  likely cause: {report.diagnosis or 'no known mistake gives these numbers'}")
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
    fn, other, remade = _place(tested.fn), _against(against), _remade(against, example)
    few = sum(a.size for a in arrays.values()) <= PRINTED or not remade
    lines = ["import numpy as np", "import bptt_verify as bv"]
    lines += [*dict.fromkeys((*fn[:-1], *other[:-1], *(() if few else remade[:-1]))), ""]
    lines += ["arrays = {", *(f"    {k!r}: {_array(v)}," for k, v in arrays.items()), "}"] if few else [
        f"arrays = {remade[-1]}", *(f"del arrays[{name!r}]" for name in left_out),
    ]  # fmt: skip
    return "\n".join([*lines, f"print({_check(against, fn[-1], other[-1], example.seed)})"])


def _against(against: Against) -> tuple[str, ...]:
    """Lines that import what a function is tested against, and what it is called then."""
    match against:
        case OfLoss(loss):
            return _place(loss, "loss")
        case OfOutcomes(whole):
            lines = ("from bptt_verify.verify.outcomes import check_outcome",)
            return (*lines, *_recurrence(whole.rec)[:-1], _moded(whole.rec, _recurrence(whole.rec)[-1]))
        case OfRecurrence(rec):
            return (*_recurrence(rec)[:-1], _moded(rec, _recurrence(rec)[-1]))
    return ()


def _remade(against: Against, example: Any) -> tuple[str, ...]:
    """Lines, and how the arrays are made from a seed; nothing if they are not."""
    if not isinstance(against, OfLoss):
        name = _against(against)[-1]
        return ("from bptt_verify.testing import Example", f"{example!r}.arrays({name})")
    if isinstance(against.inputs, SearchStrategy):
        return ()
    *lines, name = _place(against.inputs, "inputs")
    return (*lines, f"{name}(np.random.default_rng({example.seed}))")


def _check(against: Against, fn: str, other: str, seed: int) -> str:
    """The call that repeats the check."""
    match against:
        case OfOutcomes(whole, estimator):
            return f"check_outcome({fn}, {other}, bv.{estimator}, arrays, rng={seed}{_reduced(whole)})"
        case OfRecurrence(estimator=Full()):
            return f"bv.check_gradient({fn}, {other}, inputs=arrays, rng={seed}{_reduced(against)})"
        case OfRecurrence(estimator=e):
            return f"bv.check_truncated({fn}, {other}, bv.{e}, inputs=arrays, rng={seed}{_reduced(against)})"
    return f"bv.check_gradient({fn}, {other}, inputs=arrays, rng={seed})"


def _reduced(against: OfRecurrence) -> str:
    return "" if against.reduction == "mean" else f", reduction={against.reduction!r}"


def _moded(rec: Recurrence, name: str) -> str:
    return f"bv.with_feedback({name}, {rec.mode!r})" if rec.feedback else name


def _array(array: Array) -> str:
    dtype = "" if array.dtype.kind == "f" else f", dtype={array.dtype.name!r}"
    return f"np.array({np.asarray(array, float if not dtype else int).tolist()!r}{dtype})"


def _place(fn: Any, called: str = "fn") -> tuple[str, ...]:
    """Lines that import a function, and what it is called then."""
    path = str(getattr(fn, "__qualname__", None) or type(fn).__name__)
    found = _found(fn, path)
    tested = getattr(found, "bptt", None)
    if found is fn or getattr(tested, "fn", None) is fn:
        head = path.partition(".")[0]
        return (f"from {_module(fn)} import {head}", path if found is fn else f"{path}.bptt.fn")
    return (f"# import or make {path} here, and call it {called}", called)


def _recurrence(rec: Recurrence) -> tuple[str, ...]:
    module, path = rec.function.__module__, rec.function.__qualname__
    if module.partition(".cells")[0] == "bptt_verify":
        return (f"bv.cells.{rec.name}",)
    found = _found(rec.function, path)
    if isinstance(found, Recurrence) and found.function is rec.function:
        return (f"from {_module(rec.function)} import {path.partition('.')[0]}", path)
    return (f"# import or define the recurrence {rec.name} here, and call it rec", "rec")


def _found(fn: Any, path: str) -> Any:
    """What a module holds under a function's own name; None if nothing."""
    found: Any = sys.modules.get(getattr(fn, "__module__", ""))
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def _module(fn: Any) -> str:
    """The module's name; of a script, that of its file."""
    code = getattr(fn, "__code__", None)
    if fn.__module__ == "__main__" and code is not None:
        return Path(code.co_filename).stem
    return str(fn.__module__)
