"""Logs a search sweep as a run of its own, above its strategies: its plan, its report, the calls of one run."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

from pydantic import TypeAdapter
from pydantic import ValidationError

from harness.errors import StoreError
from harness.store import FINISHED
from harness.store import TRANSCRIPTS
from harness.tracking import layout
from harness.tracking.connection import connect
from harness.tracking.connection import open_experiment
from harness.tracking.connection import search_all
from harness.tracking.connection import tracking_errors
from harness.tracking.record import FinishedRun
from harness.tracking.record import Point
from harness.tracking.record import UnreadableRun
from harness.tracking.record import flat
from harness.tracking.record import texts
from harness.tracking.state import ROLE
from harness.tracking.state import SWEEP
from harness.tracking.state import SWEEP_ROLE
from harness.tracking.state import digest
from harness.tracking.state import log_files
from harness.tracking.state import report_files
from harness.tracking.state import standing
from harness.tracking.traces import read_transcript
from harness.tracking.writer import log_batches

if TYPE_CHECKING:
    from collections.abc import Collection
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

    from mlflow import MlflowClient
    from mlflow.entities import Run

#: Artifact of a sweep's run: what one of its runs asked a model and what that replied, one call per line.
CALLS = f"{TRANSCRIPTS}.jsonl"
PARENT = "mlflow.parentRunId"
_IDENTITY = "harness.sweep_id"
_SWEEP = TypeAdapter(layout.Sweep)
# Some hundred calls with long prompts: all of one run as a rule, and never a burden for a server.
_MOST_BYTES = 4 * 2**20


def read_sweep(file: Path) -> layout.Sweep:
    """``sweep.json`` of a search sweep.

    Raises:
        StoreError: It is missing or damaged.
    """
    try:
        return _SWEEP.validate_json(file.read_bytes())
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror}.") from error
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(
            f"{file}: this does not say what the sweep is ({where or 'file'}: {first['msg']}); the same `harness run` "
            "writes it anew."
        ) from None


def track_sweep(folder: Path, uri: str, *, report: bool = True) -> bool:
    """Log a sweep as the run above the parents of its runs, which are logged already.

    The same state is logged once. An earlier state, which is one with a parent in common, is replaced; the same
    sweep with another budget or other strategies throughout has none in common, and stays.

    Args:
        folder: The sweep's folder.
        uri: Any tracking URI of MLflow.
        report: Whether the report that lies there is that of the runs that lie there.

    Returns:
        Whether it was logged now. A sweep of which no run has ended is not.

    Raises:
        StoreError: ``sweep.json`` is damaged.
        TrackingError: The tracking server cannot be used.
    """
    sweep = read_sweep(folder / SWEEP)
    runs = _ended_runs(folder)
    if not runs:
        return False
    files = [folder / SWEEP, *(report_files(folder) if report else ())]
    calls = _calls(folder, sweep, runs)
    endings = [run.ending for run in runs.values() if run.ending]
    first, last = min(run.started for run in runs.values()), max(ending.ended for ending in endings)
    groups = {ending.group_id for ending in endings}
    failed = sum(ending.status == "failed" for ending in endings)
    identity = digest(folder, files, calls, json.dumps([first, last, len(runs), failed, sorted(groups)]))
    client = connect(uri)
    with tracking_errors(uri):
        experiment = open_experiment(client, uri, sweep.name).experiment_id
        there = search_all(client, [experiment])
        sweeps = [run for run in there if _IDENTITY in run.data.tags]
        known, others = standing(sweeps, _IDENTITY, identity)
        outdated = _outdated(there, sweeps, others, groups)
        mlflow_id = known
        if mlflow_id is None:
            mlflow_id = client.create_run(
                experiment, start_time=first, tags=_tags(sweep, identity)
            ).info.run_id
            counts = {"planned_runs": len(sweep.runs), "ended_runs": len(runs), "failed_runs": failed}
            points = [Point(key, float(count), last, 0) for key, count in counts.items()]
            log_batches(client, mlflow_id, _params(sweep), points)
            log_files(client, mlflow_id, folder, files)
            if calls:
                client.log_text(mlflow_id, calls, CALLS)
            # Last, for this is what tells a sweep that was logged whole from one that was cut off.
            client.set_terminated(mlflow_id, end_time=last)
        # Also of one that was known: a kill may have come in between.
        _nest(client, there, groups, mlflow_id, outdated)
        for run_id in outdated:
            client.delete_run(run_id)
    return known is None


def _ended_runs(folder: Path) -> dict[str, FinishedRun]:
    """The runs that have ended, by their folders below the sweep's."""
    runs = {}
    for path in sorted(path.parent for path in folder.glob("*/*/seed-*/run.json")):
        try:
            run = FinishedRun(path)
        except UnreadableRun:
            continue  # It is not logged either; whoever logs runs says why.
        if run.ending is not None:
            runs[path.relative_to(folder).as_posix()] = run
    return runs


