"""A labelled set of images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harness import seeding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with labels, as they are on disk.

    The arrays are read-only. Those of an imported set are mapped from its file, so that only the images that are
    looked at are read, and processes share them.

    Attributes:
        name: What it is called in settings.
        train_images: Shape (images, 3, side, side), red, green, blue, 0 to 255.
        train_labels: Shape (images,), from 0 to ``classes - 1``.
        test_images: As ``train_images``.
        test_labels: As ``train_labels``.
        classes: Number of classes.
        level_counts: How often each of the 256 levels occurs in each channel of the training images; shape (3, 256).
        source: Where it comes from and how much of it there is, for people.
        digest: Of images and labels; what depends on them is tied to it.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    classes: int
    level_counts: NDArray[np.int64]
    source: str
    digest: str

    @property
    def side(self) -> int:
        """Height and width in pixels."""
        return int(self.train_images.shape[-1])

    @cached_property
    def statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of each channel over the training images, scaled to [0, 1]; shape (3, 1, 1)."""
        levels = np.arange(256) / 255
        pixels = self.level_counts.sum(axis=1)
        mean = self.level_counts @ levels / pixels
        std = np.sqrt(self.level_counts @ levels**2 / pixels - mean**2)
        return mean.astype(np.float32).reshape(3, 1, 1), std.astype(np.float32).reshape(3, 1, 1)

    def batch(
        self, size: int, *, seed: int, number: int = 0
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Random training images, normalised by :attr:`statistics`, with their labels.

        Batches of one seed are parts of one permutation of the training images, so they share none while there are
        enough.

        Args:
            size: Number of images.
            seed: Of the permutation.
            number: Which batch, from 0.

        Returns:
            Images of shape (size, 3, side, side) and labels of shape (size,).
        """
        order = seeding.generator(seed, "images").permutation(len(self.train_images))
        chosen = np.take(order, range(number * size, (number + 1) * size), mode="wrap")
        mean, std = self.statistics
        images = (self.train_images[chosen].astype(np.float32) / np.float32(255) - mean) / std
        return images.astype(np.float32), self.train_labels[chosen]


def count_levels(images: Iterable[NDArray[np.uint8]]) -> NDArray[np.int64]:
    """See :attr:`ImageSet.level_counts`.

    Args:
        images: All training images, in pieces of shape (images, 3, side, side). The memory of a piece is taken eight
            times.
    """
    counts = np.zeros((3, 256), dtype=np.int64)
    for piece in images:
        for channel in range(3):
            counts[channel] += np.bincount(piece[:, channel].ravel(), minlength=256)
    return counts
