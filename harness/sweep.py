"""All runs of a sweep: what is left to do, done in parallel, tracked as it ends."""

from __future__ import annotations

import contextlib
import datetime
import fnmatch
import json
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Protocol

from harness import environment
from harness import search
from harness import store
from harness.errors import SpecError
from harness.errors import StoreError
from harness.errors import TrackingError
from harness.executors.local import LocalExecutor
from harness.executors.local import Task
from harness.experiment import Sweep
from harness.models import Models
from harness.serving import concurrency
from harness.serving import serving
from harness.store import TRANSCRIPTS
from harness.store import RunFolder
from harness.store import StorageError
from harness.tracking import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Sequence
    from pathlib import Path

    from harness.experiment import ExperimentsFile
    from harness.experiment import RunSpec
    from harness.models import Replay
    from harness.search import Outcome


class Progress(Protocol):
    """Who is told how a sweep goes on."""

    def begin(self, total: int, earlier: int) -> None:
        """``total`` runs are to be there in the end, ``earlier`` of them are already."""

    def ended(self, outcome: Outcome) -> None:
        """A run has ended."""

    def message(self, text: str) -> None:
        """Something that a person should know now."""


@dataclass
class SweepResult:
    """How a sweep ended.

    Attributes:
        folder: The sweep's folder.
        finished: Runs that are finished, earlier ones among them.
        failed: Folders of runs that failed, with one line each that says why.
        parked: Folders of runs that wait for a model, with what it said; the next call goes on with them.
        untracked: Whether some finished runs are not in MLflow, although tracking is on.
    """

    folder: Path
    finished: int = 0
    failed: dict[Path, str] = field(default_factory=dict)
    parked: dict[Path, str] = field(default_factory=dict)
    untracked: bool = False


def select(specs: Sequence[RunSpec], only: Sequence[str]) -> list[RunSpec]:
    """Those specs whose labels fit one of the patterns.

    Args:
        specs: The specs of a sweep.
        only: Shell patterns on a strategy's label, a benchmark's label, or ``benchmark/strategy``. None
            takes all.

    Raises:
        SpecError: A pattern fits no run.
    """
    if not only:
        return list(specs)
    chosen = []
    fitted = set()
    for spec in specs:
        labels = spec.labels
        names = (labels.strategy, labels.benchmark, f"{labels.benchmark}/{labels.strategy}")
        hits = {p for p in only if any(fnmatch.fnmatchcase(name, p) for name in names)}
        fitted |= hits
        if hits:
            chosen.append(spec)
    if missed := [pattern for pattern in only if pattern not in fitted]:
        strategies = dict.fromkeys(spec.labels.strategy for spec in specs)
        benchmarks = dict.fromkeys(spec.labels.benchmark for spec in specs)
        raise SpecError(
            f"--only {missed[0]!r} fits no run of this sweep. Its strategies: {', '.join(strategies)}; "
            f"its benchmarks: {', '.join(benchmarks)}."
        )
    return chosen


