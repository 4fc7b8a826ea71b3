"""What the bootstraps of this package share: resamples drawn some at a time, and the interval of their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reports.correlation import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reports.statistics.samples import Floats

# Scores that are drawn at a time: they stay near the processor, and many runs fit into memory.
_AT_A_TIME = 2**20


def blocks(resamples: int, runs: int) -> Iterator[int]:
    """How many resamples to draw at a time, until there are enough.

    Args:
        resamples: Number of all.
        runs: Size of each.
    """
    step = max(1, _AT_A_TIME // max(1, runs))
    yield from (min(step, resamples - done) for done in range(0, resamples, step))


def percentile_interval(value: float, replicates: Floats, level: float) -> Estimate:
    """A number with the interval that holds a share of what resamples give for it.

    Args:
        value: Of the sample.
        replicates: ``(resamples,)``.
        level: The share, half of the rest on either side.
    """
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high))
