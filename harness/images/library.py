"""Image sets by name: those that were imported, and one that is always there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from typing import Literal

import numpy as np

from harness.data_folder import data_folder
from harness.data_folder import is_name
from harness.errors import DataError
from harness.errors import SpecError
from harness.errors import unknown_name
from harness.images.files import open_images
from harness.images.imageset import ImageSet
from harness.images.imageset import count_levels
from harness.images.official import OFFICIAL
from harness.images.shapes import SHAPES
from harness.images.shapes import image_shape

if TYPE_CHECKING:
    from pathlib import Path

DIGITS = "digits"
_DIGITS_CLASSES, _DIGITS_TRAIN = 10, 1_500
_DIGITS_SOURCE = "handwritten digits (UCI) of scikit-learn: 1,500 training and 297 test images"


@dataclass(frozen=True)
class ImageSetStatus:
    """What an image set is and whether it can be used.

    Attributes:
        name: What it is called in settings.
        path: Where it is, or would be; ``None`` for one that comes with a package.
        state: ``valid``; ``corrupt``; or ``not imported``.
        problem: What is wrong, and what to do; ``None`` if nothing is.
        size_bytes: Size of the file; 0 if there is none.
        description: What it holds and where it comes from; empty if it cannot be read.
        digest: Identifies the content; ``None`` if it cannot be read.
    """

    name: str
    path: Path | None
    state: Literal["valid", "corrupt", "not imported"]
    problem: str | None
    size_bytes: int
    description: str
    digest: str | None


def image_path(name: str) -> Path:
    """Where an imported image set is, or would be."""
    return data_folder() / "images" / f"{name}.npz"


def load_images(name: str, dataset: str) -> ImageSet:
    """An image set, to be shown to networks for a data set.

    Args:
        name: ``digits``, which is always there, or an image set that was imported.
        dataset: The data set that the networks are for: its images must have the same size, and not more classes.

    Raises:
        SpecError: There is no such image set, or it does not fit the data set.
        DataError: It is corrupt.
    """
    shape = image_shape(dataset)
    if name == DIGITS:
        return _digits(shape.side)
    if not is_name(name) or not image_path(name).is_file():
        raise SpecError(_absent(name, dataset))
    images = open_images(image_path(name))
    if images.side != shape.side or images.classes > shape.classes:
        raise SpecError(
            f"image set {name!r} has {images.classes} classes and {images.side} by {images.side} pixels; networks for "
            f"{dataset} are for {shape.classes} and {shape.side} by {shape.side}. Set `images` to a set that fits: "
            f"{dataset}, where it was imported, or {DIGITS}."
        )
    return images


def status() -> list[ImageSetStatus]:
    """Every image set, read in full and verified, and the data sets that none was imported for. Changes nothing."""
    imported = {path.stem for path in image_path("*").parent.glob("*.npz")}
    return [status_of(name) for name in [DIGITS, *sorted(imported | set(OFFICIAL))]]


def status_of(name: str) -> ImageSetStatus:
    """See :func:`status`."""
    if name == DIGITS:
        description = f"{_DIGITS_SOURCE}; {_DIGITS_CLASSES} classes, 8 by 8 pixels, enlarged to any size"
        return ImageSetStatus(name, None, "valid", None, 0, description, None)
    path = image_path(name)
    if not path.is_file():
        return ImageSetStatus(name, path, "not imported", _how_to_import(name), 0, "", None)
    size_bytes = path.stat().st_size
    try:
        images = open_images(path, verify=True)
    except DataError as error:
        return ImageSetStatus(name, path, "corrupt", str(error), size_bytes, "", None)
    description = f"{images.source}; {images.classes} classes, {images.side} by {images.side} pixels"
    return ImageSetStatus(name, path, "valid", None, size_bytes, description, images.digest)


def _absent(name: str, dataset: str) -> str:
    instead = f"On a machine without it, set `images: {DIGITS}` (handwritten digits, always there)."
    if name in OFFICIAL:
        return f"image set {name!r} is not imported: {_how_to_import(name)} {instead}"
    known = {DIGITS, *OFFICIAL, *(path.stem for path in image_path("*").parent.glob("*.npz"))}
    return (
        f"{unknown_name('image set', str(name), known)} Make it with "
        f"`harness data import images PATH --dataset {dataset} --name {name}`. {instead}"
    )


def _how_to_import(dataset: str) -> str:
    official = OFFICIAL[dataset]
    return f"get {official.files} from {official.page}, then `harness data import images PATH --dataset {dataset}`."


@lru_cache(maxsize=len(SHAPES))
def _digits(side: int) -> ImageSet:
    """The 1,797 handwritten digits of scikit-learn (UCI, 8 by 8 pixels, grey), enlarged.

    Real images with real classes, but tiny: a stand-in where no other image set is.
    """
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    found = load_digits()
    grey = zoom(found.images, (1, side / 8, side / 8), order=1, grid_mode=True, mode="nearest")
    images = np.repeat((grey * (255 / 16)).round().astype(np.uint8)[:, None], 3, axis=1)
    labels = found.target.astype(np.int64)
    images.flags.writeable = labels.flags.writeable = False
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return ImageSet(
        name=DIGITS,
        train_images=images[:_DIGITS_TRAIN],
        train_labels=labels[:_DIGITS_TRAIN],
        test_images=images[_DIGITS_TRAIN:],
        test_labels=labels[_DIGITS_TRAIN:],
        classes=_DIGITS_CLASSES,
        level_counts=count_levels([images[:_DIGITS_TRAIN]]),
        source=_DIGITS_SOURCE,
        digest=digest,
    )
