"""Rebuilds the results folder of a sweep from what a tracking server holds of it, and from nothing else."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING
from typing import Any

from harness.entries import LABEL
from harness.errors import TrackingError
from harness.ranking.folder import FILES as RANKING_FILES
from harness.ranking.run import SESSIONS
from harness.store import TRANSCRIPTS
from harness.tracking.connection import connect
from harness.tracking.connection import search_all
from harness.tracking.connection import tracking_errors
from harness.tracking.record import ARTIFACTS
from harness.tracking.state import RANKING_ID
from harness.tracking.state import REPORT
from harness.tracking.state import ROLE
from harness.tracking.state import SWEEP
from harness.tracking.state import SWEEP_ROLE
from harness.tracking.sweep_run import CALLS
from harness.tracking.sweep_run import PARENT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence
    from pathlib import Path

    from mlflow import MlflowClient
    from mlflow.entities import Run

# Downloads at a time, for a server takes longer to answer than to send.
_AT_A_TIME = 8


@dataclass(frozen=True)
class Fetched:
    """A results folder that was rebuilt.

    Attributes:
        name: Name of the sweep.
        folder: The sweep's folder.
        remarks: Where the server had several versions of something, one sentence each that says which was taken.
    """

    name: str
    folder: Path
    remarks: tuple[str, ...]


def fetch_sweep(uri: str, name: str | None, into: Path) -> Fetched:
    """Rebuild the results folder of a sweep, or of a ranking, from the artifacts of its runs.

    What a report reads is there again, byte for byte: the plan, the files of every run that was logged, and the
    calls that were logged with the sweep. Where the server has the sweep several times, with another budget for
    example, the one whose runs ended last is taken.

    Args:
        uri: Any tracking URI of MLflow; nothing is written there.
        name: Name of the sweep; ``None`` where the server has but one.
        into: A folder of results; the sweep's folder and that of transcripts are made in it.

    Raises:
        TrackingError: The server cannot be reached, has no such sweep, or lacks artifacts of it.
        StoreError: The folder cannot be written, or logged calls are damaged.
    """
    client = connect(uri, existing=True)
    with tracking_errors(uri):
        sweep, remarks = _find(client, uri, name)
        name = client.get_experiment(sweep.info.experiment_id).name
        folder = into / _safe(name, f"MLflow at {uri}: the name {name!r} of an experiment")
        _download(uri, sweep, [SWEEP, SESSIONS, CALLS], folder, needed=SWEEP)
        if RANKING_ID in sweep.data.tags:
            _fetch_ranking(uri, sweep, folder)
        else:
            remarks += _fetch_runs(client, uri, sweep, folder)
    if (folder / CALLS).exists():
        # By name, for the engine knows nothing of the package that asks models.
        (store,) = entry_points(group="harness.transcripts", name="default")
        store.load()(into / TRANSCRIPTS).load(folder / CALLS)
        (folder / CALLS).unlink()
    return Fetched(name, folder, tuple(remarks))


def _find(client: MlflowClient, uri: str, name: str | None) -> tuple[Run, list[str]]:
    """The run that stands for a sweep, and what is to be said about the choice."""
    experiments = _experiments(client)
    found: defaultdict[str, list[Run]] = defaultdict(list)
    # Without experiments, MLflow would search none and say nothing.
    for run in search_all(client, list(experiments), f"tags.{ROLE} = '{SWEEP_ROLE}'") if experiments else ():
        if run.info.status == "FINISHED":
            found[experiments[run.info.experiment_id]].append(run)
    there = f"There: {', '.join(sorted(found))}." if found else "No sweep of the harness is there."
    if name is None and len(found) > 1:
        raise TrackingError(f"MLflow at {uri}: which sweep? Name one behind the URI. {there}")
    wanted = next(iter(found), "") if name is None else name
    if wanted not in found:
        raise TrackingError(f"MLflow at {uri}: {_nothing(client, experiments, name)} {there}")
    (sweep, *others) = sorted(found[wanted], key=_age, reverse=True)
    remark = f"{wanted}: the server has this sweep {len(others) + 1} times; the one whose runs ended last is taken."
    return sweep, [remark] if others else []


def _experiments(client: MlflowClient) -> dict[str, str]:
    """Names of all experiments by their ids."""
    experiments: dict[str, str] = {}
    token = None
    while True:
        page = client.search_experiments(page_token=token)
        experiments |= {experiment.experiment_id: experiment.name for experiment in page}
        token = page.token
        if not token:
            return experiments


def _nothing(client: MlflowClient, experiments: dict[str, str], name: str | None) -> str:
    """Why there is no sweep of this name, or none at all."""
    of = [key for key, known in experiments.items() if name in (None, known)]
    runs = client.search_runs(of, "tags.`harness.group_id` LIKE '%'", max_results=1) if of else ()
    if not runs:
        missing = "there is no sweep" if name is None else f"there is no sweep {name!r}"
        return f"{missing}; `harness track RESULTS --uri URI` logs one."
    known = experiments[runs[0].info.experiment_id]
    return (
        f"runs of the sweep {known!r} are there, and not the sweep itself: it is still going on, was cut off, or was "
        "logged by an earlier version of the harness; `harness track RESULTS --uri URI` logs it."
    )


def _fetch_ranking(uri: str, ranking: Run, folder: Path) -> None:
    """The files of each benchmark of a ranking."""
    repository = _repository(uri, ranking)
    labels = [entry.path for entry in repository.list_artifacts() if entry.is_dir and entry.path != REPORT]
    for label in labels:
        _safe(label, f"MLflow at {uri}: run {ranking.info.run_name!r}: the folder {label!r} of its artifacts")
        there = {entry.path for entry in repository.list_artifacts(label)}
        for name in (f"{label}/{file}" for file in RANKING_FILES):
            if name in there:
                repository.download_artifacts(name, str(folder))


def _fetch_runs(client: MlflowClient, uri: str, sweep: Run, folder: Path) -> list[str]:
    """The files of every run below the parents that are below a sweep's run; says where some stand for one run."""
    there = search_all(client, [sweep.info.experiment_id])
    parents = {
        run.info.run_id
        for run in there
        if run.data.tags.get(PARENT) == sweep.info.run_id and "harness.group_id" in run.data.tags
    }
    places: defaultdict[str, list[Run]] = defaultdict(list)
    for run in there:
        ended = run.info.status in ("FINISHED", "FAILED")
        if ended and "harness.run_id" in run.data.tags and run.data.tags.get(PARENT) in parents:
            places[_place(uri, run)].append(run)
    if not places:
        raise TrackingError(
            f"MLflow at {uri}: the sweep {sweep.data.tags['sweep']!r} is there, and none of its runs: they were "
            "deleted. `harness track RESULTS --uri URI` logs them again."
        )
    newest = {place: max(runs, key=_age) for place, runs in sorted(places.items())}
    _download_all(uri, newest.items(), folder)
    return [
        f"{place}: the server has {len(runs)} runs of it, of other specifications; the one that ended last is taken."
        for place, runs in sorted(places.items())
        if len(runs) > 1
    ]


