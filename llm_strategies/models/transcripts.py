"""What was asked of models and what they replied: a store that all runs share."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any
from typing import TextIO

from filelock import FileLock
from pydantic import TypeAdapter
from pydantic import ValidationError

from harness.errors import ModelUnavailable
from harness.errors import StoreError
from harness.store import storage_errors
from llm_strategies.models.reply import Reply

# What file systems without hard links say: FAT, and many that are reached through a network.
_NO_LINKS = {errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


class DamagedTranscript(StoreError, ModelUnavailable):
    """A stored reply cannot be read: the run is parked until somebody has restored or deleted it."""


@dataclass
class Loaded:
    """What became of imported transcripts.

    Attributes:
        added: Stored now.
        known: Stored before, with the same reply.
        different: Stored before with another reply, which stays.
    """

    added: int = 0
    known: int = 0
    different: int = 0


class Transcripts:
    """A folder of requests and their replies, one file each, named by what was asked.

    The key is the SHA-256 of the whole request: what decides the model's replies, messages, schema, sampling and
    seed. A reply is stored before it is used, so a run that was killed finds every call that had finished.

    Any number of processes may use a folder at the same time. Where two ask the same at once, the reply that is
    stored first is the one that both get.

    Args:
        folder: The store; made with the first reply.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, request: Mapping[str, Any]) -> Reply | None:
        """The stored reply to a request, or ``None``.

        Raises:
            DamagedTranscript: The file is damaged.
            StoreError: It cannot be read.
        """
        return self._read(request_key(request))

    def put(self, request: Mapping[str, Any], reply: Reply, *, again: bool = False) -> Reply:
        """Store a reply.

        Args:
            request: What was asked.
            reply: What was answered.
            again: Put it in the place of one that is there.

        Returns:
            The reply that is stored now: ``reply``, or another process's that came first.

        Raises:
            DamagedTranscript: Another process's reply came first, and cannot be read.
            StoreError: The disk is full, or the folder cannot be written.
        """
        key = request_key(request)
        stored = replace(reply, key=key)
        path = self._path(key)
        content = asdict(stored)
        del content["key"]
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _temporary(path.parent) as (temporary, file):
                json.dump({"key": key, "request": request, "reply": content}, file, separators=(",", ":"))
                file.close()
                if again:
                    temporary.replace(path)
                elif not self._move(temporary, path):
                    return self._read(key) or stored
                return stored

    def entry(self, key: str) -> dict[str, Any] | None:
        """``key``, ``request`` and ``reply`` of a call as they are stored, or ``None``.

        Raises:
            DamagedTranscript: The file is damaged.
            StoreError: It cannot be read.
        """
        path = self._path(key)
        with storage_errors(path):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                return None
        try:
            return _checked(content, key)
        except ValueError as error:
            raise DamagedTranscript(
                f"{path}: not an intact transcript: {error}; delete the file to ask the model again."
            ) from None

    def keys(self) -> Iterator[str]:
        """Keys of everything stored, sorted."""
        with storage_errors(self.folder):
            yield from sorted(path.stem for path in self.folder.glob("??/*.json"))

    def export(self, file: Path) -> int:
        """Write everything stored to a file, one JSON object per line, sorted by key.

        Equal stores give equal bytes.

        Args:
            file: The file; one that is there is replaced in the end.

        Returns:
            The number of transcripts.

        Raises:
            StoreError: Nothing is stored, a transcript is damaged, or the file cannot be written.
        """
        count = 0
        with storage_errors(file, of_results=False), _temporary(file.parent) as (temporary, lines):
            for key in self.keys():
                lines.write(f"{_line(self.entry(key))}\n")
                count += 1
            if not count:
                raise StoreError(f"{self.folder}: no transcripts are stored here.")
            # What the disk refuses, it refuses here at the latest: the old file stays.
            lines.close()
            temporary.replace(file)
        return count

    def load(self, file: Path) -> Loaded:
        """Take over what :meth:`export` wrote. What is stored already stays as it is.

        Args:
            file: A file of one JSON object per line.

        Raises:
            StoreError: A line is no transcript, or not the one that its key names; names file and line. Lines
                before it are stored. Or the file cannot be read, or the store cannot be written.
        """
        loaded = Loaded()
        with storage_errors(file, of_results=False), file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    entry = _checked(line)
                except ValueError as error:
                    raise StoreError(
                        f"{file}:{number}: not an intact transcript: {error}. The {number - 1} lines before it are "
                        "in the store; export the original again, and import the whole: nothing is stored twice."
                    ) from None
                reply = Reply(**entry["reply"])
                stored = self.get(entry["request"])
                if stored is None:
                    self.put(entry["request"], reply)
                    loaded.added += 1
                elif _said(stored) == _said(reply):
                    loaded.known += 1
                else:
                    loaded.different += 1
        return loaded

    def _move(self, temporary: Path, path: Path) -> bool:
        """Give a file its name; ``False`` where there is one of that name already."""
        try:
            # Unlike a rename, a link fails where the file is there already.
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with FileLock(self.folder / ".lock"):
                if path.exists():
                    return False
                temporary.replace(path)
        return True

    def _read(self, key: str) -> Reply | None:
        entry = self.entry(key)
        return None if entry is None else Reply(**entry["reply"], key=key)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[tuple[Path, TextIO]]:
    """A new file in a folder, open for writing; gone in the end unless it was moved.

    Unlike those of ``tempfile``, it may be read by all whom the user's umask lets.
    """
    path = folder / f"{uuid.uuid4().hex}.tmp"
    try:
        with path.open("x", encoding="utf-8") as file:
            yield path, file
    finally:
        path.unlink(missing_ok=True)


def request_key(request: Mapping[str, Any]) -> str:
    """SHA-256 of a request, in hexadecimal; equal for equal requests in any process."""
    canonical = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


_REPLY = TypeAdapter(Reply)


def _checked(content: bytes, key: str | None = None) -> dict[str, Any]:
    """A transcript as it is stored.

    Args:
        content: Its JSON.
        key: What its key must be; ``None`` leaves that open.

    Raises:
        ValueError: It is damaged; says what is wrong.
    """
    try:
        entry = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("this is no JSON") from None
    if not isinstance(entry, dict) or not {"key", "request", "reply"} <= entry.keys():
        raise ValueError("`key`, `request` or `reply` is missing")
    if not entry["key"] == (key or entry["key"]) == request_key(entry["request"]):
        raise ValueError("the key is not that of the request")
    try:
        # As JSON, where strict validation still takes an object for a reply.
        _REPLY.validate_json(json.dumps(entry["reply"]), strict=True)
        Reply(**entry["reply"])
    except (ValidationError, TypeError):
        raise ValueError("`reply` is no reply of a model") from None
    return entry


def _line(entry: Mapping[str, Any] | None) -> str:
    return json.dumps(entry, sort_keys=True, separators=(",", ":"))


def _said(reply: Reply) -> Reply:
    """The reply without what was measured."""
    return replace(reply, started=0.0, seconds=0.0, gpu_seconds=0.0, key="")
