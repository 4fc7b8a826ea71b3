"""Searches on disk: what every epoch came to, and a checkpoint to go on from."""

from __future__ import annotations

import hashlib
import io
import json
import math
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import torch
from filelock import FileLock

from harness import seeding
from harness.data_folder import data_folder
from harness.errors import StoreError
from harness.errors import TrainingError
from harness.store import storage_errors
from harness.store import write_json
from harness.store import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from baselines.one_shot.method import Method
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace

FORMAT = 1
CHECKPOINT = "checkpoint"
# Bytes of its digest, which it begins with.
_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to.

    Attributes:
        architecture: What the method would return now.
        seconds: What it took, measured.
        read_seconds: What it took to find that architecture, which a search pays for once, in the end.
        metrics: What the method measured.
    """

    architecture: Architecture
    seconds: float
    read_seconds: float
    metrics: Mapping[str, float]


class SearchRecord:
    """The epochs of one search, made when they are asked for, and kept.

    A folder in the data folder, named after everything that decides the search. It holds the epochs that were made,
    with their seconds, and a checkpoint of the last one: a search that was killed goes on behind it, and a search that
    was made is read. So a repeated or resumed run has the same bytes, seconds among them. Of processes that want the
    same epoch one makes it, and the others wait.

    Args:
        name: Registered name of the method.
        identity: Everything that decides the search, as JSON values.
        space: The search space.
        dataset: Data set.
        make: Makes the method, at its beginning.
        threads: Of PyTorch, while an epoch is made; other numbers round otherwise.

    Attributes:
        folder: The folder.
    """

    def __init__(
        self,
        name: str,
        identity: Mapping[str, Any],
        space: SearchSpace,
        dataset: str,
        make: Callable[[], Method],
        threads: int,
    ) -> None:
        head = {"format": FORMAT, "method": name, "space": space.name, "dataset": dataset, **identity}
        self.digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()
        self.folder: Path = data_folder() / "searches" / space.name / dataset / f"{name}-{self.digest[:16]}"
        self._head = head
        self._space = space
        self._make = make
        self._threads = threads
        self._method: Method | None = None
        #: Epochs that the method in memory has made.
        self._made = 0
        #: A method that was made again in memory, behind the number of epochs that it has made.
        self._again: tuple[int, Method] | None = None
        self._epochs: list[Epoch] = []

    def epoch(self, number: int) -> Epoch:
        """An epoch; it, and those before it that are missing, are made now.

        Raises:
            StoreError: The folder cannot be read or written, or is damaged.
            TrainingError: The training diverged.
        """
        if number >= len(self._epochs):
            self._read()
        if number >= len(self._epochs):
            self._go_on(number)
        return self._epochs[number]

    def method_after(self, number: int) -> Method:
        """The method with its state after an epoch; what is done with it must leave the state as it is.

        Only the newest state is kept on disk. An earlier one is made again in memory, which takes as long as it took
        before, and is gone on from where a later one is asked for next.

        Raises:
            StoreError: See :meth:`epoch`; or what is made again differs from what is on disk.
            TrainingError: See :meth:`epoch`.
        """
        self.epoch(number)
        with self._lock():
            method = self._restored()
        if self._made == number + 1:
            return method
        made, earlier = (
            self._again if self._again is not None and self._again[0] <= number + 1 else (0, self._make())
        )
        self._again = None
        for following in range(made, number + 1):
            self._compare(self._timed(earlier, following), following)
        self._again = number + 1, earlier
        return earlier

    def _go_on(self, number: int) -> None:
        with self._lock():
            # Somebody may have been faster.
            self._read()
            if number < len(self._epochs):
                return
            method = self._restored()
            # What is interrupted in the middle of an epoch is in no state to be gone on from.
            self._method = None
            for following in range(self._made, number + 1):
                self._make_epoch(method, following)
            self._method = method

    def _make_epoch(self, method: Method, number: int) -> None:
        made = self._timed(method, number)
        self._made = number + 1
        if number < len(self._epochs):
            # It was made before, and only its state was lost: what it took then has been paid.
            self._compare(made, number)
        else:
            self._epochs.append(made)
        self._write(method)

    def _timed(self, method: Method, number: int) -> Epoch:
        with reproducible(self._threads), _dropout(method, number):
            began = time.perf_counter()
            metrics = method.epoch(number)
            if wrong := [name for name, value in metrics.items() if not math.isfinite(value)]:
                raise TrainingError(
                    f"the supernet of this {self._head['method']} search diverged in epoch {number + 1}: its "
                    f"{wrong[0]} is {metrics[wrong[0]]}. Lower the learning rates, or what else was set."
                )
            _synchronise(method)
            trained = time.perf_counter()
            arch = method.read(number)
            _synchronise(method)
            ended = time.perf_counter()
        return Epoch(arch, round(trained - began, 6), round(ended - trained, 6), metrics)

    def _compare(self, made: Epoch, number: int) -> None:
        if made.architecture != self._epochs[number].architecture:
            raise StoreError(
                f"{self.folder}: epoch {number + 1} was made again and came to another architecture; it was made on "
                "another machine, or with another PyTorch. Delete the folder, and the search is made anew."
            )

    def _restored(self) -> Method:
        """The method with the newest state there is."""
        file = self.folder / CHECKPOINT
        with storage_errors(file):
            content = file.read_bytes() if file.exists() else None
        if content is None:
            self._made = 0
            return self._make()
        if self._method is not None and self._made == len(self._epochs):
            return self._method
        digest, content = content[:_DIGEST], content[_DIGEST:]
        if hashlib.sha256(content).digest() != digest:
            raise StoreError(f"{file}: this checkpoint is damaged; delete it, and the search begins anew.")
        checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        epochs = self._epochs_of(json.loads(checkpoint["epochs"]))
        method = self._make()
        method.load(checkpoint["state"], len(epochs) - 1)
        self._method, self._made = method, len(epochs)
        if len(epochs) > len(self._epochs):
            # It was killed between the two files.
            self._epochs = epochs
            self._list()
        return method

    def _write(self, method: Method) -> None:
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        # The checkpoint first: an epoch that is listed can always be gone on from.
        buffer = io.BytesIO()
        rows = [self._row(epoch) for epoch in self._epochs[: self._made]]
        torch.save({"epochs": json.dumps(rows), "state": method.state()}, buffer)
        content = buffer.getvalue()
        write_whole(self.folder / CHECKPOINT, hashlib.sha256(content).digest() + content)
        self._list()

    def _list(self) -> None:
        rows = [self._row(epoch) for epoch in self._epochs]
        write_json(self.folder / "search.json", {"head": self._head, "epochs": rows})

    def _row(self, epoch: Epoch) -> dict[str, Any]:
        return {
            "ncode": self._space.ncode(epoch.architecture),
            "seconds": epoch.seconds,
            "read_seconds": epoch.read_seconds,
            "metrics": dict(epoch.metrics),
        }

    def _read(self) -> None:
        file = self.folder / "search.json"
        with storage_errors(file):
            content = file.read_bytes() if file.exists() else None
        if content is None:
            self._epochs = []
            return
        try:
            found = json.loads(content)
            if found["head"] != json.loads(json.dumps(self._head)):
                raise ValueError("it is of another search")
            self._epochs = self._epochs_of(found["epochs"])
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{file}: this is no record of this search ({error}); delete its folder, and the search is made anew."
            ) from None

    def _epochs_of(self, rows: list[dict[str, Any]]) -> list[Epoch]:
        return [
            Epoch(self._space.from_ncode(row["ncode"]), row["seconds"], row["read_seconds"], row["metrics"])
            for row in rows
        ]

    def _lock(self) -> FileLock:
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".lock")


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """The same operations in the same order on every call, in full precision.

    Args:
        threads: Of PyTorch; other numbers round otherwise.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _dropout(method: Method, number: int) -> Iterator[None]:
    """Dropout draws from the global generator alone: it has a state of its own for an epoch, and then its old one."""
    device = method.context.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seeding.integer(method.context.seed, "dropout", number))
        yield


def _synchronise(method: Method) -> None:
    if method.context.device.type == "cuda":
        torch.cuda.synchronize(method.context.device)
