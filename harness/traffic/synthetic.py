"""Synthetic traffic: speeds on a random road graph, where congestion spreads from sensor to sensor with a delay.

Never measured anywhere, and nothing that is found on it says anything about real roads. It has what makes traffic
forecasting hard, in small: a daily and a weekly rhythm that differs between places, disturbances that arrive at a
sensor after they have been at those upstream of it, and values that are missing in bursts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from harness import seeding
from harness.traffic.graph import gaussian_kernel
from harness.traffic.graph import transition
from harness.traffic.trafficset import STEPS_PER_DAY
from harness.traffic.trafficset import make_traffic_set

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.traffic.trafficset import TrafficSet

SYNTHETIC = "synthetic"
SENSORS, DAYS, SEED = 20, 14, 0
SLOWEST, FASTEST = 5.0, 70.0

# Roads that leave each sensor, where those that hold the graph together are not more.
_NEIGHBOURS = 3
# A disturbance travels one edge in so many steps, over so many edges; of its strength this part goes on at each.
_DELAY, _REACH, _PASSED_ON = 2, 4, 0.7
# An hour after a disturbance began, a third of it is left.
_PERSISTENCE = np.exp(-1 / 12)
_DISTURBANCE = 0.05
# Of the detector, in mph.
_NOISE = 1.5
# Outages of a sensor per day, and the mean number of steps that one lasts.
_OUTAGES, _OUTAGE = 0.5, 6


@lru_cache(maxsize=1)
def synthetic_set() -> TrafficSet:
    """The traffic set that is always there: 20 sensors, 14 days."""
    return synthetic_traffic(SENSORS, DAYS, seed=SEED)


def synthetic_traffic(sensors: int, days: int, *, seed: int) -> TrafficSet:
    """Speeds of sensors on a random road graph, from the midnight before a Monday.

    Load rises to the capacity of the road in the rush hours, and speed falls with it as in the volume-delay function of
    the US Bureau of Public Roads (1964): free speed over 1 + 0.15 (load / capacity)⁴, with the coefficient 1 for a
    clearer breakdown. Values are rounded to 0.1 mph as detectors report them, so that machines whose last bits differ
    make the same set.

    Args:
        sensors: Number of sensors, at least 2.
        days: Number of days, at least 1.
        seed: Equal arguments give equal sets.
    """
    adjacency = _roads(sensors, seeding.generator(seed, "roads"))
    load = _demand(sensors, days, seeding.generator(seed, "demand"))
    load += _spread(adjacency, days, seeding.generator(seed, "disturbances"))
    rng = seeding.generator(seed, "speeds")
    speed = rng.uniform(60, FASTEST, sensors) / (1 + np.clip(load, 0, None) ** 4)
    speed += rng.normal(0, _NOISE, speed.shape)
    values = speed.clip(SLOWEST, FASTEST).round(1)
    values[_outages(sensors, days, seeding.generator(seed, "outages"))] = np.nan
    return make_traffic_set(
        SYNTHETIC,
        dataset=SYNTHETIC,
        quantity="speed",
        unit="mph",
        values=values,
        clock=np.arange(days * STEPS_PER_DAY),
        adjacency=adjacency,
        source=f"synthetic, made by a generator and never measured: {sensors} sensors, {days} days, seed {seed}",
    )


def _roads(sensors: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Weights of a connected graph of random places, each joined to its nearest; the diagonal is 1."""
    from scipy.sparse.csgraph import minimum_spanning_tree
    from scipy.spatial.distance import cdist

    places = rng.uniform(size=(sensors, 2))
    # Roads wind, and not the same way in both directions.
    distances = cdist(places, places) * rng.uniform(1, 1.3, (sensors, sensors))
    nearest = distances.argsort(axis=1)[:, : _NEIGHBOURS + 1]
    joined = np.zeros((sensors, sensors), dtype=bool)
    np.put_along_axis(joined, nearest, True, axis=1)
    tree = minimum_spanning_tree(distances).toarray() > 0
    joined |= tree | tree.T
    weights = np.where(joined, gaussian_kernel(distances, threshold=0.0), 0)
    np.fill_diagonal(weights, 1)
    return weights.round(4)


def _demand(sensors: int, days: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Load relative to the capacity of each road as the hour and the day have it; shape (steps, sensors)."""
    hour = np.arange(STEPS_PER_DAY)[:, None] * (24 / STEPS_PER_DAY)

    def peak(at: float, wide: float, least: float, most: float) -> NDArray[np.float64]:
        """The same peak at every sensor, but for its time and height."""
        around = rng.normal(at, 0.4, sensors)
        return rng.uniform(least, most, sensors) * np.exp(-np.square((hour - around) / wide) / 2)

    weekday = 0.3 + peak(8, 1.2, 0.1, 0.9) + peak(17.5, 1.6, 0.1, 0.9) + peak(13, 3, 0.1, 0.3)
    weekend = 0.3 + peak(14, 3.5, 0.1, 0.5)
    week = np.stack([weekday] * 5 + [weekend] * 2)
    busy = rng.normal(1, 0.05, (days, 1, 1))
    return (week[np.arange(days) % 7] * busy).reshape(-1, sensors)


def _spread(adjacency: NDArray[np.float32], days: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """What disturbances add to the load; shape (steps, sensors).

    Each begins at one sensor, decays there, and goes on along the edges.
    """
    from scipy.signal import lfilter

    roads = adjacency.copy()
    np.fill_diagonal(roads, 0)
    forward = transition(roads)[0].astype(np.float64)
    begun = rng.normal(0, _DISTURBANCE, (days * STEPS_PER_DAY, len(roads)))
    wave = lfilter([1.0], [1.0, -_PERSISTENCE], begun, axis=0)
    total: NDArray[np.float64] = wave.copy()
    for _ in range(_REACH):
        wave = _PASSED_ON * wave @ forward
        wave = np.concatenate([np.zeros((_DELAY, len(roads))), wave[:-_DELAY]])
        total += wave
    return total


def _outages(sensors: int, days: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Whether a sensor was silent; shape (steps, sensors)."""
    steps = days * STEPS_PER_DAY
    number = rng.poisson(_OUTAGES * days * sensors)
    sensor = rng.integers(sensors, size=number)
    start = rng.integers(steps, size=number)
    end = np.minimum(start + rng.geometric(1 / _OUTAGE, size=number), steps)
    change = np.zeros((steps + 1, sensors), dtype=np.int64)
    np.add.at(change, (start, sensor), 1)
    np.add.at(change, (end, sensor), -1)
    return change[:-1].cumsum(axis=0) > 0
