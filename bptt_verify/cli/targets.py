"""What a command names: a cell of the catalogue, FILE.py:NAME, or MODULE:NAME."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import inspect
import linecache
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from bptt_verify.cells import CATALOGUE
from bptt_verify.cli.guard import brief, quiet_stdout
from bptt_verify.cli.outcome import Place
from bptt_verify.errors import BpttVerifyError, UsageError
from bptt_verify.language import Recurrence

OURS = str(Path(__file__).resolve().parents[1]) + os.sep
SHOWN = 12  # names listed in a message


class FreshLoader(SourceFileLoader):
    """Compiles what the file says now; a cached compilation may be that of an older text."""

    def get_code(self, fullname: str) -> CodeType:
        """The code of the file."""
        linecache.checkcache(self.path)
        return self.source_to_code(self.get_data(self.path), self.path)


class Targets:
    """Finds what is named, and remembers which files are the user's."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self._loaded: dict[Path, ModuleType] = {}

    def recurrence(self, target: str) -> Recurrence:
        """A recurrence.

        Raises
        ------
        UsageError
            If there is none of this name.
        """
        found = self.anything(target)
        if isinstance(found, Recurrence):
            return found
        hint = " Decorate it with @bptt_verify.recurrence." if inspect.isfunction(found) else ""
        raise UsageError(f"{target}: it is of type {type(found).__name__}; expected a Recurrence.{hint}")

    def function(self, target: str) -> Any:
        """A gradient function.

        Raises
        ------
        UsageError
            If there is nothing of this name, or it cannot be called.
        """
        place, name = split(target)
        if name is None:
            raise UsageError(f"{target}: no function is named; expected FILE.py:FUNCTION or MODULE:FUNCTION.")
        found = self._named(place, name)
        if isinstance(found, Recurrence):
            raise UsageError(
                f"{target}: it is a recurrence; expected a function. To certify it: certify {target}"
            )
        if not callable(found):
            raise UsageError(f"{target}: it is of type {type(found).__name__}; expected a function.")
        return found

    def anything(self, target: str) -> Any:
        """A cell of the catalogue, or what a file or module calls by the name."""
        place, name = split(target)
        if name is not None:
            return self._named(place, name)
        if is_file(place):
            return self._only_recurrence(Path(place))
        if place in CATALOGUE:
            return CATALOGUE[place]
        here = f" Or do you mean the file {place}.py?" if Path(f"{place}.py").is_file() else ""
        raise UsageError(
            f"cell={place!r}: not in the catalogue; expected one of {', '.join(CATALOGUE)}, or FILE.py:NAME."
            f"{similar(place, CATALOGUE)}{here}"
        )

    def recurrences(self, file: Path) -> dict[str, Recurrence]:
        """The recurrences of a file by variable: those defined in it, or else those it has from elsewhere."""
        found = {k: v for k, v in vars(self._file(file)).items() if isinstance(v, Recurrence)}
        own = {k: v for k, v in found.items() if v.file == str(file.resolve())}
        return own or found

    def _only_recurrence(self, file: Path) -> Recurrence:
        found = self.recurrences(file)
        distinct = list({id(v): v for v in found.values()}.values())
        if len(distinct) == 1:
            return distinct[0]
        if not found:
            raise UsageError(
                f"{file}: no recurrence is in it; expected a function decorated with @recurrence."
            )
        raise UsageError(
            f"{file}: it has several recurrences; expected {file}:NAME with one of {', '.join(found)}."
        )

    def _named(self, place: str, name: str) -> Any:
        found: Any = self._file(Path(place)) if is_file(place) else self._module(place)
        for part in name.split("."):
            if not hasattr(found, part):
                public = (
                    [n for n in vars(found) if not n.startswith("_")] if hasattr(found, "__dict__") else []
                )
                raise UsageError(f"{place}: it has no {name!r}.{similar(part, public)}{has(public)}")
            found = getattr(found, part)
        code = getattr(inspect.unwrap(found), "__code__", None) if callable(found) else None
        if code is not None:
            self.files.add(code.co_filename)
        return found

    def _file(self, file: Path) -> ModuleType:
        if not file.is_file():
            what = "it is a folder" if file.is_dir() else "no such file"
            raise UsageError(f"{file}: {what}; expected FILE.py:NAME, relative to {Path.cwd()}.")
        path = file.resolve()
        if path not in self._loaded:
            self._loaded[path] = self._import_file(path, str(file))
        return self._loaded[path]

    def _import_file(self, path: Path, shown: str) -> ModuleType:
        name = _module_name(path)
        sys.path.insert(0, str(path.parent))
        self.files.add(str(path))
        spec = spec_from_file_location(name, path, loader=FreshLoader(name, str(path)))
        if spec is None or spec.loader is None:
            raise UsageError(f"{shown}: it cannot be imported; expected a Python file.")
        module = module_from_spec(spec)
        sys.modules[name] = module
        with self._importing(shown):
            spec.loader.exec_module(module)
        return module

    def _module(self, name: str) -> ModuleType:
        sys.path.insert(0, str(Path.cwd()))
        try:
            with self._importing(name):
                module = importlib.import_module(name)
        except UsageError as error:
            cause = error.__cause__
            if isinstance(cause, ModuleNotFoundError) and f"{name}.".startswith(f"{cause.name}."):
                raise UsageError(
                    f"{name}: no such module; expected MODULE:NAME with an installed module or one in "
                    f"{Path.cwd()}, or FILE.py:NAME."
                ) from cause
            raise
        if file := getattr(module, "__file__", None):
            self.files.add(file)
        return module

    @contextmanager
    def _importing(self, shown: str) -> Iterator[None]:
        """An import that fails is the user's business, whatever it raises."""
        importlib.invalidate_caches()
        try:
            yield
        except BpttVerifyError as error:
            raise UsageError(f"{shown}: {error}") from error
        except SyntaxError as error:
            where = f"{error.filename or shown}, line {error.lineno or 'unknown'}"
            raise UsageError(
                f"{shown}: it cannot be imported; {type(error).__name__}: {error.msg} ({where})."
            ) from error
        except (Exception, SystemExit) as error:
            where = self.users_line(error) or "while it was imported"
            raise UsageError(f"{shown}: it cannot be imported; {brief(error)} ({where}).") from error

    def users_line(self, error: BaseException) -> str | None:
        """The user's line that raised, or called what raised; None if it was a line of this library."""
        found = None
        for frame, line in traceback.walk_tb(error.__traceback__):
            file = frame.f_code.co_filename
            if file in self.files:
                found = f"{file}, line {line}"
            elif file.startswith(OURS):
                found = None
        return found


