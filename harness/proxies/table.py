"""Scores of proxies on disk: computed once, used by every later search and report."""

from __future__ import annotations

import hashlib
import json
import math
import os
from typing import TYPE_CHECKING
from typing import Any
from typing import BinaryIO

from filelock import FileLock

from harness.data_folder import data_folder
from harness.errors import StoreError
from harness.proxies.base import ProxyScore
from harness.store import storage_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.proxies.base import Proxy
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace

FORMAT = 1
# Of what is looked at to find the end of the last whole line; a line has about 60 bytes, or a sentence.
_LONGEST_LINE = 65_536


def score_digest(name: str, proxy: Proxy, space: SearchSpace, dataset: str) -> str:
    """Of everything that decides a proxy's scores but the architecture; arguments as of :class:`ScoreTable`."""
    return _digest(_head(name, proxy, space, dataset))


class ScoreTable:
    """What one proxy makes of the architectures of a space, on a data set, under one identity.

    One file in the data folder, a line per architecture behind a first line that says what it is of. Processes may
    add to it side by side; of several scores of one architecture the first counts.

    Args:
        name: Registered name of the proxy.
        proxy: The proxy.
        space: The search space.
        dataset: Data set.

    Attributes:
        digest: See :func:`score_digest`.
        path: The file; made when the first score is added.

    Raises:
        StoreError: The file cannot be read, or is damaged.
    """

    def __init__(self, name: str, proxy: Proxy, space: SearchSpace, dataset: str) -> None:
        self._space = space
        self._head = _head(name, proxy, space, dataset)
        self.digest = _digest(self._head)
        folder = data_folder() / "scores" / space.name / dataset
        self.path = folder / f"{name}-{self.digest[:16]}.jsonl"
        self._scores: dict[Architecture, ProxyScore] = {}
        self._read_to = 0
        self.refresh()

    def __len__(self) -> int:
        return len(self._scores)

    def get(self, arch: Architecture) -> ProxyScore | None:
        """The score of an architecture; ``None`` where it was not computed yet."""
        return self._scores.get(arch)

    def refresh(self) -> None:
        """Read what was added since the last call, by any process."""
        with storage_errors(self.path):
            if not self.path.exists():
                self._read_to = 0
                return
            with self.path.open("rb") as file:
                # A table that was deleted and begun anew.
                if file.seek(0, os.SEEK_END) < self._read_to:
                    self._read_to = 0
                file.seek(self._read_to)
                content = file.read()
        # A last line without an end is being written, or was when its process died.
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.splitlines()
        if lines and self._read_to == 0:
            self._check_head(lines.pop(0))
        for line in lines:
            try:
                row = json.loads(line)
                self._scores.setdefault(self._space.from_ncode(row["ncode"]), _score(row))
            except (ValueError, KeyError, TypeError) as error:
                raise StoreError(
                    f"{self.path}: a line of this table of scores is damaged ({error}); delete the file, and "
                    "they are computed again."
                ) from None
        self._read_to += len(whole)

    def _check_head(self, line: bytes) -> None:
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if found != json.loads(json.dumps(self._head)):
            raise StoreError(
                f"{self.path}: this is no table of scores of proxy {self._head['proxy']!r} at these settings; delete "
                "the file, and they are computed again."
            )

    def add(self, scores: Mapping[Architecture, ProxyScore]) -> None:
        """Keep scores.

        Raises:
            StoreError: The file cannot be written.
        """
        lines = [_line(self._space.ncode(arch), score) for arch, score in scores.items()]
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock")), self.path.open("a+b") as file:
                _cut_torn_line(file)
                if file.tell() == 0:
                    file.write(_json(self._head))
                file.write(b"".join(lines))
        self.refresh()
        for arch, score in scores.items():
            # Unless somebody has deleted the file since.
            self._scores.setdefault(arch, score)


def _head(name: str, proxy: Proxy, space: SearchSpace, dataset: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "proxy": name,
        "space": space.name,
        "dataset": dataset,
        "identity": dict(proxy.identity(space, dataset)),
    }


def _digest(head: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()


def _line(ncode: str, score: ProxyScore) -> bytes:
    row: dict[str, Any] = {"ncode": ncode, "score": score.value, "seconds": round(score.seconds, 6)}
    return _json(row if score.problem is None else row | {"problem": score.problem})


def _score(row: dict[str, Any]) -> ProxyScore:
    value, seconds, problem = row["score"], row["seconds"], row.get("problem")
    scored = _is_number(value) and problem is None
    if not (
        _is_number(seconds) and seconds >= 0 and (scored or (value is None and isinstance(problem, str)))
    ):
        raise ValueError("it holds neither a score nor a reason why there is none")
    return ProxyScore(value, seconds, problem)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _json(row: Any) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def _cut_torn_line(file: BinaryIO) -> None:
    """Drop what a process was writing when it died, and stand at the end."""
    end = file.seek(0, os.SEEK_END)
    start = max(end - _LONGEST_LINE, 0)
    file.seek(start)
    whole = start + file.read().rfind(b"\n") + 1
    file.truncate(whole)
    file.seek(whole)
