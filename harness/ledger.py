"""What was computed once, a line for each, in a file that processes share."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING
from typing import Any
from typing import BinaryIO
from typing import NoReturn

from filelock import FileLock

from harness.errors import StoreError
from harness.store import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping
    from pathlib import Path

# Of what is looked at to find the end of the last whole line.
_LONGEST_LINE = 65_536


class Ledger:
    """A file of JSON rows behind a first line that says what they are of.

    Processes may add to it side by side. A row that a process was writing when it died is dropped.

    Args:
        path: The file; made when the first row is added.
        head: Everything that decides what the rows hold, as JSON values.
        what: What the file is, for messages: ``table of scores of proxy 'zen'``.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, head: Mapping[str, Any], what: str) -> None:
        self.path = path
        self._head = json.loads(json.dumps(head))
        self._what = what
        self._read_to = 0

    def new_rows(self) -> list[dict[str, Any]]:
        """Rows that were added since the last call, by any process.

        Raises:
            StoreError: The file cannot be read, is damaged, or is of something else.
        """
        with storage_errors(self.path):
            if not self.path.exists():
                self._read_to = 0
                return []
            with self.path.open("rb") as file:
                # One that was deleted and begun anew.
                if file.seek(0, os.SEEK_END) < self._read_to:
                    self._read_to = 0
                file.seek(self._read_to)
                content = file.read()
        # A last line without an end is being written, or was when its process died.
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.splitlines()
        if lines and self._read_to == 0:
            self._check_head(lines.pop(0))
        try:
            rows = [json.loads(line) for line in lines]
        except ValueError as error:
            self.damaged(error)
        self._read_to += len(whole)
        return rows

    def _check_head(self, line: bytes) -> None:
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if found != self._head:
            raise StoreError(
                f"{self.path}: this is no {self._what} at these settings; delete the file, and they are computed again."
            )

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows; none is there in part, for other processes.

        Raises:
            StoreError: The file cannot be written.
        """
        lines = [_line(row) for row in rows]
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock")), self.path.open("a+b") as file:
                _cut_torn_line(file)
                if file.tell() == 0:
                    file.write(_line(self._head))
                file.write(b"".join(lines))

    def damaged(self, error: Exception) -> NoReturn:
        """Say that a row cannot be used.

        Raises:
            StoreError: Always.
        """
        raise StoreError(
            f"{self.path}: a line of this {self._what} is damaged ({error}); delete the file, and they are "
            "computed again."
        ) from None


def head_digest(head: Mapping[str, Any]) -> str:
    """Identifies what a ledger is of."""
    return hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()


def _line(row: Any) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def _cut_torn_line(file: BinaryIO) -> None:
    """Drop what a process was writing when it died, and stand at the end."""
    end = file.seek(0, os.SEEK_END)
    start = max(end - _LONGEST_LINE, 0)
    file.seek(start)
    whole = start + file.read().rfind(b"\n") + 1
    file.truncate(whole)
    file.seek(whole)
