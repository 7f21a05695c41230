"""Modules whose gradient is the double sum of T2, every product of Jacobians made: an oracle and a lesson.

In:  the Programs of a recurrence.
Out: the same, and three Programs of single steps: the loss of each step with the states held fixed, J_t, and
     λ ↦ λᵀJ_t, λᵀA_t. What joins them is the same for every cell and stands in ``helpers``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from bptt_verify.codegen.fusion import fuse
from bptt_verify.codegen.module import Module, Programs
from bptt_verify.derivation import OneStep, state_jacobians, state_products, states_of, step_loss
from bptt_verify.program import Program

DIRECT = "c_t in its two parts ∂L_t/∂h_t and ∂L_t/∂h_{t-1}, and Σ_t ∂L_t/∂w: the states are held fixed."
JACOBIANS = "The blocks of J_t = ∂h_t/∂h_{t-1}, (T, B, n, n)."
THROUGH = "λ_tᵀ J_t for every step, and Σ_t λ_tᵀ A_t, from the states before each step and λ_t by state."


@dataclass(frozen=True)
class ClosedPrograms(Programs):
    """What a double-sum module computes besides the forward pass."""

    direct: OneStep
    jacobians: OneStep
    through: OneStep

    def all(self) -> tuple[Program, ...]:
        """The four programs that become functions."""
        return (self.forward, self.direct.program, self.jacobians.program, self.through.program)


def closed_programs(programs: Programs) -> ClosedPrograms:
    """The programs of single steps, gates fused where a program has gates to fuse."""
    fused = fuse(programs.recurrence)
    direct, through = step_loss(fused), state_products(fused)
    keys = {k for k, _ in direct.program.results} - {"loss"}
    explicit = keys - (direct.zeros() - set(direct.given))
    return ClosedPrograms(
        **{f.name: getattr(programs, f.name) for f in fields(Programs)},
        direct=direct.keeping(explicit),
        jacobians=state_jacobians(programs.recurrence),
        through=through.keeping({k for k, _ in through.program.results} - (through.zeros() & explicit)),
    )


class DoubleSumModule(Module):
    """The text of a module whose gradient is the double sum."""

    programs: ClosedPrograms
    method = (
        "and ``loss_and_grad`` evaluates the closed form of claim T2, λ_t = Σ_{s≥t} (J_s … J_{t+1})ᵀ c_s,",
        "with ∂L/∂w = Σ_t ∂L_t/∂w + Σ_i λ_iᵀ A_i. It makes every product of Jacobians, O(T²) of them, where",
        "the recursion needs none: use it to check the recursion, not to compute. A cotangent (∂L/∂v)ᵀ is",
        "written v_bar. Arrays are time-major.",
    )

    def functions(self) -> list[str]:
        """The functions that programs make."""
        p = self.programs
        parts = (
            ("_direct", p.direct, DIRECT),
            ("_jacobians", p.jacobians, JACOBIANS),
            ("_through", p.through, THROUGH),
        )
        return [
            self.forward(),
            self._call(),
            *(self.gradient_function(name, "states", s.program, s.given, doc) for name, s, doc in parts),
        ]

    def tables(self) -> str:
        """The tables of names and shapes."""
        states = ", ".join(f'"{s}"' for s in states_of(self.programs.recurrence))
        return f"{super().tables()}\nSTATES = ({states},)"

    def _call(self) -> str:
        """``loss_and_grad``, which hands everything to the fixed text."""
        doc = "The loss, and its gradient for every parameter, real input and initial state."
        kept = ", workspace=workspace" if self.style == "fast" else ""
        lines = [f"return _summed(given, _every_product{kept})[:2]"]
        return self.keyword_function("loss_and_grad", "tuple[Any, dict[str, Any]]", doc, lines)
