"""Traffic sets by name: those that were imported, and one that is always there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from typing import Literal

import numpy as np

from harness.data_folder import data_folder
from harness.data_folder import is_name
from harness.errors import DataError
from harness.errors import SpecError
from harness.errors import unknown_name
from harness.traffic.files import read_traffic
from harness.traffic.official import OFFICIAL
from harness.traffic.synthetic import SYNTHETIC
from harness.traffic.synthetic import synthetic_set

if TYPE_CHECKING:
    from pathlib import Path

    from harness.traffic.trafficset import TrafficSet


@dataclass(frozen=True)
class TrafficSetStatus:
    """What a traffic set is and whether it can be used.

    Attributes:
        name: What it is called in settings.
        path: Where it is, or would be; ``None`` for the synthetic one, which is made when it is needed.
        state: ``valid``; ``corrupt``; or ``not imported``.
        problem: What is wrong, and what to do; ``None`` if nothing is.
        size_bytes: Size of the file; 0 if there is none.
        description: What it holds and where it comes from; empty if it cannot be read.
        digest: Identifies the content; ``None`` if it cannot be read.
    """

    name: str
    path: Path | None
    state: Literal["valid", "corrupt", "not imported"]
    problem: str | None
    size_bytes: int
    description: str
    digest: str | None


def traffic_path(name: str) -> Path:
    """Where an imported traffic set is, or would be."""
    return data_folder() / "traffic" / f"{name}.npz"


def load_traffic(name: str) -> TrafficSet:
    """A traffic set, read in full and verified, once as long as its file stays the same.

    Args:
        name: ``synthetic``, which is always there, or a traffic set that was imported.

    Raises:
        SpecError: There is no such traffic set.
        DataError: It is corrupt.
    """
    if name == SYNTHETIC:
        return synthetic_set()
    if not is_name(name) or not traffic_path(name).is_file():
        raise SpecError(_absent(name))
    path = traffic_path(name)
    found = path.stat()
    return _read_once(path, found.st_ino, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=2)
def _read_once(path: Path, *_: int) -> TrafficSet:
    return read_traffic(path)


def status() -> list[TrafficSetStatus]:
    """Every traffic set, verified, and the data sets that none was imported for. Changes nothing."""
    imported = {path.stem for path in traffic_path("*").parent.glob("*.npz")}
    return [status_of(name) for name in [SYNTHETIC, *sorted(imported | set(OFFICIAL))]]


def status_of(name: str) -> TrafficSetStatus:
    """See :func:`status`."""
    if name == SYNTHETIC:
        traffic = synthetic_set()
        return TrafficSetStatus(name, None, "valid", None, 0, _describe(traffic), traffic.digest)
    path = traffic_path(name)
    if not path.is_file():
        return TrafficSetStatus(name, path, "not imported", _how_to_import(name), 0, "", None)
    size_bytes = path.stat().st_size
    try:
        traffic = read_traffic(path)
    except DataError as error:
        return TrafficSetStatus(name, path, "corrupt", str(error), size_bytes, "", None)
    return TrafficSetStatus(name, path, "valid", None, size_bytes, _describe(traffic), traffic.digest)


def _describe(traffic: TrafficSet) -> str:
    missing = np.isnan(traffic.values).mean()
    edges = np.count_nonzero(traffic.adjacency) - np.count_nonzero(traffic.adjacency.diagonal())
    return f"{traffic.source}; {traffic.quantity} in {traffic.unit}, {missing:.1%} without a value, {edges:,} edges"


def _absent(name: str) -> str:
    instead = f"On a machine without it, take {SYNTHETIC!r} (made by a generator, always there)."
    if name in OFFICIAL:
        return f"traffic set {name!r} is not imported: {_how_to_import(name)} {instead}"
    known = {SYNTHETIC, *OFFICIAL, *(path.stem for path in traffic_path("*").parent.glob("*.npz"))}
    return (
        f"{unknown_name('traffic set', str(name), known)} Make it with "
        f"`harness data import traffic PATH --dataset DATASET --name {name}`. {instead}"
    )


def _how_to_import(dataset: str) -> str:
    official = OFFICIAL[dataset]
    return f"get {official.files} from {official.page}, then `{official.command} --dataset {dataset}`."
