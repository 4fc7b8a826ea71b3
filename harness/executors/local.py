"""Runs in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import optuna

from harness import search
from harness.errors import HarnessError
from harness.errors import StoreError
from harness.search import Outcome
from harness.store import RunFolder
from harness.store import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

    from harness.experiment import RunSpec
    from harness.models import Models

# Workers are processes already; libraries inside them must not start a thread per core as well.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


_DEATH = "the worker process died (killed, out of memory, or a crash in native code)"


@dataclass(frozen=True)
class Task:
    """A run to be made: what, where, and what is known only now."""

    spec: RunSpec
    folder: Path
    models: Models
    environment: Mapping[str, Any]
    facts: Mapping[str, Any]


class LocalExecutor:
    """Makes runs in a pool of processes.

    The order in which runs end depends on the machine; what a run does depends on its spec alone.

    Args:
        workers: Number of processes.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, tasks: Sequence[Task], done: Callable[[Outcome], None]) -> None:
        """Make all runs.

        A worker that dies takes no other run with it: what was in flight is made again, one run at a time,
        so that the run that kills its worker is found and recorded as failed.

        Args:
            tasks: The runs.
            done: Called in this process as each run ends.

        Raises:
            StoreError: A run could not write its folder; runs that had started are finished first.
        """
        left = self._pool(tasks, done, self.workers)
        while left:
            # The run that killed its worker is among those that had been started.
            started = [task for task in left if RunFolder(task.folder).status == "running"]
            suspects = started or left[: self.workers]
            for task in suspects:
                if self._pool([task], done, workers=1):
                    done(search.record_death(task.folder, _DEATH))
            left = self._pool([task for task in left if task not in suspects], done, self.workers)

    def _pool(self, tasks: Sequence[Task], done: Callable[[Outcome], None], workers: int) -> list[Task]:
        """Make runs in one pool; returns those that a dying worker left behind."""
        if not tasks:
            return []
        for variable in _THREAD_VARIABLES:
            os.environ.setdefault(variable, "1")
        pool = ProcessPoolExecutor(
            min(workers, len(tasks)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_prepare,
        )
        left: list[Task] = []
        try:
            futures: dict[Future[Outcome], Task] = {pool.submit(_make, task): task for task in tasks}
            for future in as_completed(futures):
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    left.append(futures[future])
                    continue
                done(outcome)
                if outcome.storage_failed:
                    raise StoreError(str(outcome.error))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return left


def _prepare() -> None:
    """Set up a worker: quiet, and gone as soon as its parent is.

    A worker that outlived a killed parent would go on writing a trajectory that the resumed sweep writes too.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Ctrl-C reaches every process of the terminal; a worker ends at once and in silence, for its run can go on.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _make(task: Task) -> Outcome:
    try:
        return search.run(
            task.spec,
            task.folder,
            models=task.models,
            environment=task.environment,
            facts=task.facts,
        )
    except StorageError as error:
        return Outcome(task.folder, "failed", 0, str(error), storage_failed=True)
    except HarnessError as error:
        return Outcome(task.folder, "failed", 0, str(error))
