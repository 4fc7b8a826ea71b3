"""Logs the finished runs of one sweep."""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from harness.errors import DataError
from harness.errors import TrackingError
from harness.tracking.connection import artifact_root
from harness.tracking.connection import connect
from harness.tracking.connection import tracking_errors
from harness.tracking.record import Ending
from harness.tracking.record import FinishedRun
from harness.tracking.record import Point
from harness.tracking.record import RunRecord
from harness.tracking.writer import log_batches
from harness.tracking.writer import make_writer

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow.entities import Experiment
    from mlflow.entities import Run


_PAGE = 1000
# Runs of one transaction, where the server is a database, and how long it waits for that many.
_AT_A_TIME = 50
_SECONDS_BETWEEN = 1.0
_MEANS = ("final_valid", "final_test", "final_valid_regret", "final_test_regret")
_SUMS = (
    "simulated_gpu_hours",
    "measured_gpu_hours",
    "trials",
    "architectures",
    "duplicates",
    "rejected",
    "llm_calls",
    "prompt_tokens",
    "completion_tokens",
    "search_seconds",
    "llm_seconds",
    "evaluation_seconds",
    "seconds",
)
# Tags of a child that are not those of its seed, and so hold for its parent.
_SHARED_TAGS = ("strategy", "benchmark", "dataset", "sweep", "space", "metric", "cost_kind")


@dataclass
class _Child:
    """A child run, as far as it matters to its parent and to the next time that it is given."""

    mlflow_id: str
    group_id: str
    ending: Ending
    metrics: Mapping[str, float]


@dataclass
class _Parent:
    """A parent run. ``stale`` when its aggregates do not hold for its children any more."""

    mlflow_id: str
    stale: bool


@dataclass
class Counts:
    """What became of the folders that were given to :meth:`Tracker.log`.

    Attributes:
        logged: Runs that were logged now.
        known: Runs that had been logged before.
        unfinished: Runs that have not ended.
        unreadable: Why folders could not be read, one message each.
    """

    logged: int = 0
    known: int = 0
    unfinished: int = 0
    unreadable: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"{self.logged} logged", f"{self.known} logged before"]
        if self.unfinished:
            parts.append(f"{self.unfinished} not finished")
        if self.unreadable:
            parts.append(f"{len(self.unreadable)} unreadable")
        return "\n  ".join([", ".join(parts), *self.unreadable])