def _place(uri: str, run: Run) -> str:
    """The folder of a run below the sweep's."""
    tags = run.data.tags
    parts = [tags.get("benchmark", ""), tags.get("strategy", ""), f"seed-{tags.get('seed', '')}"]
    for part in parts:
        _safe(part, f"MLflow at {uri}: run {run.info.run_name!r}: the label {part!r} in its tags")
    return "/".join(parts)


def _safe(name: str, what: str) -> str:
    """A name that stays in the folder that it is put in.

    Raises:
        TrackingError: It does not.
    """
    if not LABEL.fullmatch(name):
        raise TrackingError(
            f"{what} is no name of a folder that the harness makes: letters, digits, '.', '_', '+' and '-', the first "
            "a letter or digit. Somebody changed it; nothing is written."
        )
    return name


def _download_all(uri: str, runs: Iterable[tuple[str, Run]], folder: Path) -> None:
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        jobs = [
            threads.submit(_download, uri, run, ARTIFACTS, folder / place, needed=ARTIFACTS[0])
            for place, run in runs
        ]
        for job in jobs:
            try:
                job.result()
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise


def _download(uri: str, run: Run, names: Sequence[str], folder: Path, *, needed: str) -> None:
    """Those of some artifacts that a run has.

    Raises:
        TrackingError: It lacks the one that is needed.
    """
    repository = _repository(uri, run)
    there = {entry.path for entry in repository.list_artifacts() if not entry.is_dir}
    if needed not in there:
        raise TrackingError(
            f"MLflow at {uri}: run {run.info.run_name!r} has no artifact {needed!r} any more; it belongs in "
            f"{run.info.artifact_uri}. Where that folder was moved, move it back; where it is lost, delete the run in "
            "MLflow, and `harness track RESULTS --uri URI` logs it again."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if name in there:
            repository.download_artifacts(name, str(folder))


def _repository(uri: str, run: Run) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(run.info.artifact_uri, tracking_uri=uri)


def _age(run: Run) -> tuple[int, int, str]:
    return run.info.end_time or 0, run.info.start_time, run.info.run_id
