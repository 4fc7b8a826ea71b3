"""Pickles as Python 2 wrote them, which is how the files of some data sets are."""

from __future__ import annotations

import io
import pickle
import struct
from typing import Any
from typing import ClassVar


class Python2Pickler(pickle._Pickler):
    """Writes texts and bytes as strings of Python 2, as the files of CIFAR have them."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_string(self, value: str | bytes) -> None:
        raw = value.encode() if isinstance(value, str) else value
        if len(raw) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(raw)]) + raw)  # type: ignore[attr-defined]
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)  # type: ignore[attr-defined]
        self.memoize(value)  # type: ignore[attr-defined]

    dispatch[str] = dispatch[bytes] = save_string


def pickled(content: Any, protocol: int | None) -> bytes:
    """As Python 3 writes it, or Python 2 (``None``)."""
    file = io.BytesIO()
    if protocol is None:
        Python2Pickler(file, 2).dump(content)
    else:
        pickle.dump(content, file, protocol)
    if protocol == 4:
        return file.getvalue()
    # What NumPy 1, and so the official files, call this module.
    return file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
