"""From the files that others publish to traffic sets in the data folder."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from harness.data_folder import is_name
from harness.errors import DataError
from harness.errors import SpecError
from harness.errors import unknown_name
from harness.traffic import library
from harness.traffic.adjacency import read_distances
from harness.traffic.adjacency import read_matrix
from harness.traffic.adjacency import read_sensors
from harness.traffic.files import read_traffic
from harness.traffic.files import write_traffic
from harness.traffic.measurements import read_measurements
from harness.traffic.official import OFFICIAL
from harness.traffic.synthetic import SYNTHETIC
from harness.traffic.trafficset import STEPS_PER_DAY
from harness.traffic.trafficset import make_traffic_set

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.traffic.library import TrafficSetStatus
    from harness.traffic.measurements import Measurements
    from harness.traffic.official import OfficialTraffic
    from harness.traffic.trafficset import TrafficSet


def import_traffic(
    path: Path,
    *,
    dataset: str,
    adjacency: Path | None = None,
    sensors: Path | None = None,
    name: str | None = None,
) -> TrafficSetStatus:
    """Make a traffic set of files that others publish. Nothing is changed if that fails.

    Args:
        path: The official file of the data set: an ``.h5`` with a data frame of pandas, a column per sensor and local
            times as its index; or an ``.npz`` with ``data`` (steps, sensors, features), of which the first feature is
            taken. Or an ``.npz`` with ``data`` (steps, sensors) and, where needed, ``scale`` (what the values are
            multiplied by), ``first_step`` (which step of the whole data set the first is), ``sensor_ids`` and
            ``adjacency``.
        dataset: The data set that the traffic is of; it may be a part of it.
        adjacency: The file that the graph is made of, if it is not in ``path``: a pickle (``.pkl``) of sensor ids,
            their places and a matrix, or a ``.csv`` of distances along road segments (see
            :func:`harness.traffic.adjacency.read_distances`).
        sensors: A file with the ids of the sensors in the order of the values, if ``path`` does not have them and the
            adjacency is not numbered from 0.
        name: What to call the traffic set; the data set's own name without.

    Raises:
        SpecError: Unknown data set, no legal name, or options that do not go together.
        DataError: The files are not legal, or a traffic set of this name and other content exists.
    """
    if dataset not in OFFICIAL:
        raise SpecError(unknown_name("data set", dataset, OFFICIAL))
    name = dataset if name is None else name
    _check_name(name, dataset)
    official = OFFICIAL[dataset]
    measured = read_measurements(path, official)
    graph, segments = _graph(path, measured, adjacency, sensors, official)
    traffic = make_traffic_set(
        name,
        dataset=dataset,
        quantity=official.quantity,
        unit=official.unit,
        values=_values(path, measured.values, official),
        clock=measured.times - measured.times[0] // STEPS_PER_DAY * STEPS_PER_DAY,
        adjacency=graph,
        source=_describe(path, adjacency, dataset, measured) + segments,
    )
    return _write(traffic)


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


def _write(traffic: TrafficSet) -> TrafficSetStatus:
    name, target = traffic.name, library.traffic_path(traffic.name)
    if target.is_file() and library.status_of(name).state == "valid":
        if read_traffic(target).digest != traffic.digest:
            raise DataError(
                f"traffic set {name!r} exists with other content, and results may depend on it. "
                f"Import under another --name, or delete {target} first."
            )
    else:
        write_traffic(target, traffic)
    return library.status_of(name)


def _values(path: Path, raw: NDArray[Any], official: OfficialTraffic) -> NDArray[np.float64]:
    """What was measured, NaN where nothing was."""
    values = raw.astype(np.float64)
    if (wrong := (values < 0) | np.isinf(values)).any():
        step, sensor = np.argwhere(wrong)[0]
        raise DataError(
            f"{path}: step {step:,} of sensor {sensor:,} (from 0) is {values[step, sensor]:g} {official.unit}; "
            "legal are numbers that are not negative, and NaN."
        )
    if official.zero_is_missing:
        values[values == 0] = np.nan
    if np.isnan(values).all():
        raise DataError(f"{path}: every value is missing.")
    return values


def _graph(
    path: Path,
    measured: Measurements,
    adjacency: Path | None,
    ids: Path | None,
    official: OfficialTraffic,
) -> tuple[NDArray[Any], str]:
    """The adjacency, and what there is to say of it."""
    sensors = measured.sensors
    count = measured.values.shape[1]
    if ids is not None:
        if adjacency is None or sensors is not None:
            raise SpecError(
                f"--sensors is for an --adjacency with ids that the measurements lack; {path} "
                f"{'has ids of its own' if sensors is not None else 'is given without --adjacency'}."
            )
        sensors = read_sensors(ids)
        if len(sensors) != count:
            raise DataError(f"--sensors {ids} has {len(sensors):,} ids, and {path} {count:,} sensors.")
    if adjacency is None:
        if measured.adjacency is None:
            raise SpecError(
                f"{path} has no adjacency; give --adjacency: {official.adjacency} of {official.page}."
            )
        return _checked(path, measured.adjacency, count), ""
    if measured.adjacency is not None:
        raise SpecError(f"{path} has an adjacency of its own; leave out --adjacency.")
    return _read_graph(path, adjacency, sensors, count)


def _read_graph(
    path: Path, adjacency: Path, sensors: Sequence[str] | None, count: int
) -> tuple[NDArray[Any], str]:
    if adjacency.suffix == ".csv":
        weights, segments = read_distances(adjacency, sensors or [str(number) for number in range(count)])
        return weights, f"; {segments}"
    if adjacency.suffix != ".pkl":
        raise SpecError(
            f"--adjacency {adjacency} is neither a .pkl with a matrix nor a .csv with distances; legal are these two."
        )
    if sensors is None:
        raise SpecError(
            f"{path} has no ids of sensors, so which row of {adjacency} is whose is not known; give --sensors."
        )
    return _checked(adjacency, read_matrix(adjacency, sensors), count), ""


def _checked(path: Path, weights: NDArray[Any], sensors: int) -> NDArray[Any]:
    """An adjacency as it was read, found to be one."""
    if weights.shape != (sensors, sensors) or weights.dtype.kind not in "iuf":
        raise DataError(
            f"{path}: the adjacency is {weights.dtype} of shape {weights.shape}; legal are numbers of shape "
            f"({sensors}, {sensors})."
        )
    if not (wrong := ~((weights >= 0) & (weights < np.inf))).any():
        return weights
    row, column = np.argwhere(wrong)[0]
    raise DataError(
        f"{path}: the adjacency from sensor {row:,} to {column:,} (from 0) is {weights[row, column]:g}; legal are "
        "numbers that are not negative."
    )


def _describe(path: Path, adjacency: Path | None, dataset: str, measured: Measurements) -> str:
    official = OFFICIAL[dataset]
    files = path.name if adjacency is None else f"{path.name} and {adjacency.name}"
    what = (
        f"the files of {official.title} ({official.origin}, {official.page})"
        if measured.official
        else f"imported for {dataset}"
    )
    steps, sensors = measured.values.shape
    start = np.datetime64(official.start) + measured.times[0] * np.timedelta64(5, "m")
    gaps = np.flatnonzero(np.diff(measured.times) > 1) + 1
    return (
        f"{files}, {what}: {_of(sensors, official.sensor_count)} sensors, {_of(steps, official.step_count)} steps "
        f"from {str(start).replace('T', ' ')}{_describe_gaps(measured.times, gaps)}"
    )


def _describe_gaps(times: NDArray[np.int64], gaps: NDArray[np.int64]) -> str:
    if not len(gaps):
        return ""
    lost = int(times[-1] - times[0]) + 1 - len(times)
    where = "" if len(gaps) == 1 else f"in {len(gaps):,} gaps, the first "
    return f" ({lost:,} more are absent, {where}before step {gaps[0]:,})"


def _of(part: int, whole: int) -> str:
    return f"all {whole:,}" if part == whole else f"{part:,} of {whole:,}"
