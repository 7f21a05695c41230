"""The commands and their arguments. Nothing heavy is imported before a command runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bptt_verify import __version__
from bptt_verify.cli.guard import TRACEBACK, Guarded, emit

F = TypeVar("F", bound=Callable[..., Any])

REPORTS = click.Choice(["text", "json", "junit", "sarif"])
STYLES = click.Choice(["fast", "plain"])
ESTIMATOR = "full, window:TAU, chunks:K1,K2, randomized:PI (or one PI a step), geometric:FIRST,RATIO,MINIMUM."
TARGET = "TARGET is a cell of the catalogue (see the command cells), FILE.py:NAME, FILE.py or MODULE:NAME."
CODES = "Exit codes: 0 verified, 1 refuted, 2 usage or bad input, 3 internal error, 4 inconclusive."


feedback_option = click.option(
    "--feedback",
    type=click.Choice(["free", "teacher", "scheduled"]),
    help="What a Feedback is fed: the own output, its target, or one of them by a mask.  [default: free]",
)


def command(function: F) -> click.Command:
    """A command of the group, with what all commands have."""
    traced = click.option(
        "--traceback",
        is_flag=True,
        expose_value=False,
        help=f"Print the traceback of an error (or set {TRACEBACK}=1).",
    )
    name = function.__name__.removesuffix("_")
    return app.command(name, context_settings={"max_content_width": 100})(traced(function))


@click.group(
    cls=Guarded,
    epilog="Results go to stdout, all else to stderr. " + CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="bptt-verify")
def app() -> None:
    """Verified gradients for recurrent computation: derive, generate, check and certify.

    \b
    Examples:
      bptt-verify certify lstm
      bptt-verify check mine.py:loss_and_grad --against cells.py:leaky
    """


@command
@click.argument("target")
@click.option("--out", metavar="DIR", help="Where to write the files.  [default: build/NAME]")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of all random inputs.  [default: a fixed one]")
@click.option("--style", type=STYLES, default="fast", show_default=True, help="Style of the kernel.")
@feedback_option
@click.option(
    "--format", "form", type=REPORTS, default="text", show_default=True, help="Format of the result."
)
def certify(
    target: str, out: str | None, seed: int | None, style: str, feedback: str | None, form: str
) -> int:
    """Derive, generate, check and certify a kernel.

    TARGET is a cell of the catalogue (see the command cells), FILE.py:NAME, FILE.py or MODULE:NAME.
    Writes NAME.py (the kernel), certificate.json, derivation.html and derivation.tex; prints the evidence.

    \b
    Examples:
      bptt-verify certify lstm
      bptt-verify certify my_cells.py:leaky --out certified --format json
      bptt-verify certify jordan --feedback teacher
    """
    from bptt_verify.cli import work

    return work.shown(work.certified(target, out, seed, style, feedback), form)


@command
@click.argument("target")
@click.option(
    "--against", required=True, metavar="TARGET", help="A recurrence, or a loss function loss(**arrays)."
)
@click.option(
    "--inputs",
    metavar="MODULE:NAME",
    help="A function of a numpy.random.Generator that returns a dict of arrays, or such a dict. "
    "Needed against a loss function.",
)
@click.option(
    "--reduction",
    type=click.Choice(["mean", "sum"]),
    default="mean",
    show_default=True,
    help="How a function that takes no weights reduces the losses over time and batch.",
)
@click.option(
    "--estimator",
    metavar="ESTIMATOR",
    default="full",
    show_default=True,
    help=f"What the gradient should be: {ESTIMATOR} A random one is checked for bias.",
)
@feedback_option
@click.option(
    "--seed", type=click.IntRange(min=0), help="Seed of all that is random.  [default: a fresh one, printed]"
)
@click.option(
    "--format", "form", type=REPORTS, default="text", show_default=True, help="Format of the result."
)
def check(
    target: str,
    against: str,
    inputs: str | None,
    reduction: str,
    estimator: str,
    feedback: str | None,
    seed: int | None,
    form: str,
) -> int:
    """Check a gradient function that somebody wrote.

    TARGET is FILE.py:FUNCTION or MODULE:FUNCTION: a function of arrays by name that returns the loss and a
    dict of gradients. A truncated or random gradient is checked against a recurrence, not against a loss.

    \b
    Examples:
      bptt-verify check mine.py:loss_and_grad --against elman
      bptt-verify check mine.py:loss_and_grad --against mine.py:loss --inputs mine.py:draw --seed 1
      bptt-verify check mine.py:truncated --against elman --estimator window:8
      bptt-verify check mine.py:decoder --against jordan --feedback teacher
    """
    from bptt_verify.cli import work

    return work.shown(work.checked(target, against, inputs, reduction, estimator, feedback, seed), form)


@command
@click.argument("certificate")
@click.option("--against", metavar="TARGET", help="Where the recurrence is now, if it was moved or renamed.")
@click.option(
    "--format", "form", type=REPORTS, default="text", show_default=True, help="Format of the result."
)
def recheck(certificate: str, against: str | None, form: str) -> int:
    """Check again what a certificate states.

    Refuted if the certificate was edited (its digest does not fit its other fields), if the recurrence or
    the kernel beside the certificate is not the one that was certified, or if a check does not come out as
    stated. With other versions of Python, NumPy, SciPy or SymPy, what they may change is noted. No stored
    source is executed. A digest is no signature: who computes it anew can forge what is stated, but not what
    this command then finds.

    \b
    Examples:
      bptt-verify recheck build/lstm/certificate.json
      bptt-verify recheck certified/certificate.json --against moved.py:leaky
    """
    from bptt_verify.cli import work

    return work.shown(work.rechecked(certificate, against), form)


@command
@click.argument("claims", metavar="[CLAIM]...", nargs=-1)
@click.option(
    "--format", "form", type=REPORTS, default="text", show_default=True, help="Format of the result."
)
def prove(claims: tuple[str, ...], form: str) -> int:
    """Prove the claims T1, T2, … for every number of steps and every size.

    Makes every theorem again, step by step, by the rules of the proof kernel; evaluates it exactly with
    random integer matrices; and runs the cells of its file in proofs/, which states it. Refuted if a
    step, an evaluation or a cell fails.

    \b
    Examples:
      bptt-verify prove
      bptt-verify prove T1 T2 --format junit
    """
    from bptt_verify.cli import claims as proofs
    from bptt_verify.cli import work

    return work.shown(proofs.proved(claims), form)


@command
@click.argument("target")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "latex", "markdown", "html"]),
    default="text",
    show_default=True,
    help="Format of the derivation.",
)
@feedback_option
@click.option("--out", metavar="FILE", help="Where to write it.  [default: stdout]")
def derive(target: str, form: str, feedback: str | None, out: str | None) -> None:
    """Print the derivation of a gradient.

    TARGET is a cell of the catalogue (see the command cells), FILE.py:NAME, FILE.py or MODULE:NAME.

    \b
    Examples:
      bptt-verify derive elman
      bptt-verify derive my_cells.py:leaky --format latex --out leaky.tex
    """
    from bptt_verify.cli import work

    work.delivered(work.derived(target, form, feedback), out)


@command
@click.argument("target", required=False)
@click.option(
    "--method",
    type=click.Choice(["recursion", "double_sum"]),
    default="recursion",
    show_default=True,
    help="How the gradient is summed: by the adjoint recursion, or as the whole double sum.",
)
@click.option(
    "--estimator",
    metavar="ESTIMATOR",
    default="full",
    show_default=True,
    help=f"Which terms of the gradient are kept: {ESTIMATOR}",
)
@feedback_option
@click.option("--style", type=STYLES, default="fast", show_default=True, help="Style of the kernel.")
@click.option("--out", metavar="FILE", help="Where to write it.  [default: stdout]")
@click.option(
    "--update-kernels", is_flag=True, help="Write the kernels of the catalogue into this checkout instead."
)
def generate(
    target: str | None,
    method: str,
    estimator: str,
    feedback: str | None,
    style: str,
    out: str | None,
    update_kernels: bool,
) -> None:
    """Print the source of a kernel, unchecked.

    TARGET is a cell of the catalogue (see the command cells), FILE.py:NAME, FILE.py or MODULE:NAME.

    \b
    Examples:
      bptt-verify generate gru > gru.py
      bptt-verify generate my_cells.py:leaky --style plain --out leaky.py
      bptt-verify generate lstm --estimator chunks:20,40 --out truncated.py
    """
    if update_kernels != (target is None):
        raise click.UsageError("expected TARGET, or --update-kernels without TARGET.")
    others = (out, feedback, style, method, estimator)
    if update_kernels and others != (None, None, "fast", "recursion", "full"):
        wrong = "--out, --style, --method, --estimator, --feedback"
        raise click.UsageError(f"--update-kernels takes none of {wrong}.")
    from bptt_verify.cli import work

    if target is None:
        emit("\n".join(map(str, work.update_kernels())))
    else:
        work.delivered(work.generated(target, style, method, estimator, feedback), out)


@command
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def cells(form: str) -> None:
    """List the catalogue with its sizes.

    \b
    Example:
      bptt-verify cells
    """
    from bptt_verify.cli import work

    work.shown_catalogue(form)
