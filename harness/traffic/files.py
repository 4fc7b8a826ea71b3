"""Traffic sets on disk: one uncompressed ``.npz`` each, verified in full whenever it is read.

Members are ``values``, ``clock`` and ``adjacency``, as in :class:`~harness.traffic.TrafficSet`, and ``meta``: JSON with
the other attributes but the name, which is that of the file.
"""

from __future__ import annotations

import json
import tokenize
import zipfile
import zlib
from typing import TYPE_CHECKING
from typing import NoReturn

import numpy as np

from harness.data_folder import written_whole
from harness.errors import DataError
from harness.traffic.trafficset import make_traffic_set

if TYPE_CHECKING:
    from pathlib import Path

    from harness.traffic.trafficset import TrafficSet

FORMAT = 1
_ARRAYS = ("values", "clock", "adjacency")
_TEXTS = ("dataset", "quantity", "unit", "source")


def write_traffic(path: Path, traffic: TrafficSet) -> None:
    """Write a traffic set in one step; the same content and source give the same bytes.

    Args:
        path: Where; parent folders are made.
        traffic: What; its name is not written.

    Raises:
        DataError: The folder cannot be written, or the disk is full. No partial file is left.
    """
    meta = {"format": FORMAT, "digest": traffic.digest, **{text: getattr(traffic, text) for text in _TEXTS}}
    encoded = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    arrays = {array: getattr(traffic, array) for array in _ARRAYS}
    with written_whole(path, "traffic set") as file:
        np.savez(file, meta=encoded, **arrays)


def read_traffic(path: Path) -> TrafficSet:
    """Read a traffic set and compare its checksum.

    Args:
        path: The file; its name without the suffix is that of the set.

    Raises:
        DataError: It is no traffic set, damaged, or was written by another version.
    """
    traffic = None
    try:
        with np.load(path, allow_pickle=False) as archive:
            meta = json.loads(archive["meta"].tobytes())
            if (found := meta["format"]) == FORMAT:
                digest = meta["digest"]
                traffic = make_traffic_set(
                    path.stem,
                    **{text: meta[text] for text in _TEXTS},
                    **{array: archive[array] for array in _ARRAYS},
                )
    # What the readers of zip, npy and JSON raise for a file that is none of them, or was damaged.
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        SyntaxError,
        tokenize.TokenError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        _corrupt(path, f"it is truncated, damaged or no traffic set ({error})")
    if traffic is None:
        raise DataError(
            f"traffic set {path} has format {found!r}, this version reads {FORMAT}. "
            "Delete the file and import the traffic again."
        )
    if traffic.digest != digest:
        _corrupt(path, "what it holds does not match its checksum")
    return traffic


def _corrupt(path: Path, problem: str) -> NoReturn:
    raise DataError(
        f"traffic set {path} is corrupt: {problem}. Delete the file and import the traffic again."
    )
