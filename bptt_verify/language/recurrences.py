"""A recurrence: its declarations, and the program of each way to feed its output back."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bptt_verify.errors import RecurrenceError, UsageError
from bptt_verify.language.declarations import CARRIED, Declaration, Sizes, Step
from bptt_verify.language.feedback import MODES
from bptt_verify.language.lowering import Traced, lower
from bptt_verify.language.tracing import here
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
    traced : Traced
        What the function made; the program of every mode is lowered from it.
    mode : {"free", "teacher", "scheduled"}
        What a Feedback is fed; see ``with_feedback``.
    fixed : mapping of str to int
        Sizes that every check keeps to; see ``with_sizes``.
    """

    name: str
    declarations: dict[str, Declaration]
    function: Callable[..., Any]
    program: Program
    file: str
    line: int
    traced: Traced = field(repr=False)
    mode: str = "free"
    fixed: Mapping[str, int] = field(default_factory=dict)

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
        """Names and sizes of what is fed back."""
        return self._role("feedback")

    @property
    def carried(self) -> dict[str, Sizes]:
        """Names and sizes of all that a step leaves to the next one: states, and what is fed back."""
        return {n: d.sizes for n, d in self.declarations.items() if d.role in CARRIED}

    @property
    def initial(self) -> tuple[str, ...]:
        """Names of the initial arrays, ``<name>0`` for all that is carried."""
        return tuple(f"{n}0" for n in self.carried)

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
        return (_found, (self.function.__module__, self.function.__qualname__, self.mode, dict(self.fixed)))

    def __repr__(self) -> str:
        words = ", ".join(
            f"{n}: {d.role} {' '.join(d.sizes) or 'scalar'}" for n, d in self.declarations.items()
        )
        mode = f", {self.mode}" if self.feedback else ""
        sizes = "".join(f", {w}={n}" for w, n in self.fixed.items())
        return f"<recurrence {self.name}({words}){mode}{sizes}>"


def _found(module: str, path: str, mode: str = "free", sizes: Mapping[str, int] | None = None) -> Recurrence:
    """The recurrence of a module by name: how one is unpickled."""
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, Recurrence):
        raise RecurrenceError(
            f"{module}.{path} is not a recurrence; expected one defined at the top of a module. "
            "Only such a recurrence can be sent to another process."
        )
    return with_sizes(with_feedback(found, mode), **(sizes or {}))


def with_feedback(rec: Recurrence, mode: str | None) -> Recurrence:
    """The recurrence with its Feedback fed in one of three ways (claim T11).

    Parameters
    ----------
    rec : Recurrence
    mode : {"free", "teacher", "scheduled"}
        ``free`` feeds the output of the step before, as a recurrence is defined; ``teacher`` its target;
        ``scheduled`` the target where the array ``mask``, (T,) or (T, B), is 1, and the output where it is 0.
        None: as it is.

    Returns
    -------
    Recurrence
        The same function with another program.

    Raises
    ------
    UsageError
        If the mode is none of these, or there is no Feedback.
    RecurrenceError
        If targets are to be fed, and none, or more than one, has the sizes of the Feedback.
    """
    if mode is not None and mode not in MODES:
        raise UsageError(f"{rec.name}: feedback={mode!r:.40}; expected one of {', '.join(map(repr, MODES))}.")
    if mode is None or mode == rec.mode:
        return rec
    if not rec.feedback:
        raise UsageError(
            f"{rec.name}: feedback={mode!r}, but no Feedback is declared, so that nothing is fed back; "
            "expected feedback='free', or an argument such as u=Feedback('q')."
        )
    return replace(rec, mode=mode, program=lower(rec.name, rec.traced, mode))


def with_sizes(rec: Recurrence, **sizes: int) -> Recurrence:
    """The recurrence at sizes that are fixed, for a function that is written for these.

    Parameters
    ----------
    rec : Recurrence
    **sizes : int
        The lengths of some of its size words, and of ``T`` and ``B``; what is left out varies. Every check
        that draws its own inputs keeps to them.

    Returns
    -------
    Recurrence
        The same program; sizes that were fixed before stay, unless they are given again.

    Raises
    ------
    UsageError
        If a word is no size of the recurrence, or a size is not a whole number that it can have.
    """
    if not isinstance(rec, Recurrence):
        raise UsageError(f"rec={rec!r:.60}; expected a Recurrence, made by @bptt_verify.recurrence.")
    words = {w for d in rec.declarations.values() for w in d.sizes}
    classes = {w for d in rec.declarations.values() if d.onehot for w in d.sizes}
    for word, size in sizes.items():
        if word not in words | {"T", "B"}:
            raise UsageError(
                f"{rec.name}: {word}={size!r:.40}; expected sizes among {', '.join(sorted(words))}, T, B."
            )
        least = 2 if word in classes else 1
        if isinstance(size, bool) or not isinstance(size, int) or size < least:
            raise UsageError(f"{rec.name}: {word}={size!r:.40}; expected a whole number, at least {least}.")
    return replace(rec, fixed={**rec.fixed, **sizes}) if sizes else rec


def unapplied(rec: Recurrence) -> Program | None:
    """The program that feeds the output itself where a function of it should be fed; None where none is."""
    step = rec.traced.step
    own = {n: v for n, v in step.states.items() if n in rec.feedback}
    sizes = getattr(step.output, "sizes", None)
    if rec.mode == "teacher" or not own or any(v.sizes != sizes for v in own.values()):
        return None
    states = {n: v for n, v in step.states.items() if n not in own}
    plain = replace(rec.traced, step=Step(loss=step.loss, output=step.output, **states))
    return lower(rec.name, plain, rec.mode)
