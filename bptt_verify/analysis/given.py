"""Arrays as an exact analysis takes them: those of the call convention, real, in double precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt_verify.codegen import Kernel, generate
from bptt_verify.errors import ArrayError, UsageError
from bptt_verify.language import Recurrence

Array = np.ndarray[Any, Any]


def kernel_of(rec: Recurrence, caller: str) -> Kernel:
    """The kernel of the full gradient.

    Raises
    ------
    UsageError
        If ``rec`` is not a Recurrence.
    """
    if not isinstance(rec, Recurrence):
        raise UsageError(f"{caller}: rec={rec!r:.60}; expected a Recurrence, made by @recurrence.")
    return generate(rec)


def prepared(kernel: Kernel, caller: str, arrays: Mapping[str, Any]) -> dict[str, Array]:
    """The arrays, checked, in double precision, with those left out filled in.

    Raises
    ------
    UsageError
        If ``arrays`` is no dict.
    ArrayError
        If an array is missing, unknown, complex, or has a wrong shape or dtype.
    """
    if not isinstance(arrays, Mapping):
        raise UsageError(f"{caller}: arrays={arrays!r:.60}; expected a dict of arrays by name.")
    rec, found = kernel.recurrence, kernel.prepared(caller, arrays)
    if np.iscomplexobj(found["weights"]):  # all have one dtype
        raise ArrayError(
            f"{rec.name}.{caller}: dtype={found['weights'].dtype}; expected float32 or float64. "
            "Pass real arrays."
        )
    return {name: a if name in rec.onehot else a.astype(np.float64) for name, a in found.items()}
