"""Parquet and CSV files, with a mapping from the columns of a table to those of the file.

The mapping is YAML, ``DATASET/valid/EPOCHS: COLUMN`` line by line, or the same as repeated options. The line
``architecture: COLUMN`` names the column of architecture strings. A number may scale a column, for a unit or
for a schedule: ``cifar10/train_seconds/12: seconds * 12/200``. Without a mapping, the file's own columns must
have the names of the table's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from typing import NamedTuple

import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.error import YAMLError

from harness.benchmarks.importers.builder import LEGAL_COLUMNS
from harness.benchmarks.importers.builder import ColumnBuilder
from harness.benchmarks.importers.builder import split_seed
from harness.errors import DataError
from harness.errors import SpaceError
from harness.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from harness.benchmarks.table import Column
    from harness.spaces import SearchSpace

_ARCHITECTURE = "architecture"
_NUMBER = r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_SCALED = re.compile(rf"(?P<column>.+?)\s*\*\s*(?P<factor>{_NUMBER})\s*(?:/\s*(?P<divisor>{_NUMBER}))?")


class _Source(NamedTuple):
    column: str
    factor: float = 1.0
    divisor: float = 1.0


def read(
    path: Path,
    space: SearchSpace,
    *,
    datasets: Sequence[str],
    mapping: Path | None,
    columns: Sequence[str],
    allow_partial: bool,
) -> tuple[dict[str, Column], dict[str, str]]:
    """Read a Parquet or CSV file.

    Args:
        path: The file; one that ends in ``.csv`` is CSV, any other Parquet.
        space: The search space.
        datasets: The data sets that the table may have.
        mapping: A YAML file, or ``None``.
        columns: Further lines of the mapping, ``NAME: COLUMN`` or ``NAME=COLUMN``; they win over the file.
        allow_partial: Whether architectures, or single values, may be missing.

    Returns:
        Columns, and where they come from, with the mapping.

    Raises:
        DataError: The mapping or the file is not legal, or a mapped column is not in the file.
    """
    lines = (_read_mapping(mapping) if mapping else {}) | dict(map(_parse_option, columns))
    names = _column_names(path)
    if not lines:
        lines = {name: name for name in names if name == _ARCHITECTURE or "/" in name}
    if _ARCHITECTURE not in lines or len(lines) < 2:
        raise DataError(
            f"{path}: no column of architectures and scores is named. Map `{_ARCHITECTURE}: COLUMN` and at least "
            f"one of {LEGAL_COLUMNS} in a YAML file (--mapping) or with --column. "
            f"The file has {', '.join(names)}."
        )
    sources = {name: _parse_source(name, text, names) for name, text in lines.items()}
    targets = {name: split_seed(name, datasets) for name in sources if name != _ARCHITECTURE}
    if len({*targets.values()}) != len(targets):
        raise DataError(f"{path}: a column is mapped twice, with and without leading zeros of its seed.")
    _check_splits(path, targets, sources)
    content = _read_columns(path, sorted({source.column for source in sources.values()}))
    builder = ColumnBuilder(space, str(path))
    indices = _indices(builder, content.column(sources[_ARCHITECTURE].column).to_pylist())
    for name, (column, seed) in targets.items():
        source = sources[name]
        values = _numbers(path, source.column, content.column(source.column))
        builder.set(column, indices, values * source.factor / source.divisor, seed)
    provenance = {"origin": f"the file {path.name}", "licence": "not recorded"}
    provenance |= {f"column {name}": text for name, text in lines.items()}
    return builder.columns(allow_partial=allow_partial), provenance


def _read_mapping(path: Path) -> dict[str, str]:
    try:
        content = YAML(typ="safe").load(path.read_text("utf-8"))
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DataError(f"mapping {path}{line} cannot be read as YAML: {error.problem}") from error
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise DataError(f"mapping {path} cannot be read as YAML: {_first_line(error)}") from error
    lines = content.items() if isinstance(content, dict) else [(None, None)]
    if not all(isinstance(name, str) and isinstance(column, str) for name, column in lines):
        raise DataError(
            f"mapping {path} must map texts to texts, such as `{_ARCHITECTURE}: arch_str` or "
            "`cifar10/valid/200: COLUMN`."
        )
    return dict(lines)


def _parse_option(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"\s*([^:=]+?)\s*[:=]\s*(.+?)\s*", text)
    if match is None:
        raise DataError(f"--column {text!r} is no mapping; legal is 'cifar10/valid/200: COLUMN'.")
    return match[1], match[2]


def _parse_source(name: str, text: str, names: Sequence[str]) -> _Source:
    # A column may have a '*' in its own name, so the plain name goes first.
    source, scaled = _Source(text), _SCALED.fullmatch(text)
    if text not in names and scaled:
        source = _Source(scaled["column"], float(scaled["factor"]), float(scaled["divisor"] or 1))
    if source.column not in names:
        raise DataError(f"mapping of {name}: {unknown_name('column', source.column, names)}")
    if source.divisor == 0 or (name == _ARCHITECTURE and source != _Source(text)):
        raise DataError(f"mapping of {name}: {text!r} cannot be scaled so.")
    return source


def _check_splits(
    path: Path, targets: Mapping[str, tuple[str, int | None]], sources: Mapping[str, _Source]
) -> None:
    """Refuse one column of the file as both validation and test scores."""
    splits: dict[str, set[str]] = {}
    for name, (column, _) in targets.items():
        splits.setdefault(sources[name].column, set()).add(column.split("/")[1])
    for column, used in splits.items():
        if {"valid", "test"} <= used:
            raise DataError(
                f"{path}: column {column!r} is mapped to both valid and test scores; legal is one."
            )


def _column_names(path: Path) -> list[str]:
    import pyarrow as pa
    from pyarrow import csv
    from pyarrow import parquet

    try:
        if path.suffix == ".csv":
            with csv.open_csv(path) as reader:
                return list(reader.schema.names)
        return list(parquet.read_schema(path).names)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is no readable {_format(path)} file: {_first_line(error)}") from error


def _read_columns(path: Path, names: list[str]) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv
    from pyarrow import parquet

    try:
        if path.suffix == ".csv":
            return csv.read_csv(path, convert_options=csv.ConvertOptions(include_columns=names))
        return parquet.read_table(path, columns=names)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is no readable {_format(path)} file: {_first_line(error)}") from error


def _indices(builder: ColumnBuilder, texts: Sequence[object]) -> NDArray[np.int64]:
    indices = np.empty(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"{builder.where}, row {row}: {text!r} is no architecture string.")
        try:
            indices[row] = builder.space.index(builder.space.parse(text))
        except SpaceError as error:
            raise DataError(f"{builder.where}, row {row}: {error}") from error
        builder.claim(int(indices[row]))
    return indices


def _numbers(path: Path, name: str, values: pa.ChunkedArray) -> NDArray[np.float64]:
    import pyarrow as pa

    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        raise DataError(f"{path}: column {name!r} holds {values.type}; legal are numbers.")
    numbers: NDArray[np.float64] = values.to_numpy().astype(np.float64)
    return numbers


def _format(path: Path) -> str:
    return "CSV" if path.suffix == ".csv" else "Parquet"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
