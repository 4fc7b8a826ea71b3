"""Logs the finished runs of one sweep."""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections import Counter
from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from harness.tracking.connection import connect
from harness.tracking.connection import open_experiment
from harness.tracking.connection import search_all
from harness.tracking.connection import tracking_errors
from harness.tracking.layout import ENDINGS
from harness.tracking.record import Ending
from harness.tracking.record import FinishedRun
from harness.tracking.record import Point
from harness.tracking.record import RunRecord
from harness.tracking.record import UnreadableRun
from harness.tracking.traces import TRACED
from harness.tracking.traces import delete_traces
from harness.tracking.traces import log_traces
from harness.tracking.writer import log_batches
from harness.tracking.writer import make_writer

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow.entities import Experiment


_INFINITE = 1e300
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
    "strategy_gpu_seconds",
    "llm_seconds",
    "llm_gpu_seconds",
    "fallbacks",
    "evaluation_seconds",
    "seconds",
)
# Tags of a child that are not those of its seed, and so hold for its parent.
_SHARED_TAGS = ("strategy", "benchmark", "dataset", "sweep", "space", "metric", "cost_kind")


@dataclass
class _Child:
    """A child run, as far as it matters to its parent and to the next time that it is given."""

    mlflow_id: str
    ending: Ending
    metrics: Mapping[str, float]
    traced: bool = False


@dataclass
class _Parent:
    """A parent run as the server has it: its status there, when it ended, its latest metrics."""

    mlflow_id: str
    status: str = "RUNNING"
    ended: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Counts:
    """What became of the folders that were given to :meth:`Tracker.log`.

    Attributes:
        logged: Runs that were logged now.
        known: Runs that had been logged before.
        unfinished: Runs that have not ended.
        unreadable: Folders that could not be read, and why.
    """

    logged: int = 0
    known: int = 0
    unfinished: int = 0
    unreadable: dict[Path, str] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"{self.logged} logged", f"{self.known} logged before"]
        if self.unfinished:
            parts.append(f"{self.unfinished} not finished")
        if self.unreadable:
            parts.append(f"{len(self.unreadable)} unreadable")
        reasons = [f"{folder}: {why}" for folder, why in self.unreadable.items()]
        return "\n  ".join([", ".join(parts), *reasons])


