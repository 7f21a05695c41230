"""What the commands do. Everything heavy is imported here, before any code of the user's."""

from __future__ import annotations

import inspect
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import bptt_verify
from bptt_verify.cells import CATALOGUE
from bptt_verify.certification import Certificate, certify, recheck
from bptt_verify.certification.certificate import CertificateChangedError
from bptt_verify.certification.ladder import LADDER, SEED
from bptt_verify.cli import formats, tables
from bptt_verify.cli.estimating import estimator
from bptt_verify.cli.guard import EXIT, brief, emit
from bptt_verify.cli.outcome import Outcome, of_report, rungs
from bptt_verify.cli.targets import Targets, place_of, visit
from bptt_verify.codegen import generate, generate_update
from bptt_verify.derivation import derive
from bptt_verify.errors import ArrayError, BpttVerifyError, UsageError
from bptt_verify.estimators import Estimator, Full, Randomized
from bptt_verify.language import Recurrence, with_feedback
from bptt_verify.verdict import Report
from bptt_verify.verify import check_gradient, check_truncated, check_unbiased

FORMATS: Mapping[str, Callable[[Outcome], str]] = {
    "text": tables.as_text,
    "json": formats.as_json,
    "junit": formats.as_junit,
    "sarif": formats.as_sarif,
}
CATALOGUE_ORIGIN = "bptt_verify.cells"


def shown(outcome: Outcome, form: str) -> int:
    """Write an outcome to stdout; return its exit code."""
    emit(FORMATS[form](outcome))
    return EXIT[outcome.verdict]


def certified(
    target: str, out: str | None, seed: int | None, style: str, feedback: str | None = None
) -> Outcome:
    """Derive, generate, check and certify; write the files."""
    with visit() as find:
        rec = with_feedback(find.recurrence(target), feedback)
        kernel, derivation = generate(rec, style=style), derive(rec)
        folder = Path(out) if out is not None else Path("build", rec.name)
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with tables.progress(len(LADDER)) as step, _internal():
            certificate = certify(kernel, seed=SEED if seed is None else seed, progress=step)
        with _writing(folder):
            files = {
                "kernel": kernel.write(folder / f"{rec.name}.py"),
                "certificate": _portable(certificate, folder).write(folder / "certificate.json"),
                "derivation": _text(folder / "derivation.html", derivation.to_html()),
                "derivation in LaTeX": _text(folder / "derivation.tex", derivation.to_latex()),
            }
    return Outcome(
        "certify", certificate.subject, certificate.verdict, tuple(rungs(certificate)),
        place_of(rec), certificate.seed, files={k: v.as_posix() for k, v in files.items()},
    )  # fmt: skip


def checked(
    target: str,
    against: str,
    inputs: str | None,
    reduction: str,
    words: str,
    feedback: str | None,
    seed: int | None,
) -> Outcome:
    """Check somebody's gradient function."""
    wanted = estimator(words)
    with visit() as find:
        function = find.function(target)
        plain = isinstance(wanted, Full) and feedback is None
        reference = find.anything(against) if plain else with_feedback(find.recurrence(against), feedback)
        given = {
            "inputs": None if inputs is None else _inputs(find, inputs),
            "rng": seed,
            "reduction": reduction,
        }
        with tables.progress(None) as step, step(f"checking {target}"):
            report = _checked(function, reference, wanted, given)
            return of_report("check", report, place_of(function))  # here: it may call the function again


def _checked(function: Any, reference: Any, wanted: Estimator, given: dict[str, Any]) -> Report:
    match wanted:
        case Full():
            return check_gradient(function, reference, **given)
        case Randomized():
            return check_unbiased(function, reference, pi=wanted, **given)
    return check_truncated(function, reference, wanted, **given)


def rechecked(path: str, against: str | None) -> Outcome:
    """Derive, generate and check again, and compare with a certificate."""
    file, altered = Path(path), tuple[str, ...]()
    try:
        old = Certificate.read(file)
    except CertificateChangedError as error:
        old, altered = error.certificate, (str(error),)
    try:
        with visit() as find:
            rec = find.recurrence(against) if against is not None else _certified_recurrence(find, old, file)
            with tables.progress(len(LADDER)) as step, _reading(file.parent), _internal():
                again = recheck(old, rec, file.parent / f"{Path(old.name).name}.py", progress=step)
    except BpttVerifyError as error:
        if not altered:
            raise
        return Outcome(
            "recheck", _title(old), "refuted", (), differences=altered, notes=(f"not run again: {error}",)
        )
    differences = (*altered, *again.differences)
    return Outcome(
        "recheck", _title(old), "refuted" if differences else again.verdict, tuple(rungs(again.certificate)),
        place_of(rec), again.certificate.seed, differences=differences, notes=again.notes,
    )  # fmt: skip


def derived(target: str, form: str, feedback: str | None = None) -> str:
    """The derivation as text, LaTeX, Markdown or HTML."""
    with visit() as find:
        derivation = derive(find.recurrence(target), feedback=feedback)
        written = {
            "text": derivation.to_text,
            "latex": derivation.to_latex,
            "markdown": derivation.to_markdown,
            "html": derivation.to_html,
        }
        return written[form]()


