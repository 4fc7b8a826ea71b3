"""What lies where a results folder is expected; an error says what that is, and what to give."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SWEEP = "sweep.json"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a file system refuses into an error of the user.

    Args:
        path: What is read, where the system does not say it.

    Raises:
        StoreError: Any :class:`OSError` inside.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{error.filename or path}: cannot be read: {error.strerror}. Reports read every file of a results folder: "
            "make it readable, or give another folder."
        ) from error


def sweep_file(folder: Path) -> Path:
    """``sweep.json`` of the results folder of one sweep.

    Raises:
        StoreError: The folder is none of one sweep, or cannot be read.
    """
    with reading(folder):
        _require(folder, "Give the results folder of one sweep.")
        file = folder / _SWEEP
        if not file.is_file():
            inside = [path.name for path in _sweeps_in(folder)]
            hint = f" It holds the sweeps {', '.join(inside)}; give one of them." if inside else ""
            raise StoreError(f"{folder}: this is no results folder of a sweep, it has no {_SWEEP}.{hint}")
    return file


def sweep_folders(folder: Path) -> list[Path]:
    """The folder of a sweep itself, or those of all sweeps in a folder of several.

    Raises:
        StoreError: There is no such folder, no sweep in it, or it cannot be read.
    """
    with reading(folder):
        _require(folder, "Give a results folder, of one sweep or of several.")
        if (folder / _SWEEP).is_file():
            return [folder]
        if found := _sweeps_in(folder):
            return found
    raise StoreError(
        f"{folder}: this is no results folder: neither it nor a folder in it has a {_SWEEP}. Run a sweep first: "
        "`harness run`."
    )


def run_folders(sweep: Path) -> list[Path]:
    """Every folder of a sweep that lies where a run may be, ``<benchmark>/<strategy>/seed-<n>``, sorted.

    Raises:
        StoreError: A folder above the runs cannot be read, so that nobody knows which runs there are.
    """
    with reading(sweep):
        level = [sweep]
        for _ in range(3):
            level = [path for folder in level for path in folder.iterdir() if path.is_dir()]
    return sorted(path for path in level if path.name.startswith("seed-"))


def _require(folder: Path, advice: str) -> None:
    if not folder.is_dir():
        found = "this is a file" if folder.exists() else "there is no such folder"
        raise StoreError(f"{folder}: {found}. {advice}")


def _sweeps_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and (path / _SWEEP).is_file())
