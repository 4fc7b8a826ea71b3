"""Runs in processes of this machine, and in threads of this one where a model lives in it."""

from __future__ import annotations

import multiprocessing
import os
import queue
from collections import Counter
from collections import deque
from concurrent.futures import Future
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any
from typing import Self

import optuna

from harness import search
from harness.errors import HarnessError
from harness.errors import StoreError
from harness.executors import workers as worker_processes
from harness.meter import SharedMeter
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

_DEATH = "the worker process died (killed, out of memory, or a crash in native code)"


@dataclass(frozen=True)
class Task:
    """A run to be made: what, where, and what is known only now."""

    spec: RunSpec
    folder: Path
    models: Models
    environment: Mapping[str, Any]
    facts: Mapping[str, Any]

    @property
    def asks(self) -> frozenset[str]:
        """Names of the models that it may ask."""
        return frozenset() if self.models.replay == "strict" else frozenset(self.models.endpoints)

    @property
    def in_process(self) -> bool:
        """Whether one of them lives in this process."""
        return any(self.models.endpoints[name].in_process is not None for name in self.asks)


@dataclass(frozen=True)
class LocalExecutor:
    """Makes runs side by side.

    Runs that compute share as many processes as the machine has cores for. Runs that ask a language model wait most
    of the time, and have processes of their own beside them, as many as their models take. Runs of a model that
    lives in this process are threads of it.

    The order in which runs end depends on the machine; what a run does depends on its spec alone.

    Args:
        workers: Number of processes for runs that ask no model.
        concurrency: How many runs may ask a model at the same time, by its name.
    """

    workers: int
    concurrency: Mapping[str, int] = field(default_factory=dict)

    def run(self, tasks: Sequence[Task], done: Callable[[Outcome], None]) -> None:
        """Make all runs.

        A worker that dies takes no other run with it: what was in flight is made again, one run at a time,
        so that the run that kills its worker is found and recorded as failed.

        Args:
            tasks: The runs.
            done: Called in this thread as each run ends.

        Raises:
            StoreError: A run could not write its folder; runs that had started are finished first.
        """
        left = self._make_all(tasks, done)
        while left:
            # The run that killed its worker is among those that had been started.
            started = [task for task in left if RunFolder(task.folder).status == "running"]
            suspects = started or left[: self.workers]
            for task in suspects:
                if self._make_all([task], done):
                    done(search.record_death(task.folder, _DEATH))
            left = self._make_all([task for task in left if task not in suspects], done)

    def _make_all(self, tasks: Sequence[Task], done: Callable[[Outcome], None]) -> list[Task]:
        """Make runs in fresh processes; returns those that a dying worker left behind."""
        if not tasks:
            return []
        waiting = deque(tasks)
        flying: dict[Future[Outcome], Task] = {}
        ended: queue.SimpleQueue[Future[Outcome]] = queue.SimpleQueue()
        free = Counter(self.concurrency)
        left: list[Task] = []
        gone: dict[str, str] = {}
        with _Lanes(tasks, self.workers, self.concurrency) as lanes:
            while waiting or flying:
                for _ in range(len(waiting)):
                    task = waiting.popleft()
                    if lost := sorted(task.asks & gone.keys()):
                        _end(_park(task, gone[lost[0]]), done)
                        continue
                    if not all(free[model] for model in task.asks):
                        waiting.append(task)
                        continue
                    try:
                        future = lanes.submit(task)
                    except BrokenProcessPool:
                        left.append(task)
                        continue
                    free.subtract(task.asks)
                    flying[future] = task
                    future.add_done_callback(ended.put)
                if not flying:
                    break
                future = ended.get()
                task = flying.pop(future)
                free.update(task.asks)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    left.append(task)
                    continue
                # Each run would find out anew, and wait for the model through all retries.
                gone = dict.fromkeys(outcome.gone, str(outcome.error)) | gone
                _end(outcome, done)
        return left


class _Lanes:
    """The pools in which runs are made; a context that leaves no process behind, however it ends.

    Args:
        tasks: The runs to come.
        workers: See :class:`LocalExecutor`.
        concurrency: See :class:`LocalExecutor`.
    """

    def __init__(self, tasks: Sequence[Task], workers: int, concurrency: Mapping[str, int]) -> None:
        worker_processes.limit_threads()
        # Forked from a process that has imported what takes longest, sixteen workers start as fast as one. That
        # process is a fresh one without threads; only its imports are shared.
        context = multiprocessing.get_context("forkserver")
        models = sorted(frozenset().union(*(task.asks for task in tasks)))
        context.set_forkserver_preload([f"harness.executors.{'preload' if models else 'local'}"])
        self._meters = {model: SharedMeter(context) for model in models}
        self._others = set(multiprocessing.active_children())

        def processes(count: int) -> ProcessPoolExecutor:
            return ProcessPoolExecutor(
                count, mp_context=context, initializer=_prepare, initargs=(self._meters, dict(os.environ))
            )

        # Pools start what they need when they need it; one that gets no run starts nothing.
        self._computing = processes(workers)
        self._asking = processes(max(sum(concurrency[model] for model in models), 1))
        self._threads = ThreadPoolExecutor(max_workers=max(len(tasks), 1), thread_name_prefix="run")

    def submit(self, task: Task) -> Future[Outcome]:
        """Make a run in its lane.

        Raises:
            BrokenProcessPool: A worker of that lane has died.
        """
        if task.in_process:
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            return self._threads.submit(_make, task, self._meters)
        return (self._asking if task.asks else self._computing).submit(_make_in_worker, task)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # What is no error of a run is somebody who wants to stop now. Runs can be killed at any moment.
        stopped = kind is not None and not issubclass(kind, Exception)
        if stopped:
            for process in set(multiprocessing.active_children()) - self._others:
                process.terminate()
        for pool in (self._computing, self._asking):
            pool.shutdown(wait=True, cancel_futures=True)
        # A thread cannot be stopped; it parks its run as soon as its model, which is stopped next, is gone.
        self._threads.shutdown(wait=not stopped, cancel_futures=True)


#: Meters of this worker, by model.
_meters: Mapping[str, SharedMeter] = {}


def _prepare(meters: Mapping[str, SharedMeter], environment: Mapping[str, str]) -> None:
    """Set up a worker."""
    global _meters
    _meters = meters
    worker_processes.prepare(environment)
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _make_in_worker(task: Task) -> Outcome:
    return _make(task, _meters)


def _make(task: Task, meters: Mapping[str, SharedMeter]) -> Outcome:
    return _kept(
        task,
        lambda: search.run(
            task.spec,
            task.folder,
            models=replace(task.models, meters={model: meters[model] for model in task.asks}),
            environment=task.environment,
            facts=task.facts,
        ),
    )


def _park(task: Task, reason: str) -> Outcome:
    return _kept(
        task,
        lambda: search.park(task.spec, task.folder, reason, environment=task.environment, facts=task.facts),
    )


def _kept(task: Task, make: Callable[[], Outcome]) -> Outcome:
    """What was made of a run's folder; an error of the folder is how the run ended."""
    try:
        return make()
    except StorageError as error:
        return Outcome(task.folder, "failed", 0, str(error), storage_failed=True)
    except HarnessError as error:
        return Outcome(task.folder, "failed", 0, str(error))


def _end(outcome: Outcome, done: Callable[[Outcome], None]) -> None:
    done(outcome)
    if outcome.storage_failed:
        raise StoreError(str(outcome.error))
