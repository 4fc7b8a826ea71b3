"""The results folder: append-only trajectories, and what a run was. See ``docs/results-folder.md``."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
from typing import TYPE_CHECKING
from typing import Any
from typing import NotRequired
from typing import TypedDict

from filelock import FileLock
from filelock import Timeout

from harness.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping
    from pathlib import Path
    from typing import BinaryIO

    from harness.experiment import RunSpec

FORMAT = 1
#: Below the folder of all results: what was asked of models and what they replied.
TRANSCRIPTS = "transcripts"
# Keys of run.json that the engine relies on.
_RECORD = {"id": str, "status": str, "spec": dict, "data": dict, "totals": dict}
_ANEW = "restore it, or delete the run's folder to run it anew"
#: Statuses of runs that are not made again. ``failed`` waits for ``--retry-failed``; ``running`` (or cut off) and
#: ``parked`` (a model did not answer) go on with the next call.
FINISHED = frozenset({"complete", "exhausted", "stalled"})


class StorageError(StoreError):
    """The file system refuses: nothing else can be written either."""


class Row(TypedDict, total=False):
    """One line of ``trajectory.jsonl``; the keys are described in ``docs/results-folder.md``."""

    trial: int
    ncode: str
    state: str
    valid: float | None
    fidelity: int
    seed: int | None
    gpu_seconds: float
    duplicate: bool
    problem: str
    measures: dict[str, float]
    rungs: list[tuple[int, float | None, float, int | None]]
    rejected: dict[str, int]
    llm: dict[str, int]
    attributes: dict[str, Any]


class Timing(TypedDict):
    """One line of ``timings.jsonl``; the keys are described in ``docs/results-folder.md``."""

    trial: int
    search_seconds: float
    llm_seconds: float
    evaluation_seconds: float
    # Where the strategy itself computes on a device.
    strategy_gpu_seconds: NotRequired[float]
    # Where a language model was asked.
    llm_gpu_seconds: NotRequired[float]
    calls: NotRequired[list[dict[str, Any]]]


class JsonLines:
    """An append-only file of one JSON object per line, opened to go on where it ends.

    Every line reaches the operating system before :meth:`append` returns, so a killed process loses at most the
    line that it was writing.

    Args:
        path: The file; made when the first line is appended.
        anew: What can be done where it is damaged and cannot be restored.

    Attributes:
        path: The file.
        rows: The complete lines that were there when it was opened. A half-written last line is dropped.

    Raises:
        StoreError: A line in the middle is no JSON object, or the file cannot be read.
    """

    def __init__(self, path: Path, anew: str = "delete the run's folder to run it anew") -> None:
        self.path = path
        self.rows: list[Any] = []
        self._file: BinaryIO | None = None
        with storage_errors(path):
            content = path.read_bytes() if path.exists() else b""
        lines = content.splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        for number, line in enumerate(lines, start=1):
            try:
                self.rows.append(json.loads(line))
            except ValueError:
                raise StoreError(
                    f"{path}:{number}: this line is no JSON object; the file was changed or damaged. "
                    f"Restore it, or {anew}."
                ) from None
        self._ends = list(itertools.accumulate(map(len, lines), initial=0))
        if self._ends[-1] < len(content):
            self.keep(len(lines))

    def keep(self, count: int) -> None:
        """Cut the file behind its first ``count`` lines."""
        del self.rows[count:]
        with storage_errors(self.path):
            os.truncate(self.path, self._ends[count])

    def append(self, row: Any) -> None:
        """Write one line.

        Raises:
            StoreError: The disk is full, or the file cannot be written.
        """
        with storage_errors(self.path):
            if self._file is None:
                self._file = self.path.open("ab", buffering=0)
            line = memoryview(json.dumps(row, separators=(",", ":")).encode() + b"\n")
            while line:
                line = line[self._file.write(line) :]

    def close(self) -> None:
        """Close the file; the next :meth:`append` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


