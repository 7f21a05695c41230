"""The decorator ``recurrence``: run the author's function once on traced values, keep what it means."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable
from typing import Any

from bptt_verify.errors import RecurrenceError, SizeError
from bptt_verify.language.declarations import (
    CARRIED,
    Declaration,
    Step,
    check_declarations,
    check_name,
)
from bptt_verify.language.feedback import check_fed, own_values
from bptt_verify.language.lowering import Traced, lower
from bptt_verify.language.recurrences import Recurrence
from bptt_verify.language.tracing import (
    Trace,
    check_bindings,
    declared_at,
    describe,
    loop_targets,
    tracing,
)
from bptt_verify.language.values import Value, reachable
from bptt_verify.program import Program


def recurrence(function: Callable[..., Any] | None = None) -> Recurrence:
    """Trace a function whose arguments default to declarations and which returns a ``Step``.

    Parameters
    ----------
    function : callable
        The step. Every argument has an Input, Target, State, Feedback or Param as its default value. A
        State's name means the previous state until it is bound to the new one.

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
    traced = Traced(declarations, leaves, names, step)
    program = lower(_identifier(title), traced)
    _check_used(program, declarations, places)
    code = function.__code__
    file, line = code.co_filename, code.co_firstlineno
    return Recurrence(_identifier(title), declarations, function, program, file, line, traced)


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
                f"value, for example {p.name}=Param('n n') (or Input, Target, State, Feedback)."
            )
        declarations[p.name] = p.default
    return declarations


def _check_step(
    step: Step, declarations: dict[str, Declaration], leaves: dict[str, Value], where: str
) -> None:
    states = {n: d for n, d in declarations.items() if d.role == "state"}
    for name, value in step.states.items():
        if name in declarations and declarations[name].role == "feedback":
            continue  # judged with the other fed values
        if name not in states:
            listed = ", ".join(n for n, d in declarations.items() if d.role in CARRIED)
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
    own = own_values(step, declarations)
    check_fed(own, declarations, where)
    _check_targets(step, own, declarations, leaves, where)


def _check_targets(
    step: Step,
    own: dict[str, Any],
    declarations: dict[str, Declaration],
    leaves: dict[str, Value],
    where: str,
) -> None:
    targets = {id(leaves[n]): n for n, d in declarations.items() if d.role == "target"}
    for name, value in {**step.states, **own}.items():
        used = [targets[id(v)] for v in reachable([value]) if id(v) in targets]
        if not used:
            continue
        if name in own:
            raise RecurrenceError(
                f"{where}: what is fed back as {name!r} depends on the target {used[0]!r} of the same step, "
                "so that a free-running model would need the answer; expected a function of the output. "
                "Teacher forcing is a way to run it, not a way to write it: generate(…, feedback='teacher') "
                f"feeds {used[0]}_{{t-1}} in place of the output."
            )
        raise RecurrenceError(
            f"{where}: the new state {name!r} depends on the target {used[0]!r} of the same step, which "
            "leaks the answer into what comes after; expected a state made of inputs, states and parameters. "
            f"To feed an output back (or, under teacher forcing, {used[0]}_{{t-1}} in its place), declare a "
            f"Feedback, such as u=Feedback({' '.join(declarations[used[0]].sizes)!r}), and use it in the "
            f"state; if {used[0]!r} is known in advance, declare it as an Input."
        )


def _check_used(program: Program, declarations: dict[str, Declaration], places: dict[str, str]) -> None:
    used = {r.name for e in program.equations for r in e.operands}
    read = {program.carry[r.name].boundary for e in program.equations for r in e.operands if r.shift}
    for name, d in declarations.items():
        if d.role in CARRIED and f"{name}0" not in read:
            raise RecurrenceError(
                f"{places[name]}: the {d.role.capitalize()} {name!r} is declared but its previous value is "
                "never used; expected a use before it is bound to its new value. Use it, or drop the "
                "declaration."
            )
        if d.role not in CARRIED and name not in used:
            raise RecurrenceError(
                f"{places[name]}: {name!r} is declared but does not reach the loss, the output or a state; "
                "expected every declaration to be used. Use it, or drop the declaration."
            )
