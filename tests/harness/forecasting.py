"""Small things to forecast, shared by tests."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from harness.traffic.trafficset import make_traffic_set

if TYPE_CHECKING:
    from harness.traffic import TrafficSet

#: Sizes of a network that trains in a moment.
TINY = {"channels": 4, "attention": 4, "heads": 2, "feed_forward": 8, "order": 1}


def ring(sensors: int) -> np.ndarray:
    """Weights of a directed ring, every sensor joined to itself and to the next."""
    return np.eye(sensors, dtype=np.float32) + 0.5 * np.roll(np.eye(sensors, dtype=np.float32), 1, axis=1)


def traffic(values: Any, *, clock: Any = None, adjacency: Any = None, dataset: str = "metr-la") -> TrafficSet:
    """A traffic set of these values; shape (steps, sensors)."""
    values = np.asarray(values, dtype=np.float32)
    return make_traffic_set(
        "mine",
        dataset=dataset,
        quantity="speed",
        unit="mph",
        values=values,
        clock=np.arange(len(values)) if clock is None else clock,
        adjacency=ring(values.shape[1]) if adjacency is None else adjacency,
        source="a test",
    )


def waves(steps: int, sensors: int, seed: int = 0) -> np.ndarray:
    """Values between 20 and 80 that rise and fall, each sensor in a rhythm of its own."""
    rng = np.random.default_rng(seed)
    phase = np.arange(steps)[:, None] / rng.uniform(5, 20, sensors) + rng.uniform(0, 6, sensors)
    return (50 + 25 * np.sin(phase) + rng.normal(0, 2, (steps, sensors))).clip(20, 80).round(1)
