"""Reading pickles that came from outside, without letting them call anything."""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from typing import IO
from typing import TYPE_CHECKING
from typing import Any

from harness.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping


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


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], allowed: Mapping[tuple[str, str], Callable[..., Any]]) -> None:
        super().__init__(file)
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which data have no need of")
        return self._allowed[module, name]


def _load(file: IO[bytes], where: str, allowed: Mapping[tuple[str, str], Callable[..., Any]]) -> Any:
    try:
        return _Unpickler(file, allowed).load()
    # Damaged bytes make the unpickler fail in almost any way; all mean the same to the user.
    except Exception as error:
        raise DataError(
            f"{where} cannot be read: {error or type(error).__name__}. Download the file again from its "
            "publisher, and check that it is the file you mean."
        ) from error
