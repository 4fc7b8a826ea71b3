"""Reading road graphs: DCRNN's pickled matrices, and lists of distances."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from harness.benchmarks.importers.unpickling import load_list
from harness.errors import DataError
from harness.traffic.graph import THRESHOLD
from harness.traffic.graph import gaussian_kernel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_SHOWN = 3


def read_matrix(path: Path, sensors: Sequence[str]) -> NDArray[np.float64]:
    """Read the weights between sensors from a pickle of DCRNN: ids, their places, and a matrix.

    Args:
        path: ``adj_mx.pkl`` or the like, written by Python 2 or 3.
        sensors: Ids of the sensors that are wanted, in order.

    Returns:
        Shape (sensors, sensors).

    Raises:
        DataError: It is absent, damaged, holds something else, or lacks a sensor.
    """
    content = _read_pickle(path)
    if len(content) != 3 or not isinstance(content[0], list) or not isinstance(content[2], np.ndarray):
        raise DataError(f"{path} does not hold a list of sensor ids, their places, and a matrix.")
    ids = [_text(sensor) for sensor in content[0]]
    matrix = content[2]
    if matrix.shape != (len(ids), len(ids)) or len(set(ids)) < len(ids):
        raise DataError(
            f"{path} has a matrix of shape {matrix.shape} for {len(set(ids)):,} different sensors."
        )
    place = {sensor: number for number, sensor in enumerate(ids)}
    if isinstance(content[1], dict) and {_text(key): at for key, at in content[1].items()} != place:
        raise DataError(
            f"{path} contradicts itself: the places of the sensors are not those of the list of ids."
        )
    if lacking := [sensor for sensor in sensors if sensor not in place]:
        raise DataError(
            f"{path} has no {_few(lacking)} of the {len(sensors):,} sensors that were measured; it is for other "
            f"sensors ({', '.join(ids[:_SHOWN])}, ...). Give the --adjacency of the same data set."
        )
    order = [place[sensor] for sensor in sensors]
    return matrix[np.ix_(order, order)].astype(np.float64)


def read_sensors(path: Path) -> tuple[str, ...]:
    """Read a list of sensor ids, with spaces, line ends or commas between them.

    Raises:
        DataError: It is absent, no text, or has an id twice.
    """
    try:
        ids = tuple(path.read_text(encoding="utf-8").replace(",", " ").split())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--sensors {path} cannot be read ({error}).") from error
    if len(set(ids)) < len(ids):
        twice = sorted({sensor for sensor in ids if ids.count(sensor) > 1})
        raise DataError(f"--sensors {path} has {_few(twice)} twice.")
    return ids


def read_distances(path: Path, sensors: Sequence[str]) -> tuple[NDArray[np.float32], str]:
    """Read the road segments between sensors from a list of distances, and weigh them by a Gaussian kernel.

    A segment is listed once and leads both ways. Of several distances between two sensors the shortest counts.

    Args:
        path: A CSV file with the columns ``from``, ``to`` and ``cost`` or ``distance``.
        sensors: Ids of the sensors, in order.

    Returns:
        Shape (sensors, sensors), symmetric, with 1 on the diagonal; and how many segments are in it, for people.

    Raises:
        DataError: It is absent, damaged, has other columns, or sensors that are unknown.
    """
    table = _read_csv(path)
    place = {sensor: number for number, sensor in enumerate(sensors)}
    unknown = [end for end in dict.fromkeys([*table["from"], *table["to"]]) if end not in place]
    if unknown:
        raise DataError(
            f"{path} has distances of {_few(unknown)}, and the sensors are {', '.join(sensors[:_SHOWN])}, ...: "
            "give the list of their ids, in the order of the values, with --sensors, or another --adjacency."
        )
    distances = np.full((len(sensors), len(sensors)), np.inf)
    ends = [table[end].map(place).to_numpy() for end in ("from", "to")]
    np.minimum.at(distances, tuple(ends), table["distance"].to_numpy())
    distances = np.minimum(distances, distances.T)
    # The deviation is that of segments, and each counts once.
    segments = np.triu(np.ones_like(distances, dtype=bool), 1)
    upper = gaussian_kernel(np.where(segments, distances, np.inf))
    listed, kept = np.isfinite(distances[segments]).sum(), np.count_nonzero(upper)
    weights = upper + upper.T
    np.fill_diagonal(weights, 1)
    return weights, f"{kept:,} of {listed:,} road segments weigh {THRESHOLD} or more"


def _read_pickle(path: Path) -> list[Any]:
    try:
        with path.open("rb") as file:
            return load_list(file, str(path))
    except OSError as error:
        raise DataError(f"--adjacency {path} cannot be read ({error}).") from error


def _read_csv(path: Path) -> Any:
    """A frame with ``from``, ``to`` and ``distance``."""
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str).rename(columns={"cost": "distance"})
    # What pandas raises for what is no text, no table, or empty.
    except (OSError, ValueError) as error:
        raise DataError(f"--adjacency {path} cannot be read ({str(error).strip()}).") from error
    if sorted(table.columns) != ["distance", "from", "to"]:
        raise DataError(
            f"{path} has the columns {', '.join(map(str, table.columns))}; legal are from, to and cost, or distance."
        )
    table["distance"] = pd.to_numeric(table["distance"], errors="coerce")
    wrong = (
        table["from"].isna() | table["to"].isna() | ~(table["distance"] >= 0) | np.isinf(table["distance"])
    )
    if wrong.any():
        raise DataError(
            f"{path}:{int(wrong.argmax()) + 2}: legal are two sensors and a distance that is not negative."
        )
    return table


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _few(ids: Sequence[str]) -> str:
    return f"{', '.join(ids[:_SHOWN])}{', ...' if len(ids) > _SHOWN else ''} ({len(ids):,})"
