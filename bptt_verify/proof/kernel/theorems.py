"""What a theorem is, and that only a rule can make one.

A Theorem has no state of its own: its content is kept by this module, under its identity, and is put
there by a rule's conclusion alone. It remembers the rule and the rule's arguments, so that it can be
made again from nothing (``replay``), which is also what copying and unpickling do.

What a rule is given is first made again by the kernel's own constructors, so that nothing of another
type, and nothing mutable, gets into a theorem. A Python program that reaches into private parts (this
module's dictionary, the arguments of a SymPy term) can put anything there; ``replay`` finds that out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, ParamSpec
from weakref import WeakKeyDictionary

import sympy as sp

from bptt_verify.errors import ProofError
from bptt_verify.proof.kernel.binding import canonical, free, standard, substitute
from bptt_verify.proof.kernel.definitions import Case, Definition, check_definitions
from bptt_verify.proof.kernel.indices import is_index, position
from bptt_verify.proof.kernel.terms import Letter, common_shape, expression, remade

if "Theorem" in globals():
    raise ProofError("theorems: reloading would open the kernel for new rules. Start Python again.")

Relation = Literal["=", "≤"]


class _Statement(NamedTuple):
    given: tuple[sp.Expr, ...]
    left: sp.Expr
    relation: Relation
    right: sp.Expr
    every: tuple[sp.Symbol, ...]


class Statement(_Statement):
    """``left relation right`` for all integers that satisfy the conditions.

    Attributes
    ----------
    given : tuple of sympy.Expr
        Conditions: each is at least 0.
    left, right : sympy.Expr
        Of one shape; scalars or numbers, for ``"≤"``.
    relation : {"=", "≤"}
    every : tuple of sympy.Symbol
        Indices that are bound here (as an assumption speaks of every step at once); the other free
        indices are the same as those of the theorem that the statement belongs to.

    Raises
    ------
    ProofError
        If the two sides have different shapes, or something is of another kind than listed.
    """

    __slots__ = ()

    def __new__(
        cls,
        given: tuple[sp.Expr, ...],
        left: Any,
        relation: Relation,
        right: Any,
        every: tuple[sp.Symbol, ...] = (),
    ) -> Statement:
        left, right = expression(left), expression(right)
        of = common_shape(left, right)
        if relation not in ("=", "≤") or (relation == "≤" and of not in (None, ())):
            raise ProofError(
                f"statement: relation={relation!r} between shapes {of}; expected =, or ≤ of scalars."
            )
        if type(every) is not tuple or not all(map(is_index, every)):
            raise ProofError(f"statement: every={every!s:.80}; expected a tuple of indices.")
        return super().__new__(cls, tuple(map(position, given)), left, relation, right, every)

    @property
    def free(self) -> frozenset[sp.Symbol]:
        """The free indices."""
        return frozenset().union(*map(free, (*self.given, self.left, self.right))) - set(self.every)

    def at(self, values: Mapping[sp.Symbol, Any]) -> Statement:
        """With expressions in the place of free indices."""
        inner = {k: position(v) for k, v in values.items() if k not in self.every}
        moved = frozenset().union(*map(free, inner.values())) & set(self.every)
        if moved:
            raise ProofError(f"statement: {', '.join(map(str, moved))} would be captured by 'for every'.")
        return self.mapped(lambda x: substitute(x, inner))

    def mapped(self, change: Callable[[sp.Expr], sp.Expr]) -> Statement:
        """With a function applied to both sides and to the conditions."""
        given = tuple(map(change, self.given))
        return Statement(given, change(self.left), self.relation, change(self.right), self.every)


def equation(left: Any, right: Any, *given: sp.Expr, every: Iterable[sp.Symbol] = ()) -> Statement:
    """The statement ``left = right``."""
    return statement(left, "=", right, *given, every=every)


def statement(
    left: Any, relation: Relation, right: Any, *given: sp.Expr, every: Iterable[sp.Symbol] = ()
) -> Statement:
    """A statement with each of its conditions once, in alphabetic order."""
    unique = dict.fromkeys(map(position, given))
    return Statement(tuple(sorted(unique, key=_spelled)), left, relation, right, tuple(every))


@functools.lru_cache(maxsize=10_000)
def _spelled(condition: sp.Expr) -> str:
    """For the order of conditions, which means nothing."""
    return str(condition)


@dataclass(frozen=True)
class Conclusion:
    """What a rule concludes: a statement, under which assumptions and definitions, used to what end."""

    statement: Statement
    assumptions: frozenset[Statement] = frozenset()
    definitions: frozenset[Definition] = frozenset()


@dataclass(frozen=True)
class _Record:
    conclusion: Conclusion
    rule: Callable[..., Theorem]
    arguments: tuple[Any, ...]


class Theorem:
    """A statement that has been proved, under its assumptions. Made by the rules of the kernel only."""

    __slots__ = ("__weakref__",)

    def __new__(cls, *_: object, **__: object) -> Theorem:
        raise ProofError("Theorem: cannot be created; only the rules of bptt_verify.proof make one.")

    def __init_subclass__(cls) -> None:
        raise ProofError("Theorem: cannot be subclassed; a subclass could claim anything.")

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.rule, self.arguments

    @property
    def statement(self) -> Statement:
        """What is proved."""
        return _record(self).conclusion.statement

    @property
    def assumptions(self) -> frozenset[Statement]:
        """What it was proved from."""
        return _record(self).conclusion.assumptions

    @property
    def definitions(self) -> frozenset[Definition]:
        """The definitions it is about."""
        return _record(self).conclusion.definitions

    @property
    def rule(self) -> Callable[..., Theorem]:
        """The rule that made it."""
        return _record(self).rule

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What the rule was given; the premises are among it."""
        return _record(self).arguments

    def __repr__(self) -> str:
        s = self.statement
        return f"Theorem({s.left} {s.relation} {s.right})"


