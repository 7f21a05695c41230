"""The file of a campaign: a header, then one line of JSON for each example that is done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bptt_verify.errors import UsageError
from bptt_verify.verify.examples import Result

FORMAT = 1


class ResultFile:
    """Results on disk, appended as they come.

    A line that a killed process left unfinished is dropped. Examples that crashed are done again.

    Parameters
    ----------
    path : Path
    header : mapping
        What makes results comparable; a file with another header is refused.

    Raises
    ------
    UsageError
        If the file cannot be read or written, or belongs to another campaign.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        wanted = {"campaign": FORMAT, **header}
        self.found: dict[int, Result] = {}
        try:
            lines = self._whole_lines()
            if lines:
                self._check_header(lines[0], wanted)
                for number, line in enumerate(lines[1:], start=2):
                    self._read(line, number)
            self.stream = path.open("a", encoding="utf-8")
            if not lines:
                self._write(wanted)
        except OSError as error:
            raise UsageError(f"path={str(path)!r}: {error}; expected a file that can be written.") from error

    def add(self, result: Result) -> None:
        """Append one result; it is on its way to the disk when this returns."""
        self._write(result.as_data())

    def close(self) -> None:
        """Close the file."""
        self.stream.close()

    def _write(self, data: Mapping[str, Any]) -> None:
        self.stream.write(json.dumps(data, ensure_ascii=False) + "\n")
        self.stream.flush()

    def _whole_lines(self) -> list[str]:
        if not self.path.exists():
            return []
        content = self.path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            with self.path.open("r+b") as stream:
                stream.truncate(end)
        try:
            return content[:end].decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise self._foreign(1) from error

    def _check_header(self, line: str, wanted: Mapping[str, Any]) -> None:
        header = self._parsed(line, 1)
        other = [k for k in wanted if header.get(k) != wanted[k]]
        if other:
            k = other[0]
            raise UsageError(
                f"path={str(self.path)!r} belongs to another campaign: {k}={header.get(k)!r}; expected "
                f"{k}={wanted[k]!r}. Name another file, or remove this one."
            )

    def _read(self, line: str, number: int) -> None:
        data = self._parsed(line, number)
        try:
            result = Result(**{**data, "findings": tuple(data["findings"])})
        except (KeyError, TypeError) as error:
            raise self._foreign(number) from error
        if result.verdict != "crashed":
            self.found[result.example] = result

    def _parsed(self, line: str, number: int) -> dict[str, Any]:
        try:
            data = json.loads(line)
        except ValueError as error:
            raise self._foreign(number) from error
        if not isinstance(data, dict):
            raise self._foreign(number)
        return data

    def _foreign(self, number: int) -> UsageError:
        return UsageError(
            f"path={str(self.path)!r}: line {number} is no result of a campaign; expected a file that "
            "campaign wrote, or a new one."
        )
