"""Modules for windows and overlapping chunks, which one gate a step cannot express (T5, T6).

In:  the Programs of a recurrence; the estimator.
Out: the same, and Programs of single steps: the loss of each step with the states held fixed, what J_t needs
     of the forward pass, λ ↦ λᵀJ_t, and λ ↦ λᵀA_t. What joins them is the same for every cell and stands in
     ``helpers``: all chunks run back at once, so that time is cut into strides and not looped over.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from bptt_verify.codegen.double_sum import DIRECT, THROUGH
from bptt_verify.codegen.fusion import fuse
from bptt_verify.codegen.helpers import ESTIMATE
from bptt_verify.codegen.module import Module, Programs, words
from bptt_verify.codegen.splitting import Parts, split
from bptt_verify.derivation import OneStep, previous, state_products, states_of, step_loss
from bptt_verify.estimators import Chunks, Estimator, Window
from bptt_verify.program import TIME, Array, Program

SLOPES = "What J_t needs of the forward pass, for every step, from the states before it."
BACK = "λ_tᵀ J_t for the steps that are given, from λ_t by state and from ``_slopes`` there."

# A mask is cut where a step leaves what it feeds (mask_next), not where the next one reads it.
CUT_MASK = (
    "            seeds = {s: sent",
    """            rows["mask"] = np.roll(np.roll(given["mask"], -1, axis=0)[later], 1, axis=0)
            seeds = {s: sent""",
)


@dataclass(frozen=True)
class TruncatedPrograms(Programs):
    """What a truncated module computes besides the forward pass."""

    direct: OneStep
    back: Parts
    through: OneStep

    def all(self) -> tuple[Program, ...]:
        """The programs that become functions."""
        return (self.forward, self.direct.program, *self.back.programs(), self.through.program)


def truncated_programs(programs: Programs) -> TruncatedPrograms:
    """The programs of single steps."""
    fused = fuse(programs.recurrence)
    direct, through = step_loss(fused), state_products(fused)
    states = states_of(fused)
    explicit = {k for k, _ in direct.program.results} - {"loss"} - (direct.zeros() - set(direct.given))
    back = through.keeping({previous(s) for s in states})
    moving = {back.given[s].name for s in states}
    return TruncatedPrograms(
        **{f.name: getattr(programs, f.name) for f in fields(Programs)},
        direct=direct.keeping(explicit),
        back=split(back.program, moving),
        through=through.keeping({k for k, _ in through.program.results} - (through.zeros() & explicit)),
    )


class TruncatedModule(Module):
    """The text of a module whose gradient is a truncated sum.

    Parameters
    ----------
    programs : TruncatedPrograms
    style : {"fast", "plain"}
    estimator : Window or Chunks
    """

    programs: TruncatedPrograms
    method = (
        "and ``loss_and_grad`` keeps the terms of claims T5 and T6, c_tᵀ (J_t … J_{i+1}) A_i with",
        "i > e(t) - K2, where e(t) = K1 ⌈t/K1⌉: all chunks run back at once, in K2 - 1 products of matrices.",
        "A cotangent (∂L/∂v)ᵀ is written v_bar. Arrays are time-major.",
    )

    def __init__(self, programs: TruncatedPrograms, style: str, estimator: Estimator) -> None:
        super().__init__(programs, style)
        self.estimator = estimator

    def purpose(self) -> str:
        """The first line of the header."""
        return f"loss and truncated gradient, {self.estimator}"

    def functions(self) -> list[str]:
        """The functions that programs make."""
        p = self.programs
        given, adjoints = p.through.given, self._adjoints()
        before = {key: a for key, a in given.items() if key not in adjoints}
        slopes, back = p.back.programs()
        return [
            self.forward(),
            self._loss_and_grad(),
            self._estimate(),
            self.gradient_function("_direct", "states", p.direct.program, p.direct.given, DIRECT),
            self.gradient_function("_slopes", "states", slopes, before, SLOPES),
            self.gradient_function("_back", "adjoints", back, adjoints | self._seeds(back), BACK),
            self.gradient_function("_through", "states", p.through.program, given, THROUGH),
        ]

    def _adjoints(self) -> dict[str, Array]:
        return {s: self.programs.through.given[s] for s in states_of(self.programs.recurrence)}

    def _seeds(self, p: Program) -> dict[str, Array]:
        """What ``_back`` is given besides the arrays of the recurrence and the adjoints."""
        read = {r.name for e in p.equations for r in e.operands} | {v for _, v in p.results}
        known = self.programs.through.given | self.programs.back.given
        return {k: a for k, a in known.items() if a.name in read and k not in self._adjoints()}

    def tables(self) -> str:
        """The tables of names and shapes, and how the sum is truncated."""
        states = ", ".join(f'"{s}"' for s in states_of(self.programs.recurrence))
        match self.estimator:
            case Window(tau):
                lengths = (1, tau)
            case Chunks(k1, k2):
                lengths = (k1, k2)
        seeds = self._seeds(self.programs.back.after)
        moving = [key for key, a in seeds.items() if TIME in a.labels]
        lines = [
            f"STATES = ({states},)",
            f"K1, K2 = {lengths[0]}, {lengths[1]}",
            f"MOVING = ({words(moving)})  # what _back is given for each step",
            f"FIXED = ({words([key for key in seeds if key not in moving])})",
        ]
        return "\n".join([super().tables(), *lines])

    def helpers(self, body: str) -> list[str]:
        """The fixed text that the functions call."""
        made = [ESTIMATE, *super().helpers(body)]
        return [text.replace(*CUT_MASK) for text in made] if self.scheduled else made

    def _loss_and_grad(self) -> str:
        doc = "The loss, and the truncated gradient for every parameter, real input and initial state."
        lines = [f"return estimate(**given{self._kept()})[:2]"]
        return self.keyword_function("loss_and_grad", "tuple[Any, dict[str, Any]]", doc, lines)

    def _estimate(self) -> str:
        doc = "As ``loss_and_grad``, with the number of products J_tᵀ λ made, one for each chunk and step."
        lines = [
            f"loss, grads, products = _summed(given, _run_back{self._kept()})",
            "return Estimate(loss, grads, None, products)",
        ]
        return self.keyword_function("estimate", "Estimate", doc, lines)

    def _kept(self) -> str:
        return ", workspace=workspace" if self.style == "fast" else ""
