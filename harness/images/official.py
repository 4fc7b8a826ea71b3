"""What the image data sets of the benchmarks are, as their authors publish them, and where to get them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OfficialSet:
    """The files of one data set.

    Each file is a pickled dictionary with ``data``, a row per image (red, green and blue plane, row by row), and its
    labels.

    Attributes:
        title: What people call it.
        origin: Who made it.
        files: What is published, for people.
        page: Where.
        folder: The folder that the archive holds, or that the files are usually in.
        train: Names of the files with training images, in order.
        test: Names of the files with test images.
        labels: Key of the labels in each file.
        first_label: The smallest label.
        labels_in_files: How many different labels the files have; classes beyond those of the data set are left out.
        train_images: How many training images the whole data set has.
        test_images: How many test images.
    """

    title: str
    origin: str
    files: str
    page: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: str
    first_label: int
    labels_in_files: int
    train_images: int
    test_images: int


OFFICIAL = {
    "cifar10": OfficialSet(
        title="CIFAR-10",
        origin="Krizhevsky 2009",
        files="cifar-10-python.tar.gz",
        page="https://www.cs.toronto.edu/~kriz/cifar.html",
        folder="cifar-10-batches-py",
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test=("test_batch",),
        labels="labels",
        first_label=0,
        labels_in_files=10,
        train_images=50_000,
        test_images=10_000,
    ),
    "cifar100": OfficialSet(
        title="CIFAR-100",
        origin="Krizhevsky 2009",
        files="cifar-100-python.tar.gz",
        page="https://www.cs.toronto.edu/~kriz/cifar.html",
        folder="cifar-100-python",
        train=("train",),
        test=("test",),
        labels="fine_labels",
        first_label=0,
        labels_in_files=100,
        train_images=50_000,
        test_images=10_000,
    ),
    # The first 120 classes of ImageNet at 16 by 16 pixels (Dong and Yang, ICLR 2020, section 2.2).
    "ImageNet16-120": OfficialSet(
        title="ImageNet16",
        origin="Chrabaszcz, Loshchilov and Hutter 2017",
        files="Imagenet16_train.zip and Imagenet16_val.zip (to be extracted into one folder)",
        page="https://image-net.org/download-images",
        folder="ImageNet16",
        train=tuple(f"train_data_batch_{number}" for number in range(1, 11)),
        test=("val_data",),
        labels="labels",
        first_label=1,
        labels_in_files=1_000,
        train_images=151_700,
        test_images=6_000,
    ),
}
