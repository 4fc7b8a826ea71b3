"""The official NAS-Bench-201 ``.pth`` file: one PyTorch pickle of all architectures.

Version 1.1 has 4.7 GB on disk and takes about 28 GB of memory to read; the NATS-Bench archive has the same
records in small pieces.
"""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from typing import TYPE_CHECKING
from typing import Any
from typing import cast

import numpy as np

from harness.benchmarks.importers import official
from harness.benchmarks.importers.builder import ColumnBuilder
from harness.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.benchmarks.importers.builder import Progress
    from harness.benchmarks.table import Column
    from harness.spaces import SearchSpace

_SCHEDULES = {"less": 12, "full": 200}
_KEYS = ("meta_archs", "arch2infos", "evaluated_indexes")


def read(
    path: Path, space: SearchSpace, *, allow_partial: bool, progress: Progress | None = None
) -> tuple[dict[str, Column], dict[str, str]]:
    """Read the file.

    Args:
        path: The ``.pth``.
        space: The search space.
        allow_partial: Whether architectures may be missing.
        progress: Called after each architecture.

    Returns:
        Columns, and where they come from.

    Raises:
        DataError: Not this file, damaged, or incomplete.
    """
    builder = ColumnBuilder(space, str(path))
    content = _load(path)
    if not isinstance(content, dict) or any(key not in content for key in _KEYS):
        raise DataError(
            f"{path} is a PyTorch file, but not that of NAS-Bench-201: it lacks one of {', '.join(_KEYS)}."
        )
    architectures = official.parse_all(builder, content["meta_archs"])
    records = content["arch2infos"]
    if not isinstance(records, dict) or not all(
        isinstance(number, int) and 0 <= number < len(architectures) and isinstance(record, dict)
        for number, record in records.items()
    ):
        raise DataError(f"{path}: 'arch2infos' does not map numbers of architectures to their records.")
    total = len(records)
    for done, number in enumerate(sorted(records), start=1):
        # Taken out as it is read, so that memory falls as the columns fill.
        record = records.pop(number)
        schedules = {epochs: record[key] for key, epochs in _SCHEDULES.items() if key in record}
        official.add(builder, architectures[number], schedules, f"{path}, record {number}")
        if progress is not None:
            progress(done, total)
    provenance = {
        "origin": "NAS-Bench-201 (Dong and Yang, ICLR 2020), official .pth",
        "licence": official.LICENCE,
        "file": path.name,
    }
    return builder.columns(allow_partial=allow_partial), provenance


def _load(path: Path) -> Any:
    import torch

    # NumPy scalars are all that the file needs beyond tensors and containers. Both names of the module that
    # makes them are allowed, for the file was written before NumPy renamed it.
    scalar = cast("Callable[..., Any]", np.float64(0).__reduce__()[0])
    allowed: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        OrderedDict,
        np.dtype,
        type(np.dtype(np.float64)),
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
    ]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    # Damaged bytes make the loader fail in almost any way; all mean the same to the user.
    except Exception as error:
        asks = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        reason = (
            f"it asks for {asks[1]}, which data have no need of" if asks else "it is truncated or damaged"
        )
        raise DataError(
            f"{path} cannot be read as a PyTorch file of plain data: {reason}. "
            "Download NAS-Bench-201-v1_1-096897.pth again from its publisher."
        ) from error
