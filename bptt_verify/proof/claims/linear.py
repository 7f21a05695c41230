"""T3: the linear RNN, where every Jacobian is W_hh and the ordered products are its powers."""

from __future__ import annotations

from functools import cache

import sympy as sp

from bptt_verify.proof.calculation import Calculation
from bptt_verify.proof.claims.adjoint_form import ADJOINT, LAMBDA, closed_form, gradient
from bptt_verify.proof.claims.letters import A, J, T, c, i, k, s, t
from bptt_verify.proof.kernel import (
    Letter,
    Ordered,
    Theorem,
    Total,
    Trace,
    Transpose,
    at_least,
    reindex,
    resize,
    rotate_trace,
    specialise,
    take_out,
    trace_of_sum,
    transposition,
    unfold,
)

W_hh = Letter("W_hh", "n", "n")
W_qh = Letter("W_qh", "q", "n")
g = Letter("∂L/∂o", "q", "1")  # the gradient at the output, a column
h = Letter("h", "n", "1")
x = Letter("x", "d", "1")
V = Letter("V", "n", "m")  # a direction in which a matrix changes
left = Letter("u", "n", "1")
right = Letter("v", "m", "1")


def _linear(theorem: Theorem) -> Theorem:
    """With the linear RNN's ``J_t = W_hh`` and ``c_t = W_qhᵀ ∂L/∂o_t``."""
    return specialise(specialise(theorem, J, t, W_hh()), c, t, Transpose(W_qh()) * g(t))


@cache
def last_step() -> Theorem:
    """``∂L/∂h_T = W_qhᵀ ∂L/∂o_T``."""
    return _linear(unfold(ADJOINT, T, ()))


@cache
def recursion() -> Theorem:
    """``∂L/∂h_t = W_hhᵀ ∂L/∂h_{t+1} + W_qhᵀ ∂L/∂o_t`` for t < T."""
    return _linear(unfold(ADJOINT, t, (at_least(T - 1, t),)))


@cache
def powers() -> Theorem:
    """``∂L/∂h_t = Σ_{i=t}^{T} (W_hhᵀ)^{T-i} W_qhᵀ ∂L/∂o_{T+t-i}``."""
    closed = _linear(closed_form())
    lag = Ordered(W_hh(), k, t + 1, T + t - i)
    return (
        Calculation(closed.statement.left, at_least(T, t))
        .use(closed)
        .by(reindex, i, T + t - i, where=lambda x: isinstance(x, Total))
        .rewrite(reindex(lag, k, k + t, ()))
        .by(transposition, where=lambda x: isinstance(x, Transpose) and isinstance(x.args[0], Ordered))
        .theorem
    )


@cache
def constant_jacobian() -> Theorem:
    """``λ_t = Σ_{s=t}^{T} (W_hhᵀ)^{s-t} c_s`` if every J_t is W_hh, whatever the losses read."""
    closed = specialise(closed_form(), J, t, W_hh())
    return (
        Calculation(closed.statement.left, at_least(T, t))
        .use(closed)
        .rewrite(reindex(Ordered(W_hh(), k, t + 1, s), k, k + t, ()))
        .by(transposition, where=lambda x: isinstance(x, Transpose) and isinstance(x.args[0], Ordered))
        .theorem
    )


@cache
def gradient_of_matrix() -> Theorem:
    """``tr(Σ_i u_iᵀ V v_i) = tr((Σ_i u_i v_iᵀ)ᵀ V)``: the matrix whose inner product with V is the change.

    If a loss changes by ``Σ_i u_iᵀ V v_i`` when a matrix W changes in direction V, then by the definition
    of the gradient (the matrix G with dL = tr(Gᵀ V) for every V) it is ``∂L/∂W = Σ_i u_i v_iᵀ``.
    """
    change = Transpose(left(i)) * V() * right(i)
    outer = left(i) * Transpose(right(i))
    return (
        Calculation(Trace(Total(change, i, 1, T)))
        .by(trace_of_sum)
        .by(rotate_trace, 2, where=lambda x: isinstance(x, Trace))
        .back(transposition(Transpose(outer), ()))
        .back(trace_of_sum(Trace(Total(Transpose(outer) * V(), i, 1, T)), ()))
        .by(take_out, sp.S.One, Transpose(outer), V())
        .back(transposition(Transpose(Total(outer, i, 1, T)), ()))
        .theorem
    )


@cache
def recurrent_matrix() -> Theorem:
    """``∂L/∂W_hh = Σ_i λ_i h_{i-1}ᵀ``, as the change of the loss in a direction V of W_hh."""
    direction = Letter("V", "n", "n")
    return _matrix_gradient(direction, h(i - 1))


@cache
def input_matrix() -> Theorem:
    """``∂L/∂W_hx = Σ_i λ_i x_iᵀ``, as the change of the loss in a direction V of W_hx."""
    direction = Letter("V", "n", "d")
    return _matrix_gradient(direction, x(i))


@cache
def readout_matrix() -> Theorem:
    """``∂L/∂W_qh = Σ_t (∂L/∂o_t) h_tᵀ``, from the change ``Σ_t (∂L/∂o_t)ᵀ V h_t``."""
    matrix = resize(resize(gradient_of_matrix(), "m", "k"), "n", "q")
    u, v = left.resized("n", "q"), right.resized("m", "k")
    return specialise(resize(specialise(matrix, u, i, g(i)), "k", "n"), v.resized("k", "n"), i, h(i))


def _matrix_gradient(direction: Letter, of: sp.Expr) -> Theorem:
    """T2 with ``A_i = V v_i``, the change of ``W v_i`` in the direction V, and the trace of both sides."""
    columns = A.resized("p", "1")
    change = _linear(specialise(resize(gradient(), "p", "1"), columns, i, direction() * of))
    matrix = specialise(gradient_of_matrix(), left, i, LAMBDA(i))
    matrix = resize(matrix, "m", direction.columns)
    matrix = specialise(matrix, right.resized("m", direction.columns), i, of)
    return Calculation(Trace(change.statement.left)).use(change).use(matrix).theorem
