"""What a failing gradient test says: verdict, place, likely cause, and a script that reproduces it."""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bptt_verify.check import Array
from bptt_verify.errors import CheckFailedError
from bptt_verify.language import Recurrence
from bptt_verify.testing.examples import Example
from bptt_verify.verdict import Evidence, Report
from bptt_verify.verify.checks import check_gradient
from bptt_verify.verify.diagnosis import diagnosis

if TYPE_CHECKING:
    from bptt_verify.testing.properties import Property

PRINTED = 60  # more numbers than this are drawn from the seed in a script, and not printed
SHOWN = 3


class GradientTestFailedError(CheckFailedError):
    """A gradient test failed.

    Nothing of the message is computed before it is asked for: while Hypothesis shrinks, most are not.

    Attributes
    ----------
    example : Example
        The inputs.
    report : Report
        What was found there, with the likely cause.
    """

    def __init__(self, tested: Property, example: Example, evidence: tuple[Evidence, ...]) -> None:
        AssertionError.__init__(self)
        self.tested, self.example, self.evidence = tested, example, evidence

    @cached_property
    def report(self) -> Report:  # type: ignore[override]
        """The report at the example; with the diagnosis of telling inputs, if they show the mistake too."""
        t, arrays = self.tested, self.example.arrays(self.tested.rec)
        seed, reduction = self.example.seed, t.reduction
        sent = {k: v for k, v in arrays.items() if k != "weights" or t.judge.fn.takes(k)}
        here = check_gradient(t.fn, t.rec, inputs=sent, rng=seed, reduction=reduction)
        evidence = here.evidence if here.verdict == "refuted" else self.evidence
        cause = check_gradient(t.fn, t.rec, rng=0, reduction=reduction).diagnosis
        if cause is None:
            cause = diagnosis(t.rec, t.judge.fn, [self.example.case(t.rec).arrays])
        return Report(t.subject, evidence, cause, here.notes)

    @cached_property
    def _text(self) -> str:
        report = self.report
        lines = [f"{report.verdict.upper()}: {report.subject}", f"  smallest found: {self.example.title}"]
        lines += [f"  where: {f.what}" for f in report.findings[:SHOWN]]
        if len(report.findings) > SHOWN:
            lines.append(f"  … and {len(report.findings) - SHOWN} more findings")
        lines.append(f"  likely cause: {report.diagnosis or 'no known mistake gives these numbers'}")
        return "\n".join([*lines, "  to reproduce:", "", *(f"    {s}" for s in self.script.splitlines())])

    @cached_property
    def script(self) -> str:
        """A script that checks the function at the example."""
        return script_of(self.tested, self.example)

    def __str__(self) -> str:
        return self._text


def script_of(tested: Property, example: Example) -> str:
    """A script that checks a function at one example, with its numbers in it where they are few."""
    arrays = example.arrays(tested.rec)
    if not tested.judge.fn.takes("weights"):
        del arrays["weights"]
    few = sum(a.size for a in arrays.values()) <= PRINTED
    fn, rec = _place(tested.fn), _recurrence(tested.rec)
    lines = ["import numpy as np", "import bptt_verify as bv"]
    lines += [] if few else ["from bptt_verify.testing import Example"]
    lines += [*dict.fromkeys((*fn[:-1], *rec[:-1])), ""]
    lines += ["arrays = {", *(f"    {k!r}: {_array(v)}," for k, v in arrays.items()), "}"] if few else [
        f"arrays = {example!r}.arrays({_moded(tested.rec, rec[-1])})",
        *([] if tested.judge.fn.takes("weights") else ['del arrays["weights"]']),
    ]  # fmt: skip
    options = f", rng={example.seed}" + (f", reduction={tested.reduction!r}" * (tested.reduction != "mean"))
    options += f", feedback={tested.rec.mode!r}" * bool(tested.rec.feedback)
    return "\n".join([*lines, f"print(bv.check_gradient({fn[-1]}, {rec[-1]}, inputs=arrays{options}))"])


def _moded(rec: Recurrence, name: str) -> str:
    return f"bv.with_feedback({name}, {rec.mode!r})" if rec.feedback else name


def _array(array: Array) -> str:
    dtype = "" if array.dtype.kind == "f" else f", dtype={array.dtype.name!r}"
    return f"np.array({np.asarray(array, float if not dtype else int).tolist()!r}{dtype})"


def _place(fn: Any) -> tuple[str, ...]:
    """Lines that import a function, and what it is called then."""
    path = str(getattr(fn, "__qualname__", None) or type(fn).__name__)
    found = _found(fn, path)
    tested = getattr(found, "bptt", None)
    if found is fn or getattr(tested, "fn", None) is fn:
        head = path.partition(".")[0]
        return (f"from {_module(fn)} import {head}", path if found is fn else f"{path}.bptt.fn")
    return (f"# import or make {path} here, and call it fn", "fn")


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