class Tracker:
    """Logs the finished runs of one sweep, from their folders.

    A run is logged once, however often it is given. A run that was cut off while it was being logged, or
    that was run again since, is replaced. One process writes one sweep at a time.

    Args:
        uri: Any tracking URI of MLflow.
        sweep: Name of the sweep; MLflow's experiment has this name, and is made where it is missing.

    Attributes:
        counts: What became of the folders that were given to :meth:`log` and are written.

    Raises:
        TrackingError: The tracking server cannot be used.
    """

    def __init__(self, uri: str, sweep: str) -> None:
        self.uri = uri
        self.sweep = sweep
        self.counts = Counts()
        self._children: dict[str, _Child] = {}
        self._parents: dict[str, _Parent] = {}
        # MLflow's ids of child runs that were cut off while they were being logged, by run id.
        self._cut_off: dict[str, str] = {}
        self._waiting: list[Path] = []
        self._written = -math.inf
        self._client = connect(uri)
        with tracking_errors(self.uri):
            self._experiment: Experiment = self._find_or_create_experiment()
            self._writer = make_writer(self.uri, self._client, self._experiment)
            self._look_up()

    def log(self, folders: Sequence[Path]) -> None:
        """Log finished runs; what is not finished, or was logged before, is passed over.

        Calls that follow each other fast are written together, at the latest by :meth:`close`: a transaction
        for each run alone would cost half as much again.

        Raises:
            TrackingError: The tracking server cannot be used. Nothing is lost: log the folders again, with a
                new tracker.
        """
        self._waiting += folders
        while len(self._waiting) >= _AT_A_TIME or (
            self._waiting and time.monotonic() - self._written >= _SECONDS_BETWEEN
        ):
            self._write_some()

    def close(self) -> None:
        """Write what waits, bring the aggregates of the parents up to date, and mark the parents as finished.

        Raises:
            TrackingError: The tracking server cannot be used.
        """
        while self._waiting:
            self._write_some()
        groups = defaultdict(list)
        for child in self._children.values():
            groups[child.group_id].append(child)
        with tracking_errors(self.uri):
            for group_id, children in groups.items():
                parent = self._parents[group_id]
                if parent.stale:
                    self._finish_parent(parent, children)

    def _write_some(self) -> None:
        folders, self._waiting = self._waiting[:_AT_A_TIME], self._waiting[_AT_A_TIME:]
        records = list(self._new_records(folders))
        with tracking_errors(self.uri):
            for record in records:
                self._delete_old(record.ending.run_id)
                if record.group_id not in self._parents:
                    self._parents[record.group_id] = self._create_parent(record)
                self._parents[record.group_id].stale = True
            parents = {group: parent.mlflow_id for group, parent in self._parents.items()}
            mlflow_ids = self._writer.write(records, parents)
        for record, mlflow_id in zip(records, mlflow_ids, strict=True):
            self._children[record.ending.run_id] = _Child(
                mlflow_id,
                record.group_id,
                record.ending,
                {key: point.value for key, point in record.latest.items()},
            )
        self.counts.logged += len(records)
        self._written = time.monotonic()

    def _find_or_create_experiment(self) -> Experiment:
        from mlflow.exceptions import MlflowException

        experiment = self._client.get_experiment_by_name(self.sweep)
        if experiment is None:
            root = artifact_root(self.uri)
            location = (root / self.sweep).as_uri() if root else None
            try:
                experiment_id = self._client.create_experiment(self.sweep, location)
            except MlflowException:
                # Another process may have been faster.
                experiment = self._client.get_experiment_by_name(self.sweep)
                if experiment is None:
                    raise
            else:
                experiment = self._client.get_experiment(experiment_id)
        if experiment.lifecycle_stage != "active":
            raise TrackingError(
                f"MLflow's experiment {self.sweep!r} was deleted. `mlflow experiments restore "
                f"-x {experiment.experiment_id}` brings it back, `mlflow gc` removes it for good; "
                "or give the sweep another name."
            )
        return experiment

    def _look_up(self) -> None:
        """Find out what was logged before, with one search for the whole sweep."""
        for run in self._logged_runs():
            tags, info = run.data.tags, run.info
            group_id, run_id = tags.get("harness.group_id"), tags.get("harness.run_id")
            finished = info.status in ("FINISHED", "FAILED")
            if group_id is None:
                continue  # Not ours: somebody logged into this experiment by hand.
            if run_id is not None and finished:
                ending = Ending(run_id, tags["status"], info.end_time)
                self._children[run_id] = _Child(info.run_id, group_id, ending, run.data.metrics)
            elif run_id is not None:
                self._cut_off[run_id] = info.run_id
            elif run.data.params:
                self._parents[group_id] = _Parent(info.run_id, stale=not finished)
            else:
                # Cut off before it had a child, for its parameters come first.
                self._client.delete_run(info.run_id)
        for run_id, child in list(self._children.items()):
            if child.group_id not in self._parents:
                # Somebody deleted the parent alone; this run is logged anew below another.
                del self._children[run_id]
                self._cut_off[run_id] = child.mlflow_id

    def _logged_runs(self) -> list[Run]:
        experiments = [self._experiment.experiment_id]
        runs: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs(experiments, max_results=_PAGE, page_token=token)
            runs += page
            token = page.token
            if not token:
                return runs

    def _new_records(self, folders: Sequence[Path]) -> Iterator[RunRecord]:
        new: set[str] = set()
        for folder in folders:
            try:
                run = FinishedRun(folder)
                if run.ending is None:
                    self.counts.unfinished += 1
                elif run.ending.run_id in new or self._knows(run.ending):
                    self.counts.known += 1
                else:
                    record = run.record()
                    new.add(record.ending.run_id)
                    yield record
            except DataError as error:
                self.counts.unreadable.append(str(error))

    def _knows(self, ending: Ending) -> bool:
        child = self._children.get(ending.run_id)
        # A run that failed may have been made again since; an older copy never replaces a newer one.
        return child is not None and (child.ending == ending or child.ending.ended > ending.ended)

    def _delete_old(self, run_id: str) -> None:
        if child := self._children.pop(run_id, None):
            self._client.delete_run(child.mlflow_id)
            self._parents[child.group_id].stale = True
        if mlflow_id := self._cut_off.pop(run_id, None):
            self._client.delete_run(mlflow_id)

    def _create_parent(self, record: RunRecord) -> _Parent:
        tags = {key: record.tags[key] for key in _SHARED_TAGS if key in record.tags}
        tags |= {key: value for key, value in record.tags.items() if key.startswith("mlflow.")}
        tags |= {"harness.group_id": record.group_id, "mlflow.runName": record.group_name}
        run = self._client.create_run(self._experiment.experiment_id, start_time=record.started, tags=tags)
        params = {key: value for key, value in record.params.items() if key != "seed"}
        log_batches(self._client, run.info.run_id, params, ())
        return _Parent(run.info.run_id, stale=True)

    def _finish_parent(self, parent: _Parent, children: Sequence[_Child]) -> None:
        ended = max(child.ending.ended for child in children)
        # The step is the number of children, so that MLflow takes the newest aggregates for the latest.
        points = [Point(key, value, ended, len(children)) for key, value in _aggregates(children).items()]
        log_batches(self._client, parent.mlflow_id, {}, points)
        all_failed = all(child.ending.status == "failed" for child in children)
        self._client.set_terminated(parent.mlflow_id, "FAILED" if all_failed else "FINISHED", end_time=ended)
        parent.stale = False


def _aggregates(children: Sequence[_Child]) -> dict[str, float]:
    """Means and standard deviations of the final scores over the seeds, and sums of what they cost."""
    aggregates = {"runs": float(len(children))}
    for status, count in Counter(child.ending.status for child in children).items():
        aggregates[f"runs_{status}"] = float(count)
    for key in _MEANS:
        values = [child.metrics[key] for child in children if key in child.metrics]
        if values:
            aggregates[f"mean_{key}"] = statistics.fmean(values)
        if len(values) > 1:
            aggregates[f"std_{key}"] = statistics.stdev(values)
    for key in _SUMS:
        values = [child.metrics[key] for child in children if key in child.metrics]
        if values:
            aggregates[f"total_{key}"] = sum(values)
    return aggregates
