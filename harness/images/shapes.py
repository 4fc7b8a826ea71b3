"""Shapes of the image data sets that search spaces are defined on."""

from __future__ import annotations

from typing import NamedTuple

from harness.errors import SpecError
from harness.errors import unknown_name


class ImageShape(NamedTuple):
    """What a network needs to know of a data set of colour images.

    Attributes:
        classes: Number of classes.
        side: Height and width in pixels.
    """

    classes: int
    side: int


SHAPES = {
    "cifar10": ImageShape(10, 32),
    "cifar100": ImageShape(100, 32),
    "ImageNet16-120": ImageShape(120, 16),
}


def image_shape(dataset: str) -> ImageShape:
    """The shape of a data set.

    Raises:
        SpecError: Unknown data set.
    """
    if dataset not in SHAPES:
        raise SpecError(unknown_name("data set", dataset, SHAPES))
    return SHAPES[dataset]
