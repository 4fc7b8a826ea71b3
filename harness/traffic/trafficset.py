"""Traffic that sensors on a road network have measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Five-minute steps of a day; all data sets have this interval.
STEPS_PER_DAY = 288


@dataclass(frozen=True, eq=False)
class TrafficSet:
    """A time series for every node of a graph. The arrays are read-only.

    Attributes:
        name: What it is called in settings.
        dataset: The published data set that it is, or is a part of, such as ``metr-la``; ``synthetic`` for what was
            never measured. Partition and hyper-parameters of a search are those of this data set.
        quantity: What was measured: ``speed`` or ``flow``.
        unit: Unit of the values: ``mph``, ``vehicles per 5 min``.
        values: Shape (steps, sensors); NaN where a value is missing.
        clock: Shape (steps,): five-minute intervals between midnight before the first step and each step. It rises by 1
            but at a gap, where time goes on without a step.
        adjacency: Shape (sensors, sensors): weight of the edge from the sensor of the row to that of the column,
            not negative; 0 where there is none. Whether the diagonal is filled is up to the source.
        source: Where it comes from and how much of it there is, for people.
        digest: Of everything above but ``name`` and ``source``; what depends on the traffic is tied to it.
    """

    name: str
    dataset: str
    quantity: str
    unit: str
    values: NDArray[np.float32]
    clock: NDArray[np.int64]
    adjacency: NDArray[np.float32]
    source: str
    digest: str

    @property
    def steps(self) -> int:
        """Number of time steps."""
        return int(self.values.shape[0])

    @property
    def sensors(self) -> int:
        """Number of sensors: nodes of the graph."""
        return int(self.values.shape[1])
