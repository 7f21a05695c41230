"""The decorator ``recurrence``: run the author's function once on traced values, keep what it means."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import keyword
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bptt_verify.errors import RecurrenceError, SizeError
from bptt_verify.language.declarations import Declaration, Sizes, Step, check_declarations, check_name
from bptt_verify.language.lowering import lower, reachable
from bptt_verify.language.tracing import (
    Trace,
    check_bindings,
    declared_at,
    describe,
    here,
    loop_targets,
    tracing,
)
from bptt_verify.language.values import Value
from bptt_verify.program import Program, listing


@dataclass(frozen=True, eq=False)
class Recurrence:
    """A recurrence: its declarations, the author's function, and the Program traced from it.

    Attributes
    ----------
    name : str
    declarations : dict of str to Declaration
    function : callable
        The author's function; also computes one step on NumPy arrays.
    program : Program
        Forward pass and loss.
    file, line : str, int
        Where it is defined, as far as known.
    """

    name: str
    declarations: dict[str, Declaration]
    function: Callable[..., Any]
    program: Program
    file: str
    line: int

    def _role(self, role: str) -> dict[str, Sizes]:
        return {n: d.sizes for n, d in self.declarations.items() if d.role == role}

    @property
    def inputs(self) -> dict[str, Sizes]:
        """Names and sizes of the inputs."""
        return self._role("input")

    @property
    def targets(self) -> dict[str, Sizes]:
        """Names and sizes of the targets."""
        return self._role("target")

    @property
    def states(self) -> dict[str, Sizes]:
        """Names and sizes of the states."""
        return self._role("state")

    @property
    def params(self) -> dict[str, Sizes]:
        """Names and sizes of the parameters."""
        return self._role("param")

    @property
    def feedback(self) -> dict[str, Sizes]:
        """Names and sizes of fed-back outputs (none yet)."""
        return self._role("feedback")

    @property
    def onehot(self) -> frozenset[str]:
        """Names of the inputs and targets given as integer classes."""
        return frozenset(n for n, d in self.declarations.items() if d.onehot)

    @property
    def digest(self) -> str:
        """SHA-256 of the meaning: the listing of the traced program."""
        return hashlib.sha256(listing(self.program).encode()).hexdigest()

    def __call__(self, *args: Any, **arrays: Any) -> Any:
        """Refused: a recurrence is not a function of arrays."""
        raise RecurrenceError(
            f"{here()}: the recurrence {self.name!r} is called; expected "
            f"generate({self.name}).loss_and_grad(...) for "
            "its gradient. To build one recurrence from parts, share a plain Python function that returns "
            "values."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (_found, (self.function.__module__, self.function.__qualname__))

    def __repr__(self) -> str:
        words = ", ".join(
            f"{n}: {d.role} {' '.join(d.sizes) or 'scalar'}" for n, d in self.declarations.items()
        )
        return f"<recurrence {self.name}({words})>"


def _found(module: str, path: str) -> Recurrence:
    """The recurrence of a module by name: how one is unpickled."""
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, Recurrence):
        raise RecurrenceError(
            f"{module}.{path} is not a recurrence; expected one defined at the top of a module. "
            "Only such a recurrence can be sent to another process."
        )
    return found


def recurrence(function: Callable[..., Any] | None = None) -> Recurrence:
    """Trace a function whose arguments default to declarations and which returns a ``Step``.

    Parameters
    ----------
    function : callable
        The step. Every argument has an Input, Target, State or Param as its default value. A State's
        name means the previous state until it is bound to the new one.

    Returns
    -------
    Recurrence

    Raises
    ------
    RecurrenceError
        (or SizeError, NameRefusedError) If the step is not well-formed; the message names the line
        and the variable.
    """
    function = _plain_function(function)
    title = function.__name__
    places = declared_at(function, title)
    for name, place in places.items():
        check_name(name, place)
    declarations = _declarations(function, places)
    check_declarations(declarations, places, title)
    leaves = {
        n: Value("leaf", (), d.sizes, hint="onehot" if d.onehot else "", dynamic=d.role != "param")
        for n, d in declarations.items()
    }
    with tracing(Trace(function.__code__, title, leaves)) as trace:
        step = function(**leaves)
    if not isinstance(step, Step):
        raise RecurrenceError(f"{title}: it returned {type(step).__name__}; expected bptt_verify.Step(...).")
    where, bound = trace.steps.get(id(step), (title, {}))
    states = {n for n, d in declarations.items() if d.role == "state"}
    check_bindings(function, states, {n: isinstance(v, Value) for n, v in bound.items()}, title)
    with tracing(Trace(function.__code__, title, {**leaves, **bound})):
        _check_step(step, declarations, leaves, where)
    excluded = loop_targets(function)
    names = {n: v for n, v in bound.items() if isinstance(v, Value) and n not in excluded}
    program = lower(_identifier(title), declarations, leaves, names, step)
    _check_used(program, declarations, places)
    code = function.__code__
    return Recurrence(
        _identifier(title), declarations, function, program, code.co_filename, code.co_firstlineno
    )


def _plain_function(function: Any) -> Callable[..., Any]:
    if function is None:
        raise RecurrenceError(
            "recurrence: it has no arguments of its own; expected @recurrence without parentheses."
        )
    if not inspect.isfunction(function):
        raise RecurrenceError(f"recurrence: function={function!r:.60}; expected a Python function.")
    special = {
        "a generator": inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function),
        "asynchronous": inspect.iscoroutinefunction(function),
    }
    for what, is_so in special.items():
        if is_so:
            raise RecurrenceError(
                f"{function.__name__}, line {function.__code__.co_firstlineno}: the function is {what}; "
                "expected a plain function that returns one Step."
            )
    return function


def _identifier(title: str) -> str:
    """The name of the recurrence in files and generated text."""
    plain = title.isidentifier() and title.isascii() and not keyword.iskeyword(title)
    return title if plain else "anonymous"


def _declarations(function: Callable[..., Any], places: dict[str, str]) -> dict[str, Declaration]:
    declarations = {}
    for p in inspect.signature(function).parameters.values():
        kind = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
        if kind or p.kind is p.POSITIONAL_ONLY or not isinstance(p.default, Declaration):
            shown = f"default {p.default!r:.40}"
            if kind or p.default is p.empty:
                shown = "no default value"
            elif p.kind is p.POSITIONAL_ONLY:
                shown = "no keyword (it is positional-only)"
            raise RecurrenceError(
                f"{places[p.name]}: argument {kind}{p.name} has {shown}; expected a declaration as its "
                "default "
                f"value, for example {p.name}=Param('n n') (or Input, Target, State)."
            )
        declarations[p.name] = p.default
    return declarations


def _check_step(
    step: Step, declarations: dict[str, Declaration], leaves: dict[str, Value], where: str
) -> None:
    states = {n: d for n, d in declarations.items() if d.role == "state"}
    for name, value in step.states.items():
        if name not in states:
            listed = ", ".join(states)
            raise RecurrenceError(
                f"{where}: Step({name}=…): {name!r} is not a declared State; expected one of {listed}."
            )
        if not isinstance(value, Value):
            raise RecurrenceError(f"{where}: Step({name}={value!r:.40}); expected a traced value.")
        if value.sizes != states[name].sizes:
            raise SizeError(
                f"{where}: Step({name}=…) returns {describe(value)}; expected the size of the State, "
                f"[{' '.join(states[name].sizes) or 'scalar'}]."
            )
    for name in states:
        if name not in step.states or step.states[name] is leaves[name]:
            raise RecurrenceError(
                f"{where}: the State {name!r} is never updated; expected Step({name}=<new value>). "
                "Declare a Param if it is constant."
            )
    if not isinstance(step.loss, Value) or step.loss.sizes:
        shown = "no loss" if step.loss is None else f"loss={describe(step.loss)}"
        raise SizeError(
            f"{where}: Step({shown}); expected a scalar, such as loss=squared_error(o, y) or a sum."
        )
    if step.output is not None and not isinstance(step.output, Value):
        raise RecurrenceError(f"{where}: Step(output={step.output!r:.40}); expected a traced value.")
    _check_targets(step, declarations, leaves, where)


def _check_targets(
    step: Step, declarations: dict[str, Declaration], leaves: dict[str, Value], where: str
) -> None:
    targets = {id(leaves[n]): n for n, d in declarations.items() if d.role == "target"}
    for name, value in step.states.items():
        used = [targets[id(v)] for v in reachable([value]) if id(v) in targets]
        if used:
            raise RecurrenceError(
                f"{where}: the new state {name!r} depends on the target {used[0]!r} of the same step, "
                "which leaks the "
                "answer into what comes after; expected a state made of inputs, states and parameters. To "
                "feed an "
                f"output back, declare a Feedback (when it is available); if {used[0]!r} is known in "
                "advance, "
                "declare it as an Input."
            )


def _check_used(program: Program, declarations: dict[str, Declaration], places: dict[str, str]) -> None:
    used = {r.name for e in program.equations for r in e.operands}
    read = {program.carry[r.name].boundary for e in program.equations for r in e.operands if r.shift}
    for name, d in declarations.items():
        if d.role == "state" and f"{name}0" not in read:
            raise RecurrenceError(
                f"{places[name]}: the State {name!r} is declared but its previous value is never used; "
                "expected a use before it is bound to its new value. Use it, or drop the declaration."
            )
        if d.role != "state" and name not in used:
            raise RecurrenceError(
                f"{places[name]}: {name!r} is declared but does not reach the loss, the output or a state; "
                "expected every declaration to be used. Use it, or drop the declaration."
            )