_RECORDS: WeakKeyDictionary[Theorem, _Record] = WeakKeyDictionary()
_P = ParamSpec("_P")
_SEALED: list[bool] = []


def _record(theorem: Theorem) -> _Record:
    found = _RECORDS.get(theorem)
    if found is None:
        raise ProofError("Theorem: this object was not made by a rule; it proves nothing.")
    return found


def rule(reason: str) -> Callable[[Callable[_P, Conclusion]], Callable[_P, Theorem]]:
    """Make a rule of a function that draws a conclusion or raises ProofError; for the kernel only.

    Parameters
    ----------
    reason : str
        The rule in words, as a derivation displays it.

    Raises
    ------
    ProofError
        After ``seal``: the rules are complete, nothing else makes theorems.
    """
    if _SEALED:
        raise ProofError("rule: the rules of the kernel are complete; nothing else can make theorems.")

    def decorate(conclude: Callable[_P, Conclusion]) -> Callable[_P, Theorem]:
        @functools.wraps(conclude)
        def apply(*args: _P.args, **kwargs: _P.kwargs) -> Theorem:
            if kwargs:
                raise ProofError(f"{conclude.__name__}: takes its arguments by position.")
            try:
                with sp.evaluate(True):  # SymPy can be told not to bring anything to normal form
                    arguments = tuple(map(_admitted, args))
                    conclusion = conclude(*arguments)  # type: ignore[call-arg]
                    check_definitions(conclusion.definitions)
            except (AttributeError, TypeError, ValueError, LookupError, RecursionError) as error:
                raise ProofError(f"{conclude.__name__}: not applicable ({error!s:.200}).") from error
            theorem: Theorem = object.__new__(Theorem)
            _RECORDS[theorem] = _Record(conclusion, apply, arguments)
            return theorem

        apply.reason = reason  # type: ignore[attr-defined]
        return apply

    return decorate


def _admitted(argument: Any) -> Any:
    """An argument of a rule made again, so that the kernel works on nothing but its own types.

    All of them are immutable. What only behaves like one of them, or was made by going round its
    constructor, is refused here.
    """
    kind = type(argument)
    if kind in (Theorem, int, bool, str):
        return argument
    if kind is tuple:
        return tuple(map(_admitted, argument))
    if kind in (Letter, Case, Definition, Statement):
        return kind(*map(_admitted, argument))
    return remade(argument)


def seal() -> None:
    """No more rules."""
    _SEALED.append(True)


def replay(theorem: Theorem, done: dict[Theorem, Theorem] | None = None) -> Theorem:
    """Make a theorem again by its rules, premises first, and compare.

    Parameters
    ----------
    theorem : Theorem
    done : dict, optional
        What was made again before, and need not be once more: theorems share premises. What is made now is
        added.

    Raises
    ------
    ProofError
        If the rules do not lead to the same conclusion.
    """
    return _replayed(theorem, {} if done is None else done)


def _replayed(theorem: Theorem, done: dict[Theorem, Theorem]) -> Theorem:
    if theorem not in done:
        arguments = [_again(a, done) for a in theorem.arguments]
        new = theorem.rule(*arguments)
        if _record(new).conclusion != _record(theorem).conclusion:
            raise ProofError(f"replay: the rules lead to {new!r:.200}, not to {theorem!r:.200}.")
        done[theorem] = new
    return done[theorem]


def _again(argument: Any, done: dict[Theorem, Theorem]) -> Any:
    if isinstance(argument, Theorem):
        return _replayed(argument, done)
    return tuple(_again(a, done) for a in argument) if type(argument) is tuple else argument


def same(a: Statement, b: Statement) -> bool:
    """Equal up to the names of bound indices and the order of the conditions."""
    return _plain(a) == _plain(b)


def _plain(s: Statement) -> tuple[Any, ...]:
    names = {k: standard(i) for i, k in enumerate(s.every)}
    given = frozenset(position(substitute(g, names)) for g in s.given)
    left, right = (canonical(substitute(x, names), len(names)) for x in (s.left, s.right))
    return given, left, s.relation, right, len(names)