class Tracker:
    """Logs the finished runs of one sweep, from their folders.

    A run is logged once, however often it is given. A run that was cut off while it was being logged, or
    that was run again since, is replaced. One process writes one sweep at a time.

    Args:
        uri: Any tracking URI of MLflow.
        sweep: Name of the sweep; MLflow's experiment has this name, and is made where it is missing.
        traces: Whether to log each call of a language model as a trace of its run, also of runs that were logged
            before without.

    Attributes:
        counts: What became of the folders that were given to :meth:`log` and are written.

    Raises:
        TrackingError: The tracking server cannot be used.
    """

    def __init__(self, uri: str, sweep: str, *, traces: bool = False) -> None:
        self.uri = uri
        self.sweep = sweep
        self.traces = traces
        self.counts = Counts()
        # By run and group, for a run under another label is a child of another parent.
        self._children: dict[tuple[str, str], _Child] = {}
        self._parents: dict[str, _Parent] = {}
        # MLflow's ids of child runs that were cut off while they were being logged.
        self._cut_off: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self._waiting: list[Path] = []
        self._written = -math.inf
        self._client = connect(uri)
        with tracking_errors(self.uri):
            self._experiment: Experiment = open_experiment(self._client, self.uri, self.sweep)
            self._writer = make_writer(self.uri, self._client, self._experiment)
            self._look_up()

    @property
    def unreadable(self) -> dict[Path, str]:
        """Folders that were given to :meth:`log` and could not be read, and why."""
        return self.counts.unreadable

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
            groups[child.ending.group_id].append(child)
        with tracking_errors(self.uri):
            for group_id, children in groups.items():
                self._finish_parent(self._parents[group_id], children)

    def _write_some(self) -> None:
        folders, self._waiting = self._waiting[:_AT_A_TIME], self._waiting[_AT_A_TIME:]
        records = list(self._new_records(folders))
        with tracking_errors(self.uri):
            for record in records:
                self._delete_old(record.ending)
                if record.ending.group_id not in self._parents:
                    self._parents[record.ending.group_id] = self._create_parent(record)
            parents = {group: parent.mlflow_id for group, parent in self._parents.items()}
            mlflow_ids = self._writer.write(records, parents)
        for record, mlflow_id in zip(records, mlflow_ids, strict=True):
            self._children[record.ending.key] = _Child(
                mlflow_id, record.ending, {key: point.value for key, point in record.latest.items()}
            )
        self.counts.logged += len(records)
        if self.traces:
            self._trace(folders)
        self._written = time.monotonic()

    def _trace(self, folders: Sequence[Path]) -> None:
        """Log the calls of those runs whose calls are not there yet."""
        for folder in folders:
            if folder in self.counts.unreadable:
                continue
            run = FinishedRun(folder)
            child = self._children.get(run.ending.key) if run.ending else None
            if child is None or child.ending != run.ending or child.traced or not run.llm_calls:
                continue
            try:
                calls = run.calls()
            except UnreadableRun as error:
                self.counts.unreadable[folder] = error.reason
                continue
            with tracking_errors(self.uri):
                try:
                    log_traces(self._client, self._experiment.experiment_id, child.mlflow_id, folder, calls)
                except NotImplementedError:
                    self.traces = False
                    warnings.warn(
                        f"MLflow at {self.uri} keeps no traces, so none are logged; a database or a server with "
                        "one does.",
                        stacklevel=2,
                    )
                    return
                # Last: where this is missing, the calls are logged again, in the place of those that are there.
                self._client.set_tag(child.mlflow_id, TRACED, str(len(calls)))
            child.traced = True

    def _look_up(self) -> None:
        """Find out what was logged before, with one search for the whole sweep."""
        for run in search_all(self._client, [self._experiment.experiment_id]):
            tags, info = run.data.tags, run.info
            group_id, run_id = tags.get("harness.group_id"), tags.get("harness.run_id")
            finished = info.status in ("FINISHED", "FAILED")
            if group_id is None:
                continue  # Not ours: somebody logged into this experiment by hand.
            if run_id is not None and finished:
                ending = Ending(run_id, group_id, tags.get("status", ""), info.end_time or 0)
                self._children[ending.key] = _Child(info.run_id, ending, run.data.metrics, TRACED in tags)
            elif run_id is not None:
                self._cut_off[run_id, group_id].append(info.run_id)
            elif run.data.params:
                self._parents[group_id] = _Parent(info.run_id, info.status, info.end_time, run.data.metrics)
            else:
                # Cut off before it had a child, for its parameters come first.
                self._client.delete_run(info.run_id)
        for key, child in list(self._children.items()):
            if child.ending.group_id not in self._parents:
                # Somebody deleted the parent alone; this run is logged anew below another.
                del self._children[key]
                self._cut_off[key].append(child.mlflow_id)

    def _new_records(self, folders: Sequence[Path]) -> Iterator[RunRecord]:
        new: set[tuple[str, str]] = set()
        for folder in folders:
            # It may have been made again since.
            self.counts.unreadable.pop(folder, None)
            try:
                run = FinishedRun(folder)
                if run.ending is None:
                    self.counts.unfinished += 1
                elif run.ending.key in new or self._knows(run.ending):
                    self.counts.known += 1
                else:
                    record = run.record()
                    new.add(record.ending.key)
                    yield record
            except UnreadableRun as error:
                self.counts.unreadable[folder] = error.reason

    def _knows(self, ending: Ending) -> bool:
        child = self._children.get(ending.key)
        # A run that failed may have been made again since; an older copy never replaces a newer one.
        return child is not None and (child.ending == ending or child.ending.ended > ending.ended)

    def _delete_old(self, ending: Ending) -> None:
        if child := self._children.pop(ending.key, None):
            if child.traced or self.traces:
                delete_traces(self._client, self._experiment.experiment_id, child.mlflow_id)
            self._client.delete_run(child.mlflow_id)
        for mlflow_id in self._cut_off.pop(ending.key, ()):
            self._client.delete_run(mlflow_id)

    def _create_parent(self, record: RunRecord) -> _Parent:
        tags = {key: record.tags[key] for key in _SHARED_TAGS if key in record.tags}
        tags |= {key: value for key, value in record.tags.items() if key.startswith("mlflow.")}
        tags |= {"harness.group_id": record.ending.group_id, "mlflow.runName": record.group_name}
        run = self._client.create_run(self._experiment.experiment_id, start_time=record.started, tags=tags)
        params = {key: value for key, value in record.params.items() if key != "seed"}
        log_batches(self._client, run.info.run_id, params, ())
        return _Parent(run.info.run_id)

    def _finish_parent(self, parent: _Parent, children: Sequence[_Child]) -> None:
        """Bring a parent up to date, where it is not.

        What it holds is compared with what it should hold, so that it comes right also after somebody deleted
        a child, or after a kill between the writing of a child and this.
        """
        ended = max(child.ending.ended for child in children)
        aggregates = _aggregates(children)
        # A metric cannot be taken back: one that has no value any more gets none.
        gone = (key for key in parent.metrics if key in _AGGREGATES and key not in aggregates)
        aggregates |= dict.fromkeys(gone, math.nan)
        status = "FAILED" if aggregates["runs_failed"] == len(children) else "FINISHED"
        if (status, ended) == (parent.status, parent.ended) and all(
            _same(value, parent.metrics.get(key)) for key, value in aggregates.items()
        ):
            return
        # MLflow takes the value of the highest step for the latest, whenever it was logged.
        earlier = (
            self._client.get_metric_history(parent.mlflow_id, "runs") if "runs" in parent.metrics else []
        )
        step = 1 + max((metric.step for metric in earlier), default=0)
        points = [Point(key, value, ended, step) for key, value in aggregates.items()]
        log_batches(self._client, parent.mlflow_id, {}, points)
        self._client.set_terminated(parent.mlflow_id, status, end_time=ended)
        parent.status, parent.ended, parent.metrics = status, ended, aggregates


