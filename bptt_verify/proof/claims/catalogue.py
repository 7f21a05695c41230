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
            ("The closed form of the sensitivity", unrolled.unrolled),
            ("The immediate partial of step t as the last term of the sum", unrolled.unrolled_whole),
            ("The sensitivity to the initial state is the product of all Jacobians", unrolled.initial_state),
        ),
        _claim(
            "T2",
            "Adjoint form",
            ("The closed form of the adjoint", adjoint_form.closed_form),
            ("The influence of a state on all later losses", adjoint_form.gathered),
            ("Exchanging the two sums: forward mode and backward mode agree", adjoint_form.gradient),
            ("The same for the initial state", adjoint_form.initial_gradient),
            ("Losses that read the new and the previous state", adjoint_form.states_gradient),
            ("The gradient of a parameter, explicit parts included", adjoint_form.loss_gradient),
            ("The gradient of the initial state", adjoint_form.loss_initial_gradient),
            (
                "The gradient of an input of one step",
                adjoint_form.one_step,
                _one_step,
                ((t, 2),),
            ),
        ),
        _claim(
            "T3",
            "Linear RNN",
            ("The adjoint of the last step", linear.last_step),
            ("The recursion for the adjoint", linear.recursion),
            ("The adjoint by powers of the recurrent matrix", linear.powers),
            ("The gradient of a sum by a matrix in it", linear.gradient_of_matrix),
            ("The gradient of the output matrix", linear.readout_matrix),
            ("The gradient of the input matrix", linear.input_matrix),
            ("The gradient of the recurrent matrix", linear.recurrent_matrix),
            ("The adjoint where every Jacobian is one matrix", linear.constant_jacobian),
        ),
        _claim(
            "T4",
            "Vanishing and exploding",
            ("Products of Jacobians are bounded by powers", magnitude.bound, _bounded),
            ("A bound on each term of the gradient", magnitude.term_bound, _bounded),
            (
                "The bound where functions act elementwise",
                magnitude.elementwise_bound,
                _bounded,
            ),
            (
                "An eigenvector is scaled by a power of its eigenvalue",
                magnitude.eigenvector,
                _eigenpair,
            ),
        ),
    )
}


@cache
def labels() -> Mapping[Theorem, str]:
    """The label of every theorem of every claim, for citing it."""
    return {p.theorem: p.label for c in CLAIMS.values() for p in c.parts}
