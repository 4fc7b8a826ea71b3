"""One number per strategy, or pair of strategies, over several benchmarks, with stratified bootstrap intervals.

After Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical precipice", Section 4, and what
their library ``rliable`` computes. Runs are resampled within each benchmark: benchmarks are what was chosen to be
compared on, runs are what chance decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Literal

import numpy as np
from scipy import stats

from reports.correlation import Estimate
from reports.statistics.resampling import blocks
from reports.statistics.resampling import percentile_interval

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from numpy.typing import NDArray

    from reports.statistics.samples import Floats
    from reports.statistics.score_table import ScoreTable

Statistic = Literal["mean", "interquartile mean"]


@dataclass(frozen=True)
class Aggregate:
    """A number over benchmarks.

    Attributes:
        estimate: The number with its interval, whose ends are NaN where no benchmark has two runs.
        benchmarks: Those that it is over.
        runs: Number of runs that it is over; of both strategies where it compares two.
        left_out: What is not in it, one sentence each.
    """

    estimate: Estimate
    benchmarks: tuple[str, ...]
    runs: int
    left_out: tuple[str, ...]


def interquartile_mean(scores: ArrayLike) -> float:
    """Mean of the middle half: of n scores, ``n // 4`` are cut off at either end. NaN without a score.

    Less hostage to single runs than the mean, and steadier than the median.

    Args:
        scores: Of any shape; NaN is left out.
    """
    values = np.asarray(scores, dtype=float)
    known = values[~np.isnan(values)]
    return float(stats.trim_mean(known, 0.25)) if known.size else math.nan


def aggregate(
    table: ScoreTable,
    strategy: str,
    statistic: Statistic = "interquartile mean",
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Aggregate:
    """Mean or interquartile mean of a strategy over all benchmarks, with its interval.

    Scores of different benchmarks stand in one number, so give normalised ones (:meth:`ScoreTable.normalised`). The
    mean is that of the means of the benchmarks. The interquartile mean is that of all runs of all benchmarks together
    (:func:`interquartile_mean`), in which a benchmark with more runs counts for more. The mean normalised regret is
    also what Agarwal et al. call the optimality gap, as long as no run beats the best score.

    Args:
        table: Scores.
        strategy: Label.
        statistic: Which one.
        level: Share of the resampled numbers that the interval holds.
        resamples: Number of resamples.
        seed: Seed of the resampling; equal arguments give equal intervals.

    Raises:
        KeyError: The table has no such strategy.
    """
    strata = [values[~np.isnan(values)] for values in table.of(strategy)]
    sizes = np.array([len(values) for values in strata])
    known = np.flatnonzero(sizes)
    said = _lacking(table, [strategy], known)
    if not known.size:
        return Aggregate(Estimate(), (), 0, said)
    pooled = np.concatenate(strata)
    # Each run of a benchmark counts the same, and so does each benchmark.
    weights = np.concatenate([np.full(n, 1 / (n * known.size)) for n in sizes[known]])

    def compute(scores: Floats) -> Floats:
        if statistic == "mean":
            return np.asarray(scores @ weights)
        return np.asarray(stats.trim_mean(scores, 0.25, axis=-1))

    value = float(compute(pooled))
    if sizes.max() < 2:
        estimate = Estimate(value)
    else:
        parts = _drawn(sizes[known], resamples, seed)
        offsets = np.repeat(np.cumsum(sizes[known]) - sizes[known], sizes[known])
        replicates = np.concatenate([compute(pooled[drawn + offsets]) for drawn in parts])
        estimate = percentile_interval(value, replicates, level)
    return Aggregate(estimate, tuple(table.benchmarks[b] for b in known), int(sizes.sum()), said)


def probability_of_improvement(
    table: ScoreTable,
    strategy: str,
    other: str,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Aggregate:
    """How probable it is that a run of one strategy beats a run of another: the mean of it over benchmarks.

    On each benchmark it is the share of all pairs of runs that the first one wins, where equal scores count half: the
    statistic of the Mann-Whitney U test over the number of pairs. 0.5 says that neither is better; it does not say by
    how much one is. Scores need not be normalised.

    Args:
        table: Scores.
        strategy: Label of the one that may be better.
        other: Label of the one that it is compared with.
        level: Share of the resampled numbers that the interval holds.
        resamples: Number of resamples of the runs of both.
        seed: Seed of the resampling; equal arguments give equal intervals.

    Raises:
        KeyError: The table has no such strategy.
    """
    signs = np.where(table.higher_is_better, 1.0, -1.0)[:, None]
    firsts, seconds = ([v[~np.isnan(v)] for v in table.of(label) * signs] for label in (strategy, other))
    known = np.array(
        [b for b, (x, y) in enumerate(zip(firsts, seconds, strict=True)) if x.size and y.size], int
    )
    said = _lacking(table, [strategy, other], known)
    if not known.size:
        return Aggregate(Estimate(), (), 0, said)
    children = np.random.SeedSequence(seed).spawn(len(table.benchmarks))
    values, replicates = [], []
    for b in known:
        value, drawn = _wins(firsts[b], np.sort(seconds[b]), resamples, np.random.default_rng(children[b]))
        values.append(value)
        replicates.append(drawn)
    pairs = [(len(firsts[b]), len(seconds[b])) for b in known]
    value = float(np.mean(values))
    alone = max(map(max, pairs)) < 2
    estimate = Estimate(value) if alone else percentile_interval(value, np.mean(replicates, axis=0), level)
    return Aggregate(estimate, tuple(table.benchmarks[b] for b in known), int(np.sum(pairs)), said)


def _wins(first: Floats, second: Floats, resamples: int, rng: np.random.Generator) -> tuple[float, Floats]:
    """Share of the pairs that the first wins, in the sample and in resamples of both; ``second`` ascends."""
    below, upto = (np.searchsorted(second, first, side) for side in ("left", "right"))
    n, m = len(first), len(second)
    shares = []
    for count in blocks(resamples, n + m):
        mine = rng.integers(n, size=(count, n))
        # How many of the resampled second lie among its first 0, 1, ..., m.
        drawn = rng.integers(m, size=(count, m)) + (m + 1) * np.arange(count)[:, None] + 1
        beaten = np.bincount(drawn.ravel(), minlength=count * (m + 1)).reshape(count, m + 1).cumsum(axis=1)
        won = np.take_along_axis(beaten, below[mine], 1) + np.take_along_axis(beaten, upto[mine], 1)
        shares.append(won.sum(axis=1) / (2 * n * m))
    return float((below + upto).sum() / (2 * n * m)), np.concatenate(shares)


def _drawn(sizes: NDArray[np.intp], resamples: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """Resamples, some at a time: of each stratum which of its runs were drawn, ``(resamples, runs of all strata)``."""
    # Each stratum has its own generator, so that how many are drawn at a time changes nothing.
    generators = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(len(sizes))]
    for count in blocks(resamples, int(sizes.sum())):
        yield np.concatenate(
            [rng.integers(n, size=(count, n)) for rng, n in zip(generators, sizes, strict=True)], axis=1
        )


def _lacking(table: ScoreTable, strategies: Sequence[str], known: NDArray[np.intp]) -> tuple[str, ...]:
    """What the table says, and which benchmarks are not in the number."""
    lost = [label for b, label in enumerate(table.benchmarks) if b not in known]
    if not lost:
        return table.left_out
    return (
        *table.left_out,
        f"Not over {', '.join(lost)}, where {' or '.join(strategies)} has no score.",
    )