def _calls(folder: Path, sweep: layout.Sweep, runs: Mapping[str, FinishedRun]) -> str:
    """The calls of the run whose calls a report shows, as JSON lines; none where no model was asked.

    That is the first run in the order of the sweep, finished ones before those that failed.
    """

    def order(name: str) -> tuple[bool, int, int, int]:
        benchmark, strategy, seed = name.split("/")
        ending = runs[name].ending
        return (
            ending is None or ending.status not in FINISHED,
            _place(benchmark, sweep.benchmarks),
            _place(strategy, sweep.strategies),
            int(seed.removeprefix("seed-")),
        )

    for name in sorted((name for name, run in runs.items() if run.llm_calls), key=order):
        try:
            calls = runs[name].calls()
        except UnreadableRun:
            continue  # It is not logged either.
        if calls:
            return _lines(folder.resolve().parent / TRANSCRIPTS, [traced.call.key for traced in calls])
    return ""


def _place(label: str, labels: Sequence[str]) -> int:
    return labels.index(label) if label in labels else len(labels)


def _lines(transcripts: Path, keys: Sequence[str]) -> str:
    """Those calls that are stored, each once, up to :data:`_MOST_BYTES`."""
    lines = []
    left = _MOST_BYTES
    for key in dict.fromkeys(keys):
        entry = read_transcript(transcripts, key)
        if entry is None:
            continue
        lines.append(json.dumps({"key": key} | dict(entry), separators=(",", ":")) + "\n")
        left -= len(lines[-1])
        if left < 0:
            return "".join(lines[:-1])
    return "".join(lines)


def _tags(sweep: layout.Sweep, identity: str) -> dict[str, str]:
    return {
        "sweep": sweep.name,
        ROLE: SWEEP_ROLE,
        _IDENTITY: identity,
        "mlflow.runName": f"sweep {sweep.name}",
        "mlflow.note.content": sweep.description,
        "mlflow.source.name": "harness",
        "mlflow.source.type": "LOCAL",
    }


def _params(sweep: layout.Sweep) -> dict[str, str]:
    listed = {
        "benchmarks": ", ".join(sweep.benchmarks),
        "strategies": ", ".join(sweep.strategies),
        "seeds": ", ".join(map(str, sweep.seeds)),
    }
    return texts(listed | flat("", sweep.objective) | flat("budget", sweep.budget))


def _outdated(
    there: Sequence[Run], sweeps: Sequence[Run], others: Collection[str], groups: Collection[str]
) -> set[str]:
    """Which of the other sweeps' runs were cut off, or stand for an earlier state of this one."""
    nested: defaultdict[str, set[str]] = defaultdict(set)
    for run in there:
        if above := run.data.tags.get(PARENT):
            nested[above].add(run.data.tags.get("harness.group_id", ""))
    whole = {run.info.run_id for run in sweeps if run.info.status == "FINISHED"}
    return {
        run_id
        for run_id in others
        if run_id not in whole or not nested[run_id] or not nested[run_id].isdisjoint(groups)
    }


def _nest(
    client: MlflowClient,
    there: Sequence[Run],
    groups: Collection[str],
    sweep: str,
    outdated: Collection[str],
) -> None:
    """Put the parents of the sweep's runs below its run, and free those that are no longer its own."""
    for run in there:
        tags = run.data.tags
        if "harness.group_id" not in tags or "harness.run_id" in tags:
            continue
        if tags["harness.group_id"] in groups:
            if tags.get(PARENT) != sweep:
                client.set_tag(run.info.run_id, PARENT, sweep)
        elif tags.get(PARENT) in outdated:
            client.delete_tag(run.info.run_id, PARENT)
