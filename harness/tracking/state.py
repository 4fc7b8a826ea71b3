"""Runs of MLflow that stand for a state of a sweep's files: logged once, and replaced by a later state."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence
    from pathlib import Path

    from mlflow import MlflowClient
    from mlflow.entities import Run

#: Tag of the run that stands for a sweep or a ranking, and its value.
ROLE, SWEEP_ROLE = "role", "sweep"
#: Tag of the run that stands for a ranking: the digest of what it was logged from.
RANKING_ID = "harness.ranking_id"
#: Its artifacts, named as in the sweep's folder.
REPORT, SWEEP = "report", "sweep.json"


def report_files(folder: Path) -> list[Path]:
    """The files of a sweep's report, in an order of their own; none where no report was made."""
    return sorted(path for path in (folder / REPORT).rglob("*") if path.is_file())


def digest(folder: Path, files: Iterable[Path], *texts: str) -> str:
    """SHA-256 over the names and contents of files below a folder, and over texts."""
    whole = hashlib.sha256()
    for text in texts:
        whole.update(hashlib.sha256(text.encode()).digest())
    for path in files:
        whole.update(hashlib.sha256(path.relative_to(folder).as_posix().encode()).digest())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def log_files(client: MlflowClient, run_id: str, folder: Path, files: Iterable[Path]) -> None:
    """Log files below a folder as artifacts, each where it lies there."""
    for path in files:
        below = path.relative_to(folder).parent.as_posix()
        client.log_artifact(run_id, str(path), None if below == "." else below)


def standing(runs: Sequence[Run], tag: str, identity: str) -> tuple[str | None, list[str]]:
    """Part what was logged of a state from what was logged of others.

    Args:
        runs: Runs that have the tag.
        tag: Its value is the digest of a state.
        identity: The digest of the present state.

    Returns:
        The id of the run that was logged whole of the present state, or ``None``, and the ids of all others.
    """
    whole = [
        run.info.run_id for run in runs if run.data.tags[tag] == identity and run.info.status == "FINISHED"
    ][:1]
    return next(iter(whole), None), [run.info.run_id for run in runs if run.info.run_id not in whole]
