"""From the files that others publish to image sets in the data folder."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import IO
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

import numpy as np

from harness.benchmarks.importers.unpickling import load_arrays
from harness.data_folder import is_name
from harness.errors import DataError
from harness.errors import SpecError
from harness.images import library
from harness.images.files import Part
from harness.images.files import content_digest
from harness.images.files import open_images
from harness.images.files import write_images
from harness.images.official import OFFICIAL
from harness.images.shapes import image_shape

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.images.library import ImageSetStatus
    from harness.images.official import OfficialSet
    from harness.images.shapes import ImageShape

    Progress = Callable[[int, int], None]


class _Batch(NamedTuple):
    """What one official file holds of the classes of the data set."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def import_images(
    path: Path, *, dataset: str, name: str | None = None, progress: Progress | None = None
) -> ImageSetStatus:
    """Make an image set of files that others publish. Nothing is changed if that fails.

    Args:
        path: The official archive of the data set, or the folder with its files; or an ``.npz`` with ``train_x``
            (images, side, side, 3; uint8), ``train_y`` (labels from 0), ``test_x`` and ``test_y``.
        dataset: The data set that the images are of, or stand for.
        name: What to call the image set; the data set's own name without.
        progress: Called with the number of files read and their total, where there are several.

    Raises:
        SpecError: Unknown data set, or no legal name.
        DataError: The files are not legal, or an image set of this name and other content exists.
    """
    shape = image_shape(dataset)
    name = dataset if name is None else name
    _check_name(name, dataset)
    if not path.exists():
        raise DataError(f"{path} does not exist; {_legal_files(dataset)}")
    if path.suffix == ".npz":
        train, test = _read_npz(path, shape)
    else:
        train, test = _read_official(path, dataset, progress)
    _check(train, test, path)
    target = library.image_path(name)
    if target.is_file() and library.status_of(name).state == "valid":
        if open_images(target).digest != content_digest(train, test, classes=shape.classes):
            raise DataError(
                f"image set {name!r} exists with other content, and results may depend on it. "
                f"Import under another --name, or delete {target} first."
            )
    else:
        source = _describe(path, dataset, len(train.labels), len(test.labels))
        write_images(target, train, test, classes=shape.classes, source=source)
    return library.status_of(name)


def _check_name(name: str, dataset: str) -> None:
    if not is_name(name) or name == library.DIGITS:
        raise SpecError(
            f"an image set cannot be called {name!r}; legal are letters, digits, '.', '_' and '-', "
            f"and not {library.DIGITS!r}."
        )
    if name in OFFICIAL and name != dataset:
        raise SpecError(
            f"an image set of {dataset} cannot be called {name!r}: that is the name of another data set. "
            "Give another --name."
        )


def _legal_files(dataset: str) -> str:
    official = OFFICIAL[dataset]
    return (
        f"legal are the files of {official.title} ({official.files}, from {official.page}; an archive, or the folder "
        "with its files) and an .npz with train_x, train_y, test_x and test_y."
    )


def _describe(path: Path, dataset: str, train: int, test: int) -> str:
    official, file = OFFICIAL[dataset], path.resolve().name
    if path.suffix == ".npz":
        origin = f"{file}, imported for {dataset}"
    else:
        origin = f"{file}, the files of {official.title} ({official.origin}, {official.page})"
    if (train, test) == (official.train_images, official.test_images):
        return f"{origin}: all {train:,} training and {test:,} test images"
    whole = f"{official.train_images:,} and {official.test_images:,}"
    return f"{origin}: {train:,} training and {test:,} test images, where {dataset} has {whole}"


def _check(train: Part, test: Part, path: Path) -> None:
    for what, part in (("training", train), ("test", test)):
        if not len(part.labels):
            raise DataError(f"{path} has no {what} images of the classes of the data set.")
    for channel, colour in enumerate(("red", "green", "blue")):
        levels = {int(end) for piece in train.images if len(piece) for end in _range(piece[:, channel])}
        if len(levels) == 1:
            raise DataError(f"{path}: {colour} is {levels.pop()} everywhere in the training images.")


def _range(values: NDArray[np.uint8]) -> tuple[int, int]:
    return int(values.min()), int(values.max())


# The official files.


def _read_official(path: Path, dataset: str, progress: Progress | None) -> tuple[Part, Part]:
    official, shape = OFFICIAL[dataset], image_shape(dataset)
    wanted = (*official.train, *official.test)
    batches: dict[str, _Batch] = {}
    others: set[str] = set()
    for name, where, file in _files(path, dataset):
        if name not in wanted:
            others.add(name)
            continue
        if name in batches:
            raise DataError(f"{path} has two files called {name}.")
        batches[name] = _read_batch(file, where, official, dataset, shape)
        if progress is not None:
            progress(len(batches), len(wanted))
    if lacking := [name for name in wanted if name not in batches]:
        raise DataError(_incomplete(path, dataset, lacking, others))
    return _part(batches[name] for name in official.train), _part(batches[name] for name in official.test)


