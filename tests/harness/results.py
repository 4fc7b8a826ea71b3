"""What a results folder holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from pathlib import Path


def record(folder: Path) -> dict[str, Any]:
    """``run.json`` of a run."""
    content: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return content


def rows(folder: Path) -> list[dict[str, Any]]:
    """The trials of a run."""
    return [json.loads(line) for line in trajectory(folder).splitlines()]


def timings(folder: Path) -> list[dict[str, Any]]:
    """The timings of a run."""
    return [json.loads(line) for line in (folder / "timings.jsonl").read_text().splitlines()]


def trajectory(folder: Path) -> bytes:
    """The trajectory of a run, as it is written."""
    return (folder / "trajectory.jsonl").read_bytes()


def trajectories(folder: Path) -> dict[str, bytes]:
    """The trajectories of all runs below a folder."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("trajectory.jsonl")}


def statuses(folder: Path) -> dict[str, str]:
    """The status of each run below a folder."""
    return {
        str(f.parent.relative_to(folder)): json.loads(f.read_text())["status"]
        for f in folder.rglob("run.json")
    }