_AGGREGATES = frozenset(
    {
        "runs",
        *(f"runs_{status}" for status in ENDINGS),
        *(f"{kind}_{key}" for kind in ("mean", "std") for key in _MEANS),
        *(f"total_{key}" for key in _SUMS),
    }
)


def _aggregates(children: Sequence[_Child]) -> dict[str, float]:
    """Means and standard deviations of the final scores over the seeds, and sums of what they cost."""
    statuses = Counter(child.ending.status for child in children)
    # First: its history tells the last step, also where the rest of it was cut off.
    aggregates = {"runs": float(len(children))}
    # Zeros too, for they have to replace what was there before.
    aggregates |= {f"runs_{status}": float(statuses[status]) for status in ENDINGS}
    for key in _MEANS:
        values = _values(children, key)
        if values:
            aggregates[f"mean_{key}"] = statistics.fmean(values)
        if len(values) > 1:
            aggregates[f"std_{key}"] = statistics.stdev(values)
    for key in _SUMS:
        if values := _values(children, key):
            # Exact, so that the order of the children makes no difference.
            aggregates[f"total_{key}"] = math.fsum(values)
    return aggregates


def _values(children: Sequence[_Child], key: str) -> list[float]:
    values = (child.metrics[key] for child in children if key in child.metrics)
    # Databases hold infinity as the largest number there is; NaN is not below the bound either.
    return [value for value in values if abs(value) < _INFINITE]


def _same(due: float, there: float | None) -> bool:
    if there is None or math.isnan(due) or math.isnan(there):
        return there is not None and math.isnan(due) and math.isnan(there)
    return math.isclose(due, there, rel_tol=1e-12)