def generated(target: str, style: str, method: str, words: str, feedback: str | None = None) -> str:
    """The source of a kernel."""
    kept = estimator(words)
    with visit() as find:
        rec = with_feedback(find.recurrence(target), feedback)
        return generate(rec, estimator=kept, style=style, method=method).source


def delivered(text: str, out: str | None) -> None:
    """Write a text to a file, or to stdout."""
    if out is None:
        emit(text)
        return
    with _writing(Path(out)):
        _text(Path(out), text)


def update_kernels() -> list[Path]:
    """Write the catalogue's kernels, and the clipped update, into the checkout that this package is in.

    Raises
    ------
    UsageError
        If it is not in a checkout, but installed.
    """
    folder = checkout() / "bptt_verify" / "kernels"
    with _writing(folder):
        kernels = [generate(rec).write(folder / f"{name}.py") for name, rec in CATALOGUE.items()]
        return [*kernels, generate_update().write(folder / "clipping.py")]


def checkout() -> Path:
    """The root of the checkout that this package is imported from."""
    root = Path(bptt_verify.__file__).resolve().parents[1]
    project = root / "pyproject.toml"
    if project.is_file() and not {"site-packages", "dist-packages"}.intersection(root.parts):
        name = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {}).get("name")
        if name == "bptt_verify":
            return root
    raise UsageError(
        f"--update-kernels: the package is installed in {root}; expected a checkout. In the root of one run "
        "python -m bptt_verify generate --update-kernels"
    )


def catalogue() -> list[dict[str, Any]]:
    """Every cell with the sizes of what it declares."""
    return [
        {
            "name": name,
            "inputs": _sizes(rec, rec.inputs),
            "targets": _sizes(rec, rec.targets),
            "states": _sizes(rec, rec.states),
            "params": _sizes(rec, rec.params),
        }
        for name, rec in CATALOGUE.items()
    ]


def shown_catalogue(form: str) -> None:
    """Write the catalogue to stdout."""
    cells = catalogue()
    if form == "json":
        emit(formats.dumped({"cells": cells}))
        return
    columns = ("name", "inputs", "targets", "states", "params")
    rows = [
        (c["name"], *(", ".join(f"{k} [{v}]" for k, v in c[key].items()) for key in columns[1:]))
        for c in cells
    ]
    emit(tables.listed(("cell", *columns[1:]), rows))


def _sizes(rec: Recurrence, group: Mapping[str, Any]) -> dict[str, str]:
    return {n: " ".join(words) + (" one-hot" if n in rec.onehot else "") for n, words in group.items()}


def _inputs(find: Targets, target: str) -> Any:
    found = find.anything(target)
    if isinstance(found, Mapping):
        return found
    if not callable(found) or isinstance(found, Recurrence):
        raise UsageError(
            f"--inputs {target}: it is of type {type(found).__name__}; expected a dict of arrays, or a "
            "function of a numpy.random.Generator that returns one."
        )
    try:
        inspect.signature(found).bind(np.random.default_rng(0))
    except TypeError as error:
        raise UsageError(
            f"--inputs {target}: {error}; expected a function of one numpy.random.Generator."
        ) from error
    return found


def _certified_recurrence(find: Targets, old: Certificate, file: Path) -> Recurrence:
    """The recurrence that a certificate names, in the catalogue or in its file."""
    if old.origin == CATALOGUE_ORIGIN:
        return find.recurrence(old.name)
    source = file.parent / old.origin
    if not source.is_file():
        raise UsageError(
            f"{file}: the recurrence {old.name!r} was in {old.origin}, which is not there (looked for "
            f"{source}). If it was moved, say where it is: --against FILE.py:NAME"
        )
    found = [r for r in find.recurrences(source).values() if r.name == old.name]
    same = [r for r in found if r.digest == old.hashes.get("recurrence")]
    if not found:
        raise UsageError(
            f"{file}: no recurrence in {source} is named {old.name!r}. If it was renamed, say where it is: "
            "--against FILE.py:NAME"
        )
    return (same or found)[0]


def _portable(certificate: Certificate, folder: Path) -> Certificate:
    """The certificate with its file relative to where it is written, so that both can be moved together."""
    if certificate.origin == CATALOGUE_ORIGIN or not Path(certificate.origin).is_file():
        return certificate
    try:
        origin = os.path.relpath(certificate.origin, folder.resolve())
    except ValueError:  # on another drive
        return certificate
    return replace(certificate, origin=Path(origin).as_posix())


def _title(certificate: Certificate) -> str:
    return f"the certificate of {certificate.name}"


def _text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{error.filename or path}: cannot be written ({error.strerror or brief(error)})."
        ) from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{error.filename or path}: cannot be read ({error.strerror or brief(error)})."
        ) from error


@contextmanager
def _internal() -> Iterator[None]:
    """Where all arrays are our own, a complaint about arrays is a bug of ours."""
    try:
        yield
    except ArrayError as error:
        raise RuntimeError(f"the generated kernel refuses its inputs: {error}") from error
