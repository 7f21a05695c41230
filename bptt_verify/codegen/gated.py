"""Modules whose adjoint recursion has gates: Chunks(k, k), Window(1), Randomized are one recursion (T6, T7).

In:  the Programs of a recurrence, derived with gates; the estimator.
Out: the text of a module. Where a gate is zero for the whole batch its functions make no product, and where
     λ_t is zero they make no step.
"""

from __future__ import annotations

from bptt_verify.codegen.gating import gates_of
from bptt_verify.codegen.helpers import ESTIMATE
from bptt_verify.codegen.module import Module, Programs, wrapped
from bptt_verify.codegen.scope import python_names
from bptt_verify.estimators import Chunks, Estimator, Geometric, Randomized, Window
from bptt_verify.program import TIME, Program

DRAWN = ("xi", "rng")
GIVEN = "Gates ξ: ``xi``, (T,) or (T, B); or ``rng``, a numpy.random.Generator that draws them."


class GatedModule(Module):
    """The text of a module with gates.

    Parameters
    ----------
    programs : Programs
        Its ``loss_and_grad`` and ``vjp`` have an array of gates; there is no ``jvp``.
    style : {"fast", "plain"}
    estimator : Chunks, Window or Randomized
    """

    method = (
        "and ``loss_and_grad`` estimates the gradient by the gated recursion of claims T6 and T7,",
        "λ_t = c_t + ξ_{t+1} J_{t+1}ᵀ λ_{t+1}, with Σ_t ∂L_t/∂w + Σ_i λ_iᵀ A_i and, for h_0, ξ_1 J_1ᵀ λ_1. A",
        "cotangent (∂L/∂v)ᵀ is written v_bar. Arrays are time-major.",
    )

    def __init__(self, programs: Programs, style: str, estimator: Estimator) -> None:
        super().__init__(programs, style)
        self.estimator = estimator
        self.random = DRAWN if isinstance(estimator, Randomized) else ()

    def functions(self) -> list[str]:
        """The functions that programs make, and the estimator's."""
        return [
            self.forward(),
            self._loss_and_grad(),
            self._estimate(),
            self._gated(),
            self.vjp(),
            self._law(),
        ]

    def purpose(self) -> str:
        """The first line of the header."""
        return f"loss and gradient estimate, {self.estimator_text()}"

    def estimator_text(self) -> str:
        """The estimator, shortened where it lists a probability for every step."""
        text = str(self.estimator)
        return text if len(text) < 60 else f"{text[:50]}…"

    def arguments(self, p: Program) -> tuple[str, ...]:
        """Gates, or a generator to draw them."""
        return self.random if p is self.programs.vjp else ()

    def prelude(self, p: Program) -> list[str]:
        """The gates, and which steps they leave."""
        gates = gates_of(p)
        if gates is None:
            return []
        xi = python_names(p)[gates]
        made = f"drawn, {xi} = _gates({', '.join((*self.random, 'T', 'B', 'dtype'))})"
        whole = [made] if p is self.programs.vjp else [f"{xi} = gates"] if xi != "gates" else []
        opens = f"opens = {xi}.any(axis=1)"
        return [*whole, opens, *self._loss_at(p), "live, steps, products = _live(loss_at, opens)"]

    def _loss_at(self, p: Program) -> list[str]:
        """At which steps a loss, or a cotangent in its place, reads a state."""
        given = p is self.programs.vjp
        seen = (
            [a.name for a in p.arrays if a.role == "cotangent" and TIME in a.labels] if given else ["weights"]
        )
        read = [f"np.any({python_names(p)[a]}.reshape(T, -1), axis=1)" for a in seen]
        lines = [f"loss_at = {read[0] if read else 'np.zeros(T, bool)'}"]
        if self._looks_back():
            lines.append("loss_at[:-1] |= loss_at[1:]  # a loss that reads the state before its step")
        return [*lines, "loss_at[-1] = True  # the final states have cotangents"] if given else lines

    def _looks_back(self) -> bool:
        """Whether a loss reads the state before its step: it is then sent back besides what has a gate."""
        shifts = [c.shift for c in self.programs.loss_and_grad.carries]
        return shifts.count(1) > shifts.count(-1)

    def _loss_and_grad(self) -> str:
        doc = "The loss, and the estimated gradient for every parameter, real input and initial state."
        passed = "".join(f", {a}={a}" for a in self.random)
        lines = [f"return estimate(**given{passed}{self._kept()})[:2]"]
        return self.keyword_function(
            "loss_and_grad", "tuple[Any, dict[str, Any]]", self._doc(doc), lines, self.random
        )

    def _estimate(self) -> str:
        doc = "As ``loss_and_grad``, with the gates that were used and the number of products J_tᵀ λ_t made."
        made = ", ".join((*self.random, "*weights.shape", "dtype"))
        lines = [
            '(weights,), _, dtype = _prepare(given, ("weights",), {}, {})',
            f"drawn, gates = _gates({made})",
            "loss_at = weights.any(axis=1)",
            *(["loss_at[:-1] |= loss_at[1:]"] if self._looks_back() else []),
            "live, _, products = _live(loss_at, gates.any(axis=1))",
            f"loss, grads = _from_first(given | {{'weights': weights}}, gates, live{self._kept()})".replace(
                "'", '"'
            ),
            "return Estimate(loss, grads, drawn, products)",
        ]
        return self.keyword_function("estimate", "Estimate", self._doc(doc), lines, self.random)

    def _kept(self) -> str:
        return ", workspace=workspace" if self.style == "fast" else ""

    def _gated(self) -> str:
        doc = "The loss, and the gradient by the gated recursion; ``gates`` (T, B)."
        lines, loss = self.loss_lines("arrays")
        kept = ", workspace: dict[str, Any] | None = None" if self.style == "fast" else ""
        head = f"def _gated(arrays: Mapping[str, Any], gates: Any{kept}) -> tuple[Any, dict[str, Any]]:"
        return self.function(head, doc, [*lines, f"return {loss}, grads"])

    def _doc(self, doc: str) -> str:
        return f"{doc}\n\n{GIVEN}" if self.random else doc

    def _law(self) -> str:
        """How gates come about: the probabilities, or the length of a chunk."""
        match self.estimator:
            case Randomized(pi=Geometric(first, ratio, minimum)):
                powers = f"{float(first)!r} * {float(ratio)!r} ** np.arange(steps)"
                return PROBABILITIES.format(lines=f"return np.clip({powers}, {float(minimum)!r}, 1.0)")
            case Randomized(pi=tuple(pi)):
                numbers = "\n    ".join(wrapped("pi = (", [repr(float(p)) for p in pi], ")"))
                return PROBABILITIES.format(lines=f"{numbers}\n    {CHECKED}\n    return np.array(pi)")
            case Randomized(pi=pi):
                return PROBABILITIES.format(lines=f"return np.full(steps, {float(pi)!r})")  # type: ignore[arg-type]
            case Chunks(k1=length):
                return CHUNKS.format(length=length)
            case Window():
                return CHUNKS.format(length=1)
        raise TypeError(f"estimator: {self.estimator}")

    def helpers(self, body: str) -> list[str]:
        """The fixed text that the functions call."""
        drawn = DRAW_EACH if getattr(self.estimator, "per_sequence", False) else DRAW
        law = [DRAWING.replace("DRAW", drawn)] if self.random else []
        made = [ESTIMATE, *super().helpers(body), *law]
        return [text.replace(*CUT_MASK) for text in made] if self.scheduled else made


