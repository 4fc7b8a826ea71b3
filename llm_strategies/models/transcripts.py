"""What was asked of models and what they replied: a store that all runs share."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store import storage_errors
from llm_strategies.models.reply import Reply


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
            StoreError: The file is damaged or cannot be read.
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
            StoreError: The disk is full, or the folder cannot be written.
        """
        key = request_key(request)
        stored = replace(reply, key=key)
        path = self._path(key)
        content = asdict(stored)
        del content["key"]
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump({"key": key, "request": request, "reply": content}, file, separators=(",", ":"))
                if again:
                    Path(temporary).replace(path)
                    return stored
                try:
                    # Unlike a rename, a link fails where the file is there already.
                    os.link(temporary, path)
                except FileExistsError:
                    return self._read(key) or stored
                return stored
            finally:
                Path(temporary).unlink(missing_ok=True)

    def entry(self, key: str) -> dict[str, Any] | None:
        """``key``, ``request`` and ``reply`` of a call as they are stored, or ``None``.

        Raises:
            StoreError: The file is damaged or cannot be read.
        """
        path = self._path(key)
        with storage_errors(path):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                return None
        try:
            entry: dict[str, Any] = json.loads(content)
            Reply(**entry["reply"])
            intact = entry["key"] == key == request_key(entry["request"])
        except (ValueError, KeyError, TypeError):
            intact = False
        if not intact:
            raise StoreError(f"{path}: not an intact transcript; delete the file to ask the model again.")
        return entry

    def keys(self) -> Iterator[str]:
        """Keys of everything stored, sorted."""
        with storage_errors(self.folder):
            yield from sorted(path.stem for path in self.folder.glob("??/*.json"))

    def _read(self, key: str) -> Reply | None:
        entry = self.entry(key)
        return None if entry is None else Reply(**entry["reply"], key=key)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def request_key(request: Mapping[str, Any]) -> str:
    """SHA-256 of a request, in hexadecimal; equal for equal requests in any process."""
    canonical = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
