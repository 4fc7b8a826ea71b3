"""The official NATS-Bench archive of the topology space: a folder, or the ``.tar`` of it.

``meta.pickle.pbz2`` lists the architectures; ``000284.pickle.pbz2`` holds all records of number 284. They are
read one at a time, so memory stays small.
"""

from __future__ import annotations

import bz2
import re
import tarfile
import zlib
from contextlib import ExitStack
from functools import partial
from pathlib import PurePosixPath
from typing import IO
from typing import TYPE_CHECKING
from typing import Any

from harness.benchmarks.importers import official
from harness.benchmarks.importers.builder import ColumnBuilder
from harness.benchmarks.importers.unpickling import load_official
from harness.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.benchmarks.importers.builder import Progress
    from harness.benchmarks.table import Column
    from harness.spaces import SearchSpace

    Opener = Callable[[], IO[bytes]]

_META = "meta.pickle.pbz2"
_CELL = re.compile(r"(\d{1,6})\.pickle\.pbz2")
_SCHEDULES = {"12": 12, "200": 200}


def read(
    path: Path, space: SearchSpace, *, allow_partial: bool, progress: Progress | None = None
) -> tuple[dict[str, Column], dict[str, str]]:
    """Read the folder or archive.

    Args:
        path: A folder, or a ``.tar``.
        space: The search space.
        allow_partial: Whether architectures may be missing.
        progress: Called after each architecture.

    Returns:
        Columns, and where they come from.

    Raises:
        DataError: Not this archive, damaged, or incomplete.
    """
    builder = ColumnBuilder(space, str(path))
    with ExitStack() as stack:
        files = _folder_files(path) if path.is_dir() else _tar_files(path, stack)
        if _META not in files:
            raise DataError(
                f"{path} has no {_META}, so it is no NATS-Bench archive, or only part of one. Give the folder "
                "that holds it (NATS-tss-v1_0-3ffb9-simple), or the .tar of that folder."
            )
        meta = _load(files[_META], f"{path}/{_META}")
        texts = meta.get("meta_archs") if isinstance(meta, dict) else None
        architectures = official.parse_all(builder, texts)
        cells = {int(match[1]): name for name in files if (match := _CELL.fullmatch(name))}
        for done, (number, name) in enumerate(sorted(cells.items()), start=1):
            where = f"{path}/{name}"
            record = _load(files[name], where)
            if number >= len(architectures) or not isinstance(record, dict):
                raise DataError(f"{where} is no record of an architecture. Download the archive again.")
            schedules = {epochs: record[key] for key, epochs in _SCHEDULES.items() if key in record}
            official.add(builder, architectures[number], schedules, where)
            if progress is not None:
                progress(done, len(cells))
    provenance = {
        "origin": "NATS-Bench topology archive (Dong, Liu, Musial and Gabrys, TPAMI 2021)",
        "licence": official.LICENCE,
        "file": path.name,
    }
    return builder.columns(allow_partial=allow_partial), provenance


def _folder_files(path: Path) -> dict[str, Opener]:
    return {file.name: partial(_open_file, file) for file in path.iterdir() if file.is_file()}


def _open_file(path: Path) -> IO[bytes]:
    return path.open("rb")


def _tar_files(path: Path, stack: ExitStack) -> dict[str, Opener]:
    try:
        archive = tarfile.open(path)  # noqa: SIM115 (closed by the stack, as its members are read later)
        stack.enter_context(archive)
        members = archive.getmembers()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is no readable .tar, or it is truncated. Download it again.") from error
    return {
        PurePosixPath(member.name).name: partial(_open_member, archive, member)
        for member in members
        if member.isfile()
    }


def _open_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(member)
    if file is None:
        raise OSError(f"{member.name} is no file")
    return file


def _load(open_file: Opener, where: str) -> Any:
    try:
        with open_file() as raw, bz2.open(raw) as file:
            return load_official(file, where)
    except (OSError, EOFError) as error:
        raise DataError(f"{where} cannot be read: {error}. Download the archive again.") from error
