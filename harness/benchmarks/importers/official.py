"""The data model that the official NAS-Bench-201 and NATS-Bench files share.

For every architecture and schedule (12 or 200 epochs) there is a state dictionary: ``dataset_seed`` lists the
training seeds by the images trained on, and ``all_results`` holds one record per (images trained on, seed).
Only ``cifar10-valid`` was trained on half of the CIFAR-10 training images; the others on all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from harness.errors import DataError
from harness.errors import SpaceError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

    from harness.benchmarks.importers.builder import ColumnBuilder
    from harness.spaces import Architecture

# Data set and split -> images trained on, images scored.
_SCORES = {
    ("cifar10", "valid"): ("cifar10-valid", "x-valid"),
    ("cifar10", "test"): ("cifar10", "ori-test"),
    ("cifar100", "valid"): ("cifar100", "x-valid"),
    ("cifar100", "test"): ("cifar100", "x-test"),
    ("ImageNet16-120", "valid"): ("ImageNet16-120", "x-valid"),
    ("ImageNet16-120", "test"): ("ImageNet16-120", "x-test"),
}
LICENCE = "MIT"


def parse_all(builder: ColumnBuilder, texts: object) -> list[Architecture]:
    """The architectures that the file's own index lists, in its order.

    Raises:
        DataError: Not the texts of all architectures of the space, each once.
    """
    space = builder.space
    if not isinstance(texts, list | tuple):
        raise DataError(f"{builder.where}: 'meta_archs' is no list of architectures. {_WRONG_FILE}")
    try:
        architectures = [space.parse(text) for text in texts]
    except (SpaceError, AttributeError, TypeError) as error:
        raise DataError(f"{builder.where}: 'meta_archs': {error} {_WRONG_FILE}") from error
    if len(architectures) != space.size or len(set(architectures)) != space.size:
        raise DataError(
            f"{builder.where} lists {len(set(architectures)):,} distinct architectures in "
            f"{len(architectures):,}; the space has {space.size:,}. {_WRONG_FILE}"
        )
    return architectures


def add(builder: ColumnBuilder, arch: Architecture, schedules: Mapping[int, Any], where: str) -> None:
    """Take one architecture's scores and costs.

    Args:
        builder: Where they go.
        arch: What the file's index says this record is.
        schedules: Epochs to state dictionary.
        where: The record, for messages.

    Raises:
        DataError: The record is of another architecture, or not laid out as described above.
    """
    index = builder.space.index(arch)
    builder.claim(index)
    try:
        for epochs, state in sorted(schedules.items()):
            if builder.space.parse(state["arch_str"]) != arch:
                raise DataError(
                    f"{where} is of architecture {state['arch_str']}, but the index of the file says "
                    f"{builder.space.format(arch)}. Download it again."
                )
            _add_schedule(builder, index, epochs, state)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise DataError(
            f"{where} is not laid out as the official files are ({error!r}). {_WRONG_FILE}"
        ) from error


def _add_schedule(builder: ColumnBuilder, index: int, epochs: int, state: Mapping[str, Any]) -> None:
    for (dataset, split), (trained_on, images) in _SCORES.items():
        seeds = state["dataset_seed"].get(trained_on, ())
        runs = {seed: state["all_results"][trained_on, seed] for seed in seeds}
        for seed, run in runs.items():
            if run["epochs"] != epochs:
                raise ValueError(f"trained for {run['epochs']} epochs, not {epochs}")
            if images in run["eval_names"]:
                score = run["eval_acc1es"][f"{images}@{epochs - 1}"]
                builder.set(f"{dataset}/{split}/{epochs}", index, score, int(seed))
        if split == "valid":
            training = [_train_seconds(run) for run in runs.values()]
            _set_mean(builder, f"{dataset}/train_seconds/{epochs}", index, training)
            # A pass takes the same time after any number of epochs; that of the longest schedule is kept.
            passes = [_pass_seconds(run, images) for run in runs.values()]
            _set_mean(builder, f"{dataset}/valid_seconds", index, passes)
        else:
            _set_mean(builder, f"{dataset}/latency", index, [_latency(run) for run in runs.values()])


def _set_mean(builder: ColumnBuilder, column: str, index: int, values: Sequence[float | None]) -> None:
    known = [value for value in values if value is not None]
    if known:
        builder.set(column, index, sum(known) / len(known), None)


def _train_seconds(run: Mapping[str, Any]) -> float | None:
    """Seconds of all epochs."""
    times = run["train_times"]
    return sum(times[epoch] for epoch in range(run["epochs"])) if times else None


def _pass_seconds(run: Mapping[str, Any], images: str) -> float | None:
    """Seconds of one pass over the validation images."""
    times = run["eval_times"]
    if not times or images not in run["eval_names"]:
        return None
    return float(sum(times[f"{images}@{epoch}"] for epoch in range(run["epochs"])) / run["epochs"])


def _latency(run: Mapping[str, Any]) -> float | None:
    """Seconds of one batch of 256 images; the files have -1 for a measurement that failed."""
    measured = run["latency"]
    mean = sum(measured) / len(measured) if measured else -1.0
    return float(mean) if mean > 0 else None


_WRONG_FILE = (
    "Legal are the official files of NAS-Bench-201 (NAS-Bench-201-v1_1-096897.pth) and of the topology space "
    "of NATS-Bench (NATS-tss-v1_0-3ffb9-simple, as a folder or .tar)."
)
