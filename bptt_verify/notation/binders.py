"""What a Σ or ∏ sign says of its letter: ``_{t=1}^{T}``, ``_{i<t}``, ``_t``, ``(…, (t, 1, T))``."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bptt_verify.notation.cursor import OPEN
from bptt_verify.notation.factors import Factors
from bptt_verify.notation.tree import Letter, Tree, moved, number

ASCENDING, DESCENDING = ("≤", "<"), ("≥", ">")


@dataclass(frozen=True)
class Range:
    """``variable`` from ``low`` to ``high``."""

    variable: str
    low: Tree
    high: Tree


LAST = Letter("T", "count")


class Binders(Factors):
    """Reads ranges."""

    def ranges(self) -> list[Range]:
        """The ranges below (and above) a sign, the outer one first.

        Raises
        ------
        FormulaError
            If no index letter is bound.
        """
        at = self.token.at
        self.expect("_")
        if not self.sign("{"):
            name = self._variable()
            return [self._closed(name, number(1), LAST)]
        end = self.closing(self.place)
        self.take()
        found = self._chain(at) if self._relation(end) else [self._assignment()]
        while self.accept(","):
            found.append(self._assignment())
        self.expect("}")
        if self.sign("^") and len(found) == 1:
            self.take()
            found = [replace(found[0], high=self._script())]
        return found

    def _closed(self, name: str, low: Tree, high: Tree) -> Range:
        """The range of a letter, with the upper limit that may follow."""
        return Range(name, low, self._script() if self.accept("^") else high)

    def _variable(self) -> str:
        token = self.token
        if token.kind != "letter" or token.text == "T":
            raise self.refused("expected an index letter, such as t or i")
        if token.text in self.scope:
            raise self.refused(f"the letter {token.text} is bound already; expected another one", token.at)
        self.take()
        return token.text

    def _assignment(self) -> Range:
        """``t=1``, ``t=1,…,T``, ``t=1..T``, ``t``, ``t ∈ 1..T``."""
        name = self._variable()
        if not self.accept("=", "∈", "in"):
            return Range(name, number(1), LAST)
        return self._span(name)

    def _span(self, name: str) -> Range:
        """``1``, ``1..T``, ``1, …, T``, ``[1, T]``, ``{1, …, T}``, ``range(1, T+1)`` after a letter."""
        if self.accept("range"):
            return self._python_range(name)
        opened = self.take().text if self.sign(*OPEN) else ""
        low = self.index()
        high: Tree = LAST
        if self.sign(",", "…"):
            self.accept(",")
            if not self.accept("…") and opened != "[":
                raise self.refused("expected … between the limits")
            while self.accept(",", "…"):
                pass
            high = self.index()
        if opened:
            self.expect(OPEN[opened])
        return Range(name, low, high)

    def _python_range(self, name: str) -> Range:
        """``range(1, T + 1)``, which leaves out its end."""
        self.expect("(")
        low: Tree = self.index()
        if self.accept(","):
            high = self.index()
        else:
            low, high = number(0), low
        self.expect(")")
        return Range(name, low, moved(high, -1))

    def _relation(self, end: int) -> bool:
        return any(t.text in (*ASCENDING, *DESCENDING) for t in self.stream[self.place : end])

    def _chain(self, at: int) -> list[Range]:
        """``1 ≤ k ≤ t``, ``i < t``, ``t ≥ i > k``: every letter that nothing else gives is bound."""
        parts, signs = [self.index()], []
        while self.sign(*ASCENDING, *DESCENDING):
            signs.append(self.take().text)
            parts.append(self.index())
        down = any(s in DESCENDING for s in signs)
        if down and any(s in ASCENDING for s in signs):
            raise self.refused("a chain that turns; expected ≤ and < only, or ≥ and > only", at)
        places = self._bound(parts)
        if not places:
            raise self.refused("a sign that binds no letter; expected one such as i in i < t", at)
        if down:
            places = [len(parts) - 1 - k for k in reversed(places)]
            parts.reverse()
            signs = [ASCENDING[DESCENDING.index(s)] for s in reversed(signs)]
        return self._bounds(parts, signs, places)

    def _bound(self, parts: list[Tree]) -> list[int]:
        """The places of the letters that a chain binds: those that nothing around it gives."""
        known = (*self.scope, *self.given)
        open_ = [
            k
            for k, p in enumerate(parts)
            if isinstance(p, Letter) and p.role == "index" and p.name not in known
        ]
        return open_[:1] if len(parts) == 2 else [k for k in open_ if 0 < k < len(parts) - 1]

    def _bounds(self, parts: list[Tree], signs: list[str], places: list[int]) -> list[Range]:
        """A range for each place of an ascending chain, the outer ones (further right) first."""
        found = []
        for k in reversed(places):
            below = next((j for j in range(k - 1, -1, -1) if j not in places), -1)
            strict = sum(s == "<" for s in signs[below:k])
            low = number(1) if below < 0 else moved(parts[below], strict)
            high = moved(parts[k + 1], -(signs[k] == "<")) if k + 1 < len(parts) else LAST
            letter = parts[k]
            found.append(Range(letter.name if isinstance(letter, Letter) else "", low, high))
        return found

    def listed_range(self) -> Range:
        """``(t, 1, T)`` or ``t, 1, T`` or ``t=1..T`` as the second argument of Sum."""
        opened = self.accept("(", "[", "{")
        name = self._variable()
        if self.accept("=", "∈", "in"):
            found = self._span(name)
        else:
            self.expect(",")
            low = self.index()
            self.expect(",")
            found = Range(name, low, self.index())
        if opened:
            self.take()
        return found
