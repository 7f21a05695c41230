"""The claims in order: which theorems each consists of, and how to look at them with integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from string import ascii_lowercase

import numpy as np
import sympy as sp

from bptt_verify.proof.claims import (
    adjoint_form,
    chunks,
    gates,
    linear,
    magnitude,
    randomized,
    unrolled,
    variance,
    windows,
)
from bptt_verify.proof.claims.letters import s, t
from bptt_verify.proof.evaluation import PROBABILITIES, Draw, Model, Value, evaluated, gate_law, integers
from bptt_verify.proof.kernel import Theorem, instantiate, replay, speaks_of_means

SIZES = {"n": 2, "p": 3, "q": 2, "d": 3, "m": 2}
MOST = 6  # the largest number of steps at which a theorem is evaluated
MOST_OF_MEANS = 4  # the same where means are added up over the outcomes of all gates

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

    @property
    def most(self) -> int:
        """The largest number of steps at which it is evaluated."""
        return MOST_OF_MEANS if speaks_of_means(self.theorem) else MOST

    def check(self, seed: int = 0) -> int:
        """Make the theorem again by its rules, and evaluate it exactly with random integer matrices.

        Returns
        -------
        int
            At how many choices of its indices (up to ``most``) it was evaluated.

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
        return evaluated(instantiate(theorem, self.fixed) if self.fixed else theorem, model, self.most)


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

    @property
    def most(self) -> int:
        """The largest number of steps at which all its theorems are evaluated."""
        return min(p.most for p in self.parts)

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
    """Row sums of matrices with 2 and with 3 columns and entries up to 2."""
    return {"ρ": lambda at: 4, "γ": lambda at: 4, "α": lambda at: 6}


def _eigenpair(rng: np.random.Generator) -> Mapping[str, Callable[[tuple[int, ...]], Value]]:
    """W_hhᵀ (1, 1)ᵀ = μ (1, 1)ᵀ: both columns of W_hh sum to μ."""
    first = rng.integers(-2, 3, size=2).astype(object)
    mu = int(rng.integers(-2, 3))
    matrix = np.array([first, mu - first], dtype=object)
    return {"W_hh": lambda at: matrix, "μ": lambda at: mu, "v": lambda at: np.array([[1], [1]], dtype=object)}


def _one_step(rng: np.random.Generator) -> Mapping[str, Callable[[tuple[int, ...]], Value]]:
    shape = (SIZES["n"], SIZES["p"])
    return {"A": lambda at: np.full(shape, 1 if at == (2,) else 0, dtype=object)}


def _shut(rng: np.random.Generator) -> Mapping[str, Callable[[tuple[int, ...]], Value]]:
    return {"ξ": lambda at: 0 if at == (2,) else int(rng.integers(-2, 3))}


def _open_between(rng: np.random.Generator) -> Mapping[str, Callable[[tuple[int, ...]], Value]]:
    """The chunk 1 … 3."""
    return {"ξ": lambda at: {2: 1, 3: 1, 4: 0}.get(at[0], int(rng.integers(-2, 3)))}


def _open_after(rng: np.random.Generator) -> Mapping[str, Callable[[tuple[int, ...]], Value]]:
    """From step 2 on."""
    return {"ξ": lambda at: 1 if at[0] >= 2 else int(rng.integers(-2, 3))}


def _random_gates(rng: np.random.Generator) -> Mapping[str, Callable[[tuple[int, ...]], Value]]:
    """Gates 0 or 1/π with a π for each step: their mean is 1, and that of their squares κ = 1/π."""
    drawn = cache(lambda at: PROBABILITIES[rng.integers(len(PROBABILITIES))])
    return {"ξ": lambda at: gate_law(drawn(at)), "κ": lambda at: 1 / drawn(at)}


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
        _claim(
            "T5",
            "Window",
            ("The closed form of the sensitivity, from the start on", windows.sensitivity),
            ("A product of Jacobians in two pieces", windows.joined),
            ("Within the first τ steps the window sees everything", windows.covered),
            ("What the window leaves out of the sensitivity", windows.sensitivity_error),
            ("The window stops the chain τ steps back", windows.stopped),
            ("The error of the gradient is exactly the tail", windows.gradient_error),
            ("A window of T steps or more leaves nothing out", windows.whole),
            ("A bound on the tail", windows.tail_bound, _bounded),
            ("The sum of powers in the bound", windows.geometric),
            ("The influence of a step on the losses in its window", windows.cut_gathered),
            ("The same for the last steps, whose window goes beyond T", windows.last_gathered),
            ("The gradient of the window, step by step backwards", windows.adjoint_of_window),
            ("The gradient of the initial state", windows.initial_window),
        ),
        _claim(
            "T6",
            "Chunks and gates",
            ("The closed form of the gated adjoint", gates.gated_adjoint),
            ("The closed form of the gated sensitivity", gates.gated_forward),
            ("The influence of a state on all later losses, through the gates", gates.gated_gathered),
            ("Forward mode and backward mode with the same gates", gates.gated_gradient),
            ("The gated sensitivity to the initial state", gates.gated_initial),
            ("The first gate gates the gradient of the initial state", gates.gated_initial_gradient),
            ("The exact error of a gated gradient", gates.gradient_of_gates),
            ("No term passes a closed gate", gates.closed_gate, _shut, ((s, 2),)),
            (
                "Between closed gates, the adjoint of the chunk alone",
                chunks.chunk,
                _open_between,
                ((chunks.a, 1), (chunks.b, 3)),
            ),
            ("The same in the last chunk", chunks.last_chunk, _open_after, ((chunks.a, 1),)),
            ("With all gates open, the full adjoint", chunks.all_open, _open_after),
            ("A chunk run back, within it", chunks.in_chunk),
            ("A chunk run back, before it", chunks.before_chunk),
            ("The gradient of a chunk that is run back further than it reaches", chunks.chunk_gradient),
            ("The gradient of the initial state by a chunk that is run back to it", chunks.chunk_initial),
        ),
        _claim(
            "T7",
            "Randomized truncation",
            ("One random step from the exact derivative", randomized.one_step, _random_gates),
            ("The recursion with a random gate at every step", randomized.recursive, _random_gates),
            ("The gradient in forward mode", randomized.forward_gradient, _random_gates),
            ("The gated adjoint", randomized.adjoint, _random_gates),
            ("The gradient in backward mode", randomized.backward_gradient, _random_gates),
            ("The gradient of the initial state", randomized.initial_gradient, _random_gates),
            ("One gate for all steps is biased", randomized.shared_gate, _random_gates),
            ("The second moment of the sensitivity", variance.second_moment, _random_gates),
            ("The second moment of the gated adjoint", variance.adjoint_moment, _random_gates),
            ("The covariance of the gated adjoint", variance.adjoint_covariance, _random_gates),
            (
                "The second moment of the gradient of the initial state",
                variance.initial_moment,
                _random_gates,
            ),
            ("The error of a random gradient, for every outcome", variance.error, _random_gates),
            ("The second moment of the error, from step t on", variance.spread, _random_gates),
            ("The covariance of the gradient", variance.covariance, _random_gates),
        ),
    )
}


@cache
def labels(part: str) -> Mapping[Theorem, str]:
    """The label of every theorem that a part's proof may cite: of its own claim and of those before it."""
    found: dict[Theorem, str] = {}
    for claim in CLAIMS.values():
        found |= {p.theorem: p.label for p in claim.parts}
        if part in found.values():
            break
    return found
