"""The decorator ``recurrence``: run the author's function once on traced values, keep what it means."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bptt_verify.errors import RecurrenceError, SizeError
from bptt_verify.language.declarations import Declaration, Sizes, Step, check_declarations
from bptt_verify.language.lowering import lower
from bptt_verify.language.tracing import Trace, check_bindings, describe, tracing
from bptt_verify.language.values import Value
from bptt_verify.program import Program, listing


@dataclass(frozen=True)
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

    def __repr__(self) -> str:
        words = ", ".join(f"{n}: {d.role} {' '.join(d.sizes) or 'scalar'}" for n, d in self.declarations.items())
        return f"<recurrence {self.name}({words})>"


def recurrence(function: Callable[..., Any]) -> Recurrence:
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
    if not inspect.isfunction(function):
        raise RecurrenceError(f"recurrence: function={function!r:.60}; expected a Python function.")
    name = function.__name__ if function.__name__.isidentifier() and function.__name__.isascii() else "anonymous"
    title = function.__name__
    declarations = _declarations(function, title)
    check_declarations(declarations, title)
    states = {n for n, d in declarations.items() if d.role == "state"}
    check_bindings(function, states, title)
    leaves = {
        n: Value("leaf", (), d.sizes, hint="onehot" if d.onehot else "", dynamic=d.role != "param")
        for n, d in declarations.items()
    }
    with tracing(Trace(function.__code__, title, leaves)) as trace:
        step = function(**leaves)
    if not isinstance(step, Step):
        raise RecurrenceError(f"{title}: it returned {type(step).__name__}; expected bptt_verify.Step(...).")
    _check_step(step, declarations, leaves, title)
    names = {n: v for n, v in trace.names.items() if isinstance(v, Value)}
    program = lower(name, declarations, leaves, names, step)
    _check_used(program, declarations, title)
    return Recurrence(
        name, declarations, function, program, function.__code__.co_filename, function.__code__.co_firstlineno
    )


def _declarations(function: Callable[..., Any], title: str) -> dict[str, Declaration]:
    declarations = {}
    for p in inspect.signature(function).parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.POSITIONAL_ONLY) or not isinstance(p.default, Declaration):
            shown = "no default" if p.default is p.empty else f"default {p.default!r:.40}"
            raise RecurrenceError(
                f"{title}: argument {p} has {shown}; expected a declaration as its default value, "
                f"for example {p.name}=Param('n n') (or Input, Target, State)."
            )
        declarations[p.name] = p.default
    return declarations


def _check_step(step: Step, declarations: dict[str, Declaration], leaves: dict[str, Value], title: str) -> None:
    states = {n: d for n, d in declarations.items() if d.role == "state"}
    for name, value in step.states.items():
        if name not in states:
            raise RecurrenceError(f"{title}: Step({name}=…): {name!r} is not a declared State; declared: {list(states)}.")
        if not isinstance(value, Value):
            raise RecurrenceError(f"{title}: Step({name}={value!r:.40}); expected a traced value.")
        if value.sizes != states[name].sizes:
            raise SizeError(
                f"{title}: Step({name}=…) returns {describe(value)}; expected the size of the State, "
                f"[{' '.join(states[name].sizes) or 'scalar'}]."
            )
    for name in states:
        if name not in step.states or step.states[name] is leaves[name]:
            raise RecurrenceError(
                f"{title}: the State {name!r} is never updated; expected Step({name}=<new value>). "
                "Declare a Param if it is constant."
            )
    if not isinstance(step.loss, Value) or step.loss.sizes:
        raise SizeError(
            f"{title}: Step(loss={describe(step.loss)}); expected a scalar, such as squared_error(o, y) or a sum."
        )
    if step.output is not None and not isinstance(step.output, Value):
        raise RecurrenceError(f"{title}: Step(output={step.output!r:.40}); expected a traced value.")


def _check_used(program: Program, declarations: dict[str, Declaration], title: str) -> None:
    used = {r.name for e in program.equations for r in e.operands}
    used |= {c.boundary for c in program.carries if c.value in used}
    carried = {c.boundary for c in program.carries}
    for name, d in declarations.items():
        if d.role == "state":
            read = any(r.shift for e in program.equations for r in e.operands if _state_of(program, r.name) == name)
            if not read and f"{name}0" in carried:
                raise RecurrenceError(
                    f"{title}: the State {name!r} is declared but its previous value is never used. "
                    "Use it, or drop the declaration."
                )
        elif name not in used:
            raise RecurrenceError(
                f"{title}: {name!r} is declared but does not reach the loss, the output or a state. "
                "Use it, or drop the declaration."
            )


def _state_of(program: Program, value: str) -> str:
    carry = program.carry.get(value)
    return carry.boundary[:-1] if carry else ""
