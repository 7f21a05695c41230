"""The claims in order: which theorems each consists of, and how to look at them with integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from string import ascii_lowercase

import numpy as np
import sympy as sp

from bptt_verify.proof.claims import adjoint_form, linear, magnitude, unrolled
from bptt_verify.proof.claims.letters import t
from bptt_verify.proof.evaluation import Draw, Model, Value, evaluated, integers
from bptt_verify.proof.kernel import Theorem, instantiate, replay

SIZES = {"n": 2, "p": 3, "q": 2, "d": 3, "m": 2}
MOST = 6  # the largest number of steps at which a theorem is evaluated

Chosen = Callable[[np.random.Generator], Mapping[str, Callable[[tuple[int, ...]], Value]]]


@dataclass(frozen=True)
class Part:
    """One theorem of a claim.

    Attributes
    ----------
    label : str
        How other proofs cite it: ``"T2c"``.
    words : str
        What it says.
    prove : callable
        Proves it, once; later calls return the same Theorem.
    chosen : callable or None
        For the exact evaluation: letters that cannot be arbitrary, since the theorem assumes something.
    fixed : mapping
        For the exact evaluation: indices that are fixed, for the same reason.
    """

    label: str
    words: str
    prove: Callable[[], Theorem]
    chosen: Chosen | None = None
    fixed: tuple[tuple[sp.Symbol, int], ...] = ()

    @property
    def theorem(self) -> Theorem:
        """The theorem itself."""
        return self.prove()

    def check(self, seed: int = 0) -> int:
        """Make the theorem again by its rules, and evaluate it exactly with random integer matrices.

        Returns
        -------
        int
            At how many choices of its indices (up to T = 6) it was evaluated.

        Raises
        ------
        ProofError
            If the rules do not lead to it, or it is false at one of them.
        """
        theorem = replay(self.theorem)
        rng = np.random.default_rng(seed)
        draw = integers(rng)
        model = Model(
            SIZES, _with(self.chosen(rng), draw) if self.chosen else draw, tuple(theorem.definitions)
        )
        return evaluated(instantiate(theorem, self.fixed) if self.fixed else theorem, model, MOST)


def _with(chosen: Mapping[str, Callable[[tuple[int, ...]], Value]], draw: Draw) -> Draw:
    def both(letter, at, shape):  # type: ignore[no-untyped-def]
        return chosen[letter.name](at) if letter.name in chosen else draw(letter, at, shape)

    return both


@dataclass(frozen=True)
class GeneralClaim:
    """A claim of the specification, for every recurrence.

    Attributes
    ----------
    id : str
    title : str
    parts : tuple of Part
    """

    id: str
    title: str
    parts: tuple[Part, ...]

    def part(self, name: str) -> Part:
        """The part that a function of this name proves."""
        return next(p for p in self.parts if p.prove.__name__ == name)


def _claim(number: str, title: str, *parts: tuple[object, ...]) -> GeneralClaim:
    letters = ascii_lowercase if len(parts) > 1 else ("",)
    return GeneralClaim(
        number,
        title,
        tuple(Part(number + a, *p) for a, p in zip(letters, parts, strict=False)),  # type: ignore[arg-type]
    )


def _bounded(rng: np.random.Generator) -> Mapping[str, Callable[[tuple[int, ...]], Value]]:
    return {"ρ": lambda at: 4, "γ": lambda at: 4}  # row sums of 2 × 2 matrices with entries up to 2


def _eigenpair(rng: np.random.Generator) -> Mapping[str, Callable[[tuple[int, ...]], Value]]:
    """W_hhᵀ (1, 1)ᵀ = μ (1, 1)ᵀ: both columns of W_hh sum to μ."""
    first = rng.integers(-2, 3, size=2).astype(object)
    mu = int(rng.integers(-2, 3))
    matrix = np.array([first, mu - first], dtype=object)
    return {"W_hh": lambda at: matrix, "μ": lambda at: mu, "v": lambda at: np.array([[1], [1]], dtype=object)}


def _one_step(rng: np.random.Generator) -> Mapping[str, Callable[[tuple[int, ...]], Value]]:
    shape = (SIZES["n"], SIZES["p"])
    return {"A": lambda at: np.full(shape, 1 if at == (2,) else 0, dtype=object)}


CLAIMS: Mapping[str, GeneralClaim] = {
    c.id: c
    for c in (
        _claim(
            "T1",
            "Unrolled gradient",
            ("∂h_t/∂w is a sum of ordered products, newest factor on the left", unrolled.unrolled),
            ("A_t is the term i = t of that sum, with an empty product", unrolled.unrolled_whole),
            ("∂h_t/∂h_0 is the product of all Jacobians", unrolled.initial_state),
        ),
        _claim(
            "T2",
            "Adjoint form",
            ("the recursion for λ_t, written out", adjoint_form.closed_form),
            ("what the losses from step i on say of h_i is λ_i", adjoint_form.gathered),
            ("exchanging the two sums: forward mode and backward mode agree", adjoint_form.gradient),
            ("the same for h_0", adjoint_form.initial_gradient),
            ("c_t collects the losses that read h_t", adjoint_form.states_gradient),
            ("the gradient of a parameter, explicit parts included", adjoint_form.loss_gradient),
            (
                "the gradient of the initial state, explicit parts included",
                adjoint_form.loss_initial_gradient,
            ),
            ("what only one step reads, as an input x_t", adjoint_form.one_step, _one_step, ((t, 2),)),
        ),
        _claim(
            "T3",
            "Linear RNN",
            ("the last step; λ_t is ∂L/∂h_t as a column", linear.last_step),
            ("the recursion", linear.recursion),
            ("the powers of W_hhᵀ", linear.powers),
            (
                "the matrix whose inner product with every direction V is the change",
                linear.gradient_of_matrix,
            ),
            ("∂L/∂W_qh = Σ_t (∂L/∂o_t) h_tᵀ: the change of L in a direction V", linear.readout_matrix),
            ("∂L/∂W_hx = Σ_t (∂L/∂h_t) x_tᵀ", linear.input_matrix),
            ("∂L/∂W_hh = Σ_t (∂L/∂h_t) h_{t-1}ᵀ", linear.recurrent_matrix),
        ),
        _claim(
            "T4",
            "Vanishing and exploding",
            ("products of Jacobians are bounded by powers of ρ", magnitude.bound, _bounded),
            ("so is a term of the gradient at lag t - i", magnitude.term_bound, _bounded),
            ("for J_t = diag(φ'(a_t)) W_hh: ρ = sup|φ'| ‖W_hh‖", magnitude.elementwise_bound, _bounded),
            ("an eigenvector of W_hhᵀ is scaled by exactly μ^m at lag m", magnitude.eigenvector, _eigenpair),
        ),
    )
}


@cache
def labels() -> Mapping[Theorem, str]:
    """The label of every theorem of every claim, for citing it."""
    return {p.theorem: p.label for c in CLAIMS.values() for p in c.parts}
