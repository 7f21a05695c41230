"""Roles of a recurrence's arguments, given as their default values, and what one step returns."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, replace
from typing import Any

from bptt_verify.errors import NameRefusedError, RecurrenceError, SizeError
from bptt_verify.language.tracing import describe, here, note_step

Sizes = tuple[str, ...]

CARRIED = ("state", "feedback")  # what a step leaves to the next one

# Arguments of the library's own functions, and names that generated code uses.
RESERVED = frozenset(
    [
        "weights",
        "rng",
        "xi",
        "keep",
        "mask",
        "mask_next",
        "feedback",
        "radius",
        "workspace",
        "arrays",
        "cotangents",
        "tangents",
        "loss",
        "output",
        "outputs",
        "states",
        "grads",
        "reduction",
        "inputs",
        "self",
        "np",
        "scipy",
        "T",
        "B",
        "t",
        "dtype",
        "given",
        "needed",
        "shapes",
        "ready",
        "sizes",
        "range",
        "reversed",
        "dict",
        "Any",
        "Mapping",
        "Sequence",
        "NamedTuple",
        "Trace",
        "SHAPES",
        "OPTIONAL",
        "CLASSES",
        "SIZES",
        "forward",
        "loss_and_grad",
        "vjp",
        "jvp",
    ]
)


@dataclass(frozen=True)
class Declaration:
    """The role and sizes of one argument; for a Feedback the target it is compared with, if named."""

    role: str
    sizes: Sizes
    onehot: bool = False
    target: str | None = None


@dataclass(frozen=True)
class Step:
    """What a recurrence returns: every new state by name, the output, and the loss of this step.

    Parameters
    ----------
    loss : scalar value
    output : value, optional
    **states : value
        The new value of every declared State; and of a Feedback, where it is not the output itself.
    """

    loss: Any
    output: Any
    states: dict[str, Any]

    def __init__(self, *values: Any, loss: Any = None, output: Any = None, **states: Any) -> None:
        if values:
            raise RecurrenceError(
                f"{here()}: Step({describe(values[0])}, …); expected names: Step(h=<new value>, loss=…, "
                "output=…)."
            )
        object.__setattr__(self, "loss", loss)
        object.__setattr__(self, "output", output)
        object.__setattr__(self, "states", states)
        note_step(self)


def _declare(role: str, sizes: str, most: int, onehot: bool = False) -> Any:
    if not isinstance(sizes, str):
        raise SizeError(f"{role}: sizes={sizes!r}; expected words in one string, like 'n' or 'n d'.")
    words = tuple(sizes.split())
    for word in words:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", word) or keyword.iskeyword(word):
            raise SizeError(
                f"{role}({sizes!r}): size={word!r}; expected a plain word like 'n' (a scalar has the empty "
                "size '')."
            )
        if word in ("T", "B"):
            raise SizeError(
                f"{role}({sizes!r}): size={word!r} is the number of steps or the batch, which are always "
                "there. "
                "Leave it out, or choose another word."
            )
    if len(words) > most:
        raise SizeError(f"{role}({sizes!r}): {len(words)} sizes; expected at most {most}.")
    if onehot and len(words) != 1:
        raise SizeError(f"{role}({sizes!r}, onehot=True): expected exactly one size, the number of classes.")
    return Declaration(role, words, onehot)


def Input(sizes: str, *, onehot: bool = False) -> Any:
    """An input x_t, array ``(T, B, *sizes)``; with ``onehot`` an integer class array ``(T, B)``."""
    return _declare("input", sizes, 2, onehot)


def Target(sizes: str, *, onehot: bool = False) -> Any:
    """A target y_t, array ``(T, B, *sizes)``; with ``onehot`` an integer class array ``(T, B)``."""
    return _declare("target", sizes, 2, onehot)


def State(sizes: str) -> Any:
    """A state: in the body the previous value, until it is bound to the new one. Starts at ``<name>0``."""
    return _declare("state", sizes, 2)


def Param(sizes: str) -> Any:
    """A parameter, the same at every step: an array of shape ``sizes`` (``""`` is a scalar)."""
    return _declare("param", sizes, 2)


def Feedback(sizes: str, *, target: str | None = None) -> Any:
    """The previous output, fed back: in the body o_{t-1}, at t = 1 the array ``<name>0`` (claim T11).

    Parameters
    ----------
    sizes : str
        The sizes of the output.
    target : str, optional
        The Target that takes its place under teacher forcing; the only one of these sizes, if left out.

    Notes
    -----
    What is fed is the output, or a function of it: ``Step(u=softmax(o), …)`` for ``u=Feedback("q")``. Under
    teacher forcing it is the target of the step before, as it stands: the function is for the output only.
    """
    if target is not None and not isinstance(target, str):
        raise RecurrenceError(f"Feedback(target={target!r:.40}); expected the name of a Target, like 'y'.")
    return replace(_declare("feedback", sizes, 2), target=target)


def check_name(name: str, where: str) -> None:
    """Refuse a declared name that cannot appear in generated code as it is."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or keyword.iskeyword(name):
        raise NameRefusedError(
            f"{where}: name={name!r}; expected an ASCII identifier that starts with a letter. Rename it."
        )
    if name in RESERVED:
        raise NameRefusedError(
            f"{where}: name={name!r} is reserved for an argument of the library or for generated code. "
            "Rename it."
        )


def check_declarations(declarations: dict[str, Declaration], places: dict[str, str], title: str) -> None:
    """Refuse names and combinations of roles that cannot work."""
    roles = {d.role for d in declarations.values()}
    real_sizes = {word for d in declarations.values() if not d.onehot for word in d.sizes}
    for name, d in declarations.items():
        if d.role in CARRIED and f"{name}0" in declarations:
            raise NameRefusedError(
                f"{places[name + '0']}: name={name + '0'!r} is the initial value of the {d.role} {name!r}. "
                "Rename one of the two."
            )
        if d.onehot and d.sizes[0] not in real_sizes:
            raise SizeError(
                f"{places[name]}: name={name!r}: the number of classes {d.sizes[0]!r} is a size of no real "
                "array, "
                "so a call could not tell it; expected a Param (or another array) that has the size "
                f"{d.sizes[0]!r}."
            )
    if not roles & {"input", "target"}:
        raise RecurrenceError(
            f"{title}: no Input and no Target is declared; expected at least one, since T and B come from "
            "them."
        )
    if roles.isdisjoint(CARRIED):
        raise RecurrenceError(
            f"{title}: no State (and no Feedback) is declared; expected at least one. Without it nothing "
            "recurs."
        )
