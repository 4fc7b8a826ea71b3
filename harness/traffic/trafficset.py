"""Traffic that sensors on a road network have measured."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

if TYPE_CHECKING:
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


def make_traffic_set(
    name: str,
    *,
    dataset: str,
    quantity: str,
    unit: str,
    values: NDArray[Any],
    clock: NDArray[Any],
    adjacency: NDArray[Any],
    source: str,
) -> TrafficSet:
    """A traffic set of these arrays, with its digest; the arguments are the attributes of :class:`TrafficSet`.

    The arrays are copied. Equal numbers give equal digests, whatever their type and order in memory were.
    """
    measured = np.array(values, dtype="<f4", order="C")
    # A missing value, and a zero, can be written in several ways.
    measured[np.isnan(measured)] = np.nan
    measured += np.float32(0)
    arrays = {
        "values": measured,
        "clock": np.array(clock, dtype="<i8", order="C"),
        "adjacency": np.array(adjacency, dtype="<f4", order="C") + np.float32(0),
    }
    content: dict[str, Any] = {"dataset": dataset, "quantity": quantity, "unit": unit}
    for what, array in arrays.items():
        array.flags.writeable = False
        content[what] = [array.shape, hashlib.sha256(array.data).hexdigest()]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return TrafficSet(
        name=name, dataset=dataset, quantity=quantity, unit=unit, source=source, digest=digest, **arrays
    )
