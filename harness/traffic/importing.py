"""From the files that others publish to traffic sets in the data folder."""

from __future__ import annotations

import zipfile
import zlib
from datetime import timedelta
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

import numpy as np

from harness.data_folder import is_name
from harness.errors import DataError
from harness.errors import SpecError
from harness.errors import unknown_name
from harness.traffic import library
from harness.traffic.files import read_traffic
from harness.traffic.files import write_traffic
from harness.traffic.official import OFFICIAL
from harness.traffic.synthetic import SYNTHETIC
from harness.traffic.trafficset import STEPS_PER_DAY
from harness.traffic.trafficset import make_traffic_set

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.traffic.library import TrafficSetStatus
    from harness.traffic.official import OfficialTraffic


class _Measured(NamedTuple):
    """What a file of measurements holds.

    Attributes:
        values: Shape (steps, sensors).
        first: Number of the first step within the whole data set.
        adjacency: Shape (sensors, sensors).
    """

    values: NDArray[Any]
    first: int
    adjacency: NDArray[Any]


def import_traffic(path: Path, *, dataset: str, name: str | None = None) -> TrafficSetStatus:
    """Make a traffic set of files that others publish. Nothing is changed if that fails.

    Args:
        path: An ``.npz`` with ``data`` (steps, sensors), which is multiplied by ``scale``, and ``adjacency``; its first
            step is ``first_step`` of the data set, or 0.
        dataset: The data set that the traffic is of.
        name: What to call the traffic set; the data set's own name without.

    Raises:
        SpecError: Unknown data set, or no legal name.
        DataError: The files are not legal, or a traffic set of this name and other content exists.
    """
    if dataset not in OFFICIAL:
        raise SpecError(unknown_name("data set", dataset, OFFICIAL))
    official = OFFICIAL[dataset]
    name = dataset if name is None else name
    _check_name(name, dataset)
    measured = _read_npz(path)
    values = measured.values
    clock = _clock(official, measured.first, len(values), path)
    if official.zero_is_missing:
        values = np.where(values == 0, np.nan, values)
    traffic = make_traffic_set(
        name,
        dataset=dataset,
        quantity=official.quantity,
        unit=official.unit,
        values=values,
        clock=clock,
        adjacency=measured.adjacency,
        source=_describe(path, dataset, measured, clock),
    )
    target = library.traffic_path(name)
    if target.is_file() and library.status_of(name).state == "valid":
        if read_traffic(target).digest != traffic.digest:
            raise DataError(
                f"traffic set {name!r} exists with other content, and results may depend on it. "
                f"Import under another --name, or delete {target} first."
            )
    else:
        write_traffic(target, traffic)
    return library.status_of(name)


def _check_name(name: str, dataset: str) -> None:
    if not is_name(name) or name == SYNTHETIC:
        raise SpecError(
            f"a traffic set cannot be called {name!r}; legal are letters, digits, '.', '_' and '-', "
            f"and not {SYNTHETIC!r}."
        )
    if name in OFFICIAL and name != dataset:
        raise SpecError(
            f"a traffic set of {dataset} cannot be called {name!r}: that is the name of another data set. "
            "Give another --name."
        )


def _clock(official: OfficialTraffic, first: int, steps: int, path: Path) -> NDArray[np.int64]:
    """The clock of steps that are in the whole data set from ``first``."""
    if not 0 <= first <= first + steps <= official.steps:
        raise DataError(
            f"{path} has steps {first:,} to {first + steps - 1:,}; {official.title} has 0 to {official.steps - 1:,}."
        )
    clock = np.arange(first, first + steps)
    if official.gap is not None:
        after, lost = official.gap
        clock[clock >= after] += lost
    return clock - clock[0] // STEPS_PER_DAY * STEPS_PER_DAY


def _describe(path: Path, dataset: str, measured: _Measured, clock: NDArray[np.int64]) -> str:
    official = OFFICIAL[dataset]
    steps, sensors = measured.values.shape
    start = official.start + timedelta(days=measured.first // STEPS_PER_DAY)
    time = f"{clock[0] // 12:02}:{clock[0] % 12 * 5:02}"
    return (
        f"{path.name}, imported for {dataset}: {_of(sensors, official.sensors)} sensors, "
        f"{_of(steps, official.steps)} steps from {start} {time}"
    )


def _of(part: int, whole: int) -> str:
    return f"all {whole:,}" if part == whole else f"{part:,} of {whole:,}"


def _read_npz(path: Path) -> _Measured:
    try:
        with np.load(path, allow_pickle=False) as archive:
            first = int(archive["first_step"]) if "first_step" in archive else 0
            # As the decimal that it was meant as: 0.01 in 32 bits is not 0.01.
            values = archive["data"] * float(str(archive["scale"]))
            return _Measured(values, first, archive["adjacency"])
    # What the readers of zip and npy raise for a file that is neither, or was damaged.
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is truncated, damaged or no .npz ({error}).") from error
