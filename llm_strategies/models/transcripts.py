"""What was asked of models and what they replied, kept in a run's folder."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING
from typing import Any

from harness.errors import StoreError
from llm_strategies.models.client import Reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping
    from pathlib import Path


class Transcripts:
    """An append-only file of requests and replies, one JSON object per line: ``key``, ``request``, ``reply``.

    The key is the SHA-256 of the whole request: model, messages, schema, sampling and seed. A reply is
    written before it is used, so a run that was killed finds every call that had finished, and ends as one
    that was not killed.

    One process writes to a file at a time, as one process works in a run's folder.

    Args:
        path: The file; it is made with the first reply.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._replies: dict[str, Reply] | None = None
        self._lock = threading.Lock()

    def replay_or_record(
        self, request: Mapping[str, Any], send: Callable[[Mapping[str, Any]], Reply]
    ) -> Reply:
        """The stored reply to a request; where there is none, that of ``send``, which is stored.

        Raises:
            StoreError: The file cannot be read or written, or a line of it is corrupt.
        """
        key = request_key(request)
        with self._lock:
            if self._replies is None:
                self._replies = self._load()
            if key in self._replies:
                return self._replies[key]
        reply = send(request)
        line = json.dumps(
            {"key": key, "request": request, "reply": asdict(reply)},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        with self._lock:
            try:
                with self.path.open("ab") as file:
                    file.write(line.encode() + b"\n")
            except OSError as error:
                raise StoreError(f"cannot write {self.path}: {error.strerror}.") from error
            self._replies[key] = reply
        return reply

    def _load(self) -> dict[str, Reply]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreError(f"cannot read {self.path}: {error.strerror}.") from error
        whole, _, cut_off = content.rpartition(b"\n")
        if cut_off:
            # The process was killed in the middle of a line; the next line must not be glued to it.
            with self.path.open("r+b") as file:
                file.truncate(len(content) - len(cut_off))
        replies = {}
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                entry = json.loads(line)
                replies[entry["key"]] = Reply(**entry["reply"])
            except (ValueError, KeyError, TypeError) as error:
                raise StoreError(
                    f"{self.path}, line {number}: not a transcript ({error}). Restore the file, or delete "
                    "it to ask the model again."
                ) from error
        return replies

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads the file again.
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def request_key(request: Mapping[str, Any]) -> str:
    """SHA-256 of a request, in hexadecimal; equal for equal requests in any process."""
    canonical = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