class RunFolder:
    """The folder of one run.

    Attributes:
        path: The folder.
        record: The content of ``run.json``; ``None`` before the run was first started.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record: dict[str, Any] | None = None
        file = path / "run.json"
        with storage_errors(file):
            content = file.read_bytes() if file.exists() else None
        if content is not None:
            self.record = _read_record(file, content)

    @property
    def status(self) -> str | None:
        return None if self.record is None else self.record["status"]

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED

    def check(self, spec: RunSpec, data: Mapping[str, str]) -> None:
        """Make sure that what is here belongs to this spec and these data.

        Args:
            spec: What is to be run.
            data: As ``run.json`` has it.

        Raises:
            StoreError: It does not; names each difference and what to do.
        """
        if self.record is None:
            return
        if self.record["id"] != spec.id:
            ours = spec.model_dump(mode="json", exclude={"labels"})
            theirs = {k: v for k, v in self.record["spec"].items() if k != "labels"}
            changes = "; ".join(differences(theirs, ours)) or "the version of the specification"
            raise StoreError(
                f"{self.path}: this folder holds a run of another specification: {changes}. "
                "Name the sweep anew, give another --results folder, or delete this one."
            )
        before = self.record["data"]
        if before["digest"] != data["digest"]:
            raise StoreError(
                f"{self.path}: this run was made with other data ({before['source']}, "
                f"digest {before['digest'][:12]}; now {data['digest'][:12]}). "
                "Import those data again, or give another --results folder."
            )
        if before.get("strategy") != data.get("strategy"):
            raise StoreError(
                f"{self.path}: this run was made with other data of its strategy "
                f"(digest {_short(before.get('strategy'))}; now {_short(data.get('strategy'))}): what "
                f"{spec.strategy.name!r} reads besides its arguments, such as the images or the definitions of "
                "proxies, has changed. Import those data again, give another --results folder, or delete the run's "
                "folder to run it anew."
            )

    def write(self, record: dict[str, Any]) -> None:
        """Replace ``run.json`` in one step.

        Raises:
            StoreError: The disk is full, or the folder cannot be written.
        """
        self.record = record
        write_json(self.path / "run.json", record)

    def write_error(self, text: str) -> None:
        """Keep the traceback of a failed run."""
        with storage_errors(self.path):
            (self.path / "error.txt").write_text(text, encoding="utf-8")

    def clear_error(self) -> None:
        with storage_errors(self.path):
            (self.path / "error.txt").unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path, seconds: float = 0.0) -> Iterator[None]:
    """Hold a folder for this process alone; the lock ends with the process, however that ends.

    Args:
        folder: Folder of a sweep or a run; made where it is missing.
        seconds: How long to wait for another process.

    Raises:
        StoreError: Another process holds it, or the folder cannot be made or written.
    """
    lock = FileLock(folder / ".lock")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=seconds)
        except Timeout:
            raise StoreError(
                f"{folder}: another process is working on this. Wait for it, or give another --results folder."
            ) from None
    try:
        yield
    finally:
        lock.release()


def check_format(folder: Path, kind: str | None = None) -> None:
    """Make sure that a sweep's folder, where there is one, has this version's layout.

    Args:
        folder: The folder.
        kind: The kind of sweep that is to go on there; ``None`` takes any.

    Raises:
        StoreError: It has another layout, or holds a sweep of another kind.
    """
    file = folder / "sweep.json"
    if not file.exists():
        return
    with storage_errors(file):
        content = file.read_bytes()
    try:
        sweep = json.loads(content)
        found = sweep["format"]
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            f"{file}: this is no file of the harness, or a damaged one; delete it, and `harness run` writes it anew, "
            "or give another --results folder."
        ) from None
    if found != FORMAT:
        raise StoreError(_wrong_format(file, found))
    there = sweep.get("kind", "search")
    if kind is not None and there != kind:
        # Each would take the files of the other for damaged ones.
        raise StoreError(
            f"{folder}: this folder holds a sweep of kind {there!r}, and this one is of kind {kind!r}. Name the sweep "
            "anew, give another --results folder, or delete this one."
        )


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file in one step, so that no reader ever sees half of it.

    Raises:
        StoreError: The disk is full, or the folder cannot be written.
    """
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one step, so that no reader ever sees half of it.

    Raises:
        StoreError: The disk is full, or the folder cannot be written.
    """
    with storage_errors(path):
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(content)
        temporary.replace(path)


@contextlib.contextmanager
def storage_errors(path: Path, *, of_results: bool = True) -> Iterator[None]:
    """Turn what a file system refuses into an error that says what to do.

    Args:
        path: What is read or written.
        of_results: Whether it is part of the results folder; otherwise it is a file that the user named, and
            what is said names that one alone.

    Raises:
        StorageError: Any :class:`OSError` inside.
    """
    try:
        yield
    except OSError as error:
        where = (error.filename or path) if of_results else path
        raise StorageError(f"{where}: {error.strerror}; {_advice(error.errno, of_results)}.") from error


def _advice(number: int | None, of_results: bool) -> str:
    another = "give another --results folder" if of_results else "give the path of another file"
    if number in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return f"free some space and run the same command{': finished trials are kept' if of_results else ''}"
    if not of_results and number in {errno.ENOENT, errno.ENOTDIR}:
        return "check the path: a file or a folder in it is not there"
    if not of_results and number == errno.EISDIR:
        return "this is a folder; give the path of a file"
    if number in {errno.ENOTDIR, errno.EEXIST}:
        return f"a file is where a folder must be; remove it, or {another}"
    return f"{'make it writable' if of_results else 'check its permissions'}, or {another}"


def _read_record(file: Path, content: bytes) -> dict[str, Any]:
    try:
        record = json.loads(content)
    except ValueError:
        raise StoreError(f"{file}: this is no JSON; {_ANEW}.") from None
    if not isinstance(record, dict) or "format" not in record:
        raise StoreError(f"{file}: this is no record of a run; {_ANEW}.")
    if record["format"] != FORMAT:
        raise StoreError(_wrong_format(file, record["format"]))
    missing = [key for key, kind in _RECORD.items() if not isinstance(record.get(key), kind)]
    if missing or not {"source", "digest"} <= record["data"].keys():
        raise StoreError(f"{file}: `{(missing or ['data'])[0]}` is missing or damaged; {_ANEW}.")
    return record


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest[:12]


def _wrong_format(file: Path, found: object) -> str:
    return (
        f"{file}: made by another version of the harness (layout {found!r}; this one writes {FORMAT}). "
        "Use that version, or give another --results folder."
    )


def differences(old: Any, new: Any, at: str = "") -> Iterator[str]:
    """Where two JSON values differ, in words; ``at`` is where they stand themselves."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                yield from differences(old.get(key), new.get(key), f"{at}.{key}".removeprefix("."))
    else:
        yield f"{at} is {old!r} there and {new!r} now"
