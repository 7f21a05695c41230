"""Moments of the gated adjoint, exactly and without sampling (T7).

With gates ξ_t, E ξ_t = 1 and E ξ_t² = κ_t, the recursion λ_t = c_t + ξ_{t+1} J_{t+1}ᵀ λ_{t+1} has the full
adjoint m_t as its mean, and the covariance C_T = 0,

    C_{t-1} = κ_t J_tᵀ C_t J_t + (κ_t - 1) J_tᵀ m_t m_tᵀ J_t

Every term is positive semidefinite, so that nothing cancels where π is near 1. Gates shared by the batch act
on the batch as one stacked state, one *group*, whose J_t is block diagonal; with gates for each sequence
every sequence is a group of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bptt_verify.analysis.terms import (
    ENTRIES,
    Array,
    Arrays,
    cotangents,
    results_of,
    stacked_jacobians,
)
from bptt_verify.derivation import OneStep, state_products, with_own_parameters
from bptt_verify.program import Program

Shape = tuple[int, ...]
Derivatives = dict[str, Array]  # by parameter or real input: (B, N, entries)


@dataclass(frozen=True, eq=False)
class Path:
    """A recurrence along its trajectory, the N numbers of all states stacked.

    Attributes
    ----------
    program : Program
    arrays : mapping of str to array
    before : dict of str to array (T, B, …)
        The states before each step, by ``previous(state)``.
    sizes : dict of str to tuple of int
        The shape of each state.
    direct : array (T, B, N)
        c_t.
    jacobians : array (T, B, N, N)
        J_t.
    """

    program: Program
    arrays: Arrays
    before: dict[str, Array]
    sizes: dict[str, Shape]
    direct: Array
    jacobians: Array

    @cached_property
    def adjoints(self) -> Array:
        """m_t = c_t + J_{t+1}ᵀ m_{t+1}, (T, B, N)."""
        m = self.direct.copy()
        for t in reversed(range(len(m) - 1)):
            m[t] += times_transposed(self.jacobians[t + 1], m[t + 1, :, :, None])[..., 0]
        return m

    @cached_property
    def parameters(self) -> dict[str, Shape]:
        """The shape of every parameter that a new state depends on."""
        found = {a.name: self.arrays[a.name].shape for a in self.program.arrays if a.role == "param"}
        return {name: shape for name, shape in found.items() if name not in self._step.zeros()}

    @cached_property
    def inputs(self) -> dict[str, Shape]:
        """The shape of every real input that a new state depends on, at one step of one sequence."""
        real = (a.name for a in self.program.arrays if a.role == "input" and not a.index)
        return {name: self.arrays[name].shape[2:] for name in real if name not in self._step.zeros()}

    @cached_property
    def _step(self) -> OneStep:
        return state_products(with_own_parameters(self.program))

    def derivatives(self) -> Iterator[Derivatives]:
        """Step by step ∂h_t/∂w with h_{t-1} held fixed (A_t) and ∂h_t/∂x_t, made in blocks of steps."""
        shapes = {**self.parameters, **self.inputs}
        step = self._step.keeping(shapes)
        steps, batch, width = self.direct.shape
        block = max(1, ENTRIES // max(1, batch * width * _entries(shapes)))
        given = {**self.before, **self._units()}
        for start in range(0, steps, block):
            rows = slice(start, min(start + block, steps))
            out = results_of(step, self.arrays, given, rows) if shapes else {}
            for i in range(rows.stop - start):
                yield {k: _matrix(out[k][i], (batch, width), shape) for k, shape in shapes.items()}

    def _units(self) -> dict[str, Array]:
        """Every unit vector of the stacked states at once, by state, (T, B, …, N)."""
        steps, batch, width = self.direct.shape
        units, at = {}, 0
        for state, shape in self.sizes.items():
            count = int(np.prod(shape))
            rows = np.eye(width)[at : at + count].reshape(*shape, width)
            units[state] = np.broadcast_to(rows, (steps, batch, *rows.shape))
            at += count
        return units


def path_of(program: Program, arrays: Arrays) -> Path:
    """The numbers of a recurrence along its trajectory."""
    before, c = cotangents(program, arrays)
    sizes = {s: v.shape[2:] for s, v in c.items()}
    shape = arrays["weights"].shape
    direct = np.concatenate([v.reshape(*shape, -1) for v in c.values()], axis=-1)
    return Path(program, arrays, before, sizes, direct, stacked_jacobians(program, arrays))


@dataclass(frozen=True, eq=False)
class Covariance:
    """Covariances of the gated adjoint, G groups of M numbers.

    Attributes
    ----------
    matrices : array (T + 1, G, M, M)
        C_t at ``[t]``; C_0 is that of ξ_1 J_1ᵀ λ_1.
    carried : array (T,)
        The trace of κ_t J_tᵀ C_t J_t, the share of C_{t-1} that was there before gate t, at ``[t - 1]``.
    """

    matrices: Array
    carried: Array

    @cached_property
    def traces(self) -> Array:
        """tr C_t at ``[t]``, (T + 1,)."""
        return np.asarray(np.trace(self.matrices, axis1=-2, axis2=-1).sum(axis=-1))


def covariance(path: Path, excess: Array, groups: int) -> Covariance:
    """The recursion for C_t, from ``excess`` κ_t - 1 (T,)."""
    steps = len(excess)
    m = path.adjoints.reshape(steps, groups, -1)
    matrices = np.zeros((steps + 1, groups, m.shape[-1], m.shape[-1]))
    carried = np.zeros(steps)
    for t in reversed(range(steps)):
        kept = (1 + excess[t]) * sandwiched(path.jacobians[t], matrices[t + 1])
        fresh = times_transposed(path.jacobians[t], m[t][..., None])
        matrices[t] = kept + excess[t] * fresh @ fresh.mT
        carried[t] = np.trace(kept, axis1=-2, axis2=-1).sum()
    return Covariance(matrices, carried)


def sensitivities(path: Path) -> Iterator[tuple[Array, Derivatives]]:
    """Step by step J_t ∂h_{t-1}/∂w, all parameters side by side (B, N, P), and the derivatives at t."""
    _, batch, width = path.direct.shape
    total = np.zeros((batch, width, _entries(path.parameters)))
    for jacobian, local in zip(path.jacobians, path.derivatives(), strict=True):
        moved = jacobian @ total
        yield moved, local
        total = moved + np.concatenate([moved[..., :0], *(local[p] for p in path.parameters)], axis=-1)


def second_moments(matrices: Array, adjoint: Array, columns: Array) -> Array:
    """uᵀ (C + m mᵀ) u for every column u, summed over the groups.

    ``matrices`` C (G, M, M), ``adjoint`` m (B, N) and ``columns`` (B, N, P) give (P,).
    """
    u = columns.reshape(*matrices.shape[:2], columns.shape[-1])
    m = adjoint.reshape(len(matrices), 1, -1)
    return np.asarray(np.sum(u * (matrices @ u), axis=(0, 1)) + np.sum((m @ u) ** 2, axis=(0, 1)))


def blocks(matrices: Array, batch: int) -> Array:
    """The diagonal blocks of the sequences, (B, N, N)."""
    width = matrices.shape[0] * matrices.shape[1] // batch
    apart = matrices.reshape(len(matrices), batch // len(matrices), width, -1, width)
    return np.asarray(np.einsum("gbnbm->gbnm", apart).reshape(batch, width, width))


def times_transposed(jacobian: Array, values: Array) -> Array:
    """J_tᵀ from the left, (B, N, N) and (G, M, K)."""
    rows = values.reshape(*jacobian.shape[:2], -1)
    return np.asarray((jacobian.mT @ rows).reshape(values.shape))


def sandwiched(jacobian: Array, matrices: Array) -> Array:
    """J_tᵀ C J_t of symmetric C, (G, M, M)."""
    return times_transposed(jacobian, times_transposed(jacobian, matrices).mT)


def spread(jacobian: Array, matrices: Array) -> Array:
    """J_t P J_tᵀ of symmetric P, (G, M, M)."""
    return sandwiched(jacobian.mT, matrices)


def _matrix(value: Array, shape: Shape, own: Shape) -> Array:
    """Results for all unit vectors (B, …, N) as (B, N, entries); zero where none of them has a word."""
    if value.ndim == 1 + len(own):
        return np.zeros((*shape, int(np.prod(own))))
    return np.moveaxis(value, -1, 1).reshape(*shape, -1)


def _entries(shapes: Mapping[str, Shape]) -> int:
    return sum(int(np.prod(shape)) for shape in shapes.values())
