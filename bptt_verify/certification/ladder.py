"""``certify``: run every rung of the ladder of evidence on one recurrence and its kernel."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from bptt_verify.certification import rungs
from bptt_verify.certification.certificate import Certificate, Rung, sha256, versions
from bptt_verify.certification.rungs import Subject
from bptt_verify.codegen import Kernel, generate
from bptt_verify.errors import UsageError
from bptt_verify.estimators import Full
from bptt_verify.language import Recurrence
from bptt_verify.program import digest, listing
from bptt_verify.verdict import Evidence

SEED = 20_260_101
Progress = Callable[[str], AbstractContextManager[object]]


def certify(
    subject: Recurrence | Kernel,
    *,
    seed: int = SEED,
    feedback: str | None = None,
    progress: Progress = lambda title: nullcontext(),
) -> Certificate:
    """Derive, generate and check; say what was found, rung by rung.

    Parameters
    ----------
    subject : Recurrence or Kernel
        A recurrence gets a new kernel; a kernel is taken as it is.
    seed : int
        Of all random inputs.
    feedback : {"free", "teacher", "scheduled"}, optional
        What a Feedback is fed, as for ``generate``; not with a kernel, which has its own.
    progress : callable, optional
        Called with the name of each rung; the rung runs inside of the context it returns.

    Returns
    -------
    Certificate

    Raises
    ------
    UsageError
        If the subject is neither, or an argument is not as described.
    """
    if not isinstance(subject, Recurrence | Kernel):
        raise UsageError(f"certify: subject={subject!r:.60}; expected a Recurrence or a Kernel.")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise UsageError(f"certify: seed={seed!r:.60}; expected a non-negative integer.")
    if isinstance(subject, Kernel) and feedback not in (None, subject.recurrence.mode):
        raise UsageError(
            f"certify: feedback={feedback!r} with a kernel made for {subject.recurrence.mode!r}; expected "
            "one of the two. Certify the recurrence, or leave feedback out."
        )
    kernel = subject if isinstance(subject, Kernel) else generate(subject, feedback=feedback)
    if kernel.method != "recursion":
        raise UsageError(
            f"certify: a kernel with method={kernel.method!r}; expected method='recursion'. The double sum "
            "is there to be compared with: call check_gradient on its loss_and_grad."
        )
    if not isinstance(kernel.estimator, Full):
        raise UsageError(
            f"certify: a kernel with estimator={kernel.estimator!s:.60}; expected Full(). Its gradient is "
            "not that of the loss: call check_truncated or check_unbiased on its loss_and_grad."
        )
    found = tuple(_run(Subject(kernel, int(seed)), progress))
    return Certificate(
        name=kernel.name,
        origin=origin(kernel.recurrence),
        style=kernel.style,
        feedback=kernel.recurrence.mode,
        hashes=hashes(kernel),
        versions=versions(),
        seed=int(seed),
        rungs=found,
    )


def _run(subject: Subject, progress: Progress) -> Iterator[Rung]:
    for number, name, mandatory, look in LADDER:
        start = time.perf_counter()
        # What overflows is not finite, and the rungs say what they do about that; NumPy need not warn too.
        with progress(name), np.errstate(all="ignore"):
            evidence = tuple(look(subject))
        seconds = round(time.perf_counter() - start, 3)
        yield Rung(number, name, mandatory, evidence, "" if evidence else NOTHING, seconds)


def origin(rec: Recurrence) -> str:
    """Where the recurrence is written: a module of the catalogue, or a file."""
    module = getattr(rec.function, "__module__", "") or ""
    return "bptt_verify.cells" if module.startswith("bptt_verify.cells") else rec.file


def hashes(kernel: Kernel) -> dict[str, str]:
    """What a certificate pins: the recurrence's meaning, the programs derived from it, the source."""
    return {
        "recurrence": digest(kernel.recurrence.program),
        "programs": sha256("".join(map(listing, kernel.programs.all()))),
        "source": sha256(kernel.source),
    }


Look = Callable[[Subject], tuple[Evidence, ...]]

LADDER: tuple[tuple[int, str, bool, Look], ...] = (
    (1, "proof", True, rungs.proved),
    (2, "exact gradient at small sizes", True, rungs.exact),
    (3, "local Jacobians in index notation", True, rungs.jacobians),
    (4, "forward pass against the author's function", True, rungs.forward),
    (5, "forward mode against reverse mode", True, rungs.duality),
    (6, "complex step", True, rungs.complex_step),
    (7, "finite differences", True, rungs.differences),
    (8, "Taylor remainders", True, rungs.slopes),
    (10, "mutants", True, rungs.mutated),
    (11, "bound on a change of the loss", False, rungs.bounded),
)

NOTHING = "there is no finite bound"  # what the last rung says by leaving out its evidence
