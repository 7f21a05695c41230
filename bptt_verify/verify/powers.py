"""``power``: which wrong gradients somebody's own test would let pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bptt_verify.errors import UsageError
from bptt_verify.estimators import Full, Randomized
from bptt_verify.language import Recurrence, outward
from bptt_verify.oracle import Truncation
from bptt_verify.verify.arguments import seeded
from bptt_verify.verify.cases import recurrence_cases
from bptt_verify.verify.gradcheckers import Checker, gradient_checker
from bptt_verify.verify.longcases import truncation_cases
from bptt_verify.verify.mistakes import Gradient, Known, Mistake, Returned, of_recurrence
from bptt_verify.verify.tasks import estimator_of, refuse_with_loss
from bptt_verify.verify.wrongnumbers import of_loss
from bptt_verify.verify.wrongtruncations import of_truncation

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
    against: Recurrence | Callable[..., Any],
    *,
    inputs: Any = None,
    estimator: Truncation | None = None,
    gradient: Callable[..., Any] | None = None,
    rng: int | np.random.Generator | None = None,
) -> Power:
    """Which wrong gradients a test would let pass.

    The test is tried on the right gradient, and on every known mistake: at every place of a recurrence; in
    the terms that a truncation keeps, and in its runs back; or in the numbers of a plain loss's gradient.

    Parameters
    ----------
    check : callable, mapping, or str
        ``check(fn)`` tests a gradient function ``fn(**arrays) -> (loss, grads)`` on inputs of its own, and
        returns whether it accepts it; a Report, or None for a test that raises AssertionError, will do. Any
        other exception ends ``power``.
        Or tolerances of central differences, ``{"rtol": 1e-4, "atol": 1e-6, "eps": 1e-6}``. Or one of
        ``"scipy"`` (``check_grad``, below 1e-5), ``"torch"`` (``autograd.gradcheck``) and ``"jax"``
        (``check_grads``), with arguments as ``{"tool": "torch", "atol": 1e-4}``.
    against : Recurrence, or callable
        The equations; or any ``loss(**arrays)``, with ``inputs``.
    inputs : dict of arrays, or function of a Generator returning one, optional
        Where the tolerances or the tool are tried; drawn if left out. A callable has its own. For a loss
        function it is required, and says which arrays there are: mistakes are tried in those of them that are
        floating-point.
    estimator : Full, Window or Chunks, optional
        What the gradient of a recurrence should be. Tolerances and tools compare with the derivative of the
        loss, and are refused with a truncation.
    gradient : callable, optional
        The right gradient of a loss function, where complex steps do not go through it.
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
    seed, generator = seeded(rng)
    known = _known(against, inputs, estimator, gradient, generator)
    truncated = estimator is not None and not isinstance(estimator, Full)
    name, test = _test(check, known, inputs, not isinstance(against, Recurrence), truncated)
    right = _Mistaken(known, known.right)
    accepted = _accepts(test, right)
    if not right.calls:
        raise UsageError(
            f"check={name}: it never called the function; expected check(fn) to call fn(**arrays)."
        )
    attempts = tuple(_attempted(known, m, test) for m in known.wrong)
    return Power(f"{name} on {known.name}", attempts, not accepted, right.calls, seed)


def _known(against: Any, inputs: Any, estimator: Any, gradient: Any, rng: np.random.Generator) -> Known:
    """The right gradient and the wrong ones."""
    if not isinstance(against, Recurrence):
        refuse_with_loss(against, "mean", estimator=estimator)
        return of_loss(against, inputs, gradient, rng)
    if gradient is not None:
        raise UsageError("gradient= with a recurrence; expected none, since it is derived.")
    estimator = estimator_of(estimator)
    if isinstance(estimator, Randomized):
        raise UsageError(
            f"estimator={estimator}; expected Full(), Window(tau) or Chunks(k1, k2): how a random gradient "
            "can be wrong at each outcome of its gates is not known here."
        )
    if isinstance(estimator, Full):
        return of_recurrence(against, [c.arrays for c in recurrence_cases(against, rng)])
    telling = [c.arrays for c in truncation_cases(estimator)(against, rng)]
    return of_truncation(against, estimator, telling)


def _test(check: Any, known: Known, inputs: Any, plain: bool, truncated: bool) -> tuple[str, Checker]:
    """The name of the test, and the test."""
    if callable(check):
        if inputs is not None and not plain:
            raise UsageError("inputs= with a function as check; expected that the function has its own.")
        return getattr(check, "__qualname__", type(check).__name__), check
    if truncated:
        raise UsageError(
            f"check={check!r:.60}: it compares with the derivative of the loss, which a truncated gradient "
            "is not; expected a function, such as lambda fn: check_truncated(fn, rec, estimator, rng=0)."
        )
    given = known.telling[0] if plain else inputs
    if given is None:
        given = outward(next(a for a in known.telling if len(a["weights"]) > 2))
    return gradient_checker(check, _Mistaken(known, known.right), given)


class _Mistaken:
    """A gradient function, right or not; it remembers how wrong it showed itself."""

    def __init__(self, known: Known, gradient: Gradient) -> None:
        self.known, self.gradient = known, gradient
        self.calls, self.shown = 0, 0.0
        self.__name__ = self.__qualname__ = f"{known.name.rpartition(' ')[2]}_loss_and_grad"

    def __call__(self, **arrays: Any) -> Returned:
        self.calls += 1
        ready = self.known.ready(arrays)
        loss, grads = self.gradient(ready)
        if self.gradient is not self.known.right:
            self.shown = max(self.shown, difference((loss, grads), self.known.right(ready)))
        reals = [v for v in map(np.asarray, arrays.values()) if v.dtype.kind == "f"]
        dtype = np.result_type(*reals) if reals else np.dtype(float)
        return dtype.type(loss), {k: np.array(v, dtype=dtype) for k, v in grads.items()}


def difference(found: Returned, expected: Returned) -> float:
    """The largest error of the loss or of a block, relative to its largest entry."""
    worst = 0.0
    for wrong, right in ((found[0], expected[0]), *((found[1][k], v) for k, v in expected[1].items())):
        with np.errstate(all="ignore"):
            gap, scale = np.abs(wrong - right).max(initial=0.0), np.abs(right).max(initial=0.0)
            worst = max(worst, float(gap / scale) if scale else float(gap > 0))
    return worst


def _attempted(known: Known, mistake: Mistake, test: Check) -> Attempt:
    fn = _Mistaken(known, mistake.gradient)
    accepted = _accepts(test, fn)
    outcome: Outcome = "caught" if not accepted else "missed" if fn.shown > SHOWS else "equivalent"
    elsewhere = 0.0
    if outcome == "equivalent":
        elsewhere = max(difference(mistake.gradient(a), known.right(a)) for a in known.telling)
    return Attempt(mistake.name, mistake.description, outcome, fn.shown, elsewhere)


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
