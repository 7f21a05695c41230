"""Exit codes, the same for every command and format; results on stdout, all else on stderr."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

import click

from bptt_verify.errors import BpttVerifyError, UsageError

EXIT = {"verified": 0, "refuted": 1, "inconclusive": 4}
USAGE, INTERNAL = 2, 3
INTERRUPTED, UNREAD = 130, 141  # as for a process that SIGINT or SIGPIPE ended
TRACEBACK = "BPTT_VERIFY_TRACEBACK"
CONTROL = re.compile("[^\t\n\r\u0020-\u007e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Guarded(click.Group):
    """A group whose commands return an exit code, and whose errors all have one."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command; exit with its code, or return it if not ``standalone_mode``."""
        given = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(given, prog_name, complete_var, standalone_mode=False, **extra) or 0
        except SystemExit as error:
            code = error.code
            if code == 1:  # so click leaves where the reader of its help has gone; here 1 means refuted
                drop_stdout()
                code = UNREAD
        except Exception as error:
            code = explain(error)
            if "--traceback" in given or os.environ.get(TRACEBACK, "0") not in ("", "0"):
                click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
        if standalone_mode:
            sys.exit(code)
        return code


def explain(error: Exception) -> int:
    """Say on stderr what happened; return the exit code."""
    if isinstance(error, click.Abort) and isinstance(error.__cause__, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        error.show()
        return USAGE
    if isinstance(error, BpttVerifyError):
        click.echo(f"Error: {printable(str(error))}", err=True)
        return USAGE
    click.echo(
        f"Internal error: {brief(error)}. This is a bug: please report it to the issue tracker of "
        f"bptt_verify, with what --traceback (or {TRACEBACK}=1) prints.",
        err=True,
    )
    return INTERNAL


def brief(error: BaseException) -> str:
    """An exception in one line."""
    text = printable(" ".join(str(error).split()))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def printable(text: str) -> str:
    """Without control characters, which XML does not have and a terminal would obey."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def emit(text: str) -> None:
    """Write a result to stdout. A reader who has gone (``… | head``) has seen what it wanted."""
    out = sys.stdout
    encoding = getattr(out, "encoding", None) or "utf-8"
    known = text.encode(encoding, "replace").decode(encoding)
    try:
        out.write(known if known.endswith("\n") else known + "\n")
        out.flush()
    except BrokenPipeError:
        drop_stdout()
    except OSError as error:
        drop_stdout()
        raise UsageError(f"standard output: it cannot be written ({error.strerror}).") from error


def drop_stdout() -> None:
    """Let what is still in the buffer of stdout go nowhere, instead of failing at the end of the process."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextmanager
def quiet_stdout() -> Iterator[None]:
    """What anybody prints meanwhile, subprocesses included, goes to stderr."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # one of the two is closed
        with redirect_stdout(sys.stderr):
            yield
        return
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
