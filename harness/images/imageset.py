"""A labelled set of images in memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harness import seeding

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with labels, as they are on disk.

    Attributes:
        name: What it is called in settings.
        train_images: Shape (images, 3, side, side), red, green, blue, 0 to 255.
        train_labels: Shape (images,), from 0 to ``classes - 1``.
        test_images: As ``train_images``.
        test_labels: As ``train_labels``.
        classes: Number of classes.
        source: Where it comes from, for people.
        digest: Of images and labels; what depends on them is tied to it.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    classes: int
    source: str
    digest: str

    @property
    def side(self) -> int:
        """Height and width in pixels."""
        return int(self.train_images.shape[-1])

    @cached_property
    def statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of each channel over the training images, scaled to [0, 1]; shape (3, 1, 1)."""
        # Of counts: the images as numbers would take eight times their memory.
        counts = np.stack([np.bincount(self.train_images[:, c].ravel(), minlength=256) for c in range(3)])
        levels = np.arange(256) / 255
        mean = counts @ levels / counts.sum(axis=1)
        std = np.sqrt(counts @ levels**2 / counts.sum(axis=1) - mean**2)
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