@contextmanager
def visit() -> Iterator[Targets]:
    """Find and run the user's code: its prints go to stderr, its exceptions are its own.

    Raises
    ------
    UsageError
        If the user's code raises, or ends the process.
    """
    targets = Targets()
    path, modules = list(sys.path), set(sys.modules)
    try:
        with quiet_stdout():
            yield targets
    except SystemExit as error:
        raise UsageError(
            f"the code under test ends the process ({brief(error)}); expected a result."
        ) from error
    except BpttVerifyError:
        raise
    except Exception as error:
        where = targets.users_line(error)
        if where is None:
            raise
        raise UsageError(f"{where}: {brief(error)}") from error
    finally:
        sys.path[:] = path
        for name in [n for n, m in sys.modules.items() if n not in modules and m in targets._loaded.values()]:
            del sys.modules[name]


def split(target: str) -> tuple[str, str | None]:
    """Place and name, at the last colon that can separate them."""
    if Path(target).is_file():
        return target, None
    place, colon, name = target.rpartition(":")
    if not colon or name.endswith(".py") or os.sep in name or "/" in name:
        return target, None
    if not place or not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"{target!r}: expected CELL, FILE.py:NAME or MODULE:NAME.")
    return place, name


def is_file(place: str) -> bool:
    """Whether a place is meant to be a file rather than a module."""
    return place.endswith(".py") or os.sep in place or "/" in place or Path(place).is_file()


def similar(name: str, known: Iterable[str]) -> str:
    """A question that names close matches."""
    close = difflib.get_close_matches(name, list(known), 3)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def has(names: list[str]) -> str:
    """What there is instead."""
    more = ", …" if len(names) > SHOWN else ""
    return f" It has {', '.join(names[:SHOWN])}{more}." if names else ""


def place_of(subject: Any) -> Place | None:
    """Where a recurrence or a function is written."""
    if isinstance(subject, Recurrence):
        file, line = subject.file, subject.line
    else:
        code = getattr(inspect.unwrap(subject), "__code__", None)
        if code is None:
            return None
        file, line = code.co_filename, code.co_firstlineno
    return Place(Path(file), line) if Path(file).is_file() else None


def _module_name(path: Path) -> str:
    """The file's own name, so that a sibling's import finds the same module, unless that is taken."""
    taken = path.stem in sys.modules or path.stem in sys.stdlib_module_names
    if path.stem.isidentifier() and not taken:
        return path.stem
    return f"file_{hashlib.sha256(str(path).encode(errors='replace')).hexdigest()[:12]}"