def run_sweep(
    file: ExperimentsFile,
    name: str,
    specs: Sequence[RunSpec],
    *,
    planned: Sequence[RunSpec],
    results: Path,
    workers: int,
    tracking_uri: str | None,
    traces: bool = False,
    retry_failed: bool,
    progress: Progress,
    replay: Replay = "auto",
) -> SweepResult:
    """Make all runs that are not there yet.

    Runs whose model does not start are parked, the others are made.

    Args:
        file: Where the models are declared.
        name: Name of the sweep.
        specs: The runs to make now.
        planned: All runs of the sweep, so that a report knows what is missing.
        results: Folder of all results; the sweep's folder is made in it.
        workers: Number of processes.
        tracking_uri: MLflow tracking URI; ``None`` tracks nothing.
        traces: Whether to log each call of a language model as a trace of its run.
        retry_failed: Make the runs that failed earlier, and only those.
        progress: Who is told.
        replay: How transcripts are used; ``strict`` starts no model.

    Raises:
        StoreError: The folder is in use, holds other runs, or cannot be written. Finished runs are kept.
    """
    folder = results / name
    store.check_format(folder, "search")
    with store.locked(folder):
        result = SweepResult(folder)
        folders = {}
        for spec in specs:
            try:
                folders[spec] = RunFolder(folder / spec.path)
            except StorageError:
                raise
            except StoreError as error:
                # A damaged run costs no other one.
                result.failed[folder / spec.path] = str(error)
        todo = []
        earlier = []
        facts = {spec: search.facts_of(spec) for spec in specs}
        for spec, run in folders.items():
            run.check(spec, facts[spec]["data"])
            if run.is_finished:
                earlier.append(run.path)
            elif run.status == "failed" and not retry_failed:
                result.failed[run.path] = "failed earlier; --retry-failed makes it again"
            elif run.status == "failed" or not retry_failed:
                todo.append(spec)
        _write_sweep(folder, file, name, planned)
        result.finished = len(earlier)
        progress.begin(total=len(earlier) + len(todo), earlier=len(earlier))

        with _Tracking(tracking_uri, name, progress, traces=traces) as tracking:
            tracking.log([*earlier, *result.failed])

            def done(outcome: Outcome) -> None:
                progress.ended(outcome)
                if outcome.status == "parked":
                    result.parked[outcome.path] = outcome.error or "unknown"
                    return
                if outcome.status == "failed":
                    result.failed[outcome.path] = outcome.error or "unknown"
                else:
                    result.finished += 1
                if not outcome.storage_failed:
                    tracking.log([outcome.path])

            names = sorted({model for spec in todo for model in spec.models})
            with serving(file, names, replay=replay, message=progress.message) as models:
                described = environment.describe()
                tasks = []
                for spec in todo:
                    path = folder / spec.path
                    if missing := [models.failed[name] for name in spec.models if name in models.failed]:
                        done(search.park(spec, path, missing[0], environment=described, facts=facts[spec]))
                        continue
                    endpoints = {name: models.endpoints[name] for name in spec.models}
                    given = Models(endpoints, results / TRANSCRIPTS, replay)
                    tasks.append(Task(spec, path, given, described, facts[spec]))
                executor = LocalExecutor(workers, {name: concurrency(file, name) for name in names})
                executor.run(tasks, done)
        result.untracked = tracking.broken
        return result


class _Tracking(contextlib.AbstractContextManager["_Tracking"]):
    """A tracker whose failure costs no run: one message, and the runs can be tracked later.

    It connects when the first run has ended, so that the import of MLflow delays no search.
    """

    def __init__(self, uri: str | None, sweep: str, progress: Progress, *, traces: bool) -> None:
        self.broken = False
        self._uri = uri
        self._sweep = sweep
        self._traces = traces
        self._progress = progress
        self._tracker: Tracker | None = None

    def log(self, folders: Sequence[Path]) -> None:
        if self._uri is None or self.broken or not folders:
            return
        with self._guard():
            if self._tracker is None:
                self._tracker = Tracker(self._uri, self._sweep, traces=self._traces)
            self._tracker.log(folders)

    def __exit__(self, *error: object) -> None:
        if self._tracker is not None and not self.broken:
            with self._guard():
                self._tracker.close()
                for path, why in self._tracker.unreadable.items():
                    self._progress.message(f"Not tracked: {path}: {why}")

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except TrackingError as error:
            self.broken = True
            self._progress.message(
                f"Tracking stopped: {error} The runs go on and are kept; `harness track` logs them later."
            )


def _write_sweep(folder: Path, file: ExperimentsFile, name: str, planned: Sequence[RunSpec]) -> None:
    sweep = file.experiments.sweeps[name]
    assert isinstance(sweep, Sweep)
    path = folder / "sweep.json"
    content = {
        "format": store.FORMAT,
        "name": name,
        "description": sweep.description,
        "benchmarks": list(dict.fromkeys(spec.labels.benchmark for spec in planned)),
        "strategies": list(dict.fromkeys(spec.labels.strategy for spec in planned)),
        "seeds": sorted({spec.seed for spec in planned}),
        "budget": sweep.budget.model_dump(mode="json"),
        "objective": sweep.objective.model_dump(mode="json"),
        "runs": [str(spec.path) for spec in planned],
    }
    made = _now()
    if path.exists():
        with store.storage_errors(path):
            made = json.loads(path.read_bytes()).get("made", made)
    store.write_json(path, content | {"made": made})


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
