"""One step apart from its neighbours: what it reads of them is given, so that time is a label and no loop.

With the states of every step given, the parts of the gradient sum (T1, T2) are Programs of their own:
the loss of each step with the states held fixed, its Jacobians, and v ↦ vᵀJ_t, vᵀA_t without either of
them as an array.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace

from bptt_verify.derivation.equations import Names
from bptt_verify.derivation.local import jacobian
from bptt_verify.derivation.reverse import adjoint, cotangent_adjoint
from bptt_verify.program import BATCH, TIME, Array, Pointwise, Program, Ref
from bptt_verify.program.surgery import (
    opened,
    opened_loss,
    previous,
    prune,
    reading,
    states_before,
    states_of,
)


@dataclass(frozen=True)
class OneStep:
    """A Program without recursion.

    Attributes
    ----------
    program : Program
    given : dict of str to Array
        What it is given besides the arrays of the recurrence, labels (T, B, state sizes), by state, and by
        ``previous(state)`` for the state before each step. Its results have the same keys.
    """

    program: Program
    given: dict[str, Array]

    def keeping(self, keys: Container[str]) -> OneStep:
        """The same with some of the results only."""
        results = tuple(r for r in self.program.results if r[0] in keys)
        return replace(self, program=prune(replace(self.program, results=results)))

    def zeros(self) -> set[str]:
        """The results that are zero whatever the arrays."""
        made = {key: self.program.equation.get(name) for key, name in self.program.results}
        return {key for key, e in made.items() if isinstance(e, Pointwise) and e.expr == 0}


def step_loss(program: Program) -> OneStep:
    """The gradient of Σ_t L_t(h_t, h_{t-1}, x_t, w) with every state held fixed.

    Given both; results ∂L_t/∂h_t under the state and ∂L_t/∂h_{t-1} under ``previous(state)``, labels
    (T, B, sizes); the explicit parts Σ_t ∂L_t/∂w and ∂L_t/∂x_t under the names of the arrays; ``"loss"``.
    """
    apart, given = opened_loss(program)
    keys = {a.name: key for key, a in given.items()}
    whole = adjoint(apart)
    return OneStep(replace(whole, results=tuple((keys.get(k, k), v) for k, v in whole.results)), given)


def state_products(program: Program) -> OneStep:
    """Products of vectors v_t, given by state, with the derivatives of the new states.

    Results Σ_t v_tᵀ A_t under the name of each parameter, v_tᵀ ∂f/∂x_t under that of each real input, and
    v_tᵀ J_t, labels (T, B, sizes), under ``previous(state)``.
    """
    return _backwards(program, cotangent_adjoint(replace(program, results=tuple(states_of(program).items()))))


def adjoint_step(program: Program) -> OneStep:
    """One step of the adjoint recursion, as the kernel makes it.

    Given, by state, what the next step sends back; results under the names of the parameters and real
    inputs their gradients, and under ``previous(state)`` what the step itself sends back.
    """
    step = _backwards(program, adjoint(program))
    return step.keeping({k for k, _ in step.program.results} - {"loss"})


def _backwards(program: Program, whole: Program) -> OneStep:
    """A backward recursion cut open: what the next step sends back is given, by state."""
    names, results = Names(whole), dict(whole.results)
    given, reads = states_before(program, names.unique)
    for s in states_of(program):
        carry = whole.end[results.pop(f"{s}0")]
        labels = whole.labels(carry.value)
        given[s] = Array(names.unique(f"{s}_adjoint"), "cotangent", labels)
        reads[carry.value, 1] = given[s].name
        results[previous(s)] = carry.value
    return OneStep(opened(replace(whole, results=tuple(results.items())), reads, given), given)


def state_jacobians(program: Program) -> OneStep:
    """The blocks ``"d<state>/d<state>"`` of J_t, labels (T, B, sizes, sizes); no packs in ``program``."""
    states = states_of(program)
    whole = jacobian(program)
    blocks = {f"d{s}/d{r}" for s in states for r in states}
    given, reads = states_before(program, Names(whole).unique)
    wanted = tuple(r for r in whole.results if r[0] in blocks)
    return OneStep(opened(replace(whole, results=wanted), reads, given), given)


def with_own_parameters(program: Program) -> Program:
    """The same program with parameters of their own for each step and sequence, labels (T, B, …).

    Their gradients are then those of each step and sequence, not summed. No packs in ``program``.
    """
    wide = {a.name for a in program.arrays if a.role == "param"}
    for e in program.equations:
        if TIME not in e.labels and any(r.name in wide for r in e.operands):
            wide.add(e.name)

    def widened(r: Ref) -> Ref:
        return replace(r, labels=(TIME, BATCH, *r.labels)) if r.name in wide else r

    equations = [reading(e, {r: widened(r) for r in e.operands}) for e in program.equations]
    return replace(
        program,
        arrays=tuple(
            replace(a, labels=(TIME, BATCH, *a.labels)) if a.name in wide else a for a in program.arrays
        ),
        equations=tuple(
            replace(e, labels=(TIME, BATCH, *e.labels)) if e.name in wide else e for e in equations
        ),
    )
