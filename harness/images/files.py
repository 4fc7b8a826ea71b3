"""Image sets on disk: one uncompressed ``.npz`` each, of which only the images that are looked at are read.

Members are ``train_images``, ``train_labels``, ``test_images`` and ``test_labels``, shaped as in
:class:`~harness.images.ImageSet`, and ``meta``: JSON with the number of classes, the levels of the channels, the
checksum of each member, and where the images come from.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO
from typing import TYPE_CHECKING
from typing import Any
from typing import NoReturn

import numpy as np

from harness.data_folder import written_whole
from harness.errors import DataError
from harness.images.imageset import ImageSet
from harness.images.imageset import count_levels

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Iterator
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT = 1
# Images that are copied at a time.
_PIECE = 1_000
# Where a member's own header in a zip file says how long its name and its extra field are, and ends without them.
_NAME_LENGTH, _HEADER = 26, 30


@dataclass(frozen=True)
class Part:
    """Training or test images that are about to be written.

    Attributes:
        images: In pieces, each of shape (n, 3, side, side) and in any order of memory: there is no second copy.
        labels: Of all of them, in order.
    """

    images: Sequence[NDArray[np.uint8]]
    labels: NDArray[np.int64]


def write_images(path: Path, train: Part, test: Part, *, classes: int, source: str) -> None:
    """Write an image set in one step; the same images give the same bytes.

    Args:
        path: Where; parent folders are made.
        train: Training images.
        test: Test images.
        classes: Number of classes.
        source: See :class:`~harness.images.ImageSet`.

    Raises:
        DataError: The folder cannot be written, or the disk is full. No partial file is left.
    """
    content = _content(train, test, classes)
    meta = {"format": FORMAT, "source": source, "digest": _digest(content), "content": content}
    encoded = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    with written_whole(path, "image set") as file, zipfile.ZipFile(file, "w") as archive:
        for name, arrays in (_members(train, test) | {"meta": [encoded]}).items():
            # Made of a name alone, an entry has no time of day.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                header = {"descr": arrays[0].dtype.str, "fortran_order": False, "shape": _shape(arrays)}
                np.lib.format.write_array_header_1_0(member, header)
                for piece in _pieces(arrays):
                    member.write(piece.data)


def content_digest(train: Part, test: Part, *, classes: int) -> str:
    """The digest that an image set of these images would have."""
    return _digest(_content(train, test, classes))


def open_images(path: Path, *, verify: bool = False) -> ImageSet:
    """Map an image set into memory.

    Args:
        path: The file; its name without the suffix is that of the set.
        verify: Whether to read all images and compare their checksums. Otherwise only the labels, the shapes, and
            what is said of the images are looked at.

    Raises:
        DataError: It is no image set, damaged, or was written by another version.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            meta = json.loads(_read(archive, "meta").tobytes())
            if (found := meta["format"]) == FORMAT:
                content = meta["content"]
                images = ImageSet(
                    name=path.stem,
                    train_images=_map(file, archive.getinfo("train_images.npy")),
                    train_labels=_read(archive, "train_labels"),
                    test_images=_map(file, archive.getinfo("test_images.npy")),
                    test_labels=_read(archive, "test_labels"),
                    classes=content["classes"],
                    level_counts=np.array(content["level_counts"], dtype=np.int64),
                    source=meta["source"],
                    digest=meta["digest"],
                )
                problem = _problem(images, content, verify=verify)
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
        struct.error,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        _corrupt(path, f"it is truncated, damaged or no image set ({error})")
    if found != FORMAT:
        raise DataError(
            f"image set {path} has format {found!r}, this version reads {FORMAT}. "
            "Delete the file and import the images again."
        )
    if problem is not None:
        _corrupt(path, problem)
    return images


def _problem(images: ImageSet, content: Mapping[str, Any], *, verify: bool) -> str | None:
    """What is wrong with a set that could be read."""
    if images.digest != _digest(content):
        return "what it says of its images does not match its checksum"
    arrays = {name: [getattr(images, name)] for name in content["members"]}
    for name, member in content["members"].items():
        if list(_shape(arrays[name])) != member["shape"]:
            return f"{name} does not have the shape that it should have"
        if (verify or name.endswith("labels")) and _checksum(arrays[name]) != member["sha256"]:
            return f"{name} does not match its checksum"
    return None


def _corrupt(path: Path, problem: str) -> NoReturn:
    raise DataError(f"image set {path} is corrupt: {problem}. Delete the file and import the images again.")


def _read(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """A member, copied into memory."""
    array: NDArray[Any] = np.lib.format.read_array(
        io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False
    )
    array.flags.writeable = False
    return array


def _map(file: IO[bytes], member: zipfile.ZipInfo) -> NDArray[Any]:
    """A member as an array that is read from the file when it is looked at."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed")
    file.seek(member.header_offset + _NAME_LENGTH)
    name, extra = struct.unpack("<HH", file.read(4))
    file.seek(member.header_offset + _HEADER + name + extra, os.SEEK_SET)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"{member.filename} is of another version of npy")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return np.memmap(file, dtype, "r", file.tell(), shape)


def _members(train: Part, test: Part) -> dict[str, Sequence[NDArray[Any]]]:
    return {
        "train_images": train.images,
        "train_labels": [train.labels],
        "test_images": test.images,
        "test_labels": [test.labels],
    }


def _content(train: Part, test: Part, classes: int) -> dict[str, Any]:
    return {
        "classes": classes,
        "level_counts": count_levels(_pieces(train.images)).tolist(),
        "members": {
            name: {"shape": list(_shape(arrays)), "sha256": _checksum(arrays)}
            for name, arrays in _members(train, test).items()
        },
    }


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _shape(arrays: Sequence[NDArray[Any]]) -> tuple[int, ...]:
    """Of all pieces as one array."""
    return (sum(map(len, arrays)), *arrays[0].shape[1:])


def _checksum(arrays: Iterable[NDArray[Any]]) -> str:
    checksum = hashlib.sha256()
    for piece in _pieces(arrays):
        checksum.update(piece.data)
    return checksum.hexdigest()


def _pieces(arrays: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """What the arrays hold, in order, in pieces that lie in memory as they will on disk."""
    for array in arrays:
        for start in range(0, len(array), _PIECE):
            yield np.ascontiguousarray(array[start : start + _PIECE])
