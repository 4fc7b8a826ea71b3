"""Numbers over the runs of one strategy on one benchmark."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Floats = NDArray[np.float64]

# Resamples of up to so many runs are kept: a report asks for the same ones once per cell of its tables.
_FEW_RUNS = 250


def mean(values: ArrayLike) -> float:
    """Mean over runs; NaN without a run."""
    array = np.asarray(values, dtype=float)
    return float(array.mean()) if array.size else math.nan


def std(values: ArrayLike) -> float:
    """Sample standard deviation over runs (``ddof=1``); NaN with fewer than two runs."""
    array = np.asarray(values, dtype=float)
    return float(array.std(ddof=1)) if array.size > 1 else math.nan


def interval(
    values: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[Floats, Floats]:
    """Percentile bootstrap interval of the mean over runs.

    The same as ``scipy.stats.bootstrap(method="percentile")``, but a resample is a vector of weights, so all
    points of a curve take one matrix product. Every point sees the same resamples: a band is that of curves.

    Args:
        values: ``(runs,)`` or ``(runs, points)``, without NaN.
        level: Share of the resampled means that the interval holds.
        resamples: Number of resamples.
        seed: Seed of the resampling; equal arguments give equal intervals.

    Returns:
        Lower and upper ends, each of the shape of one run's values; NaN with fewer than two runs.
    """
    array = np.asarray(values, dtype=float)
    n = len(array)
    if n < 2:
        nothing = np.full(array.shape[1:], math.nan)
        return nothing, nothing
    weights = (_kept_weights if n <= _FEW_RUNS else _weights)(n, resamples, seed)
    # Centred, so that rounding of the weights' sum does not widen the interval of equal values.
    centre = array.mean(axis=0)
    means = weights @ (array - centre) + centre
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def difference_interval(
    first: ArrayLike, second: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the difference of two means, of samples that share nothing.

    Args:
        first: ``(runs,)``, without NaN.
        second: ``(runs,)`` of its own length, without NaN.
        level: Share of the resampled differences that the interval holds.
        resamples: Number of resamples.
        seed: Seed of the resampling; equal arguments give equal intervals.

    Returns:
        Lower and upper end of mean of ``first`` minus mean of ``second``; NaN where one has fewer than two runs.
    """
    samples = [np.asarray(values, dtype=float) for values in (first, second)]
    if min(map(len, samples)) < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    one, other = (rng.choice(values, (resamples, len(values))).mean(axis=1) for values in samples)
    low, high = np.quantile(one - other, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Summary:
    """Runs in a few numbers; NaN where there are too few runs for one.

    Attributes:
        n: Number of runs with a value.
        mean: Over them.
        std: Sample standard deviation (``ddof=1``).
        low: Lower end of the bootstrap interval of the mean.
        high: Its upper end.
        left_out: What is not in the numbers, one sentence each.
    """

    n: int
    mean: float
    std: float
    low: float
    high: float
    left_out: tuple[str, ...]


def summarise(values: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Summary:
    """Mean, standard deviation and interval of the runs that have a value.

    Args:
        values: ``(runs,)``; NaN for a run without a value.
        level: Of the interval, see :func:`interval`.
        resamples: Of the interval.
        seed: Of the interval.
    """
    array = np.asarray(values, dtype=float)
    known = array[~np.isnan(array)]
    low, high = interval(known, level=level, resamples=resamples, seed=seed)
    without = len(array) - len(known)
    left_out = (f"{without} of {len(array)} runs have no value and are left out.",) if without else ()
    return Summary(len(known), mean(known), std(known), float(low), float(high), left_out)


def percentiles(scores: ArrayLike, population: ArrayLike, *, higher_is_better: bool) -> Floats:
    """Share of a population that is worse, in percent; what is equal counts half, so that its mean is 50.

    Args:
        scores: ``(things,)``.
        population: ``(all,)``; NaN is left out.
        higher_is_better: Direction of the scores.
    """
    sign = 1 if higher_is_better else -1
    everything = sign * np.asarray(population, dtype=float)
    everything = np.sort(everything[~np.isnan(everything)])
    values = sign * np.asarray(scores, dtype=float)
    below, upto = (np.searchsorted(everything, values, side) for side in ("left", "right"))
    shares: Floats = 50 * (below + upto) / len(everything)
    return shares


def distance(values: ArrayLike, optimum: float, *, higher_is_better: bool) -> Floats:
    """How far values are from the optimum: at least 0, in the unit of the values."""
    return (optimum - np.asarray(values, dtype=float)) * (1 if higher_is_better else -1)


def normalised_regret(values: ArrayLike, *, best: ArrayLike, floor: ArrayLike) -> Floats:
    """Distance to the best score as a share of the distance of a floor: 0 at the best, 1 at the floor.

    Above 1 is worse than the floor, below 0 better than what was thought the best; neither is cut off. The usual floor
    of a report is the mean final score of random search at the same budget: what is left of the regret that luck alone
    has, as scores of games are normalised by a random player (Mnih et al., 2015; Agarwal et al., 2021). With the worst
    score of the space as the floor it is the normalised regret of HPO-B (Pineda Arango et al., 2021), most of whose
    range no search ever sees.

    Which of the two is greater says which direction is better.

    Args:
        values: Scores of any shape; NaN stays NaN.
        best: Score of the best architecture, of a shape that broadcasts with ``values``.
        floor: Score that counts as 1, likewise.

    Returns:
        Of the shape of ``values``; NaN where floor and best are equal, or one is NaN: no regret can be told there.
    """
    array, top, bottom = (np.asarray(given, dtype=float) for given in (values, best, floor))
    span = np.where(top == bottom, math.nan, top - bottom)
    return np.asarray((top - array) / span)


def _weights(runs: int, resamples: int, seed: int) -> Floats:
    """How much each run counts in each resample, ``(resamples, runs)``."""
    drawn = np.random.default_rng(seed).multinomial(runs, np.full(runs, 1 / runs), size=resamples)
    return drawn / runs


_kept_weights = lru_cache(maxsize=32)(_weights)
