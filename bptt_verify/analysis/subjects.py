"""What a text is about: from equations and ``of`` to claims ``left = right``."""

from __future__ import annotations

import re
from dataclasses import replace

from bptt_verify.analysis.claims import Claim
from bptt_verify.analysis.meaning import Cell, cell_of, resolved
from bptt_verify.errors import FormulaError, UsageError
from bptt_verify.language import Recurrence
from bptt_verify.notation import readings
from bptt_verify.notation.tree import Arrangement, Derivative, Equation, Letter, Tree, number
from bptt_verify.notation.walking import walk

MOST_LETTERS = 4  # free ones; every choice of their steps is compared
_SENSITIVITY = re.compile(r"(?:∂|d|\\partial ?)(\w+?)(?:_t)?/(?:∂|d|\\partial ?)(\w+)")


class Unsaid(str):
    """The default of ``of``, told from the same word when it is given."""

    __slots__ = ()


def subject_of(of: str, cell: Cell) -> Derivative:
    """What ``of`` names, as a derivative.

    Raises
    ------
    UsageError
        If it names nothing of the recurrence.
    """
    t = Letter("t", "index")
    sensitivity = _SENSITIVITY.fullmatch(of.replace("{", "").replace("}", ""))
    top, bottom = sensitivity.groups() if sensitivity else ("L", of)
    bottom = re.sub(r"_0$", "0", bottom) if bottom not in cell.vocabulary.own else bottom
    initial = cell.vocabulary.initial.get(bottom)
    known = cell.vocabulary.timed
    below = Letter(initial, "value", number(0)) if initial else Letter(bottom, "param")
    if bottom in known:
        below = Letter(bottom, "value", t)
    if (not initial and bottom not in (*cell.vocabulary.params, *known)) or (top != "L" and top not in known):
        names = (*cell.rec.params, *cell.vocabulary.initial, *sorted(known))
        raise UsageError(
            f"check_formula: of={of!r:.60}; expected one of {', '.join(names)}, or a sensitivity such as "
            f"'d{cell.vocabulary.states[0]}/d{cell.rec.params and next(iter(cell.rec.params))}'."
        )
    return Derivative(Letter("L", "loss") if top == "L" else Letter(top, "value", t), below)


# ---- from the text to claims ----


Named = tuple[str, list[Claim]]


def claims_of(text: str, rec: Recurrence, of: str | None) -> tuple[list[Named], Cell]:
    """The claims of a text, each with its name and its readings, and the cell they are about.

    Raises
    ------
    FormulaError
        If the text cannot be read, or disagrees with ``of``.
    UsageError
        If ``of`` names nothing.
    """
    cell = cell_of(rec)
    parsed = readings(text, cell.vocabulary)
    parsed = [r for r in parsed if [len(e.sides) for e in r] == [len(e.sides) for e in parsed[0]]]
    subject = (
        None if of is None or (isinstance(of, Unsaid) and _has_left(parsed[0])) else subject_of(of, cell)
    )
    cell = replace(cell, param=_parameter(parsed[0], subject, of, cell))
    meant = [tuple(resolved(e, cell, text) for e in reading) for reading in parsed]
    claims = []
    for k, first in enumerate(meant[0]):
        _check_agreement(first, subject, text, cell)
        known = _known_side(first)
        for side in range(len(first.sides)):
            if side == known and len(first.sides) > 1:
                continue
            same = [_claim(reading[k], known, side, subject, text) for reading in meant]
            _check_claim(same[0], text)
            claims.append(
                (f"side {side + 1}" if len(first.sides) > 2 else "formula", list(dict.fromkeys(same)))
            )
    return claims, cell


def _check_claim(claim: Claim, text: str) -> None:
    """Refuse what would take too long, or says nothing."""
    if any(isinstance(t, Arrangement) for _, t in walk(claim.left)):
        raise FormulaError("formula: prod(…) on the left; expected a side that says what is meant.", text, 0)
    if len(claim.letters) > MOST_LETTERS:
        raise FormulaError(
            f"formula: free index letters {', '.join(claim.letters)}; expected at most {MOST_LETTERS}. "
            "Bind the others by Σ signs.",
            text,
            0,
        )


def _has_left(equations: tuple[Equation, ...]) -> bool:
    return all(len(e.sides) > 1 for e in equations)


def _known_side(equation: Equation) -> int:
    """The side that the others are compared with: the first that is one letter or derivative."""
    plain = (k for k, side in enumerate(equation.sides) if isinstance(side, Letter | Derivative))
    return next(plain, 0)


def _claim(equation: Equation, known: int, side: int, subject: Derivative | None, text: str) -> Claim:
    if len(equation.sides) == 1:
        if subject is None:
            raise FormulaError("formula: no left side, and of=None; expected one of the two.", text, 0)
        return Claim(subject, equation.sides[0], equation.conditions)
    return Claim(equation.sides[known], equation.sides[side], equation.conditions)


def _parameter(
    equations: tuple[Equation, ...], subject: Derivative | None, of: str | None, cell: Cell
) -> str | None:
    """The parameter that w, θ and A_t are about: that of the left side, or of ``of``."""
    for e in equations:
        left = e.sides[0]
        if len(e.sides) > 1 and isinstance(left, Derivative) and left.bottom.role == "param":
            return left.bottom.name
    if subject is not None and subject.bottom.role == "param":
        return subject.bottom.name
    return str(of) if of in cell.rec.params else None


def _check_agreement(equation: Equation, subject: Derivative | None, text: str, cell: Cell) -> None:
    """Refuse a left side that is about something else than ``of`` says."""
    left = equation.sides[0]
    if subject is None or len(equation.sides) == 1:
        return
    about = _about(left, cell)
    if about is not None and about != subject.bottom.name:
        raise FormulaError(
            f"formula: the left side is about {about}, but of={subject.bottom.name!r}; expected the same, or "
            "of=None to take it from the left side.",
            text,
            equation.at,
        )


def _about(left: Tree, cell: Cell) -> str | None:
    """What a left side is about; None where it names nothing that could contradict."""
    if isinstance(left, Derivative):
        return left.bottom.name
    if isinstance(left, Letter) and left.role == "theory":
        state = next(iter(cell.state_value))
        argument = cell.activation[1] if cell.activation else None
        return {"lambda": state, "delta": argument}.get(left.name)
    return None
