"""What a generated update says of its arguments, in the errors of this library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bptt_verify.errors import ArrayError, UsageError


@contextmanager
def update_errors() -> Iterator[None]:
    """Raise a ``ValueError`` or ``TypeError`` as a ``UsageError`` (of a number) or an ``ArrayError``."""
    try:
        yield
    except (ValueError, TypeError) as error:
        what = str(error)
        kind = UsageError if what.startswith(("threshold=", "step_size=")) else ArrayError
        raise kind(what) from error
