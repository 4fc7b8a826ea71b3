"""Image sets by name."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

from harness.errors import SpecError
from harness.errors import unknown_name
from harness.images.imageset import ImageSet
from harness.images.shapes import image_shape

DIGITS = "digits"


@lru_cache(maxsize=4)
def load_images(name: str, dataset: str) -> ImageSet:
    """An image set, to be shown to networks for a data set.

    Args:
        name: ``digits``, which is always there, or an image set that was imported.
        dataset: The data set that the networks are for: its images must have the same size, and not more classes.

    Raises:
        SpecError: There is no such image set, or it does not fit the data set.
    """
    shape = image_shape(dataset)
    if name == DIGITS:
        return _digits(shape.side)
    raise SpecError(unknown_name("image set", name, [DIGITS]))


def _digits(side: int) -> ImageSet:
    """The 1,797 handwritten digits of scikit-learn (UCI, 8 by 8 pixels, grey), enlarged."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    found = load_digits()
    grey = zoom(found.images, (1, side / 8, side / 8), order=1, grid_mode=True, mode="nearest")
    images = np.repeat((grey * (255 / 16)).round().astype(np.uint8)[:, None], 3, axis=1)
    labels = found.target.astype(np.int64)
    train = 1_500
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return ImageSet(
        name=DIGITS,
        train_images=images[:train],
        train_labels=labels[:train],
        test_images=images[train:],
        test_labels=labels[train:],
        classes=10,
        source="scikit-learn, handwritten digits (UCI)",
        digest=digest,
    )
