"""Reading pickles that came from outside, without letting them call anything."""

from __future__ import annotations

import pickle
import re
import struct
from collections import OrderedDict
from typing import IO
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from harness.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping

    from numpy.typing import NDArray


def load_plain(file: IO[bytes], where: str) -> Any:
    """Read a pickle of dictionaries, lists, texts and numbers alone; anything else in it is an error.

    Args:
        file: Open for reading.
        where: What the file is, for messages.

    Raises:
        DataError: No pickle, damaged, or it asks for a class or a function.
    """
    return _load(file, where, {})


def load_official(file: IO[bytes], where: str) -> Any:
    """Read a pickle of the official archives: plain data, ``OrderedDict`` and NumPy scalars.

    Raises:
        DataError: No pickle, damaged, or it asks for anything else.
    """
    return _load(file, where, _OFFICIAL)


def load_arrays(file: IO[bytes], where: str) -> dict[str, Any]:
    """Read a pickled dictionary of plain data and NumPy arrays of numbers, written by Python 2 or 3.

    Texts of Python 2 are bytes, but for the keys. The arrays are read-only.

    Raises:
        DataError: No pickle, damaged, no dictionary, or it asks for anything else.
    """
    loaded = _load(file, where, _ARRAYS, encoding="bytes")
    if not isinstance(loaded, dict):
        raise DataError(f"{where} holds a {type(loaded).__name__} and no dictionary. {_AGAIN}")
    return {
        key.decode("latin1") if isinstance(key, bytes) else str(key): (
            value.values if isinstance(value, _Array) else value
        )
        for key, value in loaded.items()
    }


def load_list(file: IO[bytes], where: str) -> list[Any]:
    """Read a pickled list or tuple of plain data and NumPy arrays of numbers, written by Python 2 or 3.

    Texts of Python 2 are bytes. The arrays are read-only.

    Raises:
        DataError: No pickle, damaged, no list, or it asks for anything else.
    """
    loaded = _load(file, where, _ARRAYS, encoding="bytes")
    if not isinstance(loaded, list | tuple):
        raise DataError(f"{where} holds a {type(loaded).__name__} and no list. {_AGAIN}")
    return [value.values if isinstance(value, _Array) else value for value in loaded]


class _Float:
    """Stands in for ``numpy.dtype``: the one type of scalar that the archives hold is a 64-bit float."""

    def __init__(self, code: str, *_: object) -> None:
        if code != "f8":
            raise pickle.UnpicklingError(f"a NumPy scalar of type {code!r}; legal is 'f8'")
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"


def _scalar(kind: _Float, raw: bytes) -> float:
    value: float = struct.unpack(f"{kind.order}d", raw)[0]
    return value


# NumPy's own constructors stay out of reach: stand-ins make Python floats of its scalars. The module that
# holds them was renamed in NumPy 2, and an archive names that of the version that wrote it.
_OFFICIAL: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "dtype"): _Float,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
}


class _Numbers:
    """Stands in for ``numpy.dtype``: numbers of one kind."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        text = code.decode("latin1") if isinstance(code, bytes) else code
        if re.fullmatch("[iu][1248]|f[48]", text) is None:
            raise pickle.UnpicklingError(f"a NumPy array of type {text!r}; legal are numbers")
        self.dtype = np.dtype(text).newbyteorder("<")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in (">", b">"):
            self.dtype = self.dtype.newbyteorder(">")


class _Array:
    """Stands in for ``numpy.ndarray``: a view of the bytes of the pickle, which cannot be longer than they are."""

    values: NDArray[Any]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, numbers, by_column, raw = state
        self.values = np.frombuffer(raw, numbers.dtype).reshape(shape, order="F" if by_column else "C")


def _new_array(kind: type[_Array], *_: object) -> _Array:
    if kind is not _Array:
        raise pickle.UnpicklingError(f"an array of {kind!r}")
    return kind()


def _encode(text: str, encoding: str) -> bytes:
    # How Python 3 writes bytes that Python 2 shall read.
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes as {encoding!r}")
    return text.encode("latin1")


_ARRAYS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Numbers,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _new_array,
    ("numpy._core.multiarray", "_reconstruct"): _new_array,
    ("_codecs", "encode"): _encode,
}

_AGAIN = "Download the file again from its publisher, and check that it is the file you mean."


class _Unpickler(pickle.Unpickler):
    def __init__(
        self, file: IO[bytes], allowed: Mapping[tuple[str, str], Callable[..., Any]], encoding: str
    ) -> None:
        super().__init__(file, encoding=encoding)
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which data have no need of")
        return self._allowed[module, name]


def _load(
    file: IO[bytes],
    where: str,
    allowed: Mapping[tuple[str, str], Callable[..., Any]],
    encoding: str = "ASCII",
) -> Any:
    try:
        return _Unpickler(file, allowed, encoding).load()
    # Damaged bytes make the unpickler fail in almost any way; all mean the same to the user.
    except Exception as error:
        raise DataError(f"{where} cannot be read: {str(error) or type(error).__name__}. {_AGAIN}") from error
