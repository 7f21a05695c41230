"""Random small recurrences: a list of assignments in the language, as text and as a function.

Each assignment is an operation on earlier values, with parameters made as they are needed. What nothing
else has used goes into the new states or the loss at the end, so that every declaration is used. Sums that
are constant (of a softmax, of deviations from a mean) are avoided: their gradient is zero, and zero has no
relative error.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from hypothesis import strategies as st

from bptt_verify import language as lang
from bptt_verify.language import Recurrence, Step, Value
from bptt_verify.language.lowering import lower
from bptt_verify.testing import forms
from bptt_verify.testing.forms import Form

VECTORS = ("n", "m")
DECLARATIONS = {
    "Input": lang.Input,
    "Target": lang.Target,
    "State": lang.State,
    "Param": lang.Param,
    "Feedback": lang.Feedback,
}
T = TypeVar("T")
Draw = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class RandomRecurrence(Recurrence):
    """A recurrence that was drawn; its ``repr`` is its text, so that a failing example can be copied.

    Attributes
    ----------
    text : str
        What an author would have written, after ``from bptt_verify import *`` (and ``import sympy``).
    """

    text: str = field(default="", repr=False)

    def __repr__(self) -> str:
        mode = f"# feedback={self.mode!r}\n" if self.feedback else ""
        return f"{mode}{self.text}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """For Hypothesis: the text here too, and not the fields."""
        for k, line in enumerate(repr(self).splitlines()):
            if k:
                printer.break_()
            printer.text(line)


@dataclass(frozen=True)
class Line:
    """One assignment: the name that is bound, and a form of values by their names."""

    name: str
    form: Form
    operands: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.name} = {self.form.text.format(**self.operands)}"


class Writer:
    """Writes one recurrence; each operation adds one assignment and returns the name it binds."""

    def __init__(self, draw: Draw, feedback: bool) -> None:
        self.draw, self.feedback = draw, feedback
        self.declared = {"x": ("Input", "d"), "y": ("Target", "n"), "h": ("State", "n")}
        self.sizes = {"x": "d", "h": "n"}
        self.lines: list[Line] = []
        self.unused: list[str] = []

    def one(self, options: Sequence[T]) -> T:
        """One of these."""
        return self.draw(st.sampled_from(options))  # type: ignore[no-any-return]

    def pick(self, size: str) -> str:
        """A value of this size; what has not been used is twice as likely."""
        names = [n for n, s in self.sizes.items() if s == size]
        name = self.one(names + [n for n in names if n in self.unused])
        if name in self.unused:
            self.unused.remove(name)
        return name

    def size(self, sizes: Sequence[str]) -> str:
        """One of these sizes that some value has."""
        return self.one([s for s in sizes if s in self.sizes.values()])

    def param(self, sizes: str, fresh: bool = False) -> str:
        """A parameter, one that is there already or a new one."""
        old = [n for n, d in self.declared.items() if d == ("Param", sizes)]
        if old and not fresh and self.draw(st.booleans()):
            return self.one(old)
        name = f"P{len(self.declared)}"
        self.declared[name] = ("Param", sizes)
        return name

    def bind(self, size: str, form: Form, **operands: str) -> str:
        """A new value."""
        name = f"v{len(self.lines)}"
        self.lines.append(Line(name, form, operands))
        self.sizes[name] = size
        self.unused.append(name)
        return name

    # ---- operations ----

    def product(self) -> str:
        """A vector times one or two matrices."""
        source = self.size(("d", *VECTORS))
        size = self.one(VECTORS)
        v = self.pick(source)
        form = self.one(forms.PRODUCTS)
        sizes = {"W": f"{size} {source}", "V": f"{source} {size}", "U": f"{source} {source}"}
        return self.bind(size, form, v=v, **{k: self.param(s) for k, s in sizes.items() if form.reads(k)})

    def function(self) -> str:
        """An elementwise function."""
        size = self.size((*VECTORS, ""))
        form = self.one(forms.FUNCTIONS)
        return self.bind(size, form, v=self.pick(size))

    def combination(self) -> str:
        """Two values of one size, element by element."""
        size = self.size((*VECTORS, ""))
        u, v = self.pick(size), self.pick(size)
        form = self.one(forms.COMBINATIONS)
        return self.bind(size, form, u=u, v=v, **({"p": self.param(size)} if form.reads("p") else {}))

    def scaling(self) -> str:
        """A scalar times a vector."""
        size = self.size(VECTORS)
        scalar = self.pick("") if "" in self.sizes.values() else self.param("")
        return self.bind(size, forms.SCALING, c=scalar, u=self.pick(size))

    def reduction(self) -> str:
        """A scalar made of vectors."""
        size = self.size(VECTORS)
        form = self.one(forms.REDUCTIONS)
        operands = {"v": self.pick(size)} if form.reads("v") else {}
        operands["u"] = self.pick(size)
        return self.bind("", form, **operands, **({"p": self.param(size)} if form.reads("p") else {}))

    def normalisation(self) -> str:
        """A vector that all its elements change."""
        size = self.size(VECTORS)
        form = self.one(forms.NORMALISATIONS)
        return self.bind(size, form, v=self.pick(size))

    def gate(self) -> str:
        """A gated mixture, as in a GRU."""
        u, v = self.pick("n"), self.pick("n")
        gate = self.bind("n", forms.GATE, W=self.param("n n"), u=u, p=self.param("n"))
        self.unused.remove(gate)
        return self.bind("n", forms.MIXTURE, g=gate, u=v, v=self.pick("n"))

    # ---- the whole ----

    def write(self) -> RandomRecurrence:
        """The recurrence."""
        extra = self.one([(), ("k",), ("s",), ("k", "s")])
        operands = {"W": self.param("n d"), "U": self.param("n n"), "p": self.param("n")}
        self.bind("n", forms.FIRST, **operands, x="x", h="h")
        if self.feedback:
            self.declared["u"], self.sizes["u"] = ("Feedback", "n"), "n"
            self.bind("n", forms.LINEAR, W=self.param("n n"), v="u")
        if "k" in extra:
            self.declared["k"], self.sizes["k"] = ("State", "m"), "m"
            self.bind("m", forms.LINEAR, W=self.param("m m"), v="k")
        if "s" in extra:
            self.declared["s"], self.sizes["s"] = ("State", ""), ""
            self.bind("", Form("{c} * {u}", forms.SCALING.value), c=self.param(""), u="s")
        operations = [self.product, self.function, self.combination, self.scaling]
        operations += [self.reduction, self.normalisation, self.gate]
        for _ in range(self.draw(st.integers(0, 7))):
            self.one(operations)()
        return self._finished(extra)

    def _finished(self, extra: Sequence[str]) -> RandomRecurrence:
        left = {size: [n for n in self.unused if self.sizes[n] == size] for size in ("n", "m", "")}
        ends = [_ended("h", "tanh", [*left["n"], self.pick("n")])]
        squares = [] if "k" in extra else left["m"]
        plain = [] if "s" in extra else left[""]
        if "k" in extra:
            ends.append(_ended("k", "tanh", [*left["m"], self.pick("m")]))
        if "s" in extra:
            ends.append(_ended("s", "atan", [*left[""], self.pick("")]))
        if self.draw(st.booleans()):
            output = Line("o", forms.MATRIX_OUTPUT, {"W": self.param("n n", fresh=True), "h": "h"})
        else:
            output = Line("o", forms.SQUARED_OUTPUT, {"h": "h"})
        fed = self.one(list(forms.FED)) if self.feedback else ""
        lines = (*self.lines, *ends, output)
        return _made(self.declared, lines, [e.name for e in ends], squares, plain, fed)


def _ended(state: str, function: str, names: Sequence[str]) -> Line:
    """The new state: a bounded function of a sum."""
    letters = {f"a{k}": name for k, name in enumerate(names)}
    text = f"{function}({' + '.join('{' + k + '}' for k in letters)})"

    def value(**terms: Any) -> Any:
        return getattr(lang, function)(_total(list(terms.values())))

    return Line(state, Form(text, value), letters)


def _total(terms: Sequence[Any]) -> Any:
    first, *others = terms
    for other in others:
        first = first + other
    return first


def _run(lines: Sequence[Line], given: Mapping[str, Any]) -> dict[str, Any]:
    """All values by name, after the last line."""
    values = dict(given)
    for line in lines:
        values[line.name] = line.form.value(**{k: values[v] for k, v in line.operands.items()})
    return values


def _made(
    declared: Mapping[str, tuple[str, str]], lines: Sequence[Line], states: Sequence[str],
    squares: Sequence[str], plain: Sequence[str], fed: str,
) -> RandomRecurrence:  # fmt: skip
    """The recurrence of these lines, traced from a function that runs them."""

    bound: dict[str, Any] = {}

    def cell(**leaves: Any) -> Step:
        values = _run(lines, leaves)
        bound.update(values)
        loss = [lang.squared_error(values["o"], values["y"])]
        loss += [lang.dot(values[v], values[v]) for v in squares] + [values[v] for v in plain]
        new = {s: values[s] for s in states}
        value = forms.FED[fed]
        if value is not None:
            new["u"] = value(values["o"], values["u"])
        return Step(loss=_total(loss), output=values["o"], **new)

    kind = inspect.Parameter.KEYWORD_ONLY
    arguments = [inspect.Parameter(n, kind, default=DECLARATIONS[r](s)) for n, (r, s) in declared.items()]
    cell.__signature__ = inspect.Signature(arguments)  # type: ignore[attr-defined]
    made = lang.recurrence(cell)
    # What an author's variables are called is read off the frame; here they have no frame of their own.
    traced = replace(made.traced, names={n: v for n, v in bound.items() if isinstance(v, Value)})
    named = replace(made, traced=traced, program=lower(made.name, traced))
    given = {f.name: getattr(named, f.name) for f in fields(named)}
    return RandomRecurrence(**given, text=_text(declared, lines, states, squares, plain, fed))


def _text(
    declared: Mapping[str, tuple[str, str]], lines: Sequence[Line], states: Sequence[str],
    squares: Sequence[str], plain: Sequence[str], fed: str,
) -> str:  # fmt: skip
    loss = ["squared_error(o, y)", *(f"dot({v}, {v})" for v in squares), *plain]
    new = [f"{s}={s}" for s in states] + [f"u={fed}"] * bool(fed)
    body = [*map(str, lines), f"return Step({', '.join(new)}, output=o, loss={' + '.join(loss)})"]
    own = [definition for name, definition in forms.OWN.items() if any(f"{name}(" in line for line in body)]
    arguments = ", ".join(f'{n}={role}("{sizes}")' for n, (role, sizes) in declared.items())
    head = [*own, "@recurrence", f"def cell({arguments}):"]
    return "\n".join([*head, *(f"    {line}" for line in body)]) + "\n"


@st.composite
def drawn_recurrences(draw: Draw, feedback: bool) -> RandomRecurrence:
    """A random recurrence; one with a Feedback, if that is asked for."""
    return Writer(draw, feedback).write()
