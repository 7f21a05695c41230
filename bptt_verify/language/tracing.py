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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

from bptt_verify.errors import NameRefusedError


@dataclass
class Trace:
    """The author's function while it runs: its code, the declared values, and each Step's line and names."""

    code: CodeType
    title: str
    declared: dict[str, Any]
    steps: dict[int, tuple[str, dict[str, Any]]] = field(default_factory=dict)


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


def note_step(step: object) -> None:
    """Remember the line of a ``Step``, and what the author's variables hold at that moment."""
    frame, trace = _frame(), _current.get()
    if frame is not None and trace is not None:
        trace.steps[id(step)] = (here(), dict(frame.f_locals))


def declared_at(function: Callable[..., Any], title: str) -> dict[str, str]:
    """Title and line of each argument's declaration; the line of the function where the source is unknown."""
    code, definition = function.__code__, _definition(function)
    first = code.co_firstlineno
    starred = bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + starred]
    arguments = [] if definition is None else _arguments(definition)
    places = {a.arg: f"{title}, line {a.lineno + first - 1}" for a in arguments}
    return {n: places.get(n, f"{title}, line {first}") for n in names}


def check_bindings(
    function: Callable[..., Any], states: set[str], values: Mapping[str, bool], title: str
) -> None:
    """Refuse a name that is bound twice, where the source can be read.

    Only a declared State may be rebound, once: otherwise one name would mean two values. A name that
    holds no traced value in the end (a counter, a list of layers) may be bound as Python allows.

    Parameters
    ----------
    values : mapping
        The author's variables when the Step was made: whether each holds a traced value.
    """
    definition = _definition(function)
    if definition is None:
        return
    first = function.__code__.co_firstlineno - 1
    declared = {a.arg: a.lineno for a in _arguments(definition)}
    bound = dict(declared)
    rebound: set[str] = set()
    for name, line, how in _bindings(definition.body):
        state_once = name in states and name not in rebound and how == "once"
        matters = name in declared or values.get(name, False)
        if (name in bound or how == "loop") and not state_once and matters:
            again = "inside a loop" if how == "loop" else f"first on line {bound[name] + first}"
            raise NameRefusedError(
                f"{title}, line {line + first}: name={name!r} is bound twice ({again}); expected a new "
                "name for "
                "a new value. Only a declared State may be rebound, once; in a loop, append values to a list."
            )
        if name in states:
            rebound.add(name)
        bound[name] = line


def loop_targets(function: Callable[..., Any]) -> set[str]:
    """Names bound by ``for``: they mean a new value each time, so they name none."""
    definition = _definition(function)
    nodes = [] if definition is None else list(ast.walk(definition))
    targets = [n.target for n in nodes if isinstance(n, ast.For)]
    return {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}


def _definition(function: Callable[..., Any]) -> ast.FunctionDef | None:
    """The syntax tree of the function, if its source can be found and is its own."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    body = tree.body[0] if tree.body else None
    return body if isinstance(body, ast.FunctionDef) and body.name == function.__code__.co_name else None


def _arguments(definition: ast.FunctionDef) -> list[ast.arg]:
    a = definition.args
    return [*a.posonlyargs, *a.args, *a.kwonlyargs, *(s for s in (a.vararg, a.kwarg) if s is not None)]


_OWN_SCOPE = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)


def _bindings(body: Iterable[ast.AST], how: str = "once") -> Iterator[tuple[str, int, str]]:
    """Every binding of a name in the function's own scope: (name, line, "once" | "loop" | "target").

    "loop": in the body of a loop, so again and again; "target": what a ``for`` runs through its values.
    """
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno, how
        elif isinstance(node, ast.For):
            yield from _bindings([node.iter], how)
            yield from _bindings([node.target], "target")
            yield from _bindings([*node.body, *node.orelse], "loop")
        elif isinstance(node, ast.While):
            yield from _bindings([node.test, *node.body, *node.orelse], "loop")
        elif isinstance(node, _OWN_SCOPE):  # only a walrus binds outside of it
            walrus = [n for n in ast.walk(node) if isinstance(n, ast.NamedExpr)]
            yield from ((n.target.id, n.lineno, "loop") for n in walrus)
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from _bindings([node.value, *targets] if node.value else [], how)
        elif isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                yield node.id, node.lineno, how
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (((a.asname or a.name).split(".")[0], node.lineno, how) for a in node.names)
        else:
            if isinstance(node, ast.MatchAs | ast.MatchStar | ast.ExceptHandler) and node.name:
                yield node.name, node.lineno, how
            yield from _bindings(ast.iter_child_nodes(node), how)
