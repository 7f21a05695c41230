"""Where in the author's source we are, and what the author calls things.

Names are read from the local variables of the author's own frame at the moment its ``Step`` is made.
That needs no profiler (which would break under coverage or a debugger) and no source text.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

from bptt_verify.errors import NameRefusedError


@dataclass
class Trace:
    """The author's function while it runs: its code, the declared values, the names found."""

    code: CodeType
    title: str
    declared: dict[str, Any]
    names: dict[str, Any] = field(default_factory=dict)


_current: ContextVar[Trace | None] = ContextVar("bptt_verify_trace", default=None)


@contextmanager
def tracing(trace: Trace) -> Iterator[Trace]:
    """Make ``trace`` the current one while the author's function runs."""
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)


def _frame() -> FrameType | None:
    trace = _current.get()
    frame = sys._getframe(1) if trace else None
    while frame is not None and trace is not None and frame.f_code is not trace.code:
        frame = frame.f_back
    return frame


def here() -> str:
    """Title, line number and text of the author's line that is being run."""
    trace, frame = _current.get(), _frame()
    if trace is None or frame is None:
        return "recurrence"
    text = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    return f"{trace.title}, line {frame.f_lineno}" + (f" ({text})" if text else "")


def describe(value: Any) -> str:
    """A value as the author would call it, with its sizes."""
    sizes = getattr(value, "sizes", None)
    if sizes is None:
        return f"{value!r:.40}"
    frame, trace = _frame(), _current.get()
    scope = {**(trace.declared if trace else {}), **(frame.f_locals if frame else {})}
    name = next((n for n, v in scope.items() if v is value), "an expression")
    return f"{name} [{' '.join(sizes) or 'scalar'}]"


def note_step() -> None:
    """Remember what the author's variables hold at the moment the step is returned."""
    frame, trace = _frame(), _current.get()
    if frame is not None and trace is not None:
        trace.names = dict(frame.f_locals)


def check_bindings(function: Callable[..., Any], states: set[str], title: str) -> None:
    """Refuse a name that is bound twice, where the source can be read.

    Only a declared State may be rebound, once: otherwise one name would mean two values.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return
    definition = next((n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)), None)
    if definition is None:
        return
    first = function.__code__.co_firstlineno - tree.body[0].lineno
    if definition.decorator_list:
        first = function.__code__.co_firstlineno - definition.decorator_list[0].lineno
    arguments = {a.arg for a in [*definition.args.args, *definition.args.kwonlyargs]}
    bound: dict[str, int] = {a: definition.lineno for a in arguments}
    rebound: set[str] = set()
    for name, line, loop in _bindings(definition.body):
        state_once = name in states and name not in rebound and not loop
        if (name in bound or loop) and not state_once:
            again = "inside a loop" if loop else f"first on line {bound[name] + first}"
            raise NameRefusedError(
                f"{title}, line {line + first}: name={name!r} is bound twice ({again}); expected a new name for "
                "a new value. Only a declared State may be rebound, once."
            )
        if name in states:
            rebound.add(name)
        bound[name] = line


def _bindings(body: list[ast.stmt], loop: bool = False) -> Iterator[tuple[str, int, bool]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for part in ast.walk(target):
                    if isinstance(part, ast.Name):
                        yield part.id, node.lineno, loop
        inner = isinstance(node, ast.For | ast.While)
        for part in ("body", "orelse", "finalbody"):
            yield from _bindings(getattr(node, part, []), loop or inner)
