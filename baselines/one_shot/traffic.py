"""Traffic to learn from: windows of its training part train weights, those of its validation part judge."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING
from typing import Any

import torch

from baselines.one_shot.data import Batch
from baselines.one_shot.data import SearchData
from baselines.one_shot.data import Source
from harness.errors import SpecError
from harness.errors import TrainingError
from harness.forecasting.errors import ErrorSums
from harness.forecasting.errors import masked_mae
from harness.forecasting.partition import parse_shares
from harness.forecasting.partition import protocol
from harness.forecasting.settings import TrainingSettings
from harness.forecasting.windows import Windows
from harness.spaces.ists import HORIZONS
from harness.spaces.ists import STEPS
from harness.traffic import load_traffic

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Iterator
    from collections.abc import Mapping

    from torch import Tensor
    from torch import nn

    from baselines.one_shot.data import Half
    from baselines.one_shot.training import Settings
    from harness.forecasting.partition import Part
    from harness.forecasting.partition import Shares
    from harness.traffic import TrafficSet

_PARTS: dict[Half, Part] = {"weights": "train", "architecture": "valid"}
# "Learning-base NAS methods usually needs more than 30 rounds" (ISTS, section 5.6).
_EPOCHS = 30
# Windows of a batch that compares architectures: tensors that leave the cache take longer.
_JUDGED_AT_ONCE = 32


@dataclass(frozen=True)
class TrafficSource(Source):
    """The training and validation parts of a traffic set, as the partition of a search has them.

    Attributes:
        name: What the traffic set is called.
        partition: Shares of training, validation and test steps, such as ``7/1/2``; ``None`` is that of the paper of
            ISTS for the data set (Table 3).
        stride: One in so many training windows is shown in an epoch, the first of them drawn.
        evaluation_stride: One in so many validation windows compares architectures.
    """

    name: str
    partition: str | None
    stride: int
    evaluation_stride: int

    @cached_property
    def traffic(self) -> TrafficSet:
        """The traffic set.

        Raises:
            SpecError: There is none of that name.
            DataError: It is corrupt.
        """
        return load_traffic(self.name)

    @property
    def shares(self) -> Shares:
        """Of training, validation and test steps."""
        return (
            protocol(self.traffic.dataset).search if self.partition is None else parse_shares(self.partition)
        )

    @property
    def digest(self) -> str:
        return self.traffic.digest

    @property
    def identity(self) -> Mapping[str, Any]:
        return {
            "traffic": self.digest,
            "partition": self.shares,
            "stride": self.stride,
            "evaluation_stride": self.evaluation_stride,
        }

    def settings(self, own: Settings, given: Mapping[str, Any]) -> Settings:
        """Those with which networks for traffic are trained; of the method, what it learns architectures with.

        The paper of ISTS names none for its searches with a supernet, but the batch size (Table C.7).
        """
        usual = TrainingSettings(batch_size=protocol(self.traffic.dataset).batch_size)
        weights = {
            "epochs": _EPOCHS,
            "batch_size": usual.batch_size,
            "learning_rate": usual.learning_rate,
            "weight_decay": usual.weight_decay,
            "nesterov": False,
        }
        settings = dataclasses.replace(own, **{**weights, **given})
        # No schedule.
        return dataclasses.replace(settings, last_learning_rate=settings.learning_rate)

    def check(self, method: str, batch_size: int) -> None:
        data = self.load(0, torch.device("cpu"))
        for half, windows in data.windows_of_an_epoch.items():
            if windows < batch_size:
                raise SpecError(
                    f"{method}: the {_PARTS[half]} part of traffic set {self.name!r} has {windows:,} windows for an "
                    f"epoch, less than one batch of {batch_size:,}; lower batch_size, or a stride, or use more traffic."
                )

    def load(self, seed: int, device: torch.device) -> TrafficData:
        windows = Windows(self.traffic, self.shares, steps=STEPS, horizons=HORIZONS, device=device)
        return TrafficData(windows, stride=self.stride, evaluation_stride=self.evaluation_stride)


class TrafficData(SearchData):
    """Windows of traffic. Those of the test part are never looked at.

    Inputs and targets are those of :class:`~harness.forecasting.windows.Batch`. The loss is the mean absolute error in
    the unit of the traffic, and quality is minus that error: higher is better. Of the validation part, which is the
    smaller one, a pass follows on the other until an epoch has its steps.

    Args:
        windows: The windows.
        stride: See :class:`TrafficSource`.
        evaluation_stride: See :class:`TrafficSource`.

    Attributes:
        windows_of_an_epoch: Windows of one pass over each half, at least.
    """

    def __init__(self, windows: Windows, *, stride: int = 1, evaluation_stride: int = 1) -> None:
        self._windows = windows
        # Architectures are learned from all validation windows: there are too few already.
        self._shown: dict[Half, int] = {"weights": stride, "architecture": 1}
        self._compared: dict[Half, int] = {"weights": stride, "architecture": evaluation_stride}
        self.windows_of_an_epoch = {
            half: windows.count(part) // self._shown[half] for half, part in _PARTS.items()
        }
        self.quality_unit = windows.std

    def steps(self, batch_size: int) -> int:
        return self.windows_of_an_epoch["weights"] // batch_size

    def batches(self, half: Half, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        steps = self.steps(batch_size)
        passes = math.ceil(steps / (self.windows_of_an_epoch[half] // batch_size))
        shuffled = (
            Batch(*batch)
            for _ in range(passes)
            for batch in self._windows.shuffled(_PARTS[half], batch_size, generator, stride=self._shown[half])
            if len(batch) == batch_size
        )
        return islice(shuffled, steps)

    def in_order(self, half: Half, batch_size: int) -> Iterator[Batch]:
        for batch in self._windows.in_order(_PARTS[half], batch_size, stride=self._compared[half]):
            yield Batch(*batch)

    def judged(self, generator: torch.Generator) -> list[Batch]:
        return list(self.in_order("architecture", _JUDGED_AT_ONCE))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean absolute error of what is not missing, in the unit of the traffic."""
        return masked_mae(self._windows.in_unit(outputs), targets)

    def quality(self, results: Iterable[tuple[Tensor, Tensor]]) -> float:
        """Minus the mean absolute error of what is not missing, in the unit of the traffic.

        Raises:
            TrainingError: It is no number.
        """
        sums = ErrorSums(HORIZONS, self._windows.device)
        for forecasts, targets in results:
            sums.add(self._windows.in_unit(forecasts), targets)
        error = sums.errors().mae
        if not math.isfinite(error):
            raise TrainingError(
                f"the supernet forecasts the validation part with an error of {error}: its training diverged (lower "
                "the learning rates, or what else was set), or nothing was measured there (change the partition)."
            )
        return -error

    def rule(self, weights: list[nn.Parameter], settings: Settings) -> torch.optim.Adam:
        """Adam, as networks for traffic are trained with."""
        return torch.optim.Adam(
            weights, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
