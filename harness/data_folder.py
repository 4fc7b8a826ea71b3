"""The folder of what was imported or computed once: tables, image sets, scores of proxies.

It is ``HARNESS_DATA``, or the user's cache folder for ``nas-harness``.
"""

from __future__ import annotations

import os
import re
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from typing import TYPE_CHECKING

from platformdirs import user_cache_dir

from harness.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_LETTERS = 100
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def data_folder() -> Path:
    """The folder; it need not exist yet."""
    return Path(os.environ.get("HARNESS_DATA") or user_cache_dir("nas-harness", appauthor=False))


def is_name(name: object) -> bool:
    """Whether something in the folder can be called so: letters, digits, ``.``, ``_`` and ``-``."""
    return isinstance(name, str) and len(name) <= _MOST_LETTERS and _NAME.fullmatch(name) is not None


@contextmanager
def written_whole(path: Path, what: str) -> Iterator[IO[bytes]]:
    """Write a file in one step: other processes see the old file or the whole new one, never a part.

    Args:
        path: Where; parent folders are made.
        what: What it is, for messages.

    Yields:
        The file, to be written. It takes its place when the block ends without an error.

    Raises:
        DataError: The folder cannot be written, or the disk is full. No partial file is left.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unlike those of `tempfile`, it may be read by all whom the user's umask lets.
        temporary = path.parent / f".{path.stem}-{uuid.uuid4().hex}.tmp"
        try:
            with temporary.open("xb") as file:
                yield file
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"{what} {path} cannot be written: {error.strerror or error}. "
            "Free space there, or set HARNESS_DATA to a folder that can be written."
        ) from error
