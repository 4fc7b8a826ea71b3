"""Windows of a traffic set, cut when they are looked at: none is copied before."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import NamedTuple

import numpy as np
import torch

from harness.errors import SpecError
from harness.forecasting.errors import is_counted
from harness.forecasting.partition import PARTS
from harness.forecasting.partition import Part
from harness.forecasting.partition import divide
from harness.forecasting.partition import windows_of_parts
from harness.traffic import STEPS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Sequence

    from torch import Tensor

    from harness.traffic import TrafficSet


class Batch(NamedTuple):
    """Some windows.

    Attributes:
        inputs: What is known; shape (batch, 2 features, sensors, steps). Features are the standardised value, 0 (the
            mean) where it is missing, and the time of day from 0 to 1. In memory sensors come first.
        targets: What comes then, in the unit of the traffic; shape (batch, horizons, sensors), NaN where missing.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)


class Windows:
    """The windows of the parts of a traffic set.

    Each part has its own steps: no window reaches from one into another, or across a gap of time. Standardisation is
    that of the values that the training part has.

    Args:
        traffic: The traffic set.
        shares: Of training, validation and test steps.
        steps: Steps that are known.
        horizons: Steps that are forecast.
        device: Where the traffic is kept.

    Attributes:
        starts: First step of every window of each part.
        mean: Of the training values.
        std: Of the training values.

    Raises:
        SpecError: A part has no window, or no value that a forecast could be compared with; or the training part does
            not have two different values.
    """

    def __init__(
        self,
        traffic: TrafficSet,
        shares: Sequence[int],
        *,
        steps: int,
        horizons: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        starts = windows_of_parts(traffic, shares, steps=steps, horizons=horizons)
        self.starts = {part: torch.from_numpy(starts[part]) for part in PARTS}
        train = divide(traffic.steps, shares)["train"]
        seen = traffic.values[train.start : train.stop].astype(np.float64)
        seen = seen[np.isfinite(seen)]
        self.mean, self.std = (float(seen.mean()), float(seen.std())) if seen.size else (0.0, 0.0)
        if self.std == 0:
            raise SpecError(
                f"the training part of traffic set {traffic.name!r} has no two different values; change the partition, "
                "or use other traffic."
            )
        self._horizons = horizons
        self._steps = steps
        # Sensors first, as the networks want them.
        values = torch.from_numpy(np.array(traffic.values.T, order="C")).to(self.device)
        for part, first in starts.items():
            if not is_counted(values[:, first[0] + steps : first[-1] + steps + horizons]).any():
                raise SpecError(
                    f"the {part} part of traffic set {traffic.name!r} has no value other than 0 to be compared with a "
                    "forecast; change the partition, or use other traffic."
                )
        self._values = values
        self._known = ((values - self.mean) / self.std).nan_to_num(nan=0.0)
        day = torch.from_numpy(traffic.clock % STEPS_PER_DAY).to(self.device)
        self._time_of_day = day.float() / STEPS_PER_DAY
        self._within = torch.arange(steps + horizons, device=self.device)

    def count(self, part: Part) -> int:
        """Number of windows of a part."""
        return len(self.starts[part])

    def batch(self, starts: Tensor) -> Batch:
        """The windows that begin at some steps; shape (batch,), on the CPU."""
        steps = starts.to(self.device)[:, None] + self._within
        known, later = steps[:, : self._steps], steps[:, self._steps :]
        values = self._known[:, known]
        inputs = torch.stack([values, self._time_of_day[known].expand_as(values)], dim=-1)
        return Batch(inputs.permute(1, 3, 0, 2), self._values[:, later].permute(1, 2, 0))

    def in_order(self, part: Part, batch_size: int, *, stride: int = 1) -> Iterator[Batch]:
        """The windows of a part, or one in so many, in the order of time; the last batch may be smaller."""
        for chosen in torch.split(self.starts[part][::stride], batch_size):
            yield self.batch(chosen)

    def shuffled(
        self, part: Part, batch_size: int, generator: torch.Generator, *, stride: int = 1
    ) -> Iterator[Batch]:
        """One pass over a part in random order.

        Args:
            part: Which.
            batch_size: Windows of a batch; the last one may be smaller.
            generator: Of the order, on the CPU.
            stride: One in so many windows is shown, the first of them drawn.
        """
        first = int(torch.randint(min(stride, self.count(part)), (), generator=generator))
        starts = self.starts[part][first::stride]
        order = torch.randperm(len(starts), generator=generator)
        for chosen in torch.split(starts[order], batch_size):
            yield self.batch(chosen)

    def in_unit(self, forecast: Tensor) -> Tensor:
        """A standardised forecast in the unit of the traffic."""
        return forecast * self.std + self.mean