def _part(batches: Iterator[_Batch]) -> Part:
    images, labels = zip(*batches, strict=True)
    return Part(images, np.concatenate(labels))


def _incomplete(path: Path, dataset: str, lacking: list[str], others: set[str]) -> str:
    for other, official in OFFICIAL.items():
        if others.issuperset((*official.train, *official.test)):
            return f"{path} holds the files of {official.title}, not of {OFFICIAL[dataset].title}: --dataset {other}"
    return f"{path} lacks {', '.join(lacking)}, so it is not what is needed; {_legal_files(dataset)}"


def _files(path: Path, dataset: str) -> Iterator[tuple[str, str, IO[bytes]]]:
    """Name, place and content of each file of a folder or an archive."""
    try:
        yield from _folder_files(path, OFFICIAL[dataset]) if path.is_dir() else _tar_files(path)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} is no archive that can be read, or it is truncated; {_legal_files(dataset)}"
        ) from error


def _folder_files(path: Path, official: OfficialSet) -> Iterator[tuple[str, str, IO[bytes]]]:
    # The folder itself, or the one that the archive makes where it is extracted.
    inner = path / official.folder
    for file in sorted((inner if inner.is_dir() else path).iterdir()):
        if file.is_file():
            with file.open("rb") as content:
                yield file.name, str(file), content


def _tar_files(path: Path) -> Iterator[tuple[str, str, IO[bytes]]]:
    with tarfile.open(path) as archive:
        # In its own order: to go back would mean to decompress it again.
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                yield PurePosixPath(member.name).name, f"{path}/{member.name}", content


def _read_batch(
    file: IO[bytes], where: str, official: OfficialSet, dataset: str, shape: ImageShape
) -> _Batch:
    content = load_arrays(file, where)
    rows, labels = content.get("data"), content.get(official.labels)
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.ndim != 2:
        raise DataError(f"{where} has no `data` with a row of bytes per image; {_legal_files(dataset)}")
    if rows.shape[1] != 3 * shape.side**2:
        raise DataError(
            f"{where} has {rows.shape[1]:,} values per image; images of {dataset} have {shape.side} by {shape.side} "
            f"pixels in three colours, {3 * shape.side**2:,} values."
        )
    first = official.first_label
    counted = (
        _labels(labels, where, f"`{official.labels}`", len(rows), first, official.labels_in_files) - first
    )
    images = rows.reshape(-1, 3, shape.side, shape.side)
    if official.labels_in_files > shape.classes:
        known = counted < shape.classes
        images, counted = images[known], counted[known]
    return _Batch(images, counted)


def _labels(labels: Any, where: str, what: str, images: int, first: int, classes: int) -> NDArray[np.int64]:
    """Labels as an array, found to be one per image and in range."""
    try:
        array = np.asarray(labels)
    except ValueError:  # a list of lists of several lengths
        array = np.empty(0)
    if array.shape != (images,) or not (images == 0 or np.issubdtype(array.dtype, np.integer)):
        raise DataError(f"{where} has no {what} with a whole number for each of its {images:,} images.")
    if images and not first <= array.min() <= array.max() < first + classes:
        raise DataError(
            f"{where}: {what} go from {array.min()} to {array.max()}; legal are {first} to {first + classes - 1}."
        )
    return array.astype(np.int64)


# Arrays in an .npz.


def _read_npz(path: Path, shape: ImageShape) -> tuple[Part, Part]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return _npz_part(archive, "train", path, shape), _npz_part(archive, "test", path, shape)
    # What the readers of zip and npy raise for a file that is neither, or was damaged.
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is truncated, damaged or no .npz ({error}).") from error


def _npz_part(archive: Any, part: str, path: Path, shape: ImageShape) -> Part:
    lacking = [name for name in (f"{part}_x", f"{part}_y") if name not in archive]
    if lacking:
        raise DataError(
            f"{path} has no {lacking[0]}; it has {', '.join(archive.files) or 'nothing'}. Needed are train_x, train_y, "
            "test_x and test_y."
        )
    images, labels = archive[f"{part}_x"], archive[f"{part}_y"]
    expected = (shape.side, shape.side, 3)
    if images.dtype != np.uint8 or images.shape[1:] != expected:
        raise DataError(
            f"{path}: {part}_x is {images.dtype} of shape {images.shape}; legal is uint8 of shape "
            f"(images, {', '.join(map(str, expected))})."
        )
    counted = _labels(labels, str(path), f"{part}_y", len(images), 0, shape.classes)
    return Part([images.transpose(0, 3, 1, 2)], counted)
