"""Image sets for proxies and training: official ones that were imported, and one that is always there."""

from harness.images.imageset import ImageSet
from harness.images.library import ImageSetStatus
from harness.images.library import load_images
from harness.images.library import status
from harness.images.shapes import SHAPES
from harness.images.shapes import ImageShape
from harness.images.shapes import image_shape

__all__ = ["SHAPES", "ImageSet", "ImageSetStatus", "ImageShape", "image_shape", "load_images", "status"]
