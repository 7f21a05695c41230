"""Rung 3: local Jacobians against SymPy index notation with symbolic sizes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from bptt_verify.oracle.equality import NOTHING, Decision, decide
from bptt_verify.oracle.indices import IndexNotation, Instance, letter, names_in, sizes_part
from bptt_verify.oracle.located import Symbolic
from bptt_verify.oracle.numeric import block_finding, failed
from bptt_verify.oracle.points import (
    DIGITS,
    Point,
    Sizes,
    blocks,
    check_sizes,
    digits_of,
    has_kinks,
    points,
    rational,
    shape,
    sized,
    sizes_text,
)
from bptt_verify.oracle.quotients import Numbers
from bptt_verify.program import BATCH, TIME, Array, Program
from bptt_verify.verdict import Evidence, Finding, Verdict

NAME = "local Jacobians in index notation"

_SECONDS = 10.0


@dataclass(frozen=True)
class _Block:
    """One Jacobian: of a new state by an array (the previous state, a parameter, an input)."""

    name: str
    value: str
    other: str
    wanted: bool


def jacobian_evidence(
    forward: Program, jacobian: Program, sizes: Mapping[str, int], rng: np.random.Generator
) -> Evidence:
    """Whether the Jacobians of one step are those of SymPy's index notation.

    Each new state is written with symbolic sizes (``Sum``, ``Indexed``, opaque functions) and
    differentiated by SymPy by an entry with symbolic indices; what passes through another new state
    follows by the chain rule. Both sides are then written out at the given sizes, for one step and one
    sequence, and every entry is compared exactly.

    Parameters
    ----------
    forward : Program
        Its carries are the states.
    jacobian : Program
        Over the same arrays (and identities); results ``"d<state>/d<other>"`` with labels
        (T, B, state sizes, other sizes), other being a state, a parameter or a real input.
    sizes : mapping of str to int
        T and B are taken as 1.
    rng : numpy.random.Generator
        Draws the point at which numbers are shown and branches are taken.

    Returns
    -------
    Evidence
        Refuted by a wrong entry, or by a Jacobian of states or parameters that is not zero and not
        given; inconclusive, with the reason, where index notation fails.

    Raises
    ------
    UsageError
        If a size is missing.
    """
    sizes = {**sizes, TIME: 1, BATCH: 1}
    check_sizes(forward, sizes)
    try:
        usable = (p for p in points(forward, sizes, rng) if Numbers(p, DIGITS).usable(sized(forward, sizes)))
        point = next(usable, None)
        if point is None:
            return Evidence(NAME, "checked", "inconclusive", "no random point has a finite real loss")
        return _Comparison(forward, jacobian, sizes, point).evidence()
    except Exception as error:  # whatever SymPy or a malformed program raises: nothing is known then
        return failed(NAME, sizes, error)


def _listed(names: list[str]) -> str:
    """``dh/dh, dh/dx``; with several states ``d(h, c)/d(h, c, x)`` if that is all there is."""
    pairs = [name[1:].split("/d", 1) for name in names]
    rows, columns = (list(dict.fromkeys(pair[k] for pair in pairs)) for k in (0, 1))
    if len(rows) == 1 or len(rows) * len(columns) != len(names):
        return ", ".join(names)
    return f"d({', '.join(rows)})/d({', '.join(columns)})"


class _Comparison:
    def __init__(self, forward: Program, jacobian: Program, sizes: Sizes, point: Point) -> None:
        self.forward, self.sizes = forward, sizes
        self.results = dict(jacobian.results)
        self.digits = digits_of(forward, jacobian)
        self.kinks = has_kinks(forward)
        self.symbolic = Symbolic(point, DIGITS)
        self.found = self.symbolic.values(sized(jacobian, sizes))
        values = self.symbolic.values(sized(forward, sizes))
        self.known: dict[tuple[str, str], Any] = {}
        self.entries: dict[str, tuple[tuple[sp.Expr, ...], sp.Expr]] = {}
        self.notation = IndexNotation(rational(forward))
        self.instance = Instance(forward, self.symbolic, values, sizes)

    def evidence(self) -> Evidence:
        pairs, findings, seen = [], [], []
        for block in self._blocks():
            expected = self._expected(block.value, block.other)
            if block.name in self.results:
                seen.append(block.name)
                found = np.asarray(self.found[self.results[block.name]], dtype=object)
                wrong = self._finding(block, found, expected)
                findings += [wrong] if wrong else []
                if np.size(found) == expected.size:
                    entries = zip(found.flat, expected.flat, strict=True)
                    pairs += [(self.symbolic.located(f).expr, e.expr) for f, e in entries]
            elif block.wanted and any(e.value for e in expected.flat):
                what = f"{block.name}: no Jacobian is given, and it is not zero."
                findings.append(Finding(what, block=block.name))
        if findings or not pairs:
            what = f"{len(findings)} Jacobians are wrong or missing"
            return self._say("refuted" if findings else "inconclusive", what, findings=tuple(findings))
        decision = decide(pairs, self.symbolic.definitions, time.monotonic() + _SECONDS)
        return self._judged(decision, seen, len(pairs))

    def _judged(self, decision: Decision, seen: list[str], total: int) -> Evidence:
        if decision.all_equal:
            branch = ", on the branches at a random point," if self.kinks else ""
            words = ", ".join(w for w in self.sizes if w not in (TIME, BATCH)) or "entries"
            what = f"{_listed(seen)}: derived with symbolic {words}; {total} entries {decision.text()}"
            return self._say("verified", what + branch, decision)
        left = len(decision.different) + len(decision.undecided)
        agree = f"both sides agree to {self.digits} digits at one random point"
        return self._say(
            "inconclusive", f"{left} of {total} entries are not decided exactly; {agree}", decision
        )

    def _blocks(self) -> Iterator[_Block]:
        states = {c.boundary.removesuffix("0"): c for c in self.forward.carries}
        for state, new in states.items():
            for other, c in states.items():
                yield _Block(f"d{state}/d{other}", new.value, c.boundary, True)
            for a in blocks(self.forward).values():
                if a.role != "initial":
                    yield _Block(f"d{state}/d{a.name}", new.value, a.name, a.role == "param")

    def _expected(self, value: str, other: str) -> Any:
        """The located entries of a Jacobian: explicit, and through the other new states."""
        if (value, other) not in self.known:
            total = self._explicit(value, other)
            for through in sorted(self._reads(value)):
                inner, outer = self._expected(through, other), self._explicit(value, through)
                axes = len(sizes_part(self.forward.labels(through)))
                total = total + np.tensordot(outer, inner, axes=axes)
            self.known[value, other] = np.asarray(total, dtype=object)
        return self.known[value, other]

    def _reads(self, value: str) -> set[str]:
        return names_in(self._entry(value)[1]) & self.notation.states

    def _entry(self, value: str) -> tuple[tuple[sp.Expr, ...], sp.Expr]:
        """A new state at fresh indices."""
        if value not in self.entries:
            rows = self.notation.fresh(sizes_part(self.forward.labels(value)))
            self.entries[value] = rows, self.notation.entry(value, rows)
        return self.entries[value]

    def _explicit(self, value: str, other: str) -> Any:
        """The entries by index notation, other new states held fixed."""
        rows, expr = self._entry(value)
        of, by = (sizes_part(self.forward.labels(n)) for n in (value, other))
        columns = self.notation.fresh(by)
        slope = sp.diff(expr, letter(other, columns)) if other in names_in(expr) else sp.Integer(0)
        entries = np.empty(shape((*of, *by), self.sizes), dtype=object)
        for index in np.ndindex(entries.shape):
            entries[index] = self.instance(slope, dict(zip((*rows, *columns), index, strict=True)))
        return entries

    def _finding(self, block: _Block, found: Any, expected: Any) -> Finding | None:
        right, numbers = self._numbers(expected), self._numbers(found)
        inner = numbers.reshape(numbers.shape[2:]) if numbers.shape[:2] == (1, 1) else numbers
        tolerance = self.symbolic.book.arithmetic.mpf(10) ** -self.digits
        array = Array(block.name, "param", ())
        return block_finding(
            array, inner, right, tolerance=tolerance, floor=1e-10, case=sizes_text(self.sizes)
        )

    def _numbers(self, entries: Any) -> Any:
        number = np.frompyfunc(lambda e: self.symbolic.located(e).value, 1, 1)
        return np.asarray(number(entries), dtype=object)

    def _say(
        self, verdict: Verdict, what: str, decision: Decision = NOTHING, findings: tuple[Finding, ...] = ()
    ) -> Evidence:
        summary = f"{what} at {sizes_text(self.sizes)}"
        return Evidence(NAME, "checked", verdict, summary, findings, decision.numbers())
