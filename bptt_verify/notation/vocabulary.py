"""Which names a formula may use, and what each of them is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from bptt_verify.notation.tree import Role

THEORY = ("lambda", "delta", "J", "A", "c", "D", "omega")
ALIASES = ("w", "W", "theta", "w_h", "W_h", "w_o", "W_o")
LOSSES = ("L", "E", "C", "J", "loss", "Loss", "cost", "Cost")
ELL = ("ell", "l")
GENERIC = ("phi", "sigma", "f", "g", "psi")  # names that texts use for the cell's elementwise function
FUNCTIONS = (
    "tanh",
    "sigmoid",
    "relu",
    "softplus",
    "exp",
    "log",
    "sqrt",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "sech",
    "atan",
    "erf",
)
SHAPING = ("diag", "outer", "dot", "softmax", "transpose")


@dataclass(frozen=True)
class Vocabulary:
    """The names of one recurrence.

    Attributes
    ----------
    params : tuple of str
        What is the same at every step.
    states, inputs, targets, values : tuple of str
        What each step has; ``values`` are the author's intermediate ones.
    """

    params: tuple[str, ...]
    states: tuple[str, ...]
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    values: tuple[str, ...]

    @cached_property
    def timed(self) -> frozenset[str]:
        """The names that need a step."""
        return frozenset((*self.states, *self.inputs, *self.targets, *self.values))

    @cached_property
    def initial(self) -> dict[str, str]:
        """``h0`` -> ``h``."""
        return {f"{s}0": s for s in self.states}

    @cached_property
    def own(self) -> frozenset[str]:
        """Every name the author of the recurrence chose."""
        return self.timed | frozenset(self.params) | frozenset(self.initial)

    def role(self, name: str) -> Role | None:
        """What a name is when it stands in a term; the author's own names come first."""
        if name in self.timed or name in self.initial:
            return "value"
        if name in self.params:
            return "param"
        fixed: dict[str, Role] = {"T": "count", "I": "identity", "yhat": "prediction", "p": "prediction"}
        table: list[tuple[tuple[str, ...], Role]] = [
            (THEORY, "theory"),
            (ALIASES, "alias"),
            (LOSSES, "loss"),
            (ELL, "ell"),
        ]
        return next((role for names, role in table if name in names), fixed.get(name))

    @cached_property
    def words(self) -> frozenset[str]:
        """Names that are read as one even where a text runs letters together."""
        return self.own | {n for n in (*ALIASES, *ELL, *LOSSES) if len(n) > 1}

    def listing(self) -> str:
        """The names, for messages."""
        theory = [n for n in THEORY if n not in self.own]
        return (
            f"parameters {', '.join(self.params)}; with a step {', '.join(sorted(self.timed))}; "
            f"loss L, ell; of the theory {', '.join(theory)}; T; indices t, i, j, k, s, …; "
            f"functions {', '.join((*FUNCTIONS, *SHAPING))}"
        )
