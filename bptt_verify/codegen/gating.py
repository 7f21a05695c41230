"""Which equations of a backward loop make only the product J_tᵀ λ_t, so that a closed gate can skip them."""

from __future__ import annotations

from bptt_verify.program import Component, Program


def gates_of(program: Program) -> str | None:
    """The name of the array of gates, where there is one."""
    return next((a.name for a in program.arrays if a.role == "gates"), None)


def gated_carries(program: Program, part: Component) -> list[str]:
    """What is carried from step t to step t - 1 times ξ_t."""
    xi = gates_of(program)
    return [
        e.name for e in part.equations if e.name in program.carry and any(r.name == xi for r in e.operands)
    ]


def product_part(program: Program, part: Component) -> frozenset[str]:
    """The gated carries, and all that nothing but they needs."""
    late = set(gated_carries(program, part))
    results = {name for _, name in program.results}
    readers: dict[str, set[str]] = {}
    for e in program.equations:
        for r in e.operands:
            readers.setdefault(r.name, set()).add(e.name)
    for e in reversed(part.equations):
        alone = e.name not in results and e.name not in program.carry
        if late and alone and readers.get(e.name, set()) <= late:
            late.add(e.name)
    return frozenset(late)
