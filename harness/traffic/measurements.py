"""Reading what sensors have measured: pandas frames in HDF5, and arrays in ``.npz``."""

from __future__ import annotations

import re
import zipfile
import zlib
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

import numpy as np

from harness.errors import DataError
from harness.traffic.official import OFFICIAL

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.traffic.official import OfficialTraffic

_AGAIN = "Download the file again from its publisher, and check that it is the file you mean."
_STEP = np.timedelta64(5, "m")


class Measurements(NamedTuple):
    """What a file of measurements holds.

    Attributes:
        values: Shape (steps, sensors), as they are in the file; NaN where none is.
        times: Shape (steps,): five-minute intervals since the first step of the whole data set.
        sensors: Ids of the sensors; ``None`` where the file has none.
        adjacency: Shape (sensors, sensors); ``None`` where the file has none.
        official: Whether the layout is that of the authors of the data set.
    """

    values: NDArray[Any]
    times: NDArray[np.int64]
    sensors: tuple[str, ...] | None
    adjacency: NDArray[Any] | None
    official: bool


def read_measurements(path: Path, official: OfficialTraffic) -> Measurements:
    """Read a file of measurements.

    Args:
        path: See :func:`harness.traffic.importing.import_traffic`.
        official: The data set that it is of.

    Raises:
        DataError: It is absent, damaged, or does not hold what it should.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file; {legal_files(official)}")
    found = _read_npz(path, official) if path.suffix == ".npz" else _read_hdf(path, official)
    steps, sensors = found.values.shape
    if not steps or not sensors:
        raise DataError(f"{path} has {steps} steps of {sensors} sensors: nothing was measured.")
    if found.sensors is not None and len(set(found.sensors)) < sensors:
        raise DataError(f"{path} has two sensors of the same id. {_AGAIN}")
    return found


def legal_files(official: OfficialTraffic) -> str:
    """What can be imported for a data set, for messages."""
    return (
        f"legal are {official.measurements} of {official.title} (from {official.page}) and an .npz with `data`, "
        "a value per step and sensor."
    )


# A data frame that pandas has written in its fixed format.


def _read_hdf(path: Path, official: OfficialTraffic) -> Measurements:
    import h5py

    # Not with pandas: the PyTables below it unpickles attributes, so that a file could run code.
    try:
        with h5py.File(path, "r") as file:
            frame = _find_frame(file)
            if frame is None:
                raise DataError(
                    f"{path} holds no data frame in pandas' fixed format, but {', '.join(file) or 'nothing'}; "
                    f"{legal_files(official)}"
                )
            index = frame["axis1"]
            kind, zone = _text(index.attrs.get("kind", "")), "tz" in index.attrs
            values, times, columns = frame["block0_values"][()], index[()], frame["block0_items"][()]
    # What h5py raises for a file that is no HDF5, was damaged, or is compressed in a way that it cannot read.
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is truncated, damaged or no HDF5 ({error}); {legal_files(official)}"
        ) from error
    if columns.dtype.kind not in "iuS" or columns.ndim != 1:
        raise DataError(f"{path} has columns of type {columns.dtype}; legal are the ids of sensors. {_AGAIN}")
    if values.shape != (len(times), len(columns)) or values.dtype.kind not in "iuf":
        raise DataError(
            f"{path} has {values.dtype} values of shape {values.shape}; legal is a number for each of its "
            f"{len(times):,} times and {len(columns):,} sensors. {_AGAIN}"
        )
    unit = re.fullmatch(r"datetime64(?:\[(s|ms|us|ns)\])?", kind)
    if unit is None or zone or times.dtype.kind != "i":
        raise DataError(f"{path} has an index that is no local time (its kind is {kind!r}). {_AGAIN}")
    local = times.astype(f"datetime64[{unit[1] or 'ns'}]")
    return Measurements(
        values, _intervals(local, path, official), tuple(_text(column) for column in columns), None, True
    )


def _find_frame(file: Any) -> Any:
    """The one group that is a frame of values of one type: they are then in one block."""
    import h5py

    frames = [
        group
        for group in file.values()
        if isinstance(group, h5py.Group) and {"axis0", "axis1", "block0_items", "block0_values"} == set(group)
    ]
    return frames[0] if len(frames) == 1 else None


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _intervals(times: NDArray[Any], path: Path, official: OfficialTraffic) -> NDArray[np.int64]:
    start = np.datetime64(official.start)
    irregular = (times - start) % _STEP != np.timedelta64(0)
    irregular[1:] |= times[1:] <= times[:-1]
    if irregular.any():
        step = int(irregular.argmax())
        before = f" after {_show(times[step - 1])}" if step else ""
        raise DataError(
            f"{path}: step {step:,} is at {_show(times[step])}{before}; legal are times that rise, at whole five "
            f"minutes. {_AGAIN}"
        )
    if not _covers(official, times):
        others = [
            f"; these are times of --dataset {name}" for name in OFFICIAL if _covers(OFFICIAL[name], times)
        ]
        raise DataError(
            f"{path} goes from {_show(times[0])} to {_show(times[-1])}, and {official.title} from {_show(start)} to "
            f"{_show(start + (_length(official) - 1) * _STEP)}{''.join(others)}."
        )
    intervals: NDArray[np.int64] = (times - start) // _STEP
    return intervals


def _covers(official: OfficialTraffic, times: NDArray[Any]) -> bool:
    """Whether times, in order, are some of a data set."""
    since = times - np.datetime64(official.start)
    return not len(times) or bool(since[0] // _STEP >= 0 and since[-1] // _STEP < _length(official))


def _length(official: OfficialTraffic) -> int:
    """Five-minute intervals from the first step of a data set to behind its last."""
    return official.step_count + (official.gap[1] if official.gap else 0)


def _show(time: Any) -> str:
    return str(time.astype("datetime64[s]").item() or "no time")


# Arrays in an .npz.


def _read_npz(path: Path, official: OfficialTraffic) -> Measurements:
    try:
        with np.load(path, allow_pickle=False) as archive:
            members = {
                name: archive[name]
                for name in ("data", "scale", "first_step", "sensor_ids", "adjacency")
                if name in archive
            }
            others = ", ".join(archive.files)
    # What the readers of zip and npy raise for a file that is neither, or was damaged.
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is truncated, damaged or no .npz ({error}). {_AGAIN}") from error
    if "data" not in members:
        raise DataError(f"{path} has no `data`, but {others or 'nothing'}; {legal_files(official)}")
    data = members["data"]
    # The official files have several features per step and sensor: the flow, and after it occupancy and speed.
    features = data.ndim == 3 and data.shape[2] > 0
    if not (features or data.ndim == 2) or data.dtype.kind not in "iuf":
        raise DataError(
            f"{path}: `data` is {data.dtype} of shape {data.shape}; legal are numbers of shape (steps, sensors), or "
            "(steps, sensors, features) with the flow first."
        )
    values = data[:, :, 0] if features else data
    if "scale" in members:
        values = values * _number(members["scale"], path, "scale")
    first = _number(members["first_step"], path, "first_step") if "first_step" in members else 0
    sensors = members.get("sensor_ids")
    if sensors is not None and (sensors.shape != values.shape[1:] or sensors.dtype.kind not in "iuSU"):
        raise DataError(
            f"{path}: `sensor_ids` is {sensors.dtype} of shape {sensors.shape}; legal is an id for each of the "
            f"{values.shape[1]:,} sensors."
        )
    return Measurements(
        values,
        _steps(first, len(values), path, official),
        None if sensors is None else tuple(map(_text, sensors.tolist())),
        members.get("adjacency"),
        features,
    )


def _number(member: NDArray[Any], path: Path, name: str) -> float:
    """A number as the decimal that it was meant as: 0.01 in 32 bits is a little less."""
    if member.size != 1 or member.dtype.kind not in "iuf" or not 0 <= member.item() < np.inf:
        raise DataError(f"{path}: `{name}` is {member.tolist()!r}; legal is one number that is not negative.")
    return float(str(member.reshape(-1)[0]))


def _steps(first: float, steps: int, path: Path, official: OfficialTraffic) -> NDArray[np.int64]:
    """Times of steps that the whole data set has from ``first``."""
    if first != int(first) or first + steps > official.step_count:
        raise DataError(
            f"{path} has {steps:,} steps from step {first:,.16g}; {official.title} has {official.step_count:,} from 0."
        )
    times = np.arange(int(first), int(first) + steps)
    if official.gap is not None:
        after, lost = official.gap
        times[times >= after] += lost
    return times
