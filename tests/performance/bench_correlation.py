"""Seconds of the bootstrap of Kendall's tau, beside scipy on each resample.

Run it: ``python -m tests.performance.bench_correlation``. Both compute the same resamples of two orders with ties.
"""

from __future__ import annotations

import time

import numpy as np
from scipy import stats
from threadpoolctl import threadpool_limits

from reports import correlation

SIZES = (300, 1_000, 4_000, 15_625)
RESAMPLES = 100


def seconds(things: int, rounds: int = 3) -> tuple[float, float]:
    """Seconds of all resamples, the best of some rounds: ours, and one call of scipy per resample."""
    ours, theirs = zip(*(_round(things) for _ in range(rounds)), strict=True)
    return min(ours), min(theirs)


def _round(things: int) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    first = rng.normal(size=things).round(2)
    second = first + rng.normal(size=things)
    counts = correlation.resamples(things, count=RESAMPLES)
    with threadpool_limits(limits=1):
        began = time.perf_counter()
        ours = correlation.kendall_of_resamples(first, second, counts)
        middle = time.perf_counter()
        theirs = [
            stats.kendalltau(np.repeat(first, drawn), np.repeat(second, drawn)).statistic
            for drawn in counts.T.astype(int)
        ]
        ended = time.perf_counter()
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    return middle - began, ended - middle


def main() -> None:
    print(f"Kendall's tau of {RESAMPLES} resamples, seconds")
    for things in SIZES:
        ours, theirs = seconds(things)
        print(f"{things:>7,} architectures: {ours:.3f}, scipy {theirs:.3f} ({theirs / ours:.1f} times)")


if __name__ == "__main__":
    main()
