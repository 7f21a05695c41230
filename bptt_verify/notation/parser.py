"""Equations and their conditions: the outer part of the grammar, and the entry ``readings``."""

from __future__ import annotations

from dataclasses import replace

from bptt_verify.errors import FormulaError
from bptt_verify.notation.binders import ASCENDING, Range
from bptt_verify.notation.cursor import CLOSE, OPEN, Options
from bptt_verify.notation.terms import OPERATORS, Terms
from bptt_verify.notation.tokens import Token, tokens
from bptt_verify.notation.tree import (
    Condition,
    Equation,
    Letter,
    Tree,
)
from bptt_verify.notation.vocabulary import Vocabulary
from bptt_verify.notation.walking import free_letters, walk

NODES = 3_000
READINGS = (
    Options(),
    Options(tie="hadamard"),
    Options(tie="left"),
    Options(extent=1),
    Options(extent=2),
    Options(extent=99),
    Options(wide=True),
)


def readings(text: str, vocabulary: Vocabulary) -> list[tuple[Equation, ...]]:
    """Every reading of a text, the usual one first; most texts have one.

    Parameters
    ----------
    text : str
        One or more equations, or one expression.
    vocabulary : Vocabulary

    Returns
    -------
    list of tuple of Equation

    Raises
    ------
    FormulaError
        With the position at which reading stopped.
    """
    stream = tokens(text, vocabulary)
    found = [_read(text, stream, vocabulary, READINGS[0])]
    for options in READINGS[1:]:
        try:
            another = _read(text, stream, vocabulary, options)
        except FormulaError:
            continue
        found += [another] if another not in found else []
    return found


def _read(text: str, stream: list[Token], vocabulary: Vocabulary, options: Options) -> tuple[Equation, ...]:
    found = []
    for part in _split(stream):
        if len(part) > 1:
            found.append(Parser(text, part, vocabulary, options).equation())
    if not found:
        raise FormulaError("formula: nothing to read; expected a formula.", text, 0)
    return tuple(found)


def _split(stream: list[Token]) -> list[list[Token]]:
    """The token streams of the single equations: a line that goes on with the last one belongs to it."""
    lines: list[list[Token]] = [[]]
    level = 0
    for t in stream[:-1]:
        if t.kind == "sign":
            level += (t.text in OPEN) - (t.text in CLOSE)
        if t.kind == "sign" and (t.text == "newline" or (t.text == ";" and level <= 0)):
            lines += [[]] if level <= 0 else []
        else:
            lines[-1].append(t)
    joined: list[list[Token]] = []
    for line in filter(None, lines):
        if joined and _goes_on(joined[-1], line):
            condition = line[0].kind == "letter" and any(t.text in ASCENDING for t in line)
            joined[-1] += [*([Token("sign", ",", line[0].at)] if condition else []), *line]
        else:
            joined.append(line)
    return [[*line, Token("end", "the end", _end_of(line, stream))] for line in joined]


def _end_of(line: list[Token], stream: list[Token]) -> int:
    later = [t.at for t in stream if t.at > line[-1].at]
    return later[0] if later else stream[-1].at


def _goes_on(before: list[Token], line: list[Token]) -> bool:
    operators = ("=", "+", "-", *OPERATORS)
    starts = line[0].kind == "sign" and line[0].text in operators
    ends = before[-1].kind == "sign" and before[-1].text in (*operators, "(", "[", "{")
    return starts or ends or not any(t.kind == "sign" and t.text == "=" for t in _outer(line))


def _outer(line: list[Token]) -> list[Token]:
    """The tokens outside of brackets."""
    level, found = 0, []
    for t in line:
        if t.kind == "sign":
            level -= t.text in CLOSE
        found += [t] if level == 0 else []
        if t.kind == "sign":
            level += t.text in OPEN
    return found


class Parser(Terms):
    """Reads one equation."""

    def equation(self) -> Equation:
        """``side = side = …`` with conditions, up to the end."""
        at = self.token.at
        sides = [self._side()]
        self.given = free_letters(sides[0])
        while self.accept("="):
            sides.append(self._side())
        conditions = self._conditions()
        if self.token.kind != "end":
            raise self.refused("expected an operator or the end")
        if sum(1 for s in sides for _ in walk(s)) > NODES:
            raise self.refused(f"a formula of more than {NODES} parts; expected a shorter one", at)
        return Equation(tuple(sides), tuple(conditions), at)

    def _side(self) -> Tree:
        tree = self.expression()
        if self.accept("∈"):  # in ℝ^{q × h}: a remark
            while not self.sign("=", ",", ".") and self.token.kind != "end":
                self.take()
        return tree

    # ---- conditions ----

    def _conditions(self) -> list[Condition]:
        """``, t < T``, ``for 1 ≤ t ≤ T``, ``(t < T)``, ``, t = T-1, …, 1``; a full stop."""
        found: list[Condition] = []
        while self.token.kind != "end":
            said = False
            while self.sign(",", ".", "for", "all"):
                said = self.take().text in ("for", "all") or said
            if self.token.kind == "end":
                break
            opened = self.accept("(")
            found += self._condition(said)
            if opened:
                self.expect(")")
        return found

    def _condition(self, said: bool) -> list[Condition]:
        """One condition; a lone letter is one after ``for`` only."""
        lone = self.ahead().text not in ("=", "∈", "in", "<", "≤", ">", "≥", "+", "-")
        if self.token.kind not in ("letter", "number") or (lone and not said):
            raise self.refused("expected an operator, a condition such as t < T, or the end")
        end = self._condition_end()
        if self._relation(end):
            scope, given, self.scope, self.given = self.scope, self.given, [], set()
            found = self._chain(self.token.at)
            self.scope, self.given = scope, given
        else:
            found = [self._downward()]
        return [Condition(r.variable, r.low, r.high) for r in found]

    def _downward(self) -> Range:
        """``t = T-1, …, 1`` or ``t = 1, …, T``."""
        found = self._assignment()
        turned = any(isinstance(t, Letter) for _, t in walk(found.low))
        return replace(found, low=found.high, high=found.low) if turned else found

    def _condition_end(self) -> int:
        end = self.place
        while self.stream[end].kind != "end" and self.stream[end].text not in (",", ")", "for"):
            end += 1
        return end
