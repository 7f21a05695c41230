"""What the letters of a formula mean for one recurrence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from bptt_verify.errors import FormulaError, UnsupportedError
from bptt_verify.language import Recurrence
from bptt_verify.notation import Vocabulary
from bptt_verify.notation.tree import Call, Letter, Sum, Tree
from bptt_verify.notation.tree import Equation as Written
from bptt_verify.notation.vocabulary import FUNCTIONS, GENERIC
from bptt_verify.notation.walking import mapped, walk
from bptt_verify.program import BATCH, TIME, Equation, Peak, Pointwise, Program, size_of
from bptt_verify.program.functions import FUNCTIONS as KINDS
from bptt_verify.program.functions import softplus


@dataclass(frozen=True, eq=False)
class Cell:
    """A recurrence as formulas see it.

    Attributes
    ----------
    rec : Recurrence
    param : str or None
        What w, θ and A_t are about.
    """

    rec: Recurrence
    param: str | None = None

    @property
    def program(self) -> Program:
        """The forward program."""
        return self.rec.program

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The names a formula may use."""
        rec, program = self.rec, self.program
        written = rec.function.__code__.co_varnames
        named = [n for n in written if n in program.equation and n not in rec.declarations]
        timed = [n for n in named if TIME in program.labels(n)]
        untimed = [n for n in named if n not in timed]
        return Vocabulary(
            (*rec.params, *untimed), tuple(rec.states), tuple(rec.inputs), tuple(rec.targets), tuple(timed)
        )

    @cached_property
    def state_value(self) -> dict[str, str]:
        """State -> the name of its new value in the program."""
        return {c.boundary.removesuffix("0"): c.value for c in self.program.carries}

    @cached_property
    def output(self) -> str | None:
        """The name of the output, if there is one."""
        return dict(self.program.results).get("output")

    @cached_property
    def step_loss(self) -> str:
        """The name of the loss of one step."""
        total = self.program.equation[dict(self.program.results)["loss"]]
        return total.operands[1].name

    def sizes(self, name: str) -> tuple[str, ...]:
        """The size words of a name, without time and batch."""
        labels = self.program.labels(self.state_value.get(name, name))
        return tuple(size_of(x) for x in labels if x not in (TIME, BATCH))

    @cached_property
    def feeding(self) -> frozenset[str]:
        """The values from which a new state is computed in the same step."""
        found = set(self.state_value.values())
        for e in reversed(self.program.equations):
            if e.name in found:
                found |= {r.name for r in e.operands if not r.shift}
        return frozenset(found)

    def reaches_on(self, name: str) -> bool:
        """Whether later steps can depend on a value: its adjoint after the last step is then 0."""
        value = self.state_value.get(name, name)
        return value in self.feeding and value in self.program.equation

    # ---- elementwise functions ----

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Value -> its elementwise function, for those of the author's names that are one of something."""
        names = {v: s for s, v in self.state_value.items()} | {n: n for n in self.vocabulary.values}
        found: dict[str, str] = {}
        for value, name in names.items():
            e = self.program.equation[value]
            if isinstance(e, Pointwise) and e.expr.func in KINDS:
                found[name] = e.expr.func.__name__
        return found

    @cached_property
    def activation(self) -> tuple[str, str] | None:
        """``(function, argument)`` where the only state is one elementwise function of one value."""
        if len(self.state_value) != 1:
            return None
        (value,) = self.state_value.values()
        e = self.program.equation[value]
        argument = _argument(e)
        return None if argument is None else (argument[0], argument[1])

    @cached_property
    def functions(self) -> tuple[str, ...]:
        """The elementwise functions of the step, without those of the loss."""
        return tuple(
            dict.fromkeys(
                e.expr.func.__name__
                for e in self.program.equations
                if isinstance(e, Pointwise) and e.expr.func in KINDS and e.name in self.feeding
            )
        )

    def elementwise(self, name: str) -> str | None:
        """The function that φ, σ, f or g stands for, or None."""
        if name == "sigma" and "sigmoid" in self.functions:
            return "sigmoid"
        return self.activation[0] if self.activation else None

    def applied(self, function: str, argument: str) -> str | None:
        """The value that is this function of that value."""
        source = self.state_value.get(argument, argument)
        found = (e.name for e in self.program.equations if _argument(e) == (function, source))
        return next(found, None)

    @cached_property
    def link(self) -> str:
        """What turns the output into the prediction that the loss compares with the target."""
        if any(isinstance(e, Peak) and e.name not in self.feeding for e in self.program.equations):
            return "softmax"
        logistic = (e for e in self.program.equations if isinstance(e, Pointwise) and e.expr.has(softplus))
        return "sigmoid" if any(e.name not in self.feeding for e in logistic) else "identity"


