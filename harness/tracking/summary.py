"""Logs whole results folders, after the fact."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import store
from harness.errors import StoreError
from harness.tracking.tracker import Counts
from harness.tracking.tracker import Tracker

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class TrackSummary:
    """What :func:`track_results` did.

    Attributes:
        sweeps: Name of each sweep, and what became of its runs.
    """

    sweeps: dict[str, Counts]

    @property
    def logged(self) -> int:
        """Runs that were logged now."""
        return sum(counts.logged for counts in self.sweeps.values())

    @property
    def unreadable(self) -> list[str]:
        """Why folders could not be read, one message each."""
        return [message for counts in self.sweeps.values() for message in counts.unreadable]

    def __str__(self) -> str:
        return "\n".join(f"{name}: {counts}" for name, counts in self.sweeps.items())


def track_results(results: Path, uri: str) -> TrackSummary:
    """Log the finished runs of one sweep or of many; those that were logged before are passed over.

    Args:
        results: A sweep's folder, or the folder of several.
        uri: Any tracking URI of MLflow.

    Raises:
        StoreError: There is no sweep here, or it was made by another version of the harness.
        TrackingError: The tracking server cannot be used.
    """
    folders = [results] if _is_sweep(results) else sorted(filter(_is_sweep, results.glob("*")))
    if not folders:
        raise StoreError(
            f"{results}: no sweep here; give the folder of a sweep (with a sweep.json in it), or of several."
        )
    sweeps = {}
    for folder in folders:
        store.check_format(folder)
        tracker = Tracker(uri, _name(folder))
        tracker.log(sorted(path.parent for path in folder.glob("*/*/*/run.json")))
        tracker.close()
        sweeps[tracker.sweep] = tracker.counts
    return TrackSummary(sweeps)


def _is_sweep(folder: Path) -> bool:
    return (folder / "sweep.json").is_file()


def _name(folder: Path) -> str:
    name: str = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))["name"]
    return name
