"""T11: what a step is fed: the letters, and the recursions that define them.

Step t makes ``h_t = f(x_t, h_{t-1}, u_t, w)`` and the value ``o_t = g(h_t, u_t, x_t, w)``, and is fed
``u_t = m_t y_{t-1} + (1 - m_t) o_{t-1}``; u_1 is given. The mask m is any numbers here. Rates and adjoints
of h and u go round in a circle, and the kernel refuses circles: so the definitions have what is fed
written out, as a sum over the steps that it comes from, and the recursions are theorems.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from bptt_verify.proof.claims.adjoint_form import a, e
from bptt_verify.proof.claims.adjoint_form import b as reads_previous
from bptt_verify.proof.claims.gates import BEFORE, END, LATER, START
from bptt_verify.proof.claims.letters import A, T, c, i, s, t
from bptt_verify.proof.kernel import (
    Case,
    Definition,
    Letter,
    Ordered,
    Total,
    Transpose,
    at_least,
    free,
    index,
)

H = Letter("H", "n", "n")  # ∂f/∂h_{t-1}
F = Letter("F", "n", "q")  # ∂f/∂u_t
B = Letter("B", "q", "p")  # ∂g/∂w, with h_t and u_t held fixed
G = Letter("G", "q", "n")  # ∂g/∂h_t
S = Letter("S", "q", "q")  # ∂g/∂u_t
b = Letter("b", "q", "1")  # what the losses say of u_t directly
Y = Letter("Y", "n", "p")
V = Letter("V", "q", "p")
SOME = (at_least(T, 1),)


@dataclass(frozen=True)
class Feeding:
    """The letters of one mask.

    Attributes
    ----------
    mask : Letter
        m, one number for each step.
    rate, fed, made : Letter
        dh/dw, du/dw and do/dw: of the state, of what is fed, and of the value that is made.
    adjoint, of_fed : Letter
        λ and λ^u, the total adjoints of h_t and u_t.
    """

    mask: Letter
    rate: Letter
    fed: Letter
    made: Letter
    adjoint: Letter
    of_fed: Letter

    def own(self, at: object) -> sp.Expr:
        """``1 - m``: the share of the own output in what is fed."""
        return 1 - self.mask(at)

    def passes(self, newest: object, oldest: object) -> Ordered:
        """From a value that is fed to a later one, through the values alone."""
        taken = free(sp.sympify(newest)) | free(sp.sympify(oldest))
        bound = next(x for x in map(index, "kjl") if x not in taken)
        return Ordered(self.own(bound) * S(bound - 1), bound, oldest, newest)

    @property
    def arrives(self) -> Total:
        """What the values of all earlier steps bring to u_t."""
        made = B(i) + G(i) * self.rate(i)
        return Total(self.own(i + 1) * self.passes(t, i + 2) * made, i, 1, t - 1)

    def goes_on(self, first: sp.Expr) -> Total:
        """What u does to the losses, from its step on, through the values alone and then as it is read."""
        read = b(s) + Transpose(F(s)) * self.adjoint(s)
        return Total(Transpose(self.passes(s, first + 1)) * read, s, first, T)

    @property
    def rates(self) -> Definition:
        """``dh_0/dw = 0``, ``dh_t/dw = A_t + H_t dh_{t-1}/dw + F_t (what arrives at u_t)``."""
        step = A(t) + H(t) * self.rate(t - 1) + F(t) * self.arrives
        return Definition(self.rate, t, (Case(START, sp.S.Zero), Case(LATER, step)))

    @property
    def fed_rates(self) -> Definition:
        """``du_t/dw`` is what arrives."""
        return Definition(self.fed, t, (Case(LATER, self.arrives),))

    @property
    def made_rates(self) -> Definition:
        """``do_t/dw = B_t + G_t dh_t/dw + S_t du_t/dw``."""
        step = B(t) + G(t) * self.rate(t) + S(t) * self.fed(t)
        return Definition(self.made, t, (Case(LATER, step),))

    @property
    def adjoints(self) -> Definition:
        """``λ_T = c_T``, ``λ_t = c_t + H_{t+1}ᵀ λ_{t+1} + (1 - m_{t+1}) G_tᵀ (what o_t does as u_{t+1})``."""
        through = self.own(t + 1) * Transpose(G(t)) * self.goes_on(t + 1)
        step = c(t) + Transpose(H(t + 1)) * self.adjoint(t + 1) + through
        return Definition(self.adjoint, t, (Case(END, c(T)), Case(BEFORE, step)), -1, T)

    @property
    def fed_adjoints(self) -> Definition:
        """``λ^u_t`` is what u_t does."""
        return Definition(self.of_fed, t, (Case((at_least(T, t),), self.goes_on(t)),))


ANY = Feeding(
    Letter("m"),
    Letter("dh/dw", "n", "p"),
    Letter("du/dw", "q", "p"),
    Letter("do/dw", "q", "p"),
    Letter("λ", "n", "1"),
    Letter("λ^u", "q", "1"),
)
M, RATE, FED, MADE, LAMBDA, OF_FED = ANY.mask, ANY.rate, ANY.fed, ANY.made, ANY.adjoint, ANY.of_fed
PATH = ANY.own(t) * Transpose(OF_FED(t))  # from o_{t-1} on
BY_VALUES = Total(PATH * B(t - 1), t, 2, T)
FORWARD = Total(Transpose(c(t)) * RATE(t) + Transpose(b(t)) * FED(t), t, 1, T)
READ = Transpose(a(t)) * RATE(t) + Transpose(reads_previous(t)) * RATE(t - 1)
LOSS = Total(e(t) + READ + Transpose(b(t)) * FED(t), t, 1, T)
