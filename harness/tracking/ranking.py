"""Logs a ranking: a parent run with the report, and a child run per benchmark and row of its table."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from typing import TYPE_CHECKING
from typing import Any

from harness.errors import StoreError
from harness.ranking.folder import FILES
from harness.ranking.folder import RankingFolder
from harness.ranking.run import SESSIONS
from harness.tracking.connection import connect
from harness.tracking.connection import open_experiment
from harness.tracking.connection import search_all
from harness.tracking.connection import tracking_errors
from harness.tracking.layout import milliseconds
from harness.tracking.record import Point
from harness.tracking.state import RANKING_ID
from harness.tracking.state import REPORT
from harness.tracking.state import ROLE
from harness.tracking.state import SWEEP
from harness.tracking.state import SWEEP_ROLE
from harness.tracking.state import digest
from harness.tracking.state import log_files
from harness.tracking.state import report_files
from harness.tracking.state import standing
from harness.tracking.tracker import Counts
from harness.tracking.writer import log_batches

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlflow import MlflowClient

    from harness.ranking.folder import Record

# Tag of a child: its parent.
_CHILD = "harness.ranking_of"
_NAMES = ("benchmark", "scorer", "name", "role", "seconds_kind", "missing")
_LONGEST = 5000


def track_ranking(folder: Path, uri: str) -> Counts:
    """Log what the report of a ranking says; where the same was logged before, nothing is.

    An earlier state of the ranking, or one that was cut off while it was being logged, is replaced.

    Args:
        folder: The sweep's folder, with its report.
        uri: Any tracking URI of MLflow.

    Returns:
        How many rows were logged now, or before.

    Raises:
        StoreError: There is no report, or the folder is damaged.
        TrackingError: The tracking server cannot be used.
    """
    sweep = _sweep(folder / SWEEP)
    tables = _tables(folder, sweep["benchmarks"])
    records = {label: _record(folder / label) for label in tables}
    files = _files(folder, list(tables))
    identity = digest(folder, files)
    count = sum(map(len, tables.values()))
    times = _times(folder / SESSIONS, list(tables))
    client = connect(uri)
    with tracking_errors(uri):
        experiment = open_experiment(client, uri, sweep["name"]).experiment_id
        if not _clear(client, experiment, identity):
            return Counts(known=count)
        first, last = min(t for t, _ in times.values()), max(t for _, t in times.values())
        tags = {
            "sweep": sweep["name"],
            ROLE: SWEEP_ROLE,
            RANKING_ID: identity,
            "mlflow.runName": f"ranking {sweep['name']}",
        }
        parent = client.create_run(experiment, start_time=first, tags=tags).info.run_id
        sample = {key: str(sweep[key]) for key in ("architectures", "seed")}
        log_batches(client, parent, sample | {"scorers": ", ".join(sweep["scorers"])[:_LONGEST]}, ())
        for label, rows in tables.items():
            for row in rows:
                _log(client, experiment, parent, row, records[label], sweep["name"], times[label])
        log_files(client, parent, folder, files)
        # Last, for this is what tells a ranking that was logged whole from one that was cut off.
        client.set_terminated(parent, end_time=last)
    return Counts(logged=count)


def _log(
    client: MlflowClient,
    experiment: str,
    parent: str,
    row: Mapping[str, str],
    record: Record,
    sweep: str,
    times: tuple[int, int],
) -> None:
    """One row of a table as a child run."""
    began, ended = times
    tags = {key: row[key] for key in ("benchmark", "scorer", "role", "missing") if row[key]}
    tags |= {f"version.{package}": version for package, version in record.versions.items()}
    tags |= {
        "sweep": sweep,
        "dataset": record.dataset,
        "space": record.space,
        "data.source": record.data.source,
        "data.digest": record.data.digest,
        _CHILD: parent,
        "mlflow.parentRunId": parent,
        "mlflow.runName": f"{row['scorer']} on {row['benchmark']}",
    }
    params: dict[str, Any] = {
        "benchmark": record.benchmark.name,
        **{f"benchmark.{key}": value for key, value in record.benchmark.params.items()},
        "fidelity": record.fidelity,
        "architectures": record.sample.architectures,
        "seed": record.sample.seed,
    }
    if scorer := record.scorers.get(row["scorer"]):
        params |= {"scorer": scorer.name} | {f"scorer.{key}": value for key, value in scorer.params.items()}
    numbers = {key: float(value) for key, value in row.items() if key not in _NAMES and value}
    points = [Point(key, value, ended, 0) for key, value in numbers.items() if math.isfinite(value)]
    run = client.create_run(experiment, start_time=began, tags=tags).info.run_id
    log_batches(client, run, {key: str(value)[:_LONGEST] for key, value in params.items()}, points)
    client.set_terminated(run, end_time=ended)


def _clear(client: MlflowClient, experiment: str, identity: str) -> bool:
    """Delete what was logged of other states of the ranking; whether this one is still to be logged."""
    logged = search_all(client, [experiment])
    children = defaultdict(list)
    for run in logged:
        if _CHILD in run.data.tags:
            children[run.data.tags[_CHILD]].append(run.info.run_id)
    known, others = standing([run for run in logged if RANKING_ID in run.data.tags], RANKING_ID, identity)
    # Children whose parent somebody deleted go as well.
    for parent in {*others, *children} - {known}:
        for run_id in children[parent]:
            client.delete_run(run_id)
        if parent in others:
            client.delete_run(parent)
    return known is None


def _sweep(file: Path) -> dict[str, Any]:
    try:
        sweep = json.loads(file.read_bytes())
        return {key: sweep[key] for key in ("name", "benchmarks", "scorers", "architectures", "seed")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{file}: this does not say what the ranking is ({error}); delete it, and the same `harness run` writes "
            "it anew."
        ) from None


def _tables(folder: Path, benchmarks: list[str]) -> dict[str, list[dict[str, str]]]:
    tables = {}
    for label in benchmarks:
        file = folder / REPORT / f"table-{label}.csv"
        # A benchmark that is not scored yet has none.
        if file.exists():
            with file.open(newline="", encoding="utf-8") as lines:
                tables[label] = list(csv.DictReader(lines))
    if not tables:
        raise StoreError(
            f"{folder}: this ranking has no report to be logged; `harness report {folder}` makes it."
        )
    return tables


def _record(path: Path) -> Record:
    record = RankingFolder(path).record
    if record is None:
        raise StoreError(f"{path}: this is not written whole; the same `harness run` writes it.")
    return record


def _files(folder: Path, labels: list[str]) -> list[Path]:
    """What is kept of a ranking: all that its report is made from, and the report."""
    parts = [folder / label / name for label in labels for name in FILES]
    return [folder / SWEEP, folder / SESSIONS, *parts, *report_files(folder)]


def _times(sessions: Path, labels: list[str]) -> dict[str, tuple[int, int]]:
    """When the scoring of each benchmark began and ended, in milliseconds since the epoch."""
    began, ended = defaultdict(list), defaultdict(list)
    try:
        for line in sessions.read_bytes().split(b"\n")[:-1]:
            session = json.loads(line)
            began[session["benchmark"]].append(milliseconds(session["started"]))
            ended[session["benchmark"]].append(milliseconds(session["ended"]))
        return {label: (min(began[label]), max(ended[label])) for label in labels}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{sessions}: this does not say when every benchmark was scored ({error}); restore it, or delete the "
            "benchmarks' folders, and the same `harness run` writes them anew."
        ) from None
