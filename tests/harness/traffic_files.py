"""The files that authors of traffic data sets publish, as small ones."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import h5py
import numpy as np

from tests.harness.pickles import pickled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def speeds(steps: int, sensors: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(3, 70, (steps, sensors)).round(3)


def times(start: str, steps: int) -> NDArray[Any]:
    return np.datetime64(start, "ns") + np.arange(steps) * np.timedelta64(5, "m")


def write_frame(
    path: Path,
    values: NDArray[Any],
    index: NDArray[Any],
    columns: Sequence[str] | Sequence[int],
    *,
    group: str = "df",
    kind: str = "datetime64",
    **attributes: str,
) -> Path:
    """A data frame in the fixed format of pandas' HDFStore."""
    names = np.array(columns)
    if names.dtype.kind == "U":
        names = names.astype("S")
    with h5py.File(path, "w") as file:
        frame = file.create_group(group)
        frame.attrs["pandas_type"] = np.bytes_("frame")
        frame.attrs["encoding"] = np.bytes_("UTF-8")
        frame["axis0"] = frame["block0_items"] = names
        frame["axis1"] = index.astype(np.int64)
        frame["axis1"].attrs["kind"] = np.bytes_(kind)
        # PyTables pickles what is no text or number; nobody may unpickle it.
        frame["axis1"].attrs["freq"] = np.bytes_(b"cos\nmkdir\n(S'harmed'\ntR.")
        for name, value in attributes.items():
            frame["axis1"].attrs[name] = np.bytes_(value)
        frame["block0_values"] = values
    return path


def matrix(sensors: int) -> NDArray[np.float32]:
    """Weights of a directed graph whose diagonal is 1."""
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.1, 1, (sensors, sensors)) * (rng.uniform(size=(sensors, sensors)) < 0.4)
    np.fill_diagonal(weights, 1)
    return weights.astype(np.float32)


def write_pickle(path: Path, ids: Sequence[str], weights: Any, protocol: int | None = None) -> Path:
    """As DCRNN writes it: ids, their places, weights; by Python 2 (``None``) or 3."""
    path.write_bytes(pickled([list(ids), {sensor: at for at, sensor in enumerate(ids)}, weights], protocol))
    return path


def write_distances(path: Path, rows: Sequence[tuple[Any, Any, Any]], header: str = "from,to,cost") -> Path:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def write_npz(path: Path, **members: Any) -> Path:
    np.savez_compressed(path, **members)
    return path