PROBABILITIES = '''def _probabilities(steps: int) -> Any:
    """π_1 … π_T: with what probability a gate is open."""
    {lines}'''

CHECKED = """if len(pi) != steps:
        raise ValueError(f"T={steps}: there are {len(pi)} probabilities; expected one for each step.")"""

# A mask is cut where a step leaves what it feeds (mask_next), not where the next one reads it.
CUT_MASK = (
    "    states = forward(**given | {k: given[k][:first] for k in series}, **kept).states\n",
    """    head = {k: given[k][:first] for k in series}
    head["mask"] = np.roll(np.roll(given["mask"], -1, axis=0)[:first], 1, axis=0)
    states = forward(**given | head, **kept).states
""",
)

CHUNKS = '''def _gates(steps: int, batch: int, dtype: Any) -> Any:
    """The gates ξ as (T,) and as (T, B): closed at the first steps of all chunks but the first."""
    xi = np.ones(steps, dtype)
    xi[{length}::{length}] = 0
    return xi, np.repeat(xi[:, None], batch, axis=1)'''

DRAW = "rng.random(steps) < pi"
DRAW_EACH = "rng.random((steps, batch)) < pi[:, None]"

DRAWING = '''
def _gates(xi: Any, rng: Any, steps: int, batch: int, dtype: Any) -> Any:
    """The gates ξ, as given or drawn, and as (T, B): 1/π_t with probability π_t, otherwise 0."""
    if (xi is None) == (rng is None):
        both = "both were given" if rng is not None else "neither was given"
        wanted = "the gates xi, or a numpy.random.Generator rng that draws them"
        raise TypeError(f"xi, rng: {both}; expected {wanted}.")
    if rng is not None:
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng: {rng!r:.60}; expected a numpy.random.Generator. Pass default_rng(seed).")
        pi = _probabilities(steps)
        xi = np.divide((DRAW).T, pi).T
    xi = np.asarray(xi)
    if xi.shape not in ((steps,), (steps, batch)):
        raise ValueError(f"xi: shape={xi.shape}; expected (T,)=({steps},) or (T, B)=({steps}, {batch}).")
    if xi.dtype.kind not in "fiub" or not np.all(np.isfinite(xi)):
        raise ValueError(f"xi: dtype={xi.dtype}; expected finite real numbers, such as 0 and 1/π.")
    whole = xi if xi.ndim == 2 else np.repeat(xi[:, None], batch, axis=1)
    return xi, np.asarray(whole, dtype)
'''