def _argument(e: Equation) -> tuple[str, str] | None:
    """``(function, argument)`` of an equation that is one function of one value of the same step."""
    known = isinstance(e, Pointwise) and e.expr.func in KINDS and len(e.operands) == 1
    if not isinstance(e, Pointwise) or not known or e.operands[0].shift or not e.expr.args[0].is_Symbol:
        return None
    return e.expr.func.__name__, e.operands[0].name


def cell_of(rec: Recurrence) -> Cell:
    """The recurrence as formulas see it.

    Raises
    ------
    UnsupportedError
        If a state is a matrix.
    """
    for name, sizes in rec.states.items():
        if len(sizes) > 1:
            raise UnsupportedError(
                f"check_formula: state={name!r} has the sizes {' '.join(sizes)}; expected vectors. "
                "A formula about a matrix state cannot be read."
            )
    return Cell(rec)


def resolved(equation: Written, cell: Cell, text: str) -> Written:
    """The equation with every letter in terms of the recurrence's own names.

    Raises
    ------
    FormulaError
        If a letter has no meaning for this recurrence.
    """
    change = _changer(cell, text)
    return replace(equation, sides=tuple(mapped(s, change) for s in equation.sides))


def _changer(cell: Cell, text: str) -> Callable[[Tree], Tree]:
    def change(tree: Tree) -> Tree:
        match tree:
            case Letter(role="alias"):
                return _parameter(tree, cell, text)
            case Letter(role="theory", name="delta" | "D") if cell.activation is None:
                raise FormulaError(_no_delta(tree, cell), text, tree.at)
            case Letter(role="theory", name="A") if cell.param is None:
                raise FormulaError(
                    f"formula: A_t without a parameter; expected of= one of {', '.join(cell.rec.params)}.",
                    text,
                    tree.at,
                )
            case Call() if tree.function in GENERIC:
                return replace(tree, function=_function(tree.function, cell, text, tree.at))
            case Sum():
                return _over_entries(tree, cell)
            case Letter(role="value", name=name) if "(" in name:
                return _applied(tree, cell, text)
        return tree

    return change


def _over_entries(tree: Sum, cell: Cell) -> Tree:
    """A sum whose letter names entries runs over all of them."""
    for _, t in walk(tree.body):
        named = (
            isinstance(t, Letter) and isinstance(t.component, Letter) and t.component.name == tree.variable
        )
        if named and isinstance(t, Letter) and len(cell.sizes(t.name)) == 1:
            return replace(tree, high=Letter(cell.sizes(t.name)[0], "size"))
    return tree


def _parameter(letter: Letter, cell: Cell, text: str) -> Tree:
    if cell.param is None:
        raise FormulaError(
            f"formula: {letter.name} stands for the parameter that is asked about; expected of= one of "
            f"{', '.join(cell.rec.params)}.",
            text,
            letter.at,
        )
    return replace(letter, name=cell.param, role="param")


def _function(name: str, cell: Cell, text: str, at: int) -> str:
    found = cell.elementwise(name)
    if found is None:
        known = ", ".join(cell.functions) or "none"
        raise FormulaError(
            f"formula: {name} for the cell's elementwise function, but {cell.rec.name} has no single one "
            f"(its functions: {known}); expected one of {', '.join(FUNCTIONS)} by name.",
            text,
            at,
        )
    return found


def _applied(letter: Letter, cell: Cell, text: str) -> Letter:
    function, argument = letter.name.rstrip(")").split("(")
    if function in GENERIC:
        function = _function(function, cell, text, letter.at)
    value = cell.applied(function, argument)
    if value is None:
        raise FormulaError(
            f"formula: {function}({argument}) is no value of {cell.rec.name}; expected one of its own names.",
            text,
            letter.at,
        )
    states = {v: s for s, v in cell.state_value.items()}
    return replace(letter, name=states.get(value, value))


def _no_delta(letter: Letter, cell: Cell) -> str:
    what = "δ_t" if letter.name == "delta" else "D_t"
    choices = " or ".join(f"∂L/∂{n}_t" for n in (*cell.rec.states, *cell.vocabulary.values)[:6])
    return (
        f"formula: {what} has no one meaning for {cell.rec.name}, whose state is not one elementwise "
        f"function of one value; expected what is meant, such as {choices}."
    )
