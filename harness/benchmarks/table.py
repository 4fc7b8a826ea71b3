"""Column tables on disk: one uncompressed ``.npz`` per table, read without pandas, verified as it is read.

A column is named by a path: ``cifar10/valid/200`` (data set, split, epochs) for scores, and
``cifar10/train_seconds/200``, ``cifar10/valid_seconds``, ``cifar10/latency`` for costs. It is an array with a
row per architecture, in the order of :meth:`SearchSpace.index`, and a column per training seed. What the
source lacks is NaN. The member ``meta`` is JSON: what each column holds, its checksum, where it comes from.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import NoReturn

import numpy as np

from harness.data_folder import written_whole
from harness.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FORMAT = 1
_META = "meta"


@dataclass(frozen=True)
class Column:
    """Values of one quantity for every architecture of a space.

    Attributes:
        values: Shape (architectures, training seeds), or (architectures, 1) where ``seeds`` is ``None``.
            NaN where the source has no value.
        seeds: The training seeds of ``values``, ascending; ``None`` for one value that belongs to no single
            seed (a mean that the source itself made, or a cost).
    """

    values: NDArray[np.float64]
    seeds: tuple[int, ...] | None = None

    def mean(self) -> NDArray[np.float64]:
        """Mean over the seeds that each architecture has; NaN where it has none. Shape (architectures,)."""
        present = ~np.isnan(self.values)
        count = present.sum(axis=1)
        total = np.where(present, self.values, 0.0).sum(axis=1)
        means = np.full(len(total), np.nan)
        np.divide(total, count, out=means, where=count > 0)
        return means


@dataclass(frozen=True)
class ColumnInfo:
    """What the metadata say about a column.

    Attributes:
        seeds: See :class:`Column`.
        architectures: How many architectures have at least one value.
        sha256: Checksum of the values.
    """

    seeds: tuple[int, ...] | None
    architectures: int
    sha256: str


@dataclass(frozen=True)
class Table:
    """A table on disk, of which only the metadata have been read.

    Attributes:
        path: The file.
        space: Name of the search space whose architectures are the rows.
        size: Number of rows.
        columns: Column name to what it holds.
        provenance: Where the data come from: ``origin``, ``licence``, and what else its importer noted.
        digest: SHA-256 over the space and all columns; equal for equal content, whatever its provenance.
    """

    path: Path
    space: str
    size: int
    columns: Mapping[str, ColumnInfo]
    provenance: Mapping[str, str]
    digest: str

    def read(self, prefix: str = "") -> dict[str, Column]:
        """Read the columns whose names start with ``prefix``, and verify their checksums.

        Raises:
            DataError: The file is missing, corrupt, or has been replaced since it was opened.
        """
        names = [name for name in self.columns if name.startswith(prefix)]
        arrays = _read_members(self.path, names)
        for name in names:
            info = self.columns[name]
            shape = (self.size, len(info.seeds) if info.seeds else 1)
            if arrays[name].shape != shape or _checksum(arrays[name]) != info.sha256:
                _corrupt(self.path, f"column {name} does not match its checksum")
        return {name: Column(arrays[name], self.columns[name].seeds) for name in names}


def open_table(path: Path) -> Table:
    """Read the metadata of a table.

    Raises:
        DataError: The file is missing, is no table, is corrupt, or was written by another version.
    """
    raw = _read_members(path, [_META])[_META]
    try:
        meta = json.loads(raw.tobytes())
        found = meta["format"]
        if found == FORMAT:
            table = Table(
                path,
                meta["space"],
                int(meta["size"]),
                {name: _column_info(entry) for name, entry in meta["columns"].items()},
                meta["provenance"],
                meta["digest"],
            )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        _corrupt(path, f"its metadata cannot be read ({error!r})")
    if found != FORMAT:
        raise DataError(
            f"table {path} has format {found!r}, this version reads {FORMAT}. "
            "Delete the file and import the data again."
        )
    if table.digest != _digest(table.space, table.size, table.columns):
        _corrupt(path, "its metadata do not match their checksum")
    return table


def write_table(
    path: Path, space: str, columns: Mapping[str, Column], provenance: Mapping[str, str]
) -> Table:
    """Write a table in one step: other processes see the old file or the whole new one, never a part.

    Args:
        path: Where; parent folders are made.
        space: Name of the search space.
        columns: At least one, all of the same number of rows.
        provenance: See :class:`Table`.

    Raises:
        DataError: The folder cannot be written, or the disk is full. No partial file is left.
    """
    arrays, table = _prepare(path, space, columns, provenance)
    meta = {
        "format": FORMAT,
        "space": space,
        "size": table.size,
        "digest": table.digest,
        "provenance": table.provenance,
        "columns": {name: vars(info) for name, info in table.columns.items()},
    }
    encoded = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    with written_whole(path, "table") as file:
        np.savez(file, **{_META: encoded}, **arrays)  # type: ignore[arg-type]
    return table


def content_digest(space: str, columns: Mapping[str, Column]) -> str:
    """The digest that a table of these columns would have."""
    return _prepare(Path(), space, columns, {})[1].digest


def _prepare(
    path: Path, space: str, columns: Mapping[str, Column], provenance: Mapping[str, str]
) -> tuple[dict[str, NDArray[np.float64]], Table]:
    """What goes into the file, and the table that it will be."""
    arrays = {name: np.ascontiguousarray(c.values, dtype="<f8") for name, c in sorted(columns.items())}
    infos = {
        name: ColumnInfo(columns[name].seeds, int((~np.isnan(values)).any(axis=1).sum()), _checksum(values))
        for name, values in arrays.items()
    }
    size = len(next(iter(arrays.values())))
    return arrays, Table(path, space, size, infos, dict(provenance), _digest(space, size, infos))


def _read_members(path: Path, names: list[str]) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise DataError(f"table {path} does not exist; `harness data status` lists the tables that do.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    # What the readers of zip and npy raise for a file that is neither, or was damaged.
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        _corrupt(path, f"it is truncated, damaged or no table ({error})")


def _corrupt(path: Path, problem: str) -> NoReturn:
    raise DataError(f"table {path} is corrupt: {problem}. Delete the file and import the data again.")


def _column_info(entry: Mapping[str, Any]) -> ColumnInfo:
    seeds = entry["seeds"]
    return ColumnInfo(
        None if seeds is None else tuple(map(int, seeds)), int(entry["architectures"]), str(entry["sha256"])
    )


def _checksum(values: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values, dtype="<f8").tobytes()).hexdigest()


def _digest(space: str, size: int, columns: Mapping[str, ColumnInfo]) -> str:
    content = [space, size, sorted((name, vars(info)) for name, info in columns.items())]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
