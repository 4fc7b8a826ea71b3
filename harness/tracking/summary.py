"""Logs whole results folders, after the fact."""

from __future__ import annotations

import json
import os
import re
from contextlib import nullcontext
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from harness import store
from harness.errors import StoreError
from harness.ranking.run import KIND as RANKING
from harness.tracking.ranking import track_ranking
from harness.tracking.state import SWEEP
from harness.tracking.sweep_run import read_sweep
from harness.tracking.sweep_run import track_sweep
from harness.tracking.tracker import Counts
from harness.tracking.tracker import Tracker

if TYPE_CHECKING:
    from pathlib import Path

# The name becomes that of a folder of artifacts.
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True)
class TrackSummary:
    """What :func:`track_results` did.

    Attributes:
        sweeps: Name of each sweep, and what became of its runs.
        refused: Folders of sweeps that were left out, and why.
    """

    sweeps: list[tuple[str, Counts]] = field(default_factory=list)
    refused: dict[Path, str] = field(default_factory=dict)

    @property
    def logged(self) -> int:
        """Runs that were logged now."""
        return sum(counts.logged for _, counts in self.sweeps)

    @property
    def unreadable(self) -> dict[Path, str]:
        """Folders of runs and of whole sweeps that were not logged for what is wrong with them, and why."""
        runs = {folder: why for _, counts in self.sweeps for folder, why in counts.unreadable.items()}
        return self.refused | runs

    def __str__(self) -> str:
        return "\n".join([*(f"{name}: {counts}" for name, counts in self.sweeps), *self.refused.values()])


def track_results(results: Path, uri: str, *, traces: bool = False) -> TrackSummary:
    """Log the finished runs of one sweep or of many; those that were logged before are passed over.

    A sweep's folder is locked meanwhile. Of many sweeps, one that cannot be tracked holds up no other.

    Args:
        results: A sweep's folder, or the folder of several.
        uri: Any tracking URI of MLflow.
        traces: Whether to log each call of a language model as a trace of its run.

    Raises:
        StoreError: There is no sweep here, or the one that is here is being run, has an unsafe name, or was
            made by another version of the harness.
        TrackingError: The tracking server cannot be used.
    """
    if _is_sweep(results):
        return TrackSummary([_track_sweep(results, uri, traces)])
    folders = sorted(filter(_is_sweep, results.glob("*")))
    if not folders:
        raise StoreError(
            f"{results}: no sweep here; give the folder of a sweep (with a sweep.json in it), or of several."
        )
    summary = TrackSummary()
    for folder in folders:
        try:
            summary.sweeps.append(_track_sweep(folder, uri, traces))
        except StoreError as error:
            summary.refused[folder] = str(error)
    return summary


def _track_sweep(folder: Path, uri: str, traces: bool) -> tuple[str, Counts]:
    name, kind = _name_and_kind(folder / SWEEP)
    # Where nothing can be written, no sweep is running and no lock can be made: an archive, for instance.
    with store.locked(folder) if os.access(folder, os.W_OK) else nullcontext():
        if kind == RANKING:
            return name, track_ranking(folder, uri)
        read_sweep(folder / SWEEP)
        tracker = Tracker(uri, name, traces=traces)
        tracker.log(sorted(path.parent for path in folder.glob("*/*/*/run.json")))
        tracker.close()
        track_sweep(folder, uri)
    return name, tracker.counts


def _is_sweep(folder: Path) -> bool:
    return (folder / SWEEP).is_file()


def _name_and_kind(file: Path) -> tuple[str, str]:
    """The name that a sweep's file gives it, and its kind."""
    try:
        content = json.loads(file.read_bytes().decode("utf-8"))
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror}.") from error
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise StoreError(f"{file}: this is no file of the harness; `harness run` writes it anew.")
    store.check_format(file.parent)
    name = content.get("name")
    if not isinstance(name, str) or not _SAFE_NAME.fullmatch(name):
        raise StoreError(
            f"{file}: `name` is {json.dumps(name)}, and that of a sweep is made of letters, digits, '.', '_', "
            "'+' and '-', the first a letter or digit; `harness run` writes the file anew."
        )
    return name, content.get("kind", "search")
