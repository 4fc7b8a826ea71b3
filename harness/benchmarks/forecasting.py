"""Forecasting of traffic with networks that are trained here (ISTS, arXiv 2503.17994, sections 4.3 and 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from harness import registry
from harness.benchmarks.base import Extent
from harness.benchmarks.base import Metric
from harness.benchmarks.trained import Subject
from harness.benchmarks.trained import TrainedBenchmark
from harness.benchmarks.trained import Training
from harness.errors import SpaceError
from harness.errors import SpecError
from harness.forecasting.partition import parse_shares
from harness.forecasting.partition import protocol
from harness.forecasting.partition import windows_of_parts
from harness.forecasting.settings import TrainingSettings
from harness.spaces.cell import CellSpace
from harness.traffic import load_traffic
from harness.traffic.official import OFFICIAL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

    from harness.forecasting.errors import Errors
    from harness.forecasting.partition import Shares
    from harness.forecasting.windows import Windows
    from harness.traffic import TrafficSet

STEPS = HORIZONS = 12
FEATURES = 2
ONE_STEP = 1


class Forecasting(TrainedBenchmark):
    """Networks that forecast the next hour of traffic from the last one, trained here.

    Fidelity 1 is one-step tuning, the evaluation of a search in the paper of ISTS: one pass over the training part of
    the search's partition, then its validation part (section 4.3.1). The highest fidelity, ``epochs``, trains with
    early stopping on the partition of the evaluation, and keeps the weights of the best validation error. Scored is the
    mean absolute error over all horizons; lower is better. Nothing of the test part is seen before a training has
    ended.

    Partitions and batch sizes are those of the paper for each data set (Tables 3 and C.7). It says nothing of the
    optimiser: Adam, learning rate 0.001, weight decay 0.0001 and gradients clipped at 5 are those of Graph WaveNet.

    Args:
        dataset: Name of a traffic set: ``synthetic``, which is always there and was never measured, or one that was
            imported (``harness data import traffic``).
        space: Registered name of the search space, whose networks forecast.
        size: Takes the place of sizes that the space has for the data set.
        epochs: Most passes of the highest fidelity.
        patience: So many passes without a better validation error end a training.
        batch_size: Windows of a training step; ``None`` is that of the paper.
        learning_rate: Of Adam.
        weight_decay: Of Adam.
        stride: One in so many training windows is shown in a pass. Windows overlap: with 12 or less, every step of the
            part is shown.
        evaluation_stride: One in so many windows of the validation and test parts is forecast.
        search_partition: Shares of training, validation and test steps in a search, such as ``7/1/2``; ``None`` is that
            of the paper.
        partition: The same of the highest fidelity.
        repeats: Trainings of what a run recommends; a report has their mean.
        search_repeats: Trainings of an evaluation.
        device: Where it is computed, as PyTorch names it. Only the kind decides what comes out.
        threads: Threads of PyTorch on a CPU; other numbers round otherwise.

    Raises:
        SpecError: A value is out of range, the traffic set or the device is not there, a part of a partition has no
            window, or the networks of the space do not learn from traffic.
        DataError: The traffic set is corrupt.
        StoreError: The trainings that were kept cannot be read.
    """

    name = "forecasting"

    def __init__(
        self,
        dataset: str = "synthetic",
        space: str = "ists",
        size: Mapping[str, int] | None = None,
        epochs: int = 100,
        patience: int = 15,
        batch_size: int | None = None,
        learning_rate: float = 0.001,
        weight_decay: float = 0.0001,
        stride: int = 1,
        evaluation_stride: int = 1,
        search_partition: str | None = None,
        partition: str | None = None,
        repeats: int = 3,
        search_repeats: int = 1,
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        _require_positive(
            epochs=epochs,
            patience=patience,
            batch_size=batch_size,
            stride=stride,
            evaluation_stride=evaluation_stride,
            repeats=repeats,
            search_repeats=search_repeats,
            threads=threads,
        )
        if learning_rate <= 0 or weight_decay < 0:
            raise SpecError(
                f"learning_rate must be above 0, and weight_decay not below: {learning_rate}, {weight_decay}."
            )
        self.dataset = dataset
        self.space = registry.load("space", space)()
        if isinstance(self.space, CellSpace) and self.space.domain != "traffic":
            raise SpecError(
                f"networks of space {space!r} learn from {self.space.domain}, and not from traffic."
            )
        if device != "cpu":
            # PyTorch takes seconds to load, and a CPU is always there.
            from harness.device import torch_device

            torch_device(device)
        self._traffic = load_traffic(dataset)
        usual = protocol(self._traffic.dataset)
        self._search_shares = usual.search if search_partition is None else parse_shares(search_partition)
        self._shares = usual.evaluation if partition is None else parse_shares(partition)
        for shares in (self._search_shares, self._shares):
            # A search should not end with what cannot be trained.
            windows_of_parts(self._traffic, shares, steps=STEPS, horizons=HORIZONS)
        try:
            self.size = self.space.full_size(size, dataset)
        except SpaceError as error:
            raise SpecError(f"size: {error}") from None
        self._settings = TrainingSettings(
            batch_size=usual.batch_size if batch_size is None else batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            patience=patience,
            stride=stride,
            evaluation_stride=evaluation_stride,
        )
        self._device = device
        self._threads = threads
        self.fidelities = tuple(sorted({ONE_STEP, epochs}))
        self.repeats = repeats
        self.search_repeats = search_repeats
        unit = self._traffic.unit
        self.metric = Metric("MAE", unit, higher_is_better=False)
        self._measures = (
            self.metric,
            Metric("RMSE", unit, higher_is_better=False),
            Metric("MAPE", "%", higher_is_better=False),
        )
        self.source = f"trained here on {self._traffic.source}"
        self.description = (
            f"Forecasting of traffic {self._traffic.quantity} ({unit}) at {self._traffic.sensors} sensors of a road "
            "network: the next hour from the last one, in steps of five minutes."
        )
        self.keep_in(
            {
                "traffic": self._traffic.digest,
                "size": self.size,
                "settings": asdict(self._settings),
                "search_shares": self._search_shares,
                "shares": self._shares,
                "device": device.partition(":")[0],
                "threads": threads,
            }
        )
        self._windows: dict[Shares, Windows] = {}

    @property
    def extent(self) -> Extent:
        return Extent(self._traffic.dataset, _missing(self._traffic))

    @property
    def measures(self) -> tuple[Metric, ...]:
        return self._measures

    def network(self, subject: Subject) -> Callable[[], nn.Module]:
        """What makes the network of a subject.

        Raises:
            SpecError: There is no reference of that name.
        """
        if subject.architecture is not None:
            return partial(self.space.build_network, subject.architecture, self.dataset, self.size)
        reference = registry.load("reference", subject.name)()
        return partial(
            reference.build, self._traffic.adjacency, features=FEATURES, steps=STEPS, horizons=HORIZONS
        )

    def train(self, subject: Subject, *, fidelity: int, seed: int, checkpoint: Path) -> Training:
        # PyTorch takes seconds to load, and a sweep that reads what was trained needs none.
        from harness.forecasting.training import train

        trained = train(
            self.network(subject),
            self.windows(fidelity),
            self._settings,
            passes=fidelity,
            seed=seed,
            threads=self._threads,
            checkpoint=checkpoint,
        )
        by_split = {"valid": trained.valid, "test": trained.test}
        return Training(
            scores={split: _measured(errors) for split, errors in by_split.items()},
            seconds=trained.seconds,
            details={
                "passes": trained.passes,
                "best_pass": trained.best_pass,
                "test_seconds": trained.test_seconds,
                "horizons": {split: errors.horizons for split, errors in by_split.items()},
            },
        )

    def windows(self, fidelity: int) -> Windows:
        """The traffic as a training of this fidelity sees it."""
        from harness.forecasting.windows import Windows

        shares = self._search_shares if fidelity == ONE_STEP else self._shares
        if shares not in self._windows:
            self._windows[shares] = Windows(
                self._traffic, shares, steps=STEPS, horizons=HORIZONS, device=self._device
            )
        return self._windows[shares]


def _missing(traffic: TrafficSet) -> dict[str, tuple[int, int]]:
    """Of what a traffic set has less than the published one: how much it has, and how much that has."""
    official = OFFICIAL.get(traffic.dataset)
    if official is None:
        return {}
    counts = {
        "sensors": (traffic.sensors, official.sensor_count),
        "steps": (traffic.steps, official.step_count),
    }
    return {kind: (part, whole) for kind, (part, whole) in counts.items() if part < whole}


def _require_positive(**counts: int | None) -> None:
    for key, value in counts.items():
        if value is not None and value < 1:
            raise SpecError(f"{key} must be at least 1, not {value}.")


def _measured(errors: Errors) -> dict[str, float]:
    return {"MAE": errors.mae, "RMSE": errors.rmse, "MAPE": errors.mape}
