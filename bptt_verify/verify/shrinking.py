"""The smallest inputs on which a function is still wrong: T first, then B, then the other sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bptt_verify.check import Arrays, Case, Problem, judge_gradient
from bptt_verify.derivation import adjoint
from bptt_verify.language import Recurrence, outward
from bptt_verify.verdict import combine
from bptt_verify.verify.adapters import Adapted
from bptt_verify.verify.cases import EQUAL, REGIMES, Regime, batch_axes, least_sizes, recurrence_cases
from bptt_verify.verify.diagnosis import agree, calls_of, close, gradients, returned
from bptt_verify.verify.problems import Reduction, recurrence_problem
from bptt_verify.verify.wrongmodels import is_single, loss, same_loss

MOST_STEPS = 12  # T that are tried, and
DRAWS = 3  # how many draws of each size
ORDINARY = Regime("smallest", 1, 1, 1.0)
LARGE = next(r for r in REGIMES if r.size != 1)


@dataclass(frozen=True)
class Smallest:
    """The smallest inputs that were found.

    Attributes
    ----------
    sizes : mapping of str to int
        T, B, and the sizes of the recurrence.
    arrays : mapping of str to array
        As a caller knows them: what the function takes, and what the recurrence needs besides.
    """

    sizes: Mapping[str, int]
    arrays: Arrays

    @property
    def title(self) -> str:
        """The sizes, for messages."""
        return ", ".join(f"{k}={n}" for k, n in self.sizes.items())


def smallest_failing(
    rec: Recurrence, fn: Adapted, reduction: Reduction, seed: int, raises: bool = False
) -> Smallest | None:
    """Shrink the inputs of a refuted function.

    The search compares with the derived gradient, which is quick; what it finds is judged by the rules of
    ``check_gradient``, and dropped where these do not refute.

    Parameters
    ----------
    rec : Recurrence
    fn : Adapted
    reduction : {"mean", "sum"} or array
        Weights of given shape leave nothing to shrink.
    seed : int
        Of the draws.
    raises : bool
        Whether it is wrong because it raises an exception, or returns nothing that can be compared.

    Returns
    -------
    Smallest or None
        None where the function is wrong on no small inputs that were drawn.
    """
    if not isinstance(reduction, str):
        return None
    least = least_sizes(rec)
    distinct, equal = {w: n + 1 + k for k, (w, n) in enumerate(least.items())}, dict.fromkeys(least, EQUAL)
    for regime, sizes in ((ORDINARY, distinct), (LARGE, distinct), (ORDINARY, equal)):
        search = _Search(rec, fn, reduction, seed, raises, sizes | dict(rec.fixed))
        found = search.shrunk(regime)
        if found is not None and search.confirmed(found[1]):
            sizes, case = found
            sent = {k: v for k, v in case.arrays.items() if k != "weights" or fn.takes(k)}
            sent = {k: v for k, v in sent.items() if k not in rec.initial or fn.takes(k)}
            return Smallest(sizes, outward(sent))
    return None


class _Search:
    """One function, and what is tried on it."""

    def __init__(
        self, rec: Recurrence, fn: Adapted, reduction: Reduction, seed: int, raises: bool,
        usual: Mapping[str, int],
    ) -> None:  # fmt: skip
        self.rec, self.fn, self.reduction, self.seed, self.raises = rec, fn, reduction, seed, raises
        self.usual, self.least = usual, least_sizes(rec)
        self.right = adjoint(rec.program)

    def shrunk(self, regime: Regime) -> tuple[dict[str, int], Case] | None:
        """The smallest T, then B, then each size, one after the other."""
        sizes: dict[str, int] = {}
        case = None
        for steps in range(1, MOST_STEPS + 1) if "T" not in self.usual else [self.usual["T"]]:
            sizes = {"T": steps, "B": 3, **self.usual}
            case = self.wrong_at(regime, sizes)
            if case is not None:
                break
        if case is None:
            return None
        varied = {w: low for w, low in {"B": 1, **self.least}.items() if w not in self.rec.fixed}
        for word, low in varied.items():
            for n in range(low, sizes[word]):
                smaller = self.wrong_at(regime, {**sizes, word: n})
                if smaller is not None:
                    sizes, case = {**sizes, word: n}, smaller
                    break
        for b in range(sizes["B"] if "B" in varied and sizes["B"] > 1 else 0):
            alone = self._complete(self._sequence(case, b))
            if self._is_wrong(alone):
                return {**sizes, "B": 1}, alone
        return sizes, case

    def _sequence(self, case: Case, b: int) -> Case:
        """One sequence of the batch."""
        axes = batch_axes(self.rec)
        arrays = {k: np.take(v, [b], axes[k]) if k in axes else v for k, v in case.arrays.items()}
        return replace(case, arrays=arrays)

    def wrong_at(self, regime: Regime, sizes: Mapping[str, int]) -> Case | None:
        """A draw of these sizes on which the function is wrong."""
        inner = {k: n for k, n in sizes.items() if k not in ("T", "B")}
        at = replace(regime, steps=sizes["T"], batch=sizes["B"])
        for k in range(DRAWS):
            rng = np.random.default_rng([self.seed, k])
            (drawn,) = recurrence_cases(self.rec, rng, (at,), inner)
            for case in (self._complete(_rounded(drawn)), self._complete(drawn)):
                if self._is_wrong(case):
                    return case
        return None

    def _problem(self, case: Case) -> Problem:
        return recurrence_problem(self.rec, self.fn, reduction=self.reduction, cases=lambda rec, rng: [case])

    def _complete(self, case: Case) -> Case:
        return next(iter(self._problem(case).draw(np.random.default_rng(0))))

    def _is_wrong(self, case: Case) -> bool:
        """By the derived gradient, by the loss, or because the second call differs from the first."""
        calls = calls_of(self.fn, [case.arrays])
        if self.raises or not calls:
            return self.raises and not calls
        call, again = calls[0], returned(self.fn, case.arrays)
        same = again is not None and all(close(again[1].get(k, v), v) for k, v in call.grads.items())
        whole = set(self.rec.params) <= set(call.grads)
        truth = gradients(self.right, case.arrays)
        right_loss = same_loss(call.loss, loss(self.right, case.arrays), is_single(call))
        return not (same and whole and right_loss and agree(call.grads, truth))

    def confirmed(self, case: Case) -> bool:
        """Whether the check itself refutes the function there."""
        evidence, _ = judge_gradient(self.fn, self._problem(case), np.random.default_rng(self.seed))
        return combine(e.verdict for e in evidence) == "refuted"


def _rounded(case: Case) -> Case:
    """The same case in numbers that are quick to read."""
    return replace(
        case, arrays={k: np.round(v, 1) if v.dtype.kind == "f" else v for k, v in case.arrays.items()}
    )
