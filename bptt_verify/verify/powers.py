"""``power``: which wrong gradients somebody's own test would let pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bptt_verify.check import Arrays
from bptt_verify.derivation import adjoint
from bptt_verify.errors import UsageError
from bptt_verify.language import Recurrence, outward
from bptt_verify.mutants import mutants
from bptt_verify.program import Program, evaluate
from bptt_verify.verify.adapters import Adapted
from bptt_verify.verify.arguments import seeded
from bptt_verify.verify.cases import recurrence_cases
from bptt_verify.verify.gradcheckers import gradient_checker
from bptt_verify.verify.problems import recurrence_problem

Outcome = Literal["caught", "missed", "equivalent"]
Check = Callable[[Callable[..., Any]], Any]

SHOWS = 1e-8  # relative to a block's largest entry; below it is rounding


@dataclass(frozen=True)
class Attempt:
    """One wrong gradient, and what the test made of it.

    Attributes
    ----------
    name, description : str
        The mistake and its place; what the author of such code did.
    outcome : {"caught", "missed", "equivalent"}
        ``"equivalent"``: accepted, and no number that the test saw is wrong.
    shown : float
        Largest error on the inputs of the test, relative to the block's largest entry.
    elsewhere : float
        The same on inputs that the library draws, where the test saw nothing: what other inputs would show.
    """

    name: str
    description: str
    outcome: Outcome
    shown: float
    elsewhere: float


@dataclass(frozen=True)
class Power:
    """What a test tells from a right gradient.

    Attributes
    ----------
    subject : str
    attempts : tuple of Attempt
    rejects_right : bool
        Whether the test rejects the right gradient: then it says nothing.
    calls : int
        How often the test called the right function.
    seed : int or None
    """

    subject: str
    attempts: tuple[Attempt, ...]
    rejects_right: bool
    calls: int
    seed: int | None = None

    @property
    def caught(self) -> tuple[str, ...]:
        """The mistakes that the test rejects."""
        return self._of("caught")

    @property
    def missed(self) -> tuple[str, ...]:
        """The mistakes that the test accepts, although it saw wrong numbers."""
        return self._of("missed")

    @property
    def equivalent(self) -> tuple[str, ...]:
        """The mistakes that change no number on the inputs of the test."""
        return self._of("equivalent")

    @property
    def invisible(self) -> tuple[str, ...]:
        """Those of `equivalent` that other inputs would show: the inputs of the test are too plain."""
        return tuple(a.name for a in self.attempts if a.outcome == "equivalent" and a.elsewhere > SHOWS)

    def _of(self, outcome: Outcome) -> tuple[str, ...]:
        return tuple(a.name for a in self.attempts if a.outcome == outcome)

    def __str__(self) -> str:
        right = "REJECTS the right gradient" if self.rejects_right else "accepts the right gradient"
        first = (
            f"{self.subject}: catches {len(self.caught)} of {len(self.attempts)} wrong gradients, misses "
            f"{len(self.missed)}, cannot see {len(self.invisible)} on its inputs; {right}"
        )
        width = max((len(a.name) for a in self.attempts), default=0)
        lines = [f"  {a.name:<{width}}  {_words(a)}" for a in sorted(self.attempts, key=_severity)]
        return "\n".join(
            [first, *lines, *([f"  repeat with rng={self.seed}"] if self.seed is not None else [])]
        )


def power(
    check: Check | Mapping[str, Any] | str,
    rec: Recurrence,
    *,
    inputs: Mapping[str, Any] | None = None,
    rng: int | np.random.Generator | None = None,
) -> Power:
    """Which wrong gradients of a recurrence a test would let pass.

    The test is tried on the right gradient, and on every known mistake at every place of this recurrence.

    Parameters
    ----------
    check : callable, mapping, or str
        ``check(fn)`` tests a gradient function ``fn(**arrays) -> (loss, grads)`` on inputs of its own, and
        returns whether it accepts it; a Report, or None for a test that raises AssertionError, will do. Any
        other exception ends ``power``.
        Or tolerances of central differences, ``{"rtol": 1e-4, "atol": 1e-6, "eps": 1e-6}``. Or one of
        ``"scipy"`` (``check_grad``, below 1e-5), ``"torch"`` (``autograd.gradcheck``) and ``"jax"``
        (``check_grads``), with arguments as ``{"tool": "torch", "atol": 1e-4}``.
    rec : Recurrence
    inputs : dict of arrays, optional
        Where the tolerances or the tool are tried; drawn if left out. A callable has its own.
    rng : int or Generator, optional
        Seed of what is drawn.

    Returns
    -------
    Power
        ``.caught``, ``.missed``, ``.equivalent``, ``.invisible``, ``.rejects_right``; a table as text.

    Raises
    ------
    UsageError
        If an argument is not as described, or the test never calls the function.
    UnsupportedError
        If the tool is not installed.
    """
    if not isinstance(rec, Recurrence):
        raise UsageError(f"rec={rec!r:.60}; expected a Recurrence.")
    seed, generator = seeded(rng)
    telling = [c.arrays for c in recurrence_cases(rec, generator)]
    if callable(check):
        if inputs is not None:
            raise UsageError("inputs= with a function as check; expected that the function has its own.")
        name, test = getattr(check, "__qualname__", type(check).__name__), check
    else:
        given = inputs if inputs is not None else next(outward(a) for a in telling if len(a["weights"]) > 2)
        name, test = gradient_checker(check, _Mistaken(rec, adjoint(rec.program)), given)
    right = _Mistaken(rec, adjoint(rec.program))
    accepted = _accepts(test, right)
    if not right.calls:
        raise UsageError(
            f"check={name}: it never called the function; expected check(fn) to call fn(**arrays)."
        )
    attempts = tuple(_attempts(rec, test, telling))
    return Power(f"{name} on {rec.name}", attempts, not accepted, right.calls, seed)


class _Mistaken:
    """The gradient function of an adjoint program, right or not; it remembers how wrong it showed itself."""

    def __init__(self, rec: Recurrence, program: Program, right: Program | None = None) -> None:
        self.rec, self.program, self.right = rec, program, right
        self.calls, self.shown = 0, 0.0
        self.__name__ = self.__qualname__ = f"{rec.name}_loss_and_grad"

    def __call__(self, **arrays: Any) -> tuple[Any, dict[str, Any]]:
        self.calls += 1
        ready = completed(self.rec, arrays)
        results = _results(self.program, ready)
        if self.right is not None:
            self.shown = max(self.shown, difference(results, _results(self.right, ready)))
        reals = [v for v in map(np.asarray, arrays.values()) if v.dtype.kind == "f"]
        dtype = np.result_type(*reals) if reals else np.dtype(float)
        loss = results.pop("loss")
        return dtype.type(loss), {k: np.array(v, dtype=dtype) for k, v in results.items()}


def completed(rec: Recurrence, arrays: Mapping[str, Any]) -> Arrays:
    """The arrays of a call, checked; with zero states and the weights of a mean where they are left out."""
    stands_for = Adapted(power, frozenset(arrays))
    return next(iter(recurrence_problem(rec, stands_for, arrays).draw(np.random.default_rng(0)))).arrays


def difference(found: Mapping[str, Any], expected: Mapping[str, Any]) -> float:
    """The largest error of a block, relative to its largest entry."""
    worst = 0.0
    for k, right in expected.items():
        with np.errstate(all="ignore"):
            gap, scale = np.abs(found[k] - right).max(initial=0.0), np.abs(right).max(initial=0.0)
            worst = max(worst, float(gap / scale) if scale else float(gap > 0))
    return worst


def _results(program: Program, arrays: Arrays) -> dict[str, Any]:
    with np.errstate(all="ignore"):
        values = evaluate(program, arrays)
    return {k: values[v] for k, v in program.results}


def _attempts(rec: Recurrence, test: Check, telling: list[Arrays]) -> Iterator[Attempt]:
    right = adjoint(rec.program)
    truths: list[tuple[Arrays, dict[str, Any]]] = []
    for m in mutants(right):
        fn = _Mistaken(rec, m.program, right)
        accepted = _accepts(test, fn)
        outcome: Outcome = "caught" if not accepted else "missed" if fn.shown > SHOWS else "equivalent"
        elsewhere = 0.0
        if outcome == "equivalent":
            truths = truths or [(a, _results(right, a)) for a in telling]
            elsewhere = max(difference(_results(m.program, a), truth) for a, truth in truths)
        yield Attempt(m.name, m.description, outcome, fn.shown, elsewhere)


def _accepts(test: Check, fn: _Mistaken) -> bool:
    try:
        said = test(fn)
    except AssertionError:
        return False
    if said is None:
        return True
    verdict = getattr(said, "verdict", None)
    if isinstance(verdict, str):
        return verdict == "verified"
    if not isinstance(said, bool | np.bool_):
        raise UsageError(f"check returned {said!r:.60}; expected True or False, a Report, or None.")
    return bool(said)


def _severity(attempt: Attempt) -> int:
    blind = attempt.outcome == "equivalent" and attempt.elsewhere > SHOWS
    return 1 if blind else {"missed": 0, "caught": 2, "equivalent": 3}[attempt.outcome]


def _words(a: Attempt) -> str:
    if a.outcome == "missed":
        return f"MISSED      off by {a.shown:.1e} on these inputs: {a.description}"
    if a.outcome == "caught":
        return f"caught      off by {a.shown:.1e}"
    if a.elsewhere > SHOWS:
        return f"equivalent  on these inputs, off by {a.elsewhere:.1e} on others: {a.description}"
    return "equivalent  on all inputs that were tried"
